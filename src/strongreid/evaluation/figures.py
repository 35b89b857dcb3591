"""Curves of a result as figures: CMC, ROC, and how far pairs of the same and of different people lie apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.pairs import PairDistances
from strongreid.evaluation.result import EvalResult
from strongreid.evaluation.sheets import rank_sheet
from strongreid.evaluation.style import BLUE, COLOURS, VERMILLION, drawing, label, write_plainly
from strongreid.features import FeatureTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SAME, DIFFERENT = BLUE, VERMILLION
"""Of one identity, of two."""


def draw_result(result: EvalResult, query: FeatureTable, gallery: FeatureTable, folder: str | Path) -> list[Path]:
    """Write all that can be drawn of a result into a folder; returns the paths.

    These are `cmc.png`, the `worst.png` and the `best.png` queries (in the order before re-ranking), and, where the
    result has its pairs, `roc.png` and `distances.png`.

    Raises:
        InputError: a file can't be written.
    """
    files = {name: Path(folder) / f"{name}.png" for name in ("cmc", "worst", "best")}
    draw_cmc({result.metric: result}, files["cmc"])
    options: dict[str, Any] = {"metric": result.metric, "leave_out": result.leave_out}
    rank_sheet(query, gallery, files["worst"], which="worst", **options)
    rank_sheet(query, gallery, files["best"], which="best", **options)
    if result.pairs is not None:
        files |= {name: Path(folder) / f"{name}.png" for name in ("roc", "distances")}
        draw_roc({result.metric: result.pairs}, files["roc"])
        draw_distances(result.pairs, files["distances"])
    return list(files.values())


def draw_cmc(results: Mapping[str, EvalResult], path: str | Path) -> None:
    """Share of queries with a true match among the first k, for every named result, as one figure.

    Raises:
        InputError: there are no results, or the file can't be written.
    """
    _check_some(results)
    with drawing(path) as figure:
        axes = _axes(figure, "rank k", "share of queries with a match by rank k, %")
        for number, (name, result) in enumerate(results.items()):
            ranks = np.arange(1, len(result.cmc) + 1)
            figures = f"mAP {100 * result.mAP:.1f}, Rank-1 {100 * result.rank(1):.1f}"
            colour, shares = COLOURS[number % len(COLOURS)], 100 * np.array(result.cmc)
            axes.plot(ranks, shares, color=colour, label=f"{label(name)}: {figures}")
        axes.set_xlim(1, max(2, *(len(result.cmc) for result in results.values())))
        axes.set_ylim(top=100)
        axes.legend(loc="lower right")


def draw_roc(pairs: Mapping[str, PairDistances], path: str | Path) -> None:
    """True positive rate by false positive rate of pairs, on a logarithmic axis, as one figure.

    Raises:
        InputError: there are no results, one lacks pairs of the same or of different identities, or the file can't be
            written.
    """
    _check_some(pairs)
    with drawing(path) as figure:
        axes = _axes(figure, "false positive rate: different people taken for one", "true positive rate, %")
        least = 1.0
        for number, (name, distances) in enumerate(pairs.items()):
            fpr, tpr, _ = distances.roc()
            shown = fpr > 0
            least = min([least, *fpr[shown].tolist()])
            named = f"{label(name)}: EER {100 * distances.equal_error_rate():.1f} %"
            axes.plot(fpr[shown], 100 * tpr[shown], color=COLOURS[number % len(COLOURS)], label=named)
        axes.set_xscale("log")
        write_plainly(axes.xaxis)
        axes.set_xlim(max(least, 1e-7), 1)
        axes.set_ylim(0, 100)
        axes.legend(loc="lower right")


def draw_distances(pairs: PairDistances, path: str | Path, *, bins: int = 100) -> None:
    """How the distances of pairs of the same and of different identities are spread, each to a sum of 1.

    Raises:
        InputError: fewer than 2 bins, or the file can't be written.
    """
    if bins < 2:
        raise InputError(f"a histogram needs at least 2 bins, got {bins}.")
    with drawing(path) as figure:
        axes = _axes(figure, f"{pairs.metric} distance", "share of the pairs, %")
        centres = (pairs.edges[:-1] + pairs.edges[1:]) / 2
        seen = np.flatnonzero(pairs.same + pairs.different)
        low, high = (pairs.edges[seen[0]], pairs.edges[seen[-1] + 1]) if seen.size else (0.0, 1.0)
        for name, counts, colour in (("same identity", pairs.same, SAME), ("different", pairs.different, DIFFERENT)):
            heights, edges = np.histogram(centres, bins=bins, range=(low, high), weights=counts)
            share = 100 * heights / max(1, counts.sum())
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.45, label=f"{name}: {counts.sum():,} pairs")
        axes.legend()


def _axes(figure: Figure, horizontal: str, vertical: str) -> Axes:
    axes: Axes = figure.subplots()
    axes.set_xlabel(horizontal)
    axes.set_ylabel(vertical)
    return axes


def _check_some(results: Mapping[str, object]) -> None:
    if not results:
        raise InputError("there is nothing to draw: give at least one named result.")
