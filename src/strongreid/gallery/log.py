"""The gallery's log: numbered Parquet parts of what was added and what was removed. It is the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.distances import Int64
from strongreid.gallery.entries import Entries
from strongreid.gallery.parts import part_ids, read_part, removal_note, write_part, write_removal


class Log:
    """Parts in one folder, by number: NUMBER.add.parquet and NUMBER.remove.parquet."""

    def __init__(self, folder: Path) -> None:
        """Read which parts there are; what was only half written is deleted.

        Raises:
            InputError: the folder or one of the parts is missing.
        """
        if not folder.is_dir():
            raise InputError(f"the gallery's folder {folder} is missing; put a copy of it there.")
        self.folder = folder
        for left in folder.glob(".*.partial"):
            left.unlink()
        self.parts = {int(path.name.split(".")[0]): path for path in sorted(folder.glob("*.parquet"))}
        missing = set(range(1, len(self.parts) + 1)) - set(self.parts)
        if missing:
            raise InputError(f"{folder} lacks its part number {min(missing)}; put a copy of it there.")

    @property
    def last(self) -> int:
        """Number of the last part, 0 for none."""
        return len(self.parts)

    def add(self, entries: Entries, model: str) -> int:
        """Write entries as the next part, durable when this returns; returns its number."""
        number = self.last + 1
        path = self.folder / f"{number:08d}.add.parquet"
        write_part(path, entries, model)
        self.parts[number] = path
        return number

    def remove(self, ids: Int64, line: dict[str, Any]) -> int:
        """Write removals and their audit line as the next part, as `add`."""
        number = self.last + 1
        path = self.folder / f"{number:08d}.remove.parquet"
        write_removal(path, ids, json.dumps(line))
        self.parts[number] = path
        return number

    def entries(self, after: int = 0) -> Iterator[Entries]:
        """What parts after the given number added and no later one removed.

        Raises:
            InputError: a part is damaged.
        """
        removals = {number: part_ids(self.parts[number]) for number in self.removals(after)}
        for number, path in self.parts.items():
            if number <= after or number in removals:
                continue
            later = [ids for other, ids in removals.items() if other > number]
            gone = np.concatenate(later) if later else np.empty(0, dtype=np.int64)
            for entries in read_part(path):
                kept = entries.select(~np.isin(entries.ids, gone))
                if len(kept):
                    yield kept

    def removals(self, after: int = 0) -> list[int]:
        """Numbers of the parts after the given one that remove."""
        return [n for n, path in self.parts.items() if n > after and path.name.endswith(".remove.parquet")]

    def removed(self, after: int) -> Int64:
        """Ids that parts after the given number removed."""
        ids = [part_ids(self.parts[number]) for number in self.removals(after)]
        return np.concatenate(ids) if ids else np.empty(0, dtype=np.int64)

    def count(self) -> int:
        """How many entries there are."""
        import pyarrow.parquet as pq

        removing = set(self.removals())
        rows = {number: pq.read_metadata(path).num_rows for number, path in self.parts.items()}
        return sum(-count if number in removing else count for number, count in rows.items())

    def largest_id(self) -> int:
        """The largest id ever added here, -1 for none."""
        removing = set(self.removals())
        added = [part_ids(path) for number, path in self.parts.items() if number not in removing]
        return max((int(ids.max()) for ids in added if len(ids)), default=-1)

    def notes(self) -> list[dict[str, Any]]:
        """The audit lines of the removals."""
        return [json.loads(removal_note(self.parts[number])) for number in self.removals()]

    def bytes(self) -> int:
        """Size of all parts on disk."""
        return sum(path.stat().st_size for path in self.parts.values())
