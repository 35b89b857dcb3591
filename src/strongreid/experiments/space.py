"""The space of a search: which settings may vary, and how."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from strongreid.config import Config
from strongreid.errors import InputError
from strongreid.experiments.settings import changed, value_of

DEFAULT = (
    "optim.lr=1e-4..4e-3:log",
    "optim.weight_decay=1e-5..5e-3:log",
    "augment.erasing=0..0.7",
    "loss.label_smoothing=0..0.2",
    "loss.center_weight=0,0.0005,0.005",
    "model.last_stride=1,2",
    "model.neck=bnneck,none",
)
"""What is searched where nothing is named: the learning rate, the weight decay and the tricks."""
_FIXED = {"data.root", "data.kind", "data.store", "data.on_device", "data.single_picture", "data.skip_unreadable"}


@dataclass(frozen=True)
class Dimension:
    """One setting and its values: a list, or a range."""

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def suggest(self, trial: Any) -> Any:
        """A value from an Optuna trial."""
        if self.choices:
            return trial.suggest_categorical(self.name, list(self.choices))
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)


def parse_space(words: Sequence[str], config: Config) -> list[Dimension]:
    """Read SETTING=A,B,C or SETTING=LOW..HIGH[:log] words.

    Raises:
        InputError: a word can't be read, names no setting that can vary, or a value is not allowed for it.
    """
    space = [_parse(word, config) for word in words]
    names = [dimension.name for dimension in space]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"--space names {twice[0]} twice; give each setting once.")
    return space


def _parse(word: str, config: Config) -> Dimension:
    name, _, values = word.partition("=")
    if not values:
        raise InputError(
            f"--space takes SETTING=A,B,C or SETTING=LOW..HIGH or SETTING=LOW..HIGH:log, got {word!r}; write for "
            "example optim.lr=1e-4..1e-2:log or model.neck=bnneck,none."
        )
    now = value_of(config, name)
    if name in _FIXED or name.split(".")[0] in ("run", "eval"):
        raise InputError(f"--space names {name}, which says where a run works or how it is tested: search others.")
    if ".." not in values:
        choices = tuple(_value(text, word) for text in values.split(","))
        if len(choices) < 2:
            raise InputError(f"--space {word!r} has a single value: give it as a flag, --{name} {values}.")
        for choice in choices:
            _check(name, choice, config)
        return Dimension(name, choices)
    span, _, scale = values.partition(":")
    low, high = (_value(text, word) for text in span.split("..", 1))
    numbers = all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in (low, high))
    if not numbers or not low < high or scale not in ("", "log") or (scale and low <= 0):
        raise InputError(f"--space {word!r} is no range: LOW..HIGH are numbers that rise, and above 0 with :log.")
    if not isinstance(now, (int, float)) or isinstance(now, bool):
        raise InputError(f"--space {word!r} is a range, but {name} is {now!r}: give its values as A,B,C.")
    for end in (low, high):
        _check(name, end, config)
    whole = isinstance(now, int) and isinstance(low, int) and isinstance(high, int) and _is_whole(name)
    if _is_whole(name) and not whole:
        raise InputError(f"--space {word!r}: {name} is a whole number, so LOW and HIGH must be.")
    return Dimension(name, low=low, high=high, log=bool(scale), whole=whole)


def _value(text: str, word: str) -> Any:
    """A value as YAML reads it; "1e-4" too, which YAML takes for text."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--space {word!r}: can't read the value {text!r}.") from error
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _hint(name: str) -> Any:
    room, key = name.split(".")
    return typing.get_type_hints(type(getattr(Config(), room)))[key]


def _is_whole(name: str) -> bool:
    return _hint(name) is int


def _check(name: str, value: Any, config: Config) -> None:
    """Refuse a value that the setting does not take."""
    hint = _hint(name)
    allowed = [value for part in (hint, *typing.get_args(hint)) if typing.get_origin(part) is Literal
               for value in typing.get_args(part)]  # fmt: skip
    kinds = {part for part in (hint, *typing.get_args(hint)) if isinstance(part, type)}
    fits = (type(value) in kinds) or (float in kinds and type(value) is int) or value in allowed
    if not fits:
        wanted = [*map(repr, allowed), *(kind.__name__ for kind in kinds if kind is not type(None))]
        raise InputError(f"--space gives {name} the value {value!r}; it takes {', '.join(wanted)}.")
    changed(config, {name: value})
