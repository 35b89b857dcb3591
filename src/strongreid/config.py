"""Every setting of a run: frozen dataclasses, one per room, and the presets. Only the loop and the CLI read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from strongreid.errors import InputError


@dataclass(frozen=True)
class DataConfig:
    """What to train and test on.

    Args:
        root: folder of the data set.
        kind: its layout, a name of `strongreid.data.readers.READERS`.
        height: picture height in pixels.
        width: picture width in pixels.
        single_picture: an identity with one picture has no positive: refuse the set, drop it, or repeat the picture.
        skip_unreadable: leave unreadable pictures out and count them, instead of refusing the set.
        store: folder that keeps the decoded pictures between runs; empty decodes into memory (files above 2 GiB).
        on_device: keep the decoded training pictures in GPU memory; "auto" does where they take at most half of it.
    """

    root: str = ""
    kind: str = "market1501"
    height: int = 256
    width: int = 128
    single_picture: Literal["refuse", "drop", "repeat"] = "refuse"
    skip_unreadable: bool = False
    store: str = ""
    on_device: Literal["auto"] | bool = "auto"


@dataclass(frozen=True)
class BatchConfig:
    """P x K batches of each process.

    Args:
        identities: P, identities in a batch.
        images: K, pictures of each.
        accumulate: parts of P / accumulate identities in which a batch is computed, one update for all of them: as
            many times less memory. Statistics and triplets are those of a part.
        gather: of several processes: form triplets over the batches of all.
        sync_bn: of several processes: batch normalisation over the batches of all.
    """

    identities: int = 16
    images: int = 4
    accumulate: int = 1
    gather: bool = False
    sync_bn: bool = False


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of the training pictures.

    Args:
        flip: probability of a horizontal flip; 0 is off.
        pad: black pixels around, before a random crop back to size; 0 is off.
        erasing: probability of random erasing (trick 2); 0 is off.
        erasing_fill: "mean" pixel as in the paper, or what the "released" code writes.
    """

    flip: float = 0.5
    pad: int = 10
    erasing: float = 0.5
    erasing_fill: Literal["mean", "released"] = "mean"


@dataclass(frozen=True)
class ModelConfig:
    """The network.

    Args:
        backbone: any timm name, or resnet10_w16, resnet10_w32.
        pretrained: true downloads ImageNet weights, false starts at random, a path reads a weight file.
        last_stride: 1 (trick 4) or 2.
        neck: "bnneck" (trick 5) or "none".
        start_from: a model folder written by training, to go on from its weights; empty for none. The classifier is
            taken along where it has as many identities.
        stem_relu: false leaves out the ReLU after the stem, as the released code does.
        checkpointing: recompute the backbone's activations in the backward pass instead of keeping them.
    """

    backbone: str = "resnet50"
    pretrained: bool | str = True
    last_stride: Literal[1, 2] = 1
    neck: Literal["bnneck", "none"] = "bnneck"
    stem_relu: bool = True
    start_from: str = ""
    checkpointing: bool = False


@dataclass(frozen=True)
class LossConfig:
    """The losses.

    Args:
        label_smoothing: trick 3; 0 is off.
        margin: of the triplet loss; null is the soft margin.
        triplet_weight: 0 is off.
        triplet_units: "plain" distances as in the paper, or in units of the "spread" of the batch's features, so that
            shrinking them does not lower the loss: learns from scratch without BNNeck (docs/collapse.md).
        center_weight: trick 6; 0 is off.
    """

    label_smoothing: float = 0.1
    margin: float | None = 0.3
    triplet_weight: float = 1.0
    triplet_units: Literal["plain", "spread"] = "plain"
    center_weight: float = 0.0005


@dataclass(frozen=True)
class OptimConfig:
    """The optimiser and its schedule.

    Args:
        algorithm: "adam" as in the paper, "adamw" (weight decay apart from the gradient) or "sgd".
        lr: learning rate after warm-up.
        lr_rule: for several processes, whose global batch is larger: "fixed" takes `lr` as it is, "linear" times
            their number, "sqrt" times its square root.
        momentum: of "sgd".
        weight_decay: coupled L2 on every parameter.
        center_lr: learning rate of the centers, on the gradient of the unweighted center loss.
        epochs: how many.
        warmup_epochs: linear warm-up (trick 1); 0 is off.
        schedule: "step" as in the paper, or "cosine" down to 0.
        milestones: epochs after which a step divides the learning rate by 10.
        per_step: change the rate at every step instead of every epoch.
        clip: largest norm of the model's gradient; 0 is off.
        average: evaluate and save a moving average of the weights with this decay, such as 0.999; 0 is off.
        freeze: epochs for which the stem, the first stage, the second, ... of the backbone keep their weights.
    """

    algorithm: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 3.5e-4
    lr_rule: Literal["fixed", "linear", "sqrt"] = "fixed"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    center_lr: float = 0.5
    epochs: int = 120
    warmup_epochs: int = 10
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[int, ...] = (40, 70)
    per_step: bool = False
    clip: float = 0.0
    average: float = 0.0
    freeze: tuple[int, ...] = ()


