"""Evaluation against the straightforward per-query one, and against the matrix product that nobody can avoid.

    python benchmarks/evaluation.py market|msmt17|million [RUNS [RUNS OF THE STRAIGHTFORWARD SIDE]]

market: 3,368 queries x 19,732 gallery rows, 2048-d; identities and cameras of the real data set when
`labels.npz` (query_ids, query_cams, gallery_ids, gallery_cams) is named by STRONGREID_MARKET_LABELS, else drawn with
its counts. msmt17: 11,659 x 82,161. million: 1,000 x 1,000,000 at 2048-d (8 GB of features). Features are clusters:
a centre for each identity plus noise. The straightforward side (market only) computes the whole distance matrix,
sorts every row, and walks the sorted list in Python, as evaluation code in the field does.
"""

import os
import sys

import numpy as np
import torch
from measure import alternate, machine

from strongreid.evaluation import evaluate
from strongreid.evaluation.distances import normalise
from strongreid.evaluation.on_device import linear_product
from strongreid.features import FeatureTable

SIZES = {"market": (3368, 19732, 1501, 6), "msmt17": (11659, 82161, 3060, 15), "million": (1000, 1_000_000, 3060, 15)}
DIM = 2048


def labels(name: str, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Query identities and cameras, gallery identities and cameras."""
    if name == "market" and (path := os.environ.get("STRONGREID_MARKET_LABELS")):
        with np.load(path) as file:
            keys = ("query_ids", "query_cams", "gallery_ids", "gallery_cams")
            return tuple(file[key].astype(np.int64) for key in keys)
    queries, gallery, identities, cameras = SIZES[name]
    draw = np.random.default_rng(seed)
    return (
        draw.integers(1, identities + 1, queries),
        draw.integers(1, cameras + 1, queries),
        np.sort(draw.integers(0, identities + 1, gallery)) - (draw.random(gallery) < 0.1) * 10_000,
        draw.integers(1, cameras + 1, gallery),
    )


def clustered(identities: np.ndarray, seed: int, noise: float = 3.2) -> np.ndarray:
    """(n, DIM) float32: the identity's centre plus noise, made in blocks so that nothing is held twice."""
    centres = np.random.default_rng(1).standard_normal((int(identities.max()) + 2, DIM), dtype=np.float32)
    draw = np.random.default_rng(seed)
    features = np.empty((len(identities), DIM), dtype=np.float32)
    for start in range(0, len(identities), 4096):
        part = slice(start, start + 4096)
        draw.standard_normal(out=features[part], dtype=np.float32)
        features[part] *= noise
        known = identities[part] > 0
        features[part][known] += centres[identities[part][known]]
    return features


def tables(name: str) -> tuple[FeatureTable, FeatureTable]:
    query_ids, query_cams, gallery_ids, gallery_cams = labels(name)
    gallery_ids = np.where(gallery_ids <= 0, -1, gallery_ids)  # junk and distractors alike: never a match
    return (
        FeatureTable(clustered(query_ids, 2), query_ids, query_cams, ("",) * len(query_ids)),
        FeatureTable(clustered(gallery_ids, 3), gallery_ids, gallery_cams, ("",) * len(gallery_ids)),
    )


def straightforward(query: FeatureTable, gallery: FeatureTable) -> tuple[float, np.ndarray]:
    """Whole matrix, whole sort, a walk over the sorted list for every query: (mAP, CMC)."""
    a, b = normalise(query.features), normalise(gallery.features)
    distances = 1 - a @ b.T
    order = np.argsort(distances, axis=1, kind="stable")
    hits = (gallery.identities[order] == query.identities[:, None]).astype(np.int32)
    precisions, curves = [], []
    for row in range(len(query)):
        own = order[row]
        same = gallery.identities[own] == query.identities[row]
        keep = ~(same & (gallery.cameras[own] == query.cameras[row]))
        found = hits[row][keep]
        if not found.any():
            continue
        curve = found.cumsum()
        reached = curve.copy()
        reached[reached > 1] = 1
        curves.append(reached[:50])
        at_rank = [count / (place + 1.0) for place, count in enumerate(curve)]
        precisions.append((np.asarray(at_rank) * found).sum() / found.sum())
    return float(np.mean(precisions)), np.asarray(curves).mean(axis=0)


def product_only(query: np.ndarray, gallery: np.ndarray, multiply, rows: int = 1024) -> None:
    """The float32 products alone, in blocks of the same buffer."""
    buffer = np.empty((rows, len(gallery)), dtype=np.float32)
    for start in range(0, len(query), rows):
        block = query[start : start + rows]
        multiply(block, gallery, buffer[: len(block)])


def torch_mm(query: np.ndarray, gallery: np.ndarray, out: np.ndarray) -> None:
    torch.mm(torch.from_numpy(query), torch.from_numpy(gallery).T, out=torch.from_numpy(out))


def numpy_matmul(query: np.ndarray, gallery: np.ndarray, out: np.ndarray) -> None:
    np.matmul(query, gallery.T, out=out)


def main(name: str = "market", runs: int = 5, slow_runs: int = 5) -> None:
    query, gallery = tables(name)
    print(f"{name}: {len(query):,} x {len(gallery):,}, {DIM}-d\n{machine()}")
    a, b = query.features, gallery.features
    rows = {"market": 1024, "msmt17": 1024, "million": 64}[name]
    sides = {
        "strongreid.evaluate": lambda: evaluate(query, gallery, device="cpu"),
        "product alone, torch linear": lambda: product_only(a, b, linear_product, rows),
        "product alone, numpy": lambda: product_only(a, b, numpy_matmul, rows),
    }
    if name == "market":
        sides |= {
            "product alone, torch mm": lambda: product_only(a, b, torch_mm, rows),
            "straightforward": lambda: straightforward(query, gallery),
        }
    evaluate(query.select(np.arange(8)), gallery, device="cpu")  # libraries start their threads and pools
    measured = alternate(sides, runs, "straightforward", slow_runs)
    ours = measured.pop("strongreid.evaluate")
    print(f"mAP {100 * ours.value.mAP:.4f}, Rank-1 {100 * ours.value.rank(1):.2f}, {ours.value.queries} queries")
    if slow := measured.pop("straightforward", None):
        slow_map, slow_cmc = slow.value
        apart = np.abs(slow_cmc - ours.value.cmc).max()
        print(f"straightforward: mAP differs by {abs(slow_map - ours.value.mAP):.1e}, CMC by {apart:.1e}")
        print(f"straightforward / evaluate: {slow.median / ours.median:.1f}")
    fastest = min(measured, key=lambda side: measured[side].median)
    print(f"evaluate / {fastest}: {ours.median / measured[fastest].median:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:2], *(int(count) for count in sys.argv[2:4]))
