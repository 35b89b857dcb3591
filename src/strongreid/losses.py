"""The three losses of the paper: identity with label smoothing, batch-hard triplet, center (sections 3.3, 3.6)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from strongreid.model.network import Output

TripletUnits = Literal["plain", "spread"]
Gather = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def identity_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.1) -> Tensor:
    """Cross entropy of logits (b, n) against labels (b,); smoothing 0 is plain cross entropy (section 3.3)."""
    return F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)


def euclidean_distances(features: Tensor) -> Tensor:
    """All pairwise Euclidean distances (b, b) of features (b, d), in float32 whatever the input."""
    features = features.float()
    squares = features.square().sum(1)
    # Autocast would compute the product in bfloat16, whose rounding is larger than the margin.
    with torch.autocast(features.device.type, enabled=False):
        squared = squares[:, None] + squares - 2 * features @ features.T
    return squared.clamp(min=1e-12).sqrt()


def hardest(distances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each anchor: the distance of its farthest positive, of its nearest negative, and whether it has both; (b,).

    Masked, so right for any number of pictures per identity. Without a positive the first is -inf, without a negative
    the second is inf; every size is known beforehand, so that a GPU need not be waited for.
    """
    same = labels[:, None] == labels
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    farthest = distances.masked_fill(~positive, -math.inf).max(1).values
    nearest = distances.masked_fill(same, math.inf).min(1).values
    return farthest, nearest, positive.any(1) & ~same.all(1)


def batch_hard_triplet(features: Tensor, labels: Tensor, margin: float | None = 0.3) -> Tensor:
    """Batch-hard triplet loss of features (b, d) and labels (b,): the mean over anchors of max(0, margin + p - n).

    p is the distance of the farthest positive and n of the nearest negative (Hermans et al. 2017). `margin=None`
    is the soft margin log(1 + exp(p - n)). An anchor without a positive or a negative does not count; a batch in
    which none has both gives 0.
    """
    farthest, nearest, counts = hardest(euclidean_distances(features), labels)
    gap = farthest - nearest  # -inf where one is missing: no loss and no gradient
    losses = F.softplus(gap) if margin is None else F.relu(gap + margin)
    return losses.sum() / counts.sum().clamp(min=1)


def in_units_of_spread(features: Tensor) -> Tensor:
    """Features (b, d) about their mean, divided by the root mean square of their distances from it.

    A triplet loss of these can't be lowered by making all features smaller (docs/collapse.md).
    """
    centred = features.float() - features.float().mean(0)
    return centred / centred.square().sum(1).mean().clamp(min=1e-12).sqrt()


class CenterLoss(nn.Module):
    """(1/b) * sum ||f - c_y||^2 with one learned center per identity (section 3.6; no factor 1/2).

    `centers` (identities, dim) start as N(0, 1). Only the centers of the batch are touched: the cost does not grow
    with the number of identities.
    """

    def __init__(self, identities: int, dim: int) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.randn(identities, dim))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Unweighted loss of features (b, dim) and labels (b,)."""
        return (features.float() - self.centers[labels]).square().sum(1).mean()


class BagOfTricksLoss(nn.Module):
    """ID loss on the logits, triplet and center loss on the pooled feature f_t (paper equation 7)."""

    def __init__(
        self,
        identities: int,
        dim: int,
        *,
        label_smoothing: float = 0.1,
        margin: float | None = 0.3,
        triplet_weight: float = 1.0,
        center_weight: float = 0.0005,
        triplet_units: TripletUnits = "plain",
        gather: Gather | None = None,
    ) -> None:
        """`label_smoothing`, `triplet_weight` and `center_weight` are off at 0; `margin=None` is the soft margin.

        `triplet_units="spread"` measures the triplet loss `in_units_of_spread`, which the paper does not.
        `gather` brings features and labels of all processes together before triplets are formed.
        """
        super().__init__()
        self.gather = gather
        self.label_smoothing, self.margin = label_smoothing, margin
        self.triplet_weight, self.center_weight = triplet_weight, center_weight
        self.triplet_units = triplet_units
        self.center = CenterLoss(identities, dim) if center_weight else None

    def forward(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """The weighted terms `identity`, `triplet`, `center` whose sum is the loss; a term that is off is absent."""
        terms = {"identity": identity_loss(output.logits, labels, self.label_smoothing)}
        if self.triplet_weight:
            pooled, whose = (output.pooled, labels) if self.gather is None else self.gather(output.pooled, labels)
            if self.triplet_units == "spread":
                pooled = in_units_of_spread(pooled)
            terms["triplet"] = self.triplet_weight * batch_hard_triplet(pooled, whose, self.margin)
        if self.center is not None:
            terms["center"] = self.center_weight * self.center(output.pooled, labels)
        return terms

    def trivial(self, identities: int) -> dict[str, float]:
        """What `identity` and `triplet` are when every picture gets the same feature: ln(n) and the margin.

        In units of the spread the triplet loss has no such value.
        """
        values = {"identity": math.log(identities)}
        if self.triplet_weight and self.triplet_units == "plain":
            values["triplet"] = self.triplet_weight * (math.log(2) if self.margin is None else self.margin)
        return values
