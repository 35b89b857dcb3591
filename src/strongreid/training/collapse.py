"""Noticing a collapse: every picture gets the same feature, and the loss sits at its trivial value."""

from __future__ import annotations

PATIENCE, PATIENCE_ALONE = 2, 5
"""Epochs in a row before it is said; the second where there is no triplet loss. The ID loss alone sits near ln(n) for
some epochs of a run that learns later (docs/collapse.md)."""
FROM, TO = 0.98, 1.25
"""Shares of the trivial value between which a term counts as sitting on it. What learns falls below; a collapsed
network comes down to it from above and may take some epochs for the last tenth."""


def is_trivial(means: dict[str, float], trivial: dict[str, float]) -> bool:
    """Whether the epoch's mean terms sit at the values of a network that gives every picture the same feature.

    All must: early in training the identity loss alone is near ln(n), but the triplet loss is far above its margin.
    """
    return all(FROM * value <= means[name] <= TO * value for name, value in trivial.items())


def is_due(epochs: int, trivial: dict[str, float]) -> bool:
    """Whether to say it after so many `epochs` in a row: once, and again every ten."""
    return epochs % 10 == (PATIENCE if len(trivial) > 1 else PATIENCE_ALONE)


def collapse_warning(means: dict[str, float], trivial: dict[str, float], epochs: int, neck: str) -> str:
    """One message: what is seen, what it means, what to do; `neck` is the model's.

    Without BNNeck the remedy is BNNeck: what else was tried is in docs/collapse.md.
    """
    seen = ", ".join(f"{name} {means[name]:.3f} (trivial: {value:.3f})" for name, value in trivial.items())
    remedy = (
        "Without BNNeck the triplet loss shrinks the features before the ID loss has learnt from them: use BNNeck "
        "(--model.neck bnneck), or start from ImageNet weights (--model.pretrained true or a file). A lower learning "
        "rate or a longer warm-up did not help where it was tried (docs/collapse.md)."
        if neck == "none"
        else "Start from ImageNet weights (--model.pretrained true or a file), lower --optim.lr or lengthen "
        "--optim.warmup_epochs."
    )
    return (
        f"warning: for {epochs} epochs the loss has sat at its trivial value: {seen}. The network gives every "
        f"picture the same feature and is not learning. {remedy}"
    )
