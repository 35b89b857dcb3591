"""What can be chosen about a generated world, checked at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

from strongreid.errors import InputError

_LEAST: dict[str, int] = {
    "seed": 0, "train_identities": 1, "test_identities": 1, "cameras": 2,
    "height": 32, "width": 16, "frames_min": 2, "frames_max": 2,
}  # fmt: skip
_MOST: dict[str, int] = {"cameras": 100, "height": 1024, "width": 512, "frames_max": 90}


@dataclass(frozen=True)
class WorldSettings:
    """Everything that a generated set depends on, together with the generator's version.

    Raises:
        InputError: a value is out of range.
    """

    seed: int = 7
    """Another seed is another world: other people, other cameras, other scenes."""
    train_identities: int = 400
    """People in the training split, 1 or more."""
    test_identities: int = 120
    """People in query and gallery, 1 or more; none of them is in the training split."""
    cameras: int = 6
    """2 or more."""
    height: int = 128
    """Pixels of a picture, 32 or more."""
    width: int = 64
    """Pixels of a picture, 16 or more, and at most the height."""
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
    look_alikes: float = 0.5
    """The chance that a person is dressed like an earlier one, 0 to 1; a cluster has at most 5 people."""
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
        if self.width > self.height:
            raise InputError(
                f"width is {self.width}; allowed is up to the height, {self.height}. Lower width or raise height."
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
