"""The durable side of a gallery, which `folder` and `server` have one each of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from strongreid.evaluation.distances import Int64
from strongreid.gallery.description import Description
from strongreid.gallery.engine import Engine
from strongreid.gallery.entries import Entries


class Store(Protocol):
    """What `Gallery` needs; what it changes is durable when the call returns."""

    @property
    def description(self) -> Description | None:
        """None where there is no gallery yet."""

    @property
    def path(self) -> str | Path:
        """For messages."""

    @property
    def engine(self) -> Engine:
        """Once there is a gallery."""

    @property
    def has_graph(self) -> bool:
        """Whether an approximate search can be asked for."""

    def create(self, description: Description) -> None:
        """Make the gallery."""

    def describe(self, description: Description) -> None:
        """Store a description in place of the present one."""

    def append(self, entries: Entries) -> None:
        """Add entries, which searches find from now on."""

    def remove(self, ids: Int64, line: dict[str, Any]) -> None:
        """Remove entries that are there, and write the audit line."""

    def take_ids(self, count: int) -> Int64:
        """Ids that are free."""

    def record(self, line: dict[str, Any]) -> None:
        """Append a line to the audit."""

    def audit(self) -> list[dict[str, Any]]:
        """The lines of the audit, oldest first."""

    def compact(self) -> None:
        """Free the disk of what was removed."""

    def rewrite(self, change: Callable[[Entries], Entries], description: Description, line: dict[str, Any]) -> None:
        """Change every entry, all at once, and write the audit line."""

    def rebuild(self, *, approximate: bool = False) -> None:
        """Make the index anew."""

    def details(self) -> dict[str, Any]:
        """What `GalleryInfo.details` says."""

    def close(self) -> None:
        """Let go; a second call does nothing."""
