"""Value noise, and the folds of cloth made from it."""

from __future__ import annotations

import numpy as np

from strongreid.synthetic.dice import Dice
from strongreid.synthetic.tube import Floats, Tube


def value_noise(dice: Dice, rows: int, columns: int, cell_rows: float, cell_columns: float) -> Floats:
    """(rows, columns): smooth noise within [-1.7, 1.7], of deviation below 1, that closes around the columns.

    Only sums and products of random bytes, so that every processor gets the same bits.
    """
    knots_down, knots_across = max(2, round(rows / cell_rows)), max(2, round(columns / cell_columns))
    knots = dice.bytes_of((knots_down + 1, knots_across + 1)).astype(np.float32) * np.float32(1 / 75) - np.float32(
        1.7
    )
    knots[:, -1] = knots[:, 0]
    down, across = np.arange(rows) * (knots_down / rows), np.arange(columns) * (knots_across / columns)
    top, left = down.astype(np.int64), across.astype(np.int64)
    fall, slide = (down - top).astype(np.float32)[:, None], (across - left).astype(np.float32)[None]
    fall, slide = fall * fall * (3 - 2 * fall), slide * slide * (3 - 2 * slide)
    lines = knots[top] * (1 - fall) + knots[top + 1] * fall
    smooth: Floats = lines[:, left] * (1 - slide) + lines[:, left + 1] * slide
    return smooth


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
