"""One short training run in which everything that could explain a collapse is measured, and one cause changed.

The loop is that of `strongreid.training`, taken apart: the same model, batches, losses and optimiser. `Trial` says
what is changed. Nothing of it is in the library, since most of it is no setting that anybody should want.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from strongreid.data.augment import Augmentation
from strongreid.data.batches import Batches
from strongreid.data.images import DecodedStore
from strongreid.data.readers import read_dataset
from strongreid.evaluation import evaluate
from strongreid.extraction import feature_table
from strongreid.extraction.torch_network import forward
from strongreid.losses import batch_hard_triplet, euclidean_distances, hardest, identity_loss, in_units_of_spread
from strongreid.model.hardware import place
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec
from strongreid.training.optimizers import set_learning_rate
from strongreid.training.schedule import learning_rate

MARGIN = 0.3

Neck = Literal["none", "bnneck", "centred", "one scale", "fixed scale"]
Triplet = Literal["plain", "soft", "unit length", "relative", "no shrinking", "only shrinking"]


@dataclass(frozen=True)
class Trial:
    """What is trained; the defaults are the ladder's row "+ random erasing" of the preset `tiny`."""

    backbone: str = "resnet10_w16"
    last_stride: Literal[1, 2] = 2
    epochs: int = 4
    lr: float = 2e-3
    warmup: int = 1
    schedule_epochs: int = 16
    """Of the cosine, of which the trial runs the beginning."""
    erasing: float = 0.5
    label_smoothing: float = 0.0
    neck: Neck = "none"
    classifier: float | Literal["recipe", "torch"] = "recipe"
    """How it starts: the recipe's 0.001 with BNNeck and as torch does without; or a standard deviation."""
    bias: bool | None = None
    """Of the classifier; None: without BNNeck only."""
    triplet: Triplet = "plain"
    triplet_weight: float = 1.0
    triplet_from: int = 0
    """Epochs without triplet loss."""
    weight_decay: float = 5e-4
    algorithm: Literal["adam", "adamw"] = "adam"
    clip: float = 0.0
    last_relu: bool = True


