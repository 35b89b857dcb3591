"""Model and losses as one module, so that several processes share the gradient of the centers too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from strongreid.errors import InputError
from strongreid.losses import BagOfTricksLoss
from strongreid.model.network import ReIDModel


class TrainingNetwork(nn.Module):
    """`network(images, labels)` gives the weighted terms of the loss."""

    def __init__(self, model: ReIDModel, criterion: BagOfTricksLoss, *, compiled: bool = False) -> None:
        super().__init__()
        self.model, self.criterion = model, criterion
        self._run = torch.compile(model.forward, dynamic=False) if compiled else model.forward

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Images (b, 3, h, w) and labels (b,) to `identity`, `triplet`, `center`."""
        with record_function("forward"):
            output = self._run(images)
        with record_function("losses"):
            terms: dict[str, Tensor] = self.criterion(output, labels)
        return terms


def enable_checkpointing(model: ReIDModel) -> None:
    """Keep only the inputs of the backbone's blocks for the backward pass, and compute the rest again there.

    Raises:
        InputError: the backbone can't.
    """
    try:
        model.backbone.set_grad_checkpointing(True)
    except (AttributeError, AssertionError) as error:
        name = model.settings["backbone"]
        raise InputError(
            f"backbone {name!r} can't recompute its activations: set model.checkpointing to false; "
            "batch.accumulate saves memory with any backbone."
        ) from error


@contextmanager
def statistics_kept(model: ReIDModel, recomputes: bool) -> Iterator[None]:
    """Around a backward pass that computes the forward pass again: batch statistics count only once."""
    modules = model.modules() if recomputes else ()
    norms = [m for m in modules if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None  # the statistics are read, and move by nothing
    try:
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum, norm.num_batches_tracked = momentum, count
