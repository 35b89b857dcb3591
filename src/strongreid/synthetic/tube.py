"""Tubes of surface samples ("surfels"): the one shape from which bodies, clothes and bags are built."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

HEM = 0.006
"""Half the length, as a share of a limb, over which cloth ends."""

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Tube:
    """Samples of a tube's surface, `rows` along its axis and `columns` around it; lengths in metres."""

    along: Floats
    """(rows, 1): 0 at the first joint, 1 at the second."""
    around: Floats
    """(1, columns): the angle from the body's front, in (-pi, pi]; pi/2 is the side of positive x."""
    lateral: Floats
    """(rows, columns): offset from the axis along the first cross axis (the body's x)."""
    depth: Floats
    """(rows, columns): offset along the second cross axis (the body's front)."""
    normals: Floats
    """(3, rows, columns): unit normals as (lateral, depth, axial)."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows, columns = self.lateral.shape
        return rows, columns

    def filled(self, colour: Sequence[float]) -> Floats:
        """(rows, columns, 3): one colour everywhere."""
        colours = np.empty((*self.shape, 3))
        colours[:] = colour
        return colours


@dataclass(frozen=True)
class Part:
    """A tube that follows a bone."""

    bone: str
    tube: Tube
    albedo: Floats
    """(rows, columns, 3), 0 to 255 in daylight; negative where there is a gap."""
    bend: float | None = None
    """For a limb, the joint's place along the tube."""


def profile(rows: int, places: Sequence[float], values: Sequence[float]) -> Floats:
    """(rows,): `values` at the `places` along the axis (0 to 1), straight lines between them."""
    return np.interp(_evenly(rows), places, values)


@lru_cache(maxsize=256)
def _evenly(rows: int) -> Floats:
    places = np.linspace(0.0, 1.0, rows)
    places.flags.writeable = False
    return places


def places_along(rows: int, cut: float | None = None) -> Floats:
    """(rows,): places from 0 to 1, or more of them around a `cut`, where the radius jumps and cloth ends."""
    places = _evenly(rows)
    if cut is None or not 0.0 < cut < 1.0:
        return places
    steps = np.concatenate([places, np.linspace(cut - HEM, cut + HEM, 5)])
    return np.unique(np.rint(np.clip(steps, 0.0, 1.0) * 4096.0)) / 4096.0


@dataclass(frozen=True)
class _Outline:
    """The columns of a tube whose half width and half depth are 1, (columns,) each."""

    angle: Floats
    lateral: Floats
    depth: Floats
    outward_lateral: Floats
    """Parts of the directions outwards, before they are scaled."""
    outward_depth: Floats


@lru_cache(maxsize=512)
def _outline(columns: int, flatness: float, squareness: float) -> _Outline:
    angle = _angles(columns, flatness, squareness)
    front, side = np.cos(angle), np.sin(angle)
    reach = (np.abs(front) ** squareness + np.abs(side) ** squareness) ** (-1.0 / squareness)
    return _Outline(
        angle,
        side * reach,
        front * reach,
        np.sign(side) * np.abs(side) ** (squareness - 1.0),
        np.sign(front) * np.abs(front) ** (squareness - 1.0),
    )


def _angles(columns: int, flatness: float, squareness: float) -> Floats:
    """(columns,): angles at even distances along the outline: even angles leave the corners of a box bare.

    `flatness` is its depth over its width.
    """
    if squareness == 2.0 and 0.8 < flatness < 1.2:
        return _centred((np.arange(columns) + 0.5) / columns * math.tau)
    fine = np.arange(121) / 120.0 * math.tau
    front, side = np.cos(fine), np.sin(fine)
    reach = (np.abs(front) ** squareness + np.abs(side) ** squareness) ** (-1.0 / squareness)
    x, y = side * reach, flatness * front * reach
    travelled = np.concatenate([[0.0], np.cumsum(np.sqrt(np.diff(x) ** 2 + np.diff(y) ** 2))])
    wanted = (np.arange(columns) + 0.5) / columns * travelled[-1]
    angle = np.interp(wanted, travelled, fine)
    # Rounded, since patterns compare angles, and the last bit of a cosine differs between processors.
    return _centred(np.rint(angle * 1048576.0) / 1048576.0)


def _centred(angle: Floats) -> Floats:
    return np.where(angle > math.pi, angle - math.tau, angle)


def make_tube(
    columns: int,
    half_width: Floats,
    half_depth: Floats,
    length: float,
    squareness: float = 2.0,
    places: Floats | None = None,
    stretch: float = 1.0,
) -> Tube:
    """A tube with the given half axes (rows,); `squareness` 2 is an ellipse, 4 nearly a box.

    `places` (rows,) are where the rows lie along the axis, 0 to 1; they are even by default. `stretch` is how much
    deeper poses pull the tube: its columns are spread to be even then.
    """
    rows = len(half_width)
    places = _evenly(rows) if places is None else places
    flatness = round(stretch * (_mean(half_depth) + 1e-6) / (_mean(half_width) + 1e-6), 1)
    outline = _outline(columns, max(flatness, 0.1), squareness)
    normals = np.empty((3, rows, columns))
    np.multiply(half_depth[:, None], outline.outward_lateral, out=normals[0])
    np.multiply(half_width[:, None], outline.outward_depth, out=normals[1])
    size = normals[0] * normals[0]
    size += normals[1] * normals[1]
    np.sqrt(size, out=size)
    size += 1e-6
    slope = _gradient((half_width + half_depth) / 2.0, places * length)
    slope = np.clip(slope, -3.0, 3.0, out=slope)[:, None]
    tilt = np.sqrt(1.0 + slope**2)
    normals[:2] /= size
    normals[:2] /= tilt
    normals[2] = -slope / tilt
    return Tube(
        along=places[:, None],
        around=outline.angle[None, :],
        lateral=half_width[:, None] * outline.lateral,
        depth=half_depth[:, None] * outline.depth,
        normals=normals,
    )


def _mean(values: Floats) -> float:
    return float(np.add.reduce(values) / len(values))


def _gradient(values: Floats, places: Floats) -> Floats:
    """To the bit what `np.gradient(values, places)` gives, in a third of the time for a short row."""
    steps = places[1:] - places[:-1]
    rises = np.empty(len(values))
    if np.all(steps == steps[0]):
        np.subtract(values[2:], values[:-2], out=rises[1:-1])
        rises[1:-1] /= 2.0 * steps[0]
    else:
        before, after = steps[:-1], steps[1:]
        both = before + after
        inner = -after / (before * both) * values[:-2]
        inner += (after - before) / (before * after) * values[1:-1]
        inner += before / (after * both) * values[2:]
        rises[1:-1] = inner
    rises[0] = (values[1] - values[0]) / steps[0]
    rises[-1] = (values[-1] - values[-2]) / steps[-1]
    return rises


def make_blob(rows: int, columns: int, half_width: float, half_depth: float, length: float) -> Tube:
    """A closed, rounded tube: hands, shoes, buns."""
    bulge = np.sqrt(np.sin(np.clip(_evenly(rows), 0.03, 0.97) * math.pi))
    return make_tube(columns, half_width * bulge, half_depth * bulge, length)
