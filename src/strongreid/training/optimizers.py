"""The optimisers of the recipe: Adam for the network, plain SGD for the centers."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, Adam, Optimizer

from strongreid.losses import BagOfTricksLoss


def create_optimizers(
    model: nn.Module, criterion: BagOfTricksLoss, *, lr: float, weight_decay: float, center_lr: float
) -> list[Optimizer]:
    """Adam on the model and, where the center loss is on, SGD on the centers, in this order.

    The centers learn from the unweighted loss (paper section 3.6): under plain SGD that is the weighted loss's
    gradient with the rate divided by the weight, so one backward pass serves both.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # One group and the fused kernel: one pass over the weights instead of hundreds of small ones.
    optimizers: list[Optimizer] = [Adam(trainable, lr=lr, weight_decay=weight_decay, fused=True)]
    if criterion.center is not None:
        optimizers.append(SGD(criterion.center.parameters(), lr=center_lr / criterion.center_weight))
    return optimizers


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Give every group of the optimizer the rate `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = lr
