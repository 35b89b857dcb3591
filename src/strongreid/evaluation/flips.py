"""A contact sheet of what changed: queries with the answers of one result above those of the other."""

from __future__ import annotations

from pathlib import Path

from strongreid.errors import InputError
from strongreid.evaluation.answers import answer_tiles
from strongreid.evaluation.comparison import Comparison
from strongreid.evaluation.result import EvalResult
from strongreid.evaluation.sheets import QUERY, QUERY_GAP, RIGHT, WRONG, _check_counts, _draw, _Row, _Tile


def flip_sheet(
    comparison: Comparison,
    a: EvalResult,
    b: EvalResult,
    output: str | Path,
    *,
    queries: int = 8,
    top_k: int = 10,
    height: int = 128,
) -> None:
    """Draw a PNG of queries whose first answer changed: a row of A's answers, below it one of B's.

    Right answers have green borders, wrong ones red. B's largest gains come first, then its largest losses, half of
    each where there are enough. A picture that can't be read becomes a grey tile.

    Args:
        comparison: of `a` and `b`, by `compare_results(a, b)`.
        a: evaluated with `answers` above 0.
        b: the same.
        output: the PNG to write, atomically.
        queries: most queries drawn, each in two rows.
        top_k: answers per row, as far as the results have them.
        height: of a picture, in pixels; its width follows the usual shape of the pictures drawn.

    Raises:
        InputError: a count is below 1, a result was saved without answers, no first answer changed, or the file
            can't be written.
    """
    _check_counts(queries=queries, top_k=top_k, height=height)
    for name, result in (("A", a), ("B", b)):
        if result.answers is None:
            raise InputError(
                f"{name} was evaluated without keeping its answers, so there is nothing to draw; evaluate again with "
                f"answers={top_k}, on the command line --answers {top_k}."
            )
    if not comparison.flips:
        raise InputError("every query's first answer is as right in A as in B: there is nothing to draw.")
    chosen = comparison.largest_flips(queries)
    places = [{path: row for row, path in enumerate(result.per_query.paths)} for result in (a, b)]
    rows = []
    for flip in chosen:
        precisions = [f"AP {100 * precision:.1f}" for precision in flip.average_precision]
        query = _Tile(flip.path, QUERY, (f"id {flip.identity}", precisions[0]))
        below = _Tile(None, None, ("gained" if flip.gained else "lost", precisions[1]))
        rows.append(_Row([query, *answer_tiles(a, places[0][flip.path], top_k)], "A", QUERY_GAP))
        rows.append(_Row([below, *answer_tiles(b, places[1][flip.path], top_k)], "B", QUERY_GAP))
    gained = sum(flip.gained for flip in chosen)
    title = (
        f"{len(chosen)} of {len(comparison.flips)} queries whose first answer changed: {gained} right in B only, "
        f"{len(chosen) - gained} in A only"
    )
    legend = [
        (QUERY, "query: identity, AP in %"),
        (RIGHT, "same identity"),
        (WRONG, "another identity"),
        (None, "below: rank, distance"),
    ]
    _draw(title, legend, rows, Path(output), height)
