"""Tubes of surface samples ("surfels"): the one shape from which bodies, clothes and bags are built."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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
        return np.broadcast_to(np.asarray(colour, np.float64), (*self.shape, 3)).copy()


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
    return np.interp(np.linspace(0.0, 1.0, rows), places, values)


def make_tube(columns: int, half_width: Floats, half_depth: Floats, length: float, squareness: float = 2.0) -> Tube:
    """A tube with the given half axes (rows,); `squareness` 2 is an ellipse, 4 nearly a box."""
    rows = len(half_width)
    angle = (np.arange(columns) + 0.5) / columns * math.tau
    angle = np.where(angle > math.pi, angle - math.tau, angle)
    front, side = np.cos(angle), np.sin(angle)
    reach = (np.abs(front) ** squareness + np.abs(side) ** squareness) ** (-1.0 / squareness)
    normal_lateral = half_depth[:, None] * (np.sign(side) * np.abs(side) ** (squareness - 1.0))
    normal_depth = half_width[:, None] * (np.sign(front) * np.abs(front) ** (squareness - 1.0))
    size = np.sqrt(normal_lateral**2 + normal_depth**2) + 1e-6
    slope = np.gradient((half_width + half_depth) / 2.0, length / max(1, rows - 1))
    slope = np.clip(slope, -3.0, 3.0)[:, None]
    tilt = np.sqrt(1.0 + slope**2)
    normals = np.stack(
        [
            normal_lateral / size / tilt,
            normal_depth / size / tilt,
            np.broadcast_to(-slope / tilt, (rows, columns)),
        ]
    )
    return Tube(
        along=np.linspace(0.0, 1.0, rows)[:, None],
        around=angle[None, :],
        lateral=half_width[:, None] * (side * reach),
        depth=half_depth[:, None] * (front * reach),
        normals=normals,
    )


def make_blob(rows: int, columns: int, half_width: float, half_depth: float, length: float) -> Tube:
    """A closed, rounded tube: hands, shoes, buns."""
    bulge = np.sqrt(np.sin(np.clip(np.linspace(0.0, 1.0, rows), 0.03, 0.97) * math.pi))
    return make_tube(columns, half_width * bulge, half_depth * bulge, length)
