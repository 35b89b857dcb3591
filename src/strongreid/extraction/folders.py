"""A folder of pictures to one table on disk; a long one in parts, so that a kill loses little."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strongreid.data.readers import read_folder, read_pictures
from strongreid.data.records import DISTRACTOR, ImageRecord
from strongreid.errors import InputError
from strongreid.extraction.extractor import CHUNK, Extractor, joined, progress_bar
from strongreid.features import FeatureTable, shard_path
from strongreid.files import write_json
from strongreid.processes import environment_rank

_JOB = "job.json"


def read_records(folder: str | Path, *, unlabelled: bool = False) -> tuple[ImageRecord, ...]:
    """The pictures of a folder with identity and camera of their Market-1501 names.

    With `unlabelled`, pictures of any name, from the folder and all below it, as identity -1 and camera 0.

    Raises:
        InputError: the folder holds no pictures, or a name that can't be read.
    """
    if unlabelled:
        return tuple(ImageRecord(path, DISTRACTOR, 0) for path in read_pictures(folder))
    return read_folder(folder)


def extract_folder(
    extract: Extractor,
    folder: str | Path,
    output: str | Path,
    *,
    unlabelled: bool = False,
    skip_unreadable: bool = False,
    progress: bool = False,
) -> FeatureTable:
    """Extract every picture of a folder (`read_records`) and save the table as Parquet.

    More than `CHUNK` pictures are written in parts beside `output`, in `.NAME.parts`, until all are there: the same
    call after a kill goes on with those of the same model and the same files.

    Started by `torchrun`, each process takes its share of the pictures and writes a shard of the table beside
    `output` (`shard_path`); `FeatureTable.load(output)` reads them as one. They need not talk to each other.

    Raises:
        InputError: the folder holds no pictures or fewer than there are processes, one can't be read, or the file
            can't be written.
    """
    records = read_records(folder, unlabelled=unlabelled)
    output = Path(output)
    rank, size, _ = environment_rank()
    if size > 1:
        if size > len(records):
            raise InputError(f"{folder} has {len(records)} pictures for {size} processes: start fewer.")
        edges = [len(records) * number // size for number in (rank, rank + 1)]
        records, output = records[slice(*edges)], shard_path(output, rank, size)
    shown = progress and rank == 0
    if len(records) <= CHUNK:
        table = extract.table(records, skip_unreadable=skip_unreadable, progress=shown)
        table.save(output)
        return table
    parts = _open_parts(output, _job(extract, records, skip_unreadable))
    table = _in_parts(extract, records, parts, skip_unreadable=skip_unreadable, progress=shown)
    table.save(output)
    shutil.rmtree(parts, ignore_errors=True)
    return table


def _in_parts(
    extract: Extractor, records: Sequence[ImageRecord], parts: Path, *, skip_unreadable: bool, progress: bool
) -> FeatureTable:
    """Make the parts that are missing, and join all."""
    chunks = [records[start : start + CHUNK] for start in range(0, len(records), CHUNK)]
    tables = {number: _load(_part(parts, number)) for number in range(len(chunks))}
    missing = [number for number, table in tables.items() if table is None]
    if missing:
        extract.network(len(records))  # what it says comes before the bar
    with progress_bar(len(records), shown=progress) as bar:
        bar.update(len(records) - sum(len(chunks[number]) for number in missing))
        left = (chunks[number] for number in missing)
        made = extract.tables(left, len(records), skip_unreadable=skip_unreadable, bar=bar) if missing else ()
        for number, table in zip(missing, made, strict=True):
            if table is not None:  # a chunk without a readable picture is tried again, which takes no time
                table.save(_part(parts, number))
                tables[number] = table
    return joined([table for table in tables.values() if table is not None], records)


def _job(extract: Extractor, records: Sequence[ImageRecord], skip_unreadable: bool) -> dict[str, Any]:
    """What parts must have in common to be joined."""
    digest = hashlib.sha256()
    for record in records:
        try:
            status = record.path.stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            state = "missing"
        line = f"{record.path.absolute()}\0{record.identity} {record.camera} {state}\0"
        digest.update(line.encode(errors="surrogateescape"))
    return {
        "model": extract.fingerprint,
        "pictures": digest.hexdigest(),
        "chunk": CHUNK,
        "skip_unreadable": skip_unreadable,
    }


def _open_parts(output: Path, job: dict[str, Any]) -> Path:
    """The folder of parts of this job; one of another job is emptied.

    Raises:
        InputError: it can't be written.
    """
    folder = output.with_name(f".{output.name}.parts")
    try:
        begun = json.loads((folder / _JOB).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        begun = None
    if begun != job:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(folder / _JOB, job)
    return folder


def _part(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.parquet"


def _load(path: Path) -> FeatureTable | None:
    """A part that is there and whole."""
    if not path.is_file():
        return None
    try:
        return FeatureTable.load(path)
    except InputError:
        return None
