"""One process at a time: a lock that the operating system lets go of when its process ends, however it ends."""

from __future__ import annotations

import os
import sys
import weakref
from pathlib import Path

from strongreid.errors import InputError


class Lock:
    """Holds `path` until `release`, or until the process ends."""

    def __init__(self, path: Path, what: str) -> None:
        """Take the lock.

        Raises:
            InputError: another process, or another object of this one, holds it; it is named by its number.
        """
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(f"cannot open {path}: {error.strerror}; look at the folder's permissions.") from error
        if not _take(handle):
            holder = _holder(path)
            os.close(handle)
            if holder == os.getpid():
                raise InputError(f"{what} is open in this very process: close it first, or use the one that is open.")
            raise InputError(
                f"{what} is open in process {holder or 'unknown'}, and one process at a time may use it. Wait for "
                "that process or end it; several processes can share a gallery on a server (docs/gallery.md)."
            )
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        self.release = weakref.finalize(self, os.close, handle)
        """Let go; also happens when the object is no longer used."""


def _holder(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _take(handle: int) -> bool:
    """Whether the lock is ours now; it goes with the open file."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, 1024, os.SEEK_SET)  # beyond the number, which others must be able to read
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
