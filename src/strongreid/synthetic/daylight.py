"""The light of one passage: the hour, the weather, and how both colour a body, the ground and shadows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from strongreid.synthetic.dice import Dice

Hour = Literal["site", "overcast", "low sun", "dusk", "night", "inside"]
Channels = tuple[float, float, float]

_WARM, _NEUTRAL, _COOL = (1.05, 1.0, 0.90), (1.0, 1.0, 1.0), (0.95, 1.0, 1.06)
_LOW_SUN, _EVENING, _LAMP = (1.30, 1.0, 0.66), (0.84, 0.95, 1.18), (1.22, 1.0, 0.70)

# At full `lighting`: how often the light is not the one that the site is known for.
_HOURS: dict[Hour, float] = {"overcast": 0.25, "low sun": 0.22, "dusk": 0.10, "night": 0.12}

_GROUND_SKY, _GROUND_SUN, _GROUND_BASE = 0.85, 0.6, 0.15


@dataclass(frozen=True)
class Daylight:
    """How strong each light is, per colour, and where the sun (or the lamp) stands."""

    hour: Hour
    towards_sun: Channels
    """Unit vector: right, up, to the camera."""
    sun: Channels
    sky: Channels
    softness: float
    """Of shadows: 0 is the hard edge of a clear day, 1 hardly any edge."""
    noise: float = 1.0
    """How much more a sensor is troubled by noise than by day."""

    @cached_property
    def brightness(self) -> Channels:
        """Of the ground and of what stands on it, per colour."""
        red, green, blue = (
            _GROUND_SKY * sky + _GROUND_SUN * sun + _GROUND_BASE * min(1.0, sky + sun)
            for sky, sun in zip(self.sky, self.sun, strict=True)
        )
        return (red, green, blue)

    @property
    def shadow(self) -> float:
        """The share of the ground's light that goes where the sun does not reach."""
        sun = _GROUND_SUN * self.sun[1]
        return min(0.75, (1.0 - 0.35 * self.softness) * sun / (self.brightness[1] + 1e-6))


def draw_hour(dice: Dice, lighting: float, inside: bool) -> Hour:
    """The hour at which somebody walks by; without `lighting` always the site's own."""
    point = dice.uniform()
    if inside:
        return "inside"
    for hour, share in _HOURS.items():
        point -= share * lighting
        if point < 0.0:
            return hour
    return "site"


def make_daylight(hour: Hour, towards_sun: Channels, sun: float, sky: float, dice: Dice) -> Daylight:
    """The light at an hour on a site with the given light of its own; cameras adapt, so that nights are not black."""
    side, east, high, near = dice.sign(), *towards_sun
    drift = dice.uniform(0.85, 1.15)
    if hour == "overcast":
        return Daylight(hour, _aim(east, 1.2, near), _scaled(_NEUTRAL, 0.10), _scaled(_COOL, 0.88 * drift), 1.0)
    if hour == "low sun":
        warm = _scaled(_LOW_SUN, 0.72 * drift)
        return Daylight(hour, _aim(0.9 * side, 0.42, near), warm, _scaled(_COOL, 0.48), 0.1)
    if hour == "dusk":
        return Daylight(
            hour, _aim(east, high, near), _scaled(_NEUTRAL, 0.05), _scaled(_EVENING, 0.46 * drift), 1.0, 1.6
        )
    if hour == "night":
        lamp = _scaled(_LAMP if dice.chance(0.6) else _NEUTRAL, 0.42 * drift)
        return Daylight(hour, _aim(0.5 * side, 1.0, 0.4), lamp, _scaled(_EVENING, 0.20), 0.35, 2.2)
    if hour == "inside":
        lamp = _scaled(dice.pick((_NEUTRAL, _NEUTRAL, _WARM, _COOL)), 0.20)
        return Daylight(hour, _aim(0.3 * side, 1.0, 0.25), lamp, _scaled(_NEUTRAL, 0.72 * drift), 0.8)
    return Daylight(hour, towards_sun, _scaled(_WARM, sun), _scaled(_COOL, sky), 0.15 if sun > 0.3 else 0.5)


def _scaled(colour: Channels, strength: float) -> Channels:
    return (round(colour[0] * strength, 5), round(colour[1] * strength, 5), round(colour[2] * strength, 5))


def _aim(east: float, high: float, near: float) -> Channels:
    scale = 1.0 / math.sqrt(east * east + high * high + near * near)
    return (east * scale, high * scale, near * scale)
