"""Which pictures a world has, before any is rendered: who is seen where, and every file's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from strongreid.synthetic.dice import Dice, Stream
from strongreid.synthetic.settings import WorldSettings
from strongreid.synthetic.wardrobe import Person, draw_people, draw_person

Split = Literal["bounding_box_train", "query", "bounding_box_test"]
SPLITS: tuple[Split, ...] = ("bounding_box_train", "query", "bounding_box_test")
JUNK = -1
DISTRACTOR = 0

_FALSE_ALARMS = 0.35
"""The share of distractors that show no one at all."""

_PICTURES_PER_STRANGER = 4


@dataclass(frozen=True)
class Shot:
    """One picture to take."""

    split: Split
    identity: int
    """As in the file name: -1 is junk, 0 a distractor."""
    camera: int
    """From 1."""
    frame: int
    name: str
    moment: int = 0
    """Which picture of the passage, from 0."""

    @property
    def file(self) -> str:
        """Path inside the set's folder."""
        return f"{self.split}/{self.name}"


@dataclass(frozen=True)
class Subject:
    """A person and all pictures of them; no person for a false alarm of the detector."""

    number: int
    """The identity of a labelled person; strangers go on counting where these end."""
    person: Person | None
    shots: tuple[Shot, ...]


def make_plan(settings: WorldSettings) -> list[Subject]:
    """Everyone in the world with their pictures: training people, test people, strangers, false alarms."""
    seed = settings.seed
    train = draw_people(Dice(seed, Stream.TRAIN_PEOPLE), settings.train_identities, settings.look_alikes)
    test = draw_people(Dice(seed, Stream.TEST_PEOPLE), settings.test_identities, settings.look_alikes)
    subjects: list[Subject] = []
    for number, person in enumerate((*train, *test), start=1):
        shots = _plan_visits(settings, number, testing=number > len(train))
        subjects.append(Subject(number, person, tuple(shots)))
    matches = [shot for subject in subjects for shot in subject.shots if shot.split == "bounding_box_test"]
    count = round(settings.distractors * sum(shot.identity > 0 for shot in matches))
    return [*subjects, *_plan_distractors(settings, count)]


def _name(identity: int, camera: int, frame: int, box: int) -> str:
    who = "-1" if identity == JUNK else f"{identity:04d}"
    return f"{who}_c{camera}s1_{frame:06d}_{box:02d}.jpg"


def _plan_visits(settings: WorldSettings, identity: int, testing: bool) -> list[Shot]:
    """The pictures of one person: a passage past each of two or more cameras."""
    dice = Dice(settings.seed, Stream.VISITS, identity)
    cameras = {c for c in range(1, settings.cameras + 1) if dice.chance(settings.camera_visibility)}
    while len(cameras) < 2:
        cameras.add(1 + dice.below(settings.cameras))
    shots: list[Shot] = []
    for camera in sorted(cameras):
        count = settings.frames_min + dice.below(settings.frames_max - settings.frames_min + 1)
        start, step, chosen = dice.below(90000), dice.pick((6, 12, 25)), dice.below(count)
        for moment in range(count):
            frame = start + moment * step
            asked = testing and moment == chosen
            split: Split = "query" if asked else "bounding_box_test" if testing else "bounding_box_train"
            name = _name(identity, camera, frame, 0 if asked else moment + 1)
            shots.append(Shot(split, identity, camera, frame, name, moment))
        if testing and dice.chance(settings.junk):
            # Names of junk carry no identity: the person's number keeps the frames of two people apart.
            frame = identity * 25 + dice.below(25)
            shots.append(Shot("bounding_box_test", JUNK, camera, frame, _name(JUNK, camera, frame, 1), 1))
    return shots


def _plan_distractors(settings: WorldSettings, count: int) -> list[Subject]:
    """`count` pictures of strangers, about four each, and of no one."""
    dice = Dice(settings.seed, Stream.DISTRACTORS)
    false_alarms = round(count * _FALSE_ALARMS)
    shots = []
    for serial in range(count):
        camera, frame = 1 + dice.below(settings.cameras), serial * 25 + dice.below(25)
        name = _name(DISTRACTOR, camera, frame, 1)
        shots.append(Shot("bounding_box_test", DISTRACTOR, camera, frame, name))
    number = settings.train_identities + settings.test_identities + 1
    subjects = [Subject(number, None, tuple(shots[:false_alarms]))] if false_alarms else []
    for start in range(false_alarms, count, _PICTURES_PER_STRANGER):
        number += 1
        person = draw_person(Dice(settings.seed, Stream.STRANGERS, number), number)
        subjects.append(Subject(number, person, tuple(shots[start : start + _PICTURES_PER_STRANGER])))
    return subjects
