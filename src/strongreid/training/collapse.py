"""Noticing a collapse: every picture gets the same feature, and the loss sits at its trivial value."""

from __future__ import annotations

PATIENCE = 2
"""Epochs in a row before it is said."""
FROM, TO = 0.98, 1.25
"""Shares of the trivial value between which a term counts as sitting on it. What learns falls below; a collapsed
network comes down to it from above and may take some epochs for the last tenth."""


def is_trivial(means: dict[str, float], trivial: dict[str, float]) -> bool:
    """Whether the epoch's mean terms sit at the values of a network that gives every picture the same feature.

    All must: early in training the identity loss alone is near ln(n), but the triplet loss is far above its margin.
    """
    return all(FROM * value <= means[name] <= TO * value for name, value in trivial.items())


def collapse_warning(means: dict[str, float], trivial: dict[str, float], epochs: int) -> str:
    """One message: what is seen, what it means, what to do."""
    seen = ", ".join(f"{name} {means[name]:.3f} (trivial: {value:.3f})" for name, value in trivial.items())
    return (
        f"warning: for {epochs} epochs the loss has sat at its trivial value: {seen}. The network gives every "
        "picture the same feature and is not learning. Start from ImageNet weights (--model.pretrained true or a "
        "file), use BNNeck (--model.neck bnneck), lower --optim.lr or lengthen --optim.warmup_epochs."
    )
