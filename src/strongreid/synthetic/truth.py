"""What is true about each picture of the generated set: who, from which side, how much of them, in which clothes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, Protocol

import numpy as np

from strongreid.synthetic.body import Body
from strongreid.synthetic.camera import Pixels
from strongreid.synthetic.passage import World
from strongreid.synthetic.patterns import shows_third_colour
from strongreid.synthetic.plan import DISTRACTOR, JUNK, Shot, Subject, draw_everyone, make_plan
from strongreid.synthetic.settings import WorldSettings
from strongreid.synthetic.skeleton import JOINTS
from strongreid.synthetic.take import Sitting, take
from strongreid.synthetic.trace import Mask, Trace
from strongreid.synthetic.tube import Floats
from strongreid.synthetic.wardrobe import OPEN_FRONTED, SKIRTED, BottomPattern, Colour, Outfit, Person, wears_hood

Viewpoint = Literal["front", "right", "back", "left"]

JOINT_NAMES = tuple(JOINTS)
"""The rows of `Truth.joints`; right and left are the person's own."""

_TOGETHER = 32  # pictures made side by side: of 128x64 they take 18 MB, and more save no more time

_NAMES: dict[Colour, str] = {
    (30, 30, 34): "black", (62, 63, 67): "grey", (120, 122, 126): "grey", (174, 176, 180): "grey",
    (228, 228, 224): "white", (42, 50, 80): "blue", (74, 101, 146): "blue", (32, 90, 160): "blue",
    (124, 166, 202): "blue", (146, 42, 46): "red", (190, 60, 60): "red", (64, 77, 54): "green",
    (66, 132, 92): "green", (120, 160, 90): "green", (56, 119, 128): "teal", (186, 171, 142): "beige",
    (225, 205, 170): "beige", (110, 78, 54): "brown", (74, 50, 33): "brown", (212, 190, 80): "yellow",
    (208, 118, 58): "orange", (208, 126, 150): "pink", (158, 66, 106): "pink", (100, 66, 118): "purple",
}  # fmt: skip
_KNOWN, _KNOWN_NAMES = np.array(list(_NAMES)).T, list(_NAMES.values())
COLOUR_NAMES = tuple(dict.fromkeys(_NAMES.values()))
"""All names that a colour can have."""


