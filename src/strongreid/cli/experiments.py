"""The verbs experiment and tune."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from strongreid.cli.parser import Parser, chosen_preset, parse
from strongreid.cli.training import flat_settings
from strongreid.config import PRESETS, Config
from strongreid.errors import InputError

if TYPE_CHECKING:
    from strongreid.experiments.sets import ReadSet

NAMES = ("tricks", "features", "cross-domain", "batch-size", "image-size", "backbones", "seeds")
DESCRIPTION = """\
usage: strongreid experiment NAME ...
       strongreid experiment report FOLDER ...

The paper's experiments on your data, with several seeds, intervals, and what is significant.

  tricks        the six tricks added one at a time (table 1); --leave-one-out leaves each out
  features      before or after BNNeck, Euclidean or cosine (table 2)
  cross-domain  trained on one set, tested on another (table 3)
  batch-size    identities x pictures (table 5)
  image-size    height x width (table 6)
  backbones     other networks
  seeds         one recipe, several seeds
  report        join experiment folders and write their tables and page

strongreid experiment NAME --help tells the rest. --plan says what would run and how long it would take.
A killed command is gone on with by giving it again.
"""


def experiment(arguments: list[str]) -> int:
    """Run one of the paper's experiments, or report on some."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(DESCRIPTION, end="")
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    if name == "report":
        return _report(rest)
    if name not in NAMES:
        raise InputError(f"unknown experiment {name!r}; there are {', '.join(NAMES)}, and report.")
    parser = recipe_parser(f"strongreid experiment {name}", f"The experiment {name}, on your data.")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, from run.seed on")
    parser.add_argument("--also_test", nargs="+", default=[], help="NAME=FOLDER of others to test every model on")
    parser.add_argument("--plan", action="store_true", help="run nothing: say what would run, and for how long")
    if name == "tricks":
        parser.add_argument("--leave_one_out", action="store_true", help="all six, and without each")
        parser.add_argument("--rerank", action="store_true", help="a last row with k-reciprocal re-ranking")
    lists = {
        "batch-size": ("batches", "16x4"),
        "image-size": ("sizes", "256x128"),
        "backbones": ("backbones", "resnet18"),
    }
    if name in lists:
        flag, example = lists[name]
        parser.add_argument(f"--{flag}", nargs="+", default=[], help=f"such as {example}; default: the paper's")
    parsed, config = parse_recipe(parser, rest, f"runs/{name}")
    if name == "tricks" and parsed.leave_one_out:
        if parsed.rerank:
            raise InputError("--rerank is a row of the ladder; leave it or --leave_one_out out.")
        name = "leave-one-out"
    return _run(name, parsed, config, f"strongreid experiment {shlex.join(arguments)}")


def _run(name: str, parsed: Namespace, config: Config, command: str) -> int:
    from strongreid.experiments.estimate import plan_text
    from strongreid.experiments.plan import Choices
    from strongreid.experiments.prepare import prepare_experiment
    from strongreid.experiments.records import load_experiment
    from strongreid.experiments.report import write_report
    from strongreid.experiments.running import check_workers, default_workers, run_jobs
    from strongreid.experiments.tables import tables_of

    workers = default_workers(config.run.device) if parsed.jobs is None else parsed.jobs
    check_workers(workers)
    sets, also = read_sets(parsed, config)
    given = {key: tuple(parsed[key]) for key in ("batches", "sizes", "backbones") if key in parsed}
    prepared = prepare_experiment(
        name,
        config,
        sets,
        also,
        seeds=parsed.seeds,
        folder=Path(parsed.output),
        runs=Path(parsed.runs) if parsed.runs else None,
        choices=Choices(rerank=bool(parsed.get("rerank")), **given),
        command=command,
    )
    if parsed.plan:
        print(plan_text(prepared, sets, workers))
        return 0
    prepared.save()
    failed = run_jobs(prepared.jobs, workers, say, progress=not parsed.quiet)
    found = load_experiment(parsed.output)
    written = write_report([found], Path(parsed.output))
    print("\n\n".join(table.text() for table in tables_of(found)))
    print(f"\nwritten: {', '.join(map(str, written))}")
    return report_failures(failed, {job.fingerprint: job.cells for job in prepared.jobs})


