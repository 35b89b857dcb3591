"""The training state on disk: all that a killed run needs to go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from strongreid.errors import InputError
from strongreid.files import atomic_file

FORMAT = 2


@dataclass
class State:
    """Where a run stands, apart from the weights. Everything random is a function of (seed, epoch): none is here."""

    epoch: int = 0
    """Epochs that are done."""
    best_map: float = -1.0
    """Best mAP so far, 0..1."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """The run log's lines so far."""
    trivial_epochs: int = 0
    """Epochs in a row at the trivial loss."""


def save_state(
    path: Path,
    state: State,
    parts: Mapping[str, Any],
    config: dict[str, Any],
) -> None:
    """Write everything to one file, atomically: it holds this epoch or the one before, never half of either.

    `parts` are modules and optimisers by name, all that has a `state_dict`.
    """
    content = {"format": FORMAT, "config": config, "state": vars(state)}
    content |= {name: part.state_dict() for name, part in parts.items()}
    with atomic_file(path) as partial:
        try:
            torch.save(content, partial)
        except RuntimeError as error:  # torch's own writer does not say OSError when the disk refuses
            raise OSError(str(error).splitlines()[0]) from error


def load_state(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Read what `save_state` wrote, with tensors on the CPU.

    Raises:
        InputError: the file is corrupt or foreign, or was written under a configuration that differs (named).
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        version, stored = content["format"], content["config"]
        State(**content["state"])
    except Exception as error:  # torch.load lets errors of pickle, zip and its own through
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} is corrupt or not a training state ({reason}). The models in {path.parent} are separate files; "
            "start again in another folder with --run.output, or delete this one."
        ) from error
    if version != FORMAT:
        raise InputError(
            f"{path} has format {version}, and this strongreid reads {FORMAT}: another version wrote it. Start a new "
            f"run with another --run.output, or delete {path.parent}."
        )
    if differing := _differences(stored, config):
        raise InputError(
            f"{path} was written with other settings ({', '.join(differing[:4])}): resume with the same "
            "ones, or start a new run with --run.output."
        )
    return dict(content)


def restore(content: dict[str, Any], parts: Mapping[str, Any]) -> State:
    """Put a loaded state into the live objects and return the rest."""
    for name, part in parts.items():
        part.load_state_dict(content[name])
    return State(**content["state"])


def _differences(stored: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Settings that differ, as `optim.lr: 0.1, now 0.2`; where it runs may differ, what it computes may not."""
    places = ("output", "device", "threads", "timeout", "keep_memory")
    free = {("data", "root"), ("data", "store"), ("data", "on_device"), *(("run", name) for name in places)}
    found = []
    for room in sorted(set(stored) | set(asked)):
        old, new = stored.get(room, {}), asked.get(room, {})
        for key in sorted(set(old) | set(new)):
            a, b = old.get(key), new.get(key)
            if (room, key) not in free and _plain(a) != _plain(b):
                found.append(f"{room}.{key}: {a}, now {b}")
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