@dataclass(frozen=True)
class Truth:
    """What is true about the person in one picture."""

    subject: int
    """Who it is, also in junk (identity -1) and of strangers (identity 0)."""
    track: str
    """The passage past a camera; pictures of one passage share it."""
    moment: int
    """Which picture of the passage, from 0; phase and place move on evenly with it."""
    phase: float
    """Of the step, in radians; a whole double step is 2 pi."""
    yaw: float
    """Degrees in [0, 360): 0 walks towards the camera, 90 to the right of the picture, 180 away."""
    covered: float
    """The share of the body inside the picture that somebody or something in front hides, 0 to 1."""
    cut_off: float
    """The share of the body outside the picture, 0 to 1."""
    occlusion: float
    """The share of the whole body that is not to be seen, for either reason, 0 to 1."""
    person: Person
    mask: Mask | None = None
    """(height, width): the pixels that show the person; None unless asked for."""
    joints: Floats | None = None
    """(j, 2): x and y in pixels of each of `JOINT_NAMES`, also outside the picture; None unless asked for."""
    joints_visible: Mask | None = None
    """(j,): the joint is inside the picture, and neither hidden by something nor by the person's own body."""

    @property
    def viewpoint(self) -> Viewpoint:
        """The nearest of four: the side of the person that the camera sees."""
        sides: tuple[Viewpoint, ...] = ("front", "right", "back", "left")
        return sides[int((self.yaw + 45.0) // 90.0) % 4]


@dataclass(frozen=True)
class TrueImage:
    """One picture with its truth."""

    shot: Shot
    """Split, identity, camera, frame and file."""
    pixels: Pixels
    """(height, width, 3)."""
    truth: Truth | None
    """None for a false alarm, which shows no one."""


class WithTruth(Protocol):
    """A `TrueImage`, or any other that carries a truth."""

    @property
    def truth(self) -> Truth | None:
        """None for a false alarm."""


def images_with_truth(
    settings: WorldSettings | None = None, *, masks: bool = False, joints: bool = False
) -> Iterator[TrueImage]:
    """The pictures of `dataset.images`, in the same order and with the same pixels, each with its truth."""
    settings = settings or WorldSettings()
    world = World(settings)
    return observe(world, make_plan(settings), masks=masks, joints=joints)


def observe(
    world: World, subjects: Iterable[Subject], *, masks: bool = False, joints: bool = False
) -> Iterator[TrueImage]:
    """All pictures of some subjects with their truth, in order; some are made side by side, ahead of the first."""
    waiting = _sit(world, subjects)
    while sittings := list(islice(waiting, _TOGETHER)):
        traces = [Trace() for _ in sittings]
        pictures = take(world, sittings, traces)
        for (subject, body, shot), pixels, trace in zip(sittings, pictures, traces, strict=True):
            size = (pixels.shape[1], pixels.shape[0])
            yield TrueImage(shot, pixels, _tell(trace, subject, shot, size, masks, joints) if body else None)


def _sit(world: World, subjects: Iterable[Subject]) -> Iterator[Sitting]:
    for subject in subjects:
        body = Body(subject.person, world.density) if subject.person else None
        for shot in subject.shots:
            yield Sitting(subject, body, shot)


def _tell(trace: Trace, subject: Subject, shot: Shot, size: tuple[int, int], masks: bool, joints: bool) -> Truth:
    whole, inside, seen = trace.areas()
    places, visible = trace.joints(size) if joints else (None, None)
    pose = trace.posed
    return Truth(
        subject=subject.number,
        track=track_of(subject, shot),
        moment=shot.moment,
        phase=pose.stance.phase,
        yaw=round(math.degrees(pose.yaw) % 360.0, 1) % 360.0,
        covered=round(1 - seen / inside, 4) if inside else 0.0,
        cut_off=round(1 - inside / whole, 4) if whole else 1.0,
        occlusion=round(1 - seen / whole, 4) if whole else 1.0,
        person=pose.body.person,
        mask=trace.mask(size) if masks else None,
        joints=places,
        joints_visible=visible,
    )


def track_of(subject: Subject, shot: Shot) -> str:
    """The name of the passage a picture is of: subject and camera, and of strangers the frame too."""
    name = f"{subject.number:04d}_c{shot.camera}"
    return name if shot.identity > 0 or shot.identity == JUNK else f"{name}_{shot.frame:06d}"


def describe(image: WithTruth) -> dict[str, Any]:
    """Everything about a picture, ready for JSON; the mask, a picture itself, stays out.

    A false alarm has None as its subject, and nothing more.
    """
    told = label(image.truth)
    return told if image.truth is None else {**told, "attributes": attributes(image.truth.person)}


def label(truth: Truth | None) -> dict[str, Any]:
    """What a manifest's row says about a picture; what its person wears is told once, in `tell_people`."""
    if truth is None:
        return {"subject": None}
    told: dict[str, Any] = {
        "subject": truth.subject,
        "track": truth.track,
        "moment": truth.moment,
        "yaw": truth.yaw,
        "viewpoint": truth.viewpoint,
        "occlusion": truth.occlusion,
        "covered": truth.covered,
        "cut_off": truth.cut_off,
    }
    if truth.joints is not None and truth.joints_visible is not None:
        told["joints"] = {
            name: [round(float(x), 1), round(float(y), 1), bool(seen)]
            for name, (x, y), seen in zip(JOINT_NAMES, truth.joints, truth.joints_visible, strict=True)
        }
    return told


def tell_people(settings: WorldSettings) -> Iterator[dict[str, Any]]:
    """A manifest's table of people, a row each, ready for JSON: subject, identity in file names, and attributes."""
    labelled = settings.train_identities + settings.test_identities
    for number, person in draw_everyone(settings):
        identity = number if number <= labelled else DISTRACTOR
        yield {"subject": number, "identity": identity, **attributes(person)}


def attributes(person: Person) -> dict[str, str | bool | float]:
    """What can be said about a person's looks, ready for JSON: what they wear and carry, hair, and build.

    Neither gender nor skin is among it: no label of this set invites a model to tell them. A colour is one of
    `COLOUR_NAMES`; that of a thing which is not there is "none".
    """
    outfit = person.outfit
    dress = outfit.bottom == "dress"
    opens = outfit.top in OPEN_FRONTED and outfit.worn_open
    under = opens or outfit.top == "vest"  # the sleeves beside a vest are those of what is under it
    return {
        "top": outfit.top,
        "top_colour": name_colour(outfit.top_colour),
        "top_pattern": outfit.pattern,
        "second_colour": "none" if outfit.pattern == "plain" else name_colour(outfit.second_colour),
        "third_colour": name_colour(outfit.third_colour) if shows_third_colour(outfit) else "none",
        "worn_open": opens,
        "under_colour": name_colour(outfit.shirt_colour) if under else "none",
        "bottom": outfit.bottom,
        "bottom_colour": name_colour(outfit.top_colour if dress else outfit.bottom_colour),
        "bottom_pattern": _bottom_pattern(outfit),
        "trim_colour": "none" if _bottom_pattern(outfit) == "plain" else name_colour(outfit.trim_colour),
        "shoes": "boots" if person.boots else person.shoes,
        "shoe_colour": name_colour(person.shoe_colour),
        "bag": person.bag,
        "bag_colour": "none" if person.bag == "none" else name_colour(person.bag_colour),
        "hat": person.hat,
        "hat_colour": "none" if person.hat == "none" else name_colour(person.hat_colour),
        "hood_up": wears_hood(person),
        "scarf": person.scarf,
        "scarf_colour": name_colour(person.scarf_colour) if person.scarf else "none",
        "hair": person.hair_style,
        "hair_colour": "none" if person.hair_style == "bald" else name_colour(person.hair),
        "glasses": person.glasses,
        "build": "slim" if person.weight < -0.6 else "heavy" if person.weight > 0.8 else "average",
        "height": round(person.height, 2),
    }


def _bottom_pattern(outfit: Outfit) -> BottomPattern:
    """The pattern that is seen: some are cut for legs only, or for skirts only."""
    wasted = ("side stripe", "panels") if outfit.bottom in SKIRTED else ("hem",)
    return "plain" if outfit.bottom == "dress" or outfit.bottom_pattern in wasted else outfit.bottom_pattern


def name_colour(colour: Colour) -> str:
    """The name of the nearest of some two dozen colours."""
    red, green, blue = (known - part for known, part in zip(_KNOWN, colour, strict=True))
    # Squared; differences of hue weigh more than those of brightness.
    differences = red * red + green * green + blue * blue + 2 * ((red - green) ** 2 + (green - blue) ** 2)
    return _KNOWN_NAMES[int(differences.argmin())]
