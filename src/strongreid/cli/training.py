"""The verb train."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from strongreid.cli.parser import Parser, chosen_preset, parse
from strongreid.config import PRESETS, Config


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
    preset = chosen_preset(arguments, "bag_of_tricks")
    if preset in PRESETS:
        parser.set_defaults(flat_settings(PRESETS[preset]().to_dict()))
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


def flat_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Nested settings by their dotted names, as flags have them."""
    return {f"{room}.{name}": value for room, values in settings.items() for name, value in values.items()}
