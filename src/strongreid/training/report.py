"""What a run leaves to look at: the table beside cheap baselines, the curves, the ranked pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from strongreid.evaluation import EvalResult, compare_table, evaluate
from strongreid.evaluation.baselines import colour_histogram
from strongreid.evaluation.sheets import rank_sheet
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


def draw_curves(events: list[dict[str, Any]], path: Path) -> None:
    """Loss terms and learning rate by epoch, and mAP and Rank-1 where evaluated, as one PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [event for event in events if event["event"] == "epoch"]
    scores = [event for event in events if event["event"] == "evaluation"]
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    x = [event["epoch"] for event in epochs]
    for name, colour in (("identity", "#1f5fa8"), ("triplet", "#c2571a"), ("center", "#3a7d44")):
        if epochs and name in epochs[0]:
            left.plot(x, [event[name] for event in epochs], color=colour, label=name)
    left.set(title="Loss (weighted terms)", xlabel="epoch", ylim=(0, None))
    left.legend(frameon=False)
    for name, label, colour in (("mAP", "mAP", "#1f5fa8"), ("rank1", "Rank-1", "#c2571a")):
        middle.plot(
            [event["epoch"] for event in scores],
            [100 * event[name] for event in scores],
            "o-",
            color=colour,
            label=label,
        )
    middle.set(title="Retrieval on the test identities (%)", xlabel="epoch", ylim=(0, 100))
    middle.legend(frameon=False)
    right.plot(x, [event["lr"] for event in epochs], color="#555555")
    right.set(title="Learning rate", xlabel="epoch", ylim=(0, None))
    for axes in (left, middle, right):
        axes.grid(alpha=0.25)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
