"""A gallery in a folder: the log of Parquet parts, the index made from it, the description, the audit, the lock."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.distances import Int64
from strongreid.files import atomic_file, write_json
from strongreid.gallery.description import Description, now
from strongreid.gallery.embedded import LEAST_EFFORT, EmbeddedEngine, library
from strongreid.gallery.entries import Entries
from strongreid.gallery.lock import Lock
from strongreid.gallery.log import Log
from strongreid.gallery.parts import PartWriter
from strongreid.gallery.recall import settle_effort

FLUSH_ROWS = 50_000
"""Entries after which the index is flushed while adding; later ones are read from the parts at the next opening."""
APPROXIMATE_FROM = 50_000
"""Entries from which on an approximate index is offered; below, the exact search takes a few milliseconds."""
_OURS = ("gallery.json", "audit.jsonl", "lock")


class FolderStore:
    """The durable side of an embedded gallery. One thread at a time may change it; any number may search."""

    engine: EmbeddedEngine
    log: Log
    graph: dict[str, Any] | None
    """What was measured of the index's graph; None without one."""

    def __init__(self, folder: Path) -> None:
        """Open what is there; a folder that is missing or empty is made with the first entries.

        Raises:
            InputError: it holds something else, is damaged, or is open elsewhere.
        """
        library()
        self.path = folder
        self.description: Description | None = None
        self._lock: Lock | None = None
        if folder.is_file():
            raise InputError(f"{folder} is a file, a gallery is a folder: mend the path.")
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        if "gallery.json" in names:
            self._lock = Lock(folder / "lock", str(folder))
            try:
                self._open()
            except BaseException:
                self._lock.release()
                raise
        elif others := [name for name in names if not _ours(name)]:
            raise InputError(
                f"{folder} is no gallery: it has no gallery.json and holds {others[0]}; name a gallery or an empty "
                "folder."
            )

    @property
    def has_graph(self) -> bool:
        """As `Store`."""
        return self.graph is not None

    def create(self, description: Description) -> None:
        """Make the gallery.

        Raises:
            InputError: the folder can't be written or is open elsewhere.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {self.path}: {error.strerror}; choose another.") from error
        self._lock = Lock(self.path / "lock", str(self.path))
        if (self.path / "gallery.json").exists():
            self._lock.release()
            raise InputError(f"{self.path} was made by another process just now: open it again.")
        self._sweep(set())  # of a making that was killed
        self._state: dict[str, Any] = {"parts": "parts-1", "index": "index-1", "next_id": 0}
        (self.path / "parts-1").mkdir()
        self.log = Log(self.path / "parts-1")
        self.engine = EmbeddedEngine.create(self.path / "index-1", description)
        self.next_id, self._pending, self.graph = 0, 0, None
        self._stamp()
        self.describe(description)
        self.record({"when": now(), "what": "create", "entries": 0})

    def describe(self, description: Description) -> None:
        """Store the description."""
        write_json(self.path / "gallery.json", description.to_dict() | self._state)
        self.description = description

    def append(self, entries: Entries) -> None:
        """Add entries: durable, and found by searches, once this returns."""
        assert self.description is not None
        self.log.add(entries, self.description.model)
        self.next_id = max(self.next_id, int(entries.ids.max()) + 1)
        self.engine.upsert(entries)
        self._pending += len(entries)
        if self._pending >= FLUSH_ROWS:
            self._stamp()

    def remove(self, ids: Int64, line: dict[str, Any]) -> None:
        """Remove entries: gone from searches for good once this returns, from the disk after `compact`."""
        line = line | {"key": uuid.uuid4().hex}
        self.log.remove(ids, line)
        self.engine.delete(ids.tolist())
        self._pending += len(ids)
        self.record(line)

    def take_ids(self, count: int) -> Int64:
        """The next free ids; none is ever given twice."""
        return np.arange(self.next_id, self.next_id + count, dtype=np.int64)

    def record(self, line: dict[str, Any]) -> None:
        """Append a line to the audit, durable when this returns."""
        with (self.path / "audit.jsonl").open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def audit(self) -> list[dict[str, Any]]:
        """The lines of the audit, oldest first."""
        path = self.path / "audit.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def compact(self) -> None:
        """Write parts and index anew with the present entries only, and delete the old files.

        Raises:
            InputError: the disk is full, or an old file can't be deleted; the gallery is as it was.
        """
        assert self.description is not None
        self._rewrite(lambda entries: entries, self.description)
        self.record({"when": now(), "what": "compact", "entries": self.log.count()})

    def rewrite(self, change: Callable[[Entries], Entries], description: Description, line: dict[str, Any]) -> None:
        """Change every entry, all at once: a kill leaves the gallery as it was or as it is to be. Compacts it too.

        Raises:
            InputError: as `compact`.
        """
        self._rewrite(change, description)
        self.record(line)

    def _rewrite(self, change: Callable[[Entries], Entries], description: Description) -> None:
        parts = self._next("parts")
        parts.mkdir()
        if self.log.count():
            with atomic_file(parts / "00000001.add.parquet") as partial:
                writer = PartWriter(partial, description.model, description.labels)
                for entries in self.log.entries():
                    writer.write(change(entries))
                writer.close()
        before, self.description = self.description, description
        try:
            self._switch(Log(parts), graph=self.graph is not None and self.log.count() >= APPROXIMATE_FROM)
        except BaseException:
            self.description = before
            raise

    def rebuild(self, *, approximate: bool = False) -> None:
        """Make the index anew from the parts; with `approximate`, with a graph and its measured recall.

        Raises:
            InputError: too few entries for a graph, or a part is damaged.
        """
        if approximate and self.log.count() < APPROXIMATE_FROM:
            raise InputError(
                f"{self.path} has {self.log.count():,} entries; an approximate index is built from "
                f"{APPROXIMATE_FROM:,} on, since fewer are searched exactly in a few milliseconds."
            )
        self._switch(self.log, graph=approximate)
        self.record({"when": now(), "what": "rebuild", "entries": self.log.count(), "approximate": approximate})

    def details(self) -> dict[str, Any]:
        """Counts and sizes for `info`."""
        index = sum(file.stat().st_blocks * 512 for file in self._folder("index").rglob("*") if file.is_file())
        return {
            "parts": self.log.last,
            "parts_bytes": self.log.bytes(),
            "index_bytes": index,
            "removed_not_compacted": len(self.log.removed(0)),
            "approximate": self.graph,
        }

    def close(self) -> None:
        """Flush and close; another process may open the gallery then."""
        if self._lock is not None and self._lock.release.alive:
            if self.description is not None:
                self._stamp()
                self.engine.close()
            self._lock.release()

    def _open(self) -> None:
        where = self.path / "gallery.json"
        try:
            value = json.loads(where.read_text(encoding="utf-8"))
            self._state = {name: value[name] for name in ("parts", "index", "next_id")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{where} is damaged ({error!r}); put a copy of it there.") from error
        description = Description.from_dict(value, str(where))
        self._sweep({self._state["parts"], self._state["index"]})
        self.log = Log(self._folder("parts"))
        self.next_id = max(self._state["next_id"], self.log.largest_id() + 1)
        self.description = description
        self._mend_audit()
        self._load_index()

    def _load_index(self) -> None:
        """Open the index and bring it up to the log; make it anew where that fails."""
        assert self.description is not None
        try:
            stamp = json.loads(self._stamp_path().read_text(encoding="utf-8"))
            self.graph = stamp["graph"]
            self.engine = EmbeddedEngine.load(self._folder("index"), self.description)
            if self.graph:
                self.engine.effort = self.graph.setdefault("effort", LEAST_EFFORT)
        except (OSError, ValueError, KeyError, TypeError):  # InputError is a ValueError
            self._switch(self.log, graph=False)
            return
        self._pending = 0
        if stamp["part"] < self.log.last:
            removed = self.log.removed(stamp["part"])
            self.engine.delete(removed.tolist())
            self._pending += len(removed)
            for entries in self.log.entries(after=stamp["part"]):
                self.engine.upsert(entries)
                self._pending += len(entries)
        if stamp["part"] > self.log.last or self.engine.count() != self.log.count():
            self._switch(self.log, graph=self.graph is not None)

    def _switch(self, log: Log, *, graph: bool) -> None:
        """Make an index of `log`, go over to both in one atomic step, and delete what they replace."""
        assert self.description is not None
        folder = self._next("index")
        engine = EmbeddedEngine.create(folder, self.description, graph=graph)
        for entries in log.entries():
            engine.upsert(entries)
        self.graph = None
        if graph:
            indexed = engine.optimize()
            self.graph = {"indexed": indexed, **settle_effort(engine, log)}
        if hasattr(self, "engine"):
            self.engine.replace_by(engine)
        else:
            self.engine = engine
        self.log = log
        self._state = {"parts": log.folder.name, "index": folder.name, "next_id": self.next_id}
        self._stamp()
        self.describe(self.description)
        self._sweep({log.folder.name, folder.name})

    def _stamp(self) -> None:
        """Flush the index and note up to which part it goes."""
        self.engine.flush()
        write_json(self._stamp_path(), {"part": self.log.last, "graph": self.graph})
        self._pending = 0

    def _stamp_path(self) -> Path:
        return self.path / f"{self._state['index']}.json"

    def _folder(self, which: str) -> Path:
        return self.path / str(self._state[which])

    def _next(self, which: str) -> Path:
        """A folder beside the present one, with the next number; what a killed attempt left there is deleted."""
        folder = self.path / f"{which}-{int(str(self._state[which]).split('-')[1]) + 1}"
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def _sweep(self, keep: set[str]) -> None:
        """Delete parts and indices that are no longer, or not yet, the gallery's.

        Raises:
            InputError: something can't be deleted.
        """
        try:
            for path in self.path.iterdir():
                if path.name in _OURS or path.name in keep or path.name.removesuffix(".json") in keep:
                    continue
                if path.is_dir() and _ours(path.name):
                    shutil.rmtree(path)
                elif _ours(path.name):
                    path.unlink()
        except OSError as error:
            raise InputError(
                f"cannot delete {error.filename}: {error.strerror}; delete it, then try again."
            ) from error

    def _mend_audit(self) -> None:
        """Drop a line that was half written, and add removals that were killed before their line was written."""
        path = self.path / "audit.jsonl"
        text = path.read_bytes() if path.exists() else b""
        if text and not text.endswith(b"\n"):
            with atomic_file(path) as partial:
                partial.write_bytes(text[: text.rfind(b"\n") + 1])
        known = {line.get("key") for line in self.audit()}
        for note in self.log.notes():
            if note["key"] not in known:
                self.record(note)


def _ours(name: str) -> bool:
    """Whether a name in the folder is one that we write."""
    return name in _OURS or name.startswith(("parts-", "index-", ".gallery.json.", ".index-", ".audit.jsonl."))
