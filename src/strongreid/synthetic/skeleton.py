"""Where every tube of a body goes at one moment of a step.

Body space: x to the side, y up, z to the front, metres, the ground under the body at y = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from strongreid.synthetic.wardrobe import Person

Vector = tuple[float, float, float]
SIDES = (-1, 1)

_SIDEWAYS: Vector = (1.0, 0.0, 0.0)
_HIDDEN_STEP: dict[str, float] = {"skirt": 0.75, "dress": 0.75, "long skirt": 0.42}
_PADDING: dict[str, float] = {"coat": 0.03, "jacket": 0.03, "hoodie": 0.03, "vest": 0.04, "puffer": 0.06}
_ROOM = 1.2  # a leg is beside the middle of the skirt, where an oval is less deep

JOINTS: dict[str, tuple[str, int, float]] = {
    "crown": ("head", 0, 1.0), "chin": ("head", 0, 0.0), "neck": ("torso", 0, 0.95),
    "right shoulder": ("arm-1", 0, 0.0), "right elbow": ("arm-1", 0, 1.0), "right wrist": ("arm-1", 1, 1.0),
    "left shoulder": ("arm+1", 0, 0.0), "left elbow": ("arm+1", 0, 1.0), "left wrist": ("arm+1", 1, 1.0),
    "right hip": ("leg-1", 0, 0.0), "right knee": ("leg-1", 0, 1.0), "right ankle": ("leg-1", 1, 1.0),
    "left hip": ("leg+1", 0, 0.0), "left knee": ("leg+1", 0, 1.0), "left ankle": ("leg+1", 1, 1.0),
}  # fmt: skip
"""Where each joint is: the tube, which of its bones, and the share of the way along it. Right and left are the
person's own."""


@dataclass(frozen=True)
class Stance:
    """The moment of a step at which a picture is taken."""

    phase: float
    """Where in the step, in radians."""
    swing: float
    """How far the limbs swing: 0 is standing, 1 an ordinary walk."""
    head_turn: float = 0.0
    """Radians, to the side."""
    raised: tuple[tuple[float, float] | None, tuple[float, float] | None] = (None, None)
    """For an arm that holds something up: the angles of the upper arm and of the elbow, in radians."""


@dataclass(frozen=True)
class Skirt:
    """A skirt, the lower half of a dress, or the tail of a coat, in metres."""

    top: float
    """Above the ground."""
    length: float
    depths: tuple[float, float, float]
    """Half the depth at the waist, at `SKIRT_HIP` of the length, and at the hem."""


SKIRT_HIP = 0.3


@dataclass(frozen=True)
class Proportions:
    """Lengths of one body in metres."""

    height: float
    shoulder: float
    hip: float
    waist: float
    depth: float
    """Half the depth of the chest."""
    head: float
    """Half the width of the head."""
    hair_offset: float = 0.0
    """How far the loose hair starts in front of (or, negative, behind) the crown."""
    hair_drop: float = 0.0
    hair_length: float = 0.0
    bag_length: float = 0.0
    skirts: tuple[Skirt, ...] = ()
    legs: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """How thick the dressed legs are: radius at the hip, at the knee and at the ankle."""


class Bone(NamedTuple):
    """One straight piece, from joint to joint; `measure_bone` gives its frame."""

    start: Vector
    end: Vector
    side: Vector = _SIDEWAYS
    """The first cross axis is as near to this as can be."""
    flip: float = 1.0
    """-1 keeps the second cross axis to the front where the bone points upward."""
    deepen: float = 1.0


def _add(a: Vector, b: Vector, factor: float = 1.0) -> Vector:
    return (a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2])


def _along(bone: Bone, share: float) -> Vector:
    """The place at a share of the way."""
    start, end = bone.start, bone.end
    return (
        start[0] + share * (end[0] - start[0]),
        start[1] + share * (end[1] - start[1]),
        start[2] + share * (end[2] - start[2]),
    )


def measure_bone(bone: Bone) -> tuple[float, ...]:
    """Seven vectors in one row: e1, e2, axis and start, and then the first three at unit length, for normals.

    A surfel at (lateral, depth, v) lies at start + lateral e1 + depth e2 + v axis.
    """
    # Spelled out part by part: a picture takes a score of these.
    (k, m, n), end, side, flip, deepen = bone
    a, b, c = end[0] - k, end[1] - m, end[2] - n
    scale = 1.0 / (math.sqrt(a * a + b * b + c * c) + 1e-9)
    x, y, z = a * scale, b * scale, c * scale
    o, p, q = side
    shadow = x * o + y * p + z * q
    d, e, f = o - shadow * x, p - shadow * y, q - shadow * z
    scale = 1.0 / (math.sqrt(d * d + e * e + f * f) + 1e-9)
    d, e, f = d * scale, e * scale, f * scale
    u, v, w = flip * (y * f - z * e), flip * (z * d - x * f), flip * (x * e - y * d)
    return (d, e, f, u * deepen, v * deepen, w * deepen, a, b, c, k, m, n, d, e, f, u, v, w, x, y, z)


