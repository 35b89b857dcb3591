"""Value noise, and the patterns that are printed on clothes."""

from __future__ import annotations

import math

import numpy as np

from strongreid.synthetic.dice import Dice
from strongreid.synthetic.tube import Floats, Tube
from strongreid.synthetic.wardrobe import Outfit


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


def print_top(outfit: Outfit, tube: Tube, start: float = 0.0, end: float = 1.0) -> Floats:
    """(rows, columns, 3): the cloth of the top.

    The tube covers the torso from `start` to `end`, where 0 is the hip and 1 the neck.
    """
    cloth = tube.filled(outfit.top_colour)
    height = start + (end - start) * tube.along + np.zeros(tube.shape)
    turn = tube.around / math.tau + np.zeros(tube.shape)
    second = np.asarray(outfit.second_colour, np.float64)
    repeat, share = outfit.repeat, outfit.share
    if outfit.pattern == "hoops":
        cloth[(height * repeat * 1.2) % 1.0 < share] = second
    elif outfit.pattern == "stripes":
        cloth[(turn * round(repeat * 3.0)) % 1.0 < share] = second
    elif outfit.pattern == "plaid":
        bands = ((height * repeat * 1.2) % 1.0 < 0.4) * 0.4 + ((turn * round(repeat * 2.5)) % 1.0 < 0.4) * 0.4
        cloth = cloth * (1.0 - bands[..., None]) + second * bands[..., None]
    elif outfit.pattern == "dots":
        line, place = height * repeat * 1.3, turn * round(repeat * 3.0)
        place = place + 0.5 * np.floor(line)
        cloth[((line % 1.0) - 0.5) ** 2 + ((place % 1.0) - 0.5) ** 2 < 0.10 + 0.06 * share] = second
    elif outfit.pattern == "block":
        cloth[height > 0.35 + 0.4 * share] = second
    elif outfit.pattern == "side panel":
        cloth[np.abs(np.abs(turn) - 0.25) < 0.056] = second
    elif outfit.pattern == "print":
        cloth[_printed(outfit, tube, height)] = second
    return cloth


def _printed(outfit: Outfit, tube: Tube, height: Floats) -> Floats:
    """(rows, columns) of truth: the blocky print on the chest, on the back, or on both."""
    dice = Dice(outfit.print_seed)
    placement = dice.below(3)
    half_angle, half_height = dice.uniform(0.3, 0.65), dice.uniform(0.06, 0.13)
    mask = np.zeros(tube.shape, bool)
    for wanted, centre in ((placement != 1, 0.0), (placement != 0, math.pi)):
        shape = dice.bytes_of((4, 6)) < 155
        offset = tube.around - centre
        offset = offset - math.tau * np.rint(offset / math.tau)
        row = np.floor((height - 0.66 + half_height) / (2 * half_height) * 4).astype(np.int64)
        column = np.floor((offset + half_angle) / (2 * half_angle) * 6).astype(np.int64)
        column = column + np.zeros_like(row)
        inside = (row >= 0) & (row < 4) & (column >= 0) & (column < 6)
        if wanted:
            mask |= inside & shape[np.clip(row, 0, 3), np.clip(column, 0, 5)]
    return mask


def print_bottom(outfit: Outfit, tube: Tube, side: int = 0) -> Floats:
    """(rows, columns, 3): the cloth below the waist; `side` is -1 or 1 on a leg, 0 on a skirt or the hip."""
    cloth = tube.filled(outfit.bottom_colour)
    trim = np.asarray(outfit.trim_colour, np.float64)
    if outfit.bottom_pattern == "plaid":
        turns = 5 if side else 12
        bands = ((tube.along * 7) % 1.0 < 0.4) * 0.3 + ((tube.around / math.tau * turns) % 1.0 < 0.4) * 0.3
        cloth = cloth * (1.0 - bands[..., None]) + trim * bands[..., None]
    elif outfit.bottom_pattern == "side stripe" and side:
        offset = np.abs(tube.around - side * math.pi / 2) + np.zeros(tube.shape)
        cloth[offset < 0.28] = trim
    elif outfit.bottom_pattern == "hem" and not side and outfit.bottom != "dress":
        cloth[(tube.along > 0.85) & np.ones(tube.shape, bool)] = trim
    return cloth
