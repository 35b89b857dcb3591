"""Whole frames of one camera: walkers by depth in front of a scene that stays the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from strongreid.synthetic.camera import Camera, Pixels
from strongreid.synthetic.capture import light_of
from strongreid.synthetic.dice import Dice
from strongreid.synthetic.figure import Figure, draw_figure
from strongreid.synthetic.passage import Passage
from strongreid.synthetic.trace import Mask
from strongreid.synthetic.tube import Floats
from strongreid.synthetic.walk import Lens, Walk

_SLACK = 128  # the noise is cut from a plane so much larger than the frame, at another place for every frame

Rectangle = tuple[int, int, int, int]
"""Left, top, right, bottom; right and bottom are the first outside."""


@dataclass(frozen=True)
class Seen:
    """One person in a frame."""

    identity: int
    left: int
    """Pixels from the frame's left edge; negative where the person sticks out."""
    top: int
    width: int
    height: int
    distance: float
    """Metres ahead of the camera."""
    visibility: float
    """The share of the person's pixels, also of those outside the frame, that are seen: 0 to 1."""
    mask: Mask
    """(height, width): the person, as if nothing were in front and the frame had no edges."""
    visible: Mask
    """(height, width): what of that is seen in the frame."""


@dataclass(frozen=True)
class Frame:
    """One frame with everyone in it."""

    camera: int
    """From 1."""
    number: int
    """From 1."""
    pixels: Pixels
    """(height, width, 3)."""
    people: tuple[Seen, ...]
    """Everyone whose box reaches into the frame, by identity."""


@dataclass(frozen=True)
class _Obstacle:
    """Street furniture of the scene, which hides whoever walks behind it."""

    z: float
    rectangle: Rectangle
    cover: Floats
    """(rows, columns, 1), 0 to 1."""


class Film:
    """What camera `number` sees of its walkers; `weather` gives the light and the exposure of all frames."""

    def __init__(
        self, camera: Camera, number: int, lens: Lens, weather: Passage, walks: Sequence[Walk], dice: Dice
    ) -> None:
        self._camera, self._number, self._lens, self._walks = camera, number, lens, walks
        self._light, self._exposure = light_of(weather), weather.exposure
        self._darkness = weather.daylight.shadow
        brightness = np.round(weather.daylight.brightness, 6).astype(np.float32)
        ground = lens.background(camera.scene.image).astype(np.float32) * brightness
        self._ground = np.clip(ground, 0, 255).astype(np.uint8)
        self._blur = camera.blur * lens.scale
        self._reach = camera.reach(self._blur)
        self._clean = self._develop(self._ground)
        self._noise = camera.draw_noise(lens.height + _SLACK, lens.width + _SLACK, dice, weather.daylight.noise)
        self._obstacles = _find_obstacles(camera, lens)

    def frame(self, number: int, seconds: float, dice: Dice) -> Frame:
        """The film at a time; `dice` draws this frame's noise."""
        canvas = self._ground.copy()
        figures = []
        for walk in self._walks:
            footing = walk.at(seconds)
            if walk.drawn(footing):
                figures.append(draw_figure(walk, footing, self._lens, self._light, self._darkness))
        figures.sort(key=lambda figure: -figure.z)
        touched = [box for figure in figures if (box := self._cast_shadow(canvas, figure)) is not None]
        labels = self._paint(canvas, figures)
        touched += [box for figure in figures if (box := self._clip(figure.rectangle)) is not None]
        pixels = self._clean.copy()
        for rectangle in _join(touched):
            self._develop_into(pixels, canvas, rectangle)
        people = [seen for index, figure in enumerate(figures, 1) if (seen := _look(figure, labels, index))]
        people.sort(key=lambda seen: seen.identity)
        return Frame(self._number, number, self._grain(pixels, dice), tuple(people))

    def _clip(self, rectangle: Rectangle) -> Rectangle | None:
        left, top, right, bottom = rectangle
        left, top, right, bottom = (
            max(left, 0),
            max(top, 0),
            min(right, self._lens.width),
            min(bottom, self._lens.height),
        )
        return (left, top, right, bottom) if left < right and top < bottom else None

    def _cast_shadow(self, canvas: Pixels, figure: Figure) -> Rectangle | None:
        """Darken the ground where the figure keeps the sun off, in place."""
        if (box := self._clip(figure.shadow_rectangle)) is None:
            return None
        left, top, right, bottom = box
        x, y = left - figure.shadow_rectangle[0], top - figure.shadow_rectangle[1]
        factors = figure.shadow[y : y + bottom - top, x : x + right - left]
        part = canvas[top:bottom, left:right]
        part[:] = (part * factors).astype(np.uint8)
        return box

    def _paint(self, canvas: Pixels, figures: Sequence[Figure]) -> npt.NDArray[np.uint8]:
        """Far things first, in place; returns who is seen at each pixel: a place in `figures` from 1, or 0."""
        labels = np.zeros(canvas.shape[:2], np.uint8)
        empty = canvas.copy()
        things: list[tuple[float, int]] = [(figure.z, index) for index, figure in enumerate(figures, 1)]
        things += [(obstacle.z, -index) for index, obstacle in enumerate(self._obstacles, 1)]
        painted: list[Rectangle] = []
        for _, index in sorted(things, reverse=True):
            if index < 0:
                obstacle = self._obstacles[-index - 1]
                if any(_overlap(obstacle.rectangle, other) for other in painted):
                    left, top, right, bottom = obstacle.rectangle
                    _blend(canvas[top:bottom, left:right], empty[top:bottom, left:right], obstacle.cover)
                    labels[top:bottom, left:right][obstacle.cover[..., 0] >= 0.5] = 0
            elif (box := self._clip(figures[index - 1].rectangle)) is not None:
                figure = figures[index - 1]
                left, top, right, bottom = box
                x, y = left - figure.rectangle[0], top - figure.rectangle[1]
                rows, columns = slice(y, y + bottom - top), slice(x, x + right - left)
                part = canvas[top:bottom, left:right]
                part[:] = (part * (1 - figure.cover[rows, columns]) + figure.colours[rows, columns]).astype(np.uint8)
                labels[top:bottom, left:right][figure.mask[rows, columns]] = index
                painted.append(box)
        return labels

    def _develop(self, canvas: Pixels) -> Pixels:
        return self._camera.focus(self._camera.expose(np.ascontiguousarray(canvas), self._exposure), self._blur)

    def _develop_into(self, pixels: Pixels, canvas: Pixels, rectangle: Rectangle) -> None:
        """With a margin: what is painted blurs into the pixels around it, and those meet their own neighbours."""
        reach = self._reach
        left, top, right, bottom = rectangle
        west, north = max(0, left - 2 * reach), max(0, top - 2 * reach)
        done = self._develop(canvas[north : bottom + 2 * reach, west : right + 2 * reach])
        left, top = max(0, left - reach), max(0, top - reach)
        part = pixels[top : bottom + reach, left : right + reach]
        part[:] = done[top - north :, left - west :][: part.shape[0], : part.shape[1]]

    def _grain(self, pixels: Pixels, dice: Dice) -> Pixels:
        down, across = dice.below(_SLACK), dice.below(_SLACK)
        noise = self._noise[down : down + pixels.shape[0], across : across + pixels.shape[1]]
        noisy = pixels + noise
        return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


