"""Settings by their dotted names: changing them, and the fingerprint of a training run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strongreid.config import Config
from strongreid.errors import InputError

PLACES = {
    "data": {"root", "kind", "store", "on_device"},
    "run": {"output", "device", "threads", "timeout", "keep_memory"},
    "eval": {field.name for field in dataclasses.fields(Config().eval)},
}
"""Settings that say where a run works or how it is tested, and not what is trained."""
FINGERPRINT_LENGTH = 20
_FORMAT = 1


def changed(config: Config, overrides: Mapping[str, Any]) -> Config:
    """The configuration with other values, given by dotted names such as "model.neck".

    Raises:
        InputError: there is no such setting, or a value is out of its range.
    """
    rooms: dict[str, dict[str, Any]] = {}
    for name, value in overrides.items():
        value_of(config, name)
        room, key = name.split(".")
        rooms.setdefault(room, {})[key] = value
    parts = {room: dataclasses.replace(getattr(config, room), **values) for room, values in rooms.items()}
    return dataclasses.replace(config, **parts)


def value_of(config: Config, name: str) -> Any:
    """The value of a setting by its dotted name.

    Raises:
        InputError: there is no such setting.
    """
    room, _, key = name.partition(".")
    if room not in Config.__dataclass_fields__ or key not in getattr(config, room).__dataclass_fields__:
        raise InputError(f"there is no setting {name!r}; strongreid train --print_config shows them all.")
    return getattr(getattr(config, room), key)


def config_of(settings: Mapping[str, Mapping[str, Any]]) -> Config:
    """The configuration from nested plain values, as `Config.to_dict` gives them and JSON keeps them.

    Raises:
        InputError: a setting is unknown or out of its range.
    """
    flat = {f"{room}.{key}": value for room, values in settings.items() for key, value in values.items()}
    return changed(Config(), {name: tuple(v) if isinstance(v, list) else v for name, v in flat.items()})


def training_fingerprint(config: Config, train_fingerprint: str) -> str:
    """What a training run is: every setting that could change its weights, and its pictures.

    Weight files count by their content, so that they may be moved.
    """
    settings: dict[str, dict[str, Any]] = {
        room: {key: value for key, value in values.items() if key not in PLACES.get(room, ())}
        for room, values in config.to_dict().items()
    }
    model = settings["model"]
    if isinstance(model["pretrained"], str):
        model["pretrained"] = file_fingerprint(Path(model["pretrained"]))
    if model["start_from"]:
        model["start_from"] = file_fingerprint(Path(model["start_from"], "model.safetensors"))
    whole = json.dumps([_FORMAT, _plain(settings), train_fingerprint], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:FINGERPRINT_LENGTH]


def file_fingerprint(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        InputError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read the weights {path}: {error.strerror}; check --model.pretrained and "
                         "--model.start_from.") from error  # fmt: skip


def _plain(value: Any) -> Any:
    """Equal settings as equal JSON: 0 as 0.0, tuples as lists."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
