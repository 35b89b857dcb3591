"""What a model folder says about itself, apart from its weights; read without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from strongreid.data.images import IMAGENET_MEAN, IMAGENET_STD
from strongreid.errors import InputError

FeatureName = Literal["f_i", "f_t"]
MetricName = Literal["cosine", "euclidean"]
FORMAT = 1


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How pictures become the model's input, and which output is its feature."""

    height: int
    width: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    feature: FeatureName = "f_i"
    metric: MetricName = "cosine"

    @classmethod
    def of(cls, values: dict[str, Any]) -> InputSpec:
        """The specification that `dataclasses.asdict` turned into plain values.

        Raises:
            KeyError, TypeError, ValueError: a value is missing, unknown or not allowed.
        """
        spec = cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
        for value, allowed in ((spec.feature, get_args(FeatureName)), (spec.metric, get_args(MetricName))):
            if value not in allowed:
                raise ValueError(f"{value!r} is not one of {allowed}")
        if min(spec.height, spec.width) < 1 or len(spec.mean) != 3 or len(spec.std) != 3 or min(spec.std) <= 0:
            raise ValueError(f"{spec} is no input of (height, width, 3) pictures")
        return spec


def feature_fingerprint(weights: str, own: FeatureName, feature: FeatureName, *, flip: bool = False) -> str:
    """What `FeatureTable.model` says: features whose fingerprints differ must not be compared.

    Args:
        weights: the fingerprint of the weights.
        own: the feature that the model was evaluated with.
        feature: the one taken.
        flip: averaged with that of the mirrored picture.
    """
    return weights + (f"+{feature}" if feature != own else "") + ("+flip" if flip else "")


def read_description(folder: Path) -> dict[str, Any]:
    """The values of a folder's `model.json`.

    Raises:
        InputError: there is none, it is not readable, or it has another format.
    """
    if not (folder / "model.json").is_file():
        nested = [name for name in ("last", "best") if (folder / name / "model.json").is_file()]
        hint = f" Did you mean {folder / nested[0]}?" if nested else ""
        raise InputError(f"{folder} is not a model folder: it has no model.json beside model.safetensors.{hint}")
    try:
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        version = description["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / 'model.json'} is not readable as a model description: {error!r}.") from error
    if version != FORMAT:
        raise InputError(
            f"{folder / 'model.json'} has format {version}; this version reads {FORMAT}: upgrade strongreid."
        )
    return dict(description)


def described(folder: Path) -> tuple[InputSpec, str]:
    """The input specification and the fingerprint of a model folder.

    Raises:
        InputError: as `read_description`, or it does not describe a model.
    """
    description = read_description(folder)
    try:
        return InputSpec.of(description["input"]), str(description["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise not_described(folder, error) from error


def not_described(folder: Path, error: Exception) -> InputError:
    """The refusal of a `model.json` that lacks something."""
    return InputError(f"{folder / 'model.json'} does not describe a model ({error!r}): train or copy it again.")
