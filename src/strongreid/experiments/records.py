"""What an experiment leaves on disk, read back: rows of cells, with means, intervals and differences.

An experiment folder holds `experiment.json`, the plan: rows, seeds, data sets, and for every cell in which training
run and under which name its result is. A training run is a folder `FINGERPRINT/` in `runs/` (or in a folder that
several experiments share), with `cell.json`, which says what is done, and `results/`. Reading needs no torch.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from strongreid.errors import InputError
from strongreid.evaluation.comparison import Difference, compare_results
from strongreid.evaluation.intervals import Interval, interval, measure_name
from strongreid.evaluation.result import EvalResult
from strongreid.evaluation.spread import Spread, holm, paired_difference
from strongreid.experiments.stored import FORMAT, VERSION, read_cell, read_plan
from strongreid.files import write_json

MeasureName = Literal["mAP", "rank1", "rank5", "rank10", "mINP"]
MEASURES: dict[MeasureName, Literal["mAP", "mINP"] | int] = {
    "mAP": "mAP",
    "rank1": 1,
    "rank5": 5,
    "rank10": 10,
    "mINP": "mINP",
}
"""What a cell holds, and the name that `strongreid.evaluation` has for it."""


@dataclass(frozen=True)
class DataSet:
    """A data set of the experiment."""

    name: str
    """As the command named it."""
    kind: str
    """Its layout, a name of `strongreid.data.readers.READERS`."""
    root: str
    """Its folder, absolute."""
    train_fingerprint: str
    """Of the training pictures: names, labels and bytes."""
    test_fingerprint: str
    """Of the query and gallery pictures."""
    counts: dict[str, int]
    """Pictures of "train", "query", "gallery", and "identities" in training."""


@dataclass(frozen=True)
class Column:
    """A pair of data sets: what was trained on, and what was tested on."""

    name: str
    """E.g. "market", or "market -> duke"."""
    train: str
    test: str
    """Names of data sets."""


@dataclass(frozen=True)
class RowPlan:
    """A row of an experiment's table."""

    name: str
    """Short, unique in the experiment, such as "bnneck"."""
    label: str
    """As the table shows it, such as "+ BNNeck"."""
    overrides: dict[str, Any]
    """Settings that differ from the experiment's: {"model.neck": "bnneck"}; "eval.feature" and "eval.metric" too."""
    test_sets: tuple[str, ...] = ()
    """Names of the columns that it has a cell in."""
    reference: str = ""
    """Name of the row that it is compared with; empty for none."""
    rerank: Literal["k_reciprocal"] | None = None


@dataclass(frozen=True)
class Cell:
    """One training run of a row, tested once. Shares in 0..1."""

    row: str
    seed: int
    test_set: str
    """Name of the column."""
    mAP: float  # noqa: N815 - the field's own spelling
    rank1: float
    rank5: float
    rank10: float
    mINP: float  # noqa: N815
    path: Path
    """The saved `EvalResult`, with per-query figures, and for the first seed the first answers."""
    run: Path
    """Folder of the training run: `config.json`, `log.jsonl`, the model in `last/`."""
    minutes: float
    """Of the training, evaluations during it not counted."""
    collapsed: bool = False
    """Whether the run's log says that the training collapsed at some time."""

    def value(self, measure: MeasureName) -> float:
        """One of `MEASURES`."""
        return float(getattr(self, measure))

    def result(self) -> EvalResult:
        """The evaluation, with every query's figures.

        Raises:
            InputError: the file is missing or damaged.
        """
        return EvalResult.load(self.path)

    def log(self) -> list[dict[str, Any]]:
        """The events of the run log; empty where it is gone."""
        file = self.run / "log.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


