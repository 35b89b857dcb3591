"""Why a network without BNNeck collapses when it is trained from scratch: one cause changed at a time.

    python benchmarks/collapse.py DATA OUT [--seeds 3] [--size 64x32] [--epochs 4]
        [--backbone resnet10_w16] [--lr 2e-3] [--only TRIAL ...] [--agreement]

DATA is a data set in the layout of Market-1501, OUT keeps finished runs, so that a stopped command goes on. Prints
the table of docs/collapse.md and draws OUT/collapse.png. One process, one thread; a run of the small network takes
some 15 CPU seconds at 64x32.
"""

import argparse
import dataclasses
import json
import math
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from collapse_trial import Data, Trial, agreement, run
from measure import machine

from strongreid.evaluation.style import COLOURS, drawing, write_plainly

ERASED: dict[str, Any] = {}
"""The row that all below "+ BNNeck" change: the ladder's third, warm-up and random erasing."""
UNITS = "triplet loss in units of the spread"
TRIALS: dict[str, dict[str, Any]] = {
    # The ladder
    "baseline": {"warmup": 0, "erasing": 0.0},
    "+ warm-up": {"erasing": 0.0},
    "+ random erasing": ERASED,
    "+ label smoothing": {"label_smoothing": 0.1},
    "+ last stride 1": {"label_smoothing": 0.1, "last_stride": 1},
    "+ BNNeck": {"label_smoothing": 0.1, "last_stride": 1, "neck": "bnneck"},
    # The triplet loss
    "no triplet loss": {"triplet_weight": 0.0},
    "only its shrinking part": {"triplet": "only shrinking"},
    "all but its shrinking part": {"triplet": "no shrinking"},
    UNITS: {"triplet": "relative"},
    "BNNeck alone": {"neck": "bnneck"},
    "learning rate 3.5e-4": {"lr": 3.5e-4},
    "triplet weight 0.1": {"triplet_weight": 0.1},
    "classifier starts at 0.001": {"classifier": 0.001},
    "no weight decay": {"weight_decay": 0.0},
    "triplet from epoch 3": {"triplet_from": 2},
    "soft margin": {"triplet": "soft"},
    "triplet on unit length": {"triplet": "unit length"},
    "classifier starts at 0.5": {"classifier": 0.5},
    # Parts of BNNeck
    "BNNeck, classifier starts as torch's": {"neck": "bnneck", "classifier": "torch", "bias": True},
    "only the mean removed": {"neck": "centred", "classifier": "torch", "bias": True},
    "mean removed, one scale": {"neck": "one scale", "classifier": "torch", "bias": True},
    "mean removed, first batch's scale": {"neck": "fixed scale", "classifier": "torch", "bias": True},
    # The optimiser
    "learning rate 1e-4": {"lr": 1e-4},
    "warm-up of 16 epochs": {"warmup": 16},
    "AdamW": {"algorithm": "adamw"},
    "clipped to 1": {"clip": 1.0},
    # The pictures and the features
    "erasing 0.25": {"erasing": 0.25},
    "no last ReLU": {"last_relu": False},
}


