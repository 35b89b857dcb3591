"""From surfels to pixels: splat, hide what lies behind, shade."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strongreid.synthetic.tube import Floats

_GRAZING = np.float32(-0.08)  # normals a little beyond the edge still count, or outlines fray
_DAPPLES = np.float32(26.0)
_DEPTH_ORIGIN, _DEPTH_STEPS = np.float32(2.0), np.float32(16000.0)  # metres, and steps per metre in uint16


Indices = npt.NDArray[np.int64]
Surfels = npt.NDArray[np.int32]


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

    `shape` is (rows, columns), `spacing` the metres between neighbouring surfels.
    A stable sort by depth lets the surfel nearest to the camera write last.
    """
    height, width = shape
    facing = np.flatnonzero(normals[2] > _GRAZING)
    if not len(facing):
        return np.empty(0, np.int64), np.empty(0, np.int32)
    across = (places[0].take(facing) - np.float32(window.left)) * np.float32(window.across)
    down = (np.float32(window.top) - places[1].take(facing)) * np.float32(window.down)
    # Mostly all of the body is inside, which takes less to see than where.
    if across.min() <= 0 or across.max() >= width - 1 or down.min() <= 0 or down.max() >= height - 1:
        inside = np.flatnonzero((across > 0) & (across < width - 1) & (down > 0) & (down < height - 1))
        facing, across, down = facing.take(inside), across.take(inside), down.take(inside)
    depth = ((places[2].take(facing) + _DEPTH_ORIGIN) * _DEPTH_STEPS).astype(np.uint16)
    order = np.argsort(depth, kind="stable")
    pixel = (down.astype(np.int32) * width + across.astype(np.int32)).take(order)
    rank = np.full((height, width), -1, np.int32)
    rank.reshape(-1)[pixel] = np.arange(len(pixel), dtype=np.int32)
    _spread(rank, max(2, math.ceil(spacing * window.down)))
    shown = np.flatnonzero(_close_pinholes(rank))
    return shown, facing.take(order).astype(np.int32).take(rank.reshape(-1).take(shown))


def _spread(rank: npt.NDArray[np.int32], side: int) -> None:
    """Let every surfel cover `side` x `side` pixels, in place; of those that claim a pixel the nearest wins."""
    for step in range(side - 1):
        for view in (rank, rank.T):
            former, latter = view[:-1], view[1:]
            if step % 2 == 0:
                np.maximum(latter, former, out=latter)
            else:
                np.maximum(latter, former, out=former)


def _close_pinholes(rank: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Fill single empty pixels between two covered ones, in place: knees and elbows stretch. Returns what is covered.

    Down first, then across; whole rows are compared as one, and pairs across a row's end left out.
    """
    width, flat = rank.shape[1], rank.reshape(-1)
    covered = flat >= 0
    for step in (width, 1):
        before = np.flatnonzero(covered[: -2 * step] & covered[2 * step :] & ~covered[step:-step])
        if step == 1:
            before = before[before % width < width - 2]
        flat[before + step] = flat[before]
        covered[before + step] = True
    return covered


def shade(
    surfels: npt.NDArray[np.int32],
    places: Floats,
    normals: Floats,
    albedo: Floats,
    light: Light,
    body_height: float,
) -> Floats:
    """(surfels, 3) float32: the colours of the given surfels, 0 to 255 and above."""
    lateral, upward, facing = (normals[axis].take(surfels) for axis in range(3))
    scale = 1 / (np.sqrt(lateral * lateral + upward * upward + facing * facing) + np.float32(1e-6))
    lateral, upward, facing = lateral * scale, upward * scale, facing * scale
    east, high, near = (np.float32(round(part, 6)) for part in light.towards_sun)
    sunlit = np.maximum(0, lateral * east + upward * high + facing * near)
    level = np.clip(places[1].take(surfels) * np.float32(1 / body_height), 0, 1)
    if light.shade_left < 1.0:
        sunlit = np.where(level > light.shade_edge, sunlit, sunlit * np.float32(light.shade_left))
    if light.dapples is not None:
        across, down = ((places[axis].take(surfels) * _DAPPLES).astype(np.int32) & 63 for axis in (0, 1))
        sunlit = sunlit * light.dapples[down, across]
    # Cavities, and what is near the ground, see less of the sky.
    openness = np.clip(0.74 + 0.46 * facing, 0.5, 1.05) * (0.82 + 0.18 * np.minimum(1, level * 2.2))
    above = 0.5 + 0.5 * upward
    from_sky, from_ground = (0.65 + 0.35 * above) * openness, (1 - above) * openness
    colours = albedo.take(surfels, 0)
    for part in range(3):
        colours[:, part] *= (
            from_sky * np.float32(light.sky[part])
            + from_ground * np.float32(light.bounce[part])
            + sunlit * np.float32(light.sun[part])
        )
    return colours
