"""The patterns of cloth: stripes, checks, dots, blocks of colour, prints."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strongreid.synthetic.dice import Dice
from strongreid.synthetic.texture import value_noise
from strongreid.synthetic.tube import Floats, Tube
from strongreid.synthetic.wardrobe import Colour, Outfit

Mask = npt.NDArray[np.bool_]

_LENGTH, _GIRTH = 0.60, 1.0  # metres of a torso: along it, and around it


@dataclass(frozen=True)
class _Cloth:
    """A piece of cloth to be dyed, with the place of each of its surfels."""

    base: Floats
    """(rows, columns, 3)."""
    second: Floats
    third: Floats
    height: Floats
    """(rows, columns): 0 at the hip, 1 at the neck."""
    turn: Floats
    """(rows, columns): -1/2 to 1/2 around the body, 0 in front."""
    girth: float
    """Around this piece, as a share of the way around a torso."""
    repeat: float
    share: float
    seed: int

    def times(self, count: float) -> int:
        """A whole number of repeats around the piece, so that the pattern closes."""
        return max(1, round(count * self.girth))

    def noise(self, metres: float) -> Floats:
        """(rows, columns): smooth patches of about this size."""
        rows, columns = self.height.shape
        long = abs(float(self.height[-1, 0] - self.height[0, 0])) * _LENGTH + 1e-6
        dice = Dice(self.seed, 7)
        return value_noise(dice, rows, columns, rows * metres / long, columns * metres / (_GIRTH * self.girth))


def _cover(cloth: _Cloth, where: Mask, colour: Floats | None = None) -> Floats:
    cloth.base[where] = cloth.second if colour is None else colour
    return cloth.base


def _blend(cloth: _Cloth, amount: Floats) -> Floats:
    return cloth.base * (1.0 - amount[..., None]) + cloth.second * amount[..., None]


def _hoops(cloth: _Cloth) -> Floats:
    return _cover(cloth, (cloth.height * cloth.repeat * 1.2) % 1.0 < cloth.share)


def _stripes(cloth: _Cloth) -> Floats:
    return _cover(cloth, (cloth.turn * cloth.times(cloth.repeat * 3.0)) % 1.0 < cloth.share)


def _diagonal(cloth: _Cloth) -> Floats:
    slant = cloth.height * cloth.repeat * 0.8 + cloth.turn * cloth.times(cloth.repeat)
    return _cover(cloth, slant % 1.0 < cloth.share)


def _plaid(cloth: _Cloth) -> Floats:
    line, place = cloth.height * cloth.repeat * 1.2, cloth.turn * cloth.times(cloth.repeat * 2.5)
    cloth = _replaced(cloth, _blend(cloth, ((line % 1.0) < 0.4) * 0.4 + ((place % 1.0) < 0.4) * 0.4))
    thin = (((line + 0.3) % 1.0) < 0.09) | (((place + 0.3) % 1.0) < 0.09)
    return _cover(cloth, thin, cloth.third) if cloth.share > 0.5 else cloth.base


def _check(cloth: _Cloth) -> Floats:
    line, place = cloth.height * cloth.repeat * 1.3, cloth.turn * cloth.times(cloth.repeat * 2.6)
    return _blend(cloth, (((line % 1.0) < 0.5) * 0.5) + (((place % 1.0) < 0.5) * 0.5))


def _dots(cloth: _Cloth) -> Floats:
    return _cover(cloth, _spots(cloth, 0.10 + 0.06 * cloth.share))


def _flowers(cloth: _Cloth) -> Floats:
    """Spots in two colours over faint leaves."""
    leaves = _replaced(cloth, _blend(cloth, np.clip(cloth.noise(0.07), 0.0, 0.5)))
    row, column = _cells(cloth)
    odd = ((np.floor(row) * 7 + np.floor(column) * 13) % 3) == 0
    spots = _spots(cloth, 0.14)
    return _cover(leaves, spots & odd) if cloth.share < 0.4 else _cover(_recoloured(leaves, spots), spots & odd)


def _recoloured(cloth: _Cloth, where: Mask) -> _Cloth:
    return _replaced(cloth, _cover(cloth, where, cloth.third))


def _replaced(cloth: _Cloth, base: Floats) -> _Cloth:
    return _Cloth(
        base, cloth.second, cloth.third, cloth.height, cloth.turn, cloth.girth, cloth.repeat, cloth.share, cloth.seed
    )


def _cells(cloth: _Cloth) -> tuple[Floats, Floats]:
    """Row and column of a lattice whose rows are staggered."""
    line, place = cloth.height * cloth.repeat * 1.3, cloth.turn * cloth.times(cloth.repeat * 2.4)
    return line, place + 0.5 * np.floor(line)


def _spots(cloth: _Cloth, size: float) -> Mask:
    line, place = _cells(cloth)
    spots: Mask = ((line % 1.0) - 0.5) ** 2 + ((place % 1.0) - 0.5) ** 2 < size
    return spots


def _block(cloth: _Cloth) -> Floats:
    edge = 0.35 + 0.4 * cloth.share
    _cover(cloth, cloth.height > edge)
    return _cover(cloth, cloth.height < edge - 0.22, cloth.third) if cloth.repeat > 8 else cloth.base


def _yoke(cloth: _Cloth) -> Floats:
    _cover(cloth, cloth.height > 0.74)
    return _cover(cloth, np.abs(cloth.height - 0.72) < 0.025, cloth.third)


def _band(cloth: _Cloth) -> Floats:
    middle, half = 0.45 + 0.35 * cloth.share, 0.4 / cloth.repeat + 0.03
    _cover(cloth, np.abs(cloth.height - middle) < half)
    return (
        _cover(cloth, np.abs(cloth.height - middle) < half * 0.35, cloth.third) if cloth.share > 0.5 else cloth.base
    )


def _halves(cloth: _Cloth) -> Floats:
    return _cover(cloth, cloth.turn > 0)


def _gradient(cloth: _Cloth) -> Floats:
    return _blend(cloth, np.clip((cloth.height - 0.15) / 0.7, 0.0, 1.0))


def _side_panel(cloth: _Cloth) -> Floats:
    return _cover(cloth, np.abs(np.abs(cloth.turn) - 0.25) < 0.056)


def _camouflage(cloth: _Cloth) -> Floats:
    patches = cloth.noise(0.10 + 0.5 / cloth.repeat)
    _cover(cloth, patches > 0.30)
    return _cover(cloth, patches < -0.55, cloth.third)


def _print(cloth: _Cloth) -> Floats:
    """A large motif on the chest, on the back, or on both."""
    dice = Dice(cloth.seed)
    placement, motif = dice.below(3), dice.pick((_blocks, _disc, _letters))
    wide, tall = dice.uniform(0.05, 0.10), dice.uniform(0.07, 0.15)
    for wanted, centre in ((placement != 1, 0.0), (placement != 0, 0.5)):
        offset = cloth.turn - centre
        x, y = (offset - np.rint(offset)) / wide, (cloth.height - 0.64) / tall
        inside = (np.abs(x) < 1) & (np.abs(y) < 1)
        if wanted:
            _cover(cloth, inside & motif(dice, x, y))
            _cover(cloth, inside & motif(dice, 1.6 * x, 1.6 * y), cloth.third)
    return cloth.base


def _blocks(dice: Dice, x: Floats, y: Floats) -> Mask:
    cells = dice.bytes_of((4, 6)) < 155
    row = np.clip(np.floor((y + 1) * 2), 0, 3).astype(np.int64)
    column = np.clip(np.floor((x + 1) * 3), 0, 5).astype(np.int64)
    blocks: Mask = cells[row, column]
    return blocks


def _disc(dice: Dice, x: Floats, y: Floats) -> Mask:
    disc: Mask = x * x + y * y < dice.uniform(0.4, 1.0)
    return disc


def _letters(dice: Dice, x: Floats, y: Floats) -> Mask:
    strokes = np.repeat(dice.bytes_of((1, 9)) < 175, 3, 0)
    strokes[1] &= (dice.bytes_of((9,)) < 120).astype(bool)
    row = np.clip(np.floor((y + 0.5) * 3), 0, 2).astype(np.int64)
    letters: Mask = strokes[row, np.clip(np.floor((x + 1) * 4.5), 0, 8).astype(np.int64)] & (np.abs(y) < 0.5)
    return letters


def _logo(cloth: _Cloth) -> Floats:
    """A small badge on one breast, and sometimes a line of letters on the back."""
    dice = Dice(cloth.seed)
    side = dice.sign() * 0.075
    _cover(cloth, (np.abs(cloth.turn - side) < 0.03) & (np.abs(cloth.height - 0.74) < 0.04))
    behind = cloth.turn - 0.5
    behind = behind - np.rint(behind)
    written = dice.chance(0.5) & (np.abs(behind) < 0.14) & (np.abs(cloth.height - 0.70) < 0.035)
    return _cover(cloth, written & ((behind * 40) % 1.0 < 0.7))


_DYES: dict[str, Callable[[_Cloth], Floats]] = {
    "hoops": _hoops, "stripes": _stripes, "diagonal": _diagonal, "plaid": _plaid, "check": _check, "dots": _dots,
    "flowers": _flowers, "block": _block, "yoke": _yoke, "band": _band, "halves": _halves, "gradient": _gradient,
    "side panel": _side_panel, "camouflage": _camouflage, "print": _print, "logo": _logo,
}  # fmt: skip
_ON_SLEEVES = frozenset({"hoops", "plaid", "check", "dots", "flowers", "block", "gradient", "camouflage", "diagonal"})


def _cloth(
    outfit: Outfit, colours: tuple[Colour, Colour, Colour], tube: Tube, height: Floats, girth: float
) -> _Cloth:
    base, second, third = colours
    return _Cloth(
        tube.filled(base),
        np.asarray(second, np.float64),
        np.asarray(third, np.float64),
        height + np.zeros(tube.shape),
        tube.around / math.tau + np.zeros(tube.shape),
        girth,
        outfit.repeat,
        outfit.share,
        outfit.print_seed,
    )


def shows_third_colour(outfit: Outfit) -> bool:
    """Whether the top's pattern is one of three colours."""
    if outfit.pattern in ("plaid", "band"):
        return outfit.share > 0.5
    if outfit.pattern == "flowers":
        return outfit.share >= 0.4
    return outfit.pattern in ("yoke", "camouflage", "print") or (outfit.pattern == "block" and outfit.repeat > 8)


