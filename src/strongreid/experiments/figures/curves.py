"""Losses and mAP over the epochs of one run or of several, from the logs that runs leave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strongreid.errors import InputError
from strongreid.evaluation.style import COLOURS, drawing, label
from strongreid.training.report import draw_curves

TERMS = ("identity", "triplet", "center")


def draw_logs(logs: Mapping[str, list[dict[str, Any]]], path: str | Path) -> None:
    """Draw one run's loss terms, scores and learning rate, or the summed loss and the mAP of several runs.

    Args:
        logs: the events of each named run, as `read_log` returns them.
        path: the figure to write.

    Raises:
        InputError: there are no logs, or the file can't be written.
    """
    if not logs:
        raise InputError("there are no runs to draw: give at least one.")
    if len(logs) == 1:
        draw_curves(next(iter(logs.values())), path)
        return
    from matplotlib.ticker import MaxNLocator

    with drawing(path, 10, 3.8) as figure:
        left, right = figure.subplots(1, 2)
        for number, (name, events) in enumerate(logs.items()):
            style: Any = {"color": COLOURS[number % len(COLOURS)], "linestyle": _DASHES[number // len(COLOURS) % 4]}
            epochs, losses = losses_of(events)
            left.plot(epochs, losses, **style)
            scores = [event for event in events if event["event"] == "evaluation"]
            measured, shares = [event["epoch"] for event in scores], [100 * event["mAP"] for event in scores]
            right.plot(measured, shares, marker="o", markersize=3, **style, label=label(name, 40))
        left.set(title="Loss (sum of the weighted terms)", xlabel="epoch", ylim=(0, None))
        right.set(title="mAP on the test identities (%)", xlabel="epoch", ylim=(0, None))
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside right center")


_DASHES = ("-", "--", ":", "-.")


def losses_of(events: list[dict[str, Any]]) -> tuple[list[int], list[float]]:
    """The epochs of a log, and the sum of the weighted loss terms of each."""
    epochs = [event for event in events if event["event"] == "epoch"]
    return [event["epoch"] for event in epochs], [sum(event.get(name, 0) for name in TERMS) for event in epochs]


def read_log(run: str | Path) -> list[dict[str, Any]]:
    """The events of a run folder's `log.jsonl`, or of such a file; a last line that was cut off is left out.

    Raises:
        InputError: there is no such file, it is damaged, or no epoch is in it yet.
    """
    path = Path(run) / "log.jsonl" if Path(run).is_dir() else Path(run)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"{run} is no run folder and no log: there is no {path}.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read as a log ({error}).") from error
    events: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
            _check(event)
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines) and events:
                break  # the run was killed, or is at work
            raise InputError(f"line {number} of {path} is no event of a run ({error}).") from error
        events.append(event)
    if not any(event["event"] == "epoch" for event in events):
        raise InputError(f"{path} has no finished epoch yet: there is nothing to draw.")
    return events


def _check(event: dict[str, Any]) -> None:
    """KeyError or TypeError where an event lacks what is drawn of it."""
    needed = {"epoch": ("epoch", "lr"), "evaluation": ("epoch", "mAP", "rank1")}
    for name in needed.get(event["event"], ()):
        event[name] + 0
