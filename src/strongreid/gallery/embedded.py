"""The embedded engine: qdrant-edge, in this process, its files in one folder.

It is only an index of the gallery's Parquet parts: it writes no log of its own and is trusted up to its last flush.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from strongreid.errors import InputError
from strongreid.evaluation.distances import Float32
from strongreid.gallery.conditions import Condition, qdrant_filter
from strongreid.gallery.description import Description
from strongreid.gallery.engine import PAGE, Point, prepared, similarity
from strongreid.gallery.entries import FIELDS, Entries, LabelKind

LEAST_EFFORT = 128
"""Candidates that an approximate search keeps (HNSW's ef), where nothing was measured."""
_SCHEMAS = {"text": "Keyword", "whole": "Integer", "flag": "Integer", "time": "Float"}


def library() -> ModuleType:
    """qdrant_edge, or an error that names what to install."""
    try:
        import qdrant_edge
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a gallery in a folder needs qdrant_edge: pip install 'strongreid[gallery]'", name="qdrant_edge"
        ) from error
    return qdrant_edge


class EmbeddedEngine:
    """An `Engine` in a folder. Threads may search while another adds."""

    def __init__(self, shard: Any, description: Description) -> None:
        self._shard, self._metric = shard, description.metric
        self._edge: Any = library()
        self.effort = LEAST_EFFORT
        """Candidates that an approximate search keeps: the more, the less it misses and the longer it takes."""

    @classmethod
    def create(cls, folder: Path, description: Description, *, graph: bool = False) -> EmbeddedEngine:
        """Make an empty one; with `graph`, `optimize` builds a graph for approximate search."""
        edge: Any = library()
        distance = edge.Distance.Dot if description.metric == "cosine" else edge.Distance.Euclid
        folder.mkdir(parents=True)
        # payload_m=0: no further links for each value of a field, since filters are always searched exactly.
        hnsw = edge.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10, payload_m=0)
        config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=description.dim, distance=distance),
            wal_enabled=False,  # the gallery's Parquet parts are the log
            hnsw_config=hnsw if graph else None,
            optimizers=edge.EdgeOptimizersConfig(indexing_threshold=1 if graph else 0),
        )
        engine = cls(edge.EdgeShard.create(str(folder), config), description)
        engine.index_labels({**FIELDS, **description.labels})  # type: ignore[dict-item]
        return engine

    @classmethod
    def load(cls, folder: Path, description: Description) -> EmbeddedEngine:
        """Open one.

        Raises:
            InputError: it is missing or damaged.
        """
        edge: Any = library()
        try:
            engine = cls(edge.EdgeShard.load(str(folder)), description)
            there = engine._shard.info().payload_schema
        except Exception as error:  # the library's only class
            raise InputError(f"the index in {folder} can't be opened ({error}); rebuild the gallery.") from error
        wanted: dict[str, Any] = {**FIELDS, **description.labels}
        engine.index_labels({name: kind for name, kind in wanted.items() if name not in there})
        return engine

    def replace_by(self, other: EmbeddedEngine) -> None:
        """Search in another's index from now on. Searches under way end in the old one, which then goes."""
        self._shard, self.effort = other._shard, other.effort

    def upsert(self, entries: Entries) -> None:
        """As `Engine`."""
        edge, payloads = self._edge, entries.payloads()
        features = prepared(entries.features, self._metric)
        for start in range(0, len(entries), PAGE):
            rows = slice(start, start + PAGE)
            vectors = features[rows].tolist()  # twice as fast as handing over arrays
            ids = entries.ids[rows].tolist()
            points = [
                edge.Point(id=number, vector=vector, payload=payload)
                for number, vector, payload in zip(ids, vectors, payloads, strict=False)
            ]
            self._shard.update(edge.UpdateOperation.upsert_points(points))

    def delete(self, ids: Sequence[int]) -> None:
        """As `Engine`."""
        if ids:
            self._shard.update(self._edge.UpdateOperation.delete_points(list(ids)))

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
        edge = self._edge
        params = edge.SearchParams(exact=exact, hnsw_ef=None if exact else self.effort)
        requests = [
            edge.QueryRequest(
                query=edge.Query.Nearest(query),
                limit=count,
                filter=qdrant_filter(conditions, edge),
                params=params,
                with_vector=features,
                with_payload=True,
            )
            for query in queries.tolist()
        ]
        found = self._shard.query_batch(edge.QueryBatchRequest(requests))
        return [[self._point(point, similarity(point.score, self._metric)) for point in points] for points in found]

    def pages(self, conditions: Sequence[Condition] = (), *, features: bool = False) -> Iterator[list[Point]]:
        """As `Engine`."""
        edge, offset = self._edge, None
        while True:
            request = edge.ScrollRequest(
                offset=offset,
                limit=PAGE,
                filter=qdrant_filter(conditions, edge),
                with_payload=True,
                with_vector=features,
            )
            points, offset = self._shard.scroll(request)
            if points:
                yield [self._point(point) for point in points]
            if offset is None:
                return

    def page(self, conditions: Sequence[Condition], *, start: int, count: int) -> tuple[list[Point], int | None]:
        """As `Engine`."""
        edge = self._edge
        found = qdrant_filter(conditions, edge)
        request = edge.ScrollRequest(offset=start, limit=count, filter=found, with_payload=True, with_vector=False)
        points, following = self._shard.scroll(request)
        return [self._point(point) for point in points], following

    def values(self, field: str, count: int) -> list[tuple[str | int, int]]:
        """As `Engine`."""
        response = self._shard.facet(self._edge.FacetRequest(field, count, True))
        return [(hit.value, hit.count) for hit in response.hits]

    def retrieve(self, ids: Sequence[int], *, features: bool = False) -> list[Point]:
        """As `Engine`."""
        return [
            self._point(point) for point in self._shard.retrieve(list(ids), with_payload=True, with_vector=features)
        ]

    def count(self, conditions: Sequence[Condition] = ()) -> int:
        """As `Engine`."""
        edge = self._edge
        request = edge.CountRequest(filter=qdrant_filter(conditions, edge), exact=True)
        return int(self._shard.count(request))

    def index_labels(self, labels: Mapping[str, LabelKind]) -> None:
        """As `Engine`."""
        edge = self._edge
        for name, kind in labels.items():
            schema = getattr(edge.PayloadSchemaType, _SCHEMAS[kind])
            self._shard.update(edge.UpdateOperation.create_field_index(name, schema))

    def optimize(self) -> int:
        """Build the graph for approximate search; returns how many entries are in it."""
        self._shard.optimize()
        return int(self._shard.info().indexed_vectors_count)

    def flush(self) -> None:
        """Everything so far is on disk once this returns."""
        self._shard.flush()

    def close(self) -> None:
        """Close the files; no call is allowed afterwards."""
        self._shard.close()

    @staticmethod
    def _point(point: Any, score: float = 0.0) -> Point:
        return Point(point.id, score, point.payload or {}, point.vector)
