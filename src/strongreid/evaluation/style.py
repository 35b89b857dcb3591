"""The one look of all figures: clean, readable in print, in colours that the colour-blind tell apart."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongreid.errors import InputError
from strongreid.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, GREY, INK = "#E69F00", "#56B4E9", "#8A8F94", "#212529"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK, GREY)
"""Okabe and Ito's palette (2008), in an order in which neighbours differ in lightness too."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""A form for each colour, where points of many kinds share a figure."""
FORMATS = ("png", "svg", "pdf")

_LOOK: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DEE2E6",
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "text.parse_math": False,  # a name may hold a dollar
    "pdf.fonttype": 42,  # letters stay letters
    "svg.fonttype": "none",
    "svg.hashsalt": "strongreid",  # the same figure, the same bytes
}


@contextmanager
def drawing(path: str | Path, width: float = 6.4, height: float = 4.2) -> Iterator[Figure]:
    """Yield an empty figure in the project's look, `width` x `height` inches; on success it is written, atomically.

    The format follows the name's ending, one of `FORMATS`. The same figure gives the same bytes again.

    Raises:
        InputError: another ending, or the file can't be written.
    """
    kind = checked_format(path)

    import matplotlib as mpl
    from matplotlib.figure import Figure

    look: Any = _LOOK  # matplotlib's types know its settings by literal names
    with mpl.rc_context(look), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # drawn as a box
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        dates = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        with atomic_file(Path(path)) as partial:
            figure.savefig(partial, format=kind, dpi=150, metadata=dates)


def checked_format(path: str | Path) -> str:
    """The format that a figure's name asks for.

    Raises:
        InputError: it ends otherwise than with one of `FORMATS`.
    """
    kind = Path(path).suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        allowed = ", ".join(f".{name}" for name in FORMATS)
        raise InputError(f"the figure {path} ends with {kind or 'nothing'!r}; name a file that ends with {allowed}.")
    return kind


def label(text: str, most: int = 60) -> str:
    """A name as matplotlib may draw it: one line, not too long, and not one that its legends would hide."""
    line = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", " ", text).split())
    line = line if len(line) <= most else f"{line[: most - 1]}…"
    return f" {line}" if line.startswith("_") else line


def set_gaps(figure: Figure, pads: float, between: float) -> None:
    """Room around each part of a figure, in inches, and between parts, as a share of their size."""
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=pads, h_pad=pads, wspace=between, hspace=between)


def bare(axes: Axes) -> None:
    """Take ticks, grid and frame away: for pictures."""
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def write_plainly(axis: Axis) -> None:
    """Write a logarithmic axis' numbers as text: formulas are switched off, for the sake of names."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
