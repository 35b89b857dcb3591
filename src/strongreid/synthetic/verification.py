"""Is a folder the set that its manifest describes, and does the generator still give that set?

Two fingerprints answer that, since JPEG is lossy and its bytes differ between encoders. `sha256` is of the pixels
before encoding: these are rendered again, so the answer is exact and the same on every machine. `jpeg_sha256` is of
the file's bytes as they were written: a file is compared with it bit by bit, with no tolerance in which a small
change could hide, and without an encoder.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from strongreid.errors import InputError
from strongreid.synthetic.dataset import describe, render, world_of
from strongreid.synthetic.dice import GENERATOR_VERSION
from strongreid.synthetic.journal import MANIFEST, TRUTHS, Row, TruthKind, mask_file, read_manifest
from strongreid.synthetic.plan import SPLITS, Subject, in_tasks, make_plan
from strongreid.synthetic.settings import WorldSettings, settings_from
from strongreid.synthetic.truth import tell_people
from strongreid.synthetic.workers import count_processes, map_in_order

Kind = Literal["missing", "extra", "file", "pixels", "labels", "settings", "version", "manifest"]


@dataclass(frozen=True)
class Difference:
    """One thing that is not as the manifest says, or that the manifest says wrongly."""

    kind: Kind
    """missing, extra: the folder lacks a file, or has one too many; file: its bytes are not those written;
    pixels, labels: the generator gives others; settings: they do not give this picture, or give one more;
    version: another generator made the set; manifest: it contradicts itself."""
    file: str
    """Path inside the folder."""
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.file}: {self.detail}"


def verify(
    root: str | Path, *, pixels: bool = True, processes: int | None = None, progress: bool = False
) -> list[Difference]:
    """Every difference between the folder `root`, its manifest, and what the generator gives; empty if there is none.

    Without `pixels` nothing is rendered: a folder that was copied is checked in seconds. Rows are held in memory,
    about 1 kB a picture. Nothing is written. For `processes` see `write_set`.

    Raises:
        InputError: `root` has no manifest of a generated set.
    """
    root, processes = Path(root), count_processes(processes)
    manifest = _read(root)
    rows, found = _index(manifest)
    found += _check_summary(manifest)
    truth = [kind for kind in TRUTHS if kind in _told(manifest)]
    found += _check_files(root, rows, masks="masks" in truth)
    if manifest["version"] != GENERATOR_VERSION:
        detail = f"made by generator version {manifest['version']}, this is {GENERATOR_VERSION}: pixels not compared"
        return [*found, Difference("version", MANIFEST, detail)]
    try:
        settings = settings_from(manifest["settings"])
    except InputError as error:
        return [*found, Difference("settings", MANIFEST, f"no set has these settings: {error}")]
    found += _check_plan(settings, rows)
    found += _check_people(settings, manifest.get("people"))
    return [*found, *_check_pictures(settings, truth, rows, processes, progress)] if pixels else found


def _read(root: Path) -> dict[str, Any]:
    remedy = f"--verify needs a folder that synthesize wrote, with its {MANIFEST}."
    try:
        manifest = read_manifest(root)
    except OSError as error:
        raise InputError(f"cannot read {root / MANIFEST}: {error.strerror or error}. {remedy}") from error
    except ValueError as error:
        raise InputError(f"{root / MANIFEST} is not JSON, or is cut short: {error}. {remedy}") from error
    wanted = {"version": int, "settings": dict, "counts": dict, "sha256": str, "images": list}
    held = manifest if isinstance(manifest, dict) else {}
    if wrong := [key for key, kind in wanted.items() if not isinstance(held.get(key), kind)]:
        raise InputError(f"{root / MANIFEST} is not the manifest of a generated set: no {', '.join(wrong)}. {remedy}")
    return manifest


def _index(manifest: dict[str, Any]) -> tuple[dict[str, Row], list[Difference]]:
    """The manifest's rows by file; and those that are none."""
    rows: dict[str, Row] = {}
    found = []
    for number, row in enumerate(manifest["images"]):
        held = row.get("file") if isinstance(row, dict) else None
        file = held if isinstance(held, str) else ""
        split, _, name = file.partition("/")
        if split not in SPLITS or not name or Path(name).name != name:
            found.append(_contradiction(f"row {number} of images names no picture of a set: {held!r}"))
        elif file in rows:
            found.append(_contradiction(f"row {number} of images names {file} again"))
        else:
            rows[file] = row
    return rows, found


def _check_summary(manifest: dict[str, Any]) -> Iterator[Difference]:
    """Counts and the fingerprint of the whole follow from the rows."""
    rows = [row for row in manifest["images"] if isinstance(row, dict)]
    counts = Counter(str(row.get("file")).partition("/")[0] for row in rows)
    for split in SPLITS:
        if manifest["counts"].get(split) != counts[split]:
            yield _contradiction(f"counts {manifest['counts'].get(split)} in {split}, but lists {counts[split]}")
    if wrong := [kind for kind in _told(manifest) if kind not in TRUTHS]:
        yield _contradiction(f"its truth is {', '.join(map(repr, wrong))}; there are {', '.join(TRUTHS)}")
    whole = hashlib.sha256("".join(f"{row.get('sha256')}  {row.get('file')}\n" for row in rows).encode())
    if manifest["sha256"] != whole.hexdigest():
        yield _contradiction("its sha256 does not follow from its rows")


