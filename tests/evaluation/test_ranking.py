import tracemalloc
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongreid.errors import InputError
from strongreid.evaluation import distances, rank_distances, rank_features, top_matches
from strongreid.evaluation.distances import key_index, normalise, order_keys
from strongreid.evaluation.hardware import _numpy_product
from strongreid.evaluation.matching import LEAVE_OUT
from strongreid.evaluation.on_device import linear_product
from strongreid.features import FeatureTable

# Corners of cubes, of lengths 2, 4 and 8, and zero: many distances tie, and every one is exact in float32.
CORNERS = np.array([np.array(c) * s for c in product((-1, 1), repeat=4) for s in (1, 2, 4)] + [[0] * 4], "f4")
ROW = st.tuples(st.integers(0, len(CORNERS) - 1), st.integers(-1, 2), st.integers(1, 3))
ROWS = st.lists(ROW, min_size=1, max_size=25)
METRIC = st.sampled_from(["cosine", "euclidean"])


def table(rows):
    corners, identities, cameras = zip(*rows, strict=True)
    return FeatureTable(CORNERS[list(corners)], list(identities), list(cameras), ("",) * len(rows))


def slow_distance(a, b, metric):
    a, b = a.astype(float), b.astype(float)
    if metric == "euclidean":
        return float(((a - b) ** 2).sum())
    lengths = np.sqrt((a**2).sum() * (b**2).sum())
    return 1 - float((a * b).sum()) / lengths if lengths else 1.0


def slow_order(query, gallery, row, metric):
    """The gallery as one query sees it, (distance, row, true match) nearest first: a full stable sort."""
    kept = []
    for number in range(len(gallery)):
        known = query.identities[row] != -1
        same = known and gallery.identities[number] == query.identities[row]
        if same and gallery.cameras[number] == query.cameras[row]:
            continue
        distance = slow_distance(query.features[row], gallery.features[number], metric)
        kept.append((distance, number, bool(same)))
    return sorted(kept, key=lambda item: item[0])


def slow_measures(query, gallery, metric):
    """(row, average precision, inverse negative penalty, first rank) of every query that has a match."""
    measures = []
    for row in range(len(query)):
        right = [match for _, _, match in slow_order(query, gallery, row, metric)]
        ranks = [rank for rank, match in enumerate(right, start=1) if match]
        if ranks:
            precision = sum(sum(right[:rank]) / rank for rank in ranks) / len(ranks)
            measures.append((row, precision, len(ranks) / ranks[-1], ranks[0]))
    return measures


@given(ROWS, ROWS, METRIC)
@settings(max_examples=80, deadline=None)
def test_agrees_with_a_full_stable_sort_per_query(query_rows, gallery_rows, metric):
    query, gallery = table(query_rows), table(gallery_rows)
    ranking = rank_features(query, gallery, metric)
    expected = slow_measures(query, gallery, metric)
    assert ranking.query.tolist() == [m[0] for m in expected]
    np.testing.assert_allclose(ranking.average_precision, [m[1] for m in expected], rtol=1e-12)
    np.testing.assert_allclose(ranking.inverse_negative_penalty, [m[2] for m in expected], rtol=1e-12)
    assert ranking.first_match_rank.tolist() == [m[3] for m in expected]
    assert ranking.skipped == len(query) - len(expected)
    slow_cmc = [np.mean([m[3] <= k for m in expected]) if expected else 0 for k in range(1, 31)]
    np.testing.assert_allclose(ranking.cmc(30), slow_cmc, rtol=1e-12)


@given(ROWS, ROWS, METRIC)
@settings(max_examples=60, deadline=None)
def test_the_torch_path_ranks_the_same(query_rows, gallery_rows, metric):
    """What runs on a GPU, run on torch's CPU device."""
    query, gallery = table(query_rows), table(gallery_rows)
    numpy, torch = (rank_features(query, gallery, metric, device=device) for device in ("cpu", "cpu:0"))
    assert torch.query.tolist() == numpy.query.tolist()
    assert torch.first_match_rank.tolist() == numpy.first_match_rank.tolist()
    np.testing.assert_array_equal(torch.average_precision, numpy.average_precision)
    np.testing.assert_array_equal(torch.inverse_negative_penalty, numpy.inverse_negative_penalty)


@given(ROWS, METRIC, st.sampled_from(LEAVE_OUT))
@settings(max_examples=60, deadline=None)
def test_what_is_left_out_is_as_if_it_were_not_there(rows, metric, rule):
    everyone = replace(table(rows), paths=tuple(f"{row}.jpg" for row in range(len(rows))))
    ranking = rank_features(everyone, everyone, metric, leave_out=rule)
    evaluated = dict(zip(ranking.query.tolist(), ranking.average_precision.tolist(), strict=True))
    for row, identity in enumerate(everyone.identities):
        hidden = {
            "same_camera": (everyone.identities == identity) & (everyone.cameras == everyone.cameras[row]),
            "same_picture": np.arange(len(rows)) == row,
            "nothing": np.zeros(len(rows), dtype=bool),
        }[rule]
        if identity == -1 or not ((everyone.identities == identity) & ~hidden).any():
            assert row not in evaluated
            continue
        alone, rest = everyone.select([row]), everyone.select(~hidden)
        expected = rank_features(alone, rest, metric, leave_out="nothing").average_precision[0]
        assert evaluated[row] == pytest.approx(expected, rel=1e-12)


