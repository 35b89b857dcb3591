"""What this machine gives to evaluation: free memory, the fastest float32 product, a device."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError

Product = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]], None]
"""(b, d), (g, d) -> (b, g) inner products, written into the third argument."""
WORTH_AN_IMPORT = 1e12
"""Multiplications for which importing torch (seconds) pays, where it is installed and not yet there."""
_UNKNOWN = 1 << 30  # bytes taken as free where the system does not say


def free_memory() -> int:
    """Bytes that this process may still take: what the system has, its control group and `ulimit -v` leave."""
    limits = [_available(), _address_space()]
    group = Path("/sys/fs/cgroup")
    for most, used in (
        (group / "memory.max", group / "memory.current"),
        (group / "memory/memory.limit_in_bytes", group / "memory/memory.usage_in_bytes"),
    ):
        try:
            limits.append(int(most.read_text()) - int(used.read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return max(0, min(limits))


def fastest_product(multiplications: float = 0) -> Product:
    """The float32 product to use for this much work.

    On CPUs with AVX-512, oneDNN's product, which torch reaches through `linear`, beats numpy's BLAS by half; on those
    without, numpy's is the faster (`benchmarks/evaluation.py` prints both). So torch's is taken where the CPU has
    AVX-512 and torch is loaded anyhow or the work is large. The choice never depends on a timing, so that a run can
    be repeated to the last bit.
    """
    if _has_avx512() and (_torch_is_loaded() or (multiplications > WORTH_AN_IMPORT and find_spec("torch"))):
        from strongreid.evaluation.on_device import linear_product

        return linear_product
    return _numpy_product


def accelerator(device: str) -> str | None:
    """The torch device to rank on, or None for numpy on the CPU.

    Args:
        device: "auto" takes a CUDA device where torch is loaded and sees one; "cpu"; or any torch device.

    Raises:
        InputError: the device is unknown or absent, or torch is.
    """
    if device == "cpu" or (device == "auto" and not _torch_is_loaded()):
        return None
    if find_spec("torch") is None:
        raise InputError(f"device {device!r} needs torch: pip install 'strongreid[train]', or take device 'cpu'.")
    from strongreid.evaluation.on_device import usable_device

    return usable_device(device)


@cache
def _has_avx512() -> bool:
    """Whether Linux lists it; elsewhere numpy's product is taken."""
    try:
        return " avx512f " in f"{Path('/proc/cpuinfo').read_text()} ".replace("\n", " ")
    except OSError:
        return False


def _torch_is_loaded() -> bool:
    return sys.modules.get("torch") is not None


def _numpy_product(
    query: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32], out: npt.NDArray[np.float32]
) -> None:
    np.matmul(query, gallery.T, out=out)


def _address_space() -> int:
    """Bytes of address space left, where it is limited and Linux says how much is taken."""
    try:
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError, ValueError):
        return sys.maxsize
    return sys.maxsize if most == resource.RLIM_INFINITY else most - pages * resource.getpagesize()


def _available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return _UNKNOWN
