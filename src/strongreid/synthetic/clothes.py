"""The dressed tubes, with their colours: torso, legs, arms, skirts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from strongreid.synthetic.dice import Dice
from strongreid.synthetic.patterns import print_bottom, print_sleeve, print_top
from strongreid.synthetic.skeleton import SIDES, SKIRT_HIP, Proportions, Skirt
from strongreid.synthetic.texture import weave
from strongreid.synthetic.tube import HEM, Floats, Part, Tube, make_tube, places_along, profile
from strongreid.synthetic.wardrobe import OPEN_FRONTED, SKIRTED, Bottom, Person, wears_hood

Mask = npt.NDArray[np.bool_]

_THICKNESS = {"coat": 0.013, "jacket": 0.011, "hoodie": 0.011, "vest": 0.016, "puffer": 0.022}
_TOP_HEM = {
    "tee": 0.14, "polo": 0.13, "sweater": 0.14, "jacket": 0.08, "puffer": 0.10, "vest": 0.10, "hoodie": 0.09,
    "coat": 0.0, "tank": 0.17, "shirt": 0.10,
}  # fmt: skip
_NECKLINE = {
    "tee": 0.945, "polo": 0.95, "sweater": 0.95, "tank": 0.88, "shirt": 0.955, "jacket": 0.975, "puffer": 0.985,
    "vest": 0.97, "hoodie": 0.965, "coat": 0.975,
}  # fmt: skip
_SLEEVES = {"tee": (0.36, 0.5), "polo": (0.38, 0.48), "tank": (-1.0, -1.0)}
_COLLARED = frozenset({"shirt", "polo", "jacket", "puffer", "vest", "coat"})
_QUILTED = frozenset({"puffer", "vest"})

_OPENING = 0.55  # radians to either side of the front that an open coat leaves bare


def _smooth_skin(folds: Floats, bare: Mask) -> Floats:
    """The factors of a weave, with a quarter of the strength on bare skin: it has no folds."""
    if not bare.any():
        return folds
    return np.where(bare[..., None], 1.0 + (folds - 1.0) * 0.25, folds)


class Tailor:
    """Cuts and dyes the tubes of one person; `density` 1 suits a canvas 256 pixels high."""

    def __init__(self, person: Person, size: Proportions, density: float) -> None:
        self._person, self._outfit, self._size = person, person.outfit, size
        self._density = density
        self._dice = Dice(person.body_seed)
        self._thick = _THICKNESS.get(person.outfit.top, 0.004)
        self._tailed = False
        self.skirts: list[Skirt] = []
        """Those made so far."""
        self.legs = (0.0, 0.0, 0.0)
        """Radius at hip, knee and ankle, once the legs are made."""

    def make(self) -> list[Part]:
        """Every part below the neck that cloth covers or could cover."""
        skirts = self._make_skirts()  # first: legs and torso are dyed to match
        return [*self._make_legs(), self._make_torso(), *skirts, *self._make_neckwear(), *self._make_arms()]

    def _count(self, samples: float) -> int:
        return max(6, int(samples * self._density))

    def _make_torso(self) -> Part:
        size, outfit, weight = self._size, self._outfit, self._person.weight
        tall, rows = size.height, self._count(54)
        bust = 0.012 * tall if outfit.women else 0.0
        belly = 0.010 * tall * max(0.0, weight)
        chest = size.shoulder * 0.80 + size.waist * 0.2
        width = profile(
            rows,
            (0, 0.12, 0.35, 0.60, 0.78, 0.85, 0.895, 0.935, 0.965, 1),
            (
                size.hip * 0.8, size.hip, size.waist, chest, size.shoulder * 0.91, size.shoulder * 0.88,
                size.shoulder * 0.68, size.shoulder * 0.47, 0.041 * tall, 0.034 * tall,
            ),
        )  # fmt: skip
        deep = profile(
            rows,
            (0, 0.12, 0.35, 0.62, 0.80, 0.91, 1),
            [size.depth * f for f in (0.9, 1.08, 0.95, 1.05, 0.92, 0.6, 0.0)],
        )
        deep = deep + profile(rows, (0, 0.12, 0.35, 0.62, 0.8, 0.91, 1), (0, 0, belly, bust, 0, 0, 0.032 * tall))
        swell = profile(rows, (0, 0.94, 1), (self._thick, self._thick, 0.0))
        tube = make_tube(self._count(104), width + swell, deep + swell, 0.345 * tall, squareness=2.3)
        return Part("torso", tube, self._dye_torso(tube))

    def _dye_torso(self, tube: Tube) -> Floats:
        outfit = self._outfit
        cloth = print_top(outfit, tube)
        height = tube.along + np.zeros(tube.shape)
        tucked = outfit.tucked and outfit.top in ("tee", "shirt", "tank", "sweater")
        hem = 0.36 if tucked else _TOP_HEM[outfit.top]
        if outfit.bottom == "dress":
            hem = -1.0
        elif outfit.bottom in SKIRTED and not self._tailed:
            hem = max(hem, 0.235)  # where the skirt begins: above it, torso and skirt would show through each other
        below = height < hem
        if self._tailed:
            # The tail lies close to the torso: where colours differ, each would show through the other.
            below &= np.abs(tube.around) < (_OPENING if outfit.worn_open else 0.0)
        cloth[below] = print_bottom(outfit, tube)[below]
        if tucked and outfit.bottom != "dress":
            cloth[np.abs(height - hem + 0.02) < 0.02] = np.asarray(self._person.bag_trim) * 0.4
        self._dye_front(tube, cloth, height, below)
        self._dye_straps(tube, cloth, height)
        shade_under_hem = 1.0 - 0.12 * np.clip(1.0 - np.abs(height - hem) / 0.03, 0.0, 1.0)
        return self._quilt(cloth, height * 13.0) * self._weave(tube, 0.10, 8) * shade_under_hem[..., None]

    def _weave(self, tube: Tube, strength: float, cell: float) -> Floats:
        return weave(self._dice, tube, strength, cell * self._density)

    def _quilt(self, cloth: Floats, rows: Floats) -> Floats:
        """Seams across padded cloth; `rows` counts the pads."""
        if self._outfit.top not in _QUILTED:
            return cloth
        bulge = np.abs((rows % 1.0) - 0.5) * 2.0
        padded: Floats = cloth * (1.06 - 0.22 * bulge**4)[..., None]
        return padded

    def _dye_front(self, tube: Tube, cloth: Floats, height: Floats, below: Mask) -> None:
        """Neckline, and the opening or the zip of a jacket, in place."""
        outfit, angle = self._outfit, np.abs(tube.around)
        opens = outfit.top in OPEN_FRONTED
        if opens and outfit.worn_open:
            gap = 0.18 + 0.45 * height + (0.15 if outfit.top == "coat" else 0.0)
            cloth[(angle < gap) & (height < 0.97) & ~below] = outfit.shirt_colour
            cloth[(np.abs(angle - gap) < 0.07) & ~below] *= 0.7
        elif outfit.top == "polo":
            cloth[(angle < 0.05) & (height > 0.78)] *= 0.7
        elif opens and outfit.top != "shirt":
            cloth[(angle < 0.045) & ~below] *= 0.6
        dip = 0.12 * np.clip(1.0 - angle / 0.8, 0.0, 1.0) * (1.4 if outfit.women else 0.8)
        bare = height > _NECKLINE[outfit.top] - (0.0 if opens and not outfit.worn_open else dip)
        if outfit.top == "tank":
            bare |= (height > 0.78) & (np.abs(angle - math.pi / 2) < 0.5)
        cloth[bare] = self._person.skin

    def _dye_straps(self, tube: Tube, cloth: Floats, height: Floats) -> None:
        person, angle = self._person, np.abs(tube.around)
        if person.bag == "backpack":
            strap = np.abs(angle - 0.85 + 0.3 * (height - 0.6)) < 0.14
            cloth[strap & (height > 0.48) & (height < 0.93)] = np.asarray(person.bag_colour) * 0.8
        elif person.bag == "shoulder bag":
            across = np.sin(tube.around) * person.bag_side
            strap = np.abs(across - (1.0 - 2.1 * (height - 0.12) / 0.8)) < 0.10
            cloth[strap & (height > 0.10) & (height < 0.95)] = np.asarray(person.bag_colour) * 0.75
        elif person.bag == "waist bag":
            cloth[np.abs(height - 0.10) < 0.016] = np.asarray(person.bag_colour) * 0.75

    def _make_neckwear(self) -> list[Part]:
        """A collar, and a scarf around it."""
        person, tall, parts = self._person, self._size.height, []
        if self._outfit.top in _COLLARED:
            collar = self._ring(0.925, 0.985, (0.052 * tall + 0.4 * self._thick, 0.040 * tall + 0.3 * self._thick))
            cloth = collar.filled(self._outfit.top_colour) * 0.92
            gap = 0.5 if self._outfit.worn_open or self._outfit.top in ("shirt", "polo") else 0.12
            cloth[(np.abs(collar.around) < gap) & np.ones(collar.shape, bool)] = -1.0
            parts.append(Part("torso", collar, cloth))
        if self._outfit.top == "hoodie" and not wears_hood(person):
            hood = self._ring(0.88, 0.985, (0.060 * tall, 0.074 * tall, 0.056 * tall))
            cloth = hood.filled(self._outfit.top_colour) * self._weave(hood, 0.10, 5) * 0.92
            cloth[(np.abs(hood.around) < 1.25) & np.ones(hood.shape, bool)] = -1.0
            parts.append(Part("torso", hood, cloth))
        if person.scarf:
            scarf = self._ring(0.915, 1.03, (0.058 * tall + self._thick, 0.064 * tall, 0.052 * tall))
            cloth = scarf.filled(person.scarf_colour) * self._weave(scarf, 0.12, 4)
            parts.append(Part("torso", scarf, cloth))
        return parts

    def _ring(self, low: float, high: float, radii: tuple[float, ...]) -> Tube:
        """A short tube around the neck between two places along the torso."""
        length = (high - low) * 0.345 * self._size.height
        radius = profile(
            self._count(6 + 120 * (high - low)), [step / (len(radii) - 1) for step in range(len(radii))], radii
        )
        tube = make_tube(self._count(52), radius, radius * 0.92, length)
        return replace(tube, along=low + (high - low) * tube.along)

    def _make_legs(self) -> list[Part]:
        size, outfit, weight, dice = self._size, self._outfit, self._person.weight, self._dice
        tall = size.height
        thigh = 0.052 * tall * (1 + 0.12 * weight) * (1.05 if outfit.women else 1.0)
        knee, ankle = 0.034 * tall * (1 + 0.06 * weight), 0.021 * tall
        loose, flare = dice.uniform(0.1, 0.8), 0.02 * dice.chance(0.2)
        end, dark_tights = self._leg_end(), dice.chance(0.35)
        place = places_along(self._count(80), end)
        # The calf swells below the knee.
        calf = knee * 1.02
        joints = (0, 0.12, 0.48, 0.62, 0.72, 0.95, 1)
        radius = np.interp(place, joints, (thigh, thigh, knee, calf, calf, ankle, ankle))
        if outfit.bottom not in SKIRTED and outfit.bottom != "leggings":
            cuff = ankle + 0.016 * tall * loose + 0.012 + flare
            give = knee + 0.012 * tall * loose + 0.006
            if outfit.bottom == "wide trousers":
                give, cuff = give + 0.012 * tall, cuff + 0.022 * tall
            elif outfit.bottom == "joggers":
                give, cuff = give + 0.008 * tall, ankle + 0.007
            elif outfit.bottom == "shorts":
                give = knee + 0.026 + 0.02 * loose
            cloth = np.interp(place, (0, 0.12, 0.5, 0.9, 1), (thigh + 0.005, thigh + 0.008, give, cuff, cuff + 0.003))
            radius = radius + (cloth - radius) * np.clip((end + HEM - place) / (2 * HEM), 0.0, 1.0)
        # Thin at the top, inside the hips: a full-width end would stick out as a corner.
        radius = radius * np.interp(place, (0, 0.05, 0.15), (0.62, 0.86, 1.0))
        at_joints = np.interp((0.12, 0.5, 1.0), place, radius)
        self.legs = (float(at_joints[0]), float(at_joints[1]), float(at_joints[2]))
        parts = []
        tube = make_tube(self._count(50), radius, radius * 1.05, 0.5 * tall, places=place)
        for side in SIDES:
            albedo = self._dye_leg(tube, side, end, dark_tights)
            parts.append(Part(f"leg{side:+d}", tube, albedo, bend=0.5))
        return parts

    def _leg_end(self) -> float:
        """Where the cloth of a trouser leg ends, along the leg: 0.5 is the knee, above 1 the shoe."""
        ends: dict[Bottom, tuple[float, float]] = {"shorts": (0.34, 0.54), "cropped": (0.66, 0.88)}
        low, high = ends.get(self._outfit.bottom, (-1.0, -1.0) if self._outfit.bottom in SKIRTED else (2.0, 2.0))
        return self._dice.uniform(low, high)

    def _dye_leg(self, tube: Tube, side: int, covered: float, dark_tights: bool) -> Floats:
        person, outfit = self._person, self._outfit
        height = tube.along + np.zeros(tube.shape)
        skirted = outfit.bottom in SKIRTED
        albedo = tube.filled((38, 36, 38) if skirted and dark_tights and not person.socks else person.skin)
        cloth = print_bottom(outfit, tube, side)
        if outfit.bottom == "jeans":
            worn = np.clip(1 - np.abs(height - 0.3) / 0.25, 0, 1) * np.clip(1 - np.abs(tube.around) / 1.2, 0, 1)
            cloth = cloth * (1.0 + 0.18 * worn[..., None])
        np.copyto(albedo, cloth, where=(height < covered)[..., None])
        if self.skirts:
            # A thigh that swings through the cloth must not show: it takes the colour of what covers it.
            longest = max(skirt.length for skirt in self.skirts)
            hidden = height < (longest / self._size.height - 0.035) / 0.5
            if outfit.worn_open and not skirted:
                hidden &= np.abs(tube.around) > 0.4
            albedo[hidden] = np.asarray(self._skirt_colour()) * 0.85
        if person.boots:
            albedo[height > 0.72] = person.shoe_colour
        elif person.socks and person.shoes != "sandals" and covered < 1.0:
            albedo[height > 0.86] = person.sock_colour
        strength = 0.05 if outfit.bottom == "leggings" else 0.14
        return albedo * _smooth_skin(self._weave(tube, strength, 7), height >= covered)

    def _skirt_colour(self) -> tuple[int, int, int]:
        outfit = self._outfit
        coat_over = outfit.bottom not in SKIRTED or outfit.top == "coat"
        return outfit.top_colour if coat_over or outfit.bottom == "dress" else outfit.bottom_colour

    def _make_skirts(self) -> list[Part]:
        """The skirt, the lower half of a dress, and the tail of a coat or of a long shirt."""
        outfit, size, dice = self._outfit, self._size, self._dice
        tall = size.height
        lengths = {"skirt": (0.17, 0.27), "dress": (0.20, 0.34), "long skirt": (0.36, 0.44)}
        parts, under = [], 0.0
        if outfit.bottom in lengths:
            length = dice.uniform(*lengths[outfit.bottom]) * tall
            under = dice.uniform(0.015, 0.055) * tall
            parts.append(self._make_skirt(0.585, length, 0.010, under, 0.0))
        long_tail = outfit.top in ("shirt", "hoodie", "jacket") and not parts and dice.chance(0.3)
        if outfit.top == "coat" or long_tail:
            length = (dice.uniform(0.12, 0.36) if outfit.top == "coat" else 0.06) * tall
            self._tailed = True
            opening = _OPENING if outfit.worn_open else 0.0
            flare = under + self._thick + (0.02 + 0.1 * length) * tall * 0.6
            parts.append(self._make_skirt(0.565, length, self._thick + 0.014 + 0.5 * under, flare, opening))
        return parts

    def _make_skirt(self, top: float, length: float, gap: float, flare: float, opening: float) -> Part:
        """A skirt from `top` body heights above the ground, `flare` wider at the hem, cut open in front."""
        size, dice, outfit = self._size, self._dice, self._outfit
        tall, rows = size.height, self._count(20 + length / size.height * 130)
        hem = size.hip + 0.012 * tall + flare
        waist, deep = size.waist + gap, size.depth + gap + 0.004
        # The thighs, side by side, are what the cloth has to go around.
        thigh = 0.055 * tall * (1 + 0.12 * self._person.weight)
        hips = max(waist + (hem - waist) * 0.45, 0.56 * size.hip + thigh + gap + 0.006 * tall)
        hem = max(hem, hips)
        depths = (deep, max(deep + (hem * 0.85 - deep) * 0.45, thigh + gap + 0.01 * tall), hem * 0.85)
        width = profile(rows, (0, SKIRT_HIP, 1), (waist, hips, hem))
        depth = profile(rows, (0, SKIRT_HIP, 1), depths)
        tube = make_tube(self._count(150 + 300 * length / tall), width, depth, length, squareness=2.5, stretch=1.8)
        bottom_cloth = top == 0.585 and outfit.bottom != "dress"
        albedo = print_bottom(outfit, tube) if bottom_cloth else print_top(outfit, tube, 0.2, -0.2)
        pleats = np.sin(tube.around * (9 + dice.below(6)) + dice.uniform(0.0, 6.0))
        albedo = albedo * (1.0 + 0.09 * pleats * tube.along)[..., None]
        albedo = albedo * self._weave(tube, 0.08, 8)
        if opening:
            albedo[(np.abs(tube.around) < opening) & np.ones(tube.shape, bool)] = -1.0
        self.skirts.append(Skirt(top * tall, length, depths))
        return Part(f"skirt{len(self.skirts) - 1}", tube, albedo)

    def _make_arms(self) -> list[Part]:
        size, outfit, weight, dice = self._size, self._outfit, self._person.weight, self._dice
        tall = size.height
        end = dice.uniform(*_SLEEVES.get(outfit.top, (1.1, 1.1)))
        if outfit.top == "shirt":
            end = dice.pick((0.45, 0.75, 1.1))
        place = places_along(self._count(58), end)
        upper = 0.0275 * tall * (1 + 0.12 * weight) * (0.9 if outfit.women else 1.0)
        fore = 0.020 * tall * (1 + 0.05 * weight)
        radius = np.interp(place, (0, 0.1, 0.5, 0.62, 1), (upper, upper, upper * 0.82, fore * 1.05, 0.014 * tall))
        thick = 0.006 if outfit.top == "vest" else self._thick
        ease = thick * 0.55 + 0.003 + (0.006 * np.clip(place / 0.4, 0, 1) if end < 0.6 else 0.0)
        radius = radius + ease * np.clip((end + HEM - place) / (2 * HEM), 0.0, 1.0)
        # The arm starts thin inside the sloping shoulder: a full-width end would look like a puffed sleeve.
        radius = radius * np.interp(place, (0, 0.05, 0.12, 0.22, 0.3), (0.36, 0.62, 0.84, 0.96, 1.0))
        tube = make_tube(self._count(30), radius, radius * 1.08, 0.32 * tall, places=place)
        return [Part(f"arm{side:+d}", tube, self._dye_arm(tube, end, side), bend=0.53) for side in SIDES]

    def _dye_arm(self, tube: Tube, end: float, side: int) -> Floats:
        outfit = self._outfit
        height = tube.along + np.zeros(tube.shape)
        cloth = print_sleeve(outfit, tube, side)
        if outfit.top == "puffer":
            cloth = self._quilt(cloth, height * 13.0)
        albedo = tube.filled(self._person.skin)
        np.copyto(albedo, cloth, where=(height < end)[..., None])
        if end > 1.0:
            albedo[height > 0.93] *= 0.85
        return albedo * _smooth_skin(self._weave(tube, 0.11, 6), height >= end)