def _report(arguments: list[str]) -> int:
    """Join experiment folders and write their tables."""
    parser = Parser(
        prog="strongreid experiment report", allow_abbrev=False, description="Tables and a page of experiments."
    )
    parser.add_argument("folders", nargs="+", help="experiment folders; parts of one experiment are joined")
    parser.add_argument("--output", help="folder to write into; default: the first experiment folder")
    parser.add_argument("--without_pictures", action="store_true", help="a page to give away: no pictures of people")
    parsed = parse(parser, arguments)

    from strongreid.experiments.report import load_experiments, write_report
    from strongreid.experiments.tables import tables_of

    found = load_experiments(parsed.folders)
    written = write_report(found, Path(parsed.output or parsed.folders[0]), sheets=not parsed.without_pictures)
    print("\n\n".join(table.text() for one in found for table in tables_of(one)))
    print(f"\nwritten: {', '.join(map(str, written))}")
    return 0


def tune(arguments: list[str]) -> int:
    """Search over settings, on people held out of the training set."""
    parser = recipe_parser(
        "strongreid tune",
        "Search over switches and ranges with Optuna, on training people held out; the test set is not looked at.",
    )
    parser.add_argument("--trials", type=int, default=30, help="settings to try, beside the recipe itself")
    parser.add_argument(
        "--space",
        nargs="+",
        default=[],
        help="SETTING=A,B,C or SETTING=LOW..HIGH[:log]; default: the tricks and rates",
    )
    parser.add_argument("--seeds", type=int, default=1, help="training runs of each trial; their mean counts")
    parser.add_argument("--validation", type=float, default=0.25, help="share of the training people to hold out")
    parser.add_argument("--measure", default="mAP", choices=["mAP", "rank1", "rank5", "rank10", "mINP"])
    parsed, config = parse_recipe(parser, arguments, "runs/tune")

    from strongreid.experiments.holdout import hold_out
    from strongreid.experiments.report import write_report
    from strongreid.experiments.running import check_workers, default_workers
    from strongreid.experiments.sets import read_set
    from strongreid.experiments.settings import changed
    from strongreid.experiments.space import DEFAULT, parse_space
    from strongreid.experiments.tune import VALIDATION, Search, best_row, require_optuna, search

    require_optuna()
    workers = default_workers(config.run.device) if parsed.jobs is None else parsed.jobs
    check_workers(workers)
    space = parse_space(parsed.space or DEFAULT, config)
    sets, _ = read_sets(parsed, config)
    if len(sets) > 1:
        raise InputError(f"a search is on one data set, got {', '.join(sets)}; search on each in turn.")
    folder, whole = Path(parsed.output), next(iter(sets.values()))
    config = changed(config, {"data.root": whole.about.root, "data.kind": whole.about.kind})
    divided = hold_out(whole, folder / VALIDATION, parsed.validation, config.run.seed)
    data = read_set(VALIDATION, "market1501", divided)
    runs = Path(parsed.runs) if parsed.runs else None
    command = f"strongreid tune {shlex.join(arguments)}"
    task = Search(config, space, data, parsed.trials, folder, runs, parsed.seeds, parsed.measure, command)
    found, failed = search(task, workers, say, progress=not parsed.quiet)
    write_report([found], folder)
    best = found.row(best_row(found, parsed.measure))
    print(f"{len(found.rows)} settings tried, the recipe among them; best {parsed.measure} on the people held out:")
    print(f"{100 * (best.mean(parsed.measure, VALIDATION) or 0):.2f}  {best.label}")
    print(f"{100 * (found.rows[0].mean(parsed.measure, VALIDATION) or 0):.2f}  {found.rows[0].label}")
    print(f"written: {folder / 'best.yaml'}; all trials are in {folder / 'table.txt'}")
    return report_failures(failed, {})


