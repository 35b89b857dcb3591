"""Random erasing on a data set's own pictures (the paper's figure 4), done by the augmentation of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from strongreid.data.augment import Augmentation
from strongreid.data.images import IMAGENET_MEAN, IMAGENET_STD, Pictures, decode
from strongreid.data.records import ImageRecord
from strongreid.errors import InputError
from strongreid.evaluation.style import bare, drawing, set_gaps

ALWAYS = Augmentation(flip=0, pad=0, erasing=1)
"""Nothing but erasing, in every picture."""


def draw_erasing(
    pictures: Pictures, path: str | Path, *, samples: int = 3, augmentation: Augmentation = ALWAYS, seed: int = 0
) -> None:
    """Draw pictures (n, h, w, 3) in a row, and below each `samples` of what training would see of it.

    Args:
        pictures: decoded to the size of training, since the rectangle depends on it.
        path: the figure to write.
        samples: rows below the originals.
        augmentation: by default erasing alone, always; the recipe erases in half of the pictures, and flips and
            crops as well.
        seed: of the draws.

    Raises:
        InputError: there are no pictures, samples is below 1, or the file can't be written.
    """
    if not len(pictures) or samples < 1:
        raise InputError(
            f"the figure needs at least one picture and one sample of each, got {len(pictures)} and {samples}."
        )
    rows = [("original", pictures)]
    rows += [("", row) for row in augmented(pictures, samples, augmentation, seed)]
    height, width = pictures.shape[1:3]
    across = 6.4 / len(pictures)
    with drawing(path, 6.4 + 0.3, len(rows) * across * height / width) as figure:
        set_gaps(figure, 0.02, 0)
        grid = figure.subplots(len(rows), len(pictures), squeeze=False)
        for axes, (name, row) in zip(grid, rows, strict=True):
            for place, picture in zip(axes, row, strict=True):
                bare(place)
                place.imshow(picture)
            axes[0].set_ylabel(name)
        grid[1][0].set_ylabel("as training sees it", loc="top" if samples > 1 else "center")


def augmented(pictures: Pictures, samples: int, augmentation: Augmentation, seed: int) -> Pictures:
    """(samples, n, h, w, 3): the pictures augmented, and the normalising undone so that they can be looked at."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.stack([augmentation(torch.from_numpy(pictures), generator) for _ in range(samples)])
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    seen = ((drawn * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(seen.permute(0, 1, 3, 4, 2).numpy())


def some_pictures(records: Sequence[ImageRecord], count: int, height: int, width: int) -> Pictures:
    """Pictures (count, h, w, 3) of as many different identities as there are, evenly spread over the records.

    Raises:
        InputError: there are no records, count is below 1, or a picture can't be read.
    """
    if not records or count < 1:
        raise InputError(f"cannot take {count} of {len(records)} pictures: give a data set with training pictures.")
    first = list({record.identity: record for record in reversed(records)}.values())
    places = np.unique(np.linspace(0, len(first) - 1, count).round().astype(int))
    return np.stack([decode(first[place].path, height, width) for place in places.tolist()])
