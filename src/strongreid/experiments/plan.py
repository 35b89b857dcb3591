"""The paper's experiments: which rows each has, and which columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from strongreid.config import Config
from strongreid.errors import InputError
from strongreid.experiments.records import Column, RowPlan
from strongreid.experiments.settings import value_of


class Trick(NamedTuple):
    """One of the six, and its neutral setting."""

    name: str
    label: str
    setting: str
    neutral: Any


TRICKS = (
    Trick("warm-up", "warm-up", "optim.warmup_epochs", 0),
    Trick("erasing", "random erasing", "augment.erasing", 0.0),
    Trick("smoothing", "label smoothing", "loss.label_smoothing", 0.0),
    Trick("stride", "last stride 1", "model.last_stride", 2),
    Trick("bnneck", "BNNeck", "model.neck", "none"),
    Trick("center", "center loss", "loss.center_weight", 0.0),
)
"""In the order in which the paper adds them."""
NO_CENTER = {"loss.center_weight": 0.0}
"""Tables 2, 5 and 6 of the paper are without center loss."""
EUCLIDEAN = {"eval.feature": "f_i", "eval.metric": "euclidean"}
"""So tables 5 and 6 are tested."""
BATCHES = ("8x3", "8x4", "8x6", "8x8", "16x3", "16x4", "16x6", "16x8", "32x3", "32x4")
SIZES = ("256x128", "224x224", "384x128", "384x192")
BACKBONES: dict[str, str] = {
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "resnet152": "ResNet-152",
    "legacy_seresnet50": "SE-ResNet-50",
    "legacy_seresnet101": "SE-ResNet-101",
    "legacy_seresnext50_32x4d": "SE-ResNeXt-50",
    "legacy_seresnext101_32x4d": "SE-ResNeXt-101",
}
"""Those of the authors' repository that timm has; it has no IBN-Net."""
TITLES = {
    "tricks": "The six tricks, added one at a time",
    "leave-one-out": "The six tricks, left out one at a time",
    "features": "Feature before or after BNNeck, Euclidean or cosine distance",
    "cross-domain": "Trained on one data set, tested on another",
    "batch-size": "Identities x pictures in a batch",
    "image-size": "Picture size",
    "backbones": "Backbones",
    "seeds": "One recipe, several seeds",
    "tune": "Search",
}


@dataclass(frozen=True)
class Choices:
    """What the user chose of an experiment; empty lists are the paper's."""

    rerank: bool = False
    """tricks: a last row with k-reciprocal re-ranking."""
    batches: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()


def rows_of(name: str, config: Config, choices: Choices) -> list[RowPlan]:
    """The rows of an experiment, without their columns.

    Raises:
        InputError: a choice can't be read, or a row would not differ from its reference.
    """
    if name == "tricks":
        return tricks_rows(config, rerank=choices.rerank)
    if name == "leave-one-out":
        return leave_one_out_rows(config)
    if name == "features":
        return feature_rows(config)
    if name == "cross-domain":
        return cross_domain_rows(config)
    if name == "batch-size":
        return batch_rows(choices.batches or BATCHES)
    if name == "image-size":
        return size_rows(choices.sizes or SIZES)
    if name == "backbones":
        return backbone_rows(choices.backbones or tuple(BACKBONES), config)
    return [RowPlan("full", "the recipe", {})]


def columns_of(name: str, sets: Sequence[str], also: Sequence[str]) -> list[Column]:
    """Pairs of training and test set: each on itself, or for cross-domain each on every other; then on `also`.

    Raises:
        InputError: cross-domain without a second data set.
    """
    if name == "cross-domain":
        pairs = [(a, b) for a in sets for b in (*sets, *also) if a != b]
        if not pairs:
            raise InputError(
                f"cross-domain trains on one data set and tests on another, and there is only {sets[0]!r}: name two "
                "or more with --sets NAME=FOLDER NAME=FOLDER, or others to test on with --also_test."
            )
    else:
        pairs = [(a, b) for a in sets for b in (a, *also)]
    return [Column(a if a == b else f"{a} -> {b}", a, b) for a, b in pairs]


def tricks_rows(config: Config, *, rerank: bool = False) -> list[RowPlan]:
    """Table 1: the tricks of the configuration added one at a time, each compared with the row before.

    Raises:
        InputError: the configuration has a trick at its neutral setting.
    """
    _check_tricks_on(config)
    rows = [RowPlan("baseline", "baseline", {trick.setting: trick.neutral for trick in TRICKS})]
    for number, trick in enumerate(TRICKS, start=1):
        off = {later.setting: later.neutral for later in TRICKS[number:]}
        rows.append(RowPlan(trick.name, f"+ {trick.label}", off, reference=rows[-1].name))
    if rerank:
        rows.append(RowPlan("rerank", "+ re-ranking", {}, reference="center", rerank="k_reciprocal"))
    return rows