class Skeleton:
    """The joints of one person; `bones` places every tube for a stance."""

    def __init__(self, person: Person, proportions: Proportions) -> None:
        self._person = person
        self._size = proportions

    def bones(self, stance: Stance) -> dict[str, tuple[Bone, ...]]:
        """One bone per straight tube and two per bent one, by the tube's name."""
        bones: dict[str, tuple[Bone, ...]] = {}
        hip_height = self._place_legs(stance, bones)
        self._place_trunk(stance, hip_height, bones)
        return bones

    def joints(self, stance: Stance) -> list[Vector]:
        """The places of `JOINTS`, in body space."""
        bones = self.bones(stance)
        places = []
        for bone, number, share in JOINTS.values():
            places.append(_along(bones[bone][number], share))
        return places

    def _place_legs(self, stance: Stance, bones: dict[str, tuple[Bone, ...]]) -> float:
        """Legs and shoes; returns the height of the hips at which the lower foot stands on the ground."""
        person, size = self._person, self._size
        tall, swing = size.height, stance.swing
        reach = 0.42 * swing * person.stride * _HIDDEN_STEP.get(person.outfit.bottom, 1.0)
        segment = 0.245 * tall
        joints: list[tuple[int, float, Vector, Vector, float]] = []
        for side in SIDES:
            moment = stance.phase + (0.0 if side > 0 else math.pi)
            thigh = reach * math.sin(moment) + 0.04
            knee_bend = 0.10 + 0.9 * swing * max(0.0, math.cos(moment + 0.35)) ** 2
            if swing < 0.15:
                thigh, knee_bend = thigh * 0.3, 0.06
            shin = thigh - knee_bend
            out = side * size.hip * 0.53
            knee = (out, -segment * math.cos(thigh), segment * math.sin(thigh))
            ankle = (
                out - 0.02 * side * size.hip,
                knee[1] - segment * math.cos(shin),
                knee[2] + segment * math.sin(shin),
            )
            joints.append((side, out, knee, ankle, shin * 0.55))
        hip_height = -min(ankle[1] - 0.035 * tall for _, _, _, ankle, _ in joints)
        lift = (0.0, hip_height, 0.0)
        for side, out, knee_low, ankle_low, pitch in joints:
            knee, ankle = _add(knee_low, lift), _add(ankle_low, lift)
            hip_joint = (out, hip_height + 0.02 * tall, 0.0)
            bones[f"leg{side:+d}"] = (Bone(hip_joint, knee), Bone(knee, ankle))
            sine, cosine = math.sin(pitch), math.cos(pitch)
            heel = _add(ankle, (0.0, -0.012 - 0.03 * sine, -0.035 * cosine), tall)
            toe = _add(heel, (0.012 * side, 0.104 * sine, 0.135 * cosine), tall)
            bones[f"shoe{side:+d}"] = (Bone(heel, toe),)
        return hip_height

    def _place_trunk(self, stance: Stance, hip_height: float, bones: dict[str, tuple[Bone, ...]]) -> None:
        person, size = self._person, self._size
        tall, swing = size.height, stance.swing
        lean = person.lean + 0.05 * swing
        up = (0.0, math.cos(lean), math.sin(lean))
        bottom = (0.0, hip_height - 0.02 * tall, 0.0)
        top = _add(bottom, up, 0.345 * tall)
        twist = -0.10 * swing * math.sin(stance.phase)
        across = (math.cos(twist), 0.0, -math.sin(twist))
        bones["torso"] = (Bone(bottom, top, across, flip=-1.0),)
        sway = 0.02 * swing * math.sin(2.0 * stance.phase)
        for number, skirt in enumerate(size.skirts):
            waist = hip_height - 0.52 * tall + skirt.top
            hem = (0.0, waist - skirt.length, 0.01 + sway)
            deepen = self._deepen(skirt, waist, bones)
            bones[f"skirt{number}"] = (Bone((0.0, waist, 0.004), hem, deepen=deepen),)
        self._place_head(stance, _add(top, up, -0.005 * tall), bones)
        fists = self._place_arms(stance, bottom, top, across, bones)
        bones["bag"] = (self._place_bag(stance, hip_height, bottom, up, fists),)

    def _deepen(self, skirt: Skirt, waist: float, bones: dict[str, tuple[Bone, ...]]) -> float:
        """How much cloth that reaches below the hips deepens to give way to the legs in this stride."""
        factor = 1.0
        hip, knee, ankle = self._size.legs
        for side in SIDES:
            for bone, (first, last) in zip(bones[f"leg{side:+d}"], ((hip, knee), (knee, ankle)), strict=True):
                start = bone.start
                rise, ahead = bone.end[1] - start[1], bone.end[2] - start[2]
                for step in range(7):
                    share = step / 6
                    fall = (waist - start[1] - share * rise) / skirt.length
                    if 0.0 < fall < 1.03:
                        upper, lower = (0, 1) if fall < SKIRT_HIP else (1, 2)
                        part = fall / SKIRT_HIP if upper == 0 else (fall - SKIRT_HIP) / (1.0 - SKIRT_HIP)
                        depth = skirt.depths[upper] + part * (skirt.depths[lower] - skirt.depths[upper])
                        needed = abs(start[2] + share * ahead) + first + share * (last - first)
                        factor = max(factor, _ROOM * needed / depth)
        return factor

    def _place_head(self, stance: Stance, neck: Vector, bones: dict[str, tuple[Bone, ...]]) -> None:
        size = self._size
        chin = _add(neck, (0.0, 0.014 * size.height, 0.014 * size.height))
        crown = _add(chin, (0.0, 0.135 * size.height, 0.008 * size.height))
        across = (math.cos(stance.head_turn), 0.0, -math.sin(stance.head_turn))
        ahead = (math.sin(stance.head_turn), 0.0, math.cos(stance.head_turn))
        bones["head"] = (Bone(chin, crown, across, flip=-1.0),)
        root = _add(_add(crown, ahead, size.hair_offset), (0.0, -size.hair_drop, 0.0))
        tip = _add(_add(root, ahead, -0.012), (0.0, -size.hair_length - 0.001, 0.0))
        bones["hair"] = (Bone(root, tip, across),)
        brow = _add(chin, _add(crown, chin, -1.0), 0.70)
        bones["brim"] = (Bone(_add(brow, (0.0, 0.004, 0.0)), _add(brow, (0.0, -0.01, 0.0)), across),)

    def _place_arms(
        self,
        stance: Stance,
        bottom: Vector,
        top: Vector,
        across: Vector,
        bones: dict[str, tuple[Bone, ...]],
    ) -> dict[int, Vector]:
        """Arms and hands; returns the places of the two fists."""
        person, size = self._person, self._size
        tall, swing = size.height, stance.swing
        padding = _PADDING.get(person.outfit.top, 0.0)
        wide_hem = 0.10 if any(skirt.length > 0.15 * tall for skirt in size.skirts) else 0.0
        away = 0.09 + 0.02 * person.weight + padding + wide_hem
        fists: dict[int, Vector] = {}
        for number, side in enumerate(SIDES):
            moment = stance.phase + (math.pi if side > 0 else 0.0)
            upper = 0.45 * swing * person.arm_swing * math.sin(moment) + 0.02
            elbow_bend = 0.15 + 0.35 * person.arm_swing * swing * (0.5 + 0.5 * math.sin(moment))
            upper, elbow_bend = stance.raised[number] or (upper, elbow_bend)
            lower = upper + elbow_bend
            shoulder = _add(bottom, _add(top, bottom, -1.0), 0.858)
            shoulder = _add(shoulder, across, side * size.shoulder * 0.78)
            down = (side * math.sin(away), -math.cos(upper) * math.cos(away), math.sin(upper))
            forearm = (side * math.sin(away) * 0.3, -math.cos(lower), math.sin(lower))
            elbow = _add(shoulder, down, 0.170 * tall)
            wrist = _add(elbow, forearm, 0.150 * tall)
            bones[f"arm{side:+d}"] = (Bone(shoulder, elbow), Bone(elbow, wrist))
            bones[f"hand{side:+d}"] = (Bone(wrist, _add(wrist, forearm, 0.085 * tall)),)
            fists[side] = _add(wrist, forearm, 0.06 * tall)
        return fists

    def _place_bag(
        self, stance: Stance, hip_height: float, bottom: Vector, up: Vector, fists: dict[int, Vector]
    ) -> Bone:
        person, size = self._person, self._size
        tall, length, side = size.height, size.bag_length, person.bag_side
        if person.bag == "backpack":
            back = -(size.depth + 0.05 * tall * person.bag_size + 0.008)
            strap = _add(_add(bottom, up, 0.30 * tall), (0.0, 0.0, back))
            return Bone(strap, _add(strap, up, -length))
        if person.bag == "shoulder bag":
            swing = -0.02 * tall + 0.02 * stance.swing * math.sin(stance.phase)
            strap = (side * (size.hip + 0.035 * tall), hip_height + 0.07 * tall, swing)
            return Bone(strap, _add(strap, (0.0, -length, 0.0)))
        if person.bag == "waist bag":
            buckle = _add(_add(bottom, up, 0.115 * tall), (0.0, 0.0, size.depth + 0.03 * tall))
            return Bone(buckle, _add(buckle, (0.0, -length, 0.0)))
        if person.bag == "suitcase":
            top_corner = (side * (size.hip + 0.10 * tall), length + 0.03 * tall, -0.20 * tall)
            return Bone(top_corner, _add(top_corner, (0.0, -length, -0.04 * tall)))
        handle = _add(fists[side], (0.0, -0.03 * tall, 0.0))
        return Bone(handle, _add(handle, (0.0, -length - 0.001, 0.01)))
