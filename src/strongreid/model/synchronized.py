"""Batch normalisation over the batch of all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn

from strongreid.errors import InputError


def synchronize_batch_norm(model: nn.Module, device: torch.device) -> None:
    """Let every batch normalisation of `model` use the statistics of all processes' batches, in place.

    On a GPU these are torch's, which have no CPU side; there a plain one of our own stands in. Parameters and
    statistics keep their names, so that saved models do not differ.

    Raises:
        InputError: on a CPU, a normalisation that is more than one (timm's fused ones).
    """
    if device.type == "cuda":
        for name, child in model.named_children():
            setattr(model, name, convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]
        return
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if type(module).forward is not nn.modules.batchnorm._BatchNorm.forward:
                raise InputError(
                    f"batch.sync_bn on a CPU knows plain batch normalisations only, and {name} is a "
                    f"{type(module).__name__}: set it to false, or train on GPUs."
                )
            module.__class__ = _synchronized(type(module))  # type: ignore[assignment]


def _synchronized(kind: type[nn.Module]) -> type[nn.Module]:
    """A class like `kind` whose forward pass is synchronised."""
    return type(f"Synchronized{kind.__name__}", (_Synchronized, kind), {})


class _Synchronized:
    """Two sums over all processes, with gradient: one for the mean, one for the variance around it."""

    def forward(self: Any, images: Tensor) -> Tensor:
        """(b, c, ...) to the same shape."""
        if not self.training:
            normalized: Tensor = super().forward(images)  # type: ignore[misc]
            return normalized
        dims = [d for d in range(images.ndim) if d != 1]
        shape = [1, -1] + [1] * (images.ndim - 2)
        values = images.float()
        count = values.numel() // values.shape[1] * dist.get_world_size()
        mean = _Sum.apply(values.sum(dims)) / count
        centered = values - mean.view(shape)
        variance = _Sum.apply(centered.square().sum(dims)) / count
        if self.track_running_stats:
            with torch.no_grad():
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked.add_(1)
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        result: Tensor = centered * scale.view(shape) + self.bias.view(shape)
        return result.to(images.dtype)


class _Sum(torch.autograd.Function):
    """The sum over the processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004
        values = values.clone()
        dist.all_reduce(values)
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ARG004
        total = grads[0].clone()
        dist.all_reduce(total)
        return total
