"""From surfels to pixels: splat, hide what lies behind, shade."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from strongreid.synthetic.tube import Floats

_GRAZING = np.float32(-0.08)  # normals a little beyond the edge still count, or outlines fray
_DAPPLES = np.float32(26.0)
_DEPTH_ORIGIN, _DEPTH_STEPS = np.float32(2.0), np.float32(16000.0)  # metres, and steps per metre in uint16


Indices = npt.NDArray[np.int64]
Surfels = npt.NDArray[np.int32]
Canvas = npt.NDArray[np.uint32] | npt.NDArray[np.uint64] | npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Light:
    """Light on a body: directions as the camera sees them (x right, y up, z to it), strengths per colour."""

    towards_sun: tuple[float, float, float]
    sun: tuple[float, float, float]
    sky: tuple[float, float, float]
    bounce: tuple[float, float, float]
    """Light from the ground, on what faces down."""
    shade_edge: float = 0.0
    """Below this share of the body height something else's shadow falls on the body."""
    shade_left: float = 1.0
    """How much of the sun is left in that shadow."""
    dapples: Floats | None = None
    """(64, 64): a pattern of shade that lies over the body, as shares of the sun; `_DAPPLES` cells a metre."""


@dataclass(frozen=True)
class Window:
    """The part of the camera's plane that a canvas shows."""

    left: float
    """Metres from the body's axis."""
    top: float
    """Metres above the ground under the body."""
    across: float
    """Pixels per metre."""
    down: float
    """Pixels per metre."""


def splat(
    places: Floats, normals: Floats, window: Window, shape: tuple[int, int], spacing: float
) -> tuple[Indices, Surfels]:
    """Which surfel each pixel of a canvas shows: flat pixel numbers, and the surfels there.

    `shape` is (rows, columns), `spacing` the metres between neighbouring surfels. Of those that claim a pixel the
    nearest to the camera wins, of equally near ones the last.
    """
    facing, pixel = _land(places, normals, window, shape)
    # Depth and number in one word, so that the larger word is the surfel to be seen; 0 is nobody.
    word, bits = (np.uint32, 16) if len(facing) < 1 << 16 else (np.uint64, 32)
    words = ((places[2].take(facing) + _DEPTH_ORIGIN) * _DEPTH_STEPS).astype(np.uint16).astype(word)
    words <<= word(bits)
    words |= np.arange(1, len(facing) + 1, dtype=word)
    nearest = np.zeros(shape, word)
    np.maximum.at(nearest.reshape(-1), pixel, words)
    nearest = _spread(nearest, _side(spacing, window))
    shown = np.flatnonzero(_close_pinholes(nearest))
    numbers = (nearest.reshape(-1).take(shown) & word((1 << bits) - 1)).astype(np.int64)
    numbers -= 1
    return shown, facing.astype(np.int32).take(numbers)


def count_pixels(places: Floats, normals: Floats, window: Window, shape: tuple[int, int], spacing: float) -> int:
    """How many pixels `splat` would give, in half the time."""
    _, pixel = _land(places, normals, window, shape)
    covered = np.zeros(shape, np.bool_)
    covered.reshape(-1)[pixel] = True
    return int(np.count_nonzero(_close_pinholes(_spread(covered, _side(spacing, window)))))


def _side(spacing: float, window: Window) -> int:
    """The side of a surfel's square in pixels."""
    return max(2, math.ceil(spacing * window.down))


def _land(places: Floats, normals: Floats, window: Window, shape: tuple[int, int]) -> tuple[Indices, Indices]:
    """The surfels that face the camera and lie inside the canvas, and the flat pixel under each of them."""
    height, width = shape
    facing = np.flatnonzero(normals[2] > _GRAZING)
    across = places[0].take(facing)
    across -= np.float32(window.left)
    across *= np.float32(window.across)
    down = np.float32(window.top) - places[1].take(facing)
    down *= np.float32(window.down)
    # Mostly all of the body is inside, which takes less to see than where.
    if len(facing) and not (
        across.min() > 0 and across.max() < width - 1 and down.min() > 0 and down.max() < height - 1
    ):
        inside = np.flatnonzero((across > 0) & (across < width - 1) & (down > 0) & (down < height - 1))
        facing, across, down = facing.take(inside), across.take(inside), down.take(inside)
    pixel = down.astype(np.int64)
    pixel *= width
    pixel += across.astype(np.int32)
    return facing, pixel


