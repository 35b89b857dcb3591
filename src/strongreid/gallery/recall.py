"""How much of what exact search finds the approximate one finds too, on the gallery's own entries."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from strongreid.gallery.embedded import EmbeddedEngine
from strongreid.gallery.engine import Point
from strongreid.gallery.log import Log

QUERIES = 100
NEAREST = 10
EFFORTS = (128, 256, 512, 1024)
ENOUGH = 0.95
"""A recall with which no greater effort is tried."""


def settle_effort(engine: EmbeddedEngine, log: Log) -> dict[str, Any]:
    """Give the engine the least of `EFFORTS` whose recall is `ENOUGH`, or the greatest; returns what it measured.

    That is the recall of the 10 nearest others of up to 100 entries spread over the gallery, and milliseconds
    a search.
    """
    ids = np.concatenate([entries.ids for entries in log.entries()])
    chosen = ids[np.linspace(0, len(ids) - 1, min(QUERIES, len(ids))).astype(np.intp)]
    points = engine.retrieve(chosen.tolist(), features=True)
    right, exact_ms = _nearest_others(engine, points, exact=True)
    wanted = sum(map(len, right))
    for effort in EFFORTS:
        engine.effort = effort
        found, approximate_ms = _nearest_others(engine, points, exact=False)
        recall = sum(len(a & b) for a, b in zip(right, found, strict=True)) / max(1, wanted)
        if recall >= ENOUGH:
            break
    return {
        "effort": engine.effort,
        "recall_at_10": recall,
        "queries": len(points),
        "exact_ms": round(exact_ms, 3),
        "approximate_ms": round(approximate_ms, 3),
    }


def _nearest_others(engine: EmbeddedEngine, points: list[Point], *, exact: bool) -> tuple[list[set[int]], float]:
    """The ids of the 10 nearest others of each point, and milliseconds a search."""
    began = time.perf_counter()
    found = []
    for point in points:
        query = np.array([point.feature], dtype=np.float32)
        others = [other.id for other in engine.nearest(query, (), NEAREST + 1, exact=exact)[0]]
        found.append(set([other for other in others if other != point.id][:NEAREST]))
    return found, 1000 * (time.perf_counter() - began) / len(points)
