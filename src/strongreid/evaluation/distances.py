"""Distances in blocks of queries, and integer keys that put them in one exact order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError

Metric = Literal["cosine", "euclidean"]
METRICS: tuple[Metric, ...] = get_args(Metric)
BLOCK_CELLS = 4_000_000
"""Most distances held at a time: 16 MB of float32."""

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


def ordering_blocks(query: Float32, gallery: Float32, metric: Metric) -> Iterator[tuple[slice, Float32]]:
    """Yield blocks of query rows, each with (b, g) float32 values in the order of the distances.

    The values are the distance without the part that a row shares, which would only cost precision: minus the
    cosine, or |g|^2 - 2 q.g. Add `row_offsets` to get 1 - cosine or the squared Euclidean distance. A block
    holds at most `BLOCK_CELLS` values (at least one row), so memory is bounded for any number of queries.

    Raises:
        InputError: as `check_comparable`, or a row is too long for `squared_norms`.
    """
    check_comparable(query, gallery, metric)
    per_column = _inverse_lengths(gallery) if metric == "cosine" else squared_norms(gallery)
    step = max(1, BLOCK_CELLS // max(1, len(gallery)))
    for start in range(0, len(query), step):
        rows = slice(start, min(start + step, len(query)))
        if metric == "cosine":
            values = -normalise(query[rows]) @ gallery.T
            values *= per_column
        else:
            values = (-2 * query[rows]) @ gallery.T
            values += per_column
        yield rows, values


def row_offsets(query: Float32, metric: Metric) -> Float32:
    """What turns `ordering_blocks` into distances when added to a row: 1, or |q|^2. (q, d) -> (q,)."""
    return np.ones(len(query), dtype=np.float32) if metric == "cosine" else squared_norms(query)


def order_keys(values: Float32) -> npt.NDArray[np.uint64]:
    """Distinct integers in the order of `values` along the last axis, equal values by their index.

    The upper 32 bits are the float's bits made monotone (negative numbers inverted, positive ones above
    them), the lower 32 the index. So a plain sort of keys is a stable sort of values, a key's place is found
    by bisection without any rule for ties, and `key_index` gives the index back. Values must not be NaN.
    """
    bits = (values + np.float32(0)).view(np.uint32)  # + 0 turns -0 into 0: equal values, equal bits
    bits ^= (bits.view(np.int32) >> 31).view(np.uint32) | np.uint32(0x80000000)
    keys = bits.astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(values.shape[-1], dtype=np.uint64)
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
    """1 / length of each row, and 0 for a length of 0."""
    lengths = np.sqrt(_sums_of_squares(features))
    return np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0).astype(np.float32)
