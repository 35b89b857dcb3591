"""Joining experiment folders, and writing what there is to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from strongreid.errors import InputError
from strongreid.experiments.page import write_page
from strongreid.experiments.prepare import differing
from strongreid.experiments.records import Experiment, Row, load_experiment
from strongreid.experiments.tables import write_tables


def load_experiments(folders: Sequence[str | Path]) -> list[Experiment]:
    """Read experiment folders, joined where they are parts of one (`join_experiments`).

    Raises:
        InputError: one is no experiment folder, or is named twice.
    """
    if len({Path(folder).resolve() for folder in folders}) < len(folders):
        raise InputError("an experiment folder is named twice; name each once.")
    return join_experiments([load_experiment(folder) for folder in folders])


def join_experiments(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Parts of one experiment as one: the same name and settings, so other seeds, rows or data sets of it.

    A cell that is in several parts counts once, of the first. The order is that of the first parts.
    """
    joined: list[Experiment] = []
    for experiment in experiments:
        place = next((n for n, known in enumerate(joined) if _same(known, experiment)), None)
        if place is None:
            joined.append(experiment)
        else:
            joined[place] = _join(joined[place], experiment)
    return joined


def write_report(experiments: Sequence[Experiment], folder: Path, *, sheets: bool = True) -> list[Path]:
    """Write `table.md`, `table.tex`, `table.txt` and the page `report.html`; returns their paths.

    Without `sheets` the page shows no pictures of the data sets.

    Raises:
        InputError: a result is missing or damaged, or a file can't be written.
    """
    page = folder / "report.html"
    write_page(experiments, page, sheets=sheets)
    return [*write_tables(experiments, folder), page]


def _same(a: Experiment, b: Experiment) -> bool:
    """Whether they are parts of one: name, settings, rows of one name, and data sets of one name agree."""
    rows = {row.name: row.plan for row in a.rows}
    return (
        a.name == b.name
        and not differing(a.settings, b.settings)
        and all(rows.get(row.name, row.plan).overrides == row.plan.overrides for row in b.rows)
        and all(
            (one := a.data.get(name, other)).train_fingerprint == other.train_fingerprint
            and one.test_fingerprint == other.test_fingerprint
            for name, other in b.data.items()
        )
    )


def _join(a: Experiment, b: Experiment) -> Experiment:
    rows: list[Row] = []
    for name in dict.fromkeys([row.name for row in (*a.rows, *b.rows)]):
        parts = [row for row in (*a.rows, *b.rows) if row.name == name]
        cells = {(cell.seed, cell.test_set): cell for part in reversed(parts) for cell in part.cells}
        tests = tuple(dict.fromkeys(test for part in parts for test in part.plan.test_sets))
        rows.append(Row(replace(parts[0].plan, test_sets=tests), tuple(cells.values())))
    return replace(
        a,
        command="\n".join(dict.fromkeys([*a.command.splitlines(), *b.command.splitlines()])),
        hardware="; ".join(dict.fromkeys([*a.hardware.split("; "), *b.hardware.split("; ")])),
        data=b.data | a.data,
        columns=tuple(dict.fromkeys([*a.columns, *b.columns])),
        seeds=tuple(sorted({*a.seeds, *b.seeds})),
        rows=tuple(rows),
        failed=b.failed | a.failed,
    )
