"""What a run leaves to look at: the table beside cheap baselines, the curves, the ranked pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from strongreid.evaluation import EvalResult, compare_table, evaluate
from strongreid.evaluation.baselines import colour_histogram
from strongreid.evaluation.sheets import rank_sheet
from strongreid.evaluation.style import BLUE, GREEN, INK, VERMILLION, drawing
from strongreid.features import FeatureTable
from strongreid.files import atomic_file

Pictures = npt.NDArray[np.uint8]


def write_report(
    folder: Path,
    result: EvalResult,
    tables: list[FeatureTable],
    events: list[dict[str, Any]],
    pictures: tuple[Pictures, Pictures],
) -> str:
    """Write `table.txt`, `curves.png` and `ranks.png`; returns the table's text."""
    query, gallery = tables
    untrained = {"before training": EvalResult.load(folder / "untrained.json")}
    text = compare_table({"this run": result} | untrained | histogram_baselines(query, gallery, pictures))
    with atomic_file(folder / "table.txt") as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    draw_curves(events, folder / "curves.png")
    rank_sheet(query, gallery, folder / "ranks.png", metric=result.metric)
    return text


def histogram_baselines(
    query: FeatureTable, gallery: FeatureTable, pictures: tuple[Pictures, Pictures]
) -> dict[str, EvalResult]:
    """Colour histograms of the same query and gallery pictures, evaluated by the same protocol."""
    results = {}
    for name, grey_world in (("colour histogram", False), ("colour histogram, grey-world", True)):
        histograms = [colour_histogram(block, grey_world=grey_world) for block in pictures]
        described = [
            FeatureTable(features, table.identities, table.cameras, table.paths)
            for features, table in zip(histograms, (query, gallery), strict=True)
        ]
        results[name] = evaluate(described[0], described[1])
    return results


def draw_curves(events: list[dict[str, Any]], path: str | Path) -> None:
    """Loss terms and learning rate by epoch, and mAP and Rank-1 where evaluated, as one figure.

    Raises:
        InputError: the file can't be written.
    """
    from matplotlib.ticker import MaxNLocator

    epochs = [event for event in events if event["event"] == "epoch"]
    scores = [event for event in events if event["event"] == "evaluation"]
    with drawing(path, 11, 3.6) as figure:
        left, middle, right = figure.subplots(1, 3)
        x = [event["epoch"] for event in epochs]
        for name, colour in (("identity", BLUE), ("triplet", VERMILLION), ("center", GREEN)):
            if epochs and name in epochs[0]:
                left.plot(x, [event[name] for event in epochs], color=colour, label=name)
        left.set(title="Loss (weighted terms)", ylim=(0, None))
        measured = [event["epoch"] for event in scores]
        for name, title, colour in (("mAP", "mAP", BLUE), ("rank1", "Rank-1", VERMILLION)):
            shares = [100 * event[name] for event in scores]
            middle.plot(measured, shares, "o-", markersize=3.5, color=colour, label=title)
        middle.set(title="Retrieval on the test identities (%)", ylim=(0, 100))
        right.plot(x, [event["lr"] for event in epochs], color=INK)
        right.set(title="Learning rate", ylim=(0, None))
        for axes in (left, middle, right):
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if axes.get_legend_handles_labels()[1]:
                axes.legend()
