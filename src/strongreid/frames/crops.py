"""Crops of people out of films, and the table that `gallery add --notes` takes."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from strongreid.data.images import Pictures
from strongreid.errors import InputError
from strongreid.files import atomic_file, write_json
from strongreid.frames.boxes import Box, by_frame
from strongreid.frames.film import Film, Shot

NOTES, PLAN = "notes.csv", "crops.json"
COLUMNS = ("path", "camera", "time", "track", "frame", "box", "score")
"""Of `notes.csv`. `path` is relative to it, `box` the left, top, width and height of the crop in whole pixels."""
_INSIDE = 0.5
"""A box of which less lies inside the frame is left out: it shows too little of the person."""
_QUALITY = 95
_VERSION = 1


@dataclass(frozen=True)
class CropSettings:
    """Which boxes are cut, and how.

    Raises:
        InputError: a value is out of range.
    """

    min_height: int = 48
    """Pixels of the box inside the frame; smaller ones are left out."""
    margin: float = 0.0
    """Share of the box's width and height that is added on each side, 0 to 1."""
    every: int = 1
    """Frames 1, 1 + n, 1 + 2n, ... only."""
    per_track: int | None = None
    """Crops of a track at most, spread evenly over it."""
    min_score: float = 0.0
    """Boxes with a lower score are left out; those without one are kept."""

    def __post_init__(self) -> None:
        for name, least in (("min_height", 1), ("every", 1), ("per_track", 1)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise InputError(f"{name} is {value!r}; allowed is a whole number from {least}.")
        for name in ("margin", "min_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; allowed is a number from 0 to 1.")


class Crop(NamedTuple):
    """One picture to be cut."""

    name: str
    frame: int
    track: int | None
    box: tuple[int, int, int, int]
    """Left, top, width, height inside the frame, with the margin."""
    score: float | None


class Cut(NamedTuple):
    """What `cut` made."""

    crops: int
    tracks: int
    """Different ones; boxes without a track are none."""
    new: int
    """Crops written by this call; the others were there."""


def cut(
    films: Sequence[tuple[Shot, Film, Sequence[Box]]],
    output: str | Path,
    settings: CropSettings | None = None,
    *,
    identities: bool = False,
    progress: bool = False,
) -> Cut:
    """Cut the boxes out of the films, into pictures and `notes.csv` in the folder `output`.

    Pictures are named in the manner of Market-1501, so that any reader knows the camera: 0000_c2s1_000451_03.jpg is
    the box 3 of frame 451 before camera 2. `0000` is nobody known. Every picture appears whole or not at all, and
    `notes.csv` after the last one: a run that was killed is gone on with by the same call, and a complete one is
    kept.

    Args:
        films: each shot with its opened film and its boxes.
        output: a folder that is new, empty, or of the same films, boxes and settings.
        settings: None takes the default.
        identities: track numbers are people's, the same before every camera, as in generated scenes: the file names
            tell them, for evaluation.
        progress: show a bar.

    Raises:
        InputError: two films of one camera, no box to cut, `output` holds something else, a frame that boxes name is
            not there or can't be read, or the disk is full.
    """
    output, settings = Path(output), settings or CropSettings()
    cameras = [shot.camera for shot, _, _ in films]
    if len(set(cameras)) < len(cameras):
        raise InputError("two films have the same camera; give each its own, or cut them into folders of their own.")
    plans = [plan(shot, film, boxes, settings, identities=identities) for shot, film, boxes in films]
    total = sum(len(crops) for crops in plans)
    if not total:
        raise InputError(
            f"of {sum(len(boxes) for _, _, boxes in films)} boxes none is to be cut (min_height "
            f"{settings.min_height}, min_score {settings.min_score}, every {settings.every}); lower "
            "the limits, or look at the boxes."
        )
    check_output(output)
    _claim(output, _fingerprint(films, settings, identities))
    rows: list[tuple[Any, ...]] = []
    new = 0
    with tqdm(total=total, desc="crop", unit="picture", file=sys.stderr, disable=not progress) as bar:
        for (shot, film, _), crops in zip(films, plans, strict=True):
            made, own = _cut_film(shot, film, crops, output, bar.update)
            new += made
            rows += own
    _write_notes(output / NOTES, rows)
    return Cut(total, len({row[3] for row in rows if row[3]}), new)


def plan(
    shot: Shot, film: Film, boxes: Sequence[Box], settings: CropSettings, *, identities: bool = False
) -> list[Crop]:
    """Which crops a film gives, in the order of its frames.

    Raises:
        InputError: boxes name frames that the film does not have, or `identities` and a box without a track.
    """
    there = set(film.numbers)
    beyond = sorted({box.frame for box in boxes} - there)
    if beyond:
        first, last = (min(there), max(there)) if there else (0, 0)
        raise InputError(
            f"{film.name} has {len(there)} frames, {first} to {last}, and boxes name frame {beyond[0]}: give the "
            "boxes of this film."
        )
    width, height = film.size
    chosen: list[Crop] = []
    for frame, own in sorted(by_frame(boxes).items()):
        if (frame - 1) % settings.every:
            continue
        for place, box in enumerate(own):
            if identities and not box.track:
                raise InputError(f"{shot.folder}: a box of frame {frame} has no track, so nobody knows who it is.")
            area = _inside(box, width, height, settings)
            if area is not None:
                who = box.track if identities else 0
                name = f"{who:04d}_c{shot.camera}s1_{frame:06d}_{place:02d}.jpg"
                chosen.append(Crop(name, frame, box.track, area, box.score))
    return chosen if settings.per_track is None else _spread(chosen, settings.per_track)


def _inside(box: Box, width: int, height: int, settings: CropSettings) -> tuple[int, int, int, int] | None:
    """Left, top, width and height of the crop in whole pixels; None where there is to be none."""
    if box.score is not None and box.score < settings.min_score:
        return None
    across = min(box.left + box.width, width) - max(box.left, 0.0)
    down = min(box.top + box.height, height) - max(box.top, 0.0)
    if across <= 0 or down < settings.min_height or across * down < _INSIDE * box.width * box.height:
        return None
    aside, above = settings.margin * box.width, settings.margin * box.height
    left, top = max(round(box.left - aside), 0), max(round(box.top - above), 0)
    right = min(round(box.left + box.width + aside), width)
    bottom = min(round(box.top + box.height + above), height)
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def _spread(crops: Sequence[Crop], most: int) -> list[Crop]:
    """At most so many of each track, evenly over its crops; those without a track all stay."""
    rows: dict[int, list[int]] = {}
    for row, crop in enumerate(crops):
        if crop.track is not None:
            rows.setdefault(crop.track, []).append(row)
    left_out: set[int] = set()
    for own in rows.values():
        if len(own) > most:
            kept = ((np.arange(most) + 0.5) * len(own) / most).astype(int)
            left_out |= set(own) - {own[place] for place in kept.tolist()}
    return [crop for row, crop in enumerate(crops) if row not in left_out]


def _cut_film(
    shot: Shot, film: Film, crops: Sequence[Crop], output: Path, tell: Callable[[int], Any]
) -> tuple[int, list[tuple[Any, ...]]]:
    """Cut what is missing; returns how many that was, and the rows of the notes."""
    wanted: dict[int, list[Crop]] = {}
    times = _Times(output / f".times-c{shot.camera}.json")
    for crop in crops:
        there = output / crop.name
        if crop.frame in times.known and there.is_file() and there.stat().st_size:
            tell(1)
        else:
            wanted.setdefault(crop.frame, []).append(crop)
    done = 0
    for frame in film.frames(wanted.keys()) if wanted else ():
        for crop in wanted.pop(frame.number):
            left, top, width, height = crop.box
            pixels = frame.pixels[top : top + height, left : left + width]
            if pixels.shape[:2] != (height, width):
                raise InputError(f"{film.name}: frame {frame.number} is smaller than the first; cut it on its own.")
            _save(output / crop.name, pixels)
            done += 1
            tell(1)
        times.note(frame.number, frame.time)
    if wanted:
        raise InputError(
            f"{film.name}: frame {min(wanted)} can't be had, though boxes name it and the film claims "
            f"{len(film.numbers)} frames; mend the video, or take its boxes out."
        )
    return done, [_row(shot, crop, times.known[crop.frame]) for crop in crops]


class _Times:
    """Times of the frames whose crops are all there, kept over a kill: a line each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.known: dict[int, float | None] = {}
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        for line in text.split("\n")[:-1]:  # what follows the last line's end was cut off by a kill
            number, time = json.loads(line)
            self.known[int(number)] = time
        if text and not text.endswith("\n"):
            with atomic_file(path) as partial:
                partial.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")

    def note(self, number: int, time: float | None) -> None:
        with self._path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps([number, time]) + "\n")
        self.known[number] = time


def _row(shot: Shot, crop: Crop, time: float | None) -> tuple[Any, ...]:
    when = "" if time is None else f"{(shot.start or 0.0) + time:.6f}"
    track = "" if crop.track is None else f"c{shot.camera}-{crop.track}"
    score = "" if crop.score is None else f"{crop.score:.4g}"
    return (crop.name, shot.camera, when, track, crop.frame, " ".join(map(str, crop.box)), score)


def _save(path: Path, pixels: Pictures) -> None:
    """Write one picture, whole or not at all; not flushed one by one, since it can be cut again."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        Image.fromarray(pixels).save(partial, format="JPEG", quality=_QUALITY)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {path}: {error.strerror or error}. Free some space, then run the same command again: it "
            "goes on."
        ) from error


