"""The learning rate as a pure function of the epoch: warm-up (trick 1, paper section 3.1), then steps or a cosine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal


def learning_rate(
    epoch: float,
    *,
    warmup_epochs: int = 10,
    schedule: Literal["step", "cosine"] = "step",
    milestones: Sequence[int] = (40, 70),
    gamma: float = 0.1,
    epochs: int = 120,
    length: float = 1.0,
) -> float:
    """Factor on the base learning rate for an epoch counted from 1, or for the step of `length` that ends at `epoch`.

    Epochs 1..`warmup_epochs`: epoch / warmup_epochs (the paper's text; its equation 3 misprints the base rate).
    After that, "step": gamma for every milestone passed; "cosine": from 1 to nearly 0 over the epochs that are left.
    A rate for every one of n steps in an epoch has `epoch` = epochs done + (step + 1) / n and `length` = 1 / n.
    """
    if epoch <= warmup_epochs:
        return epoch / warmup_epochs
    if schedule == "step":
        return gamma ** sum(epoch > milestone for milestone in milestones)
    share = (epoch - warmup_epochs - length) / max(1, epochs - warmup_epochs)
    return 0.5 * (1 + math.cos(math.pi * share))
