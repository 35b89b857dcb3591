"""One picture: a passage past a camera, the detector's box, what stands in the way, the sensor."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from strongreid.synthetic.body import Body
from strongreid.synthetic.camera import Camera, Pixels
from strongreid.synthetic.dice import Dice
from strongreid.synthetic.passage import PASSERS_BY, SUPERSAMPLING, Passage, World
from strongreid.synthetic.props import SHARPNESS, Prop
from strongreid.synthetic.raster import Facing, Indices, Light, Surfels, Window, facing_camera, shade, splat
from strongreid.synthetic.settings import WorldSettings
from strongreid.synthetic.shadow import ShadowCaster, shadows_on_ground
from strongreid.synthetic.skeleton import Stance
from strongreid.synthetic.trace import Trace
from strongreid.synthetic.tube import Floats

_BOUNCE = (0.10, 0.09, 0.08)
_SOMEONE_BEHIND = 0.22
_LEVELS = np.arange(256)
_MARGIN = 8  # canvas pixels: farther than the blur of an outline reaches


Making = Generator[None, None, Pixels]
"""A picture in the making, (height, width, 3): it pauses after each step; `finish` gives the picture."""


@dataclass(frozen=True)
class _Box:
    """A detection, in metres on the camera's plane; x and y are its centre, y above the ground."""

    x: float
    y: float
    height: float
    width: float


@dataclass(frozen=True)
class _View:
    """The part of the scene that a picture shows, in the scene's pixels."""

    left: float
    top: float
    wide: float
    tall: float
    foot_column: float
    """Where the person stands."""
    foot_row: float
    scale: float
    """Pixels per metre there."""


@dataclass(frozen=True)
class _Figure:
    """Somebody in the picture, as the camera sees them."""

    body: Body
    places: Floats
    normals: Floats
    facing: Facing
    window: Window


def photograph(
    world: World,
    body: Body,
    passage: Passage,
    moment: int,
    dice: Dice,
    *,
    junk: bool = False,
    trace: Trace | None = None,
) -> Making:
    """Picture number `moment` of a passage; `junk` is a box that no one would keep.

    `trace` takes note of where the person is in the picture.
    """
    settings = world.settings
    stance = Stance(passage.phase + moment * passage.pace, passage.swing, dice.normal(0, 0.25), passage.raised)
    yaw = passage.yaw + dice.normal(0, 0.06)
    places, normals = _seen(body, stance, yaw, passage)
    yield
    top, bottom = float(np.maximum.reduce(places[1])), float(np.minimum.reduce(places[1]))
    box = _draw_box(dice, settings.bad_boxes, top, bottom, junk)
    scale, shape = passage.pixels / (top - bottom), _canvas_shape(settings)
    window, view = _window(box, shape), _frame(passage, moment, box, scale)
    person = _Figure(body, places, normals, facing_camera(places, normals), window)
    figures = [person]
    if dice.chance(_SOMEONE_BEHIND):
        figures.insert(0, _draw_passer_by(world, window, passage, view, dice, in_front=False))
    if dice.chance(min(1.0, settings.occlusion * (3 if junk else 1))):
        figures.append(_draw_passer_by(world, window, passage, view, dice, in_front=True))
    yield
    piece = _background(passage, view, shape)
    yield
    light_left = _shadows(figures, passage, shape)
    yield
    canvas = _lit(piece, light_left, passage.daylight.brightness)
    yield
    light = light_of(passage)
    for figure in figures:
        shown, surfels = _paint(canvas, figure, light)
        if trace and figure is person:
            trace.pose(body, stance, yaw, passage)
            trace.show(places, person.facing, window, canvas.shape, shown, surfels)
        elif trace and figure is figures[-1]:
            trace.cover(shown)
    image = Image.frombytes("RGB", (shape[1], shape[0]), canvas.tobytes(), "raw", "RGBX")
    if dice.chance(0.9 * settings.occlusion):
        brightness, prop = passage.daylight.brightness, dice.pick(passage.camera.props)
        place, outline = _add_prop(image, window, brightness, prop, dice)
        if trace:
            trace.cover_by_cut_out(place, outline)
    yield
    native = _native_size(box.height * scale, settings)
    if trace:
        trace.sensor = native
    sensed = np.asarray(image.resize(native, Image.Resampling.BOX))
    yield
    smear = passage.smear * native[1] / 120
    pixels = yield from passage.camera.develop(sensed, passage.exposure, smear, dice, passage.daylight.noise)
    yield
    return _to_size(pixels, settings)


