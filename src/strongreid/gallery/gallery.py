"""`Gallery`: enrol, search, forget; the same calls in a folder and on a server."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.evaluation.calibration import Calibration
from strongreid.evaluation.distances import METRICS, Float32, Int64, Metric
from strongreid.evaluation.result import Rerank
from strongreid.features import FeatureTable
from strongreid.gallery.checks import Given, check_same_model, comparable, refuse_taken, to_remove
from strongreid.gallery.conditions import Only, Several
from strongreid.gallery.description import Description, now
from strongreid.gallery.entries import Label, Moment, entries_of, one_per_track
from strongreid.gallery.folder import FolderStore
from strongreid.gallery.info import GalleryInfo
from strongreid.gallery.listing import Entry, EntryPage, check_limit, entry_of, entry_page
from strongreid.gallery.result import SearchResult
from strongreid.gallery.search import Combine, Question, search
from strongreid.gallery.server import ServerStore, is_url
from strongreid.gallery.store import Store


class Gallery:
    """Features of people with what is known about them, kept on disk or on a server, to be searched.

    One process at a time may have a gallery in a folder open; its threads may search while one of them adds. Close
    it, or use it in a `with`, so that the next opening is quick.
    """

    def __init__(
        self,
        location: str | Path,
        *,
        calibration: Calibration | str | Path | None = None,
        metric: Metric | None = None,
        client: Any = None,
    ) -> None:
        """Open a gallery; where there is none, the first `add` makes it.

        Args:
            location: a folder, or http://HOST:6333/NAME on a Qdrant server.
            calibration: what distances mean, or the model folder that holds it. It is copied into a gallery that is
                made, and into one that has none or another.
            metric: of a gallery that is made; None takes the calibration's, or else "cosine".
            client: a `qdrant_client.QdrantClient` of your own, for a server.

        Raises:
            InputError: the place holds something else, is damaged, is open in another process, or belongs to another
                metric or model than the calibration.
        """
        if isinstance(calibration, (str, Path)):
            calibration = Calibration.load(calibration)
        if metric is not None and metric not in METRICS:
            raise InputError(f"unknown metric {metric!r}; allowed: {', '.join(METRICS)}.")
        self._given, self._closed = calibration, False
        self._metric: Metric = metric or (calibration.metric if calibration else "cosine")
        self._changing = threading.RLock()
        on_server = is_url(str(location))
        self._store: Store = ServerStore(str(location), client) if on_server else FolderStore(Path(location))
        try:
            self._fit(self._store.description, metric)
        except BaseException:
            self._store.close()
            raise

    @property
    def location(self) -> str:
        """Its folder, or its address on a server."""
        return str(self._store.path)

    @property
    def description(self) -> Description | None:
        """Metric, dimension, model, labels and calibration; None where there is no gallery yet."""
        self._refuse_closed()
        return self._store.description

    def _fit(self, found: Description | None, metric: Metric | None) -> None:
        """Hold the arguments against the gallery that is there; take the calibration over."""
        if found is None:
            return
        if metric is not None and metric != found.metric:
            raise InputError(f"{self._store.path} is a gallery of {found.metric} distances, not of {metric} ones.")
        if self._given is not None and self._given != found.calibration:
            self._store.describe(found.with_calibration(self._given))

    def add(
        self,
        table: FeatureTable,
        *,
        ids: Sequence[int] | Int64 | None = None,
        times: Sequence[Moment | None] | npt.NDArray[Any] | None = None,
        tracks: Sequence[str | int | None] | npt.NDArray[Any] | None = None,
        labels: Mapping[str, Sequence[Label | None] | npt.NDArray[Any]] | None = None,
        track_as_one: bool = False,
    ) -> Int64:
        """Enrol the rows of a table; all are durable and can be found once this returns, or none.

        Args:
            table: features of the gallery's model.
            ids: distinct whole numbers that the gallery does not have; None takes the next free ones.
            times: of each row, seconds or dates (`seconds`), None where unknown.
            tracks: of each row, the name of the track it belongs to.
            labels: by name, a text, whole number or True or False of each row, to filter by.
            track_as_one: enrol each track as one entry, the mean of its normalised features.

        Returns:
            (n,) ids of the new entries.

        Raises:
            InputError: the table is empty or of another model or dimension, an id is taken, or an argument does not
                fit the rows; nothing is added.
        """
        if not len(table):
            raise InputError("the table is empty: there is nothing to add; look at what it was made from.")
        self._refuse_closed()
        with self._changing:
            own = self._store.description
            if own is None:
                own = Description(self._metric, table.dim, table.model).with_calibration(self._given)
            else:
                check_same_model(own, self._store.path, table.features, table.model)
            given = None if ids is None else np.asarray(ids)
            rows = np.arange(len(table)) if given is None else given
            entries = entries_of(table, rows, times=times, tracks=tracks, labels=labels)
            if track_as_one:
                entries = one_per_track(entries, own.metric)
            described = own.with_labels_of(entries)
            if self._store.description is None:
                self._store.create(described)
            elif given is not None:
                refuse_taken(self._store.engine, self._store.path, entries.ids)
            if described.labels != own.labels and self._store.description != described:
                self._store.describe(described)
                new = {name: kind for name, kind in described.labels.items() if name not in own.labels}
                self._store.engine.index_labels(new)
            if given is None:
                entries = entries.with_ids(self._store.take_ids(len(entries)))
            self._store.append(entries)
            return entries.ids

    def search(
        self,
        features: Given,
        top_k: int = 10,
        *,
        combine: Combine = "mean",
        unlike: Given | None = None,
        unlike_weight: float = 0.5,
        rerank: Rerank | None = None,
        candidates: int = 200,
        approximate: bool = False,
        prior: float = 0.5,
        fpr: float | None = None,
        model: str = "",
        cameras: Several | None = None,
        not_cameras: Several | None = None,
        identities: Several | None = None,
        tracks: Several | None = None,
        since: Moment | None = None,
        before: Moment | None = None,
        labels: Mapping[str, Several] | None = None,
    ) -> SearchResult:
        """The nearest entries that pass the filters, with the probability that each is the same person.

        Args:
            features: (d,) of one picture, (n, d) of several pictures of one person, or their table.
            top_k: matches to give at most.
            combine: of several pictures: "mean" searches for the mean of their normalised features, "best" for each
                of them, and an entry's score is its best.
            unlike: features of somebody else. With p looked for and m the mean of these, the search is for
                q = p + unlike_weight * (p - m) (Rocchio); an entry nearer to m than to p is unknown.
            unlike_weight: above 0.
            rerank: "k_reciprocal" orders the nearest `candidates` anew, as `evaluation.k_reciprocal` does.
            candidates: how many that are.
            approximate: ask the graph that `rebuild(approximate=True)` made; entries may be missed. With a filter the
                search is exact all the same.
            prior: how likely the same person is before looking: for someone who is in a gallery of n people with
                probability p it is p / n.
            fpr: which of the calibration's thresholds decides on "unknown"; None takes the one it was made for.
            model: fingerprint of the model that made the features, where they are no table; checked if given.
            cameras: this filter and the others below: one value or several, as in `Only`.
            not_cameras: all but these.
            identities: as enrolled.
            tracks: as enrolled.
            since: this time or later.
            before: earlier than this time.
            labels: values by name.

        Raises:
            InputError: there is no gallery, the features are of another model or not finite numbers of the right
                shape, an unknown label, or an argument that is not allowed.
        """
        own = self._described()
        if approximate and not self._store.has_graph:
            raise InputError(
                f"{self._store.path} has no approximate index; make one with rebuild(approximate=True) "
                "(strongreid gallery rebuild --approximate), or search exactly."
            )
        only = Only(cameras, not_cameras, identities, tracks, since, before, labels)
        conditions = only.conditions(own.labels)
        question = Question(
            like=comparable(own, self._store.path, features, model),
            unlike=None if unlike is None else comparable(own, self._store.path, unlike, model),
            top_k=top_k,
            combine=combine,
            unlike_weight=unlike_weight,
            rerank=rerank,
            candidates=candidates,
            exact=not approximate or bool(conditions),
            prior=prior,
            fpr=fpr,
        )
        return search(self._store.engine, question, conditions, own.metric, own.calibration, own.flags)

    def remove(
        self,
        ids: Sequence[int] | Int64 | None = None,
        *,
        identity: int | None = None,
        before: Moment | None = None,
    ) -> int:
        """Remove entries by exactly one of the arguments; returns how many.

        They are gone from searches at once, and from the disk after `compact`. The audit gets a line.

        Args:
            ids: entries that are there.
            identity: all entries of this identity.
            before: all entries of an earlier time; those without a time stay.

        Raises:
            InputError: there is no gallery, none or several arguments are given, or an id is not there; nothing is
                removed.
        """
        self._described()
        with self._changing:
            chosen, note = to_remove(self._store.engine, self._store.path, ids, identity, before)
            if len(chosen):
                line = {"when": now(), "what": "remove", **note, "entries": len(chosen)}
                self._store.remove(chosen, line)
            return len(chosen)

    def compact(self) -> None:
        """Write the gallery's files anew without what was removed; takes as much disk again while it works.

        Raises:
            InputError: there is no gallery, the disk is full, or it is on a server.
        """
        self._described()
        with self._changing:
            self._store.compact()

    def rebuild(self, *, approximate: bool = False) -> None:
        """Make the index anew from the Parquet parts; with `approximate`, with a graph and its measured recall.

        Raises:
            InputError: there is no gallery, too few entries for a graph, or it is on a server.
        """
        self._described()
        with self._changing:
            self._store.rebuild(approximate=approximate)

    def features(self, ids: Sequence[int]) -> Float32:
        """(n, d) features of entries as they are searched: of length 1 under the cosine metric.

        Raises:
            InputError: there is no gallery, or an id is not there.
        """
        own = self._described()
        found = {point.id: point.feature for point in self._store.engine.retrieve(list(ids), features=True)}
        if missing := [number for number in ids if number not in found]:
            raise InputError(f"{self._store.path} has no entry {missing[0]}.")
        return np.array([found[number] for number in ids], dtype=np.float32).reshape(len(ids), own.dim)

    def entries(self, limit: int = 100, *, start: int = 0, only: Only | None = None) -> EntryPage:
        """Up to `limit` entries that pass the filters, by id, from id `start` on; an empty page without a gallery.

        Raises:
            InputError: the limit is not from 1 to 1000, or as in `search`.
        """
        self._refuse_closed()
        own = self._store.description
        if own is None:
            return EntryPage((), None)
        conditions = (only or Only()).conditions(own.labels)
        return entry_page(self._store.engine, conditions, start, limit, own.flags)

    def entry(self, number: int) -> Entry:
        """What is known about one entry.

        Raises:
            InputError: there is no gallery, or it has no such entry.
        """
        own = self._described()
        found = self._store.engine.retrieve([number])
        if not found:
            raise InputError(f"{self._store.path} has no entry {number}.")
        return entry_of(found[0], own.flags)

    def values(self, field: str, limit: int = 100) -> list[tuple[str | int, int]]:
        """Up to `limit` values of camera, identity, track or a label, with how many entries have each.

        The most frequent come first; True and False are 1 and 0. Empty without a gallery.

        Raises:
            InputError: there is no such field, or the limit is not from 1 to 1000.
        """
        self._refuse_closed()
        check_limit("limit", limit)
        own = self._store.description
        if own is None:
            return []
        allowed = ["camera", "identity", "track", *own.labels]
        if field not in allowed:
            raise InputError(f"unknown field {field!r} to list; this gallery has {', '.join(allowed)}.")
        return self._store.engine.values(field, limit)

    def count(
        self,
        *,
        cameras: Several | None = None,
        identities: Several | None = None,
        since: Moment | None = None,
        before: Moment | None = None,
        labels: Mapping[str, Several] | None = None,
    ) -> int:
        """How many entries pass the filters; 0 where there is no gallery yet.

        Raises:
            InputError: as in `search`.
        """
        self._refuse_closed()
        own = self._store.description
        if own is None:
            return 0
        only = Only(cameras=cameras, identities=identities, since=since, before=before, labels=labels)
        return self._store.engine.count(only.conditions(own.labels))

    def info(self) -> GalleryInfo:
        """Counts, sizes, model, labels, calibration, and the recall of the approximate index.

        Raises:
            InputError: there is no gallery.
        """
        own = self._described()
        return GalleryInfo(str(self._store.path), len(self), own, self._store.details())

    def audit(self) -> list[dict[str, Any]]:
        """What was done and when, oldest first; no features.

        Raises:
            InputError: there is no gallery.
        """
        self._described()
        return self._store.audit()

    def close(self) -> None:
        """Flush and let go; a second call does nothing, any other is refused from now on."""
        if not self._closed:
            self._closed = True
            self._store.close()

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, number: int) -> bool:
        self._refuse_closed()
        return self._store.description is not None and bool(self._store.engine.retrieve([number]))

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise InputError(f"the gallery at {self._store.path} was closed: open it again.")

    def _described(self) -> Description:
        self._refuse_closed()
        if self._store.description is None:
            raise InputError(f"there is no gallery at {self._store.path}: add to it first, or mend the path.")
        return self._store.description
