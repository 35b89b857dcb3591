"""What can be chosen about a generated world, checked at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from strongreid.errors import InputError

_LEAST: dict[str, int] = {
    "seed": 0, "train_identities": 1, "test_identities": 1, "cameras": 2, "cluster_cap": 1,
    "height": 32, "width": 16, "frames_min": 2, "frames_max": 2,
}  # fmt: skip
# Names have two digits for the picture of a passage; seeds and identities stay below the numbers of a stream.
_MOST: dict[str, int] = {
    "seed": 2**32 - 1, "train_identities": 100_000_000, "test_identities": 100_000_000,
    "cameras": 100, "height": 1024, "width": 512, "frames_max": 90,
}  # fmt: skip
_SLENDEREST = 24  # the most times that a picture may be higher than wide


@dataclass(frozen=True)
class WorldSettings:
    """Everything that a generated set depends on, together with the generator's version.

    Raises:
        InputError: a value is out of range.
    """

    seed: int = 7
    """Another seed is another world: other people, other cameras, other scenes; 0 to 4294967295."""
    train_identities: int = 400
    """People in the training split, 1 or more."""
    test_identities: int = 120
    """People in query and gallery, 1 or more; none of them is in the training split."""
    cameras: int = 6
    """2 or more."""
    height: int = 128
    """Pixels of a picture, 32 to 1024."""
    width: int = 64
    """Pixels of a picture, 16 to 512; at most the height, at least a 24th of it."""
    frames_min: int = 2
    """The fewest pictures of one person by one camera: 2 or more, since one test picture is the query."""
    frames_max: int = 5
    """The most pictures of one person by one camera."""
    camera_visibility: float = 0.7
    """The chance that a person walks past a given camera, 0 to 1; everybody walks past two or more."""
    colour_shift: float = 0.35
    """How far cameras disagree in white balance, gain, saturation, blur and noise; 0 (not at all) to 1."""
    lighting: float = 0.6
    """How much the light changes from one passage to the next and falls in patches; 0 to 1."""
    occlusion: float = 0.18
    """The chance that another person stands in front, 0 to 1; for street furniture it is 0.9 of that."""
    bad_boxes: float = 0.12
    """The chance that the detector's box is cut off or off centre, 0 to 1."""
    clothing: float = 1.0
    """The share of people in clothes of every kind and pattern, 0 to 1; others wear plain sweaters and trousers."""
    look_alikes: float = 0.5
    """The chance that a person is dressed like an earlier one, 0 to 1."""
    cluster_cap: int = 5
    """The most people who look alike, the original included, 1 or more; 1 means that nobody does."""
    distractors: float = 0.3
    """Gallery pictures of nobody in the test split, per gallery picture of somebody; 0 to 5."""
    junk: float = 0.35
    """The chance that a test person's passage also leaves a badly cut, unscored picture, 0 to 1."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _LEAST:
                self._check_count(field.name, value)
            else:
                self._check_share(field.name, value)
                object.__setattr__(self, field.name, float(value))  # 0 and 0.0 are the same world
        if self.width > self.height:
            raise InputError(
                f"width is {self.width}; allowed is up to the height, {self.height}. Lower width or raise height."
            )
        if self.width * _SLENDEREST < self.height:
            raise InputError(
                f"width is {self.width}; allowed is {-(-self.height // _SLENDEREST)} or more, a {_SLENDEREST}th of "
                f"the height, {self.height}. Raise width or lower height."
            )
        if self.frames_max < self.frames_min:
            raise InputError(
                f"frames_max is {self.frames_max}; allowed is frames_min, {self.frames_min}, or more. "
                "Raise frames_max or lower frames_min."
            )

    def _check_count(self, name: str, value: object) -> None:
        least, most = _LEAST[name], _MOST.get(name)
        wrong = isinstance(value, bool) or not isinstance(value, int)
        if wrong or not isinstance(value, int) or value < least or (most is not None and value > most):
            limit = f"from {least} to {most}" if most is not None else f"of {least} or more"
            raise InputError(f"{name} is {value!r}; allowed is a whole number {limit}. Change {name}.")

    def _check_share(self, name: str, value: object) -> None:
        most = 5 if name == "distractors" else 1
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
            raise InputError(f"{name} is {value!r}; allowed is a number from 0 to {most}. Change {name}.")


PRESETS: dict[str, dict[str, Any]] = {
    "easy": {
        "colour_shift": 0.1, "lighting": 0.2, "occlusion": 0.0, "bad_boxes": 0.0,
        "look_alikes": 0.0, "distractors": 0.0, "junk": 0.0,
    },
    "default": {},
    "hard": {
        "cameras": 8, "colour_shift": 0.55, "lighting": 0.9, "occlusion": 0.3, "bad_boxes": 0.25,
        "look_alikes": 0.8, "cluster_cap": 8, "distractors": 1.0, "junk": 0.5,
    },
    "occluded": {"occlusion": 0.7, "bad_boxes": 0.3},
}  # fmt: skip
"""What each preset changes: `easy` for a first look, `hard` beyond most real sets, `occluded` for hidden people."""


def preset(name: str, **changes: Any) -> WorldSettings:
    """The settings of a preset, with `changes` made to them.

    Raises:
        InputError: there is no such preset or setting, or a value is out of range.
    """
    if name not in PRESETS:
        raise InputError(f"preset is {name!r}; allowed is {', '.join(PRESETS)}. Change preset.")
    return settings_from({**asdict(WorldSettings()), **PRESETS[name], **changes})


def settings_from(values: dict[str, Any]) -> WorldSettings:
    """The settings that a table such as a manifest's holds, which must name every one.

    Raises:
        InputError: a setting is unknown, missing or out of range.
    """
    names = [field.name for field in fields(WorldSettings)]
    if wrong := sorted(values.keys() ^ set(names)):
        what = ", ".join(f"{name} is {'missing' if name in names else 'unknown'}" for name in wrong)
        raise InputError(f"{what}; the settings are {', '.join(names)}.")
    return WorldSettings(**values)
