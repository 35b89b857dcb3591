"""One walker at one moment as a cut-out for a frame: colours, outline, and the shadow on the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from strongreid.synthetic.raster import Light, Window, facing_camera, shade, splat
from strongreid.synthetic.trace import Mask
from strongreid.synthetic.tube import Floats
from strongreid.synthetic.walk import Footing, Lens, Walk

_LARGE = 300  # pixels tall; from here on, one canvas pixel per frame pixel is enough
_COARSE = 180  # rows of a frame at which a shadow is drawn, since it is blurred anyway
_EVERY = 5  # of so many surfels one casts a shadow


@dataclass(frozen=True)
class Figure:
    """A cut-out; rectangles are left, top, right, bottom in frame pixels, and may stick out of the frame."""

    identity: int
    z: float
    """Metres ahead of the camera."""
    rectangle: tuple[int, int, int, int]
    colours: Floats
    """(rows, columns, 3), 0 to 255, already multiplied by `cover`."""
    cover: Floats
    """(rows, columns, 1), 0 to 1."""
    mask: Mask
    """(rows, columns): covered by half or more."""
    shadow_rectangle: tuple[int, int, int, int]
    shadow: Floats
    """(rows, columns, 1): factors for the ground."""


def draw_figure(walk: Walk, footing: Footing, lens: Lens, light: Light, darkness: float) -> Figure:
    """The walker, cut out; `darkness` is the share of the ground's light that a shadow takes."""
    body = walk.body
    places, normals = body.pose(footing.stance, footing.yaw, footing.elevation)
    x, y, ahead = _stand_up(places, footing)
    across, down = _project(x, y, ahead, lens)
    fine = 2 if lens.focal / footing.z * body.person.height < _LARGE else 1
    rectangle = (
        math.floor(float(across.min())) - 1,
        math.floor(float(down.min())) - 1,
        math.ceil(float(across.max())) + 2,
        math.ceil(float(down.max())) + 2,
    )
    columns, rows = rectangle[2] - rectangle[0], rectangle[3] - rectangle[1]
    on_canvas = np.stack([across * np.float32(fine), down * np.float32(-fine), places[2]])
    window = Window(rectangle[0] * fine, -rectangle[1] * fine, 1.0, 1.0)
    spacing = round(body.spacing * lens.focal / footing.z * fine, 4)
    facing = facing_camera(on_canvas, normals)
    pixels, surfels = splat(on_canvas, facing, window, (rows * fine, columns * fine), spacing)
    upright = np.stack([x, y])
    colours = shade(surfels, upright, normals, body.albedo, light, body.person.height)
    canvas = np.zeros((rows * fine * columns * fine, 4), np.float32)
    canvas[pixels, :3] = np.minimum(colours, 255).T
    canvas[pixels, 3] = 1
    small = _shrink(canvas.reshape(rows * fine, columns * fine, 4), fine)
    box, shadow = _shadow(x, y, ahead, lens, light.towards_sun, darkness)
    cover = small[..., 3:]
    return Figure(walk.identity, footing.z, rectangle, small[..., :3], cover, cover[..., 0] >= 0.5, box, shadow)


def _stand_up(places: Floats, footing: Footing) -> tuple[Floats, Floats, Floats]:
    """From the line of sight to the ground: metres to the right of the camera's axis, up, and ahead, (surfels,)."""
    sine, cosine = (np.float32(round(f(footing.elevation), 5)) for f in (math.sin, math.cos))
    up, nearer = cosine * places[1] + sine * places[2], cosine * places[2] - sine * places[1]
    sine, cosine = (np.float32(round(f(footing.azimuth), 5)) for f in (math.sin, math.cos))
    right = np.float32(round(footing.x, 4)) + cosine * places[0] - sine * nearer
    ahead = np.float32(round(footing.z, 4)) - cosine * nearer - sine * places[0]
    return right, up, ahead


def _project(x: Floats, y: Floats, ahead: Floats, lens: Lens) -> tuple[Floats, Floats]:
    """Columns and rows of the frame, (surfels,)."""
    scale = np.float32(lens.focal) / np.maximum(ahead, np.float32(0.5))
    across = np.float32(lens.middle) + x * scale
    down = np.float32(round(lens.horizon, 4)) + (np.float32(round(lens.camera_height, 4)) - y) * scale
    return across, down


def _shrink(canvas: Floats, factor: int) -> Floats:
    if factor == 1:
        return canvas
    pairs = canvas[0::2] + canvas[1::2]
    small: Floats = (pairs[:, 0::2] + pairs[:, 1::2]) * np.float32(0.25)
    return small


def _shadow(
    x: Floats, y: Floats, ahead: Floats, lens: Lens, towards_sun: tuple[float, float, float], darkness: float
) -> tuple[tuple[int, int, int, int], Floats]:
    """Where the sun throws the surfels on the ground: a rectangle, and factors within it."""
    coarse = max(1, lens.height // _COARSE)
    east, high, near = towards_sun
    high = max(high, 0.35)
    tall = y[::_EVERY]
    right = x[::_EVERY] - tall * np.float32(round(east / high, 5))
    away = ahead[::_EVERY] + tall * np.float32(round(near / high, 5))
    across, down = _project(right, np.zeros_like(tall), np.maximum(away, np.float32(1.5)), lens)
    left, top = math.floor(float(across.min())) - 2 * coarse, math.floor(float(down.min())) - 2 * coarse
    columns = min(math.ceil((float(across.max()) - left) / coarse) + 3, lens.width)
    rows = min(math.ceil((float(down.max()) - top) / coarse) + 3, lens.height)
    mask = np.zeros((rows, columns), np.uint8)
    row = ((down - np.float32(top)) * np.float32(1 / coarse)).astype(np.int64)
    column = ((across - np.float32(left)) * np.float32(1 / coarse)).astype(np.int64)
    kept = (row < rows) & (column < columns)
    mask[row[kept], column[kept]] = 255
    soft = Image.fromarray(mask).filter(ImageFilter.MaxFilter(3)).filter(ImageFilter.BoxBlur(1))
    size = (columns * coarse, rows * coarse)
    levels = (1 - np.arange(256) * (round(darkness, 4) / 255)).astype(np.float32)
    factors: Floats = levels[np.asarray(soft.resize(size, Image.Resampling.BILINEAR))][..., None]
    return (left, top, left + size[0], top + size[1]), factors
