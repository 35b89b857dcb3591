"""Memory that a step has freed stays with the process, ready for the next step.

A step of training, or a picture of the generated world.

glibc hands large freed blocks back to the operating system and gets them again zeroed, page by page. A training step
on a CPU frees and takes all its maps, gigabytes of them: of ResNet-50 at 256 x 128 that is a million page faults a
step, a sixth of its time (benchmarks/train_step.py).
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h
_NEVER = -1
_USUAL = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 128 << 10, _TOP_PAD: 128 << 10}
_KEEPING = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER, _TOP_PAD: 64 << 20}


def can_keep() -> bool:
    """Whether the C library is the one that has these settings."""
    return platform.libc_ver()[0] == "glibc"


def keep_memory() -> None:
    """From now on the process keeps what it frees, where the C library can."""
    if can_keep():
        _set(ctypes.CDLL(None), _KEEPING)


@contextmanager
def memory_kept(wanted: bool = True) -> Iterator[None]:
    """Within it the process keeps what it frees; afterwards it gives it back, and the usual settings hold.

    The settings are the whole process's. Its size then never falls below the largest so far, which training
    reaches in its first steps anyhow. Nothing happens where `wanted` is false or the C library is another.
    """
    if not (wanted and can_keep()):
        yield
        return
    keep_memory()
    try:
        yield
    finally:
        libc = ctypes.CDLL(None)
        _set(libc, _USUAL)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, values: dict[int, int]) -> None:
    for name, value in values.items():
        libc.mallopt(name, value)
