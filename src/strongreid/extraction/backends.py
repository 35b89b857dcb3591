"""Which runtime computes the features: a fixed order, never a race, so that a run repeats; said in one line."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from strongreid.errors import InputError
from strongreid.export.agreement import Agreement
from strongreid.export.description import ExportFormat, about
from strongreid.export.export import export_model
from strongreid.export.runtime import MODULES, ExportedNetwork, installed, library
from strongreid.model.spec import FeatureName, InputSpec
from strongreid.processes import environment_rank

if TYPE_CHECKING:
    from strongreid.model.hardware import PrecisionName

BackendName = Literal["auto", "torch", "onnx", "openvino"]
ORDER: tuple[ExportFormat, ...] = ("onnx", "openvino")
"""Which runtime "auto" takes on a CPU: the first that is installed (docs/export.md has their speeds); else torch."""
FOLDER = "exported"
"""Beside a model's weights: its exports that were made on the way."""
WORTH = 2e12
"""Multiplications, roughly estimated, from which on exporting first takes less time than it saves."""


class Network(Protocol):
    """What an extractor asks of a backend."""

    dim: int

    def features(
        self, pictures: npt.NDArray[np.uint8], *, batch: int, flip: bool, bar: tqdm[Any] | None = None
    ) -> npt.NDArray[np.float32]:
        """Features (n, d) of pictures (n, height, width, 3); with `flip`, the mean with the mirrored one's."""


def choose(
    folder: Path,
    spec: InputSpec,
    weights: str,
    feature: FeatureName,
    count: int,
    *,
    device: str,
    precision: PrecisionName,
) -> tuple[Network, str]:
    """The network that "auto" takes for `count` pictures, and why in one line.

    Raises:
        InputError: the model can't be read, or there is no such device.
    """
    why = _why_torch(device, precision)
    runtime = next((name for name in ORDER if installed(name)), None)
    if not why and runtime is None:
        why = "neither openvino nor onnxruntime is installed"
    if not why and runtime:
        network = _cached(folder, weights, feature, runtime)
        if network:
            return network, f"{_name(runtime)}: {network.path}"
        why = _why_no_export(folder, spec, count)
        if not why:
            try:
                network, agreement = exported(folder, weights, feature, runtime)
            except (InputError, ModuleNotFoundError) as error:
                why = str(error)
            else:
                told = agreement.text() if agreement else "compared before"
                return network, f"{_name(runtime)}: exported to {network.path}; {told}"
    from strongreid.extraction.torch_network import torch_network

    chosen = torch_network(folder, feature, device, precision)
    return chosen, f"{chosen.why}: {why}"


def exported(
    folder: Path, weights: str, feature: FeatureName, runtime: ExportFormat
) -> tuple[ExportedNetwork, Agreement | None]:
    """A model folder's network in this runtime, exported and compared with torch if it was not before.

    Raises:
        InputError: as `export_model`.
        ModuleNotFoundError: as `export_model`.
    """
    found = _cached(folder, weights, feature, runtime)
    if found:
        return found, None
    place = _place(folder, weights, feature, runtime)
    agreement = export_model(folder, place, format=runtime, feature=feature)
    return ExportedNetwork(place), agreement


def _why_torch(device: str, precision: str) -> str:
    """Why only torch will do, if so."""
    if device not in ("auto", "cpu"):
        return f"{device} was asked for"
    if precision != "float32":
        return f"precision {precision} was asked for"
    if device == "auto" and _module_there("torch"):
        from strongreid.extraction.torch_network import gpu_is_there

        if gpu_is_there():
            return "there is a GPU"
    return ""


def _why_no_export(folder: Path, spec: InputSpec, count: int) -> str:
    """Why a model that is not exported yet stays so, if so."""
    if environment_rank()[1] > 1:
        return "not exported yet, and several processes would all do it: run strongreid export first"
    weights = folder / "model.safetensors"
    values = weights.stat().st_size / 4 if weights.is_file() else 0
    # Each weight of a CNN is used at every place of its map; maps end at a 16th of the picture's sides.
    if count * values * spec.height * spec.width / 256 < WORTH:
        return f"too few pictures for an export to pay: {count}"
    return ""


def _cached(folder: Path, weights: str, feature: FeatureName, runtime: ExportFormat) -> ExportedNetwork | None:
    """An export of these weights that was compared with torch under this version of the runtime."""
    place = _place(folder, weights, feature, runtime)
    if not place.is_dir():
        return None
    try:
        if about(place).get("agreement", {}).get("runtime") != library(runtime).__version__:
            return None
        network = ExportedNetwork(place)
    except InputError:
        return None
    told = network.description
    return network if (told.weights, told.feature) == (weights, feature) else None


def _place(folder: Path, weights: str, feature: FeatureName, runtime: ExportFormat) -> Path:
    return folder / FOLDER / f"{runtime}-{feature}-{weights[:12]}"


def _name(runtime: ExportFormat) -> str:
    return f"{MODULES[runtime]} {library(runtime).__version__} on the CPU, float32"


def _module_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # the import was blocked
        return False
