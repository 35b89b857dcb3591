"""Who walks through the world: build, skin and hair, clothing, bags, and clusters of look-alikes."""

from __future__ import annotations

from colorsys import hsv_to_rgb
from dataclasses import dataclass, replace
from typing import Literal

from strongreid.synthetic.dice import Dice

Colour = tuple[int, int, int]
Top = Literal["tee", "polo", "sweater", "jacket", "puffer", "vest", "hoodie", "coat", "tank", "shirt"]
Bottom = Literal[
    "trousers", "cropped", "joggers", "wide trousers", "jeans", "shorts", "skirt", "dress", "leggings", "long skirt"
]
Pattern = Literal[
    "plain", "hoops", "stripes", "diagonal", "plaid", "check", "dots", "flowers", "block", "yoke", "band", "halves",
    "gradient", "camouflage", "print", "logo", "raglan", "side panel",
]  # fmt: skip
BottomPattern = Literal[
    "plain", "side stripe", "plaid", "check", "stripes", "hoops", "dots", "flowers", "camouflage", "gradient",
    "panels", "hem",
]  # fmt: skip
HairStyle = Literal["short", "bob", "long", "ponytail", "bun", "bald"]
Hat = Literal["none", "cap", "beanie", "sun hat"]
Bag = Literal["none", "backpack", "shoulder bag", "handbag", "shopping bag", "waist bag", "suitcase"]
Shoes = Literal["trainers", "leather shoes", "sandals"]

_SKIN: dict[Colour, float] = {
    (236, 200, 176): 30, (224, 184, 155): 30, (205, 160, 126): 18,
    (170, 121, 91): 10, (121, 83, 61): 7, (88, 61, 47): 5,
}  # fmt: skip
_HAIR: dict[Colour, float] = {
    (27, 23, 21): 48, (45, 33, 26): 20, (74, 50, 33): 11, (118, 84, 52): 6,
    (170, 136, 86): 4, (118, 116, 113): 6, (186, 186, 183): 3, (104, 48, 29): 2,
}  # fmt: skip
# Colour: (weight above the waist, weight below it). As on a street, two of three things are black, white, grey or
# navy; of the colours most are greyed, and loud ones are rare.
_CLOTH: dict[Colour, tuple[float, float]] = {
    (24, 24, 26): (17, 22), (42, 42, 45): (8, 12), (234, 233, 229): (13, 3), (212, 211, 206): (5, 2),
    (118, 119, 122): (7, 7), (170, 171, 174): (6, 4), (72, 73, 76): (6, 8), (34, 39, 58): (8, 12),
    (56, 68, 94): (4, 6), (92, 108, 136): (4, 5), (150, 168, 190): (4, 1.5), (184, 172, 148): (4, 6),
    (146, 132, 110): (2, 4), (92, 74, 60): (3, 4), (74, 80, 62): (3, 4), (116, 44, 46): (3, 0.6),
    (168, 48, 50): (2.5, 0.4), (196, 150, 160): (3, 0.7), (202, 180, 96): (2, 0.3), (70, 118, 92): (2, 0.4),
    (42, 84, 148): (3, 0.6), (188, 112, 66): (1.5, 0.3), (90, 72, 104): (2, 0.4), (148, 78, 106): (1.5, 0.3),
    (70, 112, 118): (1.5, 0.4),
}  # fmt: skip
# How often a colour is none of these: above the waist, below it.
_FREE_ABOVE, _FREE_BELOW = 0.20, 0.08
_UPPER_CLOTH = {colour: weights[0] for colour, weights in _CLOTH.items()}
_LOWER_CLOTH = {colour: weights[1] for colour, weights in _CLOTH.items()}
_TOPS: dict[Top, float] = {
    "tee": 27, "polo": 6, "sweater": 15, "jacket": 14, "puffer": 6, "vest": 4, "hoodie": 12, "coat": 9,
    "tank": 5, "shirt": 10,
}  # fmt: skip
_PATTERNS: dict[Pattern, float] = {
    "plain": 44, "hoops": 7, "stripes": 3, "diagonal": 1, "plaid": 5, "check": 4, "dots": 2, "flowers": 3, "block": 3,
    "yoke": 2, "band": 2, "halves": 0.5, "gradient": 1, "camouflage": 1, "print": 13, "logo": 10, "raglan": 3,
    "side panel": 2,
}  # fmt: skip
_WOMENS_BOTTOMS: dict[Bottom, float] = {
    "trousers": 13, "cropped": 6, "joggers": 3, "wide trousers": 5, "jeans": 23, "shorts": 17, "skirt": 12,
    "dress": 10, "leggings": 7, "long skirt": 4,
}  # fmt: skip
_MENS_BOTTOMS: dict[Bottom, float] = {
    "trousers": 29, "cropped": 5, "joggers": 8, "wide trousers": 2, "jeans": 32, "shorts": 23, "leggings": 1,
}  # fmt: skip
_WOMENS_HAIR: dict[HairStyle, float] = {
    "short": 6, "bob": 20, "long": 34, "ponytail": 25, "bun": 14, "bald": 1,
}  # fmt: skip
_MENS_HAIR: dict[HairStyle, float] = {
    "short": 87, "bob": 4, "long": 2, "ponytail": 2, "bun": 1, "bald": 4,
}  # fmt: skip
_BOTTOM_PATTERNS: dict[BottomPattern, float] = {
    "plain": 82, "side stripe": 6, "plaid": 2, "check": 1.5, "stripes": 1.5, "hoops": 0.5, "dots": 1, "flowers": 1.5,
    "camouflage": 1, "gradient": 1, "panels": 0.5, "hem": 2,
}  # fmt: skip
_HATS: dict[Hat, float] = {"none": 84, "cap": 9, "beanie": 4, "sun hat": 3}
_BAGS: dict[Bag, float] = {
    "none": 40,
    "backpack": 24,
    "shoulder bag": 18,
    "handbag": 10,
    "shopping bag": 8,
    "waist bag": 4,
    "suitcase": 4,
}
_SHOES: dict[Shoes, float] = {"trainers": 60, "leather shoes": 30, "sandals": 10}

