"""Exact CMC, mAP and mINP in bounded memory: every block of distances is used and forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.distances import (
    Float32,
    Float64,
    Int64,
    Metric,
    Scaled,
    block_rows,
    distances_of,
    key_index,
    order_keys,
    ordering_blocks,
    scale,
    smallest_keys,
)
from strongreid.evaluation.hardware import accelerator
from strongreid.evaluation.matching import LeaveOut, Matching
from strongreid.features import FeatureTable


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
    identities: Int64
    """(n,) the query's identity."""
    cameras: Int64
    """(n,) the query's camera."""
    paths: tuple[str, ...]
    """n paths of the queries' pictures."""
    skipped: int
    """Queries without a true match in the gallery."""

    def cmc(self, max_rank: int) -> Float64:
        """(max_rank,) share of queries with a true match among the first 1, 2, ... of the gallery."""
        first = self.first_match_rank
        counts = np.bincount(first[first <= max_rank], minlength=max_rank + 1)[1:]
        return np.cumsum(counts) / max(1, len(first))


def rank_features(
    query: FeatureTable,
    gallery: FeatureTable,
    metric: Metric = "cosine",
    *,
    leave_out: LeaveOut = "same_camera",
    device: str = "auto",
) -> Ranking:
    """Rank the gallery for every query; by default under the cross-camera protocol (paper, section 4).

    What `leave_out` names is removed from a query's gallery; distractors stay and never match; a query without
    a true match is skipped and counted. Equal distances are ordered by gallery row. Distances are float32,
    precisions float64. Memory is bounded: one block of queries against the gallery at a time.

    Args:
        query: q features with identities and cameras.
        gallery: g, the same.
        metric: "cosine" or "euclidean".
        leave_out: as `Matching`.
        device: "auto" ranks on a CUDA device where there is one; "cpu"; or any torch device.

    Raises:
        InputError: metric, rule or device is unknown, the features differ in length, or are too large for
            "euclidean".
    """
    matching = Matching(query, gallery, leave_out)
    target = accelerator(device)
    if target is not None:
        return _collect(_ranks_on_device(query, gallery, metric, matching, target), query)
    return rank_blocks(ordering_blocks(query.features, gallery.features, metric), query, gallery, matching)


def rank_distances(
    distances: Float32 | Iterable[tuple[slice, Float32]],
    query: FeatureTable,
    gallery: FeatureTable,
    *,
    leave_out: LeaveOut = "same_camera",
) -> Ranking:
    """As `rank_features`, from distances that are already there, as those of re-ranking.

    Args:
        distances: (q, g), without NaN; or blocks of it, each with its rows, in order. Blocks may be changed.
        query: q rows, for their identities and cameras.
        gallery: g rows, the same.
        leave_out: as `Matching`.

    Raises:
        InputError: the distances have another shape, or hold NaN; the rule is unknown.
    """
    blocks = _blocks_of(distances) if isinstance(distances, np.ndarray) else distances
    return rank_blocks(_without_nan(blocks), query, gallery, Matching(query, gallery, leave_out))


def top_matches(
    query: FeatureTable,
    gallery: FeatureTable,
    top_k: int,
    metric: Metric = "cosine",
    *,
    leave_out: LeaveOut = "same_camera",
) -> tuple[Int64, Float32]:
    """The nearest `top_k` gallery rows of every query, without what `leave_out` names.

    Returns:
        (q, top_k) int64 gallery rows, nearest first, equal distances by row, -1 where the gallery has no
        more; and (q, top_k) float32 distances, 1 - cosine or Euclidean, infinite where the row is -1.

    Raises:
        InputError: `top_k` is below 1, or as `rank_features`.
    """
    top = TopMatches(len(query), top_k, Matching(query, gallery, leave_out))
    for rows, values in ordering_blocks(query.features, gallery.features, metric):
        top.add(rows, values)
    return top.rows, distances_of(top.values, query.features, metric)


class TopMatches:
    """Collects the nearest `top_k` gallery rows of every query from blocks of values.

    Raises:
        InputError: `top_k` is below 1.
    """

    def __init__(self, queries: int, top_k: int, matching: Matching) -> None:
        if top_k < 1:
            raise InputError(f"top_k is at least 1, got {top_k}.")
        self._top_k, self._matching = top_k, matching
        self.rows = np.full((queries, top_k), -1, dtype=np.int64)
        """(q, top_k) gallery rows, -1 where there are no more."""
        self.values = np.full((queries, top_k), np.inf, dtype=np.float32)
        """(q, top_k) their values, infinite where there are no more."""

    def add(self, rows: slice, values: Float32) -> None:
        """Take a (b, g) block; what its queries do not see becomes NaN in it."""
        self._matching.mask(rows, values)
        for row, own in enumerate(values, start=rows.start):
            near = key_index(smallest_keys(order_keys(own)[None], self._top_k))[0]
            near = near[~np.isnan(own[near])]
            self.rows[row, : len(near)] = near
            self.values[row, : len(near)] = own[near]

    def watch(self, blocks: Iterable[tuple[slice, Float32]]) -> Iterator[tuple[slice, Float32]]:
        """The blocks, passed on after each was added."""
        for rows, values in blocks:
            self.add(rows, values)
            yield rows, values