def _blend(part: Pixels, over: Pixels, cover: Floats) -> None:
    part[:] = (part * (1 - cover) + over * cover).astype(np.uint8)


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _join(rectangles: Sequence[Rectangle]) -> list[Rectangle]:
    """The same area, with rectangles that overlap made one."""
    joined: list[Rectangle] = []
    for rectangle in rectangles:
        whole = rectangle
        while touching := [other for other in joined if _overlap(other, whole)]:
            joined = [other for other in joined if other not in touching]
            left, top, right, bottom = zip(whole, *touching, strict=True)
            whole = (min(left), min(top), max(right), max(bottom))
        joined.append(whole)
    return joined


def _look(figure: Figure, labels: npt.NDArray[np.uint8], index: int) -> Seen | None:
    """The person as a box: None for one who is outside the frame."""
    rows, columns = (np.flatnonzero(figure.mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    mask = figure.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    left, top = figure.rectangle[0] + int(columns[0]), figure.rectangle[1] + int(rows[0])
    height, width = mask.shape
    if left >= labels.shape[1] or top >= labels.shape[0] or left + width <= 0 or top + height <= 0:
        return None
    visible = np.zeros(mask.shape, bool)
    x, y = max(0, -left), max(0, -top)
    part = labels[top + y : top + height, left + x : left + width] == index
    visible[y : y + part.shape[0], x : x + part.shape[1]] = part
    share = int(np.count_nonzero(visible)) / int(np.count_nonzero(mask))
    return Seen(figure.identity, left, top, width, height, figure.z, round(share, 4), mask, visible)


def _find_obstacles(camera: Camera, lens: Lens) -> list[_Obstacle]:
    obstacles = []
    for piece in camera.scene.furniture:
        left, top = piece.left * lens.scale - lens.side, piece.top * lens.scale - lens.above
        size = [max(1, round(side * lens.scale)) for side in piece.outline.size]
        whole = Image.new("L", (lens.width, lens.height))
        whole.paste(piece.outline.resize((size[0], size[1]), Image.Resampling.BILINEAR), (round(left), round(top)))
        if (box := whole.getbbox()) is not None:
            cover = np.asarray(whole.crop(box)).astype(np.float32)[..., None] * np.float32(1 / 255)
            obstacles.append(_Obstacle(lens.ahead(piece.row * lens.scale - lens.above), box, cover))
    return obstacles
