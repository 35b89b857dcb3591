"""The torch side of exporting: a model with its preprocessing as one ONNX file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from strongreid.errors import InputError
from strongreid.export.description import KEY, Description
from strongreid.export.rewrites import rewrite
from strongreid.model.network import ReIDModel
from strongreid.model.spec import FeatureName, InputSpec
from strongreid.model.weights import LoadedModel

if TYPE_CHECKING:
    import onnxscript

MOST = 65_536
"""Pictures in one batch that an exported network may be given."""


class Pixels(nn.Module):
    """From uint8 pictures to one of the model's features, normalisation included."""

    scale: Tensor
    shift: Tensor

    def __init__(self, model: ReIDModel, spec: InputSpec, feature: FeatureName) -> None:
        super().__init__()
        self.model, self.feature = model, feature
        mean, std = torch.tensor(spec.mean, dtype=torch.float64), torch.tensor(spec.std, dtype=torch.float64)
        self.register_buffer("scale", (1 / (255 * std)).float().view(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).float().view(1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """uint8 (n, height, width, 3) to float32 (n, d)."""
        images = pictures.permute(0, 3, 1, 2).float() * self.scale + self.shift
        # Not `model(images)`: its empty logits take the batch's size as a number, which would fix it in the graph.
        pooled: Tensor = self.model.backbone.forward_head(
            self.model.backbone.forward_features(images), pre_logits=True
        )
        found: Tensor = self.model.neck(pooled) if self.feature == "f_i" else pooled
        return found


def write_onnx(loaded: LoadedModel, feature: FeatureName, file: Path) -> Description:
    """Write one feature of a model as an ONNX file that takes any number of pictures; `model` stays on the CPU.

    Raises:
        InputError: torch can't export this network.
        ModuleNotFoundError: onnx or onnxscript is not installed.
    """
    _needs_onnx()
    spec, model = loaded.spec, loaded.model.float().eval()
    description = Description(loaded.fingerprint, spec, feature, model.dim)
    example = torch.zeros(2, spec.height, spec.width, 3, dtype=torch.uint8)
    count = torch.export.Dim("pictures", min=1, max=MOST)
    quiet = logging.getLogger("torch.onnx"), logging.getLogger("onnxscript")
    levels = [logger.level for logger in quiet]
    try:
        for logger in quiet:
            logger.setLevel(logging.ERROR)
        # Captured here, not by `torch.onnx.export`: where capturing fails, that one falls back in silence to ways
        # that fix the batch at the example's size.
        program = torch.export.export(
            Pixels(model, spec, feature), (example,), dynamic_shapes={"pictures": {0: count}}
        )
        written = torch.onnx.export(program, dynamo=True, verbose=False, output_names=["features"])
    except Exception as error:  # of many classes, by operator and backbone
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"torch can't export {model.settings['backbone']!r} to ONNX ({reason}).") from error
    finally:
        for logger, level in zip(quiet, levels, strict=True):
            logger.setLevel(level)
    assert written is not None
    _save(written, description, file)
    return description


def _save(written: torch.onnx.ONNXProgram, description: Description, file: Path) -> None:
    """Write the file with its description; weights above two gigabytes would go beside it, which we refuse."""
    model: onnxscript.ir.Model = written.model
    rewrite(model)
    model.metadata_props[KEY] = description.text()
    for node in model.graph:  # stack traces and paths of the machine that exported
        node.metadata_props.clear()
        node.doc_string = None
    written.save(file, external_data=False)


def _needs_onnx() -> None:
    for name in ("onnx", "onnxscript"):
        try:
            __import__(name)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"exporting needs {name}: pip install 'strongreid[onnx]'", name=name) from error
