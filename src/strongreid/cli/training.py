"""The verb train."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import yaml

from strongreid.cli.parser import Parser, parse
from strongreid.config import PRESETS, Config
from strongreid.errors import InputError


def train(arguments: list[str]) -> int:
    """Parse a configuration and run the main job."""
    parser = Parser(prog="strongreid train", allow_abbrev=False, description="Train, evaluate and report.")
    arguments = ["--data.skip_unreadable=true" if a == "--skip_unreadable" else a for a in arguments]
    parser.add_argument("--config", action="config", help="a YAML or JSON file of settings")
    parser.add_argument("--preset", default="bag_of_tricks", choices=list(PRESETS), help="the settings to start from")
    parser.add_argument("--resume", action="store_true", help="go on with the run in run.output, if it was begun")
    parser.add_argument("--profile", action="store_true", help="take ten steps and say where their time goes")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.add_class_arguments(Config)
    named = [preset for config in _values_of("--config", arguments) if (preset := _preset_in(config))]
    preset = ["bag_of_tricks", *named, *_values_of("--preset", arguments)][-1]
    if preset in PRESETS:
        parser.set_defaults(_flat(PRESETS[preset]().to_dict()))
    parsed = parse(parser, arguments)
    values = parser.instantiate(parsed)
    config = Config(**{room: values[room] for room in Config.__dataclass_fields__})

    from strongreid.distributed import LostProcessError, environment_rank
    from strongreid.training.loop import train as run
    from strongreid.training.profile import profile
    from strongreid.training.runlog import NonFiniteLossError

    first = environment_rank()[0] == 0
    folder = Path(config.run.output)
    try:
        if parsed.profile:
            table = profile(config, progress=not parsed.quiet)
            if first:
                print(f"{table}\n{folder / 'trace.json'} opens in chrome://tracing or ui.perfetto.dev")
            return 0
        run(config, resume=parsed.resume, progress=not parsed.quiet)
    except (NonFiniteLossError, LostProcessError) as error:
        print(f"strongreid train: {error}", file=sys.stderr)
        return 2

    if not first:
        return 0
    print((folder / "table.txt").read_text(encoding="utf-8"))
    print(f"run folder: {folder} (models in last/ and best/, curves.png, ranks.png, log.jsonl)")
    return 0


def _values_of(flag: str, arguments: list[str]) -> list[str]:
    """The values given to a flag, before the parser is complete."""
    values = []
    for argument, following in itertools.pairwise([*arguments, ""]):
        if argument.startswith(f"{flag}="):
            values.append(argument.split("=", 1)[1])
        elif argument == flag:
            values.append(following)
    return values


def _preset_in(config: str) -> str | None:
    """The preset that a configuration (a file, or its text) names, before the parser is complete.

    Raises:
        InputError: it is not YAML.
    """
    try:
        is_file = "\n" not in config and Path(config).is_file()
        settings = yaml.safe_load(Path(config).read_bytes() if is_file else config)
    except (yaml.YAMLError, OSError, ValueError) as error:
        raise InputError(f"cannot read the configuration {config}: {' '.join(str(error).split())}.") from error
    preset = settings.get("preset") if isinstance(settings, dict) else None
    return preset if isinstance(preset, str) else None


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    return {f"{room}.{name}": value for room, values in settings.items() for name, value in values.items()}
