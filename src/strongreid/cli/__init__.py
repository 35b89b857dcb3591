"""The command line: one function per verb; it parses, calls one library function, prints its result."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Sequence

from strongreid.cli.crop import crop
from strongreid.cli.data import extract, inspect, synthesize
from strongreid.cli.evaluation import calibrate, compare, cross_domain, evaluate, join
from strongreid.cli.experiments import experiment, tune
from strongreid.cli.export import export
from strongreid.cli.figures import figure
from strongreid.cli.gallery import gallery, verify
from strongreid.cli.scene import scene
from strongreid.cli.training import train
from strongreid.cli.web import serve
from strongreid.errors import InputError

DESCRIPTION = """\
usage: strongreid VERB ...

Re-identification: is this the person, vehicle or animal that another camera saw?

verbs:
  train        train, evaluate and report: the main job
  evaluate     evaluate a trained model on a data set
  cross-domain several models on several data sets, as one matrix
  compare      two results, query by query: differences, intervals, p-values
  join         results of several seeds or splits: mean and spread
  calibrate    what a distance means: thresholds and probabilities, stored with the model
  experiment   the paper's experiments, several seeds, with intervals
  tune         a search over settings, on people held out of the training set
  extract      features of pictures as one Parquet table
  export       a model for ONNX Runtime or OpenVINO: faster on CPUs, and without torch
  crop         cut people out of a video or frames, for the gallery
  gallery      enrol, search, remove: add | search | list | link | remove | info | rebuild | compact | move
  serve        a web page to search a gallery with, and its API
  verify       do two pictures show the same person?
  synthesize   generate a pedestrian data set from a seed, or check one
  scene        generate films of walking people in the layout of MOT Challenge
  figure       the paper's figures, and a trained model's: features, distances, maps, curves
  inspect      counts and a contact sheet of a data set

strongreid VERB --help tells the rest; strongreid --version the version.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code.

    0 done, 1 differences found by --verify or by verify, 2 bad input or a loss that is not finite, 130 interrupted.
    """
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
        extra = EXTRAS.get(error.name or "")
        if extra is None:
            raise
        print(f"strongreid {arguments[0]} needs {error.name}: pip install 'strongreid[{extra}]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"strongreid {arguments[0]}: interrupted", file=sys.stderr)
        return 130


VERBS: dict[str, Callable[[list[str]], int]] = {
    "train": train,
    "evaluate": evaluate,
    "cross-domain": cross_domain,
    "calibrate": calibrate,
    "compare": compare,
    "join": join,
    "experiment": experiment,
    "tune": tune,
    "extract": extract,
    "export": export,
    "crop": crop,
    "gallery": gallery,
    "serve": serve,
    "verify": verify,
    "synthesize": synthesize,
    "scene": scene,
    "figure": figure,
    "inspect": inspect,
}


EXTRAS = {
    "torch": "train",
    "torchvision": "train",
    "timm": "train",
    "matplotlib": "train",
    "jinja2": "train",
    "optuna": "tune",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "openvino": "openvino",
    "qdrant_edge": "gallery",
    "qdrant_client": "server",
    "cv2": "video",
    "fastapi": "web",
    "uvicorn": "web",
}
"""Which extra brings a module."""


def _underscored(argument: str) -> str:
    """Let flags be written with dashes too: --skip-unreadable is --skip_unreadable."""
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument[2:].partition("=")
    return f"--{flag.replace('-', '_')}{equals}{value}"
