"""How long an experiment would take: from the logs of runs like its own, else from a few real steps."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

from strongreid.config import Config
from strongreid.evaluation.text import text_table
from strongreid.experiments.jobs import Job, missing_tests, standing
from strongreid.experiments.prepare import Prepared, cores
from strongreid.experiments.records import DataSet
from strongreid.experiments.sets import ReadSet
from strongreid.experiments.settings import changed, config_of

STEPS, ENOUGH, SECONDS = 3, 1.0, 20.0
"""Steps measured of each shape after one that is not; short ones go on for a second, since on a machine that is
shared three of 0.1 s say little; and the time after which no further one is begun."""
SOME = 100
"""Pictures decoded to see how long that takes."""
_SHAPE = {
    "model": ("backbone", "last_stride", "stem_relu", "checkpointing"),
    "batch": ("identities", "images", "accumulate"),
    "data": ("height", "width"),
    "run": ("precision", "compile", "channels_last", "winograd"),
}
"""What the time of a step depends on; losses and augmentation are small beside it."""


@dataclass(frozen=True)
class Speed:
    """Of a shape."""

    step: float
    """Seconds of a training step."""
    picture: float
    """Seconds of a picture's forward pass in an evaluation."""
    decoding: float
    """Seconds of reading and resizing a picture."""
    source: str
    """Where this is from."""


def plan_text(prepared: Prepared, sets: Mapping[str, ReadSet], workers: int) -> str:
    """What would run and how long it would take; runs a few steps of every new shape and writes nothing."""
    left = [job for job in prepared.jobs if standing(job) != "finished"]
    if not left:
        return f"{_counts(prepared)}\nnothing is left to do"
    speeds = measure_shapes(left, sets, prepared.runs, workers)
    cells = Counter(cell[3] for cell in prepared.cells)
    rows, seconds = [], []
    for job in left:
        speed = speeds[shape_of(job.config)]
        seconds.append(seconds_of(job, speed, sets))
        count = str(cells[job.fingerprint])
        rows.append([job.cells[0], count, standing(job), f"{speed.step:.3f}", in_words(seconds[-1])])
    total = sum(seconds)
    spread = in_words(max(total / workers, *seconds))
    lines = [_counts(prepared), "", text_table(["run", "cells", "now", "s a step", "time"], rows), ""]
    lines += [f"{_shape_words(shape)}: {speed.source}" for shape, speed in speeds.items()]
    parallel = f", about {spread} on {workers} processes" if workers > 1 else ""
    lines.append(f"about {in_words(total)} in all{parallel}; curves and ranked sheets not counted")
    return "\n".join(lines)


def _counts(prepared: Prepared) -> str:
    about = prepared.experiment
    now = Counter(standing(job) for job in prepared.jobs)
    cells = f"{about.planned} cells from {len(prepared.jobs)} training runs"
    return (
        f"experiment {about.name}: {len(about.rows)} rows, {len(about.seeds)} seeds, {len(about.columns)} columns: "
        f"{cells}\n{now['finished']} runs finished, {now['begun']} begun, {now['trained']} trained and to be tested, "
        f"{now['new']} to run"
    )


def shape_of(config: Config) -> tuple[Any, ...]:
    """What the time of a step depends on."""
    return tuple(getattr(getattr(config, room), key) for room, keys in _SHAPE.items() for key in keys)


