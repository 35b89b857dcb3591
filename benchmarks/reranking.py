"""k-reciprocal re-ranking against the dense numpy algorithm.

    python benchmarks/reranking.py small|market|market-released|msmt17 [RUNS [RUNS OF THE DENSE SIDE]]

small (600 x 1,400, 256-d) compares mAP with the dense algorithm in float64; market (3,368 x 19,732, 2048-d) times
both sides; msmt17 (11,659 x 82,161) runs ours only: the dense side would need 35 GB for one of its matrices. The
dense side is the published algorithm as code bases run it: whole matrices of distances, ranks and weights, a Python
loop a row. In market it finds the nearest by partition and keeps float32, the quickest form of it; in market-released
it sorts every row of the distances and keeps float16, as the released code of the baseline paper does.
"""

import sys

import numpy as np
from evaluation import tables
from measure import alternate, machine

from strongreid.evaluation import evaluate, k_reciprocal_blocks, rank_distances
from strongreid.evaluation.distances import normalise
from strongreid.features import FeatureTable


def dense(
    query: np.ndarray,
    gallery: np.ndarray,
    k1: int = 20,
    k2: int = 6,
    lam: float = 0.3,
    kind=np.float32,
    *,
    released=False,
):
    """(q, g) distances by whole matrices (Zhong et al. 2017), in precision `kind`; `released`: see above."""
    features = np.concatenate([query, gallery]).astype(kind)
    queries, total = len(query), len(features)
    squares = np.square(features).sum(axis=1)
    original = squares[:, None] + squares[None] - 2 * (features @ features.T)
    np.maximum(original, 0, out=original)
    original /= original.max(axis=1, keepdims=True)
    ranks = np.argsort(original, axis=1) if released else np.argpartition(original, range(1, k1 + 1), axis=1)
    ranks = ranks[:, : max(k1 + 1, k2)].copy()
    weights = np.zeros_like(original, dtype=np.float16 if released else kind)

    def mutual(row: int, k: int) -> np.ndarray:
        forward = ranks[row, : k + 1]
        return forward[(ranks[forward, : k + 1] == row).any(axis=1)]

    for row in range(total):
        own = mutual(row, k1)
        expanded = own
        for candidate in own:
            theirs = mutual(candidate, round(k1 / 2))
            if len(np.intersect1d(theirs, own)) > 2 / 3 * len(theirs):
                expanded = np.append(expanded, theirs)
        expanded = np.unique(expanded)
        close = np.exp(-original[row, expanded])
        weights[row, expanded] = close / close.sum()
    original = original[:queries]
    if k2 > 1:
        averaged = np.zeros_like(weights)
        for row in range(total):
            averaged[row] = weights[ranks[row, :k2]].mean(axis=0)
        weights = averaged
    holders = [np.flatnonzero(weights[:, column]) for column in range(total)]
    jaccard = np.zeros_like(original, dtype=weights.dtype)
    for row in range(queries):
        least = np.zeros(total, dtype=weights.dtype)
        for column in np.flatnonzero(weights[row]):
            least[holders[column]] += np.minimum(weights[row, column], weights[holders[column], column])
        jaccard[row] = 1 - least / (2 - least)
    return (jaccard * (1 - lam) + original * lam)[:, queries:]


def small() -> None:
    query, gallery = tables("market")
    chosen = np.flatnonzero(np.isin(gallery.identities, np.unique(query.identities)[:90]))[:1400]
    few = [table.select(rows) for table, rows in ((query, np.arange(600)), (gallery, chosen))]
    query, gallery = (FeatureTable(t.features[:, :256], t.identities, t.cameras, t.paths) for t in few)
    a, b = normalise(query.features), normalise(gallery.features)
    exact = rank_distances(dense(a, b, kind=np.float64).astype(np.float32), query, gallery).average_precision.mean()
    ours = evaluate(query, gallery, rerank="k_reciprocal").mAP
    plain = evaluate(query, gallery).mAP
    print(
        f"{len(query)} x {len(gallery)}: mAP {plain:.6f} plain, {ours:.9f} ours, {exact:.9f} dense float64, "
        f"difference {abs(ours - exact):.1e}"
    )


def main(name: str = "small", runs: int = 5, slow_runs: int = 5) -> None:
    if name == "small":
        small()
        return
    query, gallery = tables(name.removesuffix("-released"))
    a, b = normalise(query.features), normalise(gallery.features)
    print(f"{name}: {len(a):,} x {len(b):,}, {a.shape[1]}-d\n{machine()}")
    print(f"mAP {100 * evaluate(query, gallery).mAP:.4f} without re-ranking")
    sides = {"ours, ranked": lambda: rank_distances(k_reciprocal_blocks(a, b, device="cpu"), query, gallery)}
    if name.startswith("market"):
        released = name == "market-released"
        sides["dense, ranked"] = lambda: rank_distances(dense(a, b, released=released), query, gallery)
    measured = alternate(sides, runs, "dense, ranked", slow_runs)
    for side, of_side in measured.items():
        print(f"mAP {100 * of_side.value.average_precision.mean():.4f} {side}")
    if "dense, ranked" in measured:
        print(f"dense / ours: {measured['dense, ranked'].median / measured['ours, ranked'].median:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:2], *(int(count) for count in sys.argv[2:4]))
