"""Cheap features without any training: what a trained model has to beat."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError

_LEVELS = 32  # per channel, of the table from colour to bin
_GREYS = 8
_HUES, _SATURATIONS, _VALUES = 12, 2, 3
_BINS = _GREYS + _HUES * _SATURATIONS * _VALUES
_LEAST_SATURATION = _LEAST_VALUE = 0.15  # below either the hue is noise: the pixel counts as grey

UInt8 = npt.NDArray[np.uint8]


def colour_histogram(
    pictures: Iterable[UInt8], *, stripes: int = 6, grey_world: bool = False
) -> npt.NDArray[np.float32]:
    """Colour histograms of horizontal stripes, the classic hand-made description of what a person wears.

    Each picture is cut into equal horizontal stripes (head, chest, ..., feet). A stripe's pixels are counted
    in 80
    colours: 8 levels of grey, and 12 hues x 2 saturations x 3 values of HSV. Every stripe's counts are scaled
        to sum
    to 1 and square-rooted (Hellinger), the whole to length 1, so the cosine distance is one minus the mean
    Bhattacharyya coefficient. Mirroring changes nothing; it knows nothing of shape, and of light only what
    `grey_world` evens out. Pictures may differ in size and are looked at one at a time.

    Args:
        pictures: (h, w, 3) uint8 RGB each; an (n, h, w, 3) array will do.
        stripes: number of stripes, at least 1.
        grey_world: scale each picture's channels to one common mean first, against the colour of the light.

    Returns:
        (n, stripes * 80) float32.

    Raises:
        InputError: `stripes` is below 1, or a picture has another shape or type or no pixels.
    """
    if stripes < 1:
        raise InputError(f"a colour histogram needs at least one stripe, got {stripes}.")
    bins = _colour_bins()
    rows = [
        _describe(_checked(picture, number), bins, stripes, grey_world)
        for number, picture in enumerate(pictures)
    ]
    return np.stack(rows) if rows else np.empty((0, stripes * _BINS), dtype=np.float32)


def _checked(picture: UInt8, number: int) -> UInt8:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise InputError(
            f"picture {number} is {picture.dtype} {picture.shape}; needed is uint8 RGB of shape (h, w, 3)."
        )
    return picture


def _describe(
    picture: UInt8, bins: npt.NDArray[np.int64], stripes: int, grey_world: bool
) -> npt.NDArray[np.float32]:
    """The descriptor of one picture. (h, w, 3) -> (stripes * 80,)."""
    if grey_world:
        means = picture.reshape(-1, 3).mean(axis=0)
        gains = means.mean() / np.maximum(means, 1)
        picture = np.minimum(picture * gains + 0.5, 255).astype(np.uint8)
    red, green, blue = np.moveaxis(picture.astype(np.intp) * _LEVELS // 256, 2, 0)
    stripe = np.arange(len(picture)) * stripes // len(picture)
    cells = bins[(red * _LEVELS + green) * _LEVELS + blue] + stripe[:, None] * _BINS
    counts = np.bincount(cells.reshape(-1), minlength=stripes * _BINS).reshape(stripes, _BINS)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    descriptor: npt.NDArray[np.float32] = np.sqrt(shares / stripes).astype(np.float32).reshape(-1)
    return descriptor


def _colour_bins() -> npt.NDArray[np.int64]:
    """(32^3,) the bin of each RGB colour at 32 levels per channel: no pixel needs converting to HSV."""
    steps = (np.arange(_LEVELS) + 0.5) / _LEVELS
    colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    value = colours.max(axis=1)
    chroma = value - colours.min(axis=1)
    saturation = chroma / value
    red, green, blue = colours.T
    with np.errstate(invalid="ignore", divide="ignore"):  # greys have no hue; their bin ignores it
        sextant = np.select(
            [chroma == 0, value == red, value == green],
            [0, (green - blue) / chroma, (blue - red) / chroma + 2],
            (red - green) / chroma + 4,
        )
    # Half a bin further, so that the pure colours lie in the middle of theirs.
    hue = np.floor(sextant / 6 * _HUES + 0.5).astype(np.int64) % _HUES
    vivid = np.where(saturation > (1 + _LEAST_SATURATION) / 2, 1, 0)
    bright = np.minimum((value * _VALUES).astype(np.int64), _VALUES - 1)
    grey = np.minimum((value * _GREYS).astype(np.int64), _GREYS - 1)
    coloured = _GREYS + (hue * _SATURATIONS + vivid) * _VALUES + bright
    bins: npt.NDArray[np.int64] = np.where(
        (saturation < _LEAST_SATURATION) | (value < _LEAST_VALUE), grey, coloured
    )
    return bins
