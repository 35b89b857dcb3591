"""The command line: one function per verb; it parses, calls one library function, prints its result."""

from __future__ import annotations

import difflib
import itertools
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, Namespace

from strongreid.config import PRESETS, Config
from strongreid.errors import InputError

DESCRIPTION = """\
usage: strongreid VERB ...

Re-identification: is this the person, vehicle or animal that another camera saw?

verbs:
  train        train, evaluate and report: the main job
  evaluate     evaluate a trained model on a data set
  extract      features of pictures as one Parquet table
  synthesize   generate a pedestrian data set from a seed
  inspect      counts and a contact sheet of a data set

strongreid VERB --help tells the rest; strongreid --version the version.
"""


class Parser(ArgumentParser):
    """Says what is wrong in two lines, names the nearest flag, and exits with code 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:  # noqa: ARG002
        """Print the message and leave."""
        message = re.sub(r"\s+", " ", message).strip()
        message = re.sub(r"Group '([\w.]+)' does not accept option '(\w+)'", r"unrecognized setting: \1.\2", message)
        unknown = re.search(r"(?:[Uu]nrecognized (?:arguments|setting): |Key )['\"]?(--)?([\w.]+)", message)
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
            near = difflib.get_close_matches(f"--{unknown[2]}", flags, n=3, cutoff=0.6)
            message += f" Nearest: {', '.join(near)}." if near else f" See {self.prog} --help."
        self.exit(2, f"{self.prog}: {message}\n")
        raise AssertionError("exit does not return")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0 done, 2 bad input or a loss that is not finite, 130 interrupted."""
    arguments = [_underscored(argument) for argument in (sys.argv[1:] if argv is None else argv)]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(DESCRIPTION, end="")
        return 0 if arguments else 2
    if arguments[0] == "--version":
        import strongreid

        print(strongreid.__version__)
        return 0
    verb = VERBS.get(arguments[0])
    if verb is None:
        near = difflib.get_close_matches(arguments[0], VERBS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        print(f"strongreid: unknown verb {arguments[0]!r}; there are {', '.join(VERBS)}.{hint}", file=sys.stderr)
        return 2
    try:
        return verb(arguments[1:])
    except InputError as error:
        print(f"strongreid {arguments[0]}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "torchvision", "timm", "matplotlib"):
            raise
        print(f"strongreid {arguments[0]} needs {error.name}: pip install 'strongreid[train]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"strongreid {arguments[0]}: interrupted", file=sys.stderr)
        return 130


def train(arguments: list[str]) -> int:
    """Parse a configuration and run the main job."""
    parser = Parser(prog="strongreid train", allow_abbrev=False, description="Train, evaluate and report.")
    arguments = ["--data.skip_unreadable=true" if a == "--skip_unreadable" else a for a in arguments]
    parser.add_argument("--config", action="config", help="a YAML or JSON file of settings")
    parser.add_argument("--preset", default="bag_of_tricks", choices=list(PRESETS), help="the settings to start from")
    parser.add_argument("--resume", action="store_true", help="go on with the run in run.output, if it was begun")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.add_class_arguments(Config)
    named = [preset for config in _values_of("--config", arguments) if (preset := _preset_in(config))]
    preset = ["bag_of_tricks", *named, *_values_of("--preset", arguments)][-1]
    if preset in PRESETS:
        parser.set_defaults(_flat(PRESETS[preset]().to_dict()))
    parsed = _parse(parser, arguments)
    values = parser.instantiate(parsed)
    config = Config(**{room: values[room] for room in Config.__dataclass_fields__})

    from strongreid.training.loop import train as run
    from strongreid.training.runlog import NonFiniteLossError

    try:
        run(config, resume=parsed.resume, progress=not parsed.quiet)
    except NonFiniteLossError as error:
        print(f"strongreid train: {error}", file=sys.stderr)
        return 2

    folder = Path(config.run.output)
    print((folder / "table.txt").read_text(encoding="utf-8"))
    print(f"run folder: {folder} (models in last/ and best/, curves.png, ranks.png, log.jsonl)")
    return 0


def evaluate(arguments: list[str]) -> int:
    """Evaluate a trained model on a data set."""
    parser = Parser(prog="strongreid evaluate", allow_abbrev=False, description="Evaluate a model on a data set.")
    _model_arguments(parser)
    parser.add_argument("data", help="folder of the data set")
    parser.add_argument("--kind", default="market1501", help="layout of the data set")
    parser.add_argument("--metric", choices=["cosine", "euclidean"], help="default: the one of training")
    parser.add_argument("--rerank", choices=["k_reciprocal"], help="re-rank; default: don't")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", help="write the result with every query's figures to this JSON file")
    parsed = _parse(parser, arguments)

    from strongreid.extraction import Extractor, evaluate_model

    result = evaluate_model(
        Extractor(parsed.model, device=parsed.device, feature=parsed.feature, batch=parsed.batch),
        parsed.data,
        kind=parsed.kind,
        metric=parsed.metric,
        rerank=parsed.rerank,
        skip_unreadable=parsed.skip_unreadable,
        progress=not parsed.quiet,
    )
    if parsed.output:
        result.save(parsed.output)
    print(result.json() if parsed.json else result.table())
    return 0


def extract(arguments: list[str]) -> int:
    """Write the features of a folder of pictures as a table."""
    parser = Parser(prog="strongreid extract", allow_abbrev=False, description="Features of a folder of pictures.")
    _model_arguments(parser)
    parser.add_argument("pictures", help="folder of pictures; identity and camera are read from Market-1501 names")
    parser.add_argument("output", help="Parquet file to write")
    parser.add_argument(
        "--unlabelled", action="store_true", help="pictures of any name, below the folder too: identity -1, camera 0"
    )
    parsed = _parse(parser, arguments)

    from strongreid.extraction import Extractor, extract_folder

    table = extract_folder(
        Extractor(parsed.model, device=parsed.device, feature=parsed.feature, batch=parsed.batch),
        parsed.pictures,
        parsed.output,
        unlabelled=parsed.unlabelled,
        skip_unreadable=parsed.skip_unreadable,
        progress=not parsed.quiet,
    )
    print(f"{parsed.output}: {len(table)} pictures, {table.dim} numbers each")
    return 0


def synthesize(arguments: list[str]) -> int:
    """Generate a data set."""
    parser = Parser(prog="strongreid synthesize", allow_abbrev=False, description="Generate a pedestrian data set.")
    from strongreid.synthetic.dataset import WorldSettings
    from strongreid.synthetic.dataset import synthesize as generate

    parser.add_argument("--config", action="config", help="a YAML or JSON file of settings")
    parser.add_argument("output", help="folder to write")
    parser.add_argument("--processes", type=int, help="processes; default: one per core")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_class_arguments(WorldSettings)
    parsed = _parse(parser, arguments)
    settings = WorldSettings(**{name: parsed[name] for name in WorldSettings.__dataclass_fields__})
    manifest = generate(parsed.output, settings, processes=parsed.processes, progress=not parsed.quiet)
    counts = ", ".join(f"{name} {count}" for name, count in manifest["counts"].items())
    print(f"{parsed.output}: {counts}")
    return 0


def inspect(arguments: list[str]) -> int:
    """Print the counts of a data set and draw a contact sheet."""
    parser = Parser(prog="strongreid inspect", allow_abbrev=False, description="Counts and a contact sheet.")
    parser.add_argument("data", help="folder of the data set")
    parser.add_argument("--kind", default="market1501", help="layout of the data set")
    parser.add_argument("--sheet", default="contact_sheet.png", help="PNG to draw; an empty name draws none")
    parsed = _parse(parser, arguments)

    from strongreid.data.inspect import summarize
    from strongreid.data.readers import read_dataset
    from strongreid.evaluation.sheets import dataset_sheet

    dataset = read_dataset(parsed.kind, parsed.data)
    print(summarize(dataset))
    if parsed.sheet:
        dataset_sheet(dataset, parsed.sheet)
        print(f"contact sheet: {parsed.sheet}")
    return 0


VERBS: dict[str, Callable[[list[str]], int]] = {
    "train": train,
    "evaluate": evaluate,
    "extract": extract,
    "synthesize": synthesize,
    "inspect": inspect,
}


def _model_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", help="model folder, such as runs/x/best")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--feature", choices=["f_i", "f_t"], help="default: the one of training")
    parser.add_argument("--batch", type=int, default=64, help="pictures per forward pass")
    parser.add_argument("--skip_unreadable", action="store_true", help="leave unreadable pictures out and count them")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _parse(parser: ArgumentParser, arguments: list[str]) -> Namespace:
    parsed: Namespace = parser.parse_args(arguments)
    return parsed


def _underscored(argument: str) -> str:
    """Let flags be written with dashes too: --skip-unreadable is --skip_unreadable."""
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument[2:].partition("=")
    return f"--{flag.replace('-', '_')}{equals}{value}"


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


if __name__ == "__main__":
    sys.exit(main())
