"""An experiment's rows as figures: means with their intervals beside the paper's, and curves over the epochs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.style import BLUE, COLOURS, GREY, VERMILLION, drawing, label
from strongreid.experiments.figures.curves import losses_of
from strongreid.experiments.paper import printed
from strongreid.experiments.records import Column, Experiment, MeasureName, Row
from strongreid.experiments.tables import NAMES, SHOWN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Series = Callable[[list[dict[str, Any]]], tuple[list[int], list[float]]]


def draw_rows(experiment: Experiment, column: Column, path: str | Path, *, level: float = 0.95) -> None:
    """Draw each row's mAP and Rank-1 of a column: every seed, mean and interval, and what the paper printed.

    Raises:
        InputError: no cell of the column is finished, a result is damaged, or the file can't be written.
    """
    rows = [row for row in experiment.rows if column.name in row.plan.test_sets]
    if not any(row.of(column.name) for row in rows):
        raise InputError(f"no cell of {column.name} is finished: there is nothing to draw.")
    with drawing(path, 8.4, 0.9 + 0.3 * len(rows)) as figure:
        panels = figure.subplots(1, len(SHOWN), sharey=True)
        for axes, measure in zip(panels, SHOWN, strict=True):
            for place, row in enumerate(rows):
                _draw_row(axes, place, row, measure, column, level)
                found = printed(experiment.name, row.name, column, experiment.data)
                if found is not None:
                    axes.plot(getattr(found, measure), place, "D", color=VERMILLION, markersize=5, fillstyle="none")
            axes.set(title=f"{NAMES[measure]}, %", ylim=(len(rows) - 0.4, -0.6))
            axes.grid(visible=False, axis="y")
        panels[0].set_yticks(range(len(rows)), [label(row.label, 40) for row in rows])
        kinds = [("o", BLUE, "full", f"mean and {100 * level:g} % interval"), ("o", GREY, "full", "a seed")]
        if any(printed(experiment.name, row.name, column, experiment.data) for row in rows):
            kinds.append(("D", VERMILLION, "none", "as the paper printed it"))
        handles = [
            panels[0].plot([], [], form, color=colour, fillstyle=fill, markersize=5, label=name)[0]
            for form, colour, fill, name in kinds
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def draw_row_curves(experiment: Experiment, train: str, path: str | Path) -> bool:
    """Draw loss and mAP over the epochs of the runs on a training set: the mean over seeds, and least to most.

    mAP is that on the training set's own query and gallery. Rows that share their runs are one line, under the first
    one's name.

    Returns:
        Whether there was anything to draw; the logs may be gone.

    Raises:
        InputError: the file can't be written.
    """
    logs = _logs(experiment, train)
    if not logs:
        return False
    from matplotlib.ticker import MaxNLocator

    with drawing(path, 8.4, 3.4) as figure:
        panels = figure.subplots(1, 2)
        series: tuple[tuple[str, Series], ...] = (
            ("Loss (sum of the weighted terms)", losses_of),
            (f"mAP on {label(train, 30)}, %", scores_of),
        )
        for axes, (title, values_of) in zip(panels, series, strict=True):
            for number, of_seeds in enumerate(logs.values()):
                _draw_band(axes, number, [values_of(events) for events in of_seeds])
            axes.set(title=title, xlabel="epoch", ylim=(0, None))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles = [
            panels[0].plot([], [], **_line(number), label=label(name, 30))[0] for number, name in enumerate(logs)
        ]
        figure.legend(handles=handles, loc="outside right center")
    return True


def scores_of(events: list[dict[str, Any]]) -> tuple[list[int], list[float]]:
    """The epochs at which a log has an evaluation, and the mAP of each in percent."""
    found = [event for event in events if event.get("event") == "evaluation"]
    return [event["epoch"] for event in found], [100 * event["mAP"] for event in found]


def _draw_row(axes: Axes, place: int, row: Row, measure: MeasureName, column: Column, level: float) -> None:
    spread, around = row.spread(measure, column.name), row.interval(measure, column.name, level)
    if spread is None or around is None:
        return
    axes.plot([100 * around.low, 100 * around.high], [place, place], color=BLUE, linewidth=1.6)
    if len(spread.values) > 1:
        shares = 100 * np.array(spread.values)
        axes.plot(shares, np.full(len(shares), place + 0.18), "o", color=GREY, markersize=2.5)
    axes.plot(100 * spread.mean, place, "o", color=BLUE, markersize=5)


def _logs(experiment: Experiment, train: str) -> dict[str, list[list[dict[str, Any]]]]:
    """The logs of each row's runs on a training set, by label; runs that an earlier row had are not repeated."""
    columns = {column.name for column in experiment.columns if column.train == train}
    seen: set[Path] = set()
    logs: dict[str, list[list[dict[str, Any]]]] = {}
    for row in experiment.rows:
        runs = {cell.run: cell for cell in row.cells if cell.test_set in columns and cell.run not in seen}
        seen |= runs.keys()
        found = [events for cell in runs.values() if losses_of(events := cell.log())[0]]
        if found:
            logs[row.label] = found
    return logs


def _draw_band(axes: Axes, number: int, series: list[tuple[list[int], list[float]]]) -> None:
    """The mean over runs at each epoch that all have, and the range."""
    common = sorted(set.intersection(*(set(epochs) for epochs, _ in series)))
    values = np.array([[dict(zip(*one, strict=True))[epoch] for epoch in common] for one in series])
    if not common:
        return
    axes.plot(common, values.mean(axis=0), **_line(number), marker="o" if len(common) < 12 else "", markersize=2.5)
    if len(series) > 1:
        colour = COLOURS[number % len(COLOURS)]
        axes.fill_between(common, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, linewidth=0)


def _line(number: int) -> dict[str, Any]:
    dashes = ("-", "--", ":", "-.")
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": dashes[number // len(COLOURS) % len(dashes)]}
