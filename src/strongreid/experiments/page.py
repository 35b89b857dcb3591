"""The report: one HTML file that holds everything, asks no host for anything, and prints well."""

from __future__ import annotations

import base64
import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strongreid.evaluation.answers import answer_sheet
from strongreid.experiments.figures.rows import draw_row_curves, draw_rows
from strongreid.experiments.paper import paper_set
from strongreid.experiments.plan import TITLES
from strongreid.experiments.records import Column, Experiment, RowDifference
from strongreid.experiments.tables import Table, tables_of
from strongreid.files import atomic_file

TEMPLATE = "page.html"
_SHEET = {"queries": 6, "top_k": 8, "height": 112}
_JPEG_QUALITY = 82


@dataclass(frozen=True)
class Image:
    """A picture inside the page."""

    source: str
    """A data URI."""
    about: str
    """What it shows, in words."""


@dataclass(frozen=True)
class ColumnPart:
    """What the page has of one column of an experiment."""

    table: Table
    verdicts: tuple[str, ...]
    """Which differences are significant, in words."""
    images: tuple[Image, ...]


def write_page(
    experiments: Sequence[Experiment], path: str | Path, *, level: float = 0.95, sheets: bool = True
) -> None:
    """Write experiments as one self-contained HTML file.

    Of each: every column's table, the paper's figures beside the run's own where the data sets are the paper's, which
    differences are significant, intervals and curves as figures, a sheet of ranked pictures of the best row, the
    command, versions, hardware, fingerprints of the data, settings. The same experiments give the same bytes.

    Args:
        experiments: as `load_experiment` reads them; unfinished ones too, and then the page says so.
        path: the file to write, atomically.
        level: of the intervals.
        sheets: False leaves the pictures of the data sets out, so that a page of real people can be given away.

    Raises:
        InputError: a result is missing or damaged, the level is not between 0 and 1, or the file can't be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("strongreid.experiments", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    parts = [_context(experiment, level, sheets) for experiment in experiments]
    page = environment.get_template(TEMPLATE).render(experiments=parts, level=level)
    with atomic_file(Path(path)) as partial:
        partial.write_text(page, encoding="utf-8")


def verdict(experiment: Experiment, found: RowDifference) -> str:
    """A difference in words: which row, against which, by how much, and whether that is more than chance."""
    row, reference = experiment.row(found.row).label, experiment.row(found.reference).label
    p = f"{found.adjusted:.3f}" if found.adjusted >= 0.001 else "below 0.001"
    around = f"{100 * found.found.low:+z.2f} to {100 * found.found.high:+z.2f}"
    says = "significant" if found.significant else "not significant"
    return f"{row} against {reference}: {100 * found.found.difference:+z.2f} mAP ({around}), p {p}: {says}"


def _context(experiment: Experiment, level: float, sheets: bool) -> dict[str, Any]:
    """What the template shows of an experiment."""
    tables = tables_of(experiment, level=level)
    columns = [
        _column(experiment, column, table, level, sheets)
        for column, table in zip(experiment.columns, tables, strict=True)
    ]
    trained = dict.fromkeys(column.train for column in experiment.columns)
    runs = {cell.run: cell.minutes for row in experiment.rows for cell in row.cells}
    return {
        "name": experiment.name,
        "title": TITLES.get(experiment.name, experiment.name),
        "finished": experiment.finished,
        "planned": experiment.planned,
        "failed": experiment.failed,
        "columns": columns,
        "curves": [image for train in trained if (image := _curves(experiment, train)) is not None],
        "command": experiment.command,
        "versions": experiment.versions,
        "hardware": experiment.hardware,
        "data": [(dataset, paper_set(dataset)) for dataset in experiment.data.values()],
        "seeds": ", ".join(map(str, experiment.seeds)),
        "settings": json.dumps(experiment.settings, indent=2),
        "rows": [(row.label, json.dumps(row.plan.overrides)) for row in experiment.rows],
        "trainings": len(runs),
        "minutes": sum(runs.values()),
    }


def _column(experiment: Experiment, column: Column, table: Table, level: float, sheets: bool) -> ColumnPart:
    finished = [row for row in experiment.rows if row.of(column.name)]
    images = []
    if finished:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows.svg"
            draw_rows(experiment, column, file, level=level)
            images.append(Image(_uri(file.read_bytes(), "svg+xml"), f"{table.title}: means and intervals"))
            if sheets and (sheet := _sheet(experiment, column, Path(folder))) is not None:
                images.append(sheet)
    differences = experiment.differences("mAP", column.name, level=level)
    return ColumnPart(table, tuple(verdict(experiment, found) for found in differences), tuple(images))


def _sheet(experiment: Experiment, column: Column, folder: Path) -> Image | None:
    """Ranked pictures of the row with the highest mAP, from its first seed that kept its answers."""
    rows = [(row.mean("mAP", column.name) or 0.0, row) for row in experiment.rows if row.of(column.name)]
    row = max(rows, key=lambda pair: pair[0])[1]
    for cell in row.of(column.name):
        result = cell.result()
        if result.answers is not None:
            answer_sheet(result, folder / "sheet.png", **_SHEET)
            about = f"Ranked pictures of “{row.label}” on {column.test}, seed {cell.seed}"
            return Image(_as_jpeg(folder / "sheet.png"), about)
    return None


def _curves(experiment: Experiment, train: str) -> Image | None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "curves.svg"
        if not draw_row_curves(experiment, train, file):
            return None
        about = f"Trained on {train}: mean over seeds by epoch; the band is the least to the most"
        return Image(_uri(file.read_bytes(), "svg+xml"), about)


def _as_jpeg(file: Path) -> str:
    """A PNG as the data URI of a JPEG, which is a tenth of its size."""
    from PIL import Image as Pillow

    stream = io.BytesIO()
    with Pillow.open(file) as picture:
        picture.convert("RGB").save(stream, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return _uri(stream.getvalue(), "jpeg")


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
