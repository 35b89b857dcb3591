"""The ground of a scene in perspective: asphalt, paving, grass, polished floors, platforms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from strongreid.synthetic.dice import Dice
from strongreid.synthetic.texture import layered_noise, value_noise
from strongreid.synthetic.tube import Floats
from strongreid.synthetic.wardrobe import Colour, vary

WIDTH, HEIGHT = 1024, 576
"""Pixels of a scene."""

FOCAL = 900.0
"""Focal length in pixels; the camera looks level, with the horizon moved up."""

_COLOURS: dict[str, Colour] = {
    "asphalt": (112, 113, 115), "crossing": (106, 107, 110), "paving": (160, 152, 144), "slabs": (148, 138, 130),
    "cobbles": (128, 122, 116), "plaza": (172, 167, 160), "path": (146, 140, 128), "gravel": (158, 148, 130),
    "grass": (88, 102, 64), "terrazzo": (176, 172, 164), "tiles": (150, 146, 142), "platform": (138, 136, 132),
    "bays": (108, 109, 110),
}  # fmt: skip
GROUNDS = tuple(_COLOURS)

_TILE_METRES = {"paving": 0.45, "slabs": 0.9, "plaza": 1.4, "cobbles": 0.16, "terrazzo": 1.2, "tiles": 0.6}
_GRAIN = {"gravel": 0.075, "asphalt": 0.04, "crossing": 0.04, "bays": 0.045, "terrazzo": 0.035, "grass": 0.06}
_GRASS = np.array((84, 100, 62), np.float32)
_PAINT = np.array((192, 192, 186), np.float32)


@dataclass(frozen=True)
class _Plane:
    """Where on the ground each pixel lies, in metres along two axes that cross at a right angle."""

    along: Floats
    across: Floats
    resolution: Floats
    """Pixels per metre into the depth: what is thinner than a pixel must fade, or it aliases into rays."""

    def stripe(self, offset: Floats, half_width: float) -> Floats:
        """How much of each pixel a stripe covers, 0 to 1, given the pixels' distances from its middle line."""
        covered = np.clip((half_width - np.abs(offset)) * self.resolution + 0.5, 0.0, 1.0)
        cover: Floats = covered * np.minimum(1.0, 2.0 * half_width * self.resolution)
        return cover


@dataclass(frozen=True)
class Edge:
    """Where a platform ends: one may stand where right * x + ahead * z is at most `limit`, in metres."""

    right: float
    ahead: float
    limit: float


def lay_ground(dice: Dice, kind: str, horizon: float, camera_height: float) -> tuple[Floats, Edge | None]:
    """(HEIGHT, WIDTH, 3) float32: ground of one of the `GROUNDS` up to the horizon, which is a row; and its edge."""
    turn = dice.uniform(-0.6, 0.6)
    plane = _project(turn, horizon, camera_height)
    colour = np.asarray(vary(dice, _COLOURS[kind], 3), np.float32) * np.float32(dice.uniform(0.85, 1.35))
    # Fine on one floor, like coarse gravel on the next.
    grain = _GRAIN.get(kind, 0.025) * dice.pick((1.0, 1.5, 2.5, 4.0))
    tone = (
        1.0 + 0.035 * layered_noise(dice, HEIGHT, WIDTH, 120, 4) + grain * value_noise(dice, HEIGHT, WIDTH, 1.7, 2.5)
    )
    if kind in _TILE_METRES:
        size = _TILE_METRES[kind]
        clear = np.clip(plane.resolution * size / 4.0 - 0.2, 0.0, 1.0)
        spread, joint = dice.uniform(0.02, 0.10), dice.uniform(0.10, 0.30)
        tone = tone + clear * _tiles(plane.along / size, plane.across / size, spread, joint)
    ground: Floats = (colour * tone[..., None]).astype(np.float32)
    if kind in _DETAILS:
        _DETAILS[kind](dice, ground, plane)
    edge = _lay_rails(dice, ground, plane, turn) if kind == "platform" else None
    _add_lids(dice, ground, plane)
    _add_bands(dice, ground, plane)
    return ground, edge


