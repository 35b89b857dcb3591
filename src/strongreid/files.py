"""Writing so that nothing half-written is ever read as whole: a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from strongreid.errors import InputError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the name `path`, on any error it is removed.

    Raises:
        InputError: the disk is full or refuses the write; what stood at `path` before is intact.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        _flush(partial)
        partial.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise _refusal(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, durable: bool = True, resumable: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on success it replaces `path`, on any error it is removed.

    A reader sees the old folder or the new one, or, for the instant between the two renames, none, while the
    old one waits beside it under `.NAME.old`; `recover_folder` puts it back after a kill in that instant.
    `durable=False` leaves flushing to the system: for thousands of files that can be made again, such as pictures.
    `resumable=True` leaves the temporary folder as it is, at the start and on an error: the caller goes on with it.

    Raises:
        InputError: the disk is full or refuses the write; what stood at `path` before is intact.
    """
    path = Path(path)
    partial, old = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.old")
    if path.is_file():
        raise InputError(f"{path} is a file, and a folder is to be written there: choose another name.")
    try:
        recover_folder(path)
        if not resumable:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, exist_ok=resumable)
        yield partial
        for file in partial.rglob("*") if durable else ():
            _flush(file)
        if path.exists():
            path.replace(old)
        partial.replace(path)
        _flush(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _refusal(path, error) from error
    finally:
        if not resumable:
            shutil.rmtree(partial, ignore_errors=True)
        recover_folder(path)


def recover_folder(path: Path) -> None:
    """Undo an `atomic_folder` that was killed between its two renames."""
    old = path.with_name(f".{path.name}.old")
    if old.exists():
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _refusal(path: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot write {path}: {error.strerror or error}. What was there before is intact; free some space "
        "or choose another folder, then run the same command again."
    )


def _flush(path: Path) -> None:
    """Force a file's or a folder's content to disk (Windows can't open folders: there it is left to the OS)."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
