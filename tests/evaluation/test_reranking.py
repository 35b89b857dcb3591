import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from strongreid.errors import InputError
from strongreid.evaluation import distances as evaluation_distances
from strongreid.evaluation import k_reciprocal, rank_distances, reranking
from strongreid.evaluation.distances import normalise


def slow_k_reciprocal(query, gallery, k1, k2, lam):
    """Dense, float64, with Python sets; every step as the paper words it."""
    features = np.concatenate([query, gallery]).astype(float)
    n = len(features)
    original = ((features[:, None] - features[None]) ** 2).sum(axis=2)
    order = np.argsort(original, axis=1, kind="stable")
    largest = original.max(axis=1, keepdims=True)
    original = original / np.where(largest > 0, largest, 1)

    def reciprocal(i, k):
        return {j for j in order[i, : k + 1] if i in order[j, : k + 1]}

    weights = np.zeros((n, n))
    for i in range(n):
        mine = reciprocal(i, k1)
        expanded = set(mine)
        for j in mine:
            theirs = reciprocal(j, round(k1 / 2))
            if len(theirs & mine) > 2 / 3 * len(theirs):
                expanded |= theirs
        for j in expanded:
            weights[i, j] = np.exp(-original[i, j])
        if expanded:
            weights[i] /= weights[i].sum()
    if k2 > 1:  # 1 is off: among equal pictures the nearest need not be the picture itself
        weights = np.stack([weights[order[i, :k2]].mean(axis=0) for i in range(n)])
    result = np.empty((len(query), len(gallery)))
    for i in range(len(query)):
        for j in range(len(query), n):
            overlap = np.minimum(weights[i], weights[j]).sum()
            jaccard = 1 - overlap / (2 - overlap)
            result[i, j - len(query)] = (1 - lam) * jaccard + lam * original[i, j]
    return result


@example(seed=0, queries=1, size=8, k1=5, k2=1, lam=0.0, tied=True)
@given(
    seed=st.integers(0, 10_000),
    queries=st.integers(1, 6),
    size=st.integers(1, 25),
    k1=st.integers(1, 30),
    k2=st.integers(1, 8),
    lam=st.sampled_from([0.0, 0.3, 1.0]),
    tied=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_agrees_with_the_dense_version(seed, queries, size, k1, k2, lam, tied):
    rng = np.random.default_rng(seed)
    if tied:  # four of six entries are +-1/2: length 1, and every squared distance is exact
        places = rng.permuted(np.tile([1, 1, 1, 1, 0, 0], (queries + size, 1)), axis=1)
        features = (places * rng.choice([-0.5, 0.5], places.shape)).astype(np.float32)
    else:
        features = normalise(rng.normal(size=(queries + size, 5)).astype(np.float32))
    query, gallery = features[:queries], features[queries:]
    distances = k_reciprocal(query, gallery, k1, k2, lam)
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances, slow_k_reciprocal(query, gallery, k1, k2, lam), atol=1e-5)


def test_pieces_of_a_large_set_fit_together(tables, monkeypatch):
    monkeypatch.setattr(reranking, "_ROWS", 50)
    monkeypatch.setattr(evaluation_distances, "BLOCK_BYTES", 20_000)
    query, gallery = (normalise(t.features) for t in tables)
    query, gallery = query[:40], gallery[:200]
    distances = k_reciprocal(query, gallery, 10, 4)
    np.testing.assert_allclose(distances, slow_k_reciprocal(query, gallery, 10, 4, 0.3), atol=1e-4)


def test_little_memory_changes_nothing(tables, monkeypatch):
    query, gallery = (normalise(t.features)[:150] for t in tables)
    kept = k_reciprocal(query, gallery)
    monkeypatch.setattr(reranking, "_room_for", lambda *_: None)
    np.testing.assert_allclose(k_reciprocal(query, gallery), kept, atol=1e-6)
    np.testing.assert_allclose(k_reciprocal(query, gallery, device="cpu:0"), kept, atol=1e-6)


def test_agrees_with_the_released_code(golden, tables):
    query, gallery = tables[0].select(np.arange(60)), tables[1].select(np.arange(500))
    features = normalise(query.features), normalise(gallery.features)
    # The released code works in float16 inside.
    distances = k_reciprocal(*features)
    np.testing.assert_allclose(distances, golden["rerank_final_dist"], atol=3e-3)
    ranking = rank_distances(distances, query, gallery)
    assert ranking.average_precision.mean() == pytest.approx(float(golden["rerank_map"]), abs=5e-3)
    one_query = 1 / len(ranking.query)
    np.testing.assert_allclose(ranking.cmc(50), golden["rerank_cmc"], atol=one_query + 1e-6)
    distances = k_reciprocal(*features, 10, 3, 0.5)
    np.testing.assert_allclose(distances, golden["rerank_k10_3_l05_final_dist"], atol=3e-3)


def test_refuses_what_is_not_finite():
    whole, holed = np.ones((2, 3), dtype=np.float32), np.full((2, 3), np.nan, dtype=np.float32)
    with pytest.raises(InputError, match="the features hold NaN or infinity"):
        k_reciprocal(whole, holed)


def test_identical_pictures_are_no_trouble():
    same = np.ones((4, 3), dtype=np.float32)
    assert np.isfinite(k_reciprocal(same[:1], same, 2, 2)).all()


@pytest.mark.parametrize(
    ("shapes", "arguments", "message"),
    [
        (((2, 3), (4, 5)), {}, r"got \(2, 3\) and \(4, 5\)"),
        (((0, 3), (4, 3)), {}, "got 0 queries and 4 in the gallery"),
        (((2, 3), (4, 3)), {"k1": 0}, "k1 >= 1.*got 0, 6 and 0.3"),
        (((2, 3), (4, 3)), {"k2": 0}, "k2 >= 1.*got 20, 0 and 0.3"),
        (((2, 3), (4, 3)), {"lam": 1.5}, "lam in 0..1, got 20, 6 and 1.5"),
    ],
)
def test_refuses(shapes, arguments, message):
    query, gallery = (np.zeros(shape, dtype=np.float32) for shape in shapes)
    with pytest.raises(InputError, match=message):
        k_reciprocal(query, gallery, **arguments)
