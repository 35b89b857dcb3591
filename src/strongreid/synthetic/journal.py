"""The folder of a set, and its manifest, which grows with it so that a killed run goes on where it stopped.

A picture is written before its row, and rows come in the order of the plan. So the rows are a list of what is
finished; where they end, or tell of a file that isn't there as written, the work goes on.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from strongreid.errors import InputError
from strongreid.synthetic.dice import GENERATOR_VERSION
from strongreid.synthetic.plan import SPLITS, Subject, make_plan
from strongreid.synthetic.settings import WorldSettings
from strongreid.synthetic.truth import tell_people

if sys.platform != "win32":
    import fcntl

GENERATOR_NAME = "strongreid.synthetic"
MANIFEST = "manifest.json"

Row = dict[str, Any]
"""What the manifest says of a picture: file, identity, camera, frame, labels, sha256 (of the pixels), jpeg_sha256; on
request joints, mask_sha256 (of the mask's pixels) and png_sha256 (of its file)."""

TruthKind = Literal["masks", "joints"]
TRUTHS: tuple[TruthKind, ...] = get_args(TruthKind)
"""What can be told with each picture on request."""

MASKS = "masks"
"""The folder of the masks, inside that of the set."""

_IMAGES, _PEOPLE, _END = b'  "images": [\n', b'  "people": [\n', b"  ],\n"


@dataclass(frozen=True)
class Finished:
    """A picture that is ready to be written."""

    row: Row
    jpeg: bytes
    mask: bytes | None = None
    """The PNG of the mask, where masks are wanted."""


def mask_file(file: str) -> str:
    """Path inside the set's folder of the mask of the picture `file`."""
    return f"{MASKS}/{file.removesuffix('.jpg')}.png"


def choose_truth(wanted: Sequence[str]) -> tuple[TruthKind, ...]:
    """The `TRUTHS` that are wanted, each once, in their own order.

    Raises:
        InputError: one is wanted that there is not.
    """
    if unknown := [kind for kind in wanted if kind not in TRUTHS]:
        raise InputError(f"truth is {', '.join(map(repr, unknown))}; allowed is {', '.join(TRUTHS)}. Change truth.")
    return tuple(kind for kind in TRUTHS if kind in wanted)


def read_summary(root: Path) -> dict[str, Any]:
    """The manifest of a complete set without its rows, whose number does not matter to the memory this takes.

    Raises:
        OSError: there is no manifest.
        ValueError: it is not one, or not a whole one.
    """
    kept: list[bytes] = []
    with (root / MANIFEST).open("rb") as lines:
        inside = False
        for line in lines:
            inside = inside and line != _END
            if not inside:
                kept.append(line)
            inside = inside or line in (_IMAGES, _PEOPLE)
    summary = json.loads(b"".join(kept))
    wanted = {"generator", "version", "settings", "counts", "sha256"}
    if not isinstance(summary, dict) or not wanted <= summary.keys() or not isinstance(summary["settings"], dict):
        raise ValueError("not a manifest of a generated set")
    return {key: value for key, value in summary.items() if key not in ("images", "people")}


def read_manifest(root: Path) -> dict[str, Any]:
    """The whole manifest, about 1 kB of memory a picture; `root` must hold a complete set."""
    manifest: dict[str, Any] = json.loads((root / MANIFEST).read_bytes())
    return manifest


def find_set(root: Path, settings: WorldSettings, truth: Sequence[TruthKind] = ()) -> dict[str, Any] | None:
    """The summary of the complete set in `root`; None where a set may be written.

    Files that others added do no harm to a complete set; a set with gaps is only replaced if there are none.

    Raises:
        InputError: `root` holds something else.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        summary = read_summary(root)
    except (OSError, ValueError):
        raise _refusal(root, "no manifest of a generated set") from None
    if other := _tell_apart(summary, settings, truth):
        raise _refusal(root, other)
    wanted = present = 1
    for subject in make_plan(settings):
        wanted += len(subject.shots)
        present += sum((root / shot.file).is_file() for shot in subject.shots)
        if "masks" in truth:
            wanted += len(subject.shots)
            present += sum((root / mask_file(shot.file)).is_file() for shot in subject.shots)
    if present == wanted:
        return summary
    if sum(path.is_file() for path in root.rglob("*")) > present:
        raise _refusal(root, "the same set with gaps, and other files")
    return None


def _tell_apart(summary: dict[str, Any], settings: WorldSettings, truth: Sequence[TruthKind]) -> str:
    """What distinguishes a set from the one asked for; empty if nothing does."""
    there = {"version": summary["version"], **summary["settings"], "truth": summary.get("truth", [])}
    asked = {"version": GENERATOR_VERSION, **asdict(settings), "truth": list(truth)}
    names = [name for name in {**asked, **there} if there.get(name) != asked.get(name)]
    return ", ".join(f"{name} {there.get(name)} in place of {asked.get(name)}" for name in names)


def _refusal(root: Path, found: str) -> InputError:
    return InputError(
        f"{root} already holds something other than the set asked for: {found}. Nothing was touched; "
        "choose another folder, or delete this one first."
    )


class Journal:
    """The manifest of an unfinished set in `folder`, which may have been begun by a run that was killed.

    What else the folder holds is deleted if it was not begun with these settings and this truth.

    Raises:
        InputError: another process is writing there.
    """

    def __init__(self, folder: Path, settings: WorldSettings, truth: Sequence[TruthKind] = ()) -> None:
        self.settings = settings
        self._masks = "masks" in truth
        self.counts: Counter[str] = Counter()
        """Pictures by split."""
        self._folder = folder
        self._whole = hashlib.sha256()
        path = folder / MANIFEST
        self._file = path.open("r+b" if path.exists() else "w+b")
        try:
            self._claim()
            head = _head(settings, truth)
            self._end = len(head)
            if self._file.read(len(head)) != head:
                self._begin(head)
            for split in SPLITS:
                (folder / split).mkdir(exist_ok=True)
                if self._masks:
                    (folder / MASKS / split).mkdir(parents=True, exist_ok=True)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._file.close()

    def skip_finished(self, subjects: Iterator[Subject]) -> Iterator[Subject]:
        """Those whose pictures are still to be made: from the first of whom a row or a file is missing."""
        rest: Iterable[Subject] = ()
        for subject in subjects:
            rows = self._read_rows(subject)
            if rows is None:
                rest = (subject,)
                break
            for row in rows:
                self._count(row)
        self._file.seek(self._end)
        self._file.truncate()
        return chain(rest, subjects)

    def add(self, pictures: Iterable[Finished]) -> None:
        """Write pictures, the next ones of the plan, and then their rows."""
        text = b""
        for picture in pictures:
            row = picture.row
            _write_file(f"{self._folder}/{row['file']}", picture.jpeg)
            if picture.mask is not None:
                _write_file(f"{self._folder}/{mask_file(row['file'])}", picture.mask)
            text += (b",\n    " if self.counts else b"    ") + json.dumps(row).encode()
            self._count(row)
        self._write(text)

    def finish(self) -> dict[str, Any]:
        """Complete the manifest; returns it without its rows."""
        self._write(b"\n" + _END + _PEOPLE)
        separator = b"    "
        for row in tell_people(self.settings):
            self._write(separator + json.dumps(row).encode(), flush=False)
            separator = b",\n    "
        counts = {split: self.counts[split] for split in SPLITS}
        tail = f'  "counts": {json.dumps(counts)},\n  "sha256": "{self._whole.hexdigest()}"\n}}\n'
        self._write(b"\n" + _END + tail.encode())
        os.fsync(self._file.fileno())
        return read_summary(self._folder)

    def _claim(self) -> None:
        """Refuse to write beside another process; the system forgets the claim of one that was killed."""
        if sys.platform != "win32":
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"another process is writing this set, in {self._folder}. Wait for it, or choose another folder."
                ) from None

    def _begin(self, head: bytes) -> None:
        for path in self._folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != MANIFEST:
                path.unlink()
        self._file.seek(0)
        self._file.truncate()
        self._file.write(head)
        self._file.flush()

    def _read_rows(self, subject: Subject) -> list[Row] | None:
        """The rows of a finished subject, which come next; None if one of them or its file is wanting."""
        rows = []
        for shot in subject.shots:
            line = self._file.readline()
            text = line.rstrip(b",\n")
            try:
                row: Row = json.loads(text)
                wanted = {shot.file: row["jpeg_sha256"]}
                if self._masks:
                    wanted[mask_file(shot.file)] = row["png_sha256"]
                held = {file: hashlib.sha256((self._folder / file).read_bytes()).hexdigest() for file in wanted}
                if row["file"] != shot.file or held != wanted:
                    return None
            except (OSError, ValueError, KeyError, TypeError):
                return None
            rows.append(row)
        self._end = self._file.tell() - len(line) + len(text)
        return rows

    def _count(self, row: Row) -> None:
        self.counts[row["file"].partition("/")[0]] += 1
        self._whole.update(f"{row['sha256']}  {row['file']}\n".encode())

    def _write(self, text: bytes, *, flush: bool = True) -> None:
        self._file.seek(self._end)
        self._file.write(text)
        if flush:
            self._file.flush()
        self._end += len(text)


def _write_file(path: str, content: bytes) -> None:
    """Half the price of `Path.write_bytes`, for which a buffer and a `Path` are made and thrown away."""
    with open(path, "wb", buffering=0) as file:  # noqa: PTH123
        if file.write(content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def _head(settings: WorldSettings, truth: Sequence[TruthKind]) -> bytes:
    """The manifest up to its first row: the same for the same settings, truth and version, and for no others."""
    head: dict[str, Any] = {
        "generator": GENERATOR_NAME,
        "version": GENERATOR_VERSION,
        "settings": asdict(settings),
    }
    if truth:
        head["truth"] = list(truth)
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items())
    return f"{{\n{lines},\n".encode() + _IMAGES
