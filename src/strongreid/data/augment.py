"""Batched augmentation on the training device: flip, pad-and-crop, normalise, random erasing (tricks: paper 3.2).

Drawing and doing are apart: random numbers come from the CPU, so that a run is the same on every device, and those of
many batches travel to a GPU at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from strongreid.data.images import IMAGENET_MEAN as IMAGENET_MEAN
from strongreid.data.images import IMAGENET_STD as IMAGENET_STD

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
        if pictures.device.type == "cpu":
            return self.one_by_one(pictures, draws)
        return self.at_once(pictures, draws)

    def at_once(self, pictures: Tensor, draws: Draws) -> Tensor:
        """`apply` in a few operations on the whole batch, as a GPU likes it."""
        images = normalize(flip_and_crop(pictures, draws, self.pad))
        return images if draws.box is None else random_erasing(images, draws.box, fill=self.erasing_fill)

    def one_by_one(self, pictures: Tensor, draws: Draws) -> Tensor:
        """`apply` picture by picture: on a CPU each stays in the cache from the crop to the end. The same bits."""
        count, height, width, _ = pictures.shape
        scale, shift = _rows_of(width, IMAGENET_MEAN, IMAGENET_STD, pictures.device)
        value = _constant(_fill_value(self.erasing_fill), pictures.device).repeat(width)
        rows = pictures.reshape(count, height, 3 * width)
        mirrored = draws.mirrored.tolist()
        images = torch.from_numpy(np.empty(rows.shape, dtype=np.float32))  # numpy asks for large pages
        boxes = [None] * count if draws.box is None else draws.box.tolist()
        for number, ((down, right), box) in enumerate(zip(draws.offset.tolist(), boxes, strict=True)):
            source = rows[number]
            if mirrored[number]:  # as one image in channels-last memory, which torch flips fastest
                turned = pictures[number : number + 1].permute(0, 3, 1, 2).flip(3).permute(0, 2, 3, 1)
                source = turned.reshape(height, 3 * width)
            image, top, left = images[number], down - self.pad, right - self.pad
            if top or left:
                image.copy_(shift)  # black
            inside = source[max(top, 0) : max(height + top, 0), 3 * max(left, 0) : 3 * max(width + left, 0)]
            high, wide = inside.shape
            there = image[max(-top, 0) : max(-top, 0) + high, 3 * max(-left, 0) : 3 * max(-left, 0) + wide]
            torch.addcmul(shift[:wide], inside.float(), scale[:wide], out=there)
            if box is not None and box[2]:
                y, x, tall, across = box
                image[y : y + tall, 3 * x : 3 * (x + across)] = value[: 3 * across]
        return images.view(count, height, width, 3).permute(0, 3, 1, 2)


def normalize(
    pictures: Tensor, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
) -> Tensor:
    """Scale uint8 (b, h, w, 3) to [0, 1], subtract `mean`, divide by `std`: float32 (b, 3, h, w), channels last."""
    count, height, width, _ = pictures.shape
    scale, shift = _rows_of(width, mean, std, pictures.device)
    images = torch.addcmul(shift, pictures.reshape(count, height, 3 * width).float(), scale)
    return images.view(count, height, width, 3).permute(0, 3, 1, 2)


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
    share, ratio = torch.rand(2, count, attempts, generator=generator, dtype=torch.float64).numpy()
    pixels = (area[0] + share * (area[1] - area[0])) * height * width
    ratio = aspect[0] + ratio * (aspect[1] - aspect[0])
    tall, wide = np.sqrt(pixels * ratio).round(), np.sqrt(pixels / ratio).round()
    fits = (tall < height) & (wide < width)
    chosen = np.arange(count), fits.argmax(axis=1)
    tall, wide = tall[chosen], wide[chosen]
    place = torch.rand(2, count, generator=generator, dtype=torch.float64).numpy()
    top = np.floor(place[0] * (height - tall + 1))
    left = np.floor(place[1] * (width - wide + 1))
    tall = tall * fits.any(axis=1)
    return torch.from_numpy(np.stack([top, left, tall, wide], axis=1).astype(np.int64))


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
    value = _constant(_fill_value(fill), images.device)
    return torch.where((high[:, :, None] & across[:, None])[:, None], value[:, None, None], images)


def _fill_value(fill: Fill) -> tuple[float, ...]:
    return (0.0, 0.0, 0.0) if fill == "mean" else IMAGENET_MEAN


def _rows_of(
    width: int, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Factor and summand of normalising for the 3 * width numbers of a row: long loops, where 3 would be short."""
    scale = _constant(tuple(1 / (255 * s) for s in std), device)
    shift = _constant(tuple(-m / s for m, s in zip(mean, std, strict=True)), device)
    return scale.repeat(width), shift.repeat(width)


@cache
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Kept on the device: making one there anew would wait for all that is queued before it."""
    return torch.tensor(values, device=device)