def _top_colours(outfit: Outfit) -> tuple[Colour, Colour, Colour]:
    return outfit.top_colour, outfit.second_colour, outfit.third_colour


def print_top(outfit: Outfit, tube: Tube, start: float = 0.0, end: float = 1.0) -> Floats:
    """(rows, columns, 3): the cloth of the top.

    The tube covers the torso from `start` to `end`, where 0 is the hip and 1 the neck.
    """
    cloth = _cloth(outfit, _top_colours(outfit), tube, start + (end - start) * tube.along, 1.0)
    return _DYES[outfit.pattern](cloth) if outfit.pattern in _DYES else cloth.base


def print_sleeve(outfit: Outfit, tube: Tube, side: int) -> Floats:
    """(rows, columns, 3): the cloth of the sleeve on `side` (-1 or 1)."""
    first, second, third = _top_colours(outfit)
    if outfit.top == "vest":
        first = outfit.shirt_colour
    elif outfit.pattern in ("raglan", "yoke") or (outfit.pattern == "halves" and side > 0):
        first = second
    cloth = _cloth(outfit, (first, second, third), tube, 0.92 - 0.93 * tube.along, 0.3)
    patterned = outfit.pattern in _ON_SLEEVES and outfit.top != "vest"
    return _DYES[outfit.pattern](cloth) if patterned else cloth.base


def print_bottom(outfit: Outfit, tube: Tube, side: int = 0) -> Floats:
    """(rows, columns, 3): the cloth below the waist; `side` is -1 or 1 on a leg, 0 on a skirt or the hip."""
    colours = (outfit.bottom_colour, outfit.trim_colour, outfit.third_colour)
    cloth = _cloth(outfit, colours, tube, 1.0 - tube.along, 0.45 if side else 1.1)
    pattern = outfit.bottom_pattern
    if pattern == "side stripe":
        offset = np.abs(tube.around - side * math.pi / 2) + np.zeros(tube.shape)
        return _cover(cloth, offset < 0.28) if side else cloth.base
    if pattern == "hem":
        hemmed = not side and outfit.bottom != "dress"
        return _cover(cloth, (cloth.height < 0.15) & hemmed)
    if pattern == "panels":
        return _cover(cloth, np.abs(cloth.height - 0.55) < 0.16) if side else cloth.base
    return _DYES[pattern](cloth) if pattern in _DYES else cloth.base