@dataclass(frozen=True)
class Row:
    """A row of the plan with the cells that are finished."""

    plan: RowPlan
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """Unique in the experiment."""
        return self.plan.name

    @property
    def label(self) -> str:
        """As the table shows it."""
        return self.plan.label

    def of(self, test_set: str) -> tuple[Cell, ...]:
        """The finished cells of a column, by seed."""
        return tuple(sorted((cell for cell in self.cells if cell.test_set == test_set), key=lambda cell: cell.seed))

    def spread(self, measure: MeasureName, test_set: str) -> Spread | None:
        """The values of all seeds with their mean and deviation; None where no cell is finished."""
        cells = self.of(test_set)
        return Spread(tuple(cell.value(measure) for cell in cells)) if cells else None

    def mean(self, measure: MeasureName, test_set: str) -> float | None:
        """Over the seeds; None where no cell is finished."""
        spread = self.spread(measure, test_set)
        return None if spread is None else spread.mean

    def basis(self, test_set: str) -> Literal["seeds", "people", "nothing"]:
        """What `interval` is made from: Student's t over seeds, the bootstrap over people of one run, or nothing."""
        return ("nothing", "people", "seeds")[min(2, len(self.of(test_set)))]

    def interval(self, measure: MeasureName, test_set: str, level: float = 0.95) -> Interval | None:
        """The interval of the mean over seeds, or for a single seed the one over people; see `basis`.

        They say different things: what training again would give, and what other people would.
        """
        cells, spread = self.of(test_set), self.spread(measure, test_set)
        if spread is None:
            return None
        if len(cells) > 1:
            return spread.interval(level)
        return interval(cells[0].result(), MEASURES[measure], level=level)


@dataclass(frozen=True)
class RowDifference:
    """A row against its reference row."""

    row: str
    reference: str
    test_set: str
    measure: MeasureName
    found: Difference
    """`a` is the reference, `b` the row; p-value of this comparison alone."""
    adjusted: float
    """The p-value for being one of several rows of the column (Holm)."""
    seeds: int
    """Pairs of runs compared; with 1, the comparison is over people."""
    level: float

    @property
    def significant(self) -> bool:
        """Whether the adjusted p-value is below 1 - level."""
        return self.adjusted < 1 - self.level


@dataclass(frozen=True)
class Experiment:
    """An experiment folder."""

    folder: Path
    name: str
    """tricks, leave-one-out, features, cross-domain, batch-size, image-size, backbones, seeds or tune."""
    command: str
    """The command line that made it."""
    versions: dict[str, str]
    hardware: str
    data: dict[str, DataSet]
    settings: dict[str, Any]
    """The configuration that the rows' overrides start from, nested by room."""
    columns: tuple[Column, ...]
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    failed: dict[str, str] = field(default_factory=dict)
    """Why runs did not finish, by their fingerprint."""

    def row(self, name: str) -> Row:
        """The row of this name."""
        return next(row for row in self.rows if row.name == name)

    @cached_property
    def planned(self) -> int:
        """Cells of the plan."""
        return len(self.seeds) * sum(len(row.plan.test_sets) for row in self.rows)

    @cached_property
    def finished(self) -> int:
        """Cells that are there."""
        return sum(len(row.cells) for row in self.rows)

    def differences(
        self, measure: MeasureName = "mAP", test_set: str | None = None, *, level: float = 0.95
    ) -> list[RowDifference]:
        """Each row against its reference row, in one column or in all, where both have a seed in common.

        With two seeds or more in common Student's paired t over them; with one the paired comparison over people.
        """
        found: list[RowDifference] = []
        for column in self.columns:
            if test_set not in (None, column.name):
                continue
            compared = [
                (row, pair)
                for row in self.rows
                if row.plan.reference and (pair := self._pair(row, column.name)) is not None
            ]
            differences = [_difference(pair, measure, level) for _, pair in compared]
            adjusted = holm([difference.p for difference in differences])
            found += [
                RowDifference(row.name, row.plan.reference, column.name, measure, one, p, len(pair[0]), level)
                for (row, pair), one, p in zip(compared, differences, adjusted, strict=True)
            ]
        return found

    def _pair(self, row: Row, column: str) -> tuple[list[Cell], list[Cell]] | None:
        """The cells of the reference and of the row, of the seeds that both have."""
        ours = {cell.seed: cell for cell in row.of(column)}
        theirs = {cell.seed: cell for cell in self.row(row.plan.reference).of(column)}
        common = sorted(ours.keys() & theirs.keys())
        return ([theirs[seed] for seed in common], [ours[seed] for seed in common]) if common else None


