"""The shadows that bodies throw on the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from strongreid.synthetic.raster import Window
from strongreid.synthetic.tube import Floats

Pixels = npt.NDArray[np.uint8]

_EVERY = 7  # one surfel in so many is enough for a mask of a quarter of the size
_LOWEST = 0.32  # sine of the sun's least height: a longer shadow would leave every picture anyway
_SCALE = 4
_CONTACT = 0.36
_LEVELS = np.arange(256, dtype=np.uint16)


@dataclass(frozen=True)
class ShadowCaster:
    """A body as the camera sees it, and the part of the picture's plane that it stands in."""

    places: Floats
    """(3, surfels), with perspective."""
    window: Window


def shadows_on_ground(
    casters: list[ShadowCaster],
    size: tuple[int, int],
    towards_sun: tuple[float, float, float],
    view: tuple[float, float],
    strength: tuple[float, float],
) -> Image.Image:
    """A picture in mode L of how much light is left on the ground, 255 is all of it.

    `size` is (rows, columns); `view` the camera's elevation in radians and its distance in metres; `strength` the
    share of the light that a shadow takes, and the softness of its edge, both 0 to 1.
    """
    rows, columns = size
    shape = (max(2, rows // _SCALE), max(2, columns // _SCALE))
    cast = np.zeros(shape, np.uint8)
    contact = np.zeros(shape, np.uint8)
    for caster in casters:
        _throw(cast, caster, towards_sun, view)
        _touch(contact, caster.window)
    blurred = Image.fromarray(cast).filter(ImageFilter.GaussianBlur(round(0.8 + 2.2 * strength[1], 2)))
    taken = _LEVELS * np.uint16(round(255 * strength[0])) // np.uint16(255)
    touched = np.asarray(Image.fromarray(contact).filter(ImageFilter.GaussianBlur(1.5)))
    left = 255 - np.maximum(taken.astype(np.uint8).take(np.asarray(blurred)), touched)
    return Image.fromarray(left).resize((columns, rows), Image.Resampling.BILINEAR)


def _throw(
    mask: Pixels,
    caster: ShadowCaster,
    towards_sun: tuple[float, float, float],
    view: tuple[float, float],
) -> None:
    """Mark where lines from the sun through the body meet the ground, in place."""
    elevation, distance = round(view[0], 6), np.float32(view[1])
    up, towards = np.float32(math.cos(elevation)), np.float32(math.sin(elevation))
    spot = np.ascontiguousarray(caster.places[:, ::_EVERY])
    spot[:2] *= (distance - spot[2]) / distance
    east, high, near = (round(part, 6) for part in towards_sun)
    fall = spot[1] * up
    fall += spot[2] * towards
    fall /= np.float32(max(_LOWEST, high * float(up) + near * float(towards)))
    spot -= fall * np.array([[east], [high], [near]], np.float32)
    x, y, z = spot
    away = np.subtract(distance, z, out=z)
    nearer = np.divide(distance, np.maximum(away, np.float32(1.0), out=away), out=away)
    window = caster.window
    x *= nearer
    x -= np.float32(window.left)
    x *= np.float32(window.across / _SCALE)
    y *= nearer
    down = np.subtract(np.float32(window.top), y, out=y)
    down *= np.float32(window.down / _SCALE)
    rows, columns = mask.shape
    inside = ((x >= 0) & (x < columns) & (down >= 0) & (down < rows)).nonzero()[0]
    place = down.take(inside).astype(np.int64)
    place *= columns
    place += x.take(inside).astype(np.int64)
    mask.reshape(-1)[place] = 255


def _touch(contact: Pixels, window: Window) -> None:
    """Darken the ground between and around the feet, in place: even an overcast sky leaves a shadow there."""
    x, y = -window.left * window.across / _SCALE, (window.top - 0.02) * window.down / _SCALE
    wide, tall = max(2.0, 0.28 * window.across / _SCALE), max(1.0, 0.09 * window.down / _SCALE)
    left, top, right, bottom = round(x - wide), round(y - tall), round(x + wide), round(y + tall)
    rows, columns = contact.shape
    if bottom < 0 or right < 0 or top >= rows or left >= columns:
        return
    part = _oval(right - left + 1, bottom - top + 1)[max(0, -top) : rows - top, max(0, -left) : columns - left]
    there = contact[max(0, top) : bottom + 1, max(0, left) : right + 1]
    np.maximum(there, part, out=there)


@lru_cache(maxsize=256)
def _oval(columns: int, rows: int) -> Pixels:
    """(rows, columns): there are a few dozen sizes, and drawing one takes longer than laying it down."""
    image = Image.new("L", (columns, rows))
    ImageDraw.Draw(image).ellipse((0, 0, columns - 1, rows - 1), fill=round(255 * _CONTACT))
    return np.asarray(image)