def test_a_set_searched_with_its_own_pictures_needs_paths():
    rows = [(0, 1, 1), (3, 1, 1)]
    with pytest.raises(InputError, match="1 of 2 share one"):
        rank_features(table(rows), table(rows), leave_out="same_picture")
    with pytest.raises(InputError, match=r"unknown rule 'all' .* same_camera, same_picture, nothing"):
        rank_features(table(rows), table(rows), leave_out="all")


def test_refuses_a_device_that_is_not_there(tables):
    with pytest.raises(InputError, match="device 'quantum' is not usable here"):
        rank_features(*tables, device="quantum")


@pytest.mark.parametrize("product", [_numpy_product, linear_product])
def test_products_are_products(product):
    a, b = np.random.default_rng(0).normal(size=(2, 5000, 3)).astype(np.float32)
    out = np.empty((7, 5000), dtype=np.float32)
    product(a[:7], b, out)
    np.testing.assert_allclose(out, a[:7].astype(float) @ b.T.astype(float), atol=1e-5)


def test_blocks_of_distances_rank_as_the_whole(tables):
    query, gallery = tables
    whole = 1 - normalise(query.features) @ normalise(gallery.features).T
    blocks = ((slice(start, start + 40), whole[start : start + 40].copy()) for start in range(0, 160, 40))
    np.testing.assert_array_equal(
        rank_distances(blocks, query, gallery).average_precision,
        rank_distances(whole, query, gallery).average_precision,
    )
    with pytest.raises(InputError, match="distances for 40 of 160 queries"):
        rank_distances([(slice(0, 40), whole[:40])], query, gallery)


@given(ROWS, ROWS, METRIC, st.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_top_matches_are_the_head_of_that_sort(query_rows, gallery_rows, metric, top_k):
    query, gallery = table(query_rows), table(gallery_rows)
    nearest, far = top_matches(query, gallery, top_k, metric)
    assert nearest.shape == far.shape == (len(query), top_k)
    for row in range(len(query)):
        order = slow_order(query, gallery, row, metric)[:top_k]
        missing = top_k - len(order)
        assert nearest[row].tolist() == [number for _, number, _ in order] + [-1] * missing
        slow = [np.sqrt(d) if metric == "euclidean" else d for d, _, _ in order] + [np.inf] * missing
        np.testing.assert_allclose(far[row], slow, rtol=1e-6, atol=1e-6)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=30))
def test_sorted_keys_are_a_stable_sort(values):
    values = np.array(values, dtype=np.float32)
    order = key_index(np.sort(order_keys(values)))
    assert order.tolist() == np.argsort(values, kind="stable").tolist()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_agrees_with_the_released_code(golden, tables, metric):
    ranking = rank_features(*tables, metric)
    np.testing.assert_array_equal(ranking.cmc(50).astype(np.float32), golden[f"eval_{metric}_cmc"])
    assert ranking.average_precision.mean() == pytest.approx(float(golden[f"eval_{metric}_map"]), abs=1e-6)
    assert ranking.skipped == 24


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_blocks_change_nothing_but_memory(tables, metric, monkeypatch):
    whole = rank_features(*tables, metric)
    monkeypatch.setattr(distances, "BLOCK_BYTES", 20_000)  # 4 queries at a time
    parts = rank_features(*tables, metric)
    np.testing.assert_allclose(parts.average_precision, whole.average_precision, rtol=1e-9)
    assert parts.first_match_rank.tolist() == whole.first_match_rank.tolist()


def test_the_distance_matrix_is_never_whole(monkeypatch):
    rng = np.random.default_rng(0)
    query, gallery = (
        FeatureTable(rng.normal(size=(n, 8)), rng.integers(0, 200, n), rng.integers(1, 4, n), ("",) * n)
        for n in (1500, 3000)
    )
    monkeypatch.setattr(distances, "BLOCK_BYTES", 200_000)
    tracemalloc.start()
    rank_features(query, gallery)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1500 * 3000 * 4 / 5


def test_given_distances_rank_as_computed_ones(tables):
    query, gallery = tables
    exact = ((query.features[:, None].astype(float) - gallery.features[None, :]) ** 2).sum(axis=2)
    ours, given_distances = rank_features(query, gallery, "euclidean"), rank_distances(exact, query, gallery)
    np.testing.assert_array_equal(ours.average_precision, given_distances.average_precision)


def test_refuses_distances_that_do_not_fit(tables):
    query, gallery = tables
    with pytest.raises(InputError, match=r"160 queries and 1200 gallery rows need .* \(160, 1200\), got \(2, 3\)"):
        rank_distances(np.zeros((2, 3), dtype=np.float32), query, gallery)
    with pytest.raises(InputError, match="NaN"):
        rank_distances(np.full((160, 1200), np.nan, dtype=np.float32), query, gallery)
    with pytest.raises(InputError, match="top_k is at least 1, got 0"):
        top_matches(query, gallery, 0)


def test_refuses_what_can_not_be_compared(tables):
    query, gallery = tables
    with pytest.raises(InputError, match="unknown metric 'l1'; allowed: cosine, euclidean"):
        rank_features(query, gallery, "l1")
    with pytest.raises(InputError, match="query features have 64 numbers, the gallery's 4"):
        top_matches(query, table([(0, 0, 1)]), 5)


def test_features_at_the_ends_of_float32():
    huge = FeatureTable([[1e30, 0], [0, 1e30]], [0, 1], [1, 1], ("", ""))
    other = FeatureTable([[1e-30, 0], [0, 1e30]], [0, 1], [2, 2], ("", ""))
    assert rank_features(huge, other).first_match_rank.tolist() == [1, 1]
    with pytest.raises(InputError, match=r"1 of 2 features are too large.*row 1.*cosine"):
        rank_features(huge, other, "euclidean")