def photograph_nobody(world: World, camera: Camera, dice: Dice) -> Making:
    """A false alarm of the detector, a piece of the scene."""
    settings, scene = world.settings, camera.scene.image
    tall = round(dice.uniform(60, 200))
    wide = tall * settings.width // settings.height
    left, top = dice.below(scene.width - wide), dice.below(scene.height - tall)
    piece = scene.crop((left, top, left + wide, top + tall))
    size = _native_size(tall, settings)
    pixels = yield from camera.develop(np.asarray(piece.resize(size, Image.Resampling.BOX)), 1.0, 0.0, dice)
    return _to_size(pixels, settings)


def finish(makings: Iterable[Making]) -> list[Pixels]:
    """The finished pictures, (height, width, 3) each, made step by step: each step of all of them before the next.

    One step after the other of one picture would take a tenth more time: the code of a step leaves the processor's
    nearest caches before the next picture needs it again.
    """
    under_way = dict(enumerate(makings))
    pictures: dict[int, Pixels] = {}
    while under_way:
        for number, making in list(under_way.items()):
            try:
                next(making)
            except StopIteration as done:
                pictures[number] = done.value
                del under_way[number]
    return [pictures[number] for number in sorted(pictures)]


def _seen(body: Body, stance: Stance, yaw: float, passage: Passage) -> tuple[Floats, Floats]:
    """Places and normals with perspective."""
    places, normals = body.pose(stance, yaw, passage.elevation)
    distance = np.float32(passage.distance)
    places[:2] *= distance / (distance - places[2])
    return places, normals


def _draw_box(dice: Dice, bad_boxes: float, top: float, bottom: float, junk: bool) -> _Box:
    """What a detector finds: a little loose, sometimes cut off or off centre, always so for junk."""
    tall = top - bottom
    height = tall * (1.02 + abs(dice.normal(0, 0.06)))
    y = (top + bottom) / 2 + dice.normal(0, 0.025) * tall
    x = dice.normal(0, 0.027) * tall
    if junk or dice.chance(bad_boxes):
        fault = dice.below(4 if junk else 3)
        amount = dice.uniform(0.12, 0.3) * (1.8 if junk else 1.0)
        if fault == 0:  # the legs are cut off
            y, height = y + amount * tall * 0.5, height * (1 - amount)
        elif fault == 1:  # the head is cut off
            y, height = y - amount * tall * 0.35, height * (1 - amount * 0.4)
        elif fault == 2:
            x += dice.sign() * amount * tall * 0.35
        else:
            y, height = y + 0.15 * tall, height * 1.5
    return _Box(x, y, height, height * 0.5 * dice.uniform(0.78, 1.0))


def _canvas_shape(settings: WorldSettings) -> tuple[int, int]:
    """(rows, columns) of the canvas on which a picture is drawn."""
    return round(settings.height * SUPERSAMPLING), round(settings.width * SUPERSAMPLING)


def _window(box: _Box, shape: tuple[int, int]) -> Window:
    return Window(
        box.x - box.width / 2,
        box.y + box.height / 2,
        round(shape[1] / box.width, 4),
        round(shape[0] / box.height, 4),
    )


def light_of(passage: Passage) -> Light:
    """The light on a person."""
    daylight = passage.daylight
    return Light(
        towards_sun=daylight.towards_sun,
        sun=daylight.sun,
        sky=daylight.sky,
        bounce=_BOUNCE,
        shade_edge=passage.shade_edge,
        shade_left=passage.shade_left,
        dapples=passage.dapples,
    )


