"""What a data set is: records of pictures, in three lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DISTRACTOR = -1
"""The identity of a gallery picture that matches nobody (Market-1501's `0000`)."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One picture: who it shows and which camera took it."""

    path: Path
    identity: int
    """As in the file name; `DISTRACTOR` (-1) for a gallery picture that never matches."""
    camera: int
    """As in the file name, counted from 1."""


@dataclass(frozen=True, slots=True)
class ReIDDataset:
    """Training pictures, and query and gallery pictures of other identities. Junk is left out and counted."""

    name: str
    train: tuple[ImageRecord, ...]
    query: tuple[ImageRecord, ...]
    gallery: tuple[ImageRecord, ...]
    junk: int = 0
