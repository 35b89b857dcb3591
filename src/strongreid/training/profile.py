"""Where the time of a training step goes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, record_function

from strongreid.config import Config
from strongreid.distributed import join
from strongreid.files import atomic_file
from strongreid.model.hardware import measured_peak
from strongreid.training.loop import place_run, train_epoch
from strongreid.training.runlog import RunLog
from strongreid.training.setup import Run, prepare

PHASES = ("data", "forward", "losses", "backward", "optimiser")
WARM, ACTIVE = 3, 10
"""Steps before the measured ones, and those."""


def profile(config: Config, *, progress: bool = True) -> str:
    """Take a few steps of the run and return a table of their phases; nothing is evaluated and no model is saved.

    Writes `profile.txt` and `trace.json` (which chrome://tracing and ui.perfetto.dev show) into `config.run.output`.

    Raises:
        InputError: as for `train`.
    """
    placement = place_run(config)
    with join(placement.device, config.run.timeout) as world, placement.memory():
        folder = Path(config.run.output)
        run = prepare(config, world, placement, folder, progress=progress)
        run.model.train()
        network = world.wrap(run.network, placement.device)
        log = RunLog(folder, progress=False, world=world, device=placement.device.type)
        log.begin_epoch(1, 1, WARM + ACTIVE, run.batches.plan(0).shape[1])
        batches = _endless(run)
        train_epoch(run, network, log, 0, islice(batches, WARM))
        placement.wait()
        activities = [ProfilerActivity.CPU]
        if placement.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        with torch.profiler.profile(activities=activities) as profiler:
            began = time.perf_counter()
            train_epoch(run, network, log, 0, islice(batches, ACTIVE))
            placement.wait()
            seconds = (time.perf_counter() - began) / ACTIVE
        table = _table(run, profiler, seconds)
        if world.first:
            with atomic_file(folder / "trace.json") as partial:
                profiler.export_chrome_trace(str(partial))
            with atomic_file(folder / "profile.txt") as partial:
                partial.write_text(table + "\n", encoding="utf-8")
    return table


def _endless(run: Run) -> Iterator[tuple[Tensor, Tensor]]:
    """Epoch after epoch, so that a small set is enough; the wait for each batch is labelled."""
    epoch = 0
    while True:
        yield from _labelled(run.batches.epoch(epoch))
        epoch += 1


def _labelled(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    iterator = iter(batches)
    while True:
        with record_function("data"):
            batch = next(iterator, None)
        if batch is None:
            return
        yield batch


def _table(run: Run, profiler: torch.profiler.profile, seconds: float) -> str:
    """Milliseconds a step of each phase, on the CPU and, where there is one, on the GPU."""
    on_gpu = run.placement.device.type == "cuda"
    events = {event.key: event for event in profiler.key_averages()}
    rows = []
    for phase in PHASES:
        event = events.get(phase)
        host = event.cpu_time_total / ACTIVE / 1000 if event else 0.0
        device = event.device_time_total / ACTIVE / 1000 if event else 0.0
        rows.append((phase, host, device))
    rest = 1000 * seconds - sum(host for _, host, _ in rows)
    rows.append(("the rest", rest, 0.0))
    lines = [f"{'phase':<12}{'ms':>9}{'share':>8}" + (f"{'GPU ms':>10}" if on_gpu else "")]
    for phase, host, device in rows:
        share = host / (1000 * seconds)
        lines.append(f"{phase:<12}{host:>9.1f}{share:>8.1%}" + (f"{device:>10.1f}" if on_gpu else ""))
    pictures = run.batches.p * run.batches.k
    rate = pictures / seconds
    peak = measured_peak(run.placement)
    lines.append(
        f"{ACTIVE} steps of {pictures} pictures: {1000 * seconds:.1f} ms each, {rate:.1f} pictures/s, "
        f"{3 * run.operations * rate / peak:.0%} of the measured {peak / 1e9:,.0f} GFLOP/s"
    )
    lines.append(f"on {run.placement.why}")
    return "\n".join(lines)