def _project(turn: float, horizon: float, camera_height: float) -> _Plane:
    rows, columns = np.arange(HEIGHT, dtype=np.float32)[:, None], np.arange(WIDTH, dtype=np.float32)[None]
    below = np.maximum(4.0, rows - horizon)
    per_metre = below / camera_height
    ahead, aside = FOCAL * camera_height / below, (columns - WIDTH / 2) / per_metre
    cosine, sine = round(math.cos(turn), 6), round(math.sin(turn), 6)
    return _Plane(
        aside * cosine - ahead * sine,
        aside * sine + ahead * cosine,
        np.minimum(per_metre, per_metre * per_metre * camera_height / FOCAL) + np.zeros_like(columns),
    )


def _mix(ground: Floats, cover: Floats, colour: Floats) -> None:
    """Lay a colour over the ground where `cover` (rows, columns) is 1, in place."""
    where = _covered(cover)
    part, laid = ground[where], colour.astype(np.float32)
    part += cover[where].astype(np.float32)[..., None] * ((laid[where] if laid.ndim == 3 else laid) - part)


def _tint(ground: Floats, change: Floats) -> None:
    """Make the ground lighter or darker by a share, (rows, columns), in place."""
    where = _covered(change)
    ground[where] *= (1.0 + change[where])[..., None]


def _covered(cover: Floats) -> tuple[slice, slice]:
    """The rows and columns outside which all is 0: most of what lies on the ground is small, or far away."""
    rows = np.flatnonzero(np.any(cover, 1))
    if not len(rows):
        return slice(0), slice(0)
    first, last = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(np.any(cover[first:last], 0))
    return slice(first, last), slice(int(columns[0]), int(columns[-1]) + 1)


def _tiles(along: Floats, across: Floats, spread: float, depth: float = 0.12) -> Floats:
    """(rows, columns): how much lighter or darker than average each tile is, with dark joints."""
    row, column = np.floor(across).astype(np.int64), np.floor(along).astype(np.int64)
    scrambled = ((row * 73856093) ^ (column * 19349663)) & 255
    tone = (scrambled - 128) / 128.0 * spread
    joint = ((along - column) < 0.06) | ((across - row) < 0.06)
    return np.where(joint, -depth, tone)


def _road(dice: Dice, ground: Floats, plane: _Plane) -> None:
    """Lane marks, and on one side a kerb with a pavement behind it."""
    middle = dice.uniform(-1.5, 1.5)
    dashes = plane.stripe(plane.along - middle, 0.08) * ((plane.across % 4.0) < 2.4)
    _mix(ground, 0.5 * dashes, _PAINT)
    if dice.chance(0.7):
        side, kerb = dice.sign(), dice.uniform(2.2, 4.0)
        beyond = (plane.along - middle) * side - kerb
        paved = np.clip(beyond * plane.resolution, 0.0, 1.0)
        slabs = np.asarray(vary(dice, (152, 147, 140), 7), np.float32)
        clear = np.clip(plane.resolution * 0.15 - 0.2, 0.0, 1.0)
        _mix(ground, paved, slabs * (1.0 + clear * _tiles(plane.along / 0.6, plane.across / 0.6, 0.04))[..., None])
        _mix(ground, 0.7 * plane.stripe(beyond, 0.09), np.array((186, 184, 180), np.float32))
        _mix(ground, 0.5 * plane.stripe(beyond + 0.17, 0.07), np.array((60, 60, 60), np.float32))


def _crossing(dice: Dice, ground: Floats, plane: _Plane) -> None:
    start, width = dice.uniform(3.0, 9.0), dice.uniform(2.5, 4.0)
    inside = (plane.across > start) & (plane.across < start + width)
    _mix(ground, 0.62 * inside * plane.stripe((plane.along % 1.0) - 0.5, 0.25), _PAINT)
    _mix(ground, 0.5 * plane.stripe(plane.across - start - width - 1.2, 0.15), _PAINT)


def _bays(dice: Dice, ground: Floats, plane: _Plane) -> None:
    row = dice.uniform(4.0, 9.0)
    marks = plane.stripe((plane.along % 2.5) - 1.25, 0.06) * (np.abs(plane.across - row) < 2.5)
    _mix(ground, 0.55 * np.maximum(marks, plane.stripe(plane.across - row, 0.06)), _PAINT)


