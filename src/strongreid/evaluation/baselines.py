"""Cheap features without any training: what a trained model has to beat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from strongreid.errors import InputError

_BINS = (16, 4, 4)
"""Hue, saturation, value."""
_LEAST = 38
"""Of 255: below this saturation or value the hue is noise, and the pixel counts as grey."""
_SPREAD = 0.3
"""Standard deviation of the weight across the picture, in half widths: people stand in the middle."""

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]


def colour_histogram(pictures: Iterable[UInt8], *, stripes: int = 6, grey_world: bool = False) -> Float32:
    """HSV histograms of horizontal stripes, the classic hand-made description of what a person wears.

    Each picture is cut into equal horizontal stripes (head, chest, ..., feet). A stripe's pixels, weighted by a
    Gaussian around the vertical middle line, are counted in 16 hues x 4 saturations x 4 values; the counts are
    smoothed over neighbouring bins, scaled to sum 1 and square-rooted (Hellinger), the whole to length 1. So the
    cosine distance is one minus the mean Bhattacharyya coefficient.

    Args:
        pictures: (h, w, 3) uint8 RGB each; an (n, h, w, 3) array will do.
        stripes: number of stripes, at least 1.
        grey_world: scale each picture's channels to one common mean first, against the colour of the light.

    Returns:
        (n, stripes * 256) float32.

    Raises:
        InputError: `stripes` is below 1, or a picture has another shape or type or no pixels.
    """
    if stripes < 1:
        raise InputError(f"a colour histogram needs at least one stripe, got {stripes}.")
    rows = [_describe(_checked(picture, i), stripes, grey_world) for i, picture in enumerate(pictures)]
    return np.stack(rows) if rows else np.empty((0, stripes * int(np.prod(_BINS))), dtype=np.float32)


def _checked(picture: UInt8, number: int) -> UInt8:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise InputError(
            f"picture {number} is {picture.dtype} {picture.shape}; needed is uint8 RGB of shape (h, w, 3)."
        )
    return picture


def _describe(picture: UInt8, stripes: int, grey_world: bool) -> Float32:
    """The descriptor of one picture: (h, w, 3) to (stripes * 256,)."""
    if grey_world:
        means = picture.reshape(-1, 3).mean(axis=0)
        gains = means.mean() / np.maximum(means, 1)
        picture = np.minimum(picture * gains + 0.5, 255).astype(np.uint8)
    height, width = picture.shape[:2]
    hsv = np.asarray(Image.fromarray(picture).convert("HSV")).astype(np.intp)
    noise = (hsv[..., 1] < _LEAST) | (hsv[..., 2] < _LEAST)
    hue, saturation, value = (hsv[..., axis] * bins // 256 for axis, bins in enumerate(_BINS))
    hue, saturation = np.where(noise, 0, hue), np.where(noise, 0, saturation)
    stripe = (np.arange(height) * stripes // height)[:, None]
    cells = ((stripe * _BINS[0] + hue) * _BINS[1] + saturation) * _BINS[2] + value
    across = (np.arange(width) + 0.5) / width * 2 - 1
    weights = np.broadcast_to(np.exp(-0.5 * (across / _SPREAD) ** 2), (height, width))
    total = stripes * int(np.prod(_BINS))
    flat: npt.NDArray[Any] = np.bincount(cells.reshape(-1), weights.reshape(-1), minlength=total)
    counts = _smoothed(flat.reshape(stripes, *_BINS)).reshape(stripes, -1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    descriptor: Float32 = np.sqrt(shares / stripes).astype(np.float32).reshape(-1)
    return descriptor


def _smoothed(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give each bin a quarter of its neighbours along every colour axis; hue is a circle, the others have ends."""
    counts = counts / 2 + (np.roll(counts, 1, 1) + np.roll(counts, -1, 1)) / 4
    for axis in (2, 3):
        padding = [(0, 0)] * counts.ndim
        padding[axis] = (1, 1)
        padded = np.pad(counts, padding, mode="edge")
        before, after = np.arange(counts.shape[axis]), np.arange(counts.shape[axis]) + 2
        counts = counts / 2 + (padded.take(before, axis) + padded.take(after, axis)) / 4
    return counts
