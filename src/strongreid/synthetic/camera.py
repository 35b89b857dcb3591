"""One camera: where it stands, the light there, and what its sensor makes of it."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from strongreid.synthetic.dice import Dice, Stream
from strongreid.synthetic.optics import blur, box_radius, sharpen
from strongreid.synthetic.props import make_props
from strongreid.synthetic.scene import FAMILIES, make_scene
from strongreid.synthetic.settings import WorldSettings

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Site:
    """What distinguishes one place from another at full colour shift."""

    yaws: tuple[int, ...]
    """Degrees; 0 is a person who walks towards the camera. Together the sites see people from all sides."""
    elevation: int
    """Degrees above the horizontal."""
    sun: tuple[float, float, float]
    """Towards the sun: right, up, to the camera."""
    sky_light: float
    sun_light: float
    balance: tuple[float, float, float]
    gain: float
    gamma: float
    saturation: float
    tallness: tuple[int, int]
    """Pixels of a person, from the far end to the near end, for pictures 128 high."""
    blur: float
    noise: float


_SITES = (
    _Site(
        (0, 180, 20, 200), 8, (0.6, 0.6, 0.5), 0.60, 0.55,
        (1.03, 1.0, 0.95), 1.0, 1.0, 1.0, (110, 190), 0.4, 3,
    ),
    _Site(
        (75, 90, 270, 285), 12, (-0.5, 0.7, 0.2), 0.85, 0.15,
        (0.93, 1.0, 1.10), 0.95, 1.05, 0.85, (90, 150), 0.6, 4,
    ),
    _Site(
        (30, 45, 210, 225), 18, (0.1, 0.9, 0.1), 0.62, 0.25,
        (1.02, 1.05, 0.86), 0.86, 1.1, 0.9, (80, 140), 0.7, 7,
    ),
    _Site(
        (160, 180, 200, 340), 6, (-0.3, 0.5, -0.8), 0.62, 0.5,
        (1.06, 0.99, 0.93), 1.15, 0.85, 0.72, (100, 180), 0.5, 4,
    ),
    _Site(
        (300, 315, 330, 130), 14, (0.8, 0.4, 0.3), 0.5, 0.7,
        (0.95, 0.98, 1.06), 1.05, 1.1, 1.15, (90, 160), 0.5, 5,
    ),
    _Site(
        (90, 270, 0, 180, 45), 24, (-0.7, 0.5, 0.4), 0.7, 0.35,
        (0.98, 1.03, 0.97), 0.88, 1.0, 0.8, (60, 95), 0.8, 6,
    ),
)  # fmt: skip

_GREY = np.array([0.299, 0.587, 0.114])
_BELL = np.array([NormalDist().inv_cdf((step + 0.5) / 256) for step in range(256)])
_EXPOSURE = 1.2
_ABREAST = 8
_ROW = 3 * _ABREAST


def _draw_curve(dice: Dice, gamma: float, shift: float) -> bytes:
    """A sensor's answer to each level: a gamma, steeper in the middle, and a black that is not quite so."""
    contrast, black = dice.uniform(0.2, 1.0), dice.uniform(0.0, 50.0) * shift
    curve = []
    for level in range(256):
        tone = (level / 255) ** gamma
        tone += contrast * (tone * tone * (3 - 2 * tone) - tone)
        curve.append(round(black + (255 - black) * tone))
    return bytes(curve)


def family_of(seed: int, number: int) -> str:
    """The family of places that camera `number` looks at: no two alike until each has had its turn."""
    families = tuple(FAMILIES)
    return families[(number - 1 + Dice(seed, Stream.SCENE).below(len(families))) % len(families)]