def _lawn(dice: Dice, ground: Floats, plane: _Plane) -> None:
    ground *= (1.0 + 0.09 * layered_noise(dice, HEIGHT, WIDTH, 22, 4))[..., None]
    if dice.chance(0.5):
        ground *= (1.0 + 0.05 * np.where((plane.along % 3.0) < 1.5, 1.0, -1.0))[..., None]
    worn = np.clip((layered_noise(dice, HEIGHT, WIDTH, 150, 3) - np.float32(0.5)) * 2.0, 0.0, 0.8)
    _mix(ground, worn, np.array((140, 124, 96), np.float32))


def _path(dice: Dice, ground: Floats, plane: _Plane) -> None:
    ragged = 0.25 * layered_noise(dice, HEIGHT, WIDTH, 24, 3)
    beside = np.clip((np.abs(plane.along) - dice.uniform(1.6, 4.0) + ragged) * 5.0, 0.0, 1.0)
    blades = 1.0 + 0.11 * layered_noise(dice, HEIGHT, WIDTH, 24, 4)
    _mix(ground, beside, np.asarray(vary(dice, (84, 100, 62), 5), np.float32) * blades[..., None])


def _lay_rails(dice: Dice, ground: Floats, plane: _Plane, turn: float) -> Edge:
    """A warning strip, the edge of the platform, and rails in the dark bed beyond, in place."""
    # The bed never crosses in front of the camera: at every distance a third of the view or more is platform.
    side, edge = dice.sign() if abs(turn) < 0.15 else math.copysign(1.0, turn), dice.uniform(3.0, 4.5)
    beyond = plane.along * side - edge
    clear = np.clip(plane.resolution * 0.2 - 0.2, 0.0, 1.0)
    ground *= (1.0 + clear * _tiles(plane.along / 0.8, plane.across / 0.8, 0.03))[..., None]
    _mix(ground, 0.75 * plane.stripe(beyond + 0.7, 0.2), np.array((186, 160, 62), np.float32))
    _mix(ground, 0.8 * plane.stripe(beyond + 0.08, 0.08), np.array((204, 203, 198), np.float32))
    _mix(ground, np.clip(beyond * plane.resolution, 0.0, 1.0), np.array((54, 50, 47), np.float32))
    for rail in (0.9, 2.35):
        _mix(ground, 0.7 * plane.stripe(beyond - rail, 0.05), np.array((136, 132, 128), np.float32))
    return Edge(side * round(math.cos(turn), 6), -side * round(math.sin(turn), 6), edge)


def _add_lids(dice: Dice, ground: Floats, plane: _Plane) -> None:
    """Manholes, drains and mended patches, in place."""
    for _ in range(dice.below(5)):
        along, across, radius = dice.uniform(-5.0, 5.0), dice.uniform(2.0, 14.0), dice.uniform(0.22, 0.6)
        x, y = np.abs(plane.along - along), np.abs(plane.across - across)
        round_one = dice.chance(0.5)
        distance = np.sqrt(x * x + y * y) if round_one else np.maximum(x, 0.6 * y)
        cover = np.clip((radius - distance) * plane.resolution, 0.0, 1.0) * 0.22
        _tint(ground, cover * (-1.0 if round_one or dice.chance(0.6) else 0.6))


def _add_bands(dice: Dice, ground: Floats, plane: _Plane) -> None:
    """Gutters, joints, painted lines and courses of other stone, straight across the ground, in place."""
    for _ in range(dice.below(6)):
        offset = (plane.along if dice.chance(0.5) else plane.across) - dice.uniform(-6.0, 16.0)
        cover = plane.stripe(offset, dice.pick((0.03, 0.06, 0.15, 0.4)))
        _tint(ground, cover * dice.pick((-0.45, -0.3, -0.2, 0.25, 0.5)))


_DETAILS: dict[str, Callable[[Dice, Floats, _Plane], None]] = {
    "asphalt": _road, "crossing": _crossing, "bays": _bays, "grass": _lawn, "path": _path,
}  # fmt: skip
