"""The learning rate as a pure function of the epoch: warm-up (trick 1, paper section 3.1), then steps or a cosine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal


def learning_rate(
    epoch: int,
    *,
    warmup_epochs: int = 10,
    schedule: Literal["step", "cosine"] = "step",
    milestones: Sequence[int] = (40, 70),
    gamma: float = 0.1,
    epochs: int = 120,
) -> float:
    """Factor on the base learning rate for an epoch counted from 1.

    Epochs 1..`warmup_epochs`: epoch / warmup_epochs (the paper's text; its equation 3 misprints the base rate).
    After that, "step": gamma for every milestone passed; "cosine": from 1 to nearly 0 over the epochs that are left.
    """
    if epoch <= warmup_epochs:
        return epoch / warmup_epochs
    if schedule == "step":
        return gamma ** sum(epoch > milestone for milestone in milestones)
    share = (epoch - warmup_epochs - 1) / max(1, epochs - warmup_epochs)
    return 0.5 * (1 + math.cos(math.pi * share))
