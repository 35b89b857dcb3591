"""An experiment's tables as plain text, Markdown and LaTeX: means, intervals, differences, the paper's figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from strongreid.evaluation.intervals import in_percent
from strongreid.evaluation.text import text_table
from strongreid.experiments.paper import TABLES, printed
from strongreid.experiments.plan import TITLES
from strongreid.experiments.records import Column, Experiment, MeasureName, Row, RowDifference
from strongreid.files import atomic_file

NAMES: dict[MeasureName, str] = {
    "mAP": "mAP",
    "rank1": "Rank-1",
    "rank5": "Rank-5",
    "rank10": "Rank-10",
    "mINP": "mINP",
}
SHOWN: tuple[MeasureName, ...] = ("mAP", "rank1")


@dataclass(frozen=True)
class Table:
    """Cells as text, and what has to be said about them."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def text(self) -> str:
        """Aligned plain text."""
        return "\n".join([self.title, "", text_table(self.head, self.rows), *self.notes])

    def markdown(self) -> str:
        """A table of GitHub's Markdown."""
        lines = [f"**{self.title}**", "", _pipes(self.head), "|---" + "|---:" * (len(self.head) - 1) + "|"]
        return "\n".join(
            [*lines, *map(_pipes, self.rows), "", *(f"{note}  " for note in self.notes[:-1]), *self.notes[-1:]]
        )

    def latex(self) -> str:
        """A `tabular` with the rules of the package booktabs, in a `table` with its caption."""
        head = " & ".join(map(_tex, self.head))
        body = [" & ".join(map(_tex, row)) + r" \\" for row in self.rows]
        caption = _tex(". ".join([self.title, *(note.rstrip(".") for note in self.notes)]) + ".")
        return "\n".join(
            [
                r"\begin{table}",
                r"  \centering",
                rf"  \caption{{{caption}}}",
                rf"  \begin{{tabular}}{{l{'r' * (len(self.head) - 1)}}}",
                r"    \toprule",
                rf"    {head} \\",
                r"    \midrule",
                *(f"    {row}" for row in body),
                r"    \bottomrule",
                r"  \end{tabular}",
                r"\end{table}",
            ]
        )


def tables_of(experiment: Experiment, *, level: float = 0.95) -> list[Table]:
    """A table for every column of the experiment (a pair of training and test set).

    Raises:
        InputError: a result of a cell is missing or damaged, or the level is not between 0 and 1.
    """
    return [_table(experiment, column, level) for column in experiment.columns]


def write_tables(experiments: Sequence[Experiment], folder: Path) -> list[Path]:
    """Write `table.md`, `table.tex` and `table.txt` of all experiments; returns their paths.

    Raises:
        InputError: as `tables_of`, or a file can't be written.
    """
    tables = [table for experiment in experiments for table in tables_of(experiment)]
    forms = {
        "table.md": [table.markdown() for table in tables],
        "table.tex": [r"% needs \usepackage{booktabs}", *(table.latex() for table in tables)],
        "table.txt": [table.text() for table in tables],
    }
    for name, parts in forms.items():
        with atomic_file(folder / name) as partial:
            partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return [folder / name for name in forms]


def _table(experiment: Experiment, column: Column, level: float) -> Table:
    share = f"{100 * level:g} %"
    differences = {
        measure: {found.row: found for found in experiment.differences(measure, column.name, level=level)}
        for measure in SHOWN
    }
    papers = {row.name: printed(experiment.name, row.name, column, experiment.data) for row in experiment.rows}
    of_paper = any(papers.values())
    compared = any(differences.values())
    head = ["", "seeds"]
    for measure in SHOWN:
        head += [NAMES[measure], f"{share} interval", *(["difference", "p"] if compared else [])]
        head += ["paper"] if of_paper else []
    rows = []
    for row in experiment.rows:
        cells = [row.label, str(len(row.of(column.name)))]
        for measure in SHOWN:
            cells += _measured(row, measure, column, level)
            cells += _compared(differences[measure].get(row.name)) if compared else []
            found = papers[row.name]
            cells += [f"{getattr(found, measure):.1f}" if found else "-"] if of_paper else []
        rows.append(tuple(cells))
    where = f"trained on {column.train}, tested on {column.test}"
    if column.train == column.test:
        where = f"trained and tested on {column.train}"
    if experiment.name == "tune":
        where = "on training people held out"
    notes = _notes(experiment, column, compared, of_paper, level)
    return Table(f"{TITLES.get(experiment.name, experiment.name)}: {where}", tuple(head), tuple(rows), tuple(notes))


def _measured(row: Row, measure: MeasureName, column: Column, level: float) -> list[str]:
    """Mean and deviation, and the interval."""
    spread, around = row.spread(measure, column.name), row.interval(measure, column.name, level)
    if spread is None or around is None:
        return ["-", "-"]
    return [str(spread), in_percent(around.low, around.high)]


def _compared(found: RowDifference | None) -> list[str]:
    """Difference and adjusted p-value; a star where it is significant."""
    if found is None:
        return ["", ""]
    p = f"{found.adjusted:.3f}" if found.adjusted >= 0.001 else "<0.001"
    return [f"{100 * found.found.difference:+z.2f}{'*' if found.significant else ''}", p]


def _notes(experiment: Experiment, column: Column, compared: bool, of_paper: bool, level: float) -> list[str]:
    """What the columns mean, and what is missing."""
    notes = []
    bases = {row.basis(column.name) for row in experiment.rows}
    if "seeds" in bases:
        notes.append(
            "In percent: mean ± standard deviation over seeds; interval: Student's t of the mean over seeds."
        )
    if "people" in bases:
        notes.append(
            "In percent. Of a single seed, the interval is the bootstrap over people: it says nothing of other seeds."
        )
    if compared:
        against = {row.plan.reference for row in experiment.rows if row.plan.reference}
        whom = experiment.row(next(iter(against))).label if len(against) == 1 else "the row it adds to"
        if experiment.name == "cross-domain":
            whom = "the row before (last row: all six)"
        notes.append(
            f"difference: against {whom}, paired by seed (of one seed: by person); p adjusted for several rows "
            f"(Holm), * below {1 - level:.2g}."
        )
    if of_paper:
        notes.append(f"paper: as printed in {TABLES[experiment.name][0]}.")
    collapsed = [f"{row.label} ({n} of {len(row.of(column.name))})" for row in experiment.rows
                 if (n := sum(cell.collapsed for cell in row.of(column.name)))]  # fmt: skip
    if collapsed:
        notes.append(f"The training collapsed, for some epochs at least: {', '.join(collapsed)} seeds.")
    missing = sum(len(experiment.seeds) - len(row.of(column.name)) for row in experiment.rows)
    if missing:
        notes.append(f"{missing} cells are not finished.")
    return notes


def _pipes(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


_SPECIAL = {"\\": r"\textbackslash{}", "±": r"$\pm$", "<": "$<$", ">": "$>$", "~": r"\textasciitilde{}", "^": r"\^{}"}


def _tex(text: str) -> str:
    """Text with LaTeX's special characters escaped, and numbers' minus signs as such."""
    escaped = re.sub(r"[\\&%$#_{}~^±<>]", lambda found: _SPECIAL.get(found[0], "\\" + found[0]), text)
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", escaped)
