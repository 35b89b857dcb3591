"""What a camera sees without people: ground in perspective, buildings and plants, street furniture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from strongreid.synthetic.dice import Dice
from strongreid.synthetic.props import Prop, muted
from strongreid.synthetic.texture import layered_noise, value_noise
from strongreid.synthetic.tube import Floats
from strongreid.synthetic.wardrobe import clip_colour, vary

WIDTH, HEIGHT = 1024, 576

FOCAL = 900.0
"""Focal length in pixels; the camera looks level, with the horizon moved up."""

_GROUNDS = {
    "asphalt": (112, 113, 115), "paving": (160, 152, 144), "slabs": (148, 138, 130),
    "plaza": (172, 167, 160), "path": (146, 140, 128),
}  # fmt: skip
_TILE_METRES = {"paving": 0.45, "slabs": 0.9, "plaza": 1.4}


@dataclass(frozen=True)
class Piece:
    """One thing that stands in a scene's picture."""

    left: int
    top: int
    row: float
    """On which it stands."""
    outline: Image.Image
    """Grey: how much of each pixel it covers."""


@dataclass(frozen=True)
class Scene:
    """A background picture, and how distances in it follow from the height in the picture."""

    image: Image.Image
    """RGB in plain daylight, `HEIGHT` x `WIDTH`."""
    horizon: float
    """The row on which the ground ends at infinity."""
    camera_height: float
    """Metres above the ground."""
    furniture: tuple[Piece, ...] = ()
    """What stands on the ground, the far things first."""

    def foot_row(self, height: float, pixels: float) -> float:
        """The row on which someone stands who is `height` metres and, in the picture, `pixels` tall."""
        return self.horizon + self.camera_height * pixels / height


def make_scene(dice: Dice, props: list[Prop], tallest: float, *, deserted: bool = False) -> Scene:
    """A new scene, in which a person of 1.7 m near the lower edge is `tallest` pixels tall.

    `deserted` leaves out the people of the background, who have no identity.
    """
    horizon = HEIGHT * dice.uniform(0.14, 0.30)
    camera_height = 1.7 * 0.9 * (HEIGHT - horizon) / tallest
    pixels = np.empty((HEIGHT, WIDTH, 3), np.float32)
    pixels[:] = _ground(dice, horizon, camera_height)
    base = round(horizon + HEIGHT * 0.05)
    _backdrop(dice, pixels, base)
    pixels *= _cast_shadows(dice, base)[..., None]
    image = Image.fromarray(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(0.7))
    furniture = _furnish(dice, image, props, base, horizon, camera_height, deserted)
    return Scene(image, horizon, camera_height, tuple(furniture))


def _ground(dice: Dice, horizon: float, camera_height: float) -> Floats:
    kind = dice.pick(tuple(_GROUNDS))
    colour = np.asarray(vary(dice, _GROUNDS[kind], 7), np.float32) * np.float32(dice.uniform(0.85, 1.12))
    rows, columns = np.arange(HEIGHT, dtype=np.float32)[:, None], np.arange(WIDTH, dtype=np.float32)[None]
    below = np.maximum(4.0, rows - horizon)
    per_metre = below / camera_height
    ahead = FOCAL * camera_height / below
    aside = (columns - WIDTH / 2) / per_metre
    turn = dice.uniform(-0.6, 0.6)
    along = aside * math.cos(turn) - ahead * math.sin(turn)
    across = aside * math.sin(turn) + ahead * math.cos(turn)
    stains = 0.035 * layered_noise(dice, HEIGHT, WIDTH, 120, 4) + 0.025 * value_noise(dice, HEIGHT, WIDTH, 1.7, 2.5)
    tone = 1.0 + stains
    if kind in _TILE_METRES:
        # Lines thinner than a pixel alias into rays that run to the horizon: fade them out with the distance.
        clear = np.clip(per_metre * per_metre * camera_height / FOCAL * _TILE_METRES[kind] / 4.0 - 0.2, 0.0, 1.0)
        tone = tone + clear * _tiles(along / _TILE_METRES[kind], across / _TILE_METRES[kind])
    ground = colour * tone[..., None]
    if kind == "path":
        grass = np.abs(along) > dice.uniform(2.5, 5.0)
        blades = 1.0 + 0.10 * layered_noise(dice, HEIGHT, WIDTH, 26, 4)
        ground[grass] = (np.asarray((84, 100, 62), np.float32) * blades[..., None])[grass]
    if kind == "asphalt":
        paint = (np.abs(np.abs(along) - 3.5) < 0.08) & (across % 4.0 < 2.4)
        ground[paint] = ground[paint] * 0.4 + np.asarray((118, 118, 114), np.float32)
    faded: Floats = ground.astype(np.float32)
    return faded


def _tiles(along: Floats, across: Floats) -> Floats:
    """(rows, columns): how much lighter or darker than average each tile is, with dark joints."""
    row, column = np.floor(across).astype(np.int64), np.floor(along).astype(np.int64)
    scrambled = ((row * 73856093) ^ (column * 19349663)) & 255
    tone = (scrambled - 128) / 128.0 * 0.05
    joint = ((along - column) < 0.06) | ((across - row) < 0.06)
    return np.where(joint, -0.12, tone)


