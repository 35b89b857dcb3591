"""The same on a Qdrant server: entries in one collection, the gallery's description and audit in another."""

from __future__ import annotations

import os
import re
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.distances import Float32, Int64
from strongreid.gallery.conditions import Condition, qdrant_filter
from strongreid.gallery.description import Description
from strongreid.gallery.engine import PAGE, Point, prepared, similarity
from strongreid.gallery.entries import FIELDS, Entries, LabelKind

DEFAULT_NAME = "people"
_SCHEMAS = {"text": "keyword", "whole": "integer", "flag": "integer", "time": "float"}


def library() -> ModuleType:
    """qdrant_client, or an error that names what to install."""
    try:
        import qdrant_client
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a gallery on a server needs qdrant_client: pip install 'strongreid[server]'", name="qdrant_client"
        ) from error
    return qdrant_client


def is_url(location: str) -> bool:
    """Whether a gallery is on a server rather than in a folder."""
    return location.startswith(("http://", "https://"))


class ServerEngine:
    """An `Engine` on a server."""

    def __init__(self, call: Callable[..., Any], name: str, description: Description) -> None:
        from qdrant_client import models

        self._call, self._name, self._metric = call, name, description.metric
        self._models: Any = models

    def upsert(self, entries: Entries) -> None:
        """As `Engine`; durable on the server when this returns."""
        payloads = entries.payloads()
        features = prepared(entries.features, self._metric)
        for start in range(0, len(entries), PAGE):
            rows = slice(start, start + PAGE)
            ids, vectors = entries.ids[rows].tolist(), features[rows].tolist()
            points = [
                self._models.PointStruct(id=number, vector=vector, payload=payload)
                for number, vector, payload in zip(ids, vectors, payloads, strict=False)
            ]
            self._call("upsert", self._name, points, wait=True)

    def delete(self, ids: Sequence[int]) -> None:
        """As `Engine`."""
        for start in range(0, len(ids), PAGE):
            chosen = self._models.PointIdsList(points=list(ids[start : start + PAGE]))
            self._call("delete", self._name, points_selector=chosen, wait=True)

    def nearest(
        self,
        queries: Float32,
        conditions: Sequence[Condition],
        count: int,
        *,
        exact: bool = True,
        features: bool = False,
    ) -> list[list[Point]]:
        """As `Engine`."""
        models = self._models
        requests = [
            models.QueryRequest(
                query=query,
                limit=count,
                filter=qdrant_filter(conditions, models),
                params=models.SearchParams(exact=exact),
                with_vector=features,
                with_payload=True,
            )
            for query in queries.tolist()
        ]
        found = self._call("query_batch_points", self._name, requests)
        return [
            [self._point(point, similarity(point.score, self._metric)) for point in answer.points] for answer in found
        ]

    def pages(self, conditions: Sequence[Condition] = (), *, features: bool = False) -> Iterator[list[Point]]:
        """As `Engine`."""
        start = None
        while True:
            points, start = self._scroll(conditions, start, PAGE, features)
            if points:
                yield points
            if start is None:
                return

    def page(self, conditions: Sequence[Condition], *, start: int, count: int) -> tuple[list[Point], int | None]:
        """As `Engine`."""
        return self._scroll(conditions, start, count, features=False)

    def _scroll(
        self, conditions: Sequence[Condition], start: int | None, count: int, features: bool
    ) -> tuple[list[Point], int | None]:
        """Up to `count` points by id, and where the next ones begin."""
        points, following = self._call(
            "scroll",
            self._name,
            scroll_filter=qdrant_filter(conditions, self._models),
            limit=count,
            offset=start,
            with_payload=True,
            with_vectors=features,
        )
        return [self._point(point) for point in points], following

    def values(self, field: str, count: int) -> list[tuple[str | int, int]]:
        """As `Engine`."""
        response = self._call("facet", self._name, field, limit=count, exact=True)
        return [(hit.value, hit.count) for hit in response.hits]

    def retrieve(self, ids: Sequence[int], *, features: bool = False) -> list[Point]:
        """As `Engine`."""
        return [
            self._point(point)
            for start in range(0, len(ids), PAGE)
            for point in self._call(
                "retrieve", self._name, list(ids[start : start + PAGE]), with_payload=True, with_vectors=features
            )
        ]

    def count(self, conditions: Sequence[Condition] = ()) -> int:
        """As `Engine`."""
        return int(self._call("count", self._name, qdrant_filter(conditions, self._models), exact=True).count)

    def index_labels(self, labels: Mapping[str, LabelKind]) -> None:
        """As `Engine`."""
        for name, kind in labels.items():
            schema = self._models.PayloadSchemaType(_SCHEMAS[kind])
            self._call("create_payload_index", self._name, name, schema, wait=True)

    @staticmethod
    def _point(point: Any, score: float = 0.0) -> Point:
        return Point(point.id, score, point.payload or {}, point.vector)