def rank_blocks(
    blocks: Iterable[tuple[slice, Float32]], query: FeatureTable, gallery: FeatureTable, matching: Matching
) -> Ranking:
    """Rank from blocks of values in the order of the distances; what a query does not see may be NaN already.

    Raises:
        InputError: the blocks do not cover all queries in order, or have another width.
    """
    found: list[tuple[int, Int64]] = []
    done = 0
    for rows, values in blocks:
        if values.shape != (rows.stop - rows.start, len(gallery)) or rows.start != done or rows.stop > len(query):
            raise InputError(
                f"{len(query)} queries and {len(gallery)} gallery rows need distances of shape "
                f"({len(query)}, {len(gallery)}), got {values.shape} for rows {rows.start} to {rows.stop}."
            )
        for row, row_values in enumerate(values, start=rows.start):
            matches, left_out = matching.of(row)
            if matches.size:
                found.append((row, _match_ranks(row_values, matches, left_out)))
        done = rows.stop
    if done != len(query):
        raise InputError(f"there are distances for {done} of {len(query)} queries; give a row for each.")
    return _collect(found, query)


def _blocks_of(distances: Float32) -> Iterator[tuple[slice, Float32]]:
    """Copies of a few rows at a time; a matrix of another number of dimensions is passed on to be refused."""
    if distances.ndim != 2:
        yield slice(0, len(distances)), distances
        return
    step = block_rows(distances.shape[1])
    for start in range(0, len(distances), step):
        block = distances[start : start + step].astype(np.float32)
        yield slice(start, start + len(block)), block


def _without_nan(blocks: Iterable[tuple[slice, Float32]]) -> Iterator[tuple[slice, Float32]]:
    for rows, values in blocks:
        if np.isnan(values).any():
            raise InputError("the distances hold NaN; look at what computed them.")
        yield rows, values


def _match_ranks(values: Float32, matches: Int64, left_out: Int64) -> Int64:
    """(m,) ascending ranks, from 1, of `matches` among the (g,) `values` without those `left_out`.

    Only what is no farther than the last match is sorted: O(g + k log k) for a last match at rank k.
    """
    values[left_out] = np.nan  # never nearer than anything
    near = np.flatnonzero(values <= values[matches].max())
    keys = order_keys(values[near], near)
    targets = keys[np.searchsorted(near, matches)]
    keys.sort()
    targets.sort()
    ranks: Int64 = np.searchsorted(keys, targets).astype(np.int64) + 1
    return ranks


def _ranks_on_device(
    query: FeatureTable, gallery: FeatureTable, metric: Metric, matching: Matching, device: str
) -> list[tuple[int, Int64]]:
    """The ascending ranks of the matches of every query that has any, on an accelerator."""
    from strongreid.evaluation.on_device import DeviceGallery

    scaled: Scaled = scale(gallery.features, metric)
    there = DeviceGallery(gallery.features, scaled.per_column, factor=scaled.factor, device=device)
    found: list[tuple[int, Int64]] = []
    step = there.rows_per_block()
    lists = [matching.of(row) for row in range(len(query))]
    ranked = [row for row, (matches, _) in enumerate(lists) if matches.size]
    for start in range(0, len(ranked), step):
        rows = ranked[start : start + step]
        block = scaled.prepare(query.features[rows])
        ranks = there.match_ranks(block, [lists[row][0] for row in rows], [lists[row][1] for row in rows])
        found += zip(rows, ranks, strict=True)
    return found


def _collect(found: list[tuple[int, Int64]], query: FeatureTable) -> Ranking:
    """The measures of each query from the ranks of its matches."""
    rows = np.array([row for row, _ in found], dtype=np.int64)
    counts = np.array([len(ranks) for _, ranks in found], dtype=np.int64)
    starts = np.cumsum(counts) - counts
    flat = np.concatenate([ranks for _, ranks in found]) if found else rows
    place = np.arange(len(flat)) - np.repeat(starts, counts) + 1  # of a match among its query's, from 1
    precisions = np.add.reduceat(place / flat, starts) / counts if found else np.empty(0)
    return Ranking(
        query=rows,
        average_precision=precisions,
        inverse_negative_penalty=counts / flat[starts + counts - 1],
        first_match_rank=flat[starts],
        identities=query.identities[rows],
        cameras=query.cameras[rows],
        paths=tuple(query.paths[row] for row in rows.tolist()),
        skipped=len(query) - len(found),
    )
