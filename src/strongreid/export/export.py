"""From a model folder to an exported folder: written, compared with torch, and only then given its name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.evaluation.calibration import FILE as CALIBRATION
from strongreid.export.agreement import LEAST_COSINE, Agreement, compare, sample_pictures
from strongreid.export.description import (
    ABOUT,
    FILES,
    KEY,
    Description,
    ExportFormat,
    about,
    exported_format,
    sha256,
)
from strongreid.export.runtime import ExportedNetwork, library
from strongreid.files import atomic_folder, write_json
from strongreid.model.spec import FeatureName

SAMPLE = 16
"""Pictures on which an export is compared with torch."""


def export_model(
    model: str | Path,
    output: str | Path,
    *,
    format: ExportFormat = "onnx",  # noqa: A002
    feature: FeatureName | None = None,
    pictures: npt.NDArray[np.uint8] | None = None,
) -> Agreement:
    """Write a model folder's network as a folder that runs without torch; an older one there is replaced as a whole.

    The graph takes uint8 pictures (n, height, width, 3) of any number and gives features (n, d) float32:
    normalisation is inside. The folder holds the network, `model.json` and, where there is one, `calibration.json` of
    the model, and `export.json` with the sums of the files and the agreement with torch.

    Args:
        model: folder that training wrote.
        output: folder to write.
        format: "onnx", or "openvino", which is made from the ONNX file.
        feature: "f_i" or "f_t"; None takes what the model was evaluated with.
        pictures: (n, height, width, 3) to compare with torch on; None for made ones.

    Raises:
        InputError: no such model, `output` holds something else, torch can't export the network, it does not agree
            with torch, or the disk is full. Nothing is written then, and what stood at `output` is intact.
        ModuleNotFoundError: torch, onnx, onnxscript, or the runtime is not installed.
    """
    from strongreid.export.graph import write_onnx
    from strongreid.model.weights import load_model

    model, output = Path(model), Path(output)
    _check_replaceable(output)
    library(format)  # before minutes are spent
    loaded = load_model(model)
    if pictures is None:
        pictures = sample_pictures(SAMPLE, loaded.spec.height, loaded.spec.width)
    if pictures.dtype != np.uint8 or pictures.shape[1:] != (loaded.spec.height, loaded.spec.width, 3):
        raise InputError(
            f"pictures to compare on are uint8 (n, {loaded.spec.height}, {loaded.spec.width}, 3), got "
            f"{pictures.dtype} {pictures.shape}."
        )
    with atomic_folder(output) as partial:
        chosen = feature or loaded.spec.feature
        description = write_onnx(loaded, chosen, partial / FILES["onnx"][0])
        if format == "openvino":
            _to_openvino(partial, description)
        _write_about(partial, format, {})  # sums, without which the network is not opened
        agreement = _compared(loaded, chosen, ExportedNetwork(partial), pictures)
        _write_about(partial, format, agreement.values() | {"runtime": library(format).__version__})
        for name in ("model.json", CALIBRATION):
            if (model / name).is_file():
                shutil.copyfile(model / name, partial / name)
    return agreement


def verify_export(
    model: str | Path, exported: str | Path, pictures: npt.NDArray[np.uint8] | None = None
) -> Agreement:
    """Compare an exported folder or file with the model it was made from, in torch.

    Raises:
        InputError: either can't be read, they are of different weights, or they do not agree.
        ModuleNotFoundError: torch or the runtime is not installed.
    """
    from strongreid.model.weights import load_model

    network, loaded = ExportedNetwork(exported), load_model(model)
    if network.description.weights != loaded.fingerprint:
        raise InputError(
            f"{exported} was made from the model {network.description.weights!r}, but {model} is "
            f"{loaded.fingerprint!r}: export the model again."
        )
    if pictures is None:
        pictures = sample_pictures(SAMPLE, loaded.spec.height, loaded.spec.width)
    return _compared(loaded, network.description.feature, network, pictures)


def _compared(
    loaded: Any, feature: FeatureName, network: ExportedNetwork, pictures: npt.NDArray[np.uint8]
) -> Agreement:
    import torch

    from strongreid.data.augment import normalize

    with torch.inference_mode():
        images = normalize(torch.from_numpy(pictures), loaded.spec.mean, loaded.spec.std)
        outputs = [loaded.model.eval()(part) for part in torch.split(images, SAMPLE)]
    found = torch.cat([output.feature if feature == "f_i" else output.pooled for output in outputs]).numpy()
    agreement = compare(found, lambda block: network.features(block, batch=len(block)), pictures)
    if not agreement.agrees:
        raise InputError(
            f"the exported network does not agree with torch: {agreement.text()}, and at least {LEAST_COSINE} is "
            "asked for. Use torch for this model."
        )
    return agreement


def _to_openvino(folder: Path, description: Description) -> None:
    """Turn the ONNX file in `folder` into OpenVINO's two, in float32."""
    module = library("openvino")
    onnx_file = folder / FILES["onnx"][0]
    network = module.Core().read_model(onnx_file)
    network.set_rt_info(description.text(), KEY)
    module.save_model(network, folder / FILES["openvino"][0], compress_to_fp16=False)
    del network  # it holds the ONNX file open
    onnx_file.unlink()


def _write_about(folder: Path, format: ExportFormat, agreement: dict[str, Any]) -> None:  # noqa: A002
    sums = {name: sha256(folder / name) for name in FILES[format]}
    write_json(folder / ABOUT, {"format": format, "sha256": sums, "agreement": agreement})


def _check_replaceable(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but an export."""
    if not folder.exists():
        return
    if folder.is_dir() and (not any(folder.iterdir()) or (exported_format(folder) and about(folder))):
        return
    raise InputError(f"{folder} is not an exported model; it would be replaced, so choose another folder.")
