"""Draws that come out the same on every processor.

Only `Generator.random()` and `Generator.integers()` are used: the ziggurat behind `normal()` calls `exp` and
`log`, whose last bit differs between processors, and one bit can move a surfel to the next pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum, unique
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

GENERATOR_VERSION = 3
"""Raise it with every change that alters a single pixel: old and new sets must not pass for the same."""

T = TypeVar("T")

_UNIT_DEVIATION = 1.7320508075688772  # four uniforms, centred, have a standard deviation of 1/sqrt(3)


@unique
class Stream(IntEnum):
    """What a sequence of draws is for; two streams of one seed are independent."""

    TRAIN_PEOPLE = 1
    TEST_PEOPLE = 2
    STRANGERS = 3
    PASSERS_BY = 4
    CAMERA = 5
    SCENE = 6
    PROPS = 7
    VISITS = 8
    TRACK = 9
    SHOT = 10
    JUNK = 11
    DISTRACTORS = 12
    ENDLESS_PEOPLE = 20
    STREET = 40
    DETECTOR = 41
    FILM_NOISE = 42
    COMPANIONS = 43


class Dice:
    """One independent sequence of draws, named by whole numbers of 0 or more (seed, stream, identity...)."""

    def __init__(self, *key: int) -> None:
        words: Any = [GENERATOR_VERSION, *key]
        if max(key, default=0) < 1 << 32:
            words = np.array(words, np.uint32)  # the same draws as from the list, in half the time
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
        self._draw = self._generator.random

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._draw()

    def normal(self, mean: float = 0.0, deviation: float = 1.0) -> float:
        """A bell-shaped number, never more than 3.5 deviations away from the mean."""
        draw = self._draw
        return mean + deviation * _UNIT_DEVIATION * (draw() + draw() + draw() + draw() - 2.0)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._draw() < probability

    def below(self, stop: int) -> int:
        """A whole number from 0 to stop - 1."""
        return int(self._generator.integers(stop))

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices, all equally likely."""
        return choices[self.below(len(choices))]

    def weigh(self, table: dict[T, float]) -> T:
        """One key of the table, with a probability in proportion to its weight."""
        point = self.uniform(0.0, sum(table.values()))
        for choice, weight in table.items():
            point -= weight
            if point < 0.0:
                return choice
        return next(reversed(table))

    def sign(self) -> int:
        """-1 or 1."""
        return 2 * self.below(2) - 1

    def bytes_of(self, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """Whole numbers from 0 to 255, of the given shape."""
        # Four at a time: the same bytes as from draws of one each, in a third of the time.
        count = math.prod(shape)
        words = self._generator.integers(0, 1 << 32, -(-count // 4), dtype=np.uint32)
        return words.astype("<u4", copy=False).view(np.uint8)[:count].reshape(shape)
