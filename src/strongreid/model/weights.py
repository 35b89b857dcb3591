"""Models on disk: a folder with `model.safetensors` and `model.json`, which say everything needed to use them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from strongreid.errors import InputError
from strongreid.files import atomic_folder, recover_folder
from strongreid.model.network import Neck, ReIDModel
from strongreid.model.spec import FORMAT, not_described, read_description
from strongreid.model.spec import InputSpec as InputSpec


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in evaluation mode with the preprocessing it was trained with, so that the two can't disagree."""

    model: ReIDModel
    spec: InputSpec
    fingerprint: str
    """SHA-256 of the weight file: features of two models with different fingerprints must not be compared."""
    training: dict[str, Any]
    """What the run wrote about itself: epoch, scores, configuration."""


def save_model(folder: str | Path, model: ReIDModel, spec: InputSpec, training: dict[str, Any] | None = None) -> None:
    """Write the model as a self-describing folder; an older one at the same place is replaced as a whole.

    Raises:
        InputError: the disk is full; the older folder is intact.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_folder(Path(folder)) as partial:
        try:
            save_file(state, partial / "model.safetensors")
        except SafetensorError as error:  # safetensors wraps the system's own, and `atomic_folder` looks for that
            raise OSError(str(error)) from error
        description = {
            "format": FORMAT,
            "model": model.settings,
            "input": asdict(spec),
            "sha256": _sha256(partial / "model.safetensors"),
            "training": training or {},
        }
        (partial / "model.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load_model(folder: str | Path) -> LoadedModel:
    """Read a folder written by `save_model`.

    Raises:
        InputError: not such a folder, another format, or weights that are corrupt or of another shape (named).
    """
    folder = Path(folder)
    recover_folder(folder)
    description = read_description(folder)
    weights = folder / "model.safetensors"
    try:
        settings = description["model"]
        model = ReIDModel(**{**settings, "image_size": tuple(settings["image_size"]), "pretrained": False})
        spec = InputSpec.of(description["input"])
        for value, allowed in ((settings["last_stride"], (1, 2)), (settings["neck"], get_args(Neck))):
            if value not in allowed:
                raise ValueError(f"{value!r} is not one of {allowed}")  # noqa: TRY301
        sha256, training = str(description["sha256"]), dict(description["training"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise not_described(folder, error) from error
    _check_shapes(weights, model)
    if _sha256(weights) != sha256:
        raise InputError(f"{weights} is not the file that model.json describes (SHA-256 differs): copy it again.")
    model.load_state_dict(load_file(weights))
    return LoadedModel(model.eval(), spec, sha256, training)


def start_from(model: ReIDModel, folder: str | Path) -> None:
    """Give `model` the weights of a model folder; the classifier keeps its own where the identities differ in number.

    Raises:
        InputError: not a model folder, or another network (the first tensor that differs is named).
    """
    state = load_model(folder).model.state_dict()
    own = model.state_dict()
    for name, tensor in own.items():
        if name.startswith("classifier.") and (name not in state or state[name].shape != tensor.shape):
            state[name] = tensor
        elif name not in state or state[name].shape != tensor.shape:
            raise InputError(f"{folder} holds another network: its {name} differs. Set model.* as it was trained.")
    model.load_state_dict({name: state[name] for name in own})


def _check_shapes(weights: Path, model: ReIDModel) -> None:
    """Compare names and shapes with the file's header, before anything is loaded."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    try:
        with safe_open(weights, framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{weights} is corrupt or missing ({error}): copy it again, or train again.") from error
    for name, shape in expected.items():
        if found.get(name) != shape:
            what = f"has shape {found[name]}" if name in found else "is missing"
            raise InputError(
                f"tensor {name} {what} in {weights}, but model.json asks for {shape}: they don't belong together."
            )
    if extra := sorted(set(found) - set(expected)):
        raise InputError(
            f"{weights} holds {len(extra)} tensors that model.json does not ask for, such as {extra[0]}."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
