"""A search over settings with Optuna: every trial is a row, its runs are kept and found again like any other's."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from strongreid.config import Config
from strongreid.errors import InputError
from strongreid.experiments.prepare import Prepared, prepare_rows
from strongreid.experiments.records import Column, Experiment, MeasureName, RowPlan, load_experiment
from strongreid.experiments.running import Say, run_jobs
from strongreid.experiments.sets import ReadSet
from strongreid.experiments.settings import changed
from strongreid.experiments.space import Dimension
from strongreid.experiments.stored import read_plan
from strongreid.files import atomic_file

VALIDATION = "validation"
RECIPE = "recipe"
_STARTUP = 10
"""Trials drawn at random before the sampler learns from them."""


@dataclass(frozen=True)
class Search:
    """What a search is."""

    config: Config
    """The recipe that it starts from."""
    space: Sequence[Dimension]
    data: ReadSet
    """Named "validation": training people divided by `hold_out`."""
    trials: int
    folder: Path
    runs: Path | None = None
    seeds: int = 1
    """Of every trial; their mean counts."""
    measure: MeasureName = "mAP"
    command: str = ""


def require_optuna() -> Any:
    """The module.

    Raises:
        InputError: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise InputError("a search needs optuna: pip install 'strongreid[tune]'") from error
    return optuna


def search(task: Search, workers: int, say: Say, *, progress: bool = True) -> tuple[Experiment, dict[str, str]]:
    """Run the recipe and then the trials; returns the experiment and the runs that failed. Writes `best.yaml`.

    A trial follows from the space, the seed and the values of the trials before, so a search that was killed goes on
    as if it had not been, and more trials can be asked for later. With several workers so many trials are drawn at a
    time, which makes it another search.

    Raises:
        InputError: Optuna is missing, the folder holds another search, or a trial can't run.
    """
    optuna = require_optuna()
    if task.trials < 1:
        raise InputError(f"--trials is how many settings to try and at least 1, got {task.trials}.")
    rows = [RowPlan(RECIPE, "the recipe", {}, (VALIDATION,))]
    prepare(task, rows)  # refuses another search's folder before its trials are read
    rows += [_row(number, values) for number, values in enumerate(_planned(task.folder), start=1)]
    failed: dict[str, str] = {}
    found = _perform(task, rows, workers, say, progress, failed)
    while len(rows) - 1 < task.trials:
        count = min(max(1, workers // task.seeds), task.trials - len(rows) + 1)
        new = ask(optuna, task, rows[1:], found, count)
        rows += [_row(number, values) for number, values in enumerate(new, start=len(rows))]
        found = _perform(task, rows, workers, say, progress, failed)
    write_best(task, found)
    return found, failed


def prepare(task: Search, rows: Sequence[RowPlan]) -> Prepared:
    """The rows' runs, checked.

    Raises:
        InputError: as `prepare_rows`.
    """
    column = Column(VALIDATION, VALIDATION, VALIDATION)
    return prepare_rows(
        "tune", task.config, rows, [column], {VALIDATION: task.data},
        seeds=task.seeds, folder=task.folder, runs=task.runs, command=task.command,
        more={"search": {"space": [asdict(one) for one in task.space], "measure": task.measure}},
    )  # fmt: skip


def ask(optuna: Any, task: Search, rows: Sequence[RowPlan], found: Experiment, count: int) -> list[dict[str, Any]]:
    """The next settings to try, given those of the rows and what they brought; a failed trial counts as 0."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of experimental options
        sampler = optuna.samplers.TPESampler(
            seed=task.config.run.seed * 1_000_003 + len(rows), n_startup_trials=_STARTUP, constant_liar=True
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for row in rows:
            trial = _fixed(study, task.space, row.overrides)
            study.tell(trial, found.row(row.name).mean(task.measure, VALIDATION) or 0.0)
        drawn = [study.ask() for _ in range(count)]
        return [{one.name: one.suggest(trial) for one in task.space} for trial in drawn]


def _fixed(study: Any, space: Sequence[Dimension], values: Mapping[str, Any]) -> Any:
    """A trial of known values."""
    study.enqueue_trial(dict(values))
    trial = study.ask()
    for dimension in space:
        dimension.suggest(trial)
    return trial


def write_best(task: Search, found: Experiment) -> str:
    """Write the settings of the best row as a configuration file; returns the row's name.

    Raises:
        InputError: no row has a result, or the file can't be written.
    """
    best = best_row(found, task.measure)
    config = changed(task.config, found.row(best).plan.overrides)
    settings = config.to_dict()
    settings["run"].pop("output")
    settings["optim"] |= {name: list(settings["optim"][name]) for name in ("milestones", "freeze")}
    head = (
        f"# {found.row(best).label}: the best of {len(found.rows)} on held-out training people, by {task.measure}.\n"
        "# strongreid train --config this-file, or experiment seeds --config this-file to see how sure it is.\n"
    )
    with atomic_file(task.folder / "best.yaml") as partial:
        partial.write_text(head + yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return best


def best_row(found: Experiment, measure: MeasureName) -> str:
    """The name of the row with the highest mean; of equals the first.

    Raises:
        InputError: no row has a result.
    """
    means = {row.name: mean for row in found.rows if (mean := row.mean(measure, VALIDATION)) is not None}
    if not means:
        raise InputError("no trial has a result: see why the runs failed, and search a narrower space.")
    return max(means, key=lambda name: means[name])


def _perform(
    task: Search, rows: Sequence[RowPlan], workers: int, say: Say, progress: bool, failed: dict[str, str]
) -> Experiment:
    """Run what is new of the rows."""
    prepared = prepare(task, rows)
    prepared.save()
    jobs = [job for job in prepared.jobs if job.fingerprint not in failed]
    failed |= run_jobs(jobs, workers, say, progress=progress)
    return load_experiment(task.folder)


def _planned(folder: Path) -> list[dict[str, Any]]:
    """The settings of trials that were planned before, in order."""
    if not (folder / "experiment.json").is_file():
        return []
    return [row["overrides"] for row in read_plan(folder)["rows"][1:]]


def _row(number: int, values: Mapping[str, Any]) -> RowPlan:
    shown = ", ".join(f"{name.split('.')[1]} {v:.3g}" if isinstance(v, float) else f"{name.split('.')[1]} {v}"
                      for name, v in values.items())  # fmt: skip
    return RowPlan(f"trial-{number}", f"{number}: {shown}", dict(values), (VALIDATION,), reference=RECIPE)
