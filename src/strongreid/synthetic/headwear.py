"""The tubes above the neck: head and face, loose hair, hats."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from strongreid.synthetic.dice import Dice
from strongreid.synthetic.skeleton import Proportions
from strongreid.synthetic.texture import weave
from strongreid.synthetic.tube import Floats, Part, Tube, make_blob, make_tube, profile
from strongreid.synthetic.wardrobe import Person, wears_hood

Mask = npt.NDArray[np.bool_]


def make_head(person: Person, size: Proportions, density: float) -> list[Part]:
    """Head, loose hair, a hood, and the brim of a hat; the face has no features, by design."""
    dice = Dice(person.body_seed, 1)
    head = _head_tube(size, density)
    hairy = _grows_hair(person, head)
    # Hair stands off the head.
    fuller = 1.0 + 0.07 * hairy * np.clip((1.0 - head.along) * 6.0, 0.0, 1.0)
    head = replace(head, lateral=head.lateral * fuller, depth=head.depth * fuller)
    parts = [Part("head", head, _dye_head(dice, person, head, hairy, density))]
    if size.hair_length:
        parts.append(_hair(dice, person, size, density))
    if wears_hood(person):
        parts.append(_hood(dice, person, size, density))
    if person.hat in ("cap", "sun hat"):
        parts.append(_brim(person, size, density))
    return parts


def _head_tube(size: Proportions, density: float, swell: float = 1.0) -> Tube:
    """An egg, narrower at the chin; rows lie closer at its ends, or the crown would be bare."""
    rows = max(6, int(30 * density * swell))
    place = 0.5 - 0.5 * np.cos(np.linspace(0.04, 0.985, rows) * math.pi)
    arch = np.sqrt(4.0 * place * (1.0 - place))
    outline = arch * np.where(place < 0.5, 0.80 + 0.40 * place * (1.0 - place), 1.0 - 0.20 * (1.0 - place)) / 0.91
    wide, deep = size.head * 0.92 * swell * outline, size.head * 1.12 * swell * outline
    tube = make_tube(max(6, int(48 * density * swell)), wide, deep, 0.135 * size.height, places=place)
    # The slope of so steep an outline says little: take the normals of a ball instead.
    flat = np.sqrt(tube.normals[0] ** 2 + tube.normals[1] ** 2) + 1e-6
    upward = (2.0 * place - 1.0)[:, None] + np.zeros(tube.shape)
    normals = np.stack([tube.normals[0] / flat * arch[:, None], tube.normals[1] / flat * arch[:, None], upward])
    return replace(tube, normals=normals)


def _grows_hair(person: Person, tube: Tube) -> Mask:
    """(rows, columns): above the brow in front, down to the ear and to the neck behind: never on the jaw."""
    angle = np.abs(tube.around) + np.zeros(tube.shape)
    line = np.interp(angle, (0.0, 0.75, 1.25, 1.7, 2.1), (0.80, 0.79, 0.62, 0.50, 0.22))
    if person.hair_style in ("bob", "long"):
        line = np.interp(angle, (0.0, 0.8, 1.2, 1.45), (0.79, 0.77, 0.52, 0.12))
    elif person.hair_style == "bald":
        line[:] = 2.0
    hairy: Mask = tube.along > line
    return hairy


def _dye_head(dice: Dice, person: Person, tube: Tube, hairy: Mask, density: float) -> Floats:
    height, angle = tube.along + np.zeros(tube.shape), np.abs(tube.around) + np.zeros(tube.shape)
    skin = np.asarray(person.skin, np.float64)
    albedo = tube.filled(person.skin)
    # The brow shades the eyes and the nose the mouth: that much of a face is seen from afar.
    albedo[(np.abs(height - 0.57) < 0.06) & (angle < 0.8)] *= 0.84
    albedo[(np.abs(height - 0.30) < 0.05) & (angle < 0.35)] *= 0.90
    if person.glasses:
        albedo[(np.abs(height - 0.56) < 0.045) & (angle < 0.75)] = skin * 0.35 + 12
    albedo[hairy] = person.hair
    if person.hat != "none":
        rim = 0.70 if person.hat != "beanie" else np.where(angle > 1.2, 0.56, 0.68)
        albedo[height > rim] = person.hat_colour
    return albedo * weave(dice, tube, 0.05, 5 * density)


def _hood(dice: Dice, person: Person, size: Proportions, density: float) -> Part:
    """A hood over the head, open in front of the face."""
    tube = _head_tube(size, density, swell=1.22)
    tube = replace(tube, along=1.14 * tube.along - 0.09, depth=tube.depth - 0.10 * size.head)
    albedo = tube.filled(person.outfit.top_colour) * weave(dice, tube, 0.10, 5 * density)
    rim = np.clip((np.abs(tube.around) - 0.80) / 0.25, 0.0, 1.0) + np.zeros(tube.shape)
    albedo *= (0.72 + 0.28 * rim)[..., None]
    face = (np.abs(tube.around) < 0.80) & (tube.along > -0.02) & (tube.along < 0.80)
    albedo[face] = -1.0
    return Part("head", tube, albedo)


def _hair(dice: Dice, person: Person, size: Proportions, density: float) -> Part:
    rows, columns, head = max(6, int(28 * density)), max(6, int(46 * density)), size.head
    style = person.hair_style
    if style == "bun":
        tube = make_blob(rows // 2, columns // 2, 0.55 * head, 0.55 * head, size.hair_length)
    elif style == "ponytail":
        radius = profile(rows, (0, 0.2, 1), (head * 0.2, head * 0.38, head * 0.15))
        tube = make_tube(columns // 2, radius, radius, size.hair_length)
    else:
        ends = (0.6, 1.05, 1.1, 0.85) if style == "bob" else (0.7, 1.08, 1.1, 0.75)
        width = profile(rows, (0, 0.3, 0.85, 1), [head * end for end in ends])
        depth = profile(rows, (0, 0.3, 1), [head * end for end in (0.5, 0.85, 0.5)])
        tube = make_tube(columns, width, depth, size.hair_length)
    albedo = tube.filled(person.hair) * weave(dice, tube, 0.10, 4 * density)
    if style in ("bob", "long"):
        # Hair hangs behind the ears; closed in front of the neck it would read as a beard.
        albedo[(np.abs(tube.around) < 1.45) & np.ones(tube.shape, bool)] = -1.0
    return Part("hair", tube, albedo)


def _brim(person: Person, size: Proportions, density: float) -> Part:
    rows, columns = max(6, int(8 * density)), max(6, int(62 * density))
    width = np.linspace(size.head * 0.8, size.head * (1.05 if person.hat == "cap" else 1.9), rows)
    tube = make_tube(columns, width, width, 0.02)
    peak = np.zeros(tube.shape)
    if person.hat == "cap":
        ahead = np.sqrt(np.clip(np.cos(tube.around), 0.0, 1.0))
        peak = np.linspace(0.0, 1.0, rows)[:, None] * ahead * size.head * 1.1
    up = np.zeros((3, *tube.shape))
    up[2] = -1.0
    tube = replace(tube, depth=tube.depth + peak, normals=up)
    return Part("brim", tube, tube.filled(person.hat_colour) * 0.85)
