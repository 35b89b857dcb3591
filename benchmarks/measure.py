"""What the benchmarks share: alternating timings, and peak memory as the operating system counts it."""

import gc
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch


def alternate(sides: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, list[float]]:
    """Seconds of every side, in turn, `runs` times: what disturbs one side disturbs its neighbour."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, side in sides.items():
            gc.collect()
            began = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def peak_megabytes(work: Callable[[], Any]) -> float:
    """Most resident memory above what was there before, while `work` ran (Linux: /proc, reset by clear_refs)."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = _kilobytes("VmRSS")
    work()
    return (_kilobytes("VmHWM") - before) / 1024


def line(name: str, seconds: list[float], extra: str = "") -> str:
    """A row of a table: median, and the range of the runs."""
    middle = statistics.median(seconds)
    return f"{name:<44} {middle:9.3f} s  ({min(seconds):.3f} to {max(seconds):.3f}, {len(seconds)} runs)  {extra}"


def machine() -> str:
    """Processor, cores and versions, for the head of a result."""
    rows = Path("/proc/cpuinfo").read_text().splitlines()
    names = [row.split(":")[1].strip() for row in rows if row.startswith("model name")]
    return (
        f"{names[0] if names else platform.machine()}, {len(names)} cores, {torch.get_num_threads()} torch threads, "
        f"Python {platform.python_version()}, numpy {np.__version__}, torch {torch.__version__}"
    )


def _kilobytes(field: str) -> int:
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith(f"{field}:"))
