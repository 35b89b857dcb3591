"""Average-linkage clustering with pairs that may never be together: exact, without a matrix of all distances."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from strongreid.evaluation.distances import Float64, Int64

Forbidden = Callable[[slice], npt.NDArray[np.bool_]]
"""(rows, n) for a slice of the n items: True where two may not be together. Symmetric; the diagonal is False."""

BLOCK_BYTES = 64_000_000
"""Of distances at a time."""


def agglomerate(features: Float64, threshold: float, forbidden: Forbidden | None = None) -> Int64:
    """Merge the two nearest clusters that may be merged, again and again, while they are at most `threshold` apart.

    The distance of two clusters is the mean of the cosine distances of their items, one of each; two that hold a
    forbidden pair are never merged. The mean is 1 - S_a . S_b / (n_a n_b), with S the sum of a cluster's unit
    features, so no matrix of distances is kept: memory is n * (16 d + n / 8) bytes and a block.

    Two clusters that are each other's nearest are merged at once, all such pairs in one round. By either rule a
    merged cluster is no nearer to any other than its nearer part was (the linkage is reducible), and so the outcome
    is that of merging one by one by distance, up to ties (Bruynooghe, Statistique et Analyse des Données 3, 1978).

    Args:
        features: (n, d) of length 1.
        threshold: largest mean distance within which clusters are merged, 0 to 2.
        forbidden: which items may not be together; None: all may.

    Returns:
        (n,) cluster numbers from 0, in the order of their first items.
    """
    return _Merging(features, threshold, forbidden).run()


class _Merging:
    def __init__(self, features: Float64, threshold: float, forbidden: Forbidden | None) -> None:
        count = len(features)
        self.threshold = threshold
        self.sums = np.array(features, dtype=np.float64)
        self.sizes = np.ones(count)
        self.barred = None if forbidden is None else _packed(count, forbidden)
        self.member_of = np.arange(count)
        self.active = np.arange(count)
        self.nearest = np.full(count, -1)
        self.distance = np.full(count, np.inf)

    def run(self) -> Int64:
        stale = self.active
        while len(self.active) > 1:
            self._look(stale)
            self.active = self.active[self.distance[self.active] <= self.threshold]  # the others are done for good
            if not len(self.active):
                break
            pairs = self._reciprocal()
            for one, other in pairs:
                self._merge(one, other)
            touched = np.isin(self.nearest, pairs)
            touched[pairs[:, 0]] = True
            self.active = np.setdiff1d(np.union1d(self.active, pairs[:, 0]), pairs[:, 1])
            stale = self.active[touched[self.active]]
        roots = self._roots()
        _, first, numbers = np.unique(roots, return_index=True, return_inverse=True)
        place = np.empty(len(first), dtype=np.int64)
        place[np.argsort(first)] = np.arange(len(first))
        return np.asarray(place[numbers])

    def _look(self, rows: Int64) -> None:
        """Find the nearest of each of these clusters among the active ones; the first of several as near."""
        columns = self.active
        means = self.sums[columns] / self.sizes[columns, None]
        step = max(1, BLOCK_BYTES // (8 * max(1, len(columns)) + 1))
        for start in range(0, len(rows), step):
            own = rows[start : start + step]
            distances = 1.0 - (self.sums[own] / self.sizes[own, None]) @ means.T
            if self.barred is not None:
                bits = np.unpackbits(self.barred[own], axis=1, count=len(self.nearest)).view(np.bool_)
                distances[bits[:, columns]] = np.inf
            places = np.searchsorted(columns, own)
            distances[np.arange(len(own)), places] = np.inf
            best = np.argmin(distances, axis=1)
            self.nearest[own] = columns[best]
            self.distance[own] = distances[np.arange(len(own)), best]

    def _reciprocal(self) -> Int64:
        """(k, 2) pairs that are each other's nearest, the lower number first; never none."""
        rows = self.active
        mutual = rows[(self.nearest[self.nearest[rows]] == rows) & (rows < self.nearest[rows])]
        if not len(mutual):  # equally near ones, in a ring: begin with the nearest
            first = rows[np.argmin(self.distance[rows])]
            low, high = sorted((int(first), int(self.nearest[first])))
            return np.array([[low, high]])
        return np.stack([mutual, self.nearest[mutual]], axis=1)

    def _merge(self, one: int, other: int) -> None:
        self.sums[one] += self.sums[other]
        self.sizes[one] += self.sizes[other]
        self.member_of[other] = one
        if self.barred is not None:
            self.barred[one] |= self.barred[other]
            apart = np.flatnonzero(np.unpackbits(self.barred[other], count=len(self.nearest)))
            self.barred[apart, one // 8] |= np.uint8(128 >> (one % 8))

    def _roots(self) -> Int64:
        """The cluster of each item."""
        roots = self.member_of
        while True:
            further = roots[roots]
            if np.array_equal(further, roots):
                return np.asarray(roots)
            roots = further


def _packed(count: int, forbidden: Forbidden) -> npt.NDArray[np.uint8]:
    """(n, n / 8) bits."""
    bits = np.empty((count, (count + 7) // 8), dtype=np.uint8)
    for rows in _blocks(count):
        bits[rows] = np.packbits(forbidden(rows), axis=1)
    return bits


def _blocks(count: int) -> Iterator[slice]:
    step = max(1, BLOCK_BYTES // (32 * max(1, count)))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