def leave_one_out_rows(config: Config) -> list[RowPlan]:
    """The configuration, and without each of the tricks: what is each worth to the others?

    Raises:
        InputError: the configuration has a trick at its neutral setting.
    """
    _check_tricks_on(config)
    full = RowPlan("full", "all six", {})
    rest = [
        RowPlan(f"no-{trick.name}", f"without {trick.label}", {trick.setting: trick.neutral}, reference="full")
        for trick in TRICKS
    ]
    return [full, *rest]


def feature_rows(config: Config) -> list[RowPlan]:
    """Table 2: without BNNeck, and one training with it tested in four ways.

    Raises:
        InputError: the configuration has no BNNeck.
    """
    _check_tricks_on(config, only="bnneck")
    best = "f_i-cosine"
    rows = [RowPlan("no-bnneck", "without BNNeck", NO_CENTER | {"model.neck": "none"}, reference=best)]
    for feature in ("f_t", "f_i"):
        for metric in ("euclidean", "cosine"):
            name, how = f"{feature}-{metric}", {"eval.feature": feature, "eval.metric": metric}
            label = f"{feature}, {metric.replace('euclid', 'Euclid')}"
            rows.append(RowPlan(name, label, NO_CENTER | how, reference="" if name == best else best))
    return rows


def cross_domain_rows(config: Config) -> list[RowPlan]:
    """Table 3: the rows of table 1, and all tricks but random erasing.

    Raises:
        InputError: the configuration has a trick at its neutral setting.
    """
    last = RowPlan("no-erasing", "all but random erasing", {"augment.erasing": 0.0}, reference="center")
    return [*tricks_rows(config), last]


def batch_rows(batches: Sequence[str]) -> list[RowPlan]:
    """Table 5: P x K.

    Raises:
        InputError: a batch is not written as 16x4.
    """
    rows = []
    for name in batches:
        p, k = _pair(name, "--batches", "identities x pictures of each, such as 16x4")
        overrides = {"batch.identities": p, "batch.images": k} | NO_CENTER | EUCLIDEAN
        rows.append(RowPlan(f"{p}x{k}", f"{p} x {k}", overrides))
    return _against("16x4", rows)


def size_rows(sizes: Sequence[str]) -> list[RowPlan]:
    """Table 6: height x width in pixels.

    Raises:
        InputError: a size is not written as 256x128.
    """
    rows = []
    for name in sizes:
        height, width = _pair(name, "--sizes", "height x width in pixels, such as 256x128")
        overrides = {"data.height": height, "data.width": width} | NO_CENTER | EUCLIDEAN
        rows.append(RowPlan(f"{height}x{width}", f"{height} x {width}", overrides))
    return _against("256x128", rows)


def backbone_rows(names: Sequence[str], config: Config) -> list[RowPlan]:
    """The recipe with other backbones.

    Raises:
        InputError: one weight file is given for several backbones.
    """
    if isinstance(config.model.pretrained, str) and len(names) > 1:
        raise InputError(
            f"model.pretrained is the file {config.model.pretrained}, which fits one backbone, and there are "
            f"{len(names)}: set it to true or false, or take one with --backbones."
        )
    rows = [RowPlan(name, BACKBONES.get(name, name), {"model.backbone": name}) for name in names]
    return _against("resnet50", rows)


def _against(reference: str, rows: list[RowPlan]) -> list[RowPlan]:
    """Each row compared with the reference, or with the first row where that one is not among them.

    Raises:
        InputError: a row is there twice.
    """
    names = [row.name for row in rows]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{twice[0]} is named twice; name each once.")
    chosen = reference if reference in names else names[0]
    return [
        RowPlan(row.name, row.label, row.overrides, reference="" if row.name == chosen else chosen) for row in rows
    ]


def _pair(text: str, flag: str, wanted: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})", text)
    if match is None:
        raise InputError(f"{flag} takes {wanted}, got {text!r}.")
    return int(match[1]), int(match[2])


def _check_tricks_on(config: Config, only: str = "") -> None:
    off = [t for t in TRICKS if value_of(config, t.setting) == t.neutral and only in ("", t.name)]
    if off:
        named = ", ".join(f"{trick.setting} ({value_of(config, trick.setting)})" for trick in off)
        raise InputError(
            f"row '{off[0].label}' would be equal to the row it is compared with: the settings have it off already "
            f"({named}). Start from settings that have it on, such as --preset bag_of_tricks or tiny."
        )