def _frame(passage: Passage, moment: int, box: _Box, scale: float) -> _View:
    """The piece of the scene behind a box; a box that sticks out is moved back into it.

    `scale` is the scene's pixels per metre there. Whoever comes to the edge of a platform goes on along it.
    """
    scene = passage.camera.scene
    wide, tall = min(box.width * scale, scene.image.width - 1.0), min(box.height * scale, scene.image.height - 1.0)
    left = passage.foot[0] + moment * passage.step[0] + box.x * scale - wide / 2
    top = passage.foot[1] + moment * passage.step[1] - box.y * scale - tall / 2
    left, top = min(max(left, 0.0), scene.image.width - wide), min(max(top, 0.0), scene.image.height - tall)
    column, row = left + wide / 2 - box.x * scale, top + tall / 2 + box.y * scale
    safe = scene.nearest_walkable(column, row)
    left = min(max(left + safe - column, 0.0), scene.image.width - wide)
    return _View(left, top, wide, tall, safe, row, scale)


def _background(passage: Passage, view: _View, shape: tuple[int, int]) -> Image.Image:
    # Sixteenths of a pixel: Pillow's weights must not hang on the last bit of a sine.
    ends = view.left + view.wide, view.top + view.tall
    edges = tuple(math.floor(edge * 16) / 16 for edge in (view.left, view.top, *ends))
    corners = (edges[0], edges[1], edges[2], edges[3])
    image = passage.camera.scene.image
    return image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR, box=corners)


def _shadows(figures: list[_Figure], passage: Passage, shape: tuple[int, int]) -> Image.Image:
    """In mode L: how much of the light is left on the ground."""
    daylight = passage.daylight
    return shadows_on_ground(
        [ShadowCaster(figure.places, figure.window) for figure in figures],
        shape,
        daylight.towards_sun,
        (passage.elevation, passage.distance),
        (daylight.shadow, daylight.softness),
    )


def _lit(piece: Image.Image, light_left: Image.Image, brightness: tuple[float, float, float]) -> Pixels:
    """(rows, columns, 4): a piece of the scene, lit as the bodies in it are lit, with their shadows on the ground.

    The fourth byte of each pixel has no meaning: with it a pixel is one word.
    """
    # A row of four for each level, the fourth 0: sixteen bytes are copied as one.
    lit = _factors(brightness).take(np.asarray(light_left).reshape(-1), 0)
    lit *= np.frombuffer(piece.tobytes("raw", "RGBX"), np.uint8).reshape(-1, 4)
    if max(brightness) > 1:
        np.clip(lit, np.float32(0), np.float32(255), out=lit)  # half the price of `minimum` with one number
    return lit.astype(np.uint8).reshape(piece.height, piece.width, 4)


@lru_cache(maxsize=64)
def _factors(brightness: tuple[float, float, float]) -> Floats:
    """(256, 4): by how much light is left of 255, what it does to each colour; one table for a passage."""
    factors = np.zeros((256, 4), np.float32)
    factors[:, :3] = _LEVELS[:, None] / 255 * np.round(brightness, 6)
    return factors


def _paint(canvas: Pixels, figure: _Figure, light: Light) -> tuple[Indices, Surfels]:
    """Draw somebody in place; returns what `splat` does."""
    body, places, normals = figure.body, figure.places, figure.normals
    pixels, surfels = splat(places, figure.facing, figure.window, (canvas.shape[0], canvas.shape[1]), body.spacing)
    # A surfel takes about two pixels, and is shaded once.
    seen = np.zeros(body.albedo.shape[1], np.bool_)
    seen[surfels] = True
    shown = seen.nonzero()[0]
    colours = shade(shown, places, normals, body.albedo, light, body.person.height)
    red, green, blue = np.minimum(colours, np.float32(255), out=colours).astype(np.int32)
    red |= np.left_shift(green, 8, out=green)
    red |= np.left_shift(blue, 16, out=blue)
    words = np.empty(len(seen), np.uint32)
    words[shown] = red.view(np.uint32)
    canvas.view("<u4").reshape(-1)[pixels] = words.take(surfels)
    return pixels, surfels