OPEN_FRONTED: frozenset[Top] = frozenset({"jacket", "puffer", "vest", "hoodie", "coat", "shirt"})
HOODED: frozenset[Top] = frozenset({"hoodie", "puffer", "coat"})
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
    third_colour: Colour
    """What patterns of three colours add."""
    shirt_colour: Colour
    """Seen under an open jacket."""
    trim_colour: Colour
    """Stripes and hems below the waist."""
    pattern: Pattern
    bottom_pattern: BottomPattern
    repeat: float
    """How often a pattern repeats over the torso, 3 to 13."""
    share: float
    """The second colour's share of a stripe, 0.15 to 0.7."""
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
    shoes: Shoes
    """What they are where they are not boots."""
    hood_up: bool
    """Over the head, where the top has a hood and there is no hat."""
    scarf: bool
    scarf_colour: Colour
    stride: float
    arm_swing: float
    lean: float
    """Forward lean in radians."""
    body_seed: int
    """Cut, folds and weave: what no list of words tells."""


def dress_plainly(person: Person, variety: float) -> Person:
    """The person as they are, with probability `variety`; else in plain sweater and trousers, without hat or bag.

    Colours, build and hair stay. Nothing is drawn, so that other people are the same at every `variety`.
    """
    if person.body_seed < variety * (1 << 30):
        return person
    plain = replace(
        person.outfit, top="sweater", bottom="trousers", pattern="plain", bottom_pattern="plain", worn_open=False
    )
    return replace(person, outfit=plain, hat="none", bag="none", boots=False, scarf=False, hood_up=False)


def wears_hood(person: Person) -> bool:
    """Whether a hood is over the head."""
    return person.hood_up and person.hat == "none" and person.outfit.top in HOODED


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


def draw_cloth(dice: Dice, table: dict[Colour, float], free: float) -> Colour:
    """The colour of a piece of cloth: with probability `free` any there is, or else one of the common ones."""
    if not dice.chance(free):
        return _dye(dice, dice.weigh(table))
    saturation = dice.uniform(0.1, 0.95) * dice.uniform(0.25, 1.0)
    red, green, blue = hsv_to_rgb(dice.uniform(), saturation, dice.uniform(0.12, 0.92))
    return clip_colour(255 * red, 255 * green, 255 * blue)


def _dye(dice: Dice, colour: Colour) -> Colour:
    """A shade of the colour: lighter or darker by a tenth, hardly of another hue, or black would be coloured."""
    light = 1.0 + dice.normal(0.0, 0.10)
    red, green, blue = (part * light * (1.0 + dice.normal(0.0, 0.025)) + dice.normal(0.0, 0.8) for part in colour)
    return clip_colour(red, green, blue)


def _upper(dice: Dice) -> Colour:
    return draw_cloth(dice, _UPPER_CLOTH, _FREE_ABOVE)


def draw_outfit(dice: Dice) -> Outfit:
    """Clothes of one person."""
    women = dice.chance(0.5)
    bottom = dice.weigh(_WOMENS_BOTTOMS if women else _MENS_BOTTOMS)
    bottom_colour = draw_cloth(dice, _LOWER_CLOTH, _FREE_BELOW)
    if bottom == "jeans":
        fade = dice.uniform(0.55, 1.45)
        bottom_colour = vary(dice, clip_colour(50 * fade, 58 * fade, 76 * fade), 3)
    return Outfit(
        women=women,
        top=dice.weigh(_TOPS),
        bottom=bottom,
        top_colour=_upper(dice),
        bottom_colour=bottom_colour,
        second_colour=_upper(dice),
        third_colour=_upper(dice),
        shirt_colour=_upper(dice),
        trim_colour=_upper(dice),
        pattern=dice.weigh(_PATTERNS),
        bottom_pattern=dice.weigh(_BOTTOM_PATTERNS),
        repeat=3.0 + 10.0 * dice.uniform() * dice.uniform(0.4, 1.0),
        share=dice.uniform(0.15, 0.7),
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
        hat_colour=_upper(dice),
        glasses=dice.chance(0.2),
        bag=dice.weigh(_BAGS),
        bag_colour=_upper(dice),
        bag_trim=_upper(dice),
        bag_side=dice.sign(),
        bag_size=dice.uniform(0.8, 1.25),
        shoe_colour=draw_cloth(dice, _UPPER_CLOTH if dice.chance(0.35) else _LOWER_CLOTH, 0.1),
        pale_sole=dice.chance(0.5),
        boots=dice.chance(0.18 if women else 0.06),
        socks=dice.chance(0.4),
        shoes=dice.weigh(_SHOES),
        hood_up=dice.chance(0.3),
        scarf=dice.chance(0.25 if outfit.top in ("coat", "jacket", "puffer") else 0.03),
        scarf_colour=_upper(dice),
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