class Camera:
    """Camera `number` (from 1) of a world."""

    def __init__(self, settings: WorldSettings, number: int, *, deserted: bool = False) -> None:
        """`deserted` leaves out the people of the background, and nothing else."""
        dice = Dice(settings.seed, Stream.CAMERA, number)
        site, shift = _SITES[(number - 1) % len(_SITES)], settings.colour_shift
        # Past the last site they come round again, turned, so that no two cameras see quite the same.
        turn = dice.uniform(0.0, 360.0) if number > len(_SITES) else 0.0
        self.yaws = tuple(math.radians(yaw + turn) for yaw in site.yaws)
        self.elevation = math.radians(site.elevation)
        length = math.sqrt(sum(part * part for part in site.sun))
        self.towards_sun = (site.sun[0] / length, site.sun[1] / length, site.sun[2] / length)
        self.sky_light, self.sun_light = site.sky_light, site.sun_light
        self.tallness = site.tallness
        self.family = family_of(settings.seed, number)
        """Which of the `FAMILIES` of places it looks at."""
        props = make_props(Dice(settings.seed, Stream.PROPS, number), FAMILIES[self.family].props)
        scenery = Dice(settings.seed, Stream.SCENE, number)
        self.scene = make_scene(scenery, props, self.tallness, self.family, deserted=deserted)
        self.props = [prop for prop in props if prop.blocks]
        balance = [1 + 1.3 * shift * (part - 1) + dice.normal(0, 0.02 * shift) for part in site.balance]
        self._balance = np.array(balance) * _EXPOSURE * (1 + 1.2 * shift * (site.gain - 1))
        saturation = (1 + shift * (site.saturation - 1)) * (1 - dice.uniform(0.0, shift))
        self._mixing = saturation * np.eye(3) + (1 - saturation) * _GREY
        self._curve = _draw_curve(dice, 1 + shift * (site.gamma - 1), shift)
        sharpening = dice.pick((0, 2, 4, 6, 10))
        self._sharpening = sharpening if shift else 0
        self.blur = (0.35 + 0.65 * shift) * site.blur
        """The deviation in pixels, for a person 107 pixels tall."""
        self._noise = site.noise * (0.25 + 0.75 * shift)
        self._latest: tuple[float, npt.NDArray[np.float32]] | None = None

    def develop(
        self, pixels: Pixels, exposure: float, smear: float, dice: Dice, noise: float = 1.0
    ) -> Generator[None, None, Pixels]:
        """(rows, columns, 3): what the sensor makes of a picture at its own resolution; pauses after each step.

        `smear` is the motion blur in pixels, `noise` how much more noise there is than by day.
        """
        rows, columns = pixels.shape[:2]
        pixels = self.expose(pixels, exposure)
        yield
        sigma = self.blur * dice.uniform(0.6, 1.4) * rows / 107
        if smear >= 0.3:
            pixels = blur(pixels, round(smear, 2), 0.0)
        pixels = self.focus(pixels, sigma)
        yield
        noisy = pixels + self.draw_noise(rows, columns, dice, noise)
        return np.clip(noisy, np.int16(0), np.int16(255), out=noisy).astype(np.uint8)

    def focus(self, pixels: Pixels, sigma: float) -> Pixels:
        """A picture out of focus by a deviation of `sigma` pixels, edges sharpened as much as this camera does."""
        if sigma > 0.2:
            radius = box_radius(sigma)
            pixels = blur(pixels, radius, radius)
        return sharpen(pixels, self._sharpening) if self._sharpening else pixels

    def reach(self, sigma: float) -> int:
        """How many pixels away `focus` changes what surrounds a pixel."""
        return (math.ceil(box_radius(sigma)) if sigma > 0.2 else 0) + (self._sharpening > 0)

    def draw_noise(self, rows: int, columns: int, dice: Dice, noise: float = 1.0) -> npt.NDArray[np.int8]:
        """(rows, columns, 3): the sensor's noise, to be added to a picture."""
        shape = (rows, columns, 3)
        drawn = dice.bytes_of(shape).tobytes().translate(_grains(self._noise * noise))
        return np.frombuffer(drawn, np.int8).reshape(shape)

    def expose(self, pixels: Pixels, exposure: float) -> Pixels:
        """The sensor's colours, without its blur and noise."""
        # So few rows to a product that no BLAS wakes its threads for it.
        values = np.zeros((-(-pixels.size // (64 * _ROW)), 64, _ROW), np.float32)
        values.reshape(-1)[: pixels.size] = pixels.reshape(-1)
        linear = values @ self._response(exposure)
        levels = np.rint(np.clip(linear, np.float32(0), np.float32(255), out=linear), out=linear).astype(np.uint8)
        answer = levels.tobytes().translate(self._curve)
        return np.frombuffer(answer, np.uint8, pixels.size).reshape(pixels.shape)

    def _response(self, exposure: float) -> npt.NDArray[np.float32]:
        """(24, 24): from the colours of eight pixels in a row to what the sensor sees of them.

        Eight, since a processor can do more than products of three by three. The latest is kept: the pictures of a
        passage come one after the other.
        """
        if self._latest is None or self._latest[0] != exposure:
            # Multiples of 2^-12 times whole numbers below 256: exact in float32, in any order of adding.
            matrix = np.rint(self._mixing * self._balance * exposure * 4096).T / 4096
            self._latest = exposure, np.kron(np.eye(_ABREAST), matrix).astype(np.float32)
        return self._latest[1]


@lru_cache(maxsize=64)
def _grains(strength: float) -> bytes:
    """What each of 256 draws adds to a value, as signed bytes."""
    return np.rint(_BELL * strength).astype(np.int8).tobytes()
