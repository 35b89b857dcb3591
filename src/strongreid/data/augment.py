"""Batched augmentation on the training device: flip, pad-and-crop, normalise, random erasing (tricks: paper 3.2).

Drawing and doing are apart: random numbers come from the CPU, so that a run is the same on every device, and those of
many batches travel to a GPU at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Fill = Literal["mean", "released"]


@dataclass(frozen=True, slots=True)
class Draws:
    """What was drawn for b pictures, or for several batches of b: every tensor then has a batch in front."""

    mirrored: Tensor
    """Which to mirror, bool (b,)."""
    offset: Tensor
    """Where the crop starts in the padded picture, down and right, int64 (b, 2)."""
    box: Tensor | None
    """What to erase: top, left, height, width, int64 (b, 4); height 0 for nothing. None where erasing is off."""

    def to(self, device: torch.device) -> Draws:
        """The same on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def __getitem__(self, where: int | slice) -> Draws:
        """Those of one batch of several, or of some pictures of a batch."""
        return self._map(lambda tensor: tensor[where])

    @staticmethod
    def stack(draws: Sequence[Draws]) -> Draws:
        """Several batches of as many pictures as one."""
        boxes = [draw.box for draw in draws if draw.box is not None]
        return Draws(
            torch.stack([draw.mirrored for draw in draws]),
            torch.stack([draw.offset for draw in draws]),
            torch.stack(boxes) if boxes else None,
        )

    def _map(self, change: Callable[[Tensor], Tensor]) -> Draws:
        return Draws(change(self.mirrored), change(self.offset), None if self.box is None else change(self.box))


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What happens to a training batch; each part has its neutral setting."""

    flip: float = 0.5
    """Probability of a horizontal flip; 0 is off."""
    pad: int = 10
    """Black pixels added on every side before a random crop back to size; 0 is off."""
    erasing: float = 0.5
    """Probability of random erasing; 0 is off."""
    erasing_fill: Fill = "mean"
    """"mean": the mean pixel, as in the paper. "released": the raw ImageNet mean written after normalising."""

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Turn uint8 pictures (b, h, w, 3) into normalised float32 (b, 3, h, w) in channels-last memory."""
        count, height, width, _ = pictures.shape
        return self.apply(pictures, self.draw(count, height, width, generator))

    def draw(self, count: int, height: int, width: int, generator: torch.Generator) -> Draws:
        """Draw for `count` pictures of this size, on the CPU, so that a run is the same on every device."""
        mirrored = torch.rand(count, generator=generator) < self.flip
        offset = torch.randint(0, 2 * self.pad + 1, (2, count), generator=generator).T
        if self.erasing == 0:
            return Draws(mirrored, offset, None)
        return Draws(mirrored, offset, chosen_boxes(count, height, width, self.erasing, generator))

    def apply(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Do to uint8 pictures (b, h, w, 3) what was drawn, on their device, without waiting for it."""
        images = normalize(flip_and_crop(pictures, draws, self.pad))
        return images if draws.box is None else random_erasing(images, draws.box, fill=self.erasing_fill)


def normalize(
    pictures: Tensor, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
) -> Tensor:
    """Scale uint8 (b, h, w, 3) to [0, 1], subtract `mean`, divide by `std`: float32 (b, 3, h, w), channels last."""
    scale = _constant(tuple(1 / (255 * s) for s in std), pictures.device)
    shift = _constant(tuple(-m / s for m, s in zip(mean, std, strict=True)), pictures.device)
    return torch.addcmul(shift, pictures.float(), scale).permute(0, 3, 1, 2)


def flip_and_crop(pictures: Tensor, draws: Draws, pad: int) -> Tensor:
    """Mirror the drawn pictures, pad all with `pad` black pixels, crop where drawn. uint8 (b, h, w, 3) in and out."""
    count, height, width, _ = pictures.shape
    device = pictures.device
    down, right = draws.offset[:, :1], draws.offset[:, 1:]
    rows = torch.arange(height, device=device) + down
    columns = torch.arange(width, device=device) + right
    # The reference flips first and crops the flipped picture: mirror inside the padded frame.
    columns = torch.where(draws.mirrored[:, None], width + 2 * pad - 1 - columns, columns)
    padded = F.pad(pictures, (0, 0, pad, pad, pad, pad))
    batch = torch.arange(count, device=device)[:, None, None]
    return padded[batch, rows[:, :, None], columns[:, None, :]]


def erasing_boxes(
    count: int,
    height: int,
    width: int,
    generator: torch.Generator,
    area: tuple[float, float] = (0.02, 0.4),
    aspect: tuple[float, float] = (0.3, 1 / 0.3),
    attempts: int = 100,
) -> Tensor:
    """Draw `count` rectangles (top, left, height, width), int64 (count, 4); height 0 where no attempt fitted.

    The area's share and the aspect ratio are uniform (the ratio not log-uniform); an attempt counts where the
    rectangle is smaller than the picture in both directions (Zhong et al. 2017; paper section 3.2).
    """
    share, ratio = torch.rand(2, count, attempts, generator=generator, dtype=torch.float64)
    pixels = (area[0] + share * (area[1] - area[0])) * height * width
    ratio = aspect[0] + ratio * (aspect[1] - aspect[0])
    tall, wide = (pixels * ratio).sqrt().round(), (pixels / ratio).sqrt().round()
    fits = (tall < height) & (wide < width)
    first = fits.to(torch.int8).argmax(1, keepdim=True)
    tall, wide = tall.gather(1, first)[:, 0], wide.gather(1, first)[:, 0]
    place = torch.rand(2, count, generator=generator, dtype=torch.float64)
    top = (place[0] * (height - tall + 1)).floor()
    left = (place[1] * (width - wide + 1)).floor()
    tall = tall * fits.any(1)
    return torch.stack([top, left, tall, wide], 1).long()


def chosen_boxes(count: int, height: int, width: int, probability: float, generator: torch.Generator) -> Tensor:
    """Rectangles of `erasing_boxes`, with height 0 for the pictures that the `probability` leaves alone."""
    chosen = torch.rand(count, generator=generator) < probability
    box = erasing_boxes(count, height, width, generator)
    box[:, 2] *= chosen
    return box


def random_erasing(images: Tensor, box: Tensor, *, fill: Fill = "mean") -> Tensor:
    """Fill the rectangle `box` (b, 4: top, left, height, width) of each of the normalised images (b, 3, h, w)."""
    height, width = images.shape[2:]
    top, left, tall, wide = box.T[..., None]
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    high = (rows >= top) & (rows < top + tall)
    across = (columns >= left) & (columns < left + wide)
    value = _constant((0.0, 0.0, 0.0) if fill == "mean" else IMAGENET_MEAN, images.device)
    return torch.where((high[:, :, None] & across[:, None])[:, None], value[:, None, None], images)


@cache
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Kept on the device: making one there anew would wait for all that is queued before it."""
    return torch.tensor(values, device=device)
