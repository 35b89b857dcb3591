"""Who walks through the world: build, skin and hair, clothing, bags, and clusters of look-alikes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from strongreid.synthetic.dice import Dice

Colour = tuple[int, int, int]
Top = Literal["tee", "sweater", "jacket", "hoodie", "coat", "tank", "shirt"]
Bottom = Literal["trousers", "jeans", "shorts", "skirt", "dress", "leggings", "long skirt"]
Pattern = Literal["plain", "hoops", "stripes", "plaid", "dots", "block", "print", "raglan", "side panel"]
BottomPattern = Literal["plain", "side stripe", "plaid", "hem"]
HairStyle = Literal["short", "bob", "long", "ponytail", "bun", "bald"]
Hat = Literal["none", "cap", "beanie", "sun hat"]
Bag = Literal["none", "backpack", "shoulder bag", "handbag", "shopping bag"]

_SKIN: dict[Colour, float] = {
    (236, 200, 176): 30, (224, 184, 155): 30, (205, 160, 126): 18,
    (170, 121, 91): 10, (121, 83, 61): 7, (88, 61, 47): 5,
}  # fmt: skip
_HAIR: dict[Colour, float] = {
    (27, 23, 21): 40, (45, 33, 26): 20, (74, 50, 33): 12, (118, 84, 52): 8,
    (170, 136, 86): 6, (118, 116, 113): 7, (186, 186, 183): 4, (104, 48, 29): 3,
}  # fmt: skip
# Colour: (weight above the waist, weight below it). As on a street, dark and grey are common, loud is rare.
_CLOTH: dict[Colour, tuple[float, float]] = {
    (30, 30, 34): (14, 16), (228, 228, 224): (12, 3), (120, 122, 126): (8, 8), (42, 50, 80): (8, 12),
    (74, 101, 146): (6, 10), (146, 42, 46): (6, 1), (64, 77, 54): (4, 4), (186, 171, 142): (4, 6),
    (110, 78, 54): (3, 4), (212, 190, 80): (3, 0.5), (208, 126, 150): (4, 1), (66, 132, 92): (3, 0.5),
    (124, 166, 202): (4, 2), (208, 118, 58): (3, 0.3), (100, 66, 118): (2, 0.5), (158, 66, 106): (2, 0.5),
    (56, 119, 128): (2, 0.7), (174, 176, 180): (5, 3), (62, 63, 67): (6, 9), (32, 90, 160): (3, 1),
}  # fmt: skip
_UPPER_CLOTH = {colour: weights[0] for colour, weights in _CLOTH.items()}
_LOWER_CLOTH = {colour: weights[1] for colour, weights in _CLOTH.items()}
_TOPS: dict[Top, float] = {
    "tee": 30, "sweater": 17, "jacket": 17, "hoodie": 12, "coat": 8, "tank": 6, "shirt": 10,
}  # fmt: skip
_PATTERNS: dict[Pattern, float] = {
    "plain": 36, "hoops": 10, "stripes": 5, "plaid": 9, "dots": 5,
    "block": 7, "print": 17, "raglan": 6, "side panel": 5,
}  # fmt: skip
_WOMENS_BOTTOMS: dict[Bottom, float] = {
    "trousers": 22, "jeans": 25, "shorts": 20, "skirt": 13, "dress": 10, "leggings": 6, "long skirt": 4,
}  # fmt: skip
_MENS_BOTTOMS: dict[Bottom, float] = {"trousers": 38, "jeans": 34, "shorts": 27, "leggings": 1}
_WOMENS_HAIR: dict[HairStyle, float] = {
    "short": 6, "bob": 20, "long": 34, "ponytail": 25, "bun": 14, "bald": 1,
}  # fmt: skip
_MENS_HAIR: dict[HairStyle, float] = {
    "short": 87, "bob": 4, "long": 2, "ponytail": 2, "bun": 1, "bald": 4,
}  # fmt: skip
_BOTTOM_PATTERNS: dict[BottomPattern, float] = {"plain": 72, "side stripe": 12, "plaid": 8, "hem": 8}
_HATS: dict[Hat, float] = {"none": 84, "cap": 9, "beanie": 4, "sun hat": 3}
_BAGS: dict[Bag, float] = {"none": 40, "backpack": 24, "shoulder bag": 18, "handbag": 10, "shopping bag": 8}

OPEN_FRONTED: frozenset[Top] = frozenset({"jacket", "hoodie", "coat", "shirt"})
SKIRTED: frozenset[Bottom] = frozenset({"skirt", "dress", "long skirt"})


@dataclass(frozen=True)
class Outfit:
    """What look-alikes share: the clothes."""

    women: bool
    """Cut of the clothes and of the body in them."""
    top: Top
    bottom: Bottom
    top_colour: Colour
    bottom_colour: Colour
    second_colour: Colour
    """Stripes, prints, raglan sleeves."""
    shirt_colour: Colour
    """Seen under an open jacket."""
    trim_colour: Colour
    """Stripes and hems below the waist."""
    pattern: Pattern
    bottom_pattern: BottomPattern
    repeat: float
    """How often a pattern repeats over the torso, 4 to 12."""
    share: float
    """The second colour's share of a stripe, 0.3 to 0.7."""
    worn_open: bool
    tucked: bool
    print_seed: int
    """The shape of a print on chest or back."""


