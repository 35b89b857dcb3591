"""Value noise, and the folds of cloth made from it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from strongreid.synthetic.dice import Dice
from strongreid.synthetic.tube import Floats, Tube


def value_noise(dice: Dice, rows: int, columns: int, cell_rows: float, cell_columns: float) -> Floats:
    """(rows, columns): smooth noise within [-1.7, 1.7], of deviation below 1, that closes around the columns.

    Only sums and products of random bytes, so that every processor gets the same bits.
    """
    knots_down, knots_across = max(2, round(rows / cell_rows)), max(2, round(columns / cell_columns))
    knots = dice.bytes_of((knots_down + 1, knots_across + 1)).astype(np.float32)
    knots *= np.float32(1 / 75)
    knots -= np.float32(1.7)
    knots[:, -1] = knots[:, 0]
    top, fall, rise = _between(rows, knots_down)
    left, slide, rest = _between(columns, knots_across)
    lines = knots[:-1].take(top, 0)
    lines *= rise[:, None]
    below = knots[1:].take(top, 0)
    below *= fall[:, None]
    lines += below
    smooth: Floats = lines.take(left, 1)
    smooth *= rest
    beside = lines[:, 1:].take(left, 1)
    beside *= slide
    smooth += beside
    return smooth


@lru_cache(maxsize=1024)
def _between(count: int, knots: int) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """For each of `count` places the knot before it, and the weights, (count,), of the next knot and of that one."""
    places = np.arange(count) * (knots / count)
    before = places.astype(np.int64)
    share = (places - before).astype(np.float32)
    share = share * share * (3 - 2 * share)
    return before, share, 1 - share


def layered_noise(dice: Dice, rows: int, columns: int, cell: float, octaves: int) -> Floats:
    """(rows, columns): octaves of value noise, each half as wide and 0.55 times as strong as the last."""
    total = np.zeros((rows, columns), np.float32)
    strength = np.float32(1.0)
    for _ in range(octaves):
        total += strength * value_noise(dice, rows, columns, cell, cell)
        cell, strength = max(1.0, cell / 2.0), strength * np.float32(0.55)
    return total


def weave(dice: Dice, tube: Tube, strength: float, cell: float) -> Floats:
    """(rows, columns, 1): factors near 1 that turn plastic into cloth with folds."""
    rows, columns = tube.shape
    folds = value_noise(dice, rows, columns, cell, cell * 2.2)
    grain = value_noise(dice, rows, columns, cell / 3.0, cell / 3.0)
    factors: Floats = (1.0 + strength * (0.75 * folds + 0.35 * grain))[..., None]
    return factors
