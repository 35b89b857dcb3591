"""A detector of people: torchvision's, with its COCO weights or a file of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError

import torch

from strongreid.data.images import Pictures
from strongreid.errors import InputError
from strongreid.model.hardware import place

DETECTORS = (
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn_v2",
)
"""From quick to thorough."""
_PERSON = 1
"""COCO's number of a person in torchvision's models."""
_CLASSES = 91


class Found(NamedTuple):
    """A person in a frame, in pixels from its upper left corner."""

    left: float
    top: float
    width: float
    height: float
    score: float


class PersonDetector:
    """Finds people: `detect(pixels)`.

    torchvision's code and weights are BSD-3-Clause; the weights were trained on COCO.
    """

    def __init__(
        self,
        name: str = DETECTORS[1],
        *,
        weights: str | Path | None = None,
        least_score: float = 0.6,
        device: str = "auto",
    ) -> None:
        """Build the network and load its weights.

        Args:
            name: one of `DETECTORS`.
            weights: a file with the network's state: what torchvision offers for download (.pth), or safetensors.
                None downloads torchvision's own once, into torch's cache.
            least_score: below, a box is no person.
            device: as in `place`.

        Raises:
            InputError: another name, a file that does not fit, or no file given and the download fails.
        """
        from torchvision.models import detection

        if name not in DETECTORS:
            raise InputError(f"unknown detector {name!r}; allowed: {', '.join(DETECTORS)}.")
        if not 0 <= least_score <= 1:
            raise InputError(f"least_score is {least_score}; allowed is a number from 0 to 1.")
        network = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=_CLASSES)
        state = _downloaded(name) if weights is None else _state(Path(weights))
        try:
            network.load_state_dict(state)
        except (RuntimeError, AttributeError, TypeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"{weights} does not hold the weights of {name} ({reason}); give its own.") from error
        self.name, self.least_score = name, least_score
        self._device = place(device, "float32").device
        self._network = network.eval().to(self._device)

    @torch.no_grad()
    def __call__(self, pixels: Pictures) -> tuple[Found, ...]:
        """The people in one frame (height, width, 3) RGB, the surest first."""
        image = torch.from_numpy(pixels).to(self._device).permute(2, 0, 1).float() / 255
        found = self._network([image])[0]
        chosen = (found["labels"] == _PERSON) & (found["scores"] >= self.least_score)
        boxes, scores = found["boxes"][chosen].tolist(), found["scores"][chosen].tolist()
        return tuple(
            Found(left, top, right - left, bottom - top, score)
            for (left, top, right, bottom), score in zip(boxes, scores, strict=True)
            if right > left and bottom > top
        )


def _downloaded(name: str) -> Any:
    from torchvision.models import get_model_weights

    chosen: Any = get_model_weights(name).DEFAULT
    try:
        return chosen.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"the weights of {name} can't be had ({error}). On a machine with a network, download {chosen.url} and "
            "give the file with --weights; or give boxes with --boxes."
        ) from error


def _state(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights; check the path.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's and safetensors' readers raise many kinds
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} can't be read as weights ({reason}); give a .pth or .safetensors file.") from error
