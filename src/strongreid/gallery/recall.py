"""How much of what exact search finds the approximate one finds too, on the gallery's own entries."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from strongreid.gallery.engine import Engine
from strongreid.gallery.log import Log

QUERIES = 100
NEAREST = 10


def measured_recall(engine: Engine, log: Log) -> dict[str, Any]:
    """Recall of the 10 nearest others of up to 100 entries spread over the gallery, and milliseconds a search."""
    ids = np.concatenate([entries.ids for entries in log.entries()])
    chosen = ids[np.linspace(0, len(ids) - 1, min(QUERIES, len(ids))).astype(np.intp)]
    points = engine.retrieve(chosen.tolist(), features=True)
    found: dict[bool, list[set[int]]] = {}
    took: dict[bool, float] = {}
    for exact in (True, False):
        began = time.perf_counter()
        answers = [
            engine.nearest(np.array([point.feature], dtype=np.float32), (), NEAREST + 1, exact=exact)[0]
            for point in points
        ]
        took[exact] = 1000 * (time.perf_counter() - began) / len(points)
        found[exact] = [
            {other.id for other in others} - {point.id} for point, others in zip(points, answers, strict=True)
        ]
    hits = sum(len(right & near) for right, near in zip(found[True], found[False], strict=True))
    wanted = sum(min(NEAREST, len(right)) for right in found[True])
    return {
        "recall_at_10": hits / max(1, wanted),
        "queries": len(points),
        "exact_ms": round(took[True], 3),
        "approximate_ms": round(took[False], 3),
    }