SHOWN = ("+ random erasing", "no triplet loss", "all but its shrinking part", UNITS, "BNNeck alone")
"""Lines of the figure."""
PANELS = {
    "spread": "Spread of the features in a batch",
    "identity": "ID loss",
    "cancels": "Last block: branch against shortcut, correlation",
    "pull_identity": "Gradient of the ID loss at the features",
}
NOTHING_LEARNT = 0.99
"""A run has collapsed where the ID loss of its last epoch is above this share of ln(identities)."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Why a network without BNNeck collapses when trained from scratch.")
    parser.add_argument("data", type=Path, help="a data set in the layout of Market-1501")
    parser.add_argument("out", type=Path, help="folder that keeps what is finished")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", default="64x32", help="height x width")
    parser.add_argument("--backbone", default=Trial.backbone)
    parser.add_argument("--lr", type=float, default=Trial.lr, help="of the trials that do not change it")
    parser.add_argument("--epochs", type=int, default=Trial.epochs, help="of the 16 of the schedule")
    parser.add_argument("--agreement", action="store_true", help="only compare the gradients of several batches")
    parser.add_argument("--only", nargs="+", default=list(TRIALS), choices=list(TRIALS), metavar="TRIAL")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    height, width = map(int, arguments.size.split("x"))
    data = Data(arguments.data, (height, width), arguments.out / "store")
    print(machine(), flush=True)
    if arguments.agreement:
        print_agreement(data, arguments.seeds)
        return
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.only}
    for seed in range(arguments.seeds):
        for name in found:
            asked = {"backbone": arguments.backbone, "lr": arguments.lr, "epochs": arguments.epochs}
            found[name].append(finished(arguments.out, name, Trial(**(asked | TRIALS[name])), data, seed))
    print(table(found))
    draw(found, arguments.out / "collapse.png")


def print_agreement(data: Data, seeds: int) -> None:
    for name in ("+ random erasing", "BNNeck alone"):
        for after in (0, 20, 60):
            each = [agreement(Trial(**TRIALS[name]), data, seed, after) for seed in range(seeds)]
            means = {loss: statistics.mean(one[loss] for one in each) for loss in each[0]}
            print(
                f"{name}, after {after} steps: " + ", ".join(f"{loss} {value:.2f}" for loss, value in means.items())
            )


def finished(out: Path, name: str, trial: Trial, data: Data, seed: int) -> dict[str, Any]:
    """What was measured; from an earlier call where there is one of the same settings."""
    path = out / f"{name.replace(' ', '_')}-{seed}.json"
    settings = dataclasses.asdict(trial)
    if path.exists() and (known := json.loads(path.read_text()))["trial"] == settings:
        return dict(known)
    began = time.process_time()
    found = {"trial": settings, **run(trial, data, seed), "cpu_seconds": time.process_time() - began}
    path.write_text(json.dumps(found))
    print(f"seed {seed}, {name}: {100 * found['mAP']:.1f} mAP, {found['cpu_seconds']:.0f} CPU s", flush=True)
    return found


def last_epoch(found: dict[str, Any], measure: str) -> float:
    """The mean over the steps of the last epoch at which it was measured."""
    return statistics.mean(step[measure] for step in found["steps"][-found["per_epoch"] :] if measure in step)


def table(found: Mapping[str, list[dict[str, Any]]]) -> str:
    """Means over seeds, in the last epoch."""
    lines = [
        "| trial | collapsed | ID loss | spread, of its first value | dead channels | mAP |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        collapsed = sum(last_epoch(one, "identity") > NOTHING_LEARNT * math.log(one["identities"]) for one in runs)
        spread = statistics.mean(last_epoch(one, "spread") / one["steps"][0]["spread"] for one in runs)
        identity, dead = (statistics.mean(last_epoch(one, key) for one in runs) for key in ("identity", "dead"))
        scores = [100 * one["mAP"] for one in runs]
        around = f" ({min(scores):.1f} to {max(scores):.1f})" if len(scores) > 1 else ""
        cells = (name, f"{collapsed} of {len(runs)}", f"{identity:.2f}", f"{spread:.2g}", f"{100 * dead:.0f} %")
        lines.append("| " + " | ".join([*cells, f"{statistics.mean(scores):.1f}{around}"]) + " |")
    return "\n".join(lines)


def draw(found: Mapping[str, list[dict[str, Any]]], path: Path) -> None:
    """What moves over the steps: the mean over seeds, and the least to the most."""
    shown = [name for name in SHOWN if found.get(name)]
    with drawing(path, 8.4, 6.2) as figure:
        for axes, (key, title) in zip(figure.subplots(2, 2).flat, PANELS.items(), strict=True):
            for number, name in enumerate(shown):
                steps, values = series(found[name], key)
                axes.plot(steps, values.mean(axis=0), color=COLOURS[number], label=name)
                axes.fill_between(
                    steps, values.min(axis=0), values.max(axis=0), color=COLOURS[number], alpha=0.15, linewidth=0
                )
            axes.set(title=title, xlabel="step")
            if key in ("spread", "pull_identity"):
                axes.set_yscale("log")
                write_plainly(axes.yaxis)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)


def series(runs: list[dict[str, Any]], measure: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Steps (n,) and values (runs, n), the mean of every ten steps, or what was measured at every tenth."""
    values = []
    for one in runs:
        blocks = [one["steps"][start : start + 10] for start in range(0, len(one["steps"]), 10)]
        values.append([statistics.mean(step[measure] for step in block if measure in step) for block in blocks])
    return np.arange(len(values[0])) * 10, np.array(values)


if __name__ == "__main__":
    main()
