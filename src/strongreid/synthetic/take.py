"""From the plan to a picture: which passage a shot belongs to, and which draws are its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from strongreid.synthetic.body import Body
from strongreid.synthetic.camera import Pixels
from strongreid.synthetic.capture import Making, finish, photograph, photograph_nobody
from strongreid.synthetic.dice import Dice, Stream
from strongreid.synthetic.passage import Passage, World
from strongreid.synthetic.plan import JUNK, Shot, Subject
from strongreid.synthetic.trace import Trace


class Sitting(NamedTuple):
    """A picture to be made."""

    subject: Subject
    body: Body | None
    """Of the subject; None for a false alarm."""
    shot: Shot


def take(world: World, sittings: Sequence[Sitting], traces: Sequence[Trace] | None = None) -> list[Pixels]:
    """(height, width, 3) each: the pictures, made side by side.

    `traces`, one a picture, take note of where the person is in it.
    """
    noted: Sequence[Trace | None] = traces or [None] * len(sittings)
    return finish(_begin(world, *sitting, trace) for sitting, trace in zip(sittings, noted, strict=True))


def _begin(world: World, subject: Subject, body: Body | None, shot: Shot, trace: Trace | None) -> Making:
    seed = world.settings.seed
    if body is None:
        dice = Dice(seed, Stream.SHOT, subject.number, shot.camera, shot.frame)
        return photograph_nobody(world, world.camera(shot.camera), dice)
    junk = shot.identity == JUNK
    stream = Stream.JUNK if junk else Stream.SHOT
    dice = Dice(seed, stream, subject.number, shot.camera, shot.frame)
    return photograph(world, body, passage_of(world, subject, shot), shot.moment, dice, junk=junk, trace=trace)


def passage_of(world: World, subject: Subject, shot: Shot) -> Passage:
    """A labelled person passes a camera once; each picture of a stranger is of another passage."""
    if subject.person is None:
        raise ValueError("a false alarm shows no one who could pass")
    turn = 0 if shot.identity else shot.frame
    return world.passage((subject.number, shot.camera, turn), subject.person.height)
