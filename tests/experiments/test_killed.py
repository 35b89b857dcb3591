"""An experiment killed at random moments and finished gives what an unbroken one gives."""

import contextlib
import os
import random
import signal
import time
import warnings

import pytest

from strongreid.cli import main

KILLS = int(os.environ.get("STRONGREID_KILLS", "3"))
"""More of them, by hand."""
SIZES = ("--sizes", "64x32", "32x32", "--seeds", "2", "--optim.epochs", "3", "--eval.every", "1")


def begin(words):
    """The command in a process forked from this one, which has torch loaded already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads; we leave by _exit
        child = os.fork()
    if child:
        return child
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    code = 70
    with contextlib.suppress(BaseException):
        code = main(words)
    os._exit(code)


def results(experiment):
    cells = [cell for row in experiment.rows for cell in row.cells]
    return {(cell.row, cell.seed, cell.test_set): cell.path.read_text() for cell in cells}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_random_moments_it_ends_with_the_same_table(call, recipe, sets, tmp_path):
    began = time.perf_counter()
    whole = call("image-size", tmp_path / "whole", *SIZES)
    seconds = time.perf_counter() - began
    draw = random.Random(time.time_ns())
    broken = tmp_path / "broken"
    words = ["experiment", "image-size", "--config", str(recipe), "--output", str(broken), "--quiet", *SIZES]
    words += ["--sets", f"a={sets['a']}"]
    moments = []
    while len(moments) < KILLS:
        child = begin(words)
        moments.append(draw.uniform(0, 1.2 * seconds / KILLS))
        time.sleep(moments[-1])
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    found = call("image-size", broken, *SIZES)
    assert (broken / "table.txt").read_text() == (whole.folder / "table.txt").read_text(), moments
    assert results(found) == results(whole), moments
    for name in {cell.run.name for row in whole.rows for cell in row.cells}:
        weights = [(one.folder / "runs" / name / "last/model.safetensors").read_bytes() for one in (found, whole)]
        assert weights[0] == weights[1], (name, moments)
    left = [path for path in broken.rglob(".*") if path.name != ".lock"]
    assert not left
