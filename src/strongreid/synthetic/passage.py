"""The world that people walk through, and how each of them passes a camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from strongreid.synthetic.body import Body
from strongreid.synthetic.camera import Camera
from strongreid.synthetic.daylight import Daylight, draw_hour, make_daylight
from strongreid.synthetic.dice import Dice, Stream
from strongreid.synthetic.settings import WorldSettings
from strongreid.synthetic.texture import layered_noise
from strongreid.synthetic.tube import Floats
from strongreid.synthetic.wardrobe import draw_person

PASSERS_BY = 20
"""How many people there are who are only ever in the way."""

SUPERSAMPLING = 1.6
"""Rows of the canvas on which a picture is drawn, per row of the picture."""


@dataclass(frozen=True)
class Passage:
    """How one person walks past one camera: the same for all pictures taken of it."""

    camera: Camera
    yaw: float
    phase: float
    pace: float
    """Radians of the step from one picture to the next."""
    swing: float
    pixels: float
    """The person's height in the camera's own pixels."""
    foot: tuple[float, float]
    """Place in the scene, in its pixels, of the first picture."""
    step: tuple[float, float]
    """Movement in the scene from one picture to the next."""
    elevation: float
    distance: float
    exposure: float
    sun: float
    """How strong the sun is on a clear day."""
    daylight: Daylight
    shade_edge: float
    shade_left: float
    smear: float
    raised: tuple[tuple[float, float] | None, tuple[float, float] | None]
    dapples: Floats | None = None
    """(64, 64): how much of the sun comes through leaves, where it does."""


class World:
    """The cameras and the passers-by of one set of settings, built when first needed."""

    def __init__(self, settings: WorldSettings, *, deserted: bool = False) -> None:
        """`deserted` leaves out the people of the backgrounds, and nothing else."""
        self.settings = settings
        self._deserted = deserted
        self.density = 0.92 * settings.height * SUPERSAMPLING / 256
        self._cameras: dict[int, Camera] = {}
        self._passers_by: dict[int, Body] = {}
        self._latest: tuple[tuple[int, int, int], Passage] | None = None

    def camera(self, number: int) -> Camera:
        """Camera `number`, counted from 1."""
        if number not in self._cameras:
            self._cameras[number] = Camera(self.settings, number, deserted=self._deserted)
        return self._cameras[number]

    def passage(self, key: tuple[int, int, int], height: float) -> Passage:
        """How subject `key[0]`, `height` metres tall, passes camera `key[1]` for the `key[2]`th time.

        The pictures of a passage are taken one after the other, so the latest is kept.
        """
        if self._latest is None or self._latest[0] != key:
            dice = Dice(self.settings.seed, Stream.TRACK, *key)
            self._latest = key, draw_passage(self, self.camera(key[1]), height, dice)
        return self._latest[1]

    def passer_by(self, number: int) -> Body:
        """One of the people who are only ever in the way."""
        if number not in self._passers_by:
            dice = Dice(self.settings.seed, Stream.PASSERS_BY, number)
            self._passers_by[number] = Body(draw_person(dice, number), 0.9 * self.density)
        return self._passers_by[number]


def draw_passage(world: World, camera: Camera, height: float, dice: Dice) -> Passage:
    """A new passage of a person `height` metres tall."""
    low, high = camera.tallness
    near = dice.uniform()
    pixels = low + (high - low) * near
    yaw = dice.pick(camera.yaws) + dice.normal(0, 0.2)
    standing = dice.chance(0.07)
    lighting = world.settings.lighting
    patchy = dice.chance(0.15 * lighting)
    stride, row = 0.06 * pixels, camera.scene.foot_row(height, pixels)
    left, right = (camera.scene.nearest_walkable(end * camera.scene.image.width, row) for end in (0.08, 0.92))
    inside = camera.scene.inside
    sun = round(camera.sun_light * dice.pick((1.0, 1.0, 1.0 - 0.7 * lighting)) * dice.uniform(0.85, 1.15), 4)
    hour = draw_hour(dice, lighting, inside)
    dappled = dice.chance(0.12 * lighting) and not inside
    return Passage(
        camera=camera,
        yaw=yaw,
        phase=dice.uniform(0, math.tau),
        pace=dice.uniform(0.7, 1.6),
        swing=0.08 if standing else min(max(dice.normal(0.95, 0.2), 0.3), 1.25),
        pixels=pixels,
        foot=(dice.uniform(left, right), row),
        step=(math.sin(yaw) * stride * 3, math.cos(yaw) * stride * 0.6),
        elevation=camera.elevation + math.radians(dice.normal(0, 2) + 4 * near),
        distance=dice.uniform(4.5, 9.0) * height,
        exposure=round(math.exp(dice.normal(0, 0.10 * lighting)), 4),
        sun=sun,
        daylight=make_daylight(hour, camera.towards_sun, sun, camera.sky_light, dice),
        shade_edge=dice.uniform(0.2, 0.9),
        shade_left=dice.uniform(0.25, 0.5) if patchy else 1.0,
        smear=dice.uniform(0.5, 2.2) if dice.chance(0.2) else 0.0,
        raised=(_raised_arm(dice), _raised_arm(dice)),
        dapples=_leaf_shade(dice) if dappled else None,
    )


def _leaf_shade(dice: Dice) -> Floats:
    """(64, 64): shares of the sun, in patches about a hand wide."""
    noise = layered_noise(dice, 64, 64, 14, 2)
    shares: Floats = np.clip((noise + np.float32(0.25)) * np.float32(3.0), np.float32(0.3), np.float32(1.0))
    return shares


def _raised_arm(dice: Dice) -> tuple[float, float] | None:
    return (dice.uniform(0.1, 0.5), dice.uniform(1.2, 2.0)) if dice.chance(0.10) else None