def _spread(seeds: Canvas, side: int) -> Canvas:
    """Let every surfel cover `side` x `side` pixels; of those that claim a pixel the largest wins."""
    width, flat = seeds.shape[1], seeds.reshape(-1)
    taller = flat.copy()
    np.maximum(flat[width:], flat[:-width], out=taller[width:])
    wider = taller.copy()
    # In one line: nothing lies in the last column, so nothing comes round to the next row.
    np.maximum(taller[1:], taller[:-1], out=wider[1:])
    spread = wider.reshape(seeds.shape)
    for step in range(1, side - 1):
        for view in (spread, spread.T):
            former, latter = view[:-1], view[1:]
            if step % 2 == 0:
                np.maximum(latter, former, out=latter)
            else:
                np.maximum(latter, former, out=former)
    return spread


def _close_pinholes(nearest: Canvas) -> npt.NDArray[np.bool_]:
    """Fill single empty pixels between two covered ones, in place: knees and elbows stretch. Returns what is covered.

    Down first, then across; whole rows are compared as one, and pairs across a row's end left out.
    """
    width, flat = nearest.shape[1], nearest.reshape(-1)
    covered: npt.NDArray[np.bool_] = flat != 0
    for step in (width, 1):
        before = np.flatnonzero((covered[: -2 * step] & covered[2 * step :]) > covered[step:-step])
        if step == 1:
            before = before[before % width < width - 2]
        flat[before + step] = flat.take(before)
        covered[before + step] = True
    return covered


def shade(
    surfels: npt.NDArray[np.signedinteger[Any]],
    places: Floats,
    normals: Floats,
    albedo: Floats,
    light: Light,
    body_height: float,
) -> Floats:
    """(3, surfels) float32: the colours of the given surfels, 0 to 255 and above; `albedo` is (3, all surfels)."""
    towards = normals.take(surfels, 1)
    squares = towards * towards
    lengths = np.sqrt(squares[0] + squares[1] + squares[2])
    lengths += np.float32(1e-6)
    towards *= np.divide(1, lengths, out=lengths)
    sunlit = _dot(towards, light.towards_sun)
    level = np.clip(places[1].take(surfels) * np.float32(1 / body_height), 0, 1)
    if light.shade_left < 1.0:
        sunlit = np.where(level > light.shade_edge, sunlit, sunlit * np.float32(light.shade_left))
    if light.dapples is not None:
        across, down = ((places[axis].take(surfels) * _DAPPLES).astype(np.int32) & 63 for axis in (0, 1))
        sunlit = sunlit * light.dapples[down, across]
    _, upward, facing = towards
    # Cavities, and what is near the ground, see less of the sky.
    openness = np.clip(0.74 + 0.46 * facing, 0.5, 1.05) * (0.82 + 0.18 * np.minimum(1, level * 2.2))
    above = 0.5 + 0.5 * upward
    from_sky, from_ground = (0.65 + 0.35 * above) * openness, (1 - above) * openness
    strengths: Floats = _per_colour(light.sky) * from_sky
    strengths += _per_colour(light.bounce) * from_ground
    strengths += _per_colour(light.sun) * sunlit
    strengths *= albedo.take(surfels, 1)
    return strengths


def _dot(towards: Floats, sun: tuple[float, float, float]) -> Floats:
    """(surfels,): how much of the sun's strength each direction gets."""
    shares = towards * np.array([[round(part, 6)] for part in sun], np.float32)
    sunlit = shares[0] + shares[1]
    sunlit += shares[2]
    lit: Floats = np.maximum(0, sunlit, out=sunlit)
    return lit


def _per_colour(strength: tuple[float, float, float]) -> Floats:
    return np.array(strength, np.float32)[:, None]
