"""The JSON files of experiments and of their runs, as plain values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from strongreid.errors import InputError

FORMAT = "strongreid.experiment"
VERSION = 1


def read_plan(folder: Path) -> dict[str, Any]:
    """The content of `experiment.json`.

    Raises:
        InputError: there is none, it is damaged, or of another version.
    """
    file = folder / "experiment.json"
    try:
        plan = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder} is no experiment folder: it has no experiment.json; check the path.") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} is damaged ({error}); run the experiment's command again, its runs are kept."
        ) from error
    if not isinstance(plan, dict) or plan.get("format") != FORMAT:
        raise InputError(f"{file} is no plan of an experiment: it lacks the format {FORMAT!r}.")
    if plan.get("version") != VERSION:
        raise InputError(f"{file} has version {plan.get('version')}, and this strongreid reads {VERSION}.")
    return plan


def read_cell(run: Path) -> dict[str, Any]:
    """The content of a training run's `cell.json`; empty where there is none yet.

    Raises:
        InputError: it is damaged.
    """
    try:
        note: dict[str, Any] = json.loads((run / "cell.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{run / 'cell.json'} is damaged ({error}): delete {run} and run again.") from error
    return note
