"""What is said when memory runs out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from strongreid.errors import InputError
from strongreid.losses import BagOfTricksLoss
from strongreid.model.hardware import place
from strongreid.model.network import ReIDModel
from strongreid.training import loop, memory
from strongreid.training.memory import advice, batch_that_fits, bytes_kept, bytes_per_picture, is_out_of_memory
from strongreid.training.network import TrainingNetwork

CPU = place("cpu", "float32", winograd=False)


class OneReLU(nn.Module):
    """Keeps its output, and nothing else, for the backward pass."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images, labels):
        return {"loss": (images + self.scale).relu().sum() + 0 * labels.sum()}


def test_kept_bytes_are_those_of_the_activations():
    network = OneReLU()
    assert bytes_kept(network, torch.zeros(2, 3, 8, 4), torch.zeros(2), CPU) == 2 * 3 * 8 * 4 * 4
    assert bytes_per_picture(network, CPU, 8, 4) == 3 * 8 * 4 * 4


def test_what_fits_follows_from_the_free_memory(monkeypatch):
    network = TrainingNetwork(ReIDModel("resnet10_w16", 4, pretrained=False), BagOfTricksLoss(4, 128))
    each = bytes_per_picture(network.train(), CPU, 64, 32)
    weights = 4 * sum(parameter.numel() for parameter in network.parameters())
    monkeypatch.setattr(memory, "free_memory", lambda: 3 * weights + int(40.01 * each / 0.85))
    assert batch_that_fits(network, CPU, (64, 32), 4) == 10
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    assert batch_that_fits(network, CPU, (64, 32), 4) == 0


@pytest.mark.parametrize(
    ("fits", "accumulate", "says"),
    [
        (8, 1, "--batch.identities 8 or --batch.accumulate 2 (the same batch in 2 parts)"),
        (5, 1, "--batch.identities 5 or --batch.accumulate 4"),
        (5, 4, "--batch.identities 5 or --batch.accumulate 8"),
        (1, 1, "not even 2 identities x 4 pictures would fit"),
    ],
)
def test_the_advice_names_flags_that_fit(fits, accumulate, says):
    assert says in advice(fits, 16, 4, accumulate)


def test_torch_s_ways_of_saying_it_are_known():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for the convolution"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_run_that_needs_too_much_says_what_would_fit(market, tmp_path, monkeypatch):
    from tests.training.test_loop import configure

    def full(self, images):
        raise torch.OutOfMemoryError("CUDA out of memory")

    forward = ReIDModel.forward
    calls = []

    def some(self, images):
        calls.append(len(images))
        return full(self, images) if self.training and len(calls) < 9 and len(images) > 4 else forward(self, images)

    monkeypatch.setattr(ReIDModel, "forward", some)
    config = configure(market, tmp_path / "run", batch={"identities": 4, "images": 2})
    with pytest.raises(InputError, match=r"out of memory: about \d+ identities x 2 pictures would fit"):
        loop.train(config, progress=False)


LIMITED = """
import resource, sys
from strongreid.config import *
from strongreid.errors import InputError
from strongreid.training.loop import train
import torch, dataclasses
from tests.training.test_loop import configure
torch.zeros(1)
config = configure(sys.argv[1], sys.argv[2], batch={"identities": 4, "images": 16}, data={
    "root": sys.argv[1], "height": 256, "width": 128}, model={"backbone": "resnet18", "pretrained": False})
from strongreid.training import loop
begin = loop.RunLog.begin_epoch
def limit(self, *a):
    used = int(open("/proc/self/statm").read().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (used + (700 << 20),) * 2)
    begin(self, *a)
loop.RunLog.begin_epoch = limit
try:
    train(config, progress=False)
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited through Linux")
def test_a_real_shortage_on_a_cpu_is_told_with_sizes(market, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIMITED, str(market), str(tmp_path / "run")],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(Path.cwd())}, timeout=300,
    )  # fmt: skip
    assert done.stdout.startswith("out of memory: "), done.stderr[-2000:]
    assert "--batch.accumulate" in done.stdout or "would fit" in done.stdout
