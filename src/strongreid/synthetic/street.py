"""Scenes: several people who walk through the views of several cameras, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from strongreid.errors import InputError
from strongreid.synthetic.body import Body
from strongreid.synthetic.camera import Camera
from strongreid.synthetic.dice import Dice, Stream
from strongreid.synthetic.film import Film, Frame
from strongreid.synthetic.passage import World, draw_passage
from strongreid.synthetic.plan import make_plan
from strongreid.synthetic.settings import WorldSettings
from strongreid.synthetic.walk import Lens, Walk, even_light
from strongreid.synthetic.wardrobe import Person

PAUSE = 60.0
"""Seconds from the last frame of one camera to the first of the next."""

_TRIES = 30
"""How many paths are tried for one that leads through no one and no furniture; in a crowd the last is taken."""

_COUNTS: dict[str, tuple[int, int | None]] = {
    "seed": (0, None), "cameras": (1, 100), "people": (1, 200), "frames": (1, 999_999),
    "width": (128, 3840), "height": (96, 2160), "fps": (1, 120),
}  # fmt: skip
_SHARES: dict[str, float] = {
    "colour_shift": 1, "lighting": 1, "look_alikes": 1, "misses": 1, "false_alarms": 100, "box_noise": 0.5,
}  # fmt: skip


@dataclass(frozen=True)
class SceneSettings:
    """Everything that a scene depends on, together with the generator's version.

    Raises:
        InputError: a value is out of range.
    """

    seed: int = 7
    """The cameras and the people are those of the generated set of the same seed."""
    cameras: int = 2
    """1 to 100. They film one after the other, and every person passes each of them once."""
    people: int = 8
    """1 to 200; person k is the k-th test person of the set."""
    frames: int = 100
    """Frames of each camera, 1 or more."""
    width: int = 1280
    """Pixels of a frame, 128 to 3840, and 0.5 to 2.5 times the height."""
    height: int = 720
    """Pixels of a frame, 96 to 2160."""
    fps: int = 25
    """Frames a second, 1 to 120."""
    colour_shift: float = 0.35
    """How far cameras disagree in white balance, gain, saturation, blur and noise; 0 (not at all) to 1."""
    lighting: float = 0.6
    """How much the light differs from one camera's film to the next; 0 to 1."""
    look_alikes: float = 0.5
    """The chance that a person is dressed like an earlier one, 0 to 1; a cluster has at most 5 people."""
    misses: float = 0.08
    """The share of people in plain view that the detector of `det.txt` misses, 0 to 1; the hidden it misses more."""
    false_alarms: float = 0.3
    """Boxes of no one that it finds in a frame on average, 0 to 100."""
    box_noise: float = 0.03
    """How far an edge of its boxes is off: the deviation as a share of the box's size along that axis, 0 to 0.5."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _COUNTS:
                least, most = _COUNTS[field.name]
                wrong = isinstance(value, bool) or not isinstance(value, int)
                if wrong or value < least or (most is not None and value > most):
                    limit = f"of {least} or more" if most is None else f"from {least} to {most}"
                    raise InputError(
                        f"{field.name} is {value!r}; allowed is a whole number {limit}. Change {field.name}."
                    )
            else:
                most_share = _SHARES[field.name]
                wrong = isinstance(value, bool) or not isinstance(value, (int, float))
                if wrong or not 0 <= value <= most_share:
                    raise InputError(
                        f"{field.name} is {value!r}; allowed is a number from 0 to {most_share}. Change {field.name}."
                    )

        if not 0.5 <= self.width / self.height <= 2.5:
            raise InputError(
                f"width is {self.width} and height {self.height}; allowed is a width of 0.5 to 2.5 times the height. "
                "Change width or height."
            )

    @property
    def world(self) -> WorldSettings:
        """The world whose cameras and test people these are."""
        return WorldSettings(
            seed=self.seed,
            cameras=max(2, self.cameras),
            colour_shift=self.colour_shift,
            lighting=self.lighting,
            look_alikes=self.look_alikes,
        )

    def start(self, camera: int) -> float:
        """Seconds from the first frame of camera 1 to the first frame of `camera`, counted from 1."""
        return (camera - 1) * (self.frames / self.fps + PAUSE)


def scene_people(settings: SceneSettings) -> list[Person]:
    """Who walks through the scene; identity k is number k - 1."""
    plan = make_plan(replace(settings.world, train_identities=1, test_identities=settings.people, distractors=0.0))
    return [subject.person for subject in plan if subject.person and subject.number > 1]


def render_scene(settings: SceneSettings | None = None) -> Iterator[Frame]:
    """All frames of camera 1, then all of camera 2, and so on; the same settings give the same pixels."""
    settings = settings or SceneSettings()
    world, people = World(settings.world, deserted=True), scene_people(settings)
    for camera in range(1, settings.cameras + 1):
        film = _film(settings, world, people, camera)
        for number in range(1, settings.frames + 1):
            dice = Dice(settings.seed, Stream.FILM_NOISE, camera, number)
            yield film.frame(number, (number - 1) / settings.fps, dice)


def _find_path(
    world: World,
    camera: Camera,
    lens: Lens,
    who: tuple[int, Person, float],
    others: list[Walk],
    seconds: float,
    dice: Dice,
) -> Walk:
    """A path through no one and no furniture; where the place is too crowded for that, one that leaves no platform.

    `who` is an identity, the person, and when they are in the middle of the path.
    """
    identity, person, middle = who
    sketch, times = Body(person, 0.1), [seconds * step / 40 for step in range(41)]
    spare: Walk | None = None
    for _ in range(_TRIES):
        walk = Walk(identity, sketch, draw_passage(world, camera, person.height, dice), lens, middle, dice)
        if all(walk.stays_on(camera.scene, time) for time in times):
            if not any(walk.bumps(time, others, camera.scene) for time in times):
                return walk
            spare = walk
    return spare or walk


def _film(settings: SceneSettings, world: World, people: list[Person], number: int) -> Film:
    camera, dice = world.camera(number), Dice(settings.seed, Stream.STREET, number)
    lens = Lens(camera, settings.width, settings.height)
    weather = even_light(draw_passage(world, camera, 1.7, dice))
    seconds, turns = settings.frames / settings.fps, list(range(len(people)))
    walks: list[Walk] = []
    for identity, person in enumerate(people, start=1):
        own = Dice(settings.seed, Stream.STREET, number, identity)
        # One after the other, each is in the middle of the walk somewhere in the film: nobody misses it.
        middle = (turns.pop(dice.below(len(turns))) + own.uniform()) / len(people) * seconds
        walk = _find_path(world, camera, lens, (identity, person, middle), walks, seconds, own)
        walk.body = Body(person, lens.density(walk.passage.pixels))
        walks.append(walk)
    return Film(camera, number, lens, weather, walks, dice)
