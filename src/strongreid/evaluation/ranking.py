"""The Market-1501 protocol: exact CMC, mAP and mINP in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strongreid.data.records import DISTRACTOR
from strongreid.errors import InputError
from strongreid.evaluation.distances import (
    Float32,
    Float64,
    Int64,
    Metric,
    key_index,
    order_keys,
    ordering_blocks,
    row_offsets,
    smallest_keys,
)
from strongreid.features import FeatureTable

_LEFT_OUT = np.uint64(0xFFFFFFFFFFFFFFFF)  # after every key: its upper half is the bits of a NaN


@dataclass(frozen=True, eq=False)
class Ranking:
    """How each evaluated query fared; row i of every array belongs to query `query[i]`."""

    query: Int64
    """(n,) row of the query in its table, ascending."""
    average_precision: Float64
    """(n,) mean over the query's true matches of the precision at the match's rank."""
    inverse_negative_penalty: Float64
    """(n,) number of true matches divided by the rank of the last one."""
    first_match_rank: Int64
    """(n,) rank of the nearest true match, from 1."""
    skipped: int
    """Queries without a true match in the gallery."""

    def cmc(self, max_rank: int) -> Float64:
        """(max_rank,) share of queries with a true match among the first 1, 2, ... of the gallery."""
        first = self.first_match_rank
        counts = np.bincount(first[first <= max_rank], minlength=max_rank + 1)[1:]
        return np.cumsum(counts) / max(1, len(first))


def rank_features(query: FeatureTable, gallery: FeatureTable, metric: Metric = "cosine") -> Ranking:
    """Rank the gallery for every query under the cross-camera protocol (paper, section 4).

    A gallery picture of the query's identity and the query's camera is removed; distractors stay and never
    match; a query without a true match is skipped and counted. Equal distances are ordered by gallery row.
    Distances are float32, precisions float64. Memory is bounded: one block of queries against the gallery at
    a time.

    Raises:
        InputError: the metric is unknown, the features differ in length, or are too large for "euclidean".
    """
    found: list[tuple[int, Int64]] = []
    for rows, values in ordering_blocks(query.features, gallery.features, metric):
        found += _rank_block(values, rows.start, query, gallery)
    return _collect(found, len(query))


def rank_distances(distances: Float32, query: FeatureTable, gallery: FeatureTable) -> Ranking:
    """As `rank_features`, from distances that are already there, as those of re-ranking.

    Args:
        distances: (q, g), without NaN.
        query: q rows, for their identities and cameras.
        gallery: g rows, the same.

    Raises:
        InputError: the distances have another shape, or hold NaN.
    """
    values = np.asarray(distances, dtype=np.float32)
    if values.shape != (len(query), len(gallery)):
        raise InputError(
            f"{len(query)} queries and {len(gallery)} gallery rows need distances of shape "
            f"({len(query)}, {len(gallery)}), got {values.shape}."
        )
    if np.isnan(values).any():
        raise InputError("the distances hold NaN; look at what computed them.")
    return _collect(_rank_block(values, 0, query, gallery), len(query))


def top_matches(
    query: FeatureTable, gallery: FeatureTable, top_k: int, metric: Metric = "cosine"
) -> tuple[Int64, Float32]:
    """The nearest `top_k` gallery rows of every query, without those of its own identity and camera.

    Returns:
        (q, top_k) int64 gallery rows, nearest first, equal distances by row, -1 where the gallery has no
        more; and (q, top_k) float32 distances, 1 - cosine or Euclidean, infinite where the row is -1.

    Raises:
        InputError: `top_k` is below 1, or as `rank_features`.
    """
    if top_k < 1:
        raise InputError(f"top_k is at least 1, got {top_k}.")
    nearest = np.full((len(query), top_k), -1, dtype=np.int64)
    distances = np.full((len(query), top_k), np.inf, dtype=np.float32)
    offsets = row_offsets(query.features, metric)
    for rows, values in ordering_blocks(query.features, gallery.features, metric):
        keys = order_keys(values)
        for number, row in enumerate(range(rows.start, rows.stop)):
            keys[number, _same_identity(row, query, gallery)[1]] = _LEFT_OUT
        keys = smallest_keys(keys, top_k)
        width = keys.shape[1]
        there = keys != _LEFT_OUT
        columns = np.where(there, key_index(keys), 0)
        near = np.maximum(np.take_along_axis(values, columns, axis=1) + offsets[rows, None], 0)
        if metric == "euclidean":
            near = np.sqrt(near)
        nearest[rows, :width] = np.where(there, columns, -1)
        distances[rows, :width] = np.where(there, near, np.inf)
    return nearest, distances


def _rank_block(values: Float32, start: int, query: FeatureTable, gallery: FeatureTable) -> list[tuple[int, Int64]]:
    """The queries of a (b, g) block that have true matches, with the ascending ranks of these."""
    found = []
    for row, row_values in enumerate(values, start=start):
        matches, left_out = _same_identity(row, query, gallery)
        if matches.size:
            found.append((row, _match_ranks(row_values, matches, left_out)))
    return found


def _match_ranks(values: Float32, matches: Int64, left_out: Int64) -> Int64:
    """(m,) ascending ranks, from 1, of `matches` among the (g,) `values` without those `left_out`.

    Only what is no farther than the last match is sorted: O(g + k log k) for a last match at rank k.
    """
    keys = order_keys(values)
    keys[left_out] = _LEFT_OUT
    targets = np.sort(keys[matches])
    nearer = np.sort(keys[keys <= targets[-1]])
    return np.searchsorted(nearer, targets).astype(np.int64) + 1


def _same_identity(row: int, query: FeatureTable, gallery: FeatureTable) -> tuple[Int64, Int64]:
    """Gallery rows of the query's identity, of other cameras (true matches) and of its own (left out)."""
    identity = query.identities[row]
    if identity == DISTRACTOR:  # distractors are many people: none is known to be the query's
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    same = np.flatnonzero(gallery.identities == identity)
    own = gallery.cameras[same] == query.cameras[row]
    return same[~own], same[own]


def _collect(found: list[tuple[int, Int64]], queries: int) -> Ranking:
    """The measures of each query from the ranks of its matches."""
    precisions = [float(np.mean(np.arange(1, len(ranks) + 1) / ranks)) for _, ranks in found]
    penalties = [len(ranks) / int(ranks[-1]) for _, ranks in found]
    return Ranking(
        query=np.array([row for row, _ in found], dtype=np.int64),
        average_precision=np.array(precisions, dtype=np.float64),
        inverse_negative_penalty=np.array(penalties, dtype=np.float64),
        first_match_rank=np.array([ranks[0] for _, ranks in found], dtype=np.int64),
        skipped=queries - len(found),
    )
