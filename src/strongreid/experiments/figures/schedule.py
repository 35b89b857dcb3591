"""The learning rate of a configuration, epoch by epoch: what `training.schedule` gives, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from strongreid.config import OptimConfig
from strongreid.errors import InputError
from strongreid.evaluation.style import COLOURS, drawing, label, write_plainly
from strongreid.training.schedule import learning_rate


def draw_schedule(
    settings: Mapping[str, OptimConfig], path: str | Path, *, steps: int = 100, logarithmic: bool = True
) -> None:
    """Draw the learning rate of each named configuration; a rate for every epoch is drawn as a staircase.

    Args:
        settings: by name.
        path: the figure to write.
        steps: in an epoch, for a configuration that changes its rate at every step.
        logarithmic: the rate's axis.

    Raises:
        InputError: there are no settings, steps is below 1, or the file can't be written.
    """
    if not settings or steps < 1:
        raise InputError(f"give at least one configuration and at least 1 step, got {len(settings)} and {steps}.")
    with drawing(path, 6.4, 3.6) as figure:
        axes = figure.subplots()
        highest, lowest = 0.0, math.inf
        for number, (name, optim) in enumerate(settings.items()):
            edges, rates = learning_rates(optim, steps)
            highest, lowest = max(highest, rates.max()), min(lowest, rates.min())
            axes.stairs(
                rates, edges, baseline=None, color=COLOURS[number % len(COLOURS)], linewidth=1.6,
                label=f"{label(name)}: {optim.lr:g}, {optim.schedule}",
            )  # fmt: skip
        axes.set(xlabel="epochs done", ylabel="learning rate")
        axes.set_xlim(0, max(optim.epochs for optim in settings.values()))
        if logarithmic:
            axes.set_yscale("log")
            axes.set_ylim(max(lowest, highest / 1e4) / 1.5, highest * 1.5)  # a cosine ends near 0
            write_plainly(axes.yaxis)
        else:
            axes.set_ylim(bottom=0)
        axes.legend()


def learning_rates(optim: OptimConfig, steps: int = 100) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The moments (n + 1,), in epochs done, between which each of n rates holds, and the rates (n,)."""
    parts = steps if optim.per_step else 1
    edges = np.arange(optim.epochs * parts + 1) / parts
    factors = [
        learning_rate(
            end,
            warmup_epochs=optim.warmup_epochs,
            schedule=optim.schedule,
            milestones=optim.milestones,
            epochs=optim.epochs,
            length=1 / parts,
        )
        for end in edges[1:].tolist()
    ]
    return edges, optim.lr * np.array(factors)