def recipe_parser(prog: str, description: str) -> ArgumentParser:
    """A parser for what an experiment and a search share: a recipe, data sets, where to work."""
    parser = Parser(prog=prog, allow_abbrev=False, description=description)
    parser.add_argument("--config", action="config", help="a YAML or JSON file of settings")
    parser.add_argument("--preset", default="bag_of_tricks", choices=list(PRESETS), help="the settings to start from")
    parser.add_argument("--sets", nargs="+", default=[], help="NAME=FOLDER of each data set; default: data.root")
    parser.add_argument("--kinds", nargs="+", default=[], help="layout of all, and NAME=LAYOUT of others")
    parser.add_argument("--output", help="the experiment folder; default: runs/NAME")
    parser.add_argument("--runs", help="folder of the training runs, to share with others; default: OUTPUT/runs")
    parser.add_argument("--jobs", type=int, help="runs at a time, each a process; default: one a GPU, else 1")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.add_class_arguments(Config)
    return parser


def parse_recipe(parser: ArgumentParser, arguments: list[str], output: str) -> tuple[Namespace, Config]:
    """The arguments and the configuration; refuses `--run.output`.

    Raises:
        InputError: it is given, or a setting is out of its range.
    """
    preset = chosen_preset(arguments, "bag_of_tricks")
    if preset in PRESETS:
        parser.set_defaults(flat_settings(PRESETS[preset]().to_dict()))
    parsed = parse(parser, arguments)
    values = parser.instantiate(parsed)
    config = Config(**{room: values[room] for room in Config.__dataclass_fields__})
    if config.run.output != Config().run.output:
        raise InputError(f"--run.output is {config.run.output}, but there are many runs: give --output instead.")
    if parsed.output is None:
        parsed.output = output
    return parsed, config


def read_sets(parsed: Namespace, config: Config) -> tuple[dict[str, ReadSet], dict[str, ReadSet]]:
    """The data sets to train on, and others to test on.

    Raises:
        InputError: none is named, a name occurs twice, or one can't be read.
    """
    from strongreid.evaluation.crossdomain import named_folders, named_layouts
    from strongreid.experiments.sets import read_set

    own = named_folders("--sets", parsed.sets)
    if own and config.data.root:
        raise InputError("data sets are named by --sets and by --data.root; give one of the two.")
    if not own:
        if not config.data.root:
            raise InputError(
                "no data set was named: pass --sets NAME=FOLDER (several, if you like) or --data.root FOLDER "
                "(strongreid synthesize FOLDER makes one)."
            )
        own = {Path(config.data.root).expanduser().resolve().name: config.data.root}
    also = named_folders("--also_test", parsed.get("also_test") or [])
    if common := sorted(own.keys() & also.keys()):
        raise InputError(f"--also_test names {common[0]!r}, which is among the data sets to train on; leave it out.")
    kinds = named_layouts(parsed.kinds or [config.data.kind], {**own, **also})
    print(f"reading {', '.join([*own, *also])} ...", file=sys.stderr)
    read: dict[str, Any] = {name: read_set(name, kinds[name], folder) for name, folder in {**own, **also}.items()}
    return {name: read[name] for name in own}, {name: read[name] for name in also}


def say(line: str) -> None:
    """A line about the progress."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)


def report_failures(failed: dict[str, str], cells: dict[str, tuple[str, ...]]) -> int:
    """Name the runs that failed; the exit code."""
    for fingerprint, reason in failed.items():
        print(f"failed: {'; '.join(cells.get(fingerprint, ())) or fingerprint}: {reason}", file=sys.stderr)
    return 2 if failed else 0
