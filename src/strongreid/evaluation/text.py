"""Plain-text tables."""

from __future__ import annotations

import math
from collections.abc import Sequence


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An aligned table with a rule under its head; the first column to the left, the others to the right.

    Every line has the same length. Rows have as many cells as the head.
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in [head, *rows]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def percent(share: float) -> str:
    """A share in 0..1 as percent with two decimals; "-" for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:.2f}"
