"""What the verbs share: a parser that says what is wrong in two lines, and the flags of a model."""

from __future__ import annotations

import difflib
import itertools
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import yaml
from jsonargparse import ArgumentParser, Namespace

from strongreid.errors import InputError

if TYPE_CHECKING:
    from strongreid.extraction import Extractor
    from strongreid.extraction.backends import BackendName


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


def model_arguments(parser: ArgumentParser, *, one: bool = True) -> None:
    """Which model, where and how it runs; without `one`, the model is named otherwise."""
    if one:
        parser.add_argument("model", help="model folder, such as runs/x/best, or an exported one")
    parser.add_argument(
        "--backend",
        choices=["auto", "torch", "onnx", "openvino"],
        help="what computes the features (docs/export.md); default: torch where models are judged, elsewhere auto",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--feature", choices=["f_i", "f_t"], help="default: the one of training")
    parser.add_argument("--batch", type=int, default=64, help="pictures per forward pass")
    parser.add_argument("--flip", action="store_true", help="average with the features of the mirrored pictures")
    parser.add_argument("--skip_unreadable", action="store_true", help="leave unreadable pictures out and count them")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def extractor(parsed: Namespace, model: str | None = None, *, default: BackendName = "auto") -> Extractor:
    """What the flags of `model_arguments` ask for; says on standard error what computes the features.

    The `default` backend is of model folders; an exported one has its own.
    """
    from strongreid.export.description import exported_format
    from strongreid.extraction import Extractor

    folder = Path(model or parsed.model)
    return Extractor(
        folder,
        device=parsed.device,
        feature=parsed.feature,
        batch=parsed.batch,
        flip=parsed.flip,
        backend=parsed.backend or ("auto" if exported_format(folder) else default),
        say=None if parsed.quiet else lambda line: print(f"features by {line}", file=sys.stderr),
    )


def parse(parser: ArgumentParser, arguments: list[str]) -> Namespace:
    """The arguments; leaves with code 2 where they are wrong."""
    parsed: Namespace = parser.parse_args(arguments)
    return parsed


def chosen_preset(arguments: list[str], default: str) -> str:
    """The preset that --preset or else a --config names, before the parser is complete.

    Raises:
        InputError: a configuration is not YAML.
    """
    named = [preset for config in _values_of("--config", arguments) if (preset := _preset_in(config))]
    return [default, *named, *_values_of("--preset", arguments)][-1]


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
