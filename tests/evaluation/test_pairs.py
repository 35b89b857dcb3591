import json
import math
import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongreid.errors import InputError
from strongreid.evaluation import distances, pairs
from strongreid.evaluation.matching import LEAVE_OUT
from strongreid.evaluation.pairs import BINS, PairDistances, collect_pairs, pairs_needed
from strongreid.features import FeatureTable

# Corners of cubes, of lengths 2, 4 and 8, and zero: every cosine distance is an exact multiple of 1/4, an edge.
CORNERS = np.array([np.array(c) * s for c in product((-1, 1), repeat=4) for s in (1, 2, 4)] + [[0] * 4], "f4")
ROW = st.tuples(st.integers(0, len(CORNERS) - 1), st.integers(-1, 2), st.integers(1, 3))
ROWS = st.lists(ROW, min_size=1, max_size=20)
RULE = st.sampled_from(LEAVE_OUT)
COUNTS = st.dictionaries(st.integers(0, BINS - 1), st.integers(1, 50), min_size=1, max_size=12)


def table(rows, paths=None):
    corners, identities, cameras = zip(*rows, strict=True)
    names = paths or tuple(f"{i}.jpg" for i in range(len(rows)))
    return FeatureTable(CORNERS[list(corners)], list(identities), list(cameras), names)


def slow_pairs(query, gallery, metric, rule):
    """(distance, same identity) of every pair that counts, in float64."""
    found = []
    for q, g in product(range(len(query)), range(len(gallery))):
        who, other = query.identities[q], gallery.identities[g]
        if who == other == -1:
            continue
        if rule == "same_camera" and who == other and query.cameras[q] == gallery.cameras[g]:
            continue
        if rule == "same_picture" and query.paths[q] == gallery.paths[g]:
            continue
        a, b = query.features[q].astype(float), gallery.features[g].astype(float)
        if metric == "euclidean":
            distance = math.sqrt(((a - b) ** 2).sum())
        else:
            lengths = math.sqrt((a @ a) * (b @ b))
            distance = 1 - float(a @ b) / lengths if lengths else 1.0
        found.append((distance, bool(who == other)))
    return found


def counted(same, different, **more):
    """Pairs from {bin: count}."""
    arrays = np.zeros((2, BINS), dtype=np.int64)
    for array, counts in zip(arrays, (same, different), strict=True):
        for place, count in counts.items():
            array[place] = count
    return PairDistances("cosine", 2.0, *arrays, **more)


@given(ROWS, ROWS, RULE)
@settings(max_examples=60, deadline=None)
def test_cosine_pairs_are_counted_bin_by_bin(query_rows, gallery_rows, rule):
    query, gallery = table(query_rows), table(gallery_rows)
    found = collect_pairs(query, gallery, leave_out=rule)
    slow = slow_pairs(query, gallery, "cosine", rule)
    for counts, same in ((found.same, True), (found.different, False)):
        expected = np.zeros(BINS, dtype=np.int64)
        for distance, right in slow:
            if right == same:
                expected[max(0, math.ceil(distance * BINS / 2) - 1)] += 1  # a bin owns its upper edge
        np.testing.assert_array_equal(counts, expected)
    assert (found.metric, found.upper, found.leave_out) == ("cosine", 2.0, rule)


@given(ROWS, ROWS, RULE)
@settings(max_examples=60, deadline=None)
def test_euclidean_pairs_are_counted_to_a_bin_s_width(query_rows, gallery_rows, rule):
    query, gallery = table(query_rows), table(gallery_rows)
    found = collect_pairs(query, gallery, "euclidean", leave_out=rule)
    slow = slow_pairs(query, gallery, "euclidean", rule)
    for counts, same in ((found.same, True), (found.different, False)):
        expected = np.sort([distance for distance, right in slow if right == same])
        got = np.repeat((found.edges[1:] + found.edges[:-1]) / 2, counts)
        assert len(got) == len(expected)
        np.testing.assert_allclose(got, expected, atol=1.01 * found.edges[1])


@given(ROWS, ROWS, st.sampled_from(np.arange(-1, 10).tolist()))
@settings(max_examples=60, deadline=None)
def test_rates_at_a_threshold_are_shares_of_the_pairs(query_rows, gallery_rows, quarters):
    query, gallery = table(query_rows), table(gallery_rows)
    slow = slow_pairs(query, gallery, "cosine", "same_camera")
    found, threshold = collect_pairs(query, gallery), quarters / 4
    if len({right for _, right in slow}) < 2:
        with pytest.raises(InputError, match="rates need both kinds"):
            found.rates_at(threshold)
        return
    # Distance 0 lies in the first bin, so the smallest threshold that lets it pass is that bin's edge.
    at = max(threshold, found.edges[1]) if threshold == 0 else threshold
    tpr, fpr = (np.mean([distance <= at for distance, right in slow if right == kind]) for kind in (True, False))
    assert found.rates_at(at) == (pytest.approx(tpr), pytest.approx(fpr))


