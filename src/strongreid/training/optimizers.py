"""The optimisers of the recipe: Adam for the network, plain SGD for the centers; AdamW, SGD and averaged weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from strongreid.losses import BagOfTricksLoss

Algorithm = Literal["adam", "adamw", "sgd"]


def create_optimizers(
    model: nn.Module,
    criterion: BagOfTricksLoss,
    *,
    lr: float,
    weight_decay: float,
    center_lr: float,
    algorithm: Algorithm = "adam",
    momentum: float = 0.9,
) -> list[Optimizer]:
    """The model's optimiser and, where the center loss is on, SGD on the centers, in this order.

    "adam" (the paper) and "sgd" couple the weight decay to the gradient, "adamw" does not; `momentum` is SGD's.

    The centers learn from the unweighted loss (paper section 3.6): under plain SGD that is the weighted loss's
    gradient with the rate divided by the weight, so one backward pass serves both.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # One group and the fused kernel: one pass over the weights instead of hundreds of small ones.
    choices: dict[Algorithm, Callable[[], Optimizer]] = {
        "adam": lambda: Adam(trainable, lr=lr, weight_decay=weight_decay, fused=True),
        "adamw": lambda: AdamW(trainable, lr=lr, weight_decay=weight_decay, fused=True),
        "sgd": lambda: SGD(trainable, lr=lr, weight_decay=weight_decay, momentum=momentum, fused=True),
    }
    optimizers = [choices[algorithm]()]
    if criterion.center is not None:
        optimizers.append(SGD(criterion.center.parameters(), lr=center_lr / criterion.center_weight))
    return optimizers


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Give every group of the optimizer the rate `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def average_weights(model: nn.Module, decay: float) -> AveragedModel | None:
    """A moving average of the model's weights and statistics, to be told of every step; None where `decay` is 0.

    `averaged.update_parameters(model)` after a step, `averaged.module` is the averaged model. The first call copies.
    """
    if not decay:
        return None
    blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=blend, use_buffers=True)
