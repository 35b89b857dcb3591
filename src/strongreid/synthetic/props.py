"""Street furniture as cut-outs with soft edges: it stands in the background and in front of people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from strongreid.synthetic.dice import Dice
from strongreid.synthetic.texture import layered_noise
from strongreid.synthetic.wardrobe import Colour, clip_colour, vary

SHARPNESS = 110
"""Pixels per metre of a finished prop."""

_OVERSAMPLING = 2
_DARK: Colour = (38, 39, 41)


@dataclass(frozen=True)
class Prop:
    """One object; what is not object is transparent."""

    kind: str
    image: Image.Image
    """RGBA, `SHARPNESS` pixels per metre."""
    blocks: bool
    """Can stand between the camera and a person without hiding them whole."""

    @cached_property
    def weighted(self) -> Image.Image:
        """The image with its colours multiplied by its cover."""
        return self.image.convert("RGBa")

    @property
    def height(self) -> float:
        """Metres."""
        return self.image.height / SHARPNESS


class _Sketch:
    """A canvas measured in metres, origin at the lower left."""

    def __init__(self, width: float, height: float) -> None:
        self._unit = SHARPNESS * _OVERSAMPLING
        self._tall = round(height * self._unit)
        self.image = Image.new("RGBA", (round(width * self._unit), self._tall))
        self._draw = ImageDraw.Draw(self.image)

    def _at(self, x: float, y: float) -> tuple[int, int]:
        return round(x * self._unit), self._tall - round(y * self._unit)

    def box(self, left: float, low: float, right: float, high: float, fill: Colour, *, corner: float = 0.0) -> None:
        (x0, y1), (x1, y0) = self._at(left, low), self._at(right, high)
        self._draw.rounded_rectangle((x0, y0, max(x0, x1), max(y0, y1)), round(corner * self._unit), (*fill, 255))

    def oval(self, left: float, low: float, right: float, high: float, fill: Colour) -> None:
        (x0, y1), (x1, y0) = self._at(left, low), self._at(right, high)
        self._draw.ellipse((x0, y0, x1, y1), (*fill, 255))

    def ring(self, x: float, y: float, radius: float, line: float, colour: Colour) -> None:
        (x0, y1), (x1, y0) = self._at(x - radius, y - radius), self._at(x + radius, y + radius)
        self._draw.ellipse((x0, y0, x1, y1), outline=(*colour, 255), width=round(line * self._unit))

    def line(self, points: list[tuple[float, float]], width: float, colour: Colour) -> None:
        flat = [self._at(*point) for point in points]
        self._draw.line(flat, (*colour, 255), max(1, round(width * self._unit)), joint="curve")

    def area(self, points: list[tuple[float, float]], fill: Colour) -> None:
        self._draw.polygon([self._at(*point) for point in points], (*fill, 255))

    def finish(self, dice: Dice, roundness: float = 0.0, grain: float = 0.06) -> Image.Image:
        """Reduce to the final size, with dirt, and with darker sides where the object is round."""
        size = (self.image.width // _OVERSAMPLING, self.image.height // _OVERSAMPLING)
        pixels = np.asarray(self.image.resize(size, Image.Resampling.BOX)).astype(np.float32)
        rows, columns = pixels.shape[:2]
        side = np.abs(np.arange(columns) * (2 / columns) - 0.8)[None]
        dirt = layered_noise(dice, rows, columns, 24, 4) * np.float32(grain)
        dusk = np.linspace(1.04, 0.84, rows)[:, None]
        pixels[..., :3] *= ((1.0 + dirt) * dusk * (1.0 - roundness * side * side))[..., None]
        return Image.fromarray(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8))


def muted(dice: Dice) -> Colour:
    """A colour as things in a street have it: greyish, rarely bright."""
    grey = dice.uniform(40, 205)
    return clip_colour(grey + dice.normal(0, 5), grey + dice.normal(0, 4), grey + dice.normal(0, 5))


def _darker(colour: Colour, factor: float) -> Colour:
    return clip_colour(colour[0] * factor, colour[1] * factor, colour[2] * factor)


def _pole(dice: Dice) -> Image.Image:
    width = dice.uniform(0.09, 0.16)
    sketch, grey = _Sketch(width + 0.02, 3.2), vary(dice, (112, 114, 114), 8)
    sketch.box(0.01, 0, width, 3.2, grey)
    sketch.box(0.0, 0, width + 0.02, 0.25, _darker(grey, 0.8))
    if dice.chance(0.5):
        low = dice.uniform(1.0, 1.7)
        sketch.box(0.01, low, width, low + 0.22, muted(dice))
    return sketch.finish(dice, roundness=0.45)


def _pillar(dice: Dice) -> Image.Image:
    width = dice.uniform(0.20, 0.32)
    sketch, stone = _Sketch(width + 0.04, 3.2), vary(dice, muted(dice), 6)
    sketch.box(0.02, 0, width + 0.02, 3.2, stone)
    sketch.box(0.0, 0, width + 0.04, 0.18, _darker(stone, 0.7))
    if dice.chance(0.4):
        sketch.box(0.02, 1.2, width + 0.02, 1.9, muted(dice))
    return sketch.finish(dice, roundness=dice.pick((0.12, 0.45)))


def _sign(dice: Dice) -> Image.Image:
    sketch, plate = _Sketch(0.62, 2.5), muted(dice)
    sketch.box(0.28, 0, 0.34, 2.4, (104, 106, 107))
    sketch.box(0.02, 1.75, 0.60, 2.45, plate, corner=0.05)
    sketch.box(0.09, 1.85, 0.53, 2.35, _darker(plate, 1.4), corner=0.03)
    for row in range(3):
        sketch.box(0.14, 1.92 + 0.13 * row, dice.uniform(0.3, 0.5), 1.97 + 0.13 * row, _darker(plate, 0.6))
    return sketch.finish(dice)


def _bin(dice: Dice) -> Image.Image:
    colour = dice.pick(((74, 92, 76), (84, 88, 94), (92, 82, 70), (62, 68, 80)))
    sketch, colour = _Sketch(0.6, 1.1), vary(dice, colour, 7)
    sketch.area([(0.08, 0.03), (0.52, 0.03), (0.56, 0.9), (0.04, 0.9)], colour)
    sketch.box(0.02, 0.86, 0.58, 1.0, _darker(colour, 0.75), corner=0.04)
    sketch.box(0.10, 1.0, 0.50, 1.06, _darker(colour, 0.6), corner=0.03)
    sketch.box(0.14, 0.45, 0.46, 0.62, _darker(colour, 1.25), corner=0.03)
    sketch.oval(0.06, 0.0, 0.18, 0.12, _DARK)
    return sketch.finish(dice, roundness=0.3)


def _bollard(dice: Dice) -> Image.Image:
    sketch, colour = _Sketch(0.24, 0.95), vary(dice, (104, 102, 99), 8)
    sketch.box(0.03, 0, 0.21, 0.93, colour, corner=0.05)
    sketch.box(0.03, 0.66, 0.21, 0.76, _darker(colour, 1.45))
    return sketch.finish(dice, roundness=0.45)


def _fence(dice: Dice) -> Image.Image:
    sketch, colour = _Sketch(2.6, 1.15), vary(dice, (92, 94, 92), 8)
    for place in np.arange(0.04, 2.58, dice.uniform(0.11, 0.17)):
        sketch.line([(float(place), 0.12), (float(place), 1.05)], 0.018, colour)
    for height in (0.14, 1.05):
        sketch.box(0, height - 0.025, 2.6, height + 0.025, _darker(colour, 1.1))
    for place in (0.03, 1.3, 2.56):
        sketch.box(place - 0.03, 0, place + 0.03, 1.12, _darker(colour, 0.85))
    return sketch.finish(dice)


def _ledge(dice: Dice) -> Image.Image:
    """A low wall of pale or dark stone, in courses."""
    height = dice.uniform(0.4, 1.1)
    sketch, stone = _Sketch(3.0, height), vary(dice, muted(dice), 4)
    sketch.box(0, 0, 3.0, height, stone)
    course, block = dice.uniform(0.12, 0.35), dice.uniform(0.25, 0.9)
    for step in range(1, int(height / course) + 1):
        sketch.box(0, step * course - 0.012, 3.0, step * course, _darker(stone, 0.72))
    for step in range(1, int(3.0 / block) + 1):
        sketch.box(step * block - 0.012, 0, step * block, height, _darker(stone, 0.78))
    sketch.box(0, height - 0.08, 3.0, height, _darker(stone, 1.2))
    return sketch.finish(dice)


def _bench(dice: Dice) -> Image.Image:
    sketch, wood = _Sketch(1.7, 0.9), vary(dice, (118, 92, 66), 8)
    for place in (0.15, 1.5):
        sketch.box(place, 0, place + 0.07, 0.85, _DARK)
    for height in (0.40, 0.55, 0.68, 0.80):
        sketch.box(0.02, height, 1.68, height + 0.08, _darker(wood, 1.15 - 0.3 * (height == 0.40)), corner=0.02)
    return sketch.finish(dice)


def _bicycle(dice: Dice) -> Image.Image:
    sketch, frame = _Sketch(1.8, 1.1), muted(dice)
    rear, front, crank, saddle, bar = (0.36, 0.35), (1.42, 0.35), (0.84, 0.33), (0.68, 0.86), (1.25, 0.92)
    for hub in (rear, front):
        sketch.ring(*hub, 0.34, 0.045, _DARK)
        sketch.ring(*hub, 0.29, 0.012, (150, 151, 152))
    for ends in ((rear, crank), (rear, saddle), (crank, saddle), (crank, bar), (saddle, bar), (front, bar)):
        sketch.line(list(ends), 0.045, frame)
    sketch.line([(1.25, 0.92), (1.30, 1.05), (1.16, 1.07)], 0.04, _DARK)
    sketch.oval(0.56, 0.86, 0.82, 0.95, _DARK)
    sketch.oval(0.76, 0.25, 0.92, 0.41, _DARK)
    if dice.chance(0.5):
        sketch.box(1.34, 0.72, 1.68, 0.95, vary(dice, (128, 120, 106), 8), corner=0.03)
    return sketch.finish(dice)


def _car(dice: Dice) -> Image.Image:
    paint = dice.pick(((196, 196, 194), (58, 60, 64), (122, 124, 128), (84, 44, 44), (56, 64, 82)))
    sketch, paint = _Sketch(4.3, 1.55), vary(dice, paint, 4)
    sketch.area([(0.8, 0.85), (1.35, 1.5), (2.8, 1.5), (3.55, 0.85)], paint)
    sketch.area([(1.0, 0.88), (1.45, 1.42), (2.05, 1.42), (2.05, 0.88)], (52, 60, 66))
    sketch.area([(2.12, 0.88), (2.12, 1.42), (2.72, 1.42), (3.3, 0.88)], (52, 60, 66))
    sketch.box(0.05, 0.3, 4.25, 0.92, paint, corner=0.22)
    sketch.box(0.05, 0.28, 4.25, 0.42, _darker(paint, 0.55), corner=0.05)
    sketch.box(4.05, 0.68, 4.24, 0.8, (214, 210, 196), corner=0.03)
    for place in (0.85, 3.4):
        sketch.oval(place - 0.34, 0, place + 0.34, 0.68, (30, 30, 31))
        sketch.oval(place - 0.2, 0.14, place + 0.2, 0.54, (120, 121, 122))
    return sketch.finish(dice, grain=0.03)


def _hedge(dice: Dice) -> Image.Image:
    return _foliage(dice, "hedge", 2.8, dice.uniform(0.9, 1.25))


def _tree(dice: Dice) -> Image.Image:
    return _foliage(dice, "tree", 2.4, 4.2)


def _foliage(dice: Dice, shape: Literal["hedge", "bush", "tree"], width: float, height: float) -> Image.Image:
    """Leaves with a ragged outline."""
    rows, columns = round(height * SHARPNESS), round(width * SHARPNESS)
    leaves = layered_noise(dice, rows, columns, 30, 5)
    green = np.asarray(vary(dice, (66, 80, 52), 5), np.float32)
    down, across = np.arange(rows)[:, None] / rows, np.abs(np.arange(columns)[None] * (2 / columns) - 1)
    stem = np.zeros((rows, columns), bool)
    if shape == "tree":
        middle = (down * (1 / 0.62) - 0.5) * 2
        fill = 1.0 - middle * middle - across * across + 0.35 * leaves
        stem = (across < 0.06) & (down > 0.5) & (fill <= 0)
    elif shape == "bush":
        fill = 0.9 - across * across - (1 - down) * (1 - down) + 0.25 * leaves
    else:
        fill = np.minimum(down - 0.08, (1 - across) * 1.6) * 8 + 0.6 * leaves
    pixels = np.zeros((rows, columns, 4), np.float32)
    pixels[..., :3] = green * (1.0 + 0.34 * leaves - 0.25 * down)[..., None]
    pixels[..., 3] = np.clip(fill * 5, 0, 1) * 255
    pixels[stem] = (84, 70, 58, 255)
    return Image.fromarray(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8))


def _planter(dice: Dice) -> Image.Image:
    leaves = _foliage(dice, "bush", 1.2, 0.7)
    sketch, stone = _Sketch(1.2, 1.0), vary(dice, (126, 118, 108), 8)
    sketch.area([(0.1, 0), (1.1, 0), (1.18, 0.45), (0.02, 0.45)], stone)
    image = sketch.finish(dice)
    image.alpha_composite(leaves, (0, 0))
    return image


def _walker(dice: Dice) -> Image.Image:
    """A person far away, a few pixels tall in the end."""
    sketch, top, bottom = _Sketch(0.6, 1.75), muted(dice), vary(dice, (56, 58, 66), 11)
    stride = dice.uniform(0.03, 0.16)
    for foot in (0.3 - stride, 0.3 + stride):
        sketch.line([(0.3, 0.85), (foot, 0.04)], 0.15, bottom)
    sketch.line([(0.3, 1.3), (0.18 - stride * 0.6, 0.85)], 0.09, _darker(top, 0.9))
    sketch.box(0.15, 0.75, 0.45, 1.46, top, corner=0.1)
    sketch.oval(0.22, 1.46, 0.39, 1.73, (172, 138, 116))
    sketch.oval(0.21, 1.58, 0.40, 1.75, _DARK)
    return sketch.finish(dice, roundness=0.3)


_KINDS: dict[str, tuple[Callable[[Dice], Image.Image], bool]] = {
    "pole": (_pole, True),
    "pillar": (_pillar, True),
    "sign": (_sign, True),
    "bin": (_bin, True),
    "bollard": (_bollard, True),
    "fence": (_fence, True),
    "ledge": (_ledge, True),
    "bench": (_bench, True),
    "bicycle": (_bicycle, True),
    "hedge": (_hedge, True),
    "planter": (_planter, True),
    "car": (_car, False),
    "tree": (_tree, False),
    "walker": (_walker, False),
}


def make_props(dice: Dice, kinds: Sequence[str] | None = None) -> list[Prop]:
    """One prop for each of `kinds`; without them one of every kind there is."""
    return [Prop(kind, _KINDS[kind][0](dice), _KINDS[kind][1]) for kind in kinds or _KINDS]