@given(COUNTS, COUNTS)
@settings(max_examples=60, deadline=None)
def test_roc_goes_through_every_threshold(same, different):
    found = counted(same, different)
    fpr, tpr, thresholds = found.roc()
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    for values in (fpr, tpr, thresholds):
        assert (np.diff(values) >= 0).all()
    for place in range(len(thresholds)):
        assert found.rates_at(thresholds[place]) == (tpr[place], fpr[place])
    edges = {0, BINS} | {edge for place in same | different for edge in (place, place + 1)}
    assert thresholds.tolist() == [2 * edge / BINS for edge in sorted(edges)]


@given(COUNTS, COUNTS, st.sampled_from([1, 0.5, 0.3, 0.1, 1e-2, 1e-3]))
@settings(max_examples=100, deadline=None)
def test_a_threshold_is_the_largest_that_keeps_to_the_rate(same, different, fpr):
    found = counted(same, different)
    threshold = found.threshold_at_fpr(fpr)
    if sum(different.values()) * fpr < 1 - 1e-9:
        assert threshold is None
        assert found.tpr_at_fpr(fpr) is None
        return
    tpr, got = found.rates_at(threshold)
    assert got <= fpr + 1e-12
    assert found.tpr_at_fpr(fpr) == tpr
    place = round(threshold * BINS / 2)
    if place < BINS:
        assert found.rates_at(found.edges[place + 1])[1] > fpr


@given(COUNTS, COUNTS)
@settings(max_examples=60, deadline=None)
def test_the_equal_error_rate_lies_between_both_errors_around_it(same, different):
    found = counted(same, different)
    fpr, tpr, _ = found.roc()
    refused = 1 - tpr
    after = next(i for i in range(len(fpr)) if fpr[i] >= refused[i])
    rate = found.equal_error_rate()
    for lower, upper in ((fpr[after - 1], fpr[after]), (refused[after], refused[after - 1])):
        assert lower - 1e-12 <= rate <= upper + 1e-12


def test_known_equal_error_rates():
    assert counted({10: 7}, {20: 5}).equal_error_rate() == 0  # perfect
    assert counted({20: 7}, {10: 5}).equal_error_rate() == 1  # the wrong way round
    assert counted({10: 7}, {10: 5}).equal_error_rate() == 0.5  # chance
    assert counted({10: 9, 30: 1}, {20: 1, 40: 9}).equal_error_rate() == pytest.approx(0.1)


def test_rates_of_two_normal_distributions():
    rng = np.random.default_rng(0)
    middle = {True: 0.4, False: 0.8}
    drawn = {kind: rng.normal(mean, 0.1, 400_000).clip(0, 1.999) for kind, mean in middle.items()}
    bins = {kind: (far * BINS / 2).astype(int) for kind, far in drawn.items()}
    found = PairDistances("cosine", 2.0, *(np.bincount(bins[kind], minlength=BINS) for kind in (True, False)))
    below = lambda sigmas: (1 + math.erf(sigmas / math.sqrt(2))) / 2  # noqa: E731
    assert found.equal_error_rate() == pytest.approx(below(-2), rel=0.02)
    assert found.threshold_at_fpr(below(-3)) == pytest.approx(0.5, abs=2e-3)
    assert found.tpr_at_fpr(below(-3)) == pytest.approx(below(1), abs=3e-3)


def test_a_rate_takes_enough_pairs():
    assert [pairs_needed(fpr) for fpr in (1, 0.3, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)] == [
        1,
        4,
        10,
        100,
        1000,
        10_000,
        100_000,
    ]
    few, enough = counted({1: 1}, {5: 1, 9: 998}), counted({1: 1}, {5: 1, 9: 999})
    assert few.threshold_at_fpr(1e-3) is None
    assert enough.threshold_at_fpr(1e-3) == enough.edges[9]  # one may pass, all before the next
    for fpr in (0, -0.1, 1.5, math.nan):
        with pytest.raises(InputError, match=r"above 0 and at most 1, such as 0\.001; got"):
            enough.threshold_at_fpr(fpr)


def test_thresholds_need_no_pair_of_one_identity_but_true_positives_do():
    found = counted({}, {5: 100})
    assert found.threshold_at_fpr(0.1) == found.edges[5]
    assert found.tpr_at_fpr(0.1) is None
    for ask in (found.roc, found.equal_error_rate):
        with pytest.raises(InputError, match=r"no pairs of the same identity.*other cameras"):
            ask()
    with pytest.raises(InputError, match="no pairs of different identities"):
        counted({5: 100}, {}).roc()


