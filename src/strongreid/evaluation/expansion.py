"""Query expansion and database-side augmentation: a feature becomes the mean of itself and of what is near it.

Average query expansion: Chum, Philbin, Sivic, Isard, Zisserman, ICCV 2007. Alpha query expansion: Radenovic,
Tolias, Chum, TPAMI 2018. Database-side augmentation does the same to the gallery: Turcot, Lowe, ICCV workshops
2009; Arandjelovic, Zisserman, CVPR 2012.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.evaluation.distances import (
    Float32,
    key_index,
    normalise,
    order_keys,
    ordering_blocks,
    smallest_keys,
)

_KEYS = 1 << 20  # keys sorted at a time: 8 MB
_LAST = np.uint64(0xFFFFFFFFFFFFFFFF)  # after every key: its upper half is the bits of a NaN


def expand_queries(query: npt.ArrayLike, gallery: npt.ArrayLike, k: int = 10, alpha: float = 0.0) -> Float32:
    """The mean of each query and its `k` nearest gallery features, (q, d) and (g, d) -> (q, d), L2-normalised.

    Features are normalised first; near is by cosine, equal cosines by gallery row. The query has weight 1, a
    neighbour max(cosine, 0) ** alpha: all 1 under alpha = 0 (average query expansion), less the farther it is
    under alpha > 0 (alpha query expansion, published with alpha = 3). A feature of zeros has cosine 0 to all.

    As published, a query draws on the whole gallery, the pictures of its own person by its own camera included,
    although the cross-camera protocol leaves these out of the ranking. To keep a camera's pictures out, which
    needs no identities, expand camera by camera: `expand_queries(query[of_camera], gallery[~by_camera])`.

    Memory is bounded: beyond copies of the arguments and the result, one block of queries against the gallery.

    Args:
        query: (q, d) features.
        gallery: (g, d) features.
        k: neighbours, 1 to g. Best near the number of pictures that the gallery has of a person.
        alpha: 0, or above it how fast a neighbour's weight falls with its cosine.

    Raises:
        InputError: the arrays are not tables of finite numbers, are empty or do not fit together, or `k` or
            `alpha` is out of range.
    """
    own, others = _normalised("query", query), _normalised("gallery", gallery)
    _check(k, alpha, len(others), "pictures")
    return _means(own, others, k, alpha, other_than_itself=False)


def augment_database(gallery: npt.ArrayLike, k: int = 10, alpha: float = 0.0) -> Float32:
    """The mean of each gallery feature and its `k` nearest others, (g, d) -> (g, d), L2-normalised.

    Weights, ties and memory as in `expand_queries`; a feature counts itself once, with weight 1, and copies of
    it in other rows are neighbours like any. It needs no queries: do it once, before they come. Both together
    is `expand_queries(query, augment_database(gallery))`. A picture draws on all cameras, its own included.

    Args:
        gallery: (g, d) features.
        k: neighbours, 1 to g - 1.
        alpha: as in `expand_queries`.

    Raises:
        InputError: as `expand_queries`.
    """
    own = _normalised("gallery", gallery)
    _check(k, alpha, len(own) - 1, "pictures beside each")
    return _means(own, own, k, alpha, other_than_itself=True)


def _means(features: Float32, gallery: Float32, k: int, alpha: float, *, other_than_itself: bool) -> Float32:
    """(n, d) weighted means, of length 1, of the features and their nearest rows of the gallery."""
    sums = features.copy()
    step = max(1, _KEYS // len(gallery))
    for rows, block in ordering_blocks(features, gallery, "cosine"):
        for start in range(rows.start, rows.stop, step):
            part = slice(start, min(start + step, rows.stop))
            values = block[part.start - rows.start : part.stop - rows.start]
            keys = order_keys(values)
            if other_than_itself:
                keys[np.arange(len(keys)), np.arange(part.start, part.stop)] = _LAST
            near = key_index(smallest_keys(keys, k))
            cosines = -np.take_along_axis(values, near, axis=1)
            weights = np.maximum(cosines, 0) ** float(alpha)  # x ** 0 is 1 for every x, 0 included
            for neighbour in range(k):  # (b, d) at a time, not (b, k, d)
                sums[part] += weights[:, neighbour, None] * gallery[near[:, neighbour]]
    return normalise(sums)


def _normalised(side: str, values: npt.ArrayLike) -> Float32:
    """`values` as (n, d) float32 of length 1; an InputError if it is no table of finite numbers."""
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiu":
        raise InputError(
            f"{side} features are numbers of shape (n, d) with d > 0, got {array.dtype} {array.shape}; of a "
            "feature table, give its features."
        )
    if not len(array):
        raise InputError(f"the {side} has no features, but an expansion needs some; look at what it was made from.")
    with np.errstate(over="ignore"):
        features = array.astype(np.float32, copy=False)
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if bad.size:
        raise InputError(
            f"{bad.size} of {len(array)} {side} features hold NaN or infinity (the first is row {bad[0]}); "
            "look at those pictures and at the model that made the features."
        )
    return normalise(features)


def _check(k: int, alpha: float, most: int, what: str) -> None:
    """Refuse a number of neighbours or a weight that can't be had."""
    if most < 1:
        raise InputError("a gallery of one picture has no neighbours to average; leave the augmentation out.")
    if not 1 <= k <= most:
        raise InputError(f"k is {k}, but the gallery has {most} {what}; choose k from 1 to {most}.")
    if not 0 <= alpha < math.inf:
        raise InputError(f"alpha is {alpha}; it is 0 for the plain mean, or a number above 0, such as 3.")
