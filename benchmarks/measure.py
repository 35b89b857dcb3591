"""What the benchmarks share: alternating runs, timed, with peak memory as the operating system counts it."""

import gc
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass
class Side:
    """The runs of one side."""

    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    """Most resident memory above what was there before the run."""
    value: Any = None
    """What the last run returned."""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def alternate(
    sides: Mapping[str, Callable[[], Any]], runs: int, slow: str = "", slow_runs: int = 0
) -> dict[str, Side]:
    """Run every side in turn, `runs` times: what disturbs one side disturbs its neighbour. Linux only (/proc).

    The `slow` side, which takes minutes, runs `slow_runs` times.
    """
    measured = {name: Side() for name in sides}
    for number in range(runs):
        for name, work in sides.items():
            side = measured[name]
            if name == slow and number >= slow_runs:
                continue
            side.value = None
            gc.collect()
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
            before = _kilobytes("VmRSS")
            began = time.perf_counter()
            side.value = work()
            side.seconds.append(time.perf_counter() - began)
            side.megabytes.append((_kilobytes("VmHWM") - before) / 1024)
    for name, side in measured.items():
        spread = f"{min(side.seconds):.2f} to {max(side.seconds):.2f}, {len(side.seconds)} runs"
        print(f"{name:<40} {side.median:9.2f} s  ({spread})  {max(side.megabytes):8,.0f} MB above what was there")
    return measured


def machine() -> str:
    """Processor, cores and versions, for the head of a result."""
    rows = Path("/proc/cpuinfo").read_text().splitlines()
    names = [row.split(":")[1].strip() for row in rows if row.startswith("model name")]
    return (
        f"{names[0] if names else platform.machine()}, {len(names)} cores, {torch.get_num_threads()} torch threads, "
        f"Python {platform.python_version()}, numpy {np.__version__}, torch {torch.__version__}"
    )


def _kilobytes(name: str) -> int:
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith(f"{name}:"))
