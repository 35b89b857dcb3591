"""Looking through a gallery: entries page by page, and which values a field has."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from strongreid.errors import InputError
from strongreid.evaluation.text import text_table
from strongreid.gallery.conditions import Condition
from strongreid.gallery.engine import Engine, Point
from strongreid.gallery.entries import LARGEST_ID, Label
from strongreid.gallery.result import PAYLOAD, labels_of, shown_time

MOST = 1000
"""Entries of one page, and values of a field, at most."""


@dataclass(frozen=True)
class Entry:
    """What a gallery knows about one entry, apart from its feature."""

    id: int
    identity: int
    """As it was enrolled; -1 for none."""
    camera: int
    path: str
    time: float | None = None
    """Seconds."""
    track: str | None = None
    labels: Mapping[str, Label] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: getattr(self, name) for name in ("id", *PAYLOAD)} | {"labels": dict(self.labels)}


@dataclass(frozen=True)
class EntryPage:
    """Some of a gallery's entries, by id; printed, it is a table."""

    entries: tuple[Entry, ...]
    following: int | None
    """The `start` of the next page; None on the last."""

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __getitem__(self, row: int) -> Entry:
        return self.entries[row]

    def table(self) -> str:
        """As text."""
        if not self.entries:
            return "no entries"
        names = self._labels()
        rows = [
            [
                *(str(value) for value in (entry.id, entry.identity, entry.camera)),
                shown_time(entry.time),
                entry.track or "-",
                *(str(entry.labels.get(name, "-")) for name in names),
            ]
            for entry in self
        ]
        lines = text_table(["id", "identity", "camera", "time", "track", *names], rows).splitlines()
        paths = ["path", "----", *(entry.path for entry in self)]
        lines = [f"{line}  {path}" for line, path in zip(lines, paths, strict=True)]
        more = [] if self.following is None else ["", f"more: --start {self.following}"]
        return "\n".join(lines + more)

    def __str__(self) -> str:
        return self.table()

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"entries": [entry.to_dict() for entry in self], "following": self.following}

    def json(self) -> str:
        """As JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def csv(self) -> str:
        """As CSV with a head, one entry a line; every label is a column."""
        names, text = self._labels(), io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["id", *PAYLOAD, *names])
        for entry in self:
            cells = [getattr(entry, name) for name in ("id", *PAYLOAD)]
            cells += [entry.labels.get(name) for name in names]
            writer.writerow(["" if cell is None else cell for cell in cells])
        return text.getvalue()

    def _labels(self) -> list[str]:
        return sorted({name for entry in self for name in entry.labels})


def entry_page(
    engine: Engine, conditions: Sequence[Condition], start: int, limit: int, flags: Collection[str]
) -> EntryPage:
    """Up to `limit` entries that pass, from id `start` on.

    Raises:
        InputError: the limit or the start is out of range.
    """
    check_limit("limit", limit)
    if isinstance(start, bool) or not isinstance(start, int) or not 0 <= start <= LARGEST_ID:
        raise InputError(f"start is an id, a whole number from 0 to {LARGEST_ID}, got {start!r}.")
    points, following = engine.page(conditions, start=start, count=limit)
    return EntryPage(tuple(entry_of(point, flags) for point in points), following)


def entry_of(point: Point, flags: Collection[str]) -> Entry:
    """What an engine gave, typed; `flags` names the labels that are True or False."""
    payload = point.payload
    return Entry(
        id=point.id,
        identity=payload["identity"],
        camera=payload["camera"],
        path=payload["path"],
        time=payload.get("time"),
        track=payload.get("track"),
        labels=labels_of(payload, flags),
    )


def check_limit(name: str, limit: int) -> None:
    """Refuse a limit that is not from 1 to `MOST` with an InputError."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST:
        raise InputError(f"{name} is a whole number from 1 to {MOST}, got {limit!r}.")
