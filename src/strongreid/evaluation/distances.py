"""Distances in blocks of queries, and integer keys that put them in one exact order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.evaluation.hardware import fastest_product, free_memory

Metric = Literal["cosine", "euclidean"]
METRICS: tuple[Metric, ...] = get_args(Metric)
BLOCK_BYTES = 160 << 20
"""Most memory that a block of distances takes, while the machine has eight times as much free."""
MOST_ROWS = 1024
"""Most queries in a block: more make the product no faster."""

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


def normalise(features: Float32) -> Float32:
    """Rows scaled to length 1; a row of zeros stays zeros. (n, d) -> (n, d)."""
    return features * _inverse_lengths(features)[:, None]


def squared_norms(features: Float32) -> Float32:
    """Squared lengths of the rows. (n, d) -> (n,).

    Raises:
        InputError: a row is too long to be compared in float32.
    """
    sums = _sums_of_squares(features)
    too_long = np.flatnonzero(sums > np.finfo(np.float32).max / 4)
    if too_long.size:
        raise InputError(
            f"{too_long.size} of {len(features)} features are too large for Euclidean distances (the first "
            f"is row {too_long[0]}); normalise them, or use the cosine metric."
        )
    return sums.astype(np.float32)


def check_comparable(query: Float32, gallery: Float32, metric: Metric) -> None:
    """Refuse an unknown metric and features of different lengths with an InputError."""
    if metric not in METRICS:
        raise InputError(f"unknown metric {metric!r}; allowed: {', '.join(METRICS)}.")
    if query.shape[1] != gallery.shape[1]:
        raise InputError(
            f"the query features have {query.shape[1]} numbers, the gallery's {gallery.shape[1]}; "
            "extract both with the same model."
        )


def block_rows(columns: int, cell_bytes: int = 4) -> int:
    """Rows of `columns` cells for one block: `MOST_ROWS`, or what fits the memory for it; at least 1."""
    room = min(BLOCK_BYTES, free_memory() // 8)
    return min(MOST_ROWS, max(1, room // (max(1, columns) * cell_bytes)))


def ordering_blocks(query: Float32, gallery: Float32, metric: Metric) -> Iterator[tuple[slice, Float32]]:
    """Yield blocks of query rows, each with (b, g) float32 values in the order of the distances.

    The values are the distance without the part that a row shares, which would only cost precision: minus the
    cosine, or |g|^2 - 2 q.g. Add `row_offsets` to get 1 - cosine or the squared Euclidean distance. All blocks
    lie in one buffer of `block_rows` rows, so memory is bounded for any number of queries: use a block, or
    change it, before asking for the next.

    Raises:
        InputError: as `check_comparable`, or a row is too long for `squared_norms`.
    """
    check_comparable(query, gallery, metric)
    scaled = scale(gallery, metric)
    multiply = fastest_product(len(query) * gallery.size)
    step = min(block_rows(len(gallery)), max(1, len(query)))
    buffer = np.empty((step, len(gallery)), dtype=np.float32)
    for start in range(0, len(query), step):
        rows = slice(start, min(start + step, len(query)))
        values = buffer[: rows.stop - start]
        multiply(scaled.prepare(query[rows]), gallery, values)
        if scaled.factor:
            values *= scaled.per_column
        else:
            values += scaled.per_column
        yield rows, values


@dataclass(frozen=True, eq=False)
class Scaled:
    """How inner products of a gallery become values in the order of the distances."""

    per_column: Float32
    """(g,) what each gallery row's products are multiplied by, or what is added to them."""
    factor: bool
    """True: multiplied, False: added."""

    def prepare(self, query: Float32) -> Float32:
        """The queries that the gallery is multiplied with. (b, d) -> (b, d)."""
        return -normalise(query) if self.factor else -2 * query


def scale(gallery: Float32, metric: Metric) -> Scaled:
    """The scaling of a (g, d) gallery.

    Raises:
        InputError: a row is too long for `squared_norms`.
    """
    if metric == "cosine":
        return Scaled(_inverse_lengths(gallery), factor=True)
    return Scaled(squared_norms(gallery), factor=False)


def row_offsets(query: Float32, metric: Metric) -> Float32:
    """What turns `ordering_blocks` into distances when added to a row: 1, or |q|^2. (q, d) -> (q,)."""
    return np.ones(len(query), dtype=np.float32) if metric == "cosine" else squared_norms(query)


def distances_of(values: Float32, query: Float32, metric: Metric) -> Float32:
    """The distances, 1 - cosine or Euclidean, behind some of each query's values. (q, k), (q, d) -> (q, k)."""
    far: Float32 = np.maximum(values + row_offsets(query, metric)[:, None], 0)
    return np.sqrt(far) if metric == "euclidean" else far


def into_distances(values: Float32, offsets: Float32, metric: Metric) -> None:
    """Turn a (b, g) block of `ordering_blocks` into distances, in place; `offsets` are its rows' `row_offsets`."""
    values += offsets[:, None]
    np.maximum(values, 0, out=values)
    if metric == "euclidean":
        np.sqrt(values, out=values)


def order_keys(values: Float32, index: Int64 | None = None) -> npt.NDArray[np.uint64]:
    """Distinct integers in the order of `values` along the last axis, equal values by their index.

    The upper 32 bits are the float's bits made monotone (negative numbers inverted, positive ones above
    them), the lower 32 the index. So a plain sort of keys is a stable sort of values, a key's place is found
    by bisection without any rule for ties, and `key_index` gives the index back. NaN (numpy's own) is last.

    Args:
        values: (..., n).
        index: (..., n) numbers from 0 that fit 32 bits; None counts 0, 1, ... along the last axis.
    """
    bits = (values + np.float32(0)).view(np.uint32)  # + 0 turns -0 into 0: equal values, equal bits
    bits ^= (bits.view(np.int32) >> 31).view(np.uint32) | np.uint32(0x80000000)
    keys = bits.astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(values.shape[-1], dtype=np.uint64) if index is None else index.view(np.uint64)
    return keys


def key_index(keys: npt.NDArray[np.uint64]) -> Int64:
    """The index held in each key of `order_keys`."""
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def smallest_keys(keys: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.uint64]:
    """The `count` smallest keys of each row, ascending; all if there are fewer. (b, g) -> (b, count)."""
    if count < keys.shape[1]:
        keys = np.partition(keys, count - 1, axis=1)[:, :count]
    return np.sort(keys, axis=1)


def _sums_of_squares(features: Float32) -> Float64:
    sums: Float64 = np.einsum("ij,ij->i", features, features, dtype=np.float64)
    return sums


def _inverse_lengths(features: Float32) -> Float32:
    """1 / length of each row, and 0 for a length so near 0 that float32 can't hold its inverse."""
    lengths = np.sqrt(_sums_of_squares(features))
    least = 1 / np.finfo(np.float32).max
    return np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > least).astype(np.float32)
