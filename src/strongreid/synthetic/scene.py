"""What a camera sees without people: ground in perspective, buildings and plants, street furniture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from strongreid.synthetic.backdrop import raise_backdrop
from strongreid.synthetic.dice import Dice
from strongreid.synthetic.ground import FOCAL, HEIGHT, WIDTH, Edge, lay_ground
from strongreid.synthetic.props import Prop
from strongreid.synthetic.texture import layered_noise
from strongreid.synthetic.tube import Floats
from strongreid.synthetic.wardrobe import clip_colour

__all__ = ["FAMILIES", "HEIGHT", "WIDTH", "Family", "Scene", "make_scene"]


_TALL = 2.0  # metres: nobody is taller
_BEHIND = 0.3  # metres in the picture between the far side and the feet of whoever is farthest off
_CLEAR = 0.3
"""Metres that people keep from the edge of a platform."""


@dataclass(frozen=True)
class Family:
    """Places of one kind: what can lie underfoot, stand behind, and stand about."""

    grounds: tuple[str, ...]
    stretches: tuple[str, ...]
    props: tuple[str, ...]
    inside: bool = False
    """Lit from the ceiling, at every time of day alike."""
    gloss: float = 0.0
    """How much of what stands behind is mirrored in the floor."""


FAMILIES: dict[str, Family] = {
    "street": Family(
        ("asphalt", "paving", "crossing"), ("brick", "windows", "shop", "wall", "shutter"),
        ("pole", "sign", "bin", "bollard", "bicycle", "car", "car", "walker", "tree", "fence", "ledge"),
    ),
    "shops": Family(
        ("plaza", "slabs", "cobbles"), ("shop", "shop", "windows", "posters"),
        ("sign", "bin", "bench", "planter", "bicycle", "bollard", "walker", "walker", "ledge", "fence"),
    ),
    "park": Family(
        ("path", "grass", "gravel"), ("hedge", "trees", "trees", "wall"),
        ("bench", "hedge", "bin", "tree", "tree", "bicycle", "fence", "walker"),
    ),
    "campus": Family(
        ("paving", "slabs", "plaza"), ("glass", "panels", "trees", "windows"),
        ("bicycle", "bicycle", "bench", "bollard", "planter", "pole", "tree", "walker", "ledge", "ledge", "fence"),
    ),
    "hall": Family(
        ("terrazzo", "tiles"), ("shop", "panels", "glass", "posters"),
        ("pillar", "bench", "bin", "planter", "sign", "walker", "walker", "ledge", "fence"), inside=True, gloss=0.22,
    ),
    "platform": Family(
        ("platform",), ("train", "posters", "panels", "wall"),
        ("pillar", "pole", "bench", "bin", "sign", "walker", "walker"), inside=True,
    ),
    "car park": Family(
        ("bays", "asphalt"), ("wall", "panels", "hedge", "shutter"),
        ("car", "car", "car", "pole", "bollard", "fence", "bin", "walker"),
    ),
}  # fmt: skip


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
    inside: bool = False
    """Under a roof."""
    furniture: tuple[Piece, ...] = ()
    """What stands on the ground, the far things first."""
    depth: float = math.inf
    """Metres to what stands along the far side."""
    edge: Edge | None = None
    """Of a platform, beyond which there are rails."""

    def foot_row(self, height: float, pixels: float) -> float:
        """The row on which someone stands who is `height` metres and, in the picture, `pixels` tall."""
        return self.horizon + self.camera_height * pixels / height

    def walkable(self, x: float, z: float) -> bool:
        """Whether one can walk there, `x` metres to the right of the camera's axis and `z` ahead."""
        edge = self.edge
        return edge is None or edge.right * x + edge.ahead * z <= edge.limit - _CLEAR

    def nearest_walkable(self, column: float, row: float) -> float:
        """The column nearest to `column` at which one can stand with the feet on `row`."""
        edge = self.edge
        if edge is None or row <= self.horizon:
            return column
        z = FOCAL * self.camera_height / (row - self.horizon)
        bound = WIDTH / 2 + FOCAL / z * (edge.limit - _CLEAR - edge.ahead * z) / edge.right
        return min(column, bound) if edge.right > 0 else max(column, bound)