def _difference(pair: tuple[list[Cell], list[Cell]], measure: MeasureName, level: float) -> Difference:
    reference, row = pair
    if len(row) > 1:
        return paired_difference(
            [cell.value(measure) for cell in reference], [cell.value(measure) for cell in row], level=level
        )
    named = MEASURES[measure]
    ranks = [named] if isinstance(named, int) else []
    results = [_by_relative_path(cell.result()) for cell in (reference[0], row[0])]
    return compare_results(results[0], results[1], ranks=ranks, level=level).measures[measure_name(named)]


def _by_relative_path(result: EvalResult) -> EvalResult:
    """With query paths from the data set's folder on, since it may lie elsewhere on another machine."""
    paths = result.per_query.paths
    common = os.path.commonpath(paths) if len(paths) > 1 else ""
    short = tuple(os.path.relpath(path, common) for path in paths) if common else paths
    return dataclasses.replace(result, per_query=dataclasses.replace(result.per_query, paths=short))


def save_experiment(
    folder: Path, experiment: Experiment, runs: Path, cells: Sequence[tuple[str, int, str, str, str]]
) -> None:
    """Write `experiment.json`.

    Args:
        folder: the experiment folder.
        experiment: what is planned; its cells are not written, they are those of the runs.
        runs: folder of the training runs.
        cells: of every planned cell its row, seed, column, the run's fingerprint, and the name of the result in it.

    Raises:
        InputError: the folder can't be written.
    """
    plan = {
        "format": FORMAT,
        "version": VERSION,
        "name": experiment.name,
        "command": experiment.command,
        "versions": experiment.versions,
        "hardware": experiment.hardware,
        "data": {name: dataclasses.asdict(dataset) for name, dataset in experiment.data.items()},
        "settings": experiment.settings,
        "columns": [dataclasses.asdict(column) for column in experiment.columns],
        "seeds": list(experiment.seeds),
        "rows": [dataclasses.asdict(row.plan) for row in experiment.rows],
        "runs": os.path.relpath(runs, folder) if _near(runs, folder) else str(runs.resolve()),
        "cells": [dict(zip(("row", "seed", "test_set", "run", "result"), cell, strict=True)) for cell in cells],
    }
    write_json(folder / "experiment.json", plan)


def load_experiment(folder: str | Path) -> Experiment:
    """Read an experiment folder with all cells that are finished by now.

    Raises:
        InputError: it is no experiment folder, of another version, or damaged.
    """
    folder = Path(folder)
    plan = read_plan(folder)
    try:
        runs = folder / plan["runs"]
        notes = {name: read_cell(runs / name) for name in {cell["run"] for cell in plan["cells"]}}
        cells: dict[str, list[Cell]] = {}
        for one in plan["cells"]:
            if saved := notes[one["run"]].get("results", {}).get(one["result"]):
                cell = _cell(one, saved, runs / one["run"], notes[one["run"]])
                cells.setdefault(cell.row, []).append(cell)
        rows = [
            RowPlan(**row | {"test_sets": tuple(row["test_sets"]), "overrides": _tuples(row["overrides"])})
            for row in plan["rows"]
        ]
        return Experiment(
            folder=folder,
            name=plan["name"],
            command=plan["command"],
            versions=plan["versions"],
            hardware=plan["hardware"],
            data={name: DataSet(**dataset) for name, dataset in plan["data"].items()},
            settings=plan["settings"],
            columns=tuple(Column(**column) for column in plan["columns"]),
            seeds=tuple(plan["seeds"]),
            rows=tuple(Row(row, tuple(cells.get(row.name, ()))) for row in rows),
            failed={name: note["failed"] for name, note in notes.items() if note.get("failed")},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{folder / 'experiment.json'} is damaged ({type(error).__name__}: {error}); run its command again, the "
            "runs are kept."
        ) from error


def _cell(planned: dict[str, Any], saved: dict[str, Any], run: Path, note: dict[str, Any]) -> Cell:
    return Cell(
        row=planned["row"],
        seed=planned["seed"],
        test_set=planned["test_set"],
        **{name: float(saved[name]) for name in MEASURES},
        path=run / "results" / f"{planned['result']}.json",
        run=run,
        minutes=float(note["minutes"]),
        collapsed=bool(note["collapsed"]),
    )


def _near(runs: Path, folder: Path) -> bool:
    """Whether they can be moved together: the runs lie in the experiment folder or beside it."""
    return runs.resolve().is_relative_to(folder.resolve().parent)


def _tuples(overrides: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in overrides.items()}
