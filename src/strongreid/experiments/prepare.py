"""From a command to work: rows, seeds and data sets become training runs, all checked before any starts."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import strongreid
from strongreid.config import Config
from strongreid.errors import InputError
from strongreid.experiments.checks import check_testing, check_training, in_cell
from strongreid.experiments.jobs import ANSWERS, Job, Test, unique
from strongreid.experiments.plan import Choices, columns_of, rows_of
from strongreid.experiments.records import Column, Experiment, Row, RowPlan, save_experiment
from strongreid.experiments.sets import ReadSet
from strongreid.experiments.settings import PLACES, changed, training_fingerprint
from strongreid.experiments.stored import read_plan

MOST_SEEDS = 1000


@dataclass(frozen=True)
class Prepared:
    """An experiment that can be run."""

    experiment: Experiment
    """With its plan and without cells."""
    runs: Path
    jobs: tuple[Job, ...]
    """Each run once; all rows of the first seed come first."""
    cells: tuple[tuple[str, int, str, str, str], ...]
    """Row, seed, column, fingerprint of the run, name of the result in it."""

    def save(self) -> None:
        """Write the plan.

        Raises:
            InputError: the folder holds another experiment, or can't be written.
        """
        check_folder(self.experiment)
        save_experiment(self.experiment.folder, self.experiment, self.runs, self.cells)


def prepare_experiment(
    name: str,
    config: Config,
    sets: Mapping[str, ReadSet],
    also: Mapping[str, ReadSet],
    *,
    seeds: int,
    folder: Path,
    runs: Path | None = None,
    choices: Choices | None = None,
    command: str = "",
) -> Prepared:
    """Plan an experiment and check every cell; nothing is written.

    Args:
        name: a key of `plan.TITLES`.
        config: the recipe that the rows change.
        sets: data sets to train and test on, by name.
        also: others to test on.
        seeds: how many, from `config.run.seed` on.
        folder: the experiment folder.
        runs: folder of the training runs; None for `runs` in the experiment folder.
        choices: of the experiment.
        command: the command line.

    Raises:
        InputError: a cell can't run (named), or the folder holds another experiment.
    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError(f"--seeds is how many seeds to run, 1 to {MOST_SEEDS}, got {seeds}; 3 to 5 are usual.")
    columns = columns_of(name, list(sets), list(also))
    names = tuple(column.name for column in columns)
    rows = [replace(row, test_sets=names) for row in rows_of(name, config, choices or Choices())]
    return prepare_rows(
        name, config, rows, columns, {**sets, **also}, seeds=seeds, folder=folder, runs=runs, command=command
    )


def prepare_rows(
    name: str,
    config: Config,
    rows: Sequence[RowPlan],
    columns: Sequence[Column],
    data: Mapping[str, ReadSet],
    *,
    seeds: int,
    folder: Path,
    runs: Path | None = None,
    command: str = "",
    more: Mapping[str, Mapping[str, Any]] | None = None,
) -> Prepared:
    """As `prepare_experiment`, with rows and columns of one's own; `more` is kept with the settings.

    Raises:
        InputError: as there.
    """
    numbers = tuple(range(config.run.seed, config.run.seed + seeds))
    runs = folder / "runs" if runs is None else runs
    jobs, cells = _cells(config, rows, columns, data, numbers, runs)
    experiment = Experiment(
        folder=folder,
        name=name,
        command=command,
        versions=versions(),
        hardware=hardware(),
        data={key: one.about for key, one in data.items()},
        settings=_plain(config.to_dict() | dict(more or {})),
        columns=tuple(columns),
        seeds=numbers,
        rows=tuple(Row(row, ()) for row in rows),
    )
    check_folder(experiment)
    return Prepared(experiment, runs, tuple(jobs), tuple(cells))