@dataclass(frozen=True)
class Person:
    """One identity: everything about them that stays the same from camera to camera."""

    outfit: Outfit
    cluster: int
    """The number of the original this person is a copy of (their own number for an original)."""
    height: float
    """Metres."""
    weight: float
    """-1.8 (thin) to 2.4 (heavy)."""
    shoulder: float
    """Half the shoulder width over the height."""
    hip: float
    """Half the hip width over the height."""
    skin: Colour
    hair: Colour
    hair_style: HairStyle
    hat: Hat
    hat_colour: Colour
    glasses: bool
    bag: Bag
    bag_colour: Colour
    bag_trim: Colour
    bag_side: int
    bag_size: float
    shoe_colour: Colour
    pale_sole: bool
    boots: bool
    socks: bool
    sock_colour: Colour
    stride: float
    arm_swing: float
    lean: float
    """Forward lean in radians."""
    body_seed: int
    """Cut, folds and weave: what no list of words tells."""


def clip_colour(red: float, green: float, blue: float, low: int = 12, high: int = 245) -> Colour:
    """The nearest colour whose parts lie within [low, high]."""
    return (
        round(min(max(red, low), high)),
        round(min(max(green, low), high)),
        round(min(max(blue, low), high)),
    )


def vary(dice: Dice, colour: Colour, amount: float) -> Colour:
    """The colour with every part, and its brightness, moved by about `amount` of 255."""
    light = dice.normal(0.0, amount)
    red, green, blue = (part + light + dice.normal(0.0, amount) for part in colour)
    return clip_colour(red, green, blue)


def draw_outfit(dice: Dice) -> Outfit:
    """Clothes of one person."""
    women = dice.chance(0.5)
    bottom = dice.weigh(_WOMENS_BOTTOMS if women else _MENS_BOTTOMS)
    bottom_colour = vary(dice, dice.weigh(_LOWER_CLOTH), 8)
    if bottom == "jeans":
        fade = dice.uniform(0.55, 1.45)
        bottom_colour = vary(dice, clip_colour(52 * fade, 70 * fade, 110 * fade), 4)
    return Outfit(
        women=women,
        top=dice.weigh(_TOPS),
        bottom=bottom,
        top_colour=vary(dice, dice.weigh(_UPPER_CLOTH), 8),
        bottom_colour=bottom_colour,
        second_colour=vary(dice, dice.weigh(_UPPER_CLOTH), 8),
        shirt_colour=vary(dice, dice.weigh(_UPPER_CLOTH), 8),
        trim_colour=vary(dice, dice.weigh(_UPPER_CLOTH), 8),
        pattern=dice.weigh(_PATTERNS),
        bottom_pattern=dice.weigh(_BOTTOM_PATTERNS),
        repeat=dice.uniform(4.0, 12.0),
        share=dice.uniform(0.3, 0.7),
        worn_open=dice.chance(0.5),
        tucked=dice.chance(0.25),
        print_seed=dice.below(1 << 30),
    )


def draw_person(dice: Dice, cluster: int, outfit: Outfit | None = None) -> Person:
    """A new person, in the given clothes or in new ones."""
    outfit = draw_outfit(dice) if outfit is None else outfit
    women = outfit.women
    return Person(
        outfit=outfit,
        cluster=cluster,
        height=min(max(dice.normal(1.63 if women else 1.74, 0.07), 1.42), 1.98),
        weight=min(max(dice.normal(), -1.8), 2.4),
        shoulder=(0.106 if women else 0.120) * dice.normal(1.0, 0.05),
        hip=(0.092 if women else 0.085) * dice.normal(1.0, 0.05),
        skin=vary(dice, dice.weigh(_SKIN), 4),
        hair=vary(dice, dice.weigh(_HAIR), 3),
        hair_style=dice.weigh(_WOMENS_HAIR if women else _MENS_HAIR),
        hat=dice.weigh(_HATS),
        hat_colour=vary(dice, dice.weigh(_UPPER_CLOTH), 8),
        glasses=dice.chance(0.2),
        bag=dice.weigh(_BAGS),
        bag_colour=vary(dice, dice.weigh(_UPPER_CLOTH), 8),
        bag_trim=vary(dice, dice.weigh(_UPPER_CLOTH), 8),
        bag_side=dice.sign(),
        bag_size=dice.uniform(0.8, 1.25),
        shoe_colour=vary(dice, dice.weigh(_UPPER_CLOTH if dice.chance(0.3) else _LOWER_CLOTH), 8),
        pale_sole=dice.chance(0.5),
        boots=dice.chance(0.18 if women else 0.06),
        socks=dice.chance(0.4),
        sock_colour=(226, 226, 223) if dice.chance(0.6) else (36, 36, 39),
        stride=dice.normal(1.0, 0.12),
        arm_swing=min(max(dice.normal(0.8, 0.3), 0.1), 1.5),
        lean=dice.normal(0.03, 0.025),
        body_seed=dice.below(1 << 30),
    )


def draw_look_alike(dice: Dice, original: Person) -> Person:
    """Another person in almost the same clothes: one or two things differ, and the colours by a shade."""
    outfit, other = original.outfit, draw_outfit(dice)
    changes = [
        {"bottom_colour": other.bottom_colour},
        {"pattern": other.pattern},
        {"top": other.top},
        {"second_colour": other.second_colour},
        {"bottom": other.bottom if other.women == outfit.women else dice.pick(("trousers", "jeans", "shorts"))},
        {"top_colour": other.top_colour},
    ]
    for _ in range(1 + dice.below(2)):
        change = changes.pop(dice.below(len(changes)))
        outfit = replace(outfit, **change)  # type: ignore[arg-type]
    outfit = replace(
        outfit,
        top_colour=vary(dice, outfit.top_colour, 4),
        bottom_colour=vary(dice, outfit.bottom_colour, 4),
        print_seed=other.print_seed,
    )
    return draw_person(dice, original.cluster, outfit)
