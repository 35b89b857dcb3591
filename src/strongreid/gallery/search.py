"""From features to matches: several pictures, "not like these", re-ranking, probabilities and the threshold."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.calibration import Calibration
from strongreid.evaluation.distances import Float32, Float64, Metric, normalise
from strongreid.evaluation.reranking import k_reciprocal
from strongreid.evaluation.result import RERANKS, Rerank
from strongreid.gallery.conditions import Condition
from strongreid.gallery.engine import Engine, Point, prepared
from strongreid.gallery.result import Match, SearchResult, labels_of

Combine = Literal["mean", "best"]
MOST = 10_000
"""Matches of one search at most."""


@dataclass(frozen=True, eq=False)
class Question:
    """What is looked for.

    Raises:
        InputError: an argument is not allowed, or the features cancel out.
    """

    like: Float32
    """(n, d) pictures of one person."""
    unlike: Float32 | None = None
    """(m, d) pictures of somebody else."""
    top_k: int = 10
    combine: Combine = "mean"
    """Several pictures: "mean" searches for the mean of their features, "best" for each; the best score counts."""
    unlike_weight: float = 0.5
    """w in q = p + w (p - m), where p is the feature looked for and m the mean of `unlike` (Rocchio 1971)."""
    rerank: Rerank | None = None
    candidates: int = 200
    """Nearest entries that are re-ranked among themselves."""
    exact: bool = True
    prior: float = 0.5
    fpr: float | None = None
    """Which of the calibration's thresholds decides on "unknown"; None takes the one it was made for."""

    def __post_init__(self) -> None:
        for name, count in (("top_k", self.top_k), ("candidates", self.candidates)):
            if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 1 <= count <= MOST:
                raise InputError(f"{name} is a whole number from 1 to {MOST}, got {count!r}.")
        if self.combine not in get_args(Combine):
            raise InputError(f"combine is one of {', '.join(get_args(Combine))}, got {self.combine!r}.")
        if self.rerank not in (None, *RERANKS):
            raise InputError(f"rerank is one of {', '.join(RERANKS)} or nothing, got {self.rerank!r}.")
        if not 0 < self.unlike_weight <= 10:
            raise InputError(f"unlike_weight is above 0 and at most 10, got {self.unlike_weight}.")
        if not 0 < self.prior < 1:
            raise InputError(f"a prior is a probability above 0 and below 1, got {self.prior}.")


def search(
    engine: Engine,
    question: Question,
    conditions: Sequence[Condition],
    metric: Metric,
    calibration: Calibration | None,
    flags: Collection[str] = (),
) -> SearchResult:
    """Ask the engine, and say what its answer means; `flags` names the labels that are True or False.

    Raises:
        InputError: the features cancel out, or the calibration has no threshold for the rate asked for.
    """
    threshold = None if calibration is None else calibration.threshold(question.fpr)
    wanted = _wanted(question, metric)
    away = None if question.unlike is None else _mean(question.unlike, metric)
    queries = wanted if away is None else wanted + question.unlike_weight * (wanted - away)
    if metric == "cosine":
        if not np.abs(queries).sum(axis=1).all():
            raise InputError("the features looked for cancel out to zero, and nothing is near that; give others.")
        queries = normalise(queries)
    reranking = question.rerank is not None
    count = max(question.top_k, question.candidates) if reranking else question.top_k
    answers = engine.nearest(queries, conditions, count, exact=question.exact, features=reranking or away is not None)
    points = _merged(answers)[:count]
    distances, nearer = _distances(points, wanted, away, metric)
    reranked = _reranked(queries, points) if reranking else [None] * len(points)
    order = sorted(range(len(points)), key=lambda i: (reranked[i] or 0.0, -points[i].score, points[i].id))
    probabilities = None if calibration is None else calibration.probability(distances, question.prior)
    matches = [
        _match(
            points[i],
            flags,
            distance=float(distances[i]),
            reranked=reranked[i],
            probability=None if probabilities is None else float(probabilities[i]),
            known=None if threshold is None else bool(distances[i] <= threshold and nearer[i]),
        )
        for i in order[: question.top_k]
    ]
    fpr = None if calibration is None else calibration.fpr if question.fpr is None else question.fpr
    return SearchResult(tuple(matches), metric, threshold, fpr, question.prior, question.exact)


def _wanted(question: Question, metric: Metric) -> Float32:
    """(q, d) what to search for, before it is moved away from anything."""
    if question.combine == "mean":
        return _mean(question.like, metric)
    return prepared(question.like, metric)


def _mean(features: Float32, metric: Metric) -> Float32:
    """(1, d) the mean of prepared features, again prepared."""
    mean = prepared(features, metric).mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)
    return prepared(mean, metric)


def _merged(answers: list[list[Point]]) -> list[Point]:
    """Every entry with its best score, best first, equal scores by id.

    The first n of the merged list are right, since an entry has at most as many before it in the list of the query
    that gave its best score.
    """
    best: dict[int, Point] = {}
    for point in (point for answer in answers for point in answer):
        if point.id not in best or best[point.id].score < point.score:
            best[point.id] = point
    return sorted(best.values(), key=lambda point: (-point.score, point.id))


def _distances(
    points: list[Point], wanted: Float32, away: Float32 | None, metric: Metric
) -> tuple[Float64, list[bool]]:
    """(k,) distances to the nearest of what is wanted, and whether each is nearer to that than to what is not."""
    if away is None or not points:
        scores = np.array([point.score for point in points])
        return np.maximum(1 - scores if metric == "cosine" else -scores, 0.0), [True] * len(points)
    features = np.array([point.feature for point in points], dtype=np.float64)
    near = np.min([_apart(features, row, metric) for row in wanted], axis=0)
    far = _apart(features, away[0], metric)
    return near, (near < far).tolist()


def _apart(features: Float64, one: Float32, metric: Metric) -> Float64:
    if metric == "cosine":
        return np.asarray(np.maximum(1 - features @ one.astype(np.float64), 0.0))
    return np.asarray(np.linalg.norm(features - one, axis=1))


def _reranked(queries: Float32, points: list[Point]) -> list[Any]:
    """Each candidate's k-reciprocal distance to the nearest query, with the candidates for a gallery."""
    if not points:
        return []
    features = np.array([point.feature for point in points], dtype=np.float32)
    nearest: list[float] = k_reciprocal(queries, features, device="cpu").min(axis=0).tolist()
    return nearest


def _match(
    point: Point,
    flags: Collection[str],
    *,
    distance: float,
    reranked: float | None,
    probability: float | None,
    known: bool | None,
) -> Match:
    payload = point.payload
    return Match(
        id=point.id,
        score=point.score,
        distance=distance,
        probability=probability,
        known=known,
        identity=payload["identity"],
        camera=payload["camera"],
        path=payload["path"],
        time=payload.get("time"),
        track=payload.get("track"),
        labels=labels_of(payload, flags),
        reranked=reranked,
    )