class ServerStore:
    """The durable side of a gallery on a server; several processes and machines may use it at once."""

    engine: ServerEngine

    def __init__(self, url: str, client: Any = None) -> None:
        """Look at what is there; the collections are made with the first entries.

        Args:
            url: http://HOST:PORT, or http://HOST:PORT/NAME for a gallery of another name than "people".
            client: a `QdrantClient` of your own; None makes one, with the key in QDRANT_API_KEY if that is set.

        Raises:
            InputError: the server does not answer, or its collection is no gallery.
        """
        qdrant: Any = library()
        self._errors = _failures()
        parts = urlsplit(url)
        self.name = parts.path.strip("/") or DEFAULT_NAME
        if not re.fullmatch(r"[\w-]+", self.name):
            raise InputError(f"a gallery's name on a server is letters, digits, - and _; got {self.name!r}.")
        self.path = f"{parts.scheme}://{parts.netloc}/{self.name}"
        key = os.environ.get("QDRANT_API_KEY")
        address = f"{parts.scheme}://{parts.netloc}"
        self._client = client or qdrant.QdrantClient(url=address, api_key=key, check_compatibility=False)
        self._about = f"{self.name}-about"
        self.description: Description | None = None
        there, about = (self._call("collection_exists", name) for name in (self.name, self._about))
        if about and (found := self._call("retrieve", self._about, [0], with_payload=True)):
            self.description = Description.from_dict(found[0].payload, self.path)
            self._make(self.description)
        elif there:
            raise InputError(
                f"the collection {self.name} on {address} is no gallery: it has no description in {self._about}. "
                "Choose another name, as in http://HOST:6333/NAME."
            )

    @property
    def has_graph(self) -> bool:
        """As `Store`; a server makes one when it finds it worth while."""
        return True

    def create(self, description: Description) -> None:
        """Make the collections."""
        if not self._call("collection_exists", self._about):
            self._call("create_collection", self._about, vectors_config={})
        self.describe(description)
        self._make(description)
        self.record({"when": description.created, "what": "create", "entries": 0})

    def describe(self, description: Description) -> None:
        """Store the description."""
        from qdrant_client import models

        point = models.PointStruct(id=0, vector={}, payload=description.to_dict())
        self._call("upsert", self._about, [point], wait=True)
        self.description = description

    def append(self, entries: Entries) -> None:
        """Add entries: durable, and found by searches, once this returns."""
        self.engine.upsert(entries)

    def remove(self, ids: Int64, line: dict[str, Any]) -> None:
        """Remove entries: gone from searches once this returns."""
        self.engine.delete(ids.tolist())
        self.record(line)

    def take_ids(self, count: int) -> Int64:
        """Ids that nobody has and that others who add just now will hardly take: a run from a random start."""
        while True:
            ids = np.arange(count, dtype=np.int64) + (secrets.randbits(32) << 20)
            if not self.engine.retrieve(ids.tolist()):
                return ids

    def record(self, line: dict[str, Any]) -> None:
        """Append a line to the audit."""
        from qdrant_client import models

        point = models.PointStruct(id=str(uuid.uuid4()), vector={}, payload=line)
        self._call("upsert", self._about, [point], wait=True)

    def audit(self) -> list[dict[str, Any]]:
        """The lines of the audit, oldest first."""
        lines, offset = [], None
        while True:
            points, offset = self._call("scroll", self._about, limit=PAGE, offset=offset, with_payload=True)
            lines += [dict(point.payload) for point in points if point.id != 0]
            if offset is None:
                return sorted(lines, key=lambda line: str(line["when"]))

    def compact(self) -> None:
        """Refuse: a server does this itself.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"{self.path} is on a server, which clears removed entries from its disk by itself (vacuum optimizer)."
        )

    def rewrite(self, change: Callable[[Entries], Entries], description: Description, line: dict[str, Any]) -> None:  # noqa: ARG002
        """Refuse: on a server entries can't be changed all at once.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"{self.path} is on a server, where entries can't be changed all at once; change the gallery in a "
            "folder, and move it to a new name."
        )

    def rebuild(self, *, approximate: bool = False) -> None:  # noqa: ARG002
        """Refuse: a server does this itself.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"{self.path} is on a server, which keeps its own index; add the feature tables to a new one."
        )

    def details(self) -> dict[str, Any]:
        """Counts for `info`."""
        found = self._call("get_collection", self.name)
        return {"approximate": {"indexed": found.indexed_vectors_count or 0}}

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _make(self, description: Description) -> None:
        """Make the collection of entries if it is not there (a making that was killed is gone on with)."""
        from qdrant_client import models

        self.engine = ServerEngine(self._call, self.name, description)
        if self._call("collection_exists", self.name):
            return
        distance = models.Distance.DOT if description.metric == "cosine" else models.Distance.EUCLID
        params = models.VectorParams(size=description.dim, distance=distance)
        self._call("create_collection", self.name, vectors_config=params)
        wanted: dict[str, Any] = {**FIELDS, **description.labels}
        self.engine.index_labels(wanted)

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """A call of the client.

        Raises:
            InputError: the server does not answer, or refuses.
        """
        try:
            return getattr(self._client, name)(*arguments, **options)
        except self._errors as error:
            said = str(error).strip().partition("\n")[0]
            raise InputError(
                f"{self.path} does not answer as a Qdrant server does ({type(error).__name__}: {said}); start the "
                "server, or mend the address or QDRANT_API_KEY."
            ) from error


def _failures() -> tuple[type[Exception], ...]:
    from qdrant_client.http.exceptions import ApiException

    return (ApiException, OSError)
