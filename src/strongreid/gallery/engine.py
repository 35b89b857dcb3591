"""What a gallery needs of a search engine; `embedded` and `server` have one each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from strongreid.evaluation.distances import Float32, Metric, normalise
from strongreid.gallery.conditions import Condition
from strongreid.gallery.entries import Entries, LabelKind

PAGE = 1000
"""Entries sent or fetched at a time."""


class Point(NamedTuple):
    """An entry as an engine gives it back."""

    id: int
    score: float
    """Cosine, or minus the Euclidean distance; 0 where nothing was searched."""
    payload: dict[str, Any]
    """As `Entries.payloads`."""
    feature: list[float] | None
    """As `prepared`, where asked for."""


class Engine(Protocol):
    """Holds features with payloads, and finds the nearest that pass conditions."""

    def upsert(self, entries: Entries) -> None:
        """Add entries; those of the same id are replaced."""

    def delete(self, ids: Sequence[int]) -> None:
        """Take entries out; ids that are not there are passed over."""

    def nearest(
        self,
        queries: Float32,
        conditions: Sequence[Condition],
        count: int,
        *,
        exact: bool = True,
        features: bool = False,
    ) -> list[list[Point]]:
        """Of each (q, d) prepared query the nearest entries, best first."""

    def pages(self, conditions: Sequence[Condition] = (), *, features: bool = False) -> Iterator[list[Point]]:
        """All entries that pass, by id, `PAGE` at a time."""

    def page(self, conditions: Sequence[Condition], *, start: int, count: int) -> tuple[list[Point], int | None]:
        """Up to `count` entries that pass, by id, from id `start` on; and the id of the next one, None for none."""

    def values(self, field: str, count: int) -> list[tuple[str | int, int]]:
        """Up to `count` values of a field with how many entries have each, the most frequent first."""

    def retrieve(self, ids: Sequence[int], *, features: bool = False) -> list[Point]:
        """The entries of these ids that are there."""

    def count(self, conditions: Sequence[Condition] = ()) -> int:
        """How many entries pass, exactly."""

    def index_labels(self, labels: Mapping[str, LabelKind]) -> None:
        """Prepare for filtering by these labels."""


def prepared(features: Float32, metric: Metric) -> Float32:
    """What an engine is given: features of length 1 under "cosine", as they are under "euclidean"."""
    return normalise(features) if metric == "cosine" else features


def similarity(score: float, metric: Metric) -> float:
    """Of an engine's score, which is a product, or a distance, something that is larger the nearer."""
    return score if metric == "cosine" else -score