def _draw_passer_by(
    world: World, window: Window, passage: Passage, view: _View, dice: Dice, *, in_front: bool
) -> _Figure:
    body = world.passer_by(dice.below(PASSERS_BY))
    yaw = passage.yaw + dice.pick((0.0, math.pi, dice.uniform(-1, 1))) + dice.normal(0, 0.2)
    stance = Stance(dice.uniform(0, math.tau), passage.swing, dice.normal(0, 0.25))
    places, normals = _seen(body, stance, yaw, passage)
    aside = dice.sign() * dice.uniform(0.22, 0.55)
    nearer = dice.uniform(1.0, 1.12) if in_front else dice.uniform(0.75, 0.95)
    lower = dice.uniform(-0.12, -0.02) if in_front else dice.uniform(0.05, 0.25)
    column, row = view.foot_column + aside * view.scale, view.foot_row - lower * view.scale
    aside += (passage.camera.scene.nearest_walkable(column, row) - column) / view.scale
    shifted = Window(
        round((window.left - aside) / nearer, 6),
        round((window.top - lower) / nearer, 6),
        round(window.across * nearer, 4),
        round(window.down * nearer, 4),
    )
    return _Figure(body, places, normals, facing_camera(places, normals), shifted)


def _add_prop(
    image: Image.Image, window: Window, brightness: tuple[float, float, float], prop: Prop, dice: Dice
) -> tuple[tuple[int, int], Image.Image]:
    """Stand street furniture in front of the person, in place; returns its left upper corner and its outline."""
    nearer = dice.uniform(1.05, 1.35)
    wide = max(2, round(prop.image.width / SHARPNESS * window.across * nearer))
    tall = max(2, round(prop.height * window.down * nearer))
    flipped = dice.chance(0.5)
    foot = round((window.top + dice.uniform(0.05, 0.30)) * window.down)
    if wide > image.width:  # a long thing reaches across, or ends somewhere behind the person
        left = round(dice.uniform(-0.6, 0.4) * wide) - (wide - image.width) // 2
    else:
        left = round(dice.uniform(-0.3, 1.0) * image.width - 0.3 * wide)
    # No more of it than is seen, and what blurs into that.
    part = (
        max(0, -left - _MARGIN),
        max(0, tall - foot - _MARGIN),
        min(wide, image.width - left + _MARGIN),
        min(tall, tall - foot + image.height + _MARGIN),
    )
    sprite = _cut(prop, (wide, tall), part, flipped=flipped)
    outline = sprite.getchannel("A").filter(ImageFilter.GaussianBlur(0.8))
    place = (left + part[0], foot - tall + part[1])
    image.paste(_shone_on(sprite, brightness), place, outline)
    return place, outline


def _shone_on(sprite: Image.Image, brightness: tuple[float, float, float]) -> Image.Image:
    """The colours of a cut-out in the light of the place, without its cover."""
    return sprite.convert("RGB").point(_answers(brightness))


@lru_cache(maxsize=64)
def _answers(brightness: tuple[float, float, float]) -> list[int]:
    """What becomes of each level of red, then of green, then of blue."""
    levels: list[int] = np.minimum(np.rint(_LEVELS * np.array(brightness)[:, None]), 255).astype(int).ravel().tolist()
    return levels


def _cut(prop: Prop, size: tuple[int, int], part: tuple[int, int, int, int], *, flipped: bool) -> Image.Image:
    """A part of a prop that was resized to `size` and perhaps turned left to right."""
    if part[0] >= part[2] or part[1] >= part[3]:
        return Image.new("RGBA", (1, 1))
    left, right = (size[0] - part[2], size[0] - part[0]) if flipped else (part[0], part[2])
    # Resized with colours multiplied by the cover, as Pillow would do it, but divided again for the part only.
    sprite = prop.weighted.resize(size, Image.Resampling.BILINEAR).crop((left, part[1], right, part[3]))
    sprite = sprite.convert("RGBA")
    return sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flipped else sprite


def _native_size(tall: float, settings: WorldSettings) -> tuple[int, int]:
    """Width and height in pixels of a box in the camera's own resolution, within reason."""
    rows = round(min(max(tall * settings.height / 128, 24), 1.5 * settings.height))
    return max(12, rows * settings.width // settings.height), rows


def _to_size(pixels: Pixels, settings: WorldSettings) -> Pixels:
    """The picture at the size of the set's pictures."""
    size = (settings.width, settings.height)
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
