"""A track: any number of pictures of one passage, as a tracker would cut them from a camera's film."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from strongreid.errors import InputError
from strongreid.synthetic.body import Body
from strongreid.synthetic.camera import Pixels
from strongreid.synthetic.dice import Dice, Stream
from strongreid.synthetic.film import Film, Frame, Seen
from strongreid.synthetic.passage import PASSERS_BY, World, draw_passage
from strongreid.synthetic.plan import make_plan
from strongreid.synthetic.scene import HEIGHT, WIDTH
from strongreid.synthetic.settings import WorldSettings
from strongreid.synthetic.walk import Lens, Walk, even_light

_COMPANIONS = 4  # other people who may walk through the same view
_TRIES = 8  # paths drawn for each of them, until one leaves no platform
_LONGEST = 60.0  # seconds that someone who stands still is filmed


@dataclass(frozen=True)
class SequenceFrame:
    """One picture of a track."""

    identity: int
    camera: int
    number: int
    """From 1."""
    seconds: float
    """Since the first picture."""
    pixels: Pixels
    """(height, width, 3)."""
    phase: float
    """Of the step, in radians: grows by the same amount from picture to picture; a double step is 2 pi."""
    place: tuple[float, float]
    """Metres to the right of the camera's axis, and ahead: on a straight line, evenly."""
    yaw: float
    """Degrees in [0, 360), as seen: 0 walks towards the camera, 90 to the right."""
    visibility: float
    """The share of the person that is seen, 0 to 1."""
    box: tuple[int, int, int, int]
    """Left, top, width and height in the camera's frame, from which the picture is cut."""


def sequence(
    settings: WorldSettings | None = None, identity: int = 1, camera: int = 1, *, frames: int = 25, fps: float = 25.0
) -> Iterator[SequenceFrame]:
    """`frames` pictures of the passage of a labelled person past a camera, the one of which the set has a few.

    They are `1 / fps` seconds apart; where the person would have left the view before the last, they are closer.
    Other people of the world walk by, the more the higher `settings.occlusion`, and come in front as depth has it.

    Raises:
        InputError: no such identity or camera, or no frames.
    """
    settings = settings or WorldSettings()
    _check(settings, identity, camera, frames, fps)
    world = World(settings, deserted=True)
    person = next(subject.person for subject in make_plan(settings) if subject.number == identity)
    assert person is not None, "labelled people come first in the plan"
    spot = world.camera(camera)
    lens = Lens(spot, WIDTH, HEIGHT)
    passage = draw_passage(world, spot, person.height, Dice(settings.seed, Stream.TRACK, identity, camera, 0))
    dice = Dice(settings.seed, Stream.COMPANIONS, identity, camera)
    walk = Walk(identity, Body(person, lens.density(passage.pixels)), passage, lens, 0.0, dice)
    film = Film(spot, camera, lens, even_light(passage), [walk, *_companions(world, walk, lens, dice)], dice)
    first, last = _stay(walk)
    # Of someone who is well inside for an instant only, the pictures are closer than that, not the same.
    last = max(last, first + 0.2)
    apart = min(1.0 / fps, (last - first) / max(1, frames - 1))
    first = min(max(first, -apart * (frames - 1) / 2), last - apart * (frames - 1))
    for number in range(frames):
        seconds = first + number * apart
        grain = Dice(settings.seed, Stream.FILM_NOISE, identity, camera, number)
        frame = film.frame(number + 1, seconds, grain)
        yield _cut(frame, walk, seconds, number * apart, settings)


def _check(settings: WorldSettings, identity: int, camera: int, frames: int, fps: float) -> None:
    labelled = settings.train_identities + settings.test_identities
    for name, value, most in (("identity", identity, labelled), ("camera", camera, settings.cameras)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise InputError(f"{name} is {value!r}; allowed is a whole number from 1 to {most}. Change {name}.")
    if isinstance(frames, bool) or not isinstance(frames, int) or frames < 1:
        raise InputError(f"frames is {frames!r}; allowed is a whole number of 1 or more. Change frames.")
    if not 0 < fps < math.inf:
        raise InputError(f"fps is {fps!r}; allowed is a number above 0. Change fps.")


def _companions(world: World, walk: Walk, lens: Lens, dice: Dice) -> list[Walk]:
    """Passers-by with walks of their own at about the same time; their identities are negative."""
    walks = []
    for number in range(1, _COMPANIONS + 1):
        who, when = dice.below(PASSERS_BY), dice.uniform(-2.0, 2.0)
        if dice.chance(min(1.0, 1.5 * world.settings.occlusion)):
            body = world.passer_by(who)
            scene = walk.passage.camera.scene
            for _ in range(_TRIES):
                passage = draw_passage(world, walk.passage.camera, body.person.height, dice)
                other = Walk(-number, body, passage, lens, when, dice)
                if all(other.stays_on(scene, when + step) for step in range(-8, 9)):
                    walks.append(other)
                    break
    return walks


def _stay(walk: Walk) -> tuple[float, float]:
    """From when to when the walker is well inside the frame and on good ground, in seconds of the walk."""
    scene = walk.passage.camera.scene

    def fits(seconds: float) -> bool:
        footing = walk.at(seconds)
        return walk.inside(footing) and scene.walkable(footing.x, footing.z)

    around = sorted(np.arange(-100, 101) * 0.1, key=abs)
    start = next((float(seconds) for seconds in around if fits(float(seconds))), None)
    if start is None:  # never from head to foot
        return -0.4, 0.4
    ends = []
    for step in (-0.1, 0.1):
        seconds = start
        while abs(seconds - start) < _LONGEST / 2 and fits(seconds + step):
            seconds += step
        ends.append(seconds)
    return ends[0], ends[1]


def _cut(frame: Frame, walk: Walk, seconds: float, since: float, settings: WorldSettings) -> SequenceFrame:
    footing = walk.at(seconds)
    seen = next(seen for seen in frame.people if seen.identity == walk.identity)
    box = _widen(seen, settings.width / settings.height, frame.pixels)
    left, top, width, height = box
    piece = Image.fromarray(np.ascontiguousarray(frame.pixels[top : top + height, left : left + width]))
    pixels = np.asarray(piece.resize((settings.width, settings.height), Image.Resampling.BILINEAR))
    return SequenceFrame(
        identity=walk.identity,
        camera=frame.camera,
        number=frame.number,
        seconds=since,
        pixels=pixels,
        phase=footing.stance.phase,
        place=(footing.x, footing.z),
        yaw=round(math.degrees(footing.yaw) % 360.0, 1) % 360.0,
        visibility=seen.visibility,
        box=box,
    )


def _widen(seen: Seen, aspect: float, pixels: Pixels) -> tuple[int, int, int, int]:
    """The box with a little air, at least nearly as wide as the picture's shape wants, within the frame."""
    tall = round(1.04 * seen.height)
    wide = max(round(1.04 * seen.width), round(0.85 * aspect * tall))
    left, top = seen.left + (seen.width - wide) // 2, seen.top + (seen.height - tall) // 2
    right, bottom = min(left + wide, pixels.shape[1]), min(top + tall, pixels.shape[0])
    left, top = max(0, left), max(0, top)
    return left, top, right - left, bottom - top