def _write_notes(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def _fingerprint(
    films: Sequence[tuple[Shot, Film, Sequence[Box]]], settings: CropSettings, identities: bool
) -> dict[str, Any]:
    """What the crops depend on."""
    return {
        "format": "strongreid.crops",
        "version": _VERSION,
        "films": [
            {
                "path": str(shot.path.absolute()),
                "camera": shot.camera,
                "start": shot.start,
                "boxes": hashlib.sha256(repr([tuple(box) for box in boxes]).encode()).hexdigest(),
            }
            for shot, _, boxes in films
        ],
        "settings": asdict(settings),
        "identities": identities,
    }


def check_output(output: str | Path) -> None:
    """See that crops may go to `output`: it is new, empty, or was begun by `cut`.

    Raises:
        InputError: it holds something else.
    """
    output = Path(output)
    if output.is_file():
        raise InputError(f"{output} is a file; crops need a folder: choose another name.")
    names = {path.name for path in output.iterdir()} if output.is_dir() else set()
    others = sorted(name for name in names if not name.lstrip(".").startswith((PLAN, "detections-c")))
    if others and PLAN not in names:
        raise InputError(f"{output} holds something else ({others[0]}); choose another folder.")


def _claim(output: Path, wanted: dict[str, Any]) -> None:
    """Note in `output` what is cut there, or see that it is the same.

    Raises:
        InputError: it is of other crops, or can't be written.
    """
    if not (output / PLAN).exists():
        write_json(output / PLAN, wanted)
        return
    try:
        found = json.loads((output / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{output / PLAN} is damaged ({error}); delete {output} and cut again.") from error
    if found != wanted:
        raise InputError(
            f"{output} holds crops of other films, boxes or settings; choose another folder, or delete it."
        )
