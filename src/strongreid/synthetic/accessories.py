"""What hangs on a body's ends: hands, shoes and bags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from strongreid.synthetic.dice import Dice
from strongreid.synthetic.skeleton import SIDES, Proportions
from strongreid.synthetic.texture import weave
from strongreid.synthetic.tube import Part, make_blob, make_tube
from strongreid.synthetic.wardrobe import Person


def make_accessories(person: Person, size: Proportions, density: float) -> list[Part]:
    """Hands, shoes and, if the person carries one, a bag."""
    parts = _make_hands_and_shoes(person, size.height, density)
    if person.bag == "none":
        return parts
    parts.append(_make_bag(person, size, density))
    return [*parts, _make_handle(size, density)] if person.bag == "suitcase" else parts


def _make_handle(size: Proportions, density: float) -> Part:
    """The drawn-out handle of a suitcase, up to the hand."""
    thin = np.full(_count(30, density), 0.006 * size.height)
    tube = make_tube(_count(8, density), thin * 4.0, thin, 0.2 * size.height, 4.0)
    rise = 0.15 * size.height / size.bag_length
    return Part("bag", replace(tube, along=rise * (tube.along - 1.0)), tube.filled((70, 71, 73)))


def _count(samples: float, density: float) -> int:
    return max(6, int(samples * density))


def _make_hands_and_shoes(person: Person, tall: float, density: float) -> list[Part]:
    hand = make_blob(_count(15, density), _count(17, density), 0.016 * tall, 0.020 * tall, 0.09 * tall)
    shoe = make_blob(_count(19, density), _count(32, density), 0.026 * tall, 0.024 * tall, 0.15 * tall)
    leather = shoe.filled(person.shoe_colour)
    below = np.cos(shoe.around) + np.zeros(shoe.shape)
    if person.shoes == "sandals" and not person.boots:
        straps = (np.abs(shoe.along - 0.78) < 0.07) | (np.abs(shoe.along - 0.22) < 0.06)
        leather = np.where((straps | (below < -0.5))[..., None], leather, np.asarray(person.skin, np.float64))
    elif person.shoes == "trainers" and not person.boots:
        leather[(np.abs(shoe.along - 0.45) < 0.09) & (np.abs(below) < 0.5)] = person.bag_trim
    if person.pale_sole:
        leather[below < -0.5] = 212
    hands = [Part(f"hand{side:+d}", hand, hand.filled(person.skin)) for side in SIDES]
    return [*hands, *(Part(f"shoe{side:+d}", shoe, leather) for side in SIDES)]


def _make_bag(person: Person, size: Proportions, density: float) -> Part:
    dice, tall = Dice(person.body_seed, 3), size.height
    # Half width and half depth over the body height, squareness.
    wide, deep, squareness = {
        "backpack": (0.085 * person.bag_size, 0.045 * person.bag_size, 4.0),
        "shoulder bag": (0.035, 0.085 * person.bag_size, 4.0),
        "handbag": (0.03, 0.08 * person.bag_size, 4.0),
        "shopping bag": (0.04, 0.075 * person.bag_size, 3.0),
        "waist bag": (0.075, 0.03, 3.0),
        "suitcase": (0.065, 0.10 * person.bag_size, 5.0),
    }[person.bag]
    place = np.linspace(0.0, 1.0, _count(16 + size.bag_length / tall * 150, density))
    bulge = np.sqrt(np.minimum(1.0, np.minimum(place, 1.0 - place) / 0.18 + 0.02))
    columns = _count(24 + (wide + deep) * 420, density)
    tube = make_tube(columns, wide * tall * bulge, deep * tall * bulge, size.bag_length, squareness)
    albedo = tube.filled(person.bag_colour)
    height, angle = tube.along + np.zeros(tube.shape), np.abs(tube.around) + np.zeros(tube.shape)
    trim = (
        np.zeros(tube.shape, bool),
        (height < 0.45) & (angle > 2.2),
        np.abs(height - 0.5) < 0.06,
        (np.abs(height - 0.55) < 0.12) & (angle > 2.7),
    )[dice.below(4)]
    albedo[trim] = person.bag_trim
    return Part("bag", tube, albedo * weave(dice, tube, 0.05, 6 * density))
