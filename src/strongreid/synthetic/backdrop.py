"""What stands along the far side of a scene: buildings, plants, walls of a hall, trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from strongreid.synthetic.dice import Dice
from strongreid.synthetic.ground import WIDTH
from strongreid.synthetic.props import muted
from strongreid.synthetic.texture import layered_noise
from strongreid.synthetic.tube import Floats
from strongreid.synthetic.wardrobe import vary


def _grained(dice: Dice, rows: int, columns: int, lift: float = 1.1) -> Floats:
    """(rows, columns, 3): a wall of one muted colour, with dirt."""
    grain = (1.0 + 0.04 * layered_noise(dice, rows, columns, 30, 4))[..., None]
    return np.asarray(muted(dice), np.float32) * np.float32(lift) * grain


def _leaves(dice: Dice, rows: int, columns: int) -> Floats:
    leaves = layered_noise(dice, rows, columns, 26, 5)[..., None]
    return np.asarray(vary(dice, (68, 78, 58), 5), np.float32) * (1.0 + 0.32 * leaves)


def _brick(dice: Dice, rows: int, columns: int) -> Floats:
    down, across = np.arange(rows)[:, None], np.arange(columns)[None]
    joint = (down % 7 == 0) | ((across + 9 * ((down // 7) % 2)) % 18 == 0)
    grain = (1.0 + 0.05 * layered_noise(dice, rows, columns, 30, 4))[..., None]
    brick = np.asarray(vary(dice, (132, 102, 90), 6), np.float32) * grain
    return brick * np.where(joint, 1.14, 1.0)[..., None]


def _panels(dice: Dice, rows: int, columns: int) -> Floats:
    wall, wide = _grained(dice, rows, columns), round(dice.uniform(30, 80))
    wall[:, ::wide] *= 0.8
    wall[:: max(8, round(wide * 0.6))] *= 0.86
    return wall


def _shutter(dice: Dice, rows: int, columns: int) -> Floats:
    wall = _grained(dice, rows, columns, 1.0)
    wall[round(rows * 0.25) :: 4] *= 0.86
    wall[: round(rows * 0.25)] *= 1.12
    return wall


def _glass(dice: Dice, rows: int, columns: int) -> Floats:
    """A curtain wall: panes that mirror the sky, each a little differently."""
    pane, tall = round(dice.uniform(22, 52)), round(dice.uniform(26, 60))
    down, across = np.arange(rows) // tall, np.arange(columns) // pane
    tones = dice.bytes_of((rows // tall + 1, columns // pane + 1)).astype(np.float32) / 255.0
    mirror = 0.75 + 0.4 * tones[down][:, across]
    wall = np.asarray(vary(dice, (104, 118, 130), 9), np.float32) * mirror[..., None]
    wall = wall * np.linspace(1.15, 0.8, rows, dtype=np.float32)[:, None, None]
    wall[:, ::pane] = wall[::tall] = np.asarray(muted(dice), np.float32) * 0.8
    return wall


def _glaze(dice: Dice, facade: Floats, top: int, bottom: int) -> None:
    """Windows between two rows of a facade, with hints of what is behind them, in place."""
    columns, pane = facade.shape[1], round(dice.uniform(36, 84))
    for left in range(6, columns - pane // 2, pane):
        glass = facade[top:bottom, left : left + pane - 7]
        glass[:] = np.asarray(vary(dice, (70, 75, 80), 5), np.float32)
        glass *= np.linspace(1.2, 0.8, glass.shape[0])[:, None, None]
        for _ in range(3):
            y, x = dice.below(max(1, bottom - top)), dice.below(pane)
            glass[y : y + 8 + dice.below(24), x : x + 4 + dice.below(14)] = muted(dice)


def _windows(dice: Dice, rows: int, columns: int) -> Floats:
    facade = _brick(dice, rows, columns) if dice.chance(0.3) else _grained(dice, rows, columns)
    _glaze(dice, facade, round(rows * 0.1), round(rows * 0.8))
    facade[round(rows * 0.9) :] *= 0.8
    return facade


def _shop(dice: Dice, rows: int, columns: int) -> Floats:
    facade = _grained(dice, rows, columns)
    _glaze(dice, facade, round(rows * 0.22), round(rows * 0.96))
    facade[round(rows * 0.03) : round(rows * 0.16)] = np.asarray(muted(dice), np.float32)
    if dice.chance(0.4):
        bands = (np.arange(columns) // 12) % 2
        awning = np.where(bands[:, None] == 0, np.asarray(muted(dice)), (196, 194, 188)).astype(np.float32)
        facade[round(rows * 0.16) : round(rows * 0.3)] = awning
    return facade


def _posters(dice: Dice, rows: int, columns: int) -> Floats:
    wall = _grained(dice, rows, columns)
    for left in range(8, columns - 40, 70):
        poster = wall[round(rows * 0.25) : round(rows * 0.8), left : left + 44]
        poster[:] = np.asarray(
            vary(dice, dice.pick(((168, 92, 84), (92, 112, 152), (186, 178, 152))), 14), np.float32
        )
        for _ in range(4):
            y, x = dice.below(max(1, poster.shape[0])), dice.below(40)
            poster[y : y + 4 + dice.below(18), x : x + 6 + dice.below(24)] = vary(dice, muted(dice), 20)
    return wall


def _train(dice: Dice, rows: int, columns: int) -> Floats:
    """The side of a carriage: windows, doors, one coloured band, dark below."""
    side = np.empty((rows, columns, 3), np.float32)
    side[:] = np.asarray(vary(dice, (168, 170, 172), 8), np.float32)
    side[round(rows * 0.62) : round(rows * 0.72)] = np.asarray(vary(dice, muted(dice), 20), np.float32)
    for left in range(10, columns - 20, 64):
        side[round(rows * 0.2) : round(rows * 0.55), left : left + 46] = (58, 64, 70)
    for left in range(62, columns - 20, 128):
        side[round(rows * 0.15) : round(rows * 0.92), left : left + 3] *= 0.5
    side[round(rows * 0.92) :] = (40, 40, 42)
    return side


_STRETCHES: dict[str, Callable[[Dice, int, int], Floats]] = {
    "wall": _grained, "hedge": _leaves, "trees": _leaves, "brick": _brick, "panels": _panels, "shutter": _shutter,
    "glass": _glass, "windows": _windows, "shop": _shop, "posters": _posters, "train": _train,
}  # fmt: skip
STRETCHES = tuple(_STRETCHES)


def raise_backdrop(dice: Dice, pixels: Floats, base: int, kinds: Sequence[str], inside: bool) -> None:
    """Sky or ceiling, and from left to right stretches of the given kinds, down to about row `base`, in place."""
    if inside:
        pixels[:base] = np.asarray(vary(dice, (128, 128, 126), 8), np.float32)
        pixels[: base // 2 : 9] = (214, 214, 208)
    else:
        pixels[:base] = np.asarray(vary(dice, (186, 196, 208), 6), np.float32)
    left = -dice.below(100)
    while left < WIDTH:
        width, bottom = round(dice.uniform(110, 380)), base + dice.below(9) - 4
        start, stop = max(0, left), min(WIDTH, left + width)
        kind = dice.pick(kinds)
        if stop - start > 4:
            high = kind in ("hedge", "trees") or inside
            top = round(dice.uniform(0.0, base * 0.5)) if high else 0
            pixels[top:bottom, start:stop] = _STRETCHES[kind](dice, bottom - top, stop - start)
            pixels[bottom : bottom + 6, start:stop] *= 0.82
        left += width
