"""The exact nearest neighbours of every row of one table, with half of the products."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from strongreid.evaluation.distances import (
    Float32,
    Int64,
    key_index,
    order_keys,
    smallest_keys,
    squared_norms,
)
from strongreid.evaluation.hardware import accelerator, fastest_product, free_memory

Keys = npt.NDArray[np.uint64]
_TILE = 1000  # rows and columns of a tile: 4 MB of values stay in a cache
_STRIP_CELLS = 32 << 20  # products held at a time: 128 MB
_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)  # after every key


def nearest_neighbours(
    features: Float32, count: int, *, device: str = "auto", first_to_rest: Float32 | None = None
) -> tuple[Int64, Float32]:
    """The nearest rows of every row by Euclidean distance, itself among them, and its largest squared distance.

    The distances of rows to columns are also those of columns to rows, so only the tiles on and above the
    diagonal are computed; of each, what is nearer than the nearest so far is kept.

    Args:
        features: (n, d).
        count: neighbours, at most n are found.
        device: as in `rank_features`; with `first_to_rest` the CPU.
        first_to_rest: (q, n - q) array to be filled with -2 x.y of the first q rows and the others, which pass
            by anyhow.

    Returns:
        (n, count) int64 rows, nearest first, equal distances by row; (n,) float32, 1 where all rows are equal.

    Raises:
        InputError: a row is too long for `squared_norms`, or no such device.
    """
    count = min(count, len(features))
    norms = squared_norms(features)
    target = None if first_to_rest is not None else accelerator(device)
    if target is not None:
        return _on_device(features, norms, count, target)
    total = len(features)
    multiply = fastest_product(total * features.size)
    best = np.full((total, count), _NONE, dtype=np.uint64)
    farthest = np.full(total, -np.inf, dtype=np.float32)  # of |other|^2 - 2 x.other
    tile = max(1, min(_TILE, total, math.isqrt(free_memory() // 32)))
    strip = tile * max(1, min(-(-total // tile), _STRIP_CELLS // (tile * tile)))  # columns multiplied at once
    products = np.empty((tile, min(strip, total)), dtype=np.float32)
    buffers = np.empty((2, tile * tile), dtype=np.float32)
    with ThreadPoolExecutor(max_workers=1) as other:  # a tile is read in both directions at once
        for top in range(0, total, tile):
            rows = slice(top, min(top + tile, total))
            doubled = -2 * features[rows]
            for left in range(top, total, tile):
                columns = slice(left, min(left + tile, total))
                shape = (rows.stop - top, columns.stop - left)
                offset = (left - top) % strip
                if offset == 0:  # few large products are faster than many small ones
                    wide = features[left : left + strip]
                    multiply(doubled, wide, products[: shape[0], : len(wide)])
                own = products[: shape[0], offset : offset + shape[1]]
                values, turned = (buffer[: shape[0] * shape[1]] for buffer in buffers)
                if first_to_rest is not None:
                    _keep(first_to_rest, own, top, left)
                back = None
                if left > top:
                    sums = turned.reshape(shape[::-1])
                    back = other.submit(_take, best, farthest, columns, top, own.T, norms[rows], sums)
                _take(best, farthest, rows, left, own, norms[columns], values.reshape(shape))
                if back is not None:
                    back.result()
    squared = np.maximum(farthest + norms, 0)
    return key_index(best), np.where(squared > 0, squared, 1).astype(np.float32)


def _keep(first_to_rest: Float32, products: Float32, top: int, left: int) -> None:
    """Copy what a tile has of the first rows and the other columns."""
    first = len(first_to_rest)
    high, skipped = min(len(products), first - top), max(0, first - left)
    if high > 0 and skipped < products.shape[1]:
        start = left + skipped - first
        first_to_rest[top : top + high, start : start + products.shape[1] - skipped] = products[:high, skipped:]


def _take(
    best: Keys, farthest: Float32, rows: slice, left: int, products: Float32, norms: Float32, values: Float32
) -> None:
    """Merge a tile of products, whose columns begin at `left`, into the best keys of its rows; `values` is room."""
    np.add(products, norms, out=values)
    np.maximum(farthest[rows], values.max(axis=1), out=farthest[rows])
    own = best[rows]
    count = own.shape[1]
    if (own[:, -1] == _NONE).any():  # too few so far: take the tile's own nearest first
        index = np.arange(left, left + values.shape[1])
        own[:] = smallest_keys(np.concatenate([own, order_keys(values, index)], axis=1), count)
        return
    near = np.flatnonzero(values <= _key_values(own[:, -1])[:, None])  # five times faster than nonzero of two axes
    near_rows, near_columns = np.divmod(near, values.shape[1])
    if not near_rows.size:
        return
    keys = order_keys(values[near_rows, near_columns], near_columns + left)
    touched, starts, sizes = np.unique(near_rows, return_index=True, return_counts=True)
    merged = np.full((len(touched), count + sizes.max()), _NONE, dtype=np.uint64)
    merged[:, :count] = own[touched]
    merged[np.repeat(np.arange(len(touched)), sizes), count + np.arange(len(keys)) - np.repeat(starts, sizes)] = keys
    own[touched] = smallest_keys(merged, count)


def _key_values(keys: Keys) -> Float32:
    """The values that `order_keys` put into the keys."""
    bits = (keys >> np.uint64(32)).astype(np.uint32)
    bits ^= np.where(bits >> 31, np.uint32(0x80000000), np.uint32(0xFFFFFFFF))
    return bits.view(np.float32)


def _on_device(features: Float32, norms: Float32, count: int, device: str) -> tuple[Int64, Float32]:
    """The same on an accelerator, where products are cheap: rows in blocks against all."""
    from strongreid.evaluation.on_device import DeviceGallery

    there = DeviceGallery(features, norms, factor=False, device=device)
    nearest = np.empty((len(features), count), dtype=np.int64)
    farthest = np.empty(len(features), dtype=np.float32)
    step = there.rows_per_block()
    for start in range(0, len(features), step):
        rows = slice(start, start + step)
        nearest[rows], farthest[rows] = there.nearest(-2 * features[rows], count)
    squared = np.maximum(farthest + norms, 0)
    return nearest, np.where(squared > 0, squared, 1).astype(np.float32)
