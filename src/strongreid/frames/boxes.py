"""Boxes of people in frames, from the files that detectors, trackers and benchmarks write."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from strongreid.errors import InputError

COLUMNS = ("frame", "left", "top", "width", "height")
"""That a CSV or a line of JSON must have; `track` and `score` are optional."""
_LARGEST = 1_000_000.0
"""No edge is farther from the frame's corner, in pixels."""


class Box(NamedTuple):
    """A person in a frame, in pixels from its upper left corner; edges may lie outside."""

    frame: int
    """Counted from 1."""
    track: int | None
    """The same number for the same person in one film; None where nobody linked the boxes."""
    left: float
    top: float
    width: float
    height: float
    score: float | None
    """A detector's confidence, or in a true box the share of the person that is seen."""


def read_boxes(path: str | Path) -> tuple[Box, ...]:
    """Boxes of a file, in the order of frames, then of the file.

    - `.txt`: MOT Challenge, rows of frame, track, left, top, width, height and perhaps confidence, class, visibility;
      the upper left pixel is (1, 1), a track of -1 is none. Of true boxes (a class from 1 on) those of class 1,
      pedestrian, are kept whose flag in the place of the confidence is not 0, and their score is the visibility.
    - `.csv` with a head: `frame`, `left`, `top`, `width`, `height`, and `track` and `score` where known; the upper
      left pixel is (0, 0). Other columns are passed over.
    - `.jsonl`: the same names, an object a line.

    Raises:
        InputError: there is no such file, its ending is another, or a row can't be read: it is named.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: boxes are read from {', '.join(READERS)} files; see docs/frames.md.")
    boxes: list[Box] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, box in reader(file):
                if box is not None:
                    _check(path, number, box)
                    boxes.append(box)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file of boxes; check the path.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: the boxes can't be read ({error}).") from error
    except _RowError as error:
        raise InputError(f"{path}, {error}") from error
    if not boxes:
        raise InputError(f"{path} has no boxes of people in it; look at what wrote it.")
    return tuple(sorted(boxes, key=lambda box: box.frame))


class _RowError(ValueError):
    pass


def _mot(lines: Iterable[str]) -> Iterator[tuple[int, Box | None]]:
    for number, line in enumerate(lines, start=1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        if len(words) < 6:
            raise _RowError(
                f"line {number}: a row is frame, track, left, top, width, height, ...; got {line.strip()!r}."
            )
        values = [_number(word, number) for word in words[:9]]
        track = None if values[1] < 0 else _whole(values[1], "track", number)
        frame = _whole(values[0], "frame", number)
        score = values[6] if len(values) > 6 else None
        if len(values) > 7 and values[7] >= 1:  # the true boxes of a benchmark: a class
            if values[7] != 1 or score == 0:
                yield number, None
                continue
            score = values[8] if len(values) > 8 and values[8] >= 0 else None
        elif score == -1:
            score = None
        yield number, Box(frame, track, values[2] - 1, values[3] - 1, values[4], values[5], score)


def _csv(lines: Iterable[str]) -> Iterator[tuple[int, Box | None]]:
    reader = csv.DictReader(lines)
    for row in reader:
        yield reader.line_num, _named(row, reader.line_num)


def _json_lines(lines: Iterable[str]) -> Iterator[tuple[int, Box | None]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise _RowError(f"line {number}: no JSON ({error}).") from error
        if not isinstance(value, dict):
            raise _RowError(f"line {number}: a line is an object with {', '.join(COLUMNS)}.")
        yield number, _named(value, number)


def _named(row: dict[str, Any], line: int) -> Box:
    missing = [name for name in COLUMNS if row.get(name) in (None, "")]
    if missing:
        raise _RowError(f"line {line}: lacks {', '.join(missing)}; a box has {', '.join(COLUMNS)}.")
    left, top, width, height = (_number(row[name], line) for name in COLUMNS[1:])
    track, score = (None if row.get(name) in (None, "") else _number(row[name], line) for name in ("track", "score"))
    frame = _whole(_number(row["frame"], line), "frame", line)
    own = None if track is None or track < 0 else _whole(track, "track", line)
    return Box(frame, own, left, top, width, height, score)


def _number(value: Any, line: int) -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise _RowError(f"line {line}: {value!r} is no number.")
    return found


def _whole(value: float, name: str, line: int) -> int:
    if value != int(value) or not 0 <= value < 2**53:
        raise _RowError(f"line {line}: a {name} is a whole number, got {value:g}.")
    return int(value)


def _check(path: Path, line: int, box: Box) -> None:
    if box.frame < 1:
        raise InputError(f"{path}, line {line}: frames are counted from 1, got {box.frame}.")
    edges = (abs(box.left), abs(box.top), box.width, box.height)
    if box.width <= 0 or box.height <= 0 or max(edges) > _LARGEST:
        raise InputError(
            f"{path}, line {line}: a box has a width and a height above 0 and edges within {_LARGEST:,.0f} pixels; "
            f"got left {box.left:g}, top {box.top:g}, width {box.width:g}, height {box.height:g}."
        )


READERS: dict[str, Callable[[Iterable[str]], Iterator[tuple[int, Box | None]]]] = {
    ".txt": _mot,
    ".csv": _csv,
    ".jsonl": _json_lines,
}


def by_frame(boxes: Sequence[Box]) -> dict[int, list[Box]]:
    """The boxes by frame."""
    found: dict[int, list[Box]] = {}
    for box in boxes:
        found.setdefault(box.frame, []).append(box)
    return found