def make_scene(
    dice: Dice, props: list[Prop], sizes: tuple[float, float], family: str = "street", *, deserted: bool = False
) -> Scene:
    """A new scene of one of the `FAMILIES`.

    `sizes` are the pixels of someone of 1.7 m at the far end and near the lower edge, `props` the things that stand
    about; `deserted` leaves out the people among them, who have no identity.
    """
    place = FAMILIES[family]
    horizon = HEIGHT * dice.uniform(0.14, 0.30)
    camera_height = 1.7 * 0.9 * (HEIGHT - horizon) / sizes[1]
    pixels, edge = lay_ground(dice, dice.pick(place.grounds), horizon, camera_height)
    # The far side may be close behind whoever is farthest off, and then fills the pictures of them.
    nearest = (camera_height - _BEHIND) * sizes[0] / _TALL
    base = round(horizon + dice.uniform(min(HEIGHT * 0.05, nearest), nearest))
    raise_backdrop(dice, pixels, base, place.stretches, place.inside)
    if place.gloss:
        _mirror(pixels, base, np.float32(place.gloss))
    if not place.inside:
        pixels *= _cast_shadows(dice, base)[..., None]
    image = Image.fromarray(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(0.7))
    scene = Scene(image, horizon, camera_height, place.inside, (), FOCAL * camera_height / (base - horizon), edge)
    return replace(scene, furniture=tuple(_furnish(dice, scene, props, base, deserted)))


def _mirror(pixels: Floats, base: int, gloss: np.float32) -> None:
    """Show the far side upside down in the floor, fading towards the camera, in place."""
    rows = min(2 * base, HEIGHT - base - 6)
    first = base + 6
    seen = pixels[np.maximum(0, base - 5 - np.arange(rows) // 2)]
    fade = gloss * np.linspace(1.0, 0.0, rows, dtype=np.float32)[:, None, None]
    floor = pixels[first : first + rows]
    floor += fade * (seen - floor)


def _cast_shadows(dice: Dice, base: int) -> Floats:
    """(HEIGHT, WIDTH): factors, 1 in the light, less in the shadow of what stands outside the picture."""
    light = np.ones((HEIGHT, WIDTH), np.float32)
    kind = dice.pick(("none", "leaves", "leaves", "clouds", "building"))
    if kind == "building":
        rows, columns = np.arange(HEIGHT, dtype=np.float32)[:, None], np.arange(WIDTH, dtype=np.float32)[None]
        edge = (columns - dice.uniform(0.2, 0.8) * WIDTH) * dice.sign() + (rows - base) * dice.uniform(-0.8, 0.8)
        cover = np.clip(edge / 6.0, 0, 1)
    elif kind != "none":
        cell, sharpness = (220, 5) if kind == "clouds" else (90, 12)
        noise = layered_noise(dice, HEIGHT, WIDTH, cell, 3)
        cover = np.clip((noise - np.float32(0.35)) * np.float32(sharpness), 0, 1)
    else:
        return light
    light[base:] -= np.float32(0.30) * cover[base:].astype(np.float32)
    return light


def _furnish(dice: Dice, scene: Scene, props: list[Prop], base: int, deserted: bool) -> list[Piece]:
    """Stand 18 to 34 props on the ground, the far ones first, in the scene's own image."""
    pieces: list[Piece] = []
    rows = sorted(dice.uniform(base + 2, HEIGHT * 0.9) for _ in range(18 + dice.below(17)))
    for row in rows:
        prop = dice.pick(props)
        scale = (row - scene.horizon) / scene.camera_height * prop.height / prop.image.height
        size = max(1, round(prop.image.width * scale)), max(1, round(prop.image.height * scale))
        sprite = prop.image.resize(size, Image.Resampling.BILINEAR)
        if dice.chance(0.5):
            sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        left, top = round(dice.uniform(-0.05, 1.0) * WIDTH), round(row) - size[1]
        if any(scene.nearest_walkable(end, row) != end for end in (left, left + size[0])):
            continue  # between the rails
        if not deserted or prop.kind != "walker":
            _stand(scene.image, sprite, left, top, row)
            pieces.append(Piece(left, top, row, sprite.getchannel("A")))
    return pieces


def _stand(image: Image.Image, sprite: Image.Image, left: int, top: int, row: float) -> None:
    """Draw a thing with the dark around its foot, in place."""
    size = sprite.size
    shadow = Image.new("L", (size[0] + 6, max(6, size[1] // 7)))
    ImageDraw.Draw(shadow).ellipse((2, 2, size[0] + 3, shadow.height - 3), fill=90)
    shadow = shadow.filter(ImageFilter.GaussianBlur(1.0))
    dark = Image.new("RGB", shadow.size, clip_colour(38, 40, 44))
    image.paste(dark, (left - 3, round(row) - shadow.height // 2), shadow)
    image.paste(sprite, (left, top), sprite)
