"""A person as surfels: built once per identity, posed with one tiny matrix per tube."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from strongreid.synthetic.accessories import make_accessories
from strongreid.synthetic.clothes import Tailor
from strongreid.synthetic.dice import Dice
from strongreid.synthetic.headwear import make_head
from strongreid.synthetic.skeleton import Proportions, Skeleton, Stance
from strongreid.synthetic.tube import Floats, Part
from strongreid.synthetic.wardrobe import Person, wears_hood

_BLEND = 0.10  # half the length over which a limb bends, as a share of the limb

_SPACING = 0.0115  # metres between two rows of the torso at density 1

_BAG_LENGTH = {
    "backpack": 0.26, "shoulder bag": 0.13, "handbag": 0.11, "shopping bag": 0.19, "waist bag": 0.07,
    "suitcase": 0.30,
}  # fmt: skip


def quantise(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Round to multiples of 2^-11, half a millimetre.

    A product of two is a multiple of 2^-22, and no sum of such products here reaches 4 metres: float32 holds
    them exactly, so the order of adding, and with it the processor and the BLAS, makes no difference.
    """
    return (np.rint(np.asarray(values, np.float64) * 2048.0) / 2048.0).astype(np.float32)


def measure(person: Person) -> Proportions:
    """The lengths that follow from a person's build."""
    tall, weight, women = person.height, person.weight, person.outfit.women
    dice = Dice(person.body_seed, 2)
    head = (0.0455 if women else 0.0475) * tall
    # Offset of the root to the front and drop below the crown, in head half widths; length in body heights.
    hair = {
        "long": (-0.50, 0.70, dice.uniform(0.16, 0.24)),
        "bob": (-0.40, 0.70, 0.115),
        "ponytail": (-1.15, 0.45, 0.14),
        "bun": (-1.05, 1.0, head * 0.95 / tall),
    }
    offset, drop, length = hair.get(person.hair_style, (0.0, 0.0, 0.0))
    if wears_hood(person) or (person.hat == "beanie" and person.hair_style == "bun"):
        length = 0.0
    return Proportions(
        height=tall,
        shoulder=person.shoulder * tall,
        hip=person.hip * tall * (1 + 0.06 * weight),
        waist=(0.070 if women else 0.078) * tall * (1 + 0.13 * weight),
        depth=0.058 * tall * (1 + 0.15 * weight),
        head=head,
        hair_offset=offset * head,
        hair_drop=drop * head,
        hair_length=length * tall,
        bag_length=_BAG_LENGTH.get(person.bag, 0.0) * tall * person.bag_size,
    )


class Body:
    """The surfels of one person, ready to be posed; about 24,000 of them at density 1."""

    def __init__(self, person: Person, density: float = 1.0) -> None:
        size = measure(person)
        tailor = Tailor(person, size, density)
        parts = [*tailor.make(), *make_head(person, size, density), *make_accessories(person, size, density)]
        self.person = person
        self.spacing = _SPACING / density
        """Metres between neighbouring surfels where they are sparsest."""
        self._skeleton = Skeleton(person, replace(size, skirts=tuple(tailor.skirts), legs=tailor.legs))
        self._pieces: list[tuple[str, slice, Floats, Floats]] = []
        albedo: list[Floats] = []
        start = 0
        for part in parts:
            places, normals, colours = _stack(part)
            stop = start + places.shape[1]
            self._pieces.append((part.bone, slice(start, stop), places, normals))
            albedo.append(colours)
            start = stop
        self.albedo = np.ascontiguousarray(np.rint(np.clip(np.concatenate(albedo, axis=1), 0, 255)), np.float32)
        """(3, surfels), whole numbers from 0 to 255."""

    def pose(self, stance: Stance, yaw: float, elevation: float) -> tuple[Floats, Floats]:
        """Places and normals, (3, surfels) float32 each, as seen by a camera: x right, y up, z towards it.

        `yaw` turns the body (0 faces the camera), `elevation` raises the camera; both in radians.
        """
        view = _view(yaw, elevation)
        places = np.empty((3, self.albedo.shape[1]), np.float32)
        normals = np.empty((3, self.albedo.shape[1]), np.float32)
        bones = self._skeleton.bones(stance)
        chain = [bone for name, *_ in self._pieces for bone in bones[name]]
        frames = _turn(view, [part for bone in chain for row in bone.frame for part in row])
        directions = _turn(view, [part for bone in chain for row in bone.directions for part in row])
        first = 0
        for name, span, static_places, static_normals in self._pieces:
            last = first + len(bones[name])
            np.matmul(frames[:, 4 * first : 4 * last], static_places, out=places[:, span])
            np.matmul(directions[:, 3 * first : 3 * last], static_normals, out=normals[:, span])
            first = last
        return places, normals

    def joints(self, stance: Stance, yaw: float, elevation: float) -> npt.NDArray[np.float64]:
        """(joints, 3): the places of `skeleton.JOINTS`, as seen by a camera like those of `pose`."""
        return np.array(self._skeleton.joints(stance)) @ _view(yaw, elevation).T


def _turn(view: npt.NDArray[np.float64], parts: list[float]) -> npt.NDArray[np.float32]:
    """(3, n) in C order: n vectors, given part by part, as the camera sees them."""
    return np.ascontiguousarray(quantise(view @ np.array(parts).reshape(-1, 3).T))


def _view(yaw: float, elevation: float) -> npt.NDArray[np.float64]:
    cos_yaw, sin_yaw = math.cos(yaw), math.sin(yaw)
    cos_up, sin_up = math.cos(elevation), math.sin(elevation)
    return np.array(
        [
            [cos_yaw, 0.0, sin_yaw],
            [sin_up * sin_yaw, cos_up, -sin_up * cos_yaw],
            [-cos_up * sin_yaw, sin_up, cos_up * cos_yaw],
        ]
    )


def _stack(part: Part) -> tuple[Floats, Floats, Floats]:
    """Static columns of a part: (4 or 8, surfels) places, (3 or 6, surfels) normals, (3, surfels) albedo.

    A straight tube has the columns [lateral, depth, v, 1]; a bent one has two such blocks, one per bone,
    whose weights fade from one to the other around the joint (linear skinning).
    """
    tube = part.tube
    rows, columns = tube.shape
    along = np.repeat(tube.along[:, 0], columns)
    lateral, depth = tube.lateral.ravel(), tube.depth.ravel()
    normals = tube.normals.reshape(3, -1)
    if part.bend is None:
        places = np.stack([lateral, depth, along, np.ones(rows * columns)])
    else:
        bend = part.bend
        late = np.clip((along - bend + _BLEND) / (2 * _BLEND), 0.0, 1.0)
        late = late * late * (3 - 2 * late)
        early = 1.0 - late
        upper = np.stack([lateral, depth, along / bend, np.ones(rows * columns)]) * early
        lower = np.stack([lateral, depth, (along - bend) / (1 - bend), np.ones(rows * columns)]) * late
        places = np.concatenate([upper, lower])
        normals = np.concatenate([normals * early, normals * late])
    albedo = part.albedo.reshape(-1, 3).T
    kept = albedo[0] >= 0
    # In C order: indexing leaves the columns together, and products with them take twice as long.
    static = (np.ascontiguousarray(quantise(columns[:, kept])) for columns in (places, normals))
    return next(static), next(static), albedo[:, kept]
