"""Which pictures a world has, before any is rendered: who is seen where, and every file's name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from strongreid.synthetic.crowd import draw_endlessly, draw_people
from strongreid.synthetic.dice import Dice, Stream
from strongreid.synthetic.settings import WorldSettings
from strongreid.synthetic.wardrobe import Person, draw_person, dress_plainly

Split = Literal["bounding_box_train", "query", "bounding_box_test"]
SPLITS: tuple[Split, ...] = ("bounding_box_train", "query", "bounding_box_test")
JUNK = -1
DISTRACTOR = 0

_FALSE_ALARMS = 0.35
"""The share of distractors that show no one at all."""

_PICTURES_PER_STRANGER = 4

_FALSE_ALARMS_TOGETHER = 64

_PICTURES_PER_TASK = 32
"""Few, so that at the end no process works on for long when the others have nothing left."""

_ENDLESS = 2**31
"""Numbers of an endless row start here, so that its people share no passage with those of a set."""


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
    """The identity of a labelled person; false alarms and strangers go on counting where these end."""
    person: Person | None
    shots: tuple[Shot, ...]


def make_plan(settings: WorldSettings, first: int = 1, last: int | None = None) -> Iterator[Subject]:
    """Everyone in the world with their pictures: training people, test people, false alarms, strangers.

    With `first` and `last` only the subjects whose numbers lie between, both included. False alarms are number
    train_identities + test_identities + 1, strangers follow. Nothing is kept of those who went by but the people
    that look-alikes may still copy.
    """
    labelled = settings.train_identities + settings.test_identities
    for number, person in _draw_labelled(settings, first, labelled if last is None else last):
        testing = number > settings.train_identities
        yield Subject(number, person, tuple(_plan_visits(settings, number, number, testing)))
    if last is None or last > labelled:
        for subject in _plan_distractors(settings):
            if subject.number >= first and (last is None or subject.number <= last):
                yield subject


def count_pictures(settings: WorldSettings) -> int:
    """How many pictures `make_plan` has, without drawing the people."""
    labelled = settings.train_identities + settings.test_identities
    visits = (
        _plan_visits(settings, number, number, testing=number > settings.train_identities)
        for number in range(1, labelled + 1)
    )
    return sum(map(len, visits)) + _count_distractors(settings)


def draw_everyone(settings: WorldSettings) -> Iterator[tuple[int, Person]]:
    """The numbers and people of `make_plan`, without their pictures."""
    labelled = settings.train_identities + settings.test_identities
    yield from _draw_labelled(settings, 1, labelled)
    count = _count_distractors(settings)
    strangers = -(-(count - _count_false_alarms(count)) // _PICTURES_PER_STRANGER)
    for number in range(labelled + 2, labelled + 2 + strangers):
        yield number, _draw_stranger(settings, number)


def plan_endlessly(settings: WorldSettings, start: int, step: int) -> Iterator[Subject]:
    """Training people number start, start + step, ... of a row without end."""
    for number, person in draw_endlessly(settings, start, step):
        shots = _plan_visits(settings, number, _ENDLESS + number, testing=False)
        yield Subject(_ENDLESS + number, person, tuple(shots))


def in_tasks(subjects: Iterable[Subject]) -> Iterator[list[Subject]]:
    """The subjects in groups that are worth sending to another process."""
    task: list[Subject] = []
    pictures = 0
    for subject in subjects:
        task.append(subject)
        pictures += len(subject.shots)
        if pictures >= _PICTURES_PER_TASK:
            yield task
            task, pictures = [], 0
    if task:
        yield task


def _draw_labelled(settings: WorldSettings, first: int, last: int) -> Iterator[tuple[int, Person]]:
    """Numbers and people of both splits, from `first` to `last`."""
    start = 1
    for stream, count in (
        (Stream.TRAIN_PEOPLE, settings.train_identities),
        (Stream.TEST_PEOPLE, settings.test_identities),
    ):
        if first < start + count and last >= start:
            needed = min(count, last - start + 1)
            dice = Dice(settings.seed, stream)
            people = draw_people(dice, needed, settings.look_alikes, settings.cluster_cap)
            for number, person in enumerate(people, start=start):
                if number >= first:
                    yield number, dress_plainly(person, settings.clothing)
        start += count


def _name(identity: int, camera: int, frame: int, box: int) -> str:
    who = "-1" if identity == JUNK else f"{identity:04d}"
    return f"{who}_c{camera}s1_{frame:06d}_{box:02d}.jpg"


def _plan_visits(settings: WorldSettings, identity: int, number: int, testing: bool) -> list[Shot]:
    """The pictures of one person: a passage past each of two or more cameras; `number` is the subject's."""
    dice = Dice(settings.seed, Stream.VISITS, number)
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


def _count_distractors(settings: WorldSettings) -> int:
    """The wanted share of the gallery's pictures of somebody; these are planned only to be counted."""
    if not settings.distractors:
        return 0
    matches = 0
    for number in range(settings.train_identities + 1, settings.train_identities + settings.test_identities + 1):
        shots = _plan_visits(settings, number, number, testing=True)
        matches += sum(shot.split == "bounding_box_test" and shot.identity > 0 for shot in shots)
    return round(settings.distractors * matches)


def _plan_distractors(settings: WorldSettings) -> Iterator[Subject]:
    """Pictures of no one, then pictures of strangers, about four each."""
    count = _count_distractors(settings)
    dice = Dice(settings.seed, Stream.DISTRACTORS)
    false_alarms = _count_false_alarms(count)

    def draw(start: int, stop: int) -> tuple[Shot, ...]:
        shots = []
        for serial in range(start, stop):
            camera, frame = 1 + dice.below(settings.cameras), serial * 25 + dice.below(25)
            name = _name(DISTRACTOR, camera, frame, 1)
            shots.append(Shot("bounding_box_test", DISTRACTOR, camera, frame, name))
        return tuple(shots)

    number = settings.train_identities + settings.test_identities + 1
    for start in range(0, false_alarms, _FALSE_ALARMS_TOGETHER):
        yield Subject(number, None, draw(start, min(start + _FALSE_ALARMS_TOGETHER, false_alarms)))
    for start in range(false_alarms, count, _PICTURES_PER_STRANGER):
        number += 1
        shots = draw(start, min(start + _PICTURES_PER_STRANGER, count))
        yield Subject(number, _draw_stranger(settings, number), shots)


def _draw_stranger(settings: WorldSettings, number: int) -> Person:
    person = draw_person(Dice(settings.seed, Stream.STRANGERS, number), number)
    return dress_plainly(person, settings.clothing)


def _count_false_alarms(distractors: int) -> int:
    return round(distractors * _FALSE_ALARMS)