class Neckline(nn.Module):
    """What the classifier sees of the pooled feature: parts of a batch normalisation."""

    def __init__(self, kind: Neck, dim: int) -> None:
        super().__init__()
        self.kind, self.scale = kind, 0.0
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("spread", torch.ones(dim))

    def forward(self, pooled: Tensor) -> Tensor:
        if not self.training:
            return self.normalised(pooled, self.mean, self.spread)
        mean, spread = pooled.mean(0), pooled.var(0).add(1e-5).sqrt()
        with torch.no_grad():
            self.mean.lerp_(mean, 0.1)
            self.spread.lerp_(spread, 0.1)
        if not self.scale:
            self.scale = float(spread.detach().square().mean().sqrt())
        return self.normalised(pooled, mean, spread)

    def normalised(self, pooled: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
        if self.kind == "centred":
            return pooled - mean
        if self.kind == "one scale":
            return (pooled - mean) / spread.square().mean().sqrt()
        return (pooled - mean) / self.scale  # "fixed scale": that of the first batch


def build(trial: Trial, identities: int, size: tuple[int, int], seed: int) -> ReIDModel:
    torch.manual_seed(seed)
    neck: Any = "none" if trial.neck == "none" else "bnneck"
    model = ReIDModel(trial.backbone, identities, trial.last_stride, neck, pretrained=False, image_size=size)
    if trial.neck not in ("none", "bnneck"):
        model.neck = Neckline(trial.neck, model.dim)
    bias = trial.neck == "none" if trial.bias is None else trial.bias
    if trial.classifier != "recipe" or bias != (trial.neck == "none"):
        model.classifier = nn.Linear(model.dim, identities, bias=bias)
    std = 0.001 if trial.classifier == "recipe" and trial.neck != "none" else trial.classifier
    if isinstance(std, float):
        nn.init.normal_(classifier_of(model).weight, std=std)
    if not trial.last_relu:
        model.backbone.layer4[-1].act2 = nn.Identity()
    return model


def classifier_of(model: ReIDModel) -> nn.Linear:
    assert model.classifier is not None
    return model.classifier


class Shrinking(torch.autograd.Function):
    """The features as they are; of their gradient, only (or all but) the part that scales them about their mean."""

    @staticmethod
    def forward(ctx: Any, pooled: Tensor, keep: bool) -> Tensor:
        ctx.save_for_backward(pooled - pooled.mean(0))
        ctx.keep = keep
        return pooled.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (centred,) = ctx.saved_tensors
        scaling = (gradient * centred).sum() / centred.square().sum().clamp(min=1e-20) * centred
        return (scaling if ctx.keep else gradient - scaling), None


def triplet_loss(kind: Triplet, pooled: Tensor, labels: Tensor) -> Tensor:
    if kind == "soft":
        return batch_hard_triplet(pooled, labels, None)
    if kind == "unit length":
        return batch_hard_triplet(nn.functional.normalize(pooled), labels, MARGIN)
    if kind == "relative":  # in units of the batch's spread: no scale is better than another
        return batch_hard_triplet(in_units_of_spread(pooled), labels, MARGIN)
    if kind in ("no shrinking", "only shrinking"):
        pooled = Shrinking.apply(pooled, kind == "only shrinking")
    return batch_hard_triplet(pooled, labels, MARGIN)


def optimizer_of(trial: Trial, model: ReIDModel) -> torch.optim.Optimizer:
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    kind = torch.optim.Adam if trial.algorithm == "adam" else torch.optim.AdamW
    return kind(learning, lr=trial.lr, weight_decay=trial.weight_decay, fused=True)


class Data:
    """Decoded pictures of one data set in one size."""

    def __init__(self, root: Path, size: tuple[int, int], keep: Path) -> None:
        dataset = read_dataset("market1501", root)
        self.size = size
        splits = {"train": dataset.train, "query": dataset.query, "gallery": dataset.gallery}
        self.train, self.query, self.gallery = (
            DecodedStore.build(records, *size, keep / name) for name, records in splits.items()
        )

    def batches(self, trial: Trial, seed: int) -> Batches:
        identities = np.array([record.identity for record in self.train.records], dtype=np.int64)
        augmentation = Augmentation(pad=10 * self.size[0] // 256, erasing=trial.erasing)
        return Batches(self.train.pictures, identities, augmentation=augmentation, seed=seed)


def start(trial: Trial, data: Data, seed: int) -> tuple[Batches, ReIDModel, torch.optim.Optimizer]:
    torch.set_num_threads(1)
    batches = data.batches(trial, seed)
    model = place("cpu", "float32").prepare(build(trial, batches.identities, data.size, seed))
    model.train()
    return batches, model, optimizer_of(trial, model)


def run(trial: Trial, data: Data, seed: int) -> dict[str, Any]:
    """Train; what was measured at each step, and mAP afterwards."""
    batches, model, optimizer = start(trial, data, seed)
    branches = Branches(model)
    steps: list[dict[str, float]] = []
    for epoch in range(trial.epochs):
        set_learning_rate(optimizer, trial.lr * factor_of(trial, epoch))
        weight = trial.triplet_weight if epoch >= trial.triplet_from else 0.0
        for images, labels in batches.epoch(epoch):
            rarely = len(steps) % 10 == 0
            branches.watching = rarely
            identity, triplet, row = forward_pass(trial, model, images, labels, weight, rarely)
            optimizer.zero_grad(set_to_none=True)
            (identity + weight * triplet).backward()
            if rarely:
                row |= gradients_by_part(model) | {"cancels": branches.correlation()}
            if trial.clip:
                nn.utils.clip_grad_norm_(model.parameters(), trial.clip)
            optimizer.step()
            steps.append({"epoch": epoch} | {name: float(f"{value:.5g}") for name, value in row.items()})
    return {"steps": steps, "identities": batches.identities, "per_epoch": len(batches.plan(0)), **score(model, data)}


def agreement(trial: Trial, data: Data, seed: int, after: int, over: int = 8) -> dict[str, float]:
    """Mean cosine between the gradients of two batches at the backbone's weights, by loss, `after` steps.

    1: every batch pulls the same way. Weights stay as they are while `over` batches are looked at.
    """
    batches, model, optimizer = start(trial, data, seed)
    set_learning_rate(optimizer, trial.lr * factor_of(trial, 0))
    weights = list(model.backbone.parameters())
    found: dict[str, list[Tensor]] = {"identity": [], "triplet": []}
    for number, (images, labels) in enumerate(batches.epoch(0)):
        if number == after + over:
            break
        identity, triplet, _ = forward_pass(trial, model, images, labels, trial.triplet_weight, False)
        if number < after:
            optimizer.zero_grad(set_to_none=True)
            (identity + trial.triplet_weight * triplet).backward()
            optimizer.step()
            continue
        for name, loss in (("identity", identity), ("triplet", triplet)):
            parts = torch.autograd.grad(loss, weights, retain_graph=True)
            found[name].append(nn.functional.normalize(torch.cat([part.flatten() for part in parts]), dim=0))
    cosines = {name: torch.stack(vectors) @ torch.stack(vectors).T for name, vectors in found.items()}
    return {name: float((value.sum() - value.trace()) / (over * (over - 1))) for name, value in cosines.items()}


def factor_of(trial: Trial, epoch: int) -> float:
    return learning_rate(epoch + 1, warmup_epochs=trial.warmup, schedule="cosine", epochs=trial.schedule_epochs)


def forward_pass(
    trial: Trial, model: ReIDModel, images: Tensor, labels: Tensor, weight: float, rarely: bool
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Both losses of a batch, and what was measured on the way; what takes long only `rarely`."""
    last_map = model.backbone.forward_features(images)
    pooled = model.backbone.forward_head(last_map, pre_logits=True)
    feature = model.neck(pooled)
    identity = identity_loss(classifier_of(model)(feature), labels, trial.label_smoothing)
    triplet = triplet_loss(trial.triplet, pooled, labels)
    row = {"identity": identity.item(), "triplet": triplet.item()}
    row |= measure(pooled, labels, identity, weight * triplet, model)
    if rarely:
        row |= of_map(last_map.detach(), model)
        row["rank"] = effective_rank(pooled)
    return identity, triplet, row


def measure(pooled: Tensor, labels: Tensor, identity: Tensor, triplet: Tensor, model: ReIDModel) -> dict[str, float]:
    """Of the features of a batch (b, d) and what the two losses want of them."""
    wanted = {}
    centred = (pooled - pooled.mean(0)).detach()
    length = centred.norm().clamp(min=1e-12)
    towards = nn.functional.normalize(pooled.detach().mean(0), dim=0)
    for name, loss in (("identity", identity), ("triplet", triplet)):
        gradient = torch.autograd.grad(loss, pooled, retain_graph=True, allow_unused=True)[0]
        gradient = torch.zeros_like(pooled) if gradient is None else gradient
        wanted[f"pull_{name}"] = float(gradient.norm())
        wanted[f"shrink_{name}"] = float((gradient * centred).sum() / length)  # > 0: less spread lowers the loss
        wanted[f"lower_{name}"] = float(gradient.sum(0) @ towards) / len(pooled) ** 0.5  # > 0: a lower mean does
    with torch.no_grad():
        farthest, nearest, _ = hardest(euclidean_distances(pooled), labels)
        gap = farthest - nearest
        spread = centred.square().sum(1).mean().sqrt()
        weight = classifier_of(model).weight
        return wanted | {
            "spread": float(spread),  # root mean square distance from the batch's mean
            "mean": float(pooled.mean(0).norm()),
            "wrong": float((gap > 0).float().mean()),  # anchors whose hardest negative is nearer than their positive
            "gap": float(gap.mean() / spread.clamp(min=1e-12)),
            "identity_share": identity_share(centred, labels),
            "classifier": float((weight - weight.mean(0)).norm(dim=1).mean()),
            "classifier_mean": float(weight.mean(0).norm()),
        }


class Branches:
    """What the last residual block adds up: its branch and its shortcut, both normalised."""

    def __init__(self, model: ReIDModel) -> None:
        block = model.backbone.layer4[-1]
        self.watching, self.branch, self.shortcut = False, torch.empty(0), torch.empty(0)
        block.bn2.register_forward_hook(lambda _module, _inputs, output: self._keep("branch", output))
        if block.downsample is None:
            block.register_forward_pre_hook(lambda _module, inputs: self._keep("shortcut", inputs[0]))
        else:
            block.downsample.register_forward_hook(lambda _module, _inputs, output: self._keep("shortcut", output))

    def _keep(self, name: str, value: Tensor) -> None:
        if self.watching:
            setattr(self, name, value.detach().clone())  # the sum is taken in place

    def correlation(self) -> float:
        """Over all pictures and places, the mean of the channels: -1 where the branch cancels the shortcut."""
        one, other = (part.transpose(0, 1).flatten(1) for part in (self.branch, self.shortcut))
        one, other = (part - part.mean(1, keepdim=True) for part in (one, other))
        return nn.functional.cosine_similarity(one, other).mean().item()


def of_map(last_map: Tensor, model: ReIDModel) -> dict[str, float]:
    """Of the last feature map (b, d, h, w), before pooling, and of the normalisation that makes it."""
    pixels = last_map.transpose(0, 1).flatten(1)
    norm = model.backbone.layer4[-1].bn2
    return {
        "dead": (pixels <= 0).all(1).float().mean().item(),  # channels that are 0 everywhere in all pictures
        "map_spread": pixels.var(1).sum().sqrt().item(),
        "gain": norm.weight.detach().square().mean().sqrt().item(),
        "shift": norm.bias.detach().mean().item(),
    }


def identity_share(centred: Tensor, labels: Tensor) -> float:
    """Share of the variance between identities (one-way analysis of variance, unbiased; about 0 for noise)."""
    groups, counts = labels.unique(return_inverse=True, return_counts=True)[1:]
    means = torch.zeros(len(counts), centred.shape[1]).index_add_(0, groups, centred) / counts[:, None]
    within = float((centred - means[groups]).square().sum()) / (len(centred) - len(counts))
    between = float((means.square().sum(1) * counts).sum()) / (len(counts) - 1)
    each = len(centred) / len(counts)
    variance = max(0.0, (between - within) / each)
    return variance / max(variance + within, 1e-20)


@torch.no_grad()
def effective_rank(pooled: Tensor) -> float:
    """Effective rank: exp of the entropy of the variances along the principal directions (Roy and Vetterli 2007)."""
    variance = torch.linalg.svdvals((pooled - pooled.mean(0)).double()).square()
    share = variance / variance.sum().clamp(min=1e-30)
    return math.exp(-float((share * share.clamp(min=1e-30).log()).sum()))


def gradients_by_part(model: ReIDModel) -> dict[str, float]:
    """Norms of the gradient, by stage and classifier."""
    sums: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            continue
        words = name.split(".")
        part = words[1] if words[0] == "backbone" and words[1].startswith("layer") else words[0]
        sums[part] = sums.get(part, 0.0) + float(parameter.grad.square().sum())
    return {f"gradient_{part}": math.sqrt(value) for part, value in sums.items()}


def score(model: ReIDModel, data: Data) -> dict[str, float]:
    placement, spec = place("cpu", "float32"), InputSpec(*data.size)
    tables = [
        feature_table(forward(model, store.pictures, spec, placement, batch=128), store.records)
        for store in (data.query, data.gallery)
    ]
    result = evaluate(*tables, device="cpu")
    return {"mAP": result.mAP, "rank1": result.rank(1)}