def _backdrop(dice: Dice, pixels: Floats, base: int) -> None:
    """Sky, and from left to right what stands along the far side, in place."""
    pixels[:base] = np.asarray(vary(dice, (186, 196, 208), 6), np.float32)
    left = -dice.below(100)
    while left < WIDTH:
        width, bottom = round(dice.uniform(110, 380)), base + dice.below(9) - 4
        start, stop = max(0, left), min(WIDTH, left + width)
        kind = dice.pick(("brick", "windows", "wall", "hedge", "shop", "trees"))
        if stop - start > 4:
            top = round(dice.uniform(0.0, base * 0.5)) if kind in ("hedge", "trees") else 0
            pixels[top:bottom, start:stop] = _facade(dice, kind, bottom - top, stop - start)
            pixels[bottom : bottom + 6, start:stop] *= 0.82
        left += width


def _facade(dice: Dice, kind: str, rows: int, columns: int) -> Floats:
    """(rows, columns, 3): one stretch of the far side."""
    grain = (1.0 + 0.035 * layered_noise(dice, rows, columns, 30, 4))[..., None]
    if kind in ("hedge", "trees"):
        leaves = layered_noise(dice, rows, columns, 26, 5)[..., None]
        return np.asarray(vary(dice, (66, 80, 54), 5), np.float32) * (1.0 + 0.32 * leaves)
    if kind == "brick":
        down, across = np.arange(rows)[:, None], np.arange(columns)[None]
        joint = (down % 7 == 0) | ((across + 9 * ((down // 7) % 2)) % 18 == 0)
        brick = np.asarray(vary(dice, (138, 98, 82), 10), np.float32) * grain
        return brick * np.where(joint, 1.14, 1.0)[..., None]
    facade = np.asarray(muted(dice), np.float32) * np.float32(1.1) * grain
    if kind == "wall":
        return facade
    pane = round(dice.uniform(36, 84))
    top, bottom = (
        (round(rows * 0.22), round(rows * 0.96)) if kind == "shop" else (round(rows * 0.1), round(rows * 0.8))
    )
    for left in range(6, columns - pane // 2, pane):
        glass = facade[top:bottom, left : left + pane - 7]
        glass[:] = np.asarray(vary(dice, (70, 78, 86), 12), np.float32)
        glass *= np.linspace(1.2, 0.8, glass.shape[0])[:, None, None]
        for _ in range(2):
            y, x = dice.below(max(1, bottom - top)), dice.below(pane)
            glass[y : y + 8 + dice.below(24), x : x + 4 + dice.below(14)] = muted(dice)
    if kind == "shop":
        facade[round(rows * 0.03) : round(rows * 0.16)] = np.asarray(muted(dice), np.float32)
    return facade


def _cast_shadows(dice: Dice, base: int) -> Floats:
    """(HEIGHT, WIDTH): factors, 1 in the light, less in the shadow of what stands outside the picture."""
    light = np.ones((HEIGHT, WIDTH), np.float32)
    if dice.chance(0.6):
        cover = np.clip((layered_noise(dice, HEIGHT, WIDTH, 220, 3) - np.float32(0.35)) * 5, 0, 1)
        light[base:] -= np.float32(0.30) * cover[base:]
    return light


def _furnish(
    dice: Dice,
    image: Image.Image,
    props: list[Prop],
    base: int,
    horizon: float,
    camera_height: float,
    deserted: bool,
) -> list[Piece]:
    """Stand 14 to 26 props on the ground, the far ones first, in place."""
    pieces: list[Piece] = []
    rows = sorted(dice.uniform(base + 2, HEIGHT * 0.86) for _ in range(14 + dice.below(13)))
    for row in rows:
        prop = dice.pick(props)
        scale = (row - horizon) / camera_height * prop.height / prop.image.height
        size = max(1, round(prop.image.width * scale)), max(1, round(prop.image.height * scale))
        sprite = prop.image.resize(size, Image.Resampling.BILINEAR)
        if dice.chance(0.5):
            sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        left, top = round(dice.uniform(-0.05, 1.0) * WIDTH), round(row) - size[1]
        if deserted and prop.kind == "walker":
            continue
        shadow = Image.new("L", (size[0] + 6, max(6, size[1] // 7)))
        ImageDraw.Draw(shadow).ellipse((2, 2, size[0] + 3, shadow.height - 3), fill=90)
        shadow = shadow.filter(ImageFilter.GaussianBlur(1.0))
        dark = Image.new("RGB", shadow.size, clip_colour(38, 40, 44))
        image.paste(dark, (left - 3, round(row) - shadow.height // 2), shadow)
        image.paste(sprite, (left, top), sprite)
        pieces.append(Piece(left, top, row, sprite.getchannel("A")))
    return pieces
