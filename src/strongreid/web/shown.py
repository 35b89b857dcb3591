"""Which pictures may be shown: files of entries that really lie in the folders given, never what a client names."""

from __future__ import annotations

import os
import re
import secrets
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from strongreid.errors import InputError
from strongreid.files import atomic_file
from strongreid.web.limits import Limits
from strongreid.web.pictures import read_picture, thumbnail

_KEPT = re.compile(r"\d{8}-\d{6}-[0-9a-f]{32}\.png")
_KEPT_SIZE = 1024
"""Pixels that a kept picture has each way at most; no model looks at more."""
_REMEMBERED = 1000
"""Thumbnails in memory: some 10 MB."""


class PictureFolders:
    """The folders whose pictures may be shown, and the one for uploads that are enrolled."""

    def __init__(
        self, folders: Sequence[str | Path] = (), *, keep: str | Path | None = None, limits: Limits | None = None
    ) -> None:
        """Look at the folders.

        Args:
            folders: their pictures, and those in folders below, may be shown where an entry has their path.
            keep: where pictures that are enrolled on the page are written; it is made. None keeps none.
            limits: of the pictures that are shown.

        Raises:
            InputError: a folder is not there, or `keep` can't be made.
        """
        self.folders = []
        for folder in folders:
            if not Path(folder).is_dir():
                raise InputError(f"there is no folder {folder} of pictures to show; mend --pictures.")
            self.folders.append(Path(folder).resolve())
        self.keeping: Path | None = None
        if keep is not None:
            try:
                Path(keep).mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise InputError(f"cannot make the folder {keep}: {error.strerror}; choose another.") from error
            self.keeping = Path(keep).resolve()
            self.folders.append(self.keeping)
        self._limits = limits or Limits()
        self._lock, self._decoding = threading.Lock(), threading.BoundedSemaphore(self._limits.decoding)
        self._made: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()

    def find(self, path: str) -> Path | None:
        """The file of an entry's path if it may be shown; None else.

        A relative path is looked for from the present folder, as at enrolling, and in each of the folders. Links are
        followed first; what counts is where the file really lies.
        """
        if not path or not self.folders:
            return None
        given = Path(path)
        for candidate in [given] if given.is_absolute() else [given, *(folder / given for folder in self.folders)]:
            try:
                real = candidate.resolve(strict=True)
            except (OSError, ValueError, RuntimeError):  # not there, a NUL in it, links in a circle
                continue
            if real.is_file() and any(real.is_relative_to(folder) for folder in self.folders):
                return real
        return None

    def thumbnail(self, path: str, size: int) -> bytes | None:
        """A JPEG of at most `size` pixels each way of an entry's picture; None where it may not or can't be shown."""
        real = self.find(path)
        if real is None:
            return None
        try:
            data, changed = _read(real, self._limits.picture_bytes)
            key = (str(real), changed, size)
            with self._lock:
                if key in self._made:
                    self._made.move_to_end(key)
                    return self._made[key]
            with self._decoding:
                made = thumbnail(read_picture(data, "the picture", self._limits), size)
        except (OSError, InputError):
            return None
        with self._lock:
            self._made[key] = made
            while len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)
        return made

    def keep(self, picture: Image.Image) -> str:
        """Write an upload as PNG under a name of our own; its path, or "" where none are kept.

        Raises:
            InputError: it can't be written.
        """
        if self.keeping is None:
            return ""
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(16)}.png"
        small = picture.copy()
        small.thumbnail((_KEPT_SIZE, _KEPT_SIZE), Image.Resampling.LANCZOS)
        small.info = {}
        with atomic_file(self.keeping / name) as partial:
            small.save(partial, "PNG")
        return str(self.keeping / name)

    def forget(self, paths: Iterable[str]) -> tuple[int, int]:
        """Delete those of the paths that `keep` wrote, and all thumbnails; how many went, and how many would not."""
        with self._lock:
            self._made.clear()
        gone = left = 0
        for path in {Path(path) for path in paths if path}:
            if self.keeping is None or path.parent != self.keeping or not _KEPT.fullmatch(path.name):
                continue
            try:
                path.unlink()
                gone += 1
            except FileNotFoundError:
                continue
            except OSError:
                left += 1
        return gone, left


def _read(real: Path, most: int) -> tuple[bytes, int]:
    """The bytes of a regular file, and when it changed; OSError for anything else, or more than `most` bytes."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(real, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise OSError(f"{real} is no regular file of at most {most} bytes")
        return file.read(most + 1), found.st_mtime_ns
