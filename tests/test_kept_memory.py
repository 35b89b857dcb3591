import subprocess
import sys

import pytest

from strongreid import kept_memory
from strongreid.kept_memory import can_keep, memory_kept

FAULTS = """
import resource
import numpy as np
from strongreid.kept_memory import memory_kept

def faults(times=8, size=64 << 20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.empty(size, np.uint8)[::4096] = 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

usual = faults()
with memory_kept(False):
    unwanted = faults()
with memory_kept():
    faults(1)
    kept, held = faults(), resident()
print(usual, unwanted, kept, faults(), held - resident())
"""


@pytest.mark.skipif(not can_keep() or sys.platform != "linux", reason="needs glibc")
def test_freed_memory_is_kept_within_and_given_back_after():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    usual, unwanted, kept, after, given_back = map(int, done.stdout.split())
    assert usual > 8
    assert unwanted > usual / 2
    assert kept < usual / 8
    assert after > usual / 2
    assert given_back > 32 << 20


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(kept_memory, "can_keep", lambda: False)
    monkeypatch.setattr(kept_memory.ctypes, "CDLL", lambda *_: pytest.fail("asked for the library"))
    with memory_kept():
        pass


def test_it_is_given_back_after_an_error(monkeypatch):
    calls = []
    monkeypatch.setattr(kept_memory, "can_keep", lambda: True)
    monkeypatch.setattr(kept_memory, "_set", lambda _, values: calls.append(values))
    with pytest.raises(ValueError), memory_kept():
        raise ValueError
    assert calls == [kept_memory._KEEPING, kept_memory._USUAL]
