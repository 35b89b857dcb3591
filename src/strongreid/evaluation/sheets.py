"""Contact sheets to look at: queries with what the gallery answered, and labelled rows of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal, TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from strongreid.data.records import DISTRACTOR, ReIDDataset
from strongreid.errors import InputError
from strongreid.evaluation.distances import Metric
from strongreid.evaluation.matching import LeaveOut
from strongreid.evaluation.ranking import rank_features, top_matches
from strongreid.features import FeatureTable
from strongreid.files import atomic_file

Item = TypeVar("Item")
Colour = tuple[int, int, int]
PAPER: Colour = (255, 255, 255)
INK: Colour = (33, 37, 41)
FAINT: Colour = (108, 117, 125)
MISSING: Colour = (222, 226, 230)
QUERY: Colour = (13, 71, 161)
RIGHT: Colour = (0, 153, 68)
WRONG: Colour = (214, 40, 40)

Which = Literal["spread", "worst", "best"]
TITLES: dict[Which, str] = {
    "spread": "from the worst to the best average precision",
    "worst": "those of the worst average precision",
    "best": "those of the best average precision",
}
MARGIN = 20
GAP, ROW_GAP = 8, 14
BORDER = 4
TITLE_SIZE, TEXT_SIZE = 18, 12
TITLE_HEIGHT, LEGEND_HEIGHT, LINE_HEIGHT = 32, 26, 16
QUERY_GAP = 12  # more room after the query than between its answers


@dataclass(frozen=True)
class _Tile:
    """A picture, the colour of its border, and the lines under it. Without a path the place stays empty."""

    path: str | Path | None
    border: Colour | None = None
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Row:
    tiles: Sequence[_Tile]
    label: str = ""
    gap_after_first: int = 0


def rank_sheet(
    query: FeatureTable,
    gallery: FeatureTable,
    output: str | Path,
    *,
    queries: int = 8,
    top_k: int = 10,
    metric: Metric = "cosine",
    leave_out: LeaveOut = "same_camera",
    which: Which = "spread",
    seed: int = 0,
    height: int = 128,
) -> None:
    """Draw a PNG: queries with their nearest gallery pictures, right ones in green, wrong ones in red.

    By default the rows are spread evenly over the queries from the worst average precision to the best, so the
    sheet shows the whole range and not a lucky draw. Pictures of the query's identity and camera are left out,
    as in evaluation. A picture that can't be read becomes a grey tile.

    Args:
        query: features and the paths of the pictures.
        gallery: the same.
        output: the PNG to write, atomically.
        queries: most rows drawn.
        top_k: answers per row.
        metric: "cosine" or "euclidean".
        leave_out: what a query does not see, as in `evaluate`.
        which: "spread", or the "worst" or the "best" queries only.
        seed: chooses among queries of equal average precision; the same seed draws the same sheet.
        height: of a picture, in pixels; its width follows the usual shape of the pictures drawn.

    Raises:
        InputError: a count is below 1, no query has a true match, or the file can't be written.
    """
    _check_counts(queries=queries, top_k=top_k, height=height)
    if which not in TITLES:
        raise InputError(f"unknown choice of queries {which!r}; allowed: {', '.join(TITLES)}.")
    ranking = rank_features(query, gallery, metric, leave_out=leave_out)
    if not len(ranking.query):
        raise InputError("no query has a true match in the gallery: there is nothing to draw; evaluate() says why.")
    shuffled = np.random.default_rng(seed).permutation(len(ranking.query))
    by_precision = shuffled[np.argsort(ranking.average_precision[shuffled], kind="stable")]
    count = min(queries, len(by_precision))
    places = {
        "spread": np.linspace(0, len(by_precision) - 1, count).round().astype(np.int64),
        "worst": np.arange(count),
        "best": len(by_precision) - 1 - np.arange(count),
    }
    drawn = by_precision[places[which]]
    chosen = ranking.query[drawn]
    nearest, distances = top_matches(query.select(chosen), gallery, top_k, metric, leave_out=leave_out)
    rows = []
    for number, row in enumerate(chosen.tolist()):
        precision = ranking.average_precision[drawn[number]]
        identity = int(query.identities[row])
        tiles = [_Tile(query.paths[row], QUERY, (f"id {identity}", f"AP {100 * precision:.1f}"))]
        for place, (found, distance) in enumerate(zip(nearest[number], distances[number], strict=True), start=1):
            if found >= 0:
                right = identity != DISTRACTOR and gallery.identities[found] == identity
                tiles.append(_Tile(gallery.paths[found], RIGHT if right else WRONG, (f"{place}", f"{distance:.3f}")))
        rows.append(_Row(tiles, gap_after_first=QUERY_GAP))
    title = f"{len(rows)} of {len(ranking.query)} queries, {TITLES[which]}"
    legend = [
        (QUERY, "query: identity, AP in %"),
        (RIGHT, "same identity"),
        (WRONG, "another identity"),
        (None, f"below: rank, {metric} distance"),
    ]
    _draw(title, legend, rows, Path(output), height)


def picture_grid(
    rows: Sequence[tuple[str, Sequence[Path]]], output: str | Path, *, title: str = "", height: int = 128
) -> None:
    """Draw a PNG of labelled rows of pictures. A picture that can't be read becomes a grey tile.

    Args:
        rows: a label and the pictures beside it, row by row.
        output: the PNG to write, atomically.
        title: a line above, if any.
        height: of a picture, in pixels; its width follows the usual shape of the pictures.

    Raises:
        InputError: there are no rows, the height is below 1, or the file can't be written.
    """
    _check_counts(height=height, rows=len(rows))
    _draw(
        title,
        [],
        [_Row([_Tile(path) for path in paths], label) for label, paths in rows],
        Path(output),
        height,
    )


def dataset_sheet(dataset: ReIDDataset, output: str | Path, *, rows: int = 6, pictures: int = 10) -> None:
    """Draw a contact sheet of a data set: identities of the training and of the test split, then distractors.

    Args:
        dataset: what a reader returned.
        output: the PNG to write, atomically.
        rows: identities of each split, evenly spread over the sorted identities.
        pictures: at most so many of each, evenly spread over its pictures in order of camera.

    Raises:
        InputError: a count is below 1, or the file can't be written.
    """
    _check_counts(rows=rows, pictures=pictures)
    test = dataset.query + dataset.gallery
    drawn: list[tuple[str, Sequence[Path]]] = []
    for split, records in (("train", dataset.train), ("test", test)):
        identities = sorted({record.identity for record in records} - {DISTRACTOR})
        for identity in _spread(identities, rows):
            of_one = sorted((r for r in records if r.identity == identity), key=lambda r: (r.camera, r.path.name))
            chosen = _spread(of_one, pictures)
            drawn.append((f"{split} {identity:04d}", [record.path for record in chosen]))
    if distractors := [record.path for record in dataset.gallery if record.identity == DISTRACTOR]:
        drawn.append(("distractors", _spread(distractors, pictures)))
    picture_grid(drawn, output, title=f"{dataset.name}: pictures of an identity in order of camera")


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items, evenly spread, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(place)] for place in np.linspace(0, len(items) - 1, count)]


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"a sheet needs {name} of at least 1, got {count}.")


def _draw(
    title: str, legend: Sequence[tuple[Colour | None, str]], rows: Sequence[_Row], output: Path, height: int
) -> None:
    """Lay out and write a sheet: title, legend, then each row's label and tiles."""
    pictures = [[None if tile.path is None else _read(tile.path, height) for tile in row.tiles] for row in rows]
    shapes = [picture.width / picture.height for row in pictures for picture in row if picture is not None]
    width = round(height * min(max(median(shapes), 0.3), 3.0)) if shapes else max(1, height // 2)
    text = ImageFont.load_default(size=TEXT_SIZE)
    labels = max((int(text.getlength(row.label)) + GAP for row in rows if row.label), default=0)
    cell_width = width + 2 * BORDER
    lines = max((len(tile.lines) for row in rows for tile in row.tiles), default=0)
    cell_height = height + 2 * BORDER + lines * LINE_HEIGHT
    head = (TITLE_HEIGHT if title else 0) + (LEGEND_HEIGHT if legend else 0)
    longest = max(len(row.tiles) * (cell_width + GAP) - GAP + row.gap_after_first for row in rows)
    heading = ImageFont.load_default(size=TITLE_SIZE)
    inner = max(labels + longest, int(heading.getlength(title)) + 1, _legend_width(legend, text))
    size = (inner + 2 * MARGIN, head + len(rows) * (cell_height + ROW_GAP) - ROW_GAP + 2 * MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    if title:
        pen.text((MARGIN, MARGIN), title, INK, heading)
    _draw_legend(pen, legend, MARGIN + (TITLE_HEIGHT if title else 0), text)
    for number, (row, read) in enumerate(zip(rows, pictures, strict=True)):
        top = MARGIN + head + number * (cell_height + ROW_GAP)
        pen.text((MARGIN, top + BORDER + height // 2), row.label, INK, text, anchor="lm")
        left = MARGIN + labels
        for place, (tile, picture) in enumerate(zip(row.tiles, read, strict=True)):
            _draw_tile(sheet, (left, top), (width, height), tile, picture)
            left += cell_width + GAP + (row.gap_after_first if place == 0 else 0)
    with atomic_file(output) as partial:
        sheet.save(partial, format="PNG")


def _draw_tile(
    sheet: Image.Image,
    corner: tuple[int, int],
    size: tuple[int, int],
    tile: _Tile,
    picture: Image.Image | None,
) -> None:
    """A tile with its border's upper left corner at `corner`, and its lines centred below."""
    pen = ImageDraw.Draw(sheet)
    text = ImageFont.load_default(size=TEXT_SIZE)
    (left, top), (width, height) = corner, size
    right, bottom = left + width + 2 * BORDER, top + height + 2 * BORDER
    if tile.border is not None:
        pen.rectangle((left, top, right - 1, bottom - 1), fill=tile.border)
    inside = (left + BORDER, top + BORDER)
    middle = (left + right) // 2
    if tile.path is not None:
        pen.rectangle((*inside, right - BORDER - 1, bottom - BORDER - 1), fill=MISSING)
    if picture is not None:
        fitting = ImageOps.contain(picture, size, Image.Resampling.BICUBIC)
        sheet.paste(fitting, (inside[0] + (width - fitting.width) // 2, inside[1] + (height - fitting.height) // 2))
    elif tile.path is not None:
        fitted = ImageFont.load_default(size=max(6, min(TEXT_SIZE, width // 6)))
        pen.text((middle, (top + bottom) // 2), "unreadable", FAINT, fitted, anchor="mm")
    for number, line in enumerate(tile.lines):
        place = (middle, bottom + number * LINE_HEIGHT + LINE_HEIGHT // 2 + 1)
        pen.text(place, line, INK if number == 0 else FAINT, text, anchor="mm")


def _draw_legend(
    pen: ImageDraw.ImageDraw,
    legend: Sequence[tuple[Colour | None, str]],
    top: int,
    text: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    left = MARGIN
    for colour, meaning in legend:
        if colour is not None:
            pen.rectangle((left, top + 2, left + 11, top + 13), fill=colour)
            left += 17
        pen.text((left, top + 8), meaning, FAINT, text, anchor="lm")
        left += int(text.getlength(meaning)) + 2 * GAP


def _legend_width(
    legend: Sequence[tuple[Colour | None, str]], text: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> int:
    return sum(int(text.getlength(meaning)) + 2 * GAP + (17 if colour else 0) for colour, meaning in legend)


def _read(path: str | Path, height: int) -> Image.Image | None:
    """The picture no larger than needed, or None where it can't be read."""
    try:
        with Image.open(path) as file:
            file.draft("RGB", (2 * height, 2 * height))  # a JPEG is decoded at a fraction of its size
            picture = file.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    picture.thumbnail((4 * height, height), Image.Resampling.BICUBIC)
    return picture
