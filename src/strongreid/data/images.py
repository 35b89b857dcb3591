"""Decoding pictures, and the decoded store, thanks to which no picture is ever decoded twice."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from strongreid.data.records import ImageRecord
from strongreid.errors import InputError
from strongreid.files import atomic_folder, recover_folder, write_json

Pictures = NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
MAX_PIXELS = 64_000_000
"""Larger pictures are refused: decoded they take over 192 MB, and no crop of a person is that large."""

_CHUNK = 256  # pictures decoded between two writes: 25 MB at 256 x 128
_STORE_FORMAT = 1
_STORE_FILES = ("index.json", "pictures.npy")


def decode(path: Path | str, height: int, width: int) -> Pictures:
    """Read a JPEG, PNG, BMP or WebP picture as (height, width, 3) RGB.

    Bilinear with antialiasing, as torchvision resizes PIL pictures. The EXIF orientation is ignored,
    transparency is dropped, and of 16-bit grey the upper 8 bits are kept.

    Raises:
        InputError: no such file, empty, truncated, another format, or more than `MAX_PIXELS`.
    """
    return _read(path, lambda image: resize(image, height, width))


def decode_whole(path: Path | str) -> Pictures:
    """Read a picture as `decode` does, at its own size.

    Raises:
        InputError: as `decode`.
    """
    return _read(path, lambda image: np.array(rgb(image)))


def _read(path: Path | str, take: Callable[[Image.Image], Pictures]) -> Pictures:
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height <= MAX_PIXELS:
                return take(image)
        reason = f"more than {MAX_PIXELS:,} pixels"
    except MemoryError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        reason = f"more than {MAX_PIXELS:,} pixels"
    except FileNotFoundError:
        reason = "no such file"
    except UnidentifiedImageError:
        empty = Path(path).is_file() and Path(path).stat().st_size == 0
        reason = "the file is empty" if empty else "not a JPEG, PNG, BMP or WebP picture"
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        reason = str(error) or type(error).__name__
    raise InputError(f"cannot read the picture {path}: {reason}; replace or remove it.")


def resize(image: Image.Image, height: int, width: int) -> Pictures:
    """Turn a PIL picture of any mode into (height, width, 3) RGB, as `decode` does."""
    return np.array(rgb(image).resize((width, height), Image.Resampling.BILINEAR))


@dataclass(frozen=True, slots=True)
class DecodedStore:
    """Pictures decoded once, all of one size, in the order of their records."""

    pictures: Pictures
    """(n, height, width, 3) RGB: memory-mapped and read-only, or in memory if there is no folder."""
    records: tuple[ImageRecord, ...]
    """(n) the records whose pictures could be read."""
    skipped: tuple[Path, ...]
    """Pictures left out because they can't be read."""

    @classmethod
    def build(
        cls,
        records: Sequence[ImageRecord],
        height: int,
        width: int,
        folder: Path | str | None,
        *,
        skip_unreadable: bool = False,
        threads: int | None = None,
        progress: bool = False,
    ) -> DecodedStore:
        """Open the store in `folder` if it holds these pictures as they are now; else decode them into it.

        A store is reused while every picture's path, size in bytes and time of change are the same, and the
        store has the length it should have. Memory in use stays at tens of MB, unless `folder` is None: then
        the pictures are kept in memory (98 kB each at 256 x 128). Only one process may build a folder.

        Raises:
            InputError: no records; unreadable pictures and not `skip_unreadable`; none readable and a
                `folder`; the disk is full; `folder` holds something else than a store. Nothing half-built is
                left behind.
        """
        records = tuple(records)
        if not records or height < 1 or width < 1:
            raise InputError(
                f"cannot decode {len(records)} pictures to {height} x {width}: "
                "expected at least one picture, one row and one column."
            )
        threads = threads or min(os.cpu_count() or 1, 32)
        job = _Job(records, height, width, skip_unreadable, threads, progress)
        if folder is None:
            return _build_in_memory(job)
        folder = Path(folder)
        _check_replaceable(folder)
        fingerprint = _fingerprint(job)
        store = _open(folder, fingerprint, job)
        if store is None:
            _build_on_disk(folder, fingerprint, job)
            store = _open(folder, fingerprint, job)
        if store is None:
            raise InputError(f"{folder}: the store just written can't be read back; check the disk, run again.")
        return store


@dataclass(frozen=True, slots=True)
class _Job:
    records: tuple[ImageRecord, ...]
    height: int
    width: int
    skip_unreadable: bool
    threads: int
    progress: bool

    @property
    def bytes_each(self) -> int:
        return self.height * self.width * 3

    def shape(self, count: int) -> tuple[int, int, int, int]:
        return (count, self.height, self.width, 3)

    def check(self, skipped: Sequence[int]) -> None:
        """Refuse pictures left out without leave, or all of them left out."""
        if not skipped or (self.skip_unreadable and len(skipped) < len(self.records)):
            return
        names = ", ".join(str(self.records[position].path) for position in skipped[:5])
        more = f" and {len(skipped) - 5} more" if len(skipped) > 5 else ""
        leave_out = "replace them, or leave them out with --skip-unreadable"
        remedy = "check the paths" if self.skip_unreadable else leave_out
        raise InputError(
            f"{len(skipped)} of {len(self.records)} pictures can't be read: {names}{more}.\n"
            f"They are missing, empty, cut short, or not JPEG, PNG, BMP or WebP: {remedy}."
        )


