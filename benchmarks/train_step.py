"""The training step against the straightforward one, with equal losses.

    python benchmarks/train_step.py [BACKBONE HEIGHT WIDTH [STEPS [float32|bf16|auto [compiled] [alone]]]]

Straightforward is eager float32 in contiguous memory, one Adam group a parameter, center loss over the whole
distance matrix, pictures handed over ready. Both sides start from the same weights and take the same batches in turn,
each in a process of its own, since how freed memory is kept is a setting of a whole process; printed are medians
without the first two steps, spread, pictures a second, how far the losses are apart, and the share of the measured
convolution rate. Ours includes the batched augmentation of uint8 pictures. With `alone` the second side starts when
the first has ended: where memory is short, two sides disturb each other.
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from strongreid.data.batches import Batches
from strongreid.losses import BagOfTricksLoss, batch_hard_triplet, identity_loss
from strongreid.model.hardware import Placement, measured_peak, place
from strongreid.model.network import ReIDModel
from strongreid.training.optimizers import create_optimizers

IDENTITIES, PICTURES, WARM = 751, 3004, 2
Step = Callable[[torch.Tensor, torch.Tensor], float]


class FullMatrixCenterLoss(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.randn(IDENTITIES, dim))

    def forward(self, feature: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        squared = feature.square().sum(1, keepdim=True) + self.centers.square().sum(1) - 2 * feature @ self.centers.T
        mine = labels[:, None] == torch.arange(IDENTITIES)
        return (squared * mine).clamp(1e-12, 1e12).sum() / len(labels)


def straightforward(model: ReIDModel, centers: torch.Tensor) -> Step:
    center = FullMatrixCenterLoss(model.dim)
    center.centers.data = centers.clone()
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p], "lr": 3.5e-4, "weight_decay": 5e-4} for p in trained]
    optimizers = [torch.optim.Adam(groups), torch.optim.SGD(center.parameters(), lr=0.5)]

    def step(images: torch.Tensor, labels: torch.Tensor) -> float:
        images = images.contiguous(memory_format=torch.contiguous_format)
        output = model(images)
        loss = identity_loss(output.logits, labels) + batch_hard_triplet(output.pooled, labels)
        loss = loss + 0.0005 * center(output.pooled, labels)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        center.centers.grad *= 1 / 0.0005
        for optimizer in optimizers:
            optimizer.step()
        return loss.item()

    return step


def ours(model: ReIDModel, centers: torch.Tensor, placement: Placement) -> Step:
    model = placement.prepare(model)
    criterion = BagOfTricksLoss(IDENTITIES, model.dim)
    criterion.center.centers.data = centers.clone()
    optimizers = create_optimizers(model, criterion, lr=3.5e-4, weight_decay=5e-4, center_lr=0.5)

    run = torch.compile(model.forward, dynamic=False) if placement.compiled else model.forward

    def step(images: torch.Tensor, labels: torch.Tensor) -> float:
        with placement.autocast():
            terms = criterion(run(images), labels)
        loss = torch.stack(list(terms.values())).sum()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss.item()

    return step


def side(name: str, backbone: str, size: tuple[int, int], precision: str, compiled: bool, ends: Connection) -> None:
    """One side's process: takes a step whenever it is asked to, and answers with its loss and its seconds."""
    placement = place("cpu", precision, compiled=compiled, keep_memory="auto" if name == "ours" else False)
    pictures = np.random.default_rng(0).integers(0, 256, (PICTURES, *size, 3), dtype=np.uint8)
    batches = Batches(pictures, np.arange(PICTURES) % IDENTITIES).epoch(0)
    torch.manual_seed(0)
    model = ReIDModel(backbone, IDENTITIES, pretrained=False).train()
    centers = torch.randn(IDENTITIES, model.dim)
    step = ours(model, centers, placement) if name == "ours" else straightforward(model, centers)
    ends.send(placement.why)
    with placement.memory():
        while ends.recv():
            started = time.perf_counter()
            images, labels = next(batches)
            augmented = time.perf_counter()
            loss = step(images, labels)
            ends.send((loss, time.perf_counter() - (started if name == "ours" else augmented)))


def operations_of(backbone: str, size: tuple[int, int]) -> int:
    """Of a training step for one picture: forward once, backward twice as much."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        ReIDModel(backbone, IDENTITIES, pretrained=False).eval()(torch.zeros(1, 3, *size))
    return 3 * counter.get_total_flops()


def main() -> None:
    backbone = sys.argv[1] if len(sys.argv) > 1 else "resnet18"
    size = (int(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 3 else (128, 64)
    steps = int(sys.argv[4]) if len(sys.argv) > 4 else 20
    precision = sys.argv[5] if len(sys.argv) > 5 else "auto"
    names = ("straightforward", "ours")
    times: dict[str, list[float]] = {name: [] for name in names}
    losses: dict[str, list[float]] = {name: [] for name in names}
    peaks = []
    spawn = multiprocessing.get_context("spawn")
    for together in [(name,) for name in names] if "alone" in sys.argv else [names]:
        sides, processes = {}, []
        for name in together:
            sides[name], other = spawn.Pipe()
            given = (name, backbone, size, precision, "compiled" in sys.argv, other)
            processes.append(spawn.Process(target=side, args=given, daemon=True))
            processes[-1].start()
        why = [ends.recv() for ends in sides.values()][-1]
        for _ in range(steps):
            for name, ends in sides.items():
                ends.send(True)
                loss, seconds = ends.recv()
                losses[name].append(loss)
                times[name].append(seconds)
            peaks.append(measured_peak(place("cpu", "float32")))
        for ends in sides.values():
            ends.send(False)
        for process in processes:
            process.join()
    print(f"{backbone} {size[0]}x{size[1]}, batch 64, {why}, torch {torch.__version__}")
    peak, operations = statistics.median(peaks), operations_of(backbone, size)
    for name, all_seconds in times.items():
        seconds = all_seconds[WARM:]
        middle = statistics.median(seconds)
        print(
            f"{name:16s} {middle:6.3f} s ({min(seconds):.3f} to {max(seconds):.3f})  {64 / middle:6.1f} pictures/s, "
            f"{operations * 64 / middle / peak:.0%} of the float32 convolution's {peak / 1e9:.0f} GFLOP/s"
        )
    ratio = statistics.median(a / b for a, b in zip(*(times[name][WARM:] for name in names), strict=True))
    print(f"ours is {ratio:.2f} times faster, median of {steps - WARM} pairs")
    apart = [abs(b / a - 1) for a, b in zip(*losses.values(), strict=True)]
    print(f"losses apart: {max(apart[:3]):.1e} in the first three steps, {max(apart):.1e} in all {steps}")


if __name__ == "__main__":
    main()