def test_thresholds_outside_the_distances():
    found = counted({0: 1, 10: 1}, {BINS - 1: 1})
    assert found.rates_at(-math.inf) == found.rates_at(-0.1) == found.rates_at(0.0) == (0, 0)
    assert found.rates_at(found.edges[1]) == (0.5, 0)
    assert found.rates_at(2.0) == found.rates_at(5.0) == found.rates_at(math.inf) == (1, 1)
    with pytest.raises(InputError, match="a threshold is a distance, got nan"):
        found.rates_at(math.nan)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_blocks_and_pieces_change_nothing_but_memory(tables, metric, monkeypatch):
    query, gallery = tables
    whole = collect_pairs(query, gallery, metric)
    seen = sum(len(gallery) - np.sum((gallery.identities == i) & (gallery.cameras == c)) for i, c in
               zip(query.identities, query.cameras, strict=True))  # fmt: skip
    assert whole.same.sum() + whole.different.sum() == seen
    monkeypatch.setattr(distances, "BLOCK_BYTES", 1200 * 4 * 7)  # 7 queries at a time
    monkeypatch.setattr(pairs, "_PIECE", 1200 * 3)  # in pieces of 3, 3 and 1
    parts = collect_pairs(query, gallery, metric)
    # A product of other shape may round otherwise, which moves a distance by a bin at most.
    for ours, theirs in ((parts.same, whole.same), (parts.different, whole.different)):
        assert ours.sum() == theirs.sum()
        assert np.abs(np.cumsum(ours) - np.cumsum(theirs)).max() <= 5
    np.testing.assert_allclose(parts.equal_error_rate(), whole.equal_error_rate(), atol=1e-4)


def test_the_distance_matrix_is_never_whole(monkeypatch):
    rng = np.random.default_rng(0)
    query, gallery = (
        FeatureTable(rng.normal(size=(n, 8)), rng.integers(0, 200, n), rng.integers(1, 4, n), ("",) * n)
        for n in (3000, 3000)
    )
    monkeypatch.setattr(distances, "BLOCK_BYTES", 200_000)
    monkeypatch.setattr(pairs, "_PIECE", 20_000)
    tracemalloc.start()
    collect_pairs(query, gallery)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3000 * 3000 * 4 / 5


@given(COUNTS, COUNTS)
@settings(max_examples=30, deadline=None)
def test_json_round_trip(same, different):
    found = counted(same, different, model="aa", leave_out="nothing")
    text = json.dumps(found.to_dict())
    assert len(text) < 1000
    back = PairDistances.from_dict(json.loads(text))
    assert (back.metric, back.upper, back.model, back.leave_out) == ("cosine", 2.0, "aa", "nothing")
    np.testing.assert_array_equal(back.same, found.same)
    np.testing.assert_array_equal(back.different, found.different)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"same": "5:x"}, "damaged"),
        ({"same": "5"}, "damaged"),
        ({"same": 5}, "damaged"),
        ({"same": "7:1 5:1"}, "not ascending numbers of bins"),
        ({"different": f"{BINS}:1"}, "not ascending numbers of bins"),
        ({"different": "-1:1"}, "not ascending numbers of bins"),
        ({"same": "5:-1"}, "whole numbers from 0"),
        ({"metric": "l1"}, "metric 'l1'"),
        ({"leave_out": "all"}, "leave_out 'all'"),
        ({"upper": 0}, "above 0, got 0"),
        ({"upper": "far"}, "damaged"),
        ({"bins": 100}, "has 100 bins, this program reads 65536"),
        ({"model": ...}, "lacks 'model'"),
    ],
)
def test_refuses_damaged_json(change, message):
    value = {**counted({1: 1}, {2: 1}).to_dict(), **change}
    value = {name: item for name, item in value.items() if item is not ...}
    with pytest.raises(InputError, match=message):
        PairDistances.from_dict(value)


def test_features_without_length():
    zeros = FeatureTable(np.zeros((2, 3)), [1, 2], [1, 1], ("a", "b"))
    others = FeatureTable(np.zeros((2, 3)), [1, 2], [2, 2], ("c", "d"))
    for metric, distance in (("cosine", 1.0), ("euclidean", 0.0)):
        found = collect_pairs(zeros, others, metric)
        place = max(0, math.ceil(distance / found.edges[1]) - 1)
        assert (found.same[place], found.different[place]) == (2, 2)


GOOD = [(0, 1, 1), (3, 2, 1)], [(1, 1, 2), (5, 2, 2)]


@pytest.mark.parametrize(
    ("query", "gallery", "arguments", "message"),
    [
        (*GOOD, {"metric": "l1"}, "unknown metric 'l1'; allowed: cosine, euclidean"),
        (*GOOD, {"leave_out": "all"}, "unknown rule 'all'"),
        (None, GOOD[1], {}, "the query table is empty"),
        (GOOD[0], None, {}, "the gallery table is empty"),
    ],
)
def test_refuses_bad_input(query, gallery, arguments, message):
    empty = FeatureTable(np.empty((0, 4)), [], [], ())
    tables = (empty if rows is None else table(rows) for rows in (query, gallery))
    with pytest.raises(InputError, match=message):
        collect_pairs(*tables, **arguments)


def test_refuses_tables_of_two_models():
    query, gallery = (FeatureTable(np.ones((1, 2)), [1], [1], ("",), model) for model in ("aa", "bb"))
    with pytest.raises(InputError, match=r"different models .query 'aa', gallery 'bb'"):
        collect_pairs(query, gallery)
    assert collect_pairs(query, FeatureTable(np.ones((1, 2)), [1], [2], ("",))).model == "aa"
