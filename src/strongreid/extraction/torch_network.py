"""A trained network run by torch: the backend that every model has, and that evaluation uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from strongreid.data.augment import normalize
from strongreid.model.hardware import Placement, PrecisionName, place
from strongreid.model.network import Output
from strongreid.model.spec import FeatureName, InputSpec
from strongreid.model.weights import LoadedModel, load_model
from strongreid.processes import environment_rank


class TorchNetwork:
    """A loaded model where it runs."""

    def __init__(self, loaded: LoadedModel, feature: FeatureName, device: str, precision: PrecisionName) -> None:
        """Place it.

        Raises:
            InputError: no such device.
        """
        self.spec, self.feature, self.dim = loaded.spec, feature, loaded.model.dim
        self.placement = place(device, precision, local_rank=environment_rank()[2])
        self.model = self.placement.prepare(loaded.model)
        self.why = f"torch on {self.placement.why}"

    def features(
        self, pictures: npt.NDArray[np.uint8], *, batch: int = 64, flip: bool = False, bar: tqdm[Any] | None = None
    ) -> npt.NDArray[np.float32]:
        """Features (n, d) of pictures (n, height, width, 3); with `flip`, the mean with the mirrored one's."""
        return forward(
            self.model,
            pictures,
            self.spec,
            self.placement,
            feature=self.feature,
            batch=batch,
            flip=flip,
            bar=bar,
        )


def torch_network(
    model: LoadedModel | Any, feature: FeatureName, device: str, precision: PrecisionName
) -> TorchNetwork:
    """Of a loaded model, or of a model folder.

    Raises:
        InputError: no such model or device.
    """
    return TorchNetwork(model if isinstance(model, LoadedModel) else load_model(model), feature, device, precision)


def gpu_is_there() -> bool:
    """Whether torch sees a CUDA device."""
    return bool(torch.cuda.is_available())


@torch.no_grad()
def forward(
    model: nn.Module,
    pictures: npt.NDArray[np.uint8],
    spec: InputSpec,
    placement: Placement,
    *,
    feature: FeatureName = "f_i",
    batch: int = 64,
    flip: bool = False,
    bar: tqdm[Any] | None = None,
) -> npt.NDArray[np.float32]:
    """Features (n, d) float32 of decoded pictures (n, h, w, 3), in evaluation mode; the model's mode is put back.

    With `flip`, the mean of the features of the picture and of its mirror image.
    """
    was_training = model.training
    model.eval()
    parts: list[Tensor] = []
    try:
        for start in range(0, len(pictures), batch):
            block = torch.from_numpy(np.array(pictures[start : start + batch]))
            block = block.to(placement.device, non_blocking=True)
            with placement.autocast():
                images = placement.arrange(normalize(block, spec.mean, spec.std))
                outputs: list[Output] = [model(view) for view in ((images, images.flip(-1)) if flip else (images,))]
            views = [(output.feature if feature == "f_i" else output.pooled).float() for output in outputs]
            parts.append(torch.stack(views).mean(dim=0))  # fetched at the end: a GPU need not be waited for here
            if bar is not None:
                bar.update(len(block))
    finally:
        model.train(was_training)
    return torch.cat(parts).cpu().numpy()
