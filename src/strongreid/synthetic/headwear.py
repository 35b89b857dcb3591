"""The tubes above the neck: head and face, loose hair, hats."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from strongreid.synthetic.dice import Dice
from strongreid.synthetic.skeleton import Proportions
from strongreid.synthetic.texture import weave
from strongreid.synthetic.tube import Floats, Part, Tube, make_blob, make_tube, profile
from strongreid.synthetic.wardrobe import Person


def make_head(person: Person, size: Proportions, density: float) -> list[Part]:
    """Head, loose hair and the brim of a hat."""
    dice = Dice(person.body_seed, 1)
    parts = [Part("head", head := _head_tube(size, density), _dye_head(dice, person, head, density))]
    if size.hair_length:
        parts.append(_hair(dice, person, size, density))
    if person.hat in ("cap", "sun hat"):
        parts.append(_brim(person, size, density))
    return parts


def _head_tube(size: Proportions, density: float) -> Tube:
    rows = max(6, int(30 * density))
    place = np.linspace(0.0, 1.0, rows)
    arch = np.sin(place * math.pi)
    outline = arch**0.6 * np.where(place < 0.45, 0.80 + 0.20 * place / 0.45, 1.0)
    tube = make_tube(
        max(6, int(48 * density)), size.head * 0.92 * outline, size.head * 1.12 * outline, 0.135 * size.height
    )
    # The slope of so steep an outline says little: take the normals of a ball instead.
    flat = np.sqrt(tube.normals[0] ** 2 + tube.normals[1] ** 2) + 1e-6
    upward = -np.cos(place * math.pi)[:, None] + np.zeros(tube.shape)
    normals = np.stack([tube.normals[0] / flat * arch[:, None], tube.normals[1] / flat * arch[:, None], upward])
    return replace(tube, normals=normals)


def _dye_head(dice: Dice, person: Person, tube: Tube, density: float) -> Floats:
    height, angle = tube.along + np.zeros(tube.shape), np.abs(tube.around) + np.zeros(tube.shape)
    skin, hair = np.asarray(person.skin, np.float64), np.asarray(person.hair, np.float64)
    albedo = tube.filled(person.skin)
    albedo[(np.abs(height - 0.56) < 0.035) & (np.abs(angle - 0.38) < 0.18)] *= 0.5
    albedo[(np.abs(height - 0.64) < 0.025) & (np.abs(angle - 0.38) < 0.24)] = hair * 0.6 + skin * 0.4
    albedo[(np.abs(height - 0.28) < 0.02) & (angle < 0.22)] *= (0.88, 0.68, 0.68)
    if person.glasses:
        albedo[(np.abs(height - 0.56) < 0.045) & (angle < 0.75)] = skin * 0.35 + 12
    if person.hair_style != "bald":
        # Above the brow in front, down to the ear at the side and to the neck behind: never on the jaw.
        line = np.interp(angle, (0.0, 0.75, 1.25, 1.7, 2.1), (0.80, 0.79, 0.62, 0.50, 0.22))
        if person.hair_style in ("bob", "long"):
            line = np.interp(angle, (0.0, 0.8, 1.2, 1.45), (0.79, 0.77, 0.45, 0.12))
        albedo[height > line] = hair
    if person.hat != "none":
        rim = 0.70 if person.hat != "beanie" else np.where(angle > 1.2, 0.56, 0.68)
        albedo[height > rim] = person.hat_colour
    return albedo * weave(dice, tube, 0.05, 5 * density)


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
