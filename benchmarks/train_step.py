"""The training step against the straightforward one.

    python benchmarks/train_step.py [BACKBONE] [HEIGHT] [WIDTH]

Straightforward is eager float32 in contiguous memory, one Adam group a parameter, center loss over the whole
distance matrix, pictures handed over ready. Both sides alternate in one run on the same batch; printed are medians,
spread, and pictures a second. Ours includes the batched augmentation of uint8 pictures.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from strongreid.data.batches import Batches
from strongreid.losses import BagOfTricksLoss, batch_hard_triplet, identity_loss
from strongreid.model.hardware import place
from strongreid.model.network import ReIDModel
from strongreid.training.optimizers import create_optimizers

IDENTITIES, PICTURES, RUNS, WARM = 751, 3004, 7, 2


class FullMatrixCenterLoss(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.randn(IDENTITIES, dim))

    def forward(self, feature: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        squared = feature.square().sum(1, keepdim=True) + self.centers.square().sum(1) - 2 * feature @ self.centers.T
        mine = labels[:, None] == torch.arange(IDENTITIES)
        return (squared * mine).clamp(1e-12, 1e12).sum() / len(labels)


def straightforward(backbone: str) -> Callable[[torch.Tensor, torch.Tensor], None]:
    model = ReIDModel(backbone, IDENTITIES, pretrained=False).train()
    center = FullMatrixCenterLoss(model.dim)
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p], "lr": 3.5e-4, "weight_decay": 5e-4} for p in trained]
    optimizers = [torch.optim.Adam(groups), torch.optim.SGD(center.parameters(), lr=0.5)]

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        output = model(images)
        loss = identity_loss(output.logits, labels) + batch_hard_triplet(output.pooled, labels)
        loss = loss + 0.0005 * center(output.pooled, labels)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        center.centers.grad *= 1 / 0.0005
        for optimizer in optimizers:
            optimizer.step()
        loss.item()

    return step


def ours(backbone: str) -> Callable[[torch.Tensor, torch.Tensor], None]:
    placement = place("cpu")
    model = placement.prepare(ReIDModel(backbone, IDENTITIES, pretrained=False)).train()
    criterion = BagOfTricksLoss(IDENTITIES, model.dim)
    optimizers = create_optimizers(model, criterion, lr=3.5e-4, weight_decay=5e-4, center_lr=0.5)

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        with placement.autocast():
            terms = criterion(model(images), labels)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        for optimizer in optimizers:
            optimizer.step()

    return step


def main() -> None:
    backbone = sys.argv[1] if len(sys.argv) > 1 else "resnet18"
    height, width = (int(value) for value in (sys.argv[2:4] if len(sys.argv) > 3 else (128, 64)))
    pictures = np.random.default_rng(0).integers(0, 256, (PICTURES, height, width, 3), dtype=np.uint8)
    batches = Batches(pictures, np.arange(PICTURES) % IDENTITIES).epoch(0)
    steps = {"straightforward": straightforward(backbone), "ours": ours(backbone)}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(WARM + RUNS):
        started = time.perf_counter()
        images, labels = next(batches)
        augmenting = time.perf_counter() - started
        for name, step in steps.items():
            ready = images if name == "ours" else images.contiguous(memory_format=torch.contiguous_format)
            started = time.perf_counter()
            step(ready, labels)
            times[name].append(time.perf_counter() - started + (augmenting if name == "ours" else 0))
    print(f"{backbone} {height}x{width}, batch 64, {place('cpu').why}, torch {torch.__version__}")
    for name, all_seconds in times.items():
        seconds = all_seconds[WARM:]
        middle = statistics.median(seconds)
        print(f"{name:16s} {middle:6.3f} s ({min(seconds):.3f} to {max(seconds):.3f})  {64 / middle:6.1f} pictures/s")
    ratio = statistics.median(b / a for a, b in zip(*(times[n][WARM:] for n in steps), strict=True))
    print(f"ours / straightforward, median of pairs: {ratio:.3f}")


if __name__ == "__main__":
    main()