def _build_in_memory(job: _Job) -> DecodedStore:
    pictures = np.empty(job.shape(len(job.records)), dtype=np.uint8)
    end = 0

    def keep(chunk: Pictures) -> None:
        nonlocal end
        pictures[end : end + len(chunk)] = chunk
        end += len(chunk)

    skipped = _decode_all(job, keep)
    if not job.skip_unreadable:  # with leave, none at all is fine: a long list may be decoded in parts
        job.check(skipped)
    return _store(pictures[:end], job, skipped)


def _build_on_disk(folder: Path, fingerprint: str, job: _Job) -> None:
    # Written through a file, not a memory map: on a full disk a map kills the process with SIGBUS.
    _check_space(folder, job)
    with atomic_folder(folder) as partial:
        with (partial / "pictures.npy").open("wb") as file:
            start = _write_header(file, job.shape(len(job.records)))
            skipped = _decode_all(job, lambda chunk: _write(file, chunk))
            job.check(skipped)
            left = set(skipped)
            names = [record.path.name for i, record in enumerate(job.records) if i not in left]
            file.seek(0)  # the header once more, now that the count is known; numpy pads it to the same length
            assert _write_header(file, job.shape(len(names))) == start
        index = {
            "format": _STORE_FORMAT,
            "height": job.height,
            "width": job.width,
            "count": len(names),
            "fingerprint": fingerprint,
            "skipped": skipped,
            "names": names,
        }
        write_json(partial / "index.json", index)


def _decode_all(job: _Job, keep: Callable[[Pictures], object]) -> list[int]:
    """Decode in chunks, hand what could be read to `keep`, in order; return the positions of the unreadable.

    Goes on after an unreadable picture, so that one run names them all.
    """
    skipped: list[int] = []
    buffer = np.empty(job.shape(min(_CHUNK, len(job.records))), dtype=np.uint8)
    total = len(job.records)
    with (
        tqdm(total=total, desc="decode", unit="picture", file=sys.stderr, disable=not job.progress) as bar,
        ThreadPoolExecutor(job.threads) as pool,
    ):
        for start in range(0, total, _CHUNK):
            chunk = job.records[start : start + _CHUNK]
            filled = 0
            for offset, picture in enumerate(pool.map(lambda record: _try_decode(record, job), chunk)):
                if picture is None:
                    skipped.append(start + offset)
                else:
                    buffer[filled] = picture
                    filled += 1
                bar.update()
            keep(buffer[:filled])
    return skipped


def _try_decode(record: ImageRecord, job: _Job) -> Pictures | None:
    try:
        return decode(record.path, job.height, job.width)
    except InputError:
        return None


def _open(folder: Path, fingerprint: str, job: _Job) -> DecodedStore | None:
    """Open the store in `folder`; None if there is none, it is of other pictures, or it is damaged."""
    recover_folder(folder)
    try:
        index: dict[str, Any] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        if index["format"] != _STORE_FORMAT or index["fingerprint"] != fingerprint:
            return None
        skipped, count = [int(position) for position in index["skipped"]], int(index["count"])
        pictures = np.load(folder / "pictures.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    expected = pictures.offset + count * job.bytes_each
    whole = pictures.shape == job.shape(count) and (folder / "pictures.npy").stat().st_size == expected
    if not whole or pictures.dtype != np.uint8 or count + len(skipped) != len(job.records):
        return None
    job.check(skipped)
    return _store(pictures, job, skipped)


def _store(pictures: Pictures, job: _Job, skipped: Sequence[int]) -> DecodedStore:
    left = set(skipped)
    return DecodedStore(
        pictures,
        tuple(record for i, record in enumerate(job.records) if i not in left),
        tuple(job.records[position].path for position in skipped),
    )


def _fingerprint(job: _Job) -> str:
    """Hash what decoding depends on: format, size, each picture's path, length in bytes, time of change."""
    digest = hashlib.sha256(f"{_STORE_FORMAT} {job.height} {job.width}".encode())
    for record in job.records:
        try:
            status = record.path.stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(f"\0{record.path.absolute()}\0{state}".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _check_replaceable(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but a store."""
    if not folder.exists():
        return
    found = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else ["a file"]
    others = [name for name in found if name not in _STORE_FILES]
    if others:
        more = ", ..." if len(others) > 3 else ""
        raise InputError(
            f"{folder}: not a decoded store (found {', '.join(others[:3])}{more}); it would be replaced, "
            "so choose another folder."
        )


def _check_space(folder: Path, job: _Job) -> None:
    place = next(parent for parent in folder.absolute().parents if parent.exists())
    needed, free = len(job.records) * job.bytes_each, shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"cannot write {folder}: {len(job.records)} decoded pictures of {job.height} x {job.width} "
            f"need {needed / 1e9:.2f} GB and {free / 1e9:.2f} GB are free; free some space "
            "or choose another folder."
        )


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> int:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _write(file: IO[bytes], chunk: Pictures) -> None:
    file.write(chunk.tobytes())


def rgb(image: Image.Image) -> Image.Image:
    """A PIL picture of any mode as RGB: transparency dropped, of 16-bit grey the upper 8 bits."""
    if image.mode.startswith("I;16"):  # Pillow would clip at 255, that is, turn nearly all to white
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the same colours, without Pillow's warning
    return image.convert("RGB")