def measure_shapes(
    jobs: Sequence[Job], sets: Mapping[str, ReadSet], runs: Path, workers: int
) -> dict[tuple[Any, ...], Speed]:
    """The speed of every shape among the jobs, from logs in `runs` where there are any of the same placement."""
    speeds: dict[tuple[Any, ...], Speed] = {}
    logged = _logged(runs)
    for job in jobs:
        shape = shape_of(job.config)
        if shape in speeds:
            continue
        threads = job.config.run.threads or (max(1, cores() // workers) if workers > 1 else 0)
        config = changed(job.config, {"run.threads": threads})
        speeds[shape] = measure(config, _trained_on(job, sets), logged.get(shape, {}))
    return speeds


def measure(config: Config, trained: ReadSet, logged: Mapping[str, float]) -> Speed:
    """Take a few steps as training does, on pictures of the right size and number that are all the same.

    `logged` has the seconds a picture of earlier runs by where they ran; then only the forward pass is measured.
    """
    import torch

    from strongreid.data.images import DecodedStore
    from strongreid.distributed import World
    from strongreid.extraction.torch_network import forward
    from strongreid.training.loop import place_run, train_epoch
    from strongreid.training.runlog import RunLog
    from strongreid.training.setup import assemble, build_model

    placement = place_run(config)
    config = changed(config, {"model.pretrained": False, "model.start_from": "", "data.on_device": False})
    height, width = config.data.height, config.data.width
    picture = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    records = trained.dataset.train
    store = DecodedStore(np.broadcast_to(picture, (len(records), height, width, 3)), records, ())
    run = assemble(config, World(), placement, build_model(config, trained.about.counts["identities"]), (store,) * 3)
    size = config.batch.identities * config.batch.images
    known = logged.get(placement.why)
    source = "from the logs of earlier runs"
    if known is None:
        log = RunLog(Path(), progress=False, device=placement.device.type)
        log.begin_epoch(1, 1, 1, size)
        run.model.train()
        batches = (batch for epoch in count() for batch in run.batches.epoch(epoch))
        taken: list[float] = []
        with placement.memory():
            while sum(taken) < (SECONDS if len(taken) <= STEPS else ENOUGH):
                began = time.perf_counter()
                train_epoch(run, run.network, log, 0, islice(batches, 1))
                placement.wait()
                taken.append(time.perf_counter() - began)
        known = statistics.median(taken[1:] or taken) / size
        source = f"measured, {max(1, len(taken) - 1)} steps"
    some = np.repeat(picture, config.eval.batch, axis=0)
    began = time.perf_counter()
    with torch.no_grad():
        forward(run.model, some, run.spec, placement, batch=config.eval.batch)
    each = (time.perf_counter() - began) / config.eval.batch
    return Speed(known * size, each, _decoding(config, trained), f"{source}, on {placement.why}")


def _decoding(config: Config, trained: ReadSet) -> float:
    """Seconds a picture, of some pictures from all over the set."""
    from strongreid.data.images import DecodedStore

    records = trained.dataset.train[:: max(1, len(trained.dataset.train) // SOME)]
    began = time.perf_counter()
    DecodedStore.build(records, config.data.height, config.data.width, None, skip_unreadable=True)
    return (time.perf_counter() - began) / len(records)


def seconds_of(job: Job, speed: Speed, sets: Mapping[str, ReadSet]) -> float:
    """What is left of a job: steps, evaluations while it trains, tests."""
    from strongreid.training.setup import check_filling

    config, trained = job.config, _trained_on(job, sets)
    each = speed.picture + speed.decoding
    tests = sum(_pictures(test.data) for test in missing_tests(job)) * each
    now = standing(job)
    if now == "trained":
        return tests
    done = max((event["epoch"] for event in _epochs(job.folder)), default=0) if now == "begun" else 0
    epochs, every = config.optim.epochs, config.eval.every
    evaluations = 1 + (sum(1 for epoch in range(1, epochs) if epoch % every == 0) if every else 0) + 1
    steps = check_filling(config, trained.identities)
    reading = (trained.about.counts["train"] + _pictures(trained.about)) * speed.decoding
    testing = evaluations * _pictures(trained.about) * speed.picture
    return reading + (epochs - done) * steps * speed.step + testing + tests


def in_words(seconds: float) -> str:
    """As "4.5 s", "45 s", "12 min", "3.4 h" or "2.1 days"."""
    for limit, unit, name in ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.{1 if seconds / unit < 10 else 0}f} {name}"
    return f"{seconds / 86400:.1f} days"


def _pictures(dataset: DataSet) -> int:
    return dataset.counts["query"] + dataset.counts["gallery"]


def _trained_on(job: Job, sets: Mapping[str, ReadSet]) -> ReadSet:
    return next(one for one in sets.values() if one.about.root == job.config.data.root)


def _epochs(folder: Path) -> list[dict[str, Any]]:
    try:
        lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        events = [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return []
    return [event for event in events if event["event"] == "epoch"]


def _logged(runs: Path) -> dict[tuple[Any, ...], dict[str, float]]:
    """Seconds a picture by shape and by where the run was, from the logs of earlier runs."""
    found: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    for file in sorted(runs.glob("*/log.jsonl")):
        try:
            start = json.loads(file.read_text(encoding="utf-8").split("\n", 1)[0])
            shape = shape_of(config_of(start["config"]))
        except (OSError, ValueError, KeyError):
            continue
        rates = [event["pictures_per_second"] for event in _epochs(file.parent)]
        if rates:
            found.setdefault(shape, {}).setdefault(start["placement"], []).append(1 / statistics.median(rates))
    return {shape: {why: statistics.median(v) for why, v in places.items()} for shape, places in found.items()}


def _shape_words(shape: tuple[Any, ...]) -> str:
    backbone, stride, _, _, p, k, _, height, width = shape[:9]
    return f"{backbone}, last stride {stride}, {height} x {width}, batches of {p} x {k}"
