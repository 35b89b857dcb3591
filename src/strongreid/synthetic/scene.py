"""What a camera sees without people: ground in perspective, buildings and plants, street furniture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from strongreid.synthetic.backdrop import raise_backdrop
from strongreid.synthetic.dice import Dice
from strongreid.synthetic.ground import HEIGHT, WIDTH, lay_ground
from strongreid.synthetic.props import Prop
from strongreid.synthetic.texture import layered_noise
from strongreid.synthetic.tube import Floats
from strongreid.synthetic.wardrobe import clip_colour

__all__ = ["FAMILIES", "HEIGHT", "WIDTH", "Family", "Scene", "make_scene"]


_BED = 66


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
        ("pole", "sign", "bin", "bollard", "bicycle", "car", "car", "walker", "tree"),
    ),
    "shops": Family(
        ("plaza", "slabs", "cobbles"), ("shop", "shop", "windows", "posters"),
        ("sign", "bin", "bench", "planter", "bicycle", "bollard", "walker", "walker"),
    ),
    "park": Family(
        ("path", "grass", "gravel"), ("hedge", "trees", "trees", "wall"),
        ("bench", "hedge", "bin", "tree", "tree", "bicycle", "fence", "walker"),
    ),
    "campus": Family(
        ("paving", "slabs", "plaza"), ("glass", "panels", "trees", "windows"),
        ("bicycle", "bicycle", "bench", "bollard", "planter", "pole", "tree", "walker"),
    ),
    "hall": Family(
        ("terrazzo", "tiles"), ("shop", "panels", "glass", "posters"),
        ("pillar", "bench", "bin", "planter", "sign", "walker", "walker"), inside=True, gloss=0.22,
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

    def foot_row(self, height: float, pixels: float) -> float:
        """The row on which someone stands who is `height` metres and, in the picture, `pixels` tall."""
        return self.horizon + self.camera_height * pixels / height


def make_scene(
    dice: Dice, props: list[Prop], tallest: float, family: str = "street", *, deserted: bool = False
) -> Scene:
    """A new scene of one of the `FAMILIES`, in which someone of 1.7 m near the lower edge is `tallest` pixels tall.

    `props` are the things that stand about; `deserted` leaves out the people among them, who have no identity.
    """
    place = FAMILIES[family]
    horizon = HEIGHT * dice.uniform(0.14, 0.30)
    camera_height = 1.7 * 0.9 * (HEIGHT - horizon) / tallest
    pixels = lay_ground(dice, dice.pick(place.grounds), horizon, camera_height)
    base = round(horizon + HEIGHT * 0.05)
    raise_backdrop(dice, pixels, base, place.stretches, place.inside)
    if place.gloss:
        _mirror(pixels, base, np.float32(place.gloss))
    if not place.inside:
        pixels *= _cast_shadows(dice, base)[..., None]
    image = Image.fromarray(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(0.7))
    furniture = _furnish(dice, image, props, base, horizon, camera_height, deserted)
    return Scene(image, horizon, camera_height, place.inside, tuple(furniture))


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
    # What is dark enough for a gap between rails depends on the people too: with or without them, the rest stays.
    peopled = image.copy() if deserted else image
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
        foot = peopled.getpixel((min(max(left + size[0] // 2, 0), WIDTH - 1), round(row)))
        if isinstance(foot, tuple) and max(foot) < _BED:
            continue  # between the rails
        if deserted:
            _stand(peopled, sprite, left, top, row)
        if not deserted or prop.kind != "walker":
            _stand(image, sprite, left, top, row)
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