@dataclass(frozen=True)
class EvalConfig:
    """Evaluation during and after training.

    Args:
        every: epochs between evaluations; the last epoch is always evaluated, 0 evaluates only that one.
        feature: "f_i" after BNNeck or "f_t" before it.
        metric: "cosine" or "euclidean".
        batch: pictures per forward pass.
    """

    every: int = 10
    feature: Literal["f_i", "f_t"] = "f_i"
    metric: Literal["cosine", "euclidean"] = "cosine"
    batch: int = 64


@dataclass(frozen=True)
class RunConfig:
    """Where and how it runs.

    Args:
        output: the run folder.
        seed: of everything random.
        device: "auto" takes a GPU where there is one; "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" takes bf16 where the hardware is fast at it; "float32" or "bf16".
        threads: CPU threads; 0 leaves the choice to torch.
        compile: compile the network for training; "auto" does on CUDA.
        channels_last: memory format of images and weights; false is contiguous.
        winograd: convolutions with fewer multiplications; "auto" takes them on a CPU in float32.
        keep_memory: keep what a step frees for the next one; "auto" does on a CPU, where the C library can.
        timeout: of several processes: seconds after which one that waits for another gives up.
    """

    output: str = "runs/last"
    seed: int = 0
    device: str = "auto"
    precision: Literal["auto", "float32", "bf16"] = "auto"
    threads: int = 0
    compile: Literal["auto"] | bool = "auto"
    channels_last: bool = True
    winograd: Literal["auto"] | bool = "auto"
    keep_memory: Literal["auto"] | bool = "auto"
    timeout: int = 600


INFINITY = float("inf")
RANGES: dict[str, tuple[float, float]] = {
    "data.height": (8, 4096),
    "data.width": (8, 4096),
    "batch.identities": (2, INFINITY),
    "batch.images": (2, INFINITY),
    "batch.accumulate": (1, INFINITY),
    "augment.flip": (0, 1),
    "augment.pad": (0, 1024),
    "augment.erasing": (0, 1),
    "loss.label_smoothing": (0, 1),
    "loss.margin": (0, INFINITY),
    "loss.triplet_weight": (0, INFINITY),
    "loss.center_weight": (0, INFINITY),
    "optim.lr": (0, INFINITY),
    "optim.weight_decay": (0, INFINITY),
    "optim.center_lr": (0, INFINITY),
    "optim.epochs": (1, INFINITY),
    "optim.warmup_epochs": (0, INFINITY),
    "optim.momentum": (0, 1),
    "optim.clip": (0, INFINITY),
    "optim.average": (0, 1),
    "eval.every": (0, INFINITY),
    "eval.batch": (1, INFINITY),
    "run.seed": (0, 2**31 - 1),
    "run.threads": (0, 4096),
    "run.timeout": (1, INFINITY),
}
"""What a number may be, both ends included."""


@dataclass(frozen=True)
class Config:
    """A whole run. The defaults are the paper's recipe, preset `bag_of_tricks`."""

    data: DataConfig = field(default_factory=DataConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            room, key = name.split(".")
            value = getattr(getattr(self, room), key)
            if value is not None and not least <= value <= most:
                raise InputError(f"{name} is {value}: it must be from {least} to {most}.")
        p, parts = self.batch.identities, self.batch.accumulate
        if p % parts or p // parts < 2:
            allowed = ", ".join(str(n) for n in range(1, p // 2 + 1) if p % n == 0)
            raise InputError(
                f"batch.accumulate is {parts}: a batch of {p} identities can't be cut into so many equal parts of at "
                f"least 2 identities; it can for {allowed}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, ready for YAML or JSON."""
        return dataclasses.asdict(self)


def bag_of_tricks() -> Config:
    """The paper's full recipe: ResNet-50, 256x128, six tricks, 120 epochs."""
    return Config()


def plain_baseline() -> Config:
    """The paper's standard baseline: every trick at its neutral setting."""
    return Config(
        augment=AugmentConfig(erasing=0),
        model=ModelConfig(last_stride=2, neck="none"),
        loss=LossConfig(label_smoothing=0, center_weight=0),
        optim=OptimConfig(warmup_epochs=0),
    )


def tiny() -> Config:
    """The demo: a small network from scratch on small pictures, minutes on two CPU cores."""
    return Config(
        data=DataConfig(height=128, width=64),
        augment=AugmentConfig(pad=5),
        model=ModelConfig(backbone="resnet10_w16", pretrained=False),
        optim=OptimConfig(lr=2e-3, epochs=16, warmup_epochs=1, schedule="cosine"),
        eval=EvalConfig(every=4, batch=128),
    )


PRESETS: dict[str, Callable[[], Config]] = {
    "bag_of_tricks": bag_of_tricks,
    "plain_baseline": plain_baseline,
    "tiny": tiny,
}