def _told(manifest: dict[str, Any]) -> list[Any]:
    """What the manifest says is told with each picture, beside the labels."""
    told = manifest.get("truth", [])
    return told if isinstance(told, list) else [told]


def _contradiction(detail: str) -> Difference:
    return Difference("manifest", MANIFEST, detail)


def _check_files(root: Path, rows: dict[str, Row], *, masks: bool) -> Iterator[Difference]:
    """What lies in the folder, against the rows."""
    wanted = {file: row.get("jpeg_sha256") for file, row in rows.items()}
    if masks:
        wanted.update({mask_file(file): row.get("png_sha256") for file, row in rows.items()})
    for file, expected in wanted.items():
        try:
            digest = hashlib.sha256((root / file).read_bytes()).hexdigest()
        except FileNotFoundError:
            yield Difference("missing", file, "listed, but not there")
            continue
        except OSError as error:
            yield Difference("file", file, f"can't be read: {error.strerror or error}")
            continue
        if digest != expected:
            yield Difference("file", file, "its bytes are not those that were written")
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            file = (Path(folder) / name).relative_to(root).as_posix()
            if file != MANIFEST and file not in wanted:
                yield Difference("extra", file, "there, but not listed")


def _check_plan(settings: WorldSettings, rows: dict[str, Row]) -> Iterator[Difference]:
    """Which pictures the settings give, against the rows."""
    unplanned = dict.fromkeys(rows)
    for subject in make_plan(settings):
        for shot in subject.shots:
            if shot.file in rows:
                del unplanned[shot.file]
            else:
                yield Difference("settings", shot.file, "these settings give it, but it is not listed")
    for file in unplanned:
        yield Difference("settings", file, "listed, but these settings do not give it")


def _check_people(settings: WorldSettings, told: object) -> Iterator[Difference]:
    """Who the settings give, in which clothes, against the table of people."""
    if not isinstance(told, list):
        yield _contradiction("it has no table of people")
        return
    place = 0
    for place, expected in enumerate(json.loads(json.dumps(row)) for row in tell_people(settings)):
        row = told[place] if place < len(told) else None
        if not isinstance(row, dict):
            yield Difference("labels", MANIFEST, f"people: subject {expected['subject']} is wanting")
            continue
        for key in sorted(expected.keys() | row.keys()):
            if row.get(key) != expected.get(key):
                held = f"{key} is {row.get(key)!r} in the manifest; the generator gives {expected.get(key)!r}"
                yield Difference("labels", MANIFEST, f"people: subject {expected['subject']}: {held}")
    if len(told) > place + 1:
        yield Difference("labels", MANIFEST, f"people: {len(told) - place - 1} rows too many")


def _check_pictures(
    settings: WorldSettings, truth: Sequence[TruthKind], rows: dict[str, Row], processes: int, progress: bool
) -> Iterator[Difference]:
    """What the generator gives for each picture, against its row."""
    results = map_in_order(partial(_describe_again, settings, truth), in_tasks(make_plan(settings)), processes)
    bar = tqdm(total=len(rows), unit="image", disable=not progress, file=sys.stderr)
    with bar, closing(results):
        for task in results:
            bar.update(len(task))
            for expected in task:
                row = rows.get(expected["file"])
                if row is not None:
                    yield from _compare(row, expected)
    world_of.cache_clear()


def _compare(row: Row, expected: Row) -> Iterator[Difference]:
    if row.get("sha256") != expected["sha256"]:
        yield Difference("pixels", expected["file"], "the generator gives other pixels than the manifest says")
    if row.get("mask_sha256") != expected.get("mask_sha256"):
        yield Difference(
            "pixels", mask_file(expected["file"]), "the generator gives another mask than the manifest says"
        )
    for key in sorted((expected.keys() | row.keys()) - {"sha256", "mask_sha256", "jpeg_sha256", "png_sha256"}):
        if row.get(key) != expected.get(key):
            detail = f"{key} is {row.get(key)!r} in the manifest; the generator gives {expected.get(key)!r}"
            yield Difference("labels", expected["file"], detail)


def _describe_again(settings: WorldSettings, truth: Sequence[TruthKind], subjects: list[Subject]) -> list[Row]:
    """One task: the rows of every picture of some subjects, as they would be read from a manifest."""
    world, masks, joints = world_of(settings), "masks" in truth, "joints" in truth
    pictures = render(world, subjects, masks=masks, joints=joints)
    read: list[Row] = json.loads(json.dumps([describe(image, masks) for image in pictures]))
    return read
