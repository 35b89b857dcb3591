"""k-reciprocal re-ranking (Zhong, Zheng, Cao, Li; CVPR 2017), as the paper's "+ re-ranking" rows use it.

Two pictures of one person tend to be among each other's nearest neighbours. Each picture is described by the
weights of its k-reciprocal neighbours, and the distance of two pictures becomes how little these overlap
(Jaccard), mixed with the original distance. Everything is sparse: for n = q + g pictures about
n * (k1 + k2 * k1 * 3) numbers, never n * n, and the result comes in blocks of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.evaluation.distances import Float32, Int64, block_rows, ordering_blocks, row_offsets, squared_norms
from strongreid.evaluation.hardware import accelerator, free_memory
from strongreid.evaluation.nearest import nearest_neighbours

Bool = npt.NDArray[np.bool_]
_ROWS = 512  # rows handled at a time; their (rows, k1, k1 / 2, k1) comparisons take a few megabytes


@dataclass(frozen=True, eq=False)
class _SparseRows:
    """A matrix by its non-zero entries, row after row: those of row i are `starts[i]:starts[i + 1]`."""

    starts: Int64
    columns: Int64
    values: Float32


def k_reciprocal(
    query: Float32, gallery: Float32, k1: int = 20, k2: int = 6, lam: float = 0.3, *, device: str = "auto"
) -> Float32:
    """Distances after k-reciprocal re-ranking, (q, d) and (g, d) -> (q, g) float32.

    Needs L2-normalised rows for the published results; it works on others. Each picture's squared Euclidean
    distances are divided by the largest of them, neighbours of equal distance are ordered by row, queries
    first. Every query is compared through all others and the gallery, so the result depends on the whole
    query set. Distances and weights are float32 (the released code rounds to float16 inside, which moves
    distances by up to 3e-3 and mAP by about 2e-5).

    Args:
        query: (q, d) features.
        gallery: (g, d) features.
        k1: neighbours that must be mutual.
        k2: neighbours over which the description of a picture is averaged; 1 switches that off.
        lam: share of the original distance in the result, 0 to 1.
        device: where neighbours are searched, as in `rank_features`.

    Raises:
        InputError: the arrays do not fit together, are empty or not finite, or a parameter is out of range.
    """
    _check(query, gallery, k1, k2, lam)
    distances = np.empty((len(query), len(gallery)), dtype=np.float32)
    for rows, values in k_reciprocal_blocks(query, gallery, k1, k2, lam, device=device):
        distances[rows] = values
    return distances


def k_reciprocal_blocks(
    query: Float32, gallery: Float32, k1: int = 20, k2: int = 6, lam: float = 0.3, *, device: str = "auto"
) -> Iterator[tuple[slice, Float32]]:
    """The rows of `k_reciprocal` in blocks, so that (q, g) need not fit the memory; `rank_distances` takes them.

    Use a block, or change it, before asking for the next. The (q, g) products are kept between the two passes where
    they take at most an eighth of the free memory.

    Raises:
        InputError: as `k_reciprocal`.
    """
    _check(query, gallery, k1, k2, lam)
    features = np.concatenate([query, gallery]).astype(np.float32, copy=False)
    original = _room_for(len(query), len(gallery)) if accelerator(device) is None else None
    neighbours, largest = nearest_neighbours(features, max(k1 + 1, k2), device=device, first_to_rest=original)
    weights = _weights(_mutual_sets(neighbours[:, : k1 + 1], round(k1 / 2) + 1), features, largest)
    if k2 > 1:
        weights = _average(weights, neighbours[:, :k2])
    holders = _by_column(weights, len(query))
    offsets = row_offsets(features[: len(query)], "euclidean")
    for rows, values in _original_blocks(original, features[: len(query)], features[len(query) :]):
        values += offsets[rows, None]
        np.maximum(values, 0, out=values)
        values *= (np.float32(lam) / largest[rows])[:, None]
        for number, row in enumerate(range(rows.start, rows.stop)):
            values[number] += np.float32(1 - lam) * _jaccard(weights, row, holders, len(gallery))
        yield rows, values


def _room_for(queries: int, size: int) -> Float32 | None:
    """A (q, g) array for the original distances if it takes at most an eighth of the free memory."""
    fits = queries * size * 4 <= free_memory() // 8
    return np.empty((queries, size), dtype=np.float32) if fits else None


def _original_blocks(original: Float32 | None, query: Float32, gallery: Float32) -> Iterator[tuple[slice, Float32]]:
    """Blocks of |g|^2 - 2 q.g: from the kept products -2 q.g, in place, or computed again."""
    if original is None:
        yield from ordering_blocks(query, gallery, "euclidean")
        return
    norms = squared_norms(gallery)
    step = block_rows(len(gallery))
    for start in range(0, len(query), step):
        rows = slice(start, min(start + step, len(query)))
        original[rows] += norms
        yield rows, original[rows]


def _check(query: Float32, gallery: Float32, k1: int, k2: int, lam: float) -> None:
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1:] != gallery.shape[1:]:
        raise InputError(f"re-ranking takes (q, d) and (g, d) features, got {query.shape} and {gallery.shape}.")
    if not len(query) or not len(gallery):
        raise InputError(f"re-ranking needs pictures, got {len(query)} queries and {len(gallery)} in the gallery.")
    if not (np.isfinite(query).all() and np.isfinite(gallery).all()):
        raise InputError("the features hold NaN or infinity; look at the model that made them.")
    if k1 < 1 or k2 < 1 or not 0 <= lam <= 1:
        raise InputError(f"re-ranking needs k1 >= 1, k2 >= 1 and lam in 0..1, got {k1}, {k2} and {lam}.")


def _mutual_sets(near: Int64, half_count: int) -> Int64:
    """The expanded k-reciprocal sets of all rows, as sorted numbers i * n + j."""
    mutual = _mutual(near)
    half = near[:, :half_count]
    half_mutual = _mutual(half)
    parts = [_expanded(start, near, mutual, half, half_mutual) for start in range(0, len(near), _ROWS)]
    return np.concatenate(parts)


def _mutual(near: Int64) -> Bool:
    """(n, k): whether row i is in turn among the k nearest of its neighbour `near[i, j]`."""
    mutual = np.empty(near.shape, dtype=np.bool_)
    for start in range(0, len(near), _ROWS):
        rows = slice(start, start + _ROWS)
        own = np.arange(len(near))[rows, None, None]
        mutual[rows] = (near[near[rows]] == own).any(axis=2)
    return mutual


def _expanded(start: int, near: Int64, mutual: Bool, half: Int64, half_mutual: Bool) -> Int64:
    """The expanded k-reciprocal sets of `_ROWS` rows from `start`, as sorted numbers i * n + j.

    A row's mutual neighbours, and for each of these its own mutual neighbours within half the distance (k1 /
    2) where more than two thirds of them are the row's too.
    """
    total = len(near)
    rows = np.arange(start, min(start + _ROWS, total))
    own, own_ok = near[rows], mutual[rows]  # (b, k)
    theirs, theirs_ok = half[own], half_mutual[own]  # (b, k, h)
    mine = np.where(own_ok, own, -1)
    shared = (theirs[..., None] == mine[:, None, None, :]).any(axis=3) & theirs_ok
    accepted = own_ok & (3 * shared.sum(axis=2) > 2 * theirs_ok.sum(axis=2))
    first = rows[:, None] * total
    direct = (first + own)[own_ok]
    further = (first[..., None] + theirs)[theirs_ok & accepted[..., None]]
    return np.unique(np.concatenate([direct, further]))


def _weights(pairs: Int64, features: Float32, largest: Float32) -> _SparseRows:
    """exp(-distance / row's largest) of the pairs i * n + j, divided so that each row sums to 1."""
    total, dim = features.shape
    rows, columns = np.divmod(pairs, total)
    distances = np.empty(len(pairs), dtype=np.float64)
    step = max(1, 1_000_000 // dim)

    def measure(start: int) -> None:
        part = slice(start, start + step)
        apart = features[rows[part]]
        apart -= features[columns[part]]
        distances[part] = np.einsum("ij,ij->i", apart, apart)

    with ThreadPoolExecutor(max_workers=2) as workers:  # waiting for memory, not computing
        list(workers.map(measure, range(0, len(pairs), step)))  # raises what a worker raised
    weights = np.exp(-distances / largest[rows])
    sums = np.bincount(rows, weights, minlength=total)
    return _SparseRows(_starts(rows, total), columns, (weights / sums[rows]).astype(np.float32))


def _average(weights: _SparseRows, neighbours: Int64) -> _SparseRows:
    """Every row replaced by the mean of the rows of its (n, k2) neighbours, itself among them."""
    total, count = neighbours.shape
    keys, values = [], []
    for start in range(0, total, _ROWS):
        rows = neighbours[start : start + _ROWS]
        entries, owners = _entries(weights, rows.reshape(-1))
        key = (start + owners // count) * total + weights.columns[entries]
        unique, place = np.unique(key, return_inverse=True)
        keys.append(unique)
        values.append((np.bincount(place, weights.values[entries]) / count).astype(np.float32))
    rows_of, columns = np.divmod(np.concatenate(keys), total)
    return _SparseRows(_starts(rows_of, total), columns, np.concatenate(values))


def _by_column(weights: _SparseRows, queries: int) -> _SparseRows:
    """The gallery's weights column by column: who, among the gallery, also has picture j in its set."""
    total = len(weights.starts) - 1
    first = weights.starts[queries]
    order = np.argsort(weights.columns[first:], kind="stable")
    owners = np.repeat(np.arange(total - queries), np.diff(weights.starts[queries:]))
    return _SparseRows(_starts(weights.columns[first:], total), owners[order], weights.values[first:][order])


def _jaccard(weights: _SparseRows, row: int, holders: _SparseRows, size: int) -> Float32:
    """(g,) of a query: 1 - sum_j min(v_ij, v_kj) / sum_j max(v_ij, v_kj), where all rows of weights sum to 1."""
    own = slice(weights.starts[row], weights.starts[row + 1])
    entries, place = _entries(holders, weights.columns[own])
    least = np.minimum(weights.values[own][place], holders.values[entries])
    overlap = np.bincount(holders.columns[entries], least, minlength=size)
    distances: Float32 = (1 - overlap / (2 - overlap)).astype(np.float32)
    return distances


def _starts(rows: Int64, total: int) -> Int64:
    """(total + 1,) where each row's entries start, for entries of these rows sorted by row."""
    return np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=total))])


def _entries(matrix: _SparseRows, rows: Int64) -> tuple[Int64, Int64]:
    """The numbers of the entries of the given rows, row after row, and which of `rows` each is from."""
    counts = matrix.starts[rows + 1] - matrix.starts[rows]
    owners = np.repeat(np.arange(len(rows)), counts)
    skipped = matrix.starts[rows] - (np.cumsum(counts) - counts)
    return np.arange(len(owners)) + skipped[owners], owners