def _cells(
    config: Config,
    rows: Sequence[RowPlan],
    columns: Sequence[Column],
    data: Mapping[str, ReadSet],
    seeds: Sequence[int],
    runs: Path,
) -> tuple[list[Job], list[tuple[str, int, str, str, str]]]:
    """The runs and the cells of a plan, checked."""
    jobs: list[Job] = []
    cells: list[tuple[str, int, str, str, str]] = []
    for name in dict.fromkeys(column.test for column in columns):
        with in_cell(f"test set {name!r}"):
            check_testing(data[name])
    places = [(row, name) for row in rows for name in dict.fromkeys(column.train for column in columns)]
    for seed in seeds:
        for row, name in places:
            about = data[name].about
            with in_cell(f"row {row.label!r}, trained on {name!r}"):
                here = {"data.root": about.root, "data.kind": about.kind, "run.seed": seed}
                own = with_store(changed(config, row.overrides | here), data[name])
                if seed == seeds[0]:
                    check_training(own, data[name])
            tests = {
                column.name: Test(
                    data[column.test].about,
                    own.eval.feature,
                    own.eval.metric,
                    row.rerank,
                    ANSWERS if seed == seeds[0] else 0,
                )
                for column in columns
                if column.train == name and column.name in row.test_sets
            }
            fingerprint = training_fingerprint(own, about.train_fingerprint)
            words = (f"{row.label}, {name}, seed {seed}",)
            jobs.append(Job(fingerprint, runs, own, tuple(tests.values()), words))
            cells += [(row.name, seed, column, fingerprint, test.name) for column, test in tests.items()]
    return unique(jobs), cells


def with_store(config: Config, trained: ReadSet) -> Config:
    """With a folder of its own in `data.store`, where one is named, for every data set and size of pictures."""
    if not config.data.store:
        return config
    about = trained.about
    name = f"{about.train_fingerprint}-{about.test_fingerprint}-{config.data.height}x{config.data.width}"
    return changed(config, {"data.store": str(Path(config.data.store, name))})


def check_folder(experiment: Experiment) -> None:
    """Refuse a folder that holds another experiment, or the same one with another recipe or other data.

    Raises:
        InputError: it does, and how they differ.
    """
    folder = experiment.folder
    if not (folder / "experiment.json").is_file():
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file, and a folder is to be written there: choose another --output.")
        return
    known = read_plan(folder)
    advice = f"choose another --output; with --runs {folder / known['runs']} what is the same is not trained again."
    if known["name"] != experiment.name:
        raise InputError(f"{folder} holds the experiment {known['name']!r}: {advice}")
    other = differing(known["settings"], experiment.settings)
    if other:
        raise InputError(f"{folder} holds this experiment with other settings ({', '.join(other[:4])}): {advice}")
    for name, dataset in experiment.data.items():
        old = known["data"].get(name, {})
        for what in ("train_fingerprint", "test_fingerprint"):
            if old and old[what] != getattr(dataset, what):
                raise InputError(f"{folder} holds this experiment with other pictures in {name!r}: {advice}")


def differing(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Settings that differ, as "optim.lr: 0.1, now 0.2"; those of the place of work and the seed may.

    Both as JSON keeps them.
    """
    found = []
    for room, values in new.items():
        places = set() if room == "eval" else PLACES.get(room, set())
        for key, value in values.items():
            before = old.get(room, {}).get(key)
            if key not in places and (room, key) != ("run", "seed") and before != value:
                found.append(f"{room}.{key}: {before}, now {value}")
    return found


def versions() -> dict[str, str]:
    """Of what the figures depend on."""
    found = {"strongreid": strongreid.__version__, "python": platform.python_version()}
    for name in ("torch", "torchvision", "timm", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> str:
    """Processor, cores, and GPUs where torch sees any."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        processor = platform.processor() or platform.machine()
    parts = [f"{processor}, {cores()} cores"]
    try:
        import torch
    except ModuleNotFoundError:
        return parts[0]
    parts += [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return ", ".join(parts)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """As JSON keeps them: tuples become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain
