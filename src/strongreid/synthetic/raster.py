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
_least, _most = np.minimum.reduce, np.maximum.reduce  # without the detour that methods take


Indices = npt.NDArray[np.int64]
Surfels = npt.NDArray[np.int64]
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


@dataclass(frozen=True)
class Facing:
    """The surfels that face the camera: their numbers, and their places to the right and up, (facing,) each."""

    numbers: Surfels
    x: Floats
    y: Floats


def facing_camera(places: Floats, normals: Floats) -> Facing:
    """Found once for all canvases on which a body is drawn in one pose."""
    numbers = (normals[2] > _GRAZING).nonzero()[0]
    return Facing(numbers, places[0].take(numbers), places[1].take(numbers))


def splat(
    places: Floats, facing: Facing, window: Window, shape: tuple[int, int], spacing: float
) -> tuple[Indices, Surfels]:
    """Which surfel each pixel of a canvas shows: flat pixel numbers, and the surfels there.

    `shape` is (rows, columns), `spacing` the metres between neighbouring surfels. Of those that claim a pixel the
    nearest to the camera wins, of equally near ones the last.
    """
    numbers, pixel = _land(facing, window, shape)
    # Depth and number in one word, so that the larger word is the surfel to be seen; 0 is nobody.
    word, bits = (np.uint32, 16) if len(numbers) < 1 << 16 else (np.uint64, 32)
    depth = places[2].take(numbers)
    depth += _DEPTH_ORIGIN
    depth *= _DEPTH_STEPS
    words = depth.astype(np.uint16).astype(word)
    words <<= word(bits)
    words |= np.arange(1, len(numbers) + 1, dtype=word)
    nearest = np.zeros(shape, word)
    np.maximum.at(nearest.reshape(-1), pixel, words)
    nearest = _spread(nearest, _side(spacing, window))
    shown = _close_pinholes(nearest).nonzero()[0]
    chosen = nearest.reshape(-1).take(shown)
    chosen &= word((1 << bits) - 1)
    chosen -= word(1)
    return shown, numbers.take(chosen)


def count_pixels(facing: Facing, window: Window, shape: tuple[int, int], spacing: float) -> int:
    """How many pixels `splat` would give, in half the time."""
    _, pixel = _land(facing, window, shape)
    covered = np.zeros(shape, np.bool_)
    covered.reshape(-1)[pixel] = True
    return int(np.count_nonzero(_close_pinholes(_spread(covered, _side(spacing, window)))))


def _side(spacing: float, window: Window) -> int:
    """The side of a surfel's square in pixels."""
    return max(2, math.ceil(spacing * window.down))


def _land(facing: Facing, window: Window, shape: tuple[int, int]) -> tuple[Surfels, Indices]:
    """The surfels that face the camera and lie inside the canvas, and the flat pixel under each of them."""
    height, width = shape
    numbers = facing.numbers
    across = facing.x - np.float32(window.left)
    across *= np.float32(window.across)
    down = np.float32(window.top) - facing.y
    down *= np.float32(window.down)
    # Mostly all of the body is inside, which takes less to see than where.
    if len(numbers) and not (
        _least(across) > 0 and _most(across) < width - 1 and _least(down) > 0 and _most(down) < height - 1
    ):
        inside = ((across > 0) & (across < width - 1) & (down > 0) & (down < height - 1)).nonzero()[0]
        numbers, across, down = numbers.take(inside), across.take(inside), down.take(inside)
    # Whole numbers of 32 bits are what processors convert to at once.
    pixel = down.astype(np.int32)
    pixel *= np.int32(width)
    pixel += across.astype(np.int32)
    return numbers, pixel.astype(np.int64)


def _spread(seeds: Canvas, side: int) -> Canvas:
    """Let every surfel cover `side` x `side` pixels; of those that claim a pixel the largest wins."""
    width, flat = seeds.shape[1], seeds.reshape(-1)
    taller, wider = np.empty_like(flat), np.empty_like(flat)
    taller[:width] = flat[:width]
    np.maximum(flat[width:], flat[:-width], out=taller[width:])
    wider[0] = taller[0]
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
        gaps = covered[: -2 * step] & covered[2 * step :]
        before = np.greater(gaps, covered[step:-step], out=gaps).nonzero()[0]
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
    towards = _pick(normals, surfels)
    lengths, square = towards[0] * towards[0], towards[1] * towards[1]
    lengths += square
    lengths += np.multiply(towards[2], towards[2], out=square)
    np.sqrt(lengths, out=lengths)
    lengths += np.float32(1e-6)
    towards *= np.divide(np.float32(1), lengths, out=lengths)
    sunlit = _dot(towards, light.towards_sun)
    level = places[1].take(surfels)
    level *= np.float32(1 / body_height)
    np.clip(level, np.float32(0), np.float32(1), out=level)
    if light.shade_left < 1.0:
        np.multiply(sunlit, np.float32(light.shade_left), out=sunlit, where=level <= np.float32(light.shade_edge))
    if light.dapples is not None:
        across, down = ((places[axis].take(surfels) * _DAPPLES).astype(np.int32) & 63 for axis in (0, 1))
        sunlit *= light.dapples[down, across]
    _, upward, facing = towards
    # Cavities, and what is near the ground, see less of the sky.
    facing *= np.float32(0.46)
    facing += np.float32(0.74)
    openness = np.clip(facing, np.float32(0.5), np.float32(1.05), out=facing)
    level *= np.float32(2.2)
    np.minimum(level, np.float32(1), out=level)
    level *= np.float32(0.18)
    level += np.float32(0.82)
    openness *= level
    upward *= np.float32(0.5)
    upward += np.float32(0.5)
    from_sky = upward * np.float32(0.35)
    from_sky += np.float32(0.65)
    from_sky *= openness
    from_ground = np.subtract(np.float32(1), upward, out=upward)
    from_ground *= openness
    colours = _pick(albedo, surfels)
    strength, part = np.empty_like(level), np.empty_like(level)
    for colour, sky, bounce, sun in zip(colours, light.sky, light.bounce, light.sun, strict=True):
        np.multiply(from_sky, np.float32(sky), out=strength)
        strength += np.multiply(from_ground, np.float32(bounce), out=part)
        strength += np.multiply(sunlit, np.float32(sun), out=part)
        colour *= strength
    return colours


def _pick(columns: Floats, surfels: npt.NDArray[np.signedinteger[Any]]) -> Floats:
    """(3, surfels): the given columns; row by row, a third of the price of `take` along the second axis."""
    picked = np.empty((3, len(surfels)), np.float32)
    for row, into in zip(columns, picked, strict=True):
        row.take(surfels, out=into, mode="clip")  # other modes fill a buffer first; no number lies outside
    return picked


def _dot(towards: Floats, sun: tuple[float, float, float]) -> Floats:
    """(surfels,): how much of the sun's strength each direction gets."""
    sunlit = towards[0] * np.float32(round(sun[0], 6))
    for axis in (1, 2):
        sunlit += towards[axis] * np.float32(round(sun[axis], 6))
    lit: Floats = np.maximum(np.float32(0), sunlit, out=sunlit)
    return lit
