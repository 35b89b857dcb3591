"""Batched augmentation on the training device: flip, pad-and-crop, normalise, random erasing (tricks: paper 3.2).

All random numbers are drawn on the CPU from the generator handed in, so a run is the same on every device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Fill = Literal["mean", "released"]


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
        images = normalize(flip_and_crop(pictures, self.flip, self.pad, generator))
        return random_erasing(images, self.erasing, generator, fill=self.erasing_fill)


def normalize(
    pictures: Tensor, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
) -> Tensor:
    """Scale uint8 (b, h, w, 3) to [0, 1], subtract `mean`, divide by `std`: float32 (b, 3, h, w), channels last."""
    scale = torch.tensor([1 / (255 * s) for s in std], device=pictures.device)
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=pictures.device)
    return torch.addcmul(-shift, pictures.float(), scale).permute(0, 3, 1, 2)


def flip_and_crop(pictures: Tensor, flip: float, pad: int, generator: torch.Generator) -> Tensor:
    """Flip each picture with probability `flip`; pad with black and crop at a uniform place. uint8 in and out."""
    count, height, width, _ = pictures.shape
    device = pictures.device
    mirrored = (torch.rand(count, generator=generator) < flip).to(device)
    down, right = torch.randint(0, 2 * pad + 1, (2, count), generator=generator).to(device)
    columns = torch.arange(width, device=device).expand(count, width)
    rows = torch.arange(height, device=device).expand(count, height) + down[:, None]
    # The reference flips first and crops the flipped picture: mirror inside the padded frame.
    columns = columns + right[:, None]
    columns = torch.where(mirrored[:, None], width + 2 * pad - 1 - columns, columns)
    padded = pictures.new_zeros(count, height + 2 * pad, width + 2 * pad, 3)
    padded[:, pad : pad + height, pad : pad + width] = pictures
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


def random_erasing(images: Tensor, probability: float, generator: torch.Generator, *, fill: Fill = "mean") -> Tensor:
    """Fill a random rectangle of each image with probability `probability`; normalised (b, 3, h, w)."""
    if probability == 0:
        return images
    count, _, height, width = images.shape
    chosen = torch.rand(count, generator=generator) < probability
    box = erasing_boxes(count, height, width, generator)
    box[:, 2] *= chosen
    top, left, tall, wide = box.to(images.device).T[..., None]
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    inside = ((rows >= top) & (rows < top + tall))[:, :, None] & ((columns >= left) & (columns < left + wide))[
        :, None
    ]
    value = torch.zeros(3) if fill == "mean" else torch.tensor(IMAGENET_MEAN)
    return torch.where(inside[:, None], value.to(images.device)[:, None, None], images)
