"""From the plan to a picture: which passage a shot belongs to, and which draws are its own."""

from __future__ import annotations

from strongreid.synthetic.body import Body
from strongreid.synthetic.camera import Pixels
from strongreid.synthetic.capture import photograph, photograph_nobody
from strongreid.synthetic.dice import Dice, Stream
from strongreid.synthetic.passage import Passage, World
from strongreid.synthetic.plan import JUNK, Shot, Subject
from strongreid.synthetic.trace import Trace


def take(world: World, subject: Subject, body: Body | None, shot: Shot, trace: Trace | None = None) -> Pixels:
    """(height, width, 3): the picture of a shot; `trace` takes note of where the person is in it."""
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
