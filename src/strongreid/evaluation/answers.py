"""A contact sheet of a saved result: queries with the answers that it kept; no features are needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.result import EvalResult
from strongreid.evaluation.sheets import QUERY, QUERY_GAP, RIGHT, WRONG, _check_counts, _draw, _Row, _Tile


def answer_sheet(
    result: EvalResult, output: str | Path, *, queries: int = 6, top_k: int = 10, height: int = 128
) -> None:
    """Draw a PNG: queries spread evenly from the worst average precision to the best, with their first answers.

    Right answers have green borders, wrong ones red. A picture that can't be read becomes a grey tile.

    Args:
        result: evaluated with `answers` above 0.
        output: the PNG to write, atomically.
        queries: most rows drawn.
        top_k: answers per row, as far as the result has them.
        height: of a picture, in pixels; its width follows the usual shape of the pictures drawn.

    Raises:
        InputError: a count is below 1, the result was saved without answers, or the file can't be written.
    """
    _check_counts(queries=queries, top_k=top_k, height=height)
    if result.answers is None:
        raise InputError(
            "the result was evaluated without keeping its answers, so there is nothing to draw; evaluate again with "
            f"answers={top_k}, on the command line --answers {top_k}."
        )
    ranking = result.per_query
    order = np.argsort(ranking.average_precision, kind="stable")
    places = np.linspace(0, len(order) - 1, min(queries, len(order))).round().astype(np.int64)
    rows = []
    for query in order[places].tolist():
        lines = f"id {ranking.identities[query]}", f"AP {100 * ranking.average_precision[query]:.1f}"
        tile = _Tile(ranking.paths[query], QUERY, lines)
        rows.append(_Row([tile, *answer_tiles(result, query, top_k)], gap_after_first=QUERY_GAP))
    title = f"{len(rows)} of {len(order)} queries, from the worst to the best average precision"
    legend = [
        (QUERY, "query: identity, AP in %"),
        (RIGHT, "same identity"),
        (WRONG, "another identity"),
        (None, "below: rank, distance"),
    ]
    _draw(title, legend, rows, Path(output), height)


def answer_tiles(result: EvalResult, query: int, top_k: int) -> list[_Tile]:
    """The tiles of the first answers to a query, by its row in the result; none where they were not kept."""
    answers = result.answers
    if answers is None:
        return []
    found = zip(answers.paths[query], answers.right[query], answers.distances[query], strict=True)
    return [
        _Tile(path, RIGHT if right else WRONG, (f"{place}", f"{distance:.3f}"))
        for place, (path, right, distance) in enumerate(list(found)[:top_k], start=1)
    ]
