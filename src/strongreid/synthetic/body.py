"""A person as surfels: built once per identity, posed with one tiny matrix per tube."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from strongreid.synthetic.accessories import make_accessories
from strongreid.synthetic.clothes import Tailor
from strongreid.synthetic.dice import Dice
from strongreid.synthetic.headwear import make_head
from strongreid.synthetic.skeleton import Proportions, Skeleton, Stance, measure_bone
from strongreid.synthetic.tube import Floats, Tube
from strongreid.synthetic.wardrobe import Person, wears_hood

_BLEND = 0.10  # half the length over which a limb bends, as a share of the limb

_SPACING = 0.0115  # metres between two rows of the torso at density 1

_SMALL, _TOGETHER = 600, 4  # surfels of a piece, and pieces, that are worth one product

_BAG_LENGTH = {
    "backpack": 0.26, "shoulder bag": 0.13, "handbag": 0.11, "shopping bag": 0.19, "waist bag": 0.07,
    "suitcase": 0.30,
}  # fmt: skip


def quantise(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Round to multiples of 2^-11, half a millimetre.

    A product of two is a multiple of 2^-22, and no sum of such products here reaches 4 metres: float32 holds
    them exactly, so the order of adding, and with it the processor and the BLAS, makes no difference.
    """
    steps = np.multiply(values, 2048.0)
    quantised = np.rint(steps, out=steps).astype(np.float32)
    quantised *= np.float32(1 / 2048)
    return quantised


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


class _Piece(NamedTuple):
    """Surfels that are placed by one product: the columns of a tube, or of several small ones."""

    bones: tuple[str, ...]
    places: Floats
    """(4 a bone, surfels); a bent tube has two bones."""
    normals: Floats
    """(3 a bone, surfels)."""


def _join(pieces: list[_Piece]) -> list[_Piece]:
    """Put small pieces that follow each other together: the surfels' order stays, with fewer products."""
    joined: list[_Piece] = []
    group: list[_Piece] = []
    for piece in pieces:
        small = len(piece.places) == 4 and piece.places.shape[1] <= _SMALL
        if not small or len(group) == _TOGETHER:
            joined += _beside(group)
            group = []
        if small:
            group.append(piece)
        else:
            joined.append(piece)
    return joined + _beside(group)


def _beside(group: list[_Piece]) -> list[_Piece]:
    """One piece whose columns have zeros for the bones that are not theirs."""
    if len(group) < 2:
        return group
    total = sum(piece.places.shape[1] for piece in group)
    places = np.zeros((len(group), 4, total), np.float32)
    normals = np.zeros((len(group), 3, total), np.float32)
    start = 0
    for place, piece in enumerate(group):
        stop = start + piece.places.shape[1]
        places[place, :, start:stop] = piece.places
        normals[place, :, start:stop] = piece.normals
        start = stop
    names = tuple(name for piece in group for name in piece.bones)
    return [_Piece(names, places.reshape(-1, total), normals.reshape(-1, total))]


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
        pieces: list[_Piece] = []
        albedo: list[Floats] = []
        shared: dict[tuple[int, float | None], tuple[Floats, Floats]] = {}
        for part in parts:
            colours = part.albedo.reshape(-1, 3).T
            kept = colours[0] >= 0
            if kept.all():  # left and right are often one tube
                key = (id(part.tube), part.bend)
                if key not in shared:
                    shared[key] = _stack(part.tube, part.bend)
                places, normals = shared[key]
            else:
                places, normals = (columns.compress(kept, 1) for columns in _stack(part.tube, part.bend))
                colours = colours.compress(kept, 1)
            pieces.append(_Piece((part.bone,), places, normals))
            albedo.append(colours)
        self._pieces = _join(pieces)
        colours = np.concatenate(albedo, axis=1)
        np.rint(np.clip(colours, 0, 255, out=colours), out=colours)
        self.albedo = np.ascontiguousarray(colours, np.float32)
        """(3, surfels), whole numbers from 0 to 255."""

    def pose(self, stance: Stance, yaw: float, elevation: float) -> tuple[Floats, Floats]:
        """Places and normals, (3, surfels) float32 each, as seen by a camera: x right, y up, z towards it.

        `yaw` turns the body (0 faces the camera), `elevation` raises the camera; both in radians.
        """
        view = _view(yaw, elevation)
        places = np.empty((3, self.albedo.shape[1]), np.float32)
        normals = np.empty((3, self.albedo.shape[1]), np.float32)
        bones = self._skeleton.bones(stance)
        chain = [[measure_bone(bone) for name in piece.bones for bone in bones[name]] for piece in self._pieces]
        vectors = np.array([vectors for part in chain for vectors in part]).reshape(-1, 3).T
        turned = quantise(view @ vectors).reshape(3, -1, 7)
        frames, directions = turned[:, :, :4].reshape(3, -1), turned[:, :, 4:].reshape(3, -1)
        first = start = 0
        for piece, part in zip(self._pieces, chain, strict=True):
            last, stop = first + len(part), start + piece.places.shape[1]
            np.matmul(frames[:, 4 * first : 4 * last], piece.places, out=places[:, start:stop])
            np.matmul(directions[:, 3 * first : 3 * last], piece.normals, out=normals[:, start:stop])
            first, start = last, stop
        return places, normals

    def joints(self, stance: Stance, yaw: float, elevation: float) -> npt.NDArray[np.float64]:
        """(joints, 3): the places of `skeleton.JOINTS`, as seen by a camera like those of `pose`."""
        return np.array(self._skeleton.joints(stance)) @ _view(yaw, elevation).T


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


def _stack(tube: Tube, bend: float | None) -> tuple[Floats, Floats]:
    """Static columns of a tube: (4 or 8, surfels) places and (3 or 6, surfels) normals.

    A straight tube has the columns [lateral, depth, v, 1]; a bent one has two such blocks, one per bone,
    whose weights fade from one to the other around the joint (linear skinning).
    """
    rows, columns = tube.shape
    along = np.repeat(tube.along[:, 0], columns)
    normals = tube.normals.reshape(3, -1)
    places = np.ones((4, rows * columns))
    places[0], places[1], places[2] = tube.lateral.ravel(), tube.depth.ravel(), along
    if bend is None:
        return quantise(places), quantise(normals)
    late = np.clip((along - bend + _BLEND) / (2 * _BLEND), 0.0, 1.0)
    late = late * late * (3 - 2 * late)
    early = 1.0 - late
    upper, lower = places, places.copy()
    upper[2] /= bend
    lower[2] = (along - bend) / (1 - bend)
    upper *= early
    lower *= late
    both = np.concatenate([normals * early, normals * late])
    return quantise(np.concatenate([upper, lower])), quantise(both)
