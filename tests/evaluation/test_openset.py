import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongreid.errors import InputError
from strongreid.evaluation import distances, rank_features
from strongreid.evaluation.matching import LEAVE_OUT
from strongreid.evaluation.openset import OpenSetResult, open_set, split_identities, threshold_report
from strongreid.evaluation.pairs import BINS, PairDistances, collect_pairs
from strongreid.features import FeatureTable

# Corners of cubes, of lengths 2, 4 and 8, and zero: many distances tie, and every cosine is exact in float32.
CORNERS = np.array([np.array(c) * s for c in product((-1, 1), repeat=4) for s in (1, 2, 4)] + [[0] * 4], "f4")
ROW = st.tuples(st.integers(0, len(CORNERS) - 1), st.integers(-1, 4), st.integers(1, 3))
ROWS = st.lists(ROW, min_size=1, max_size=25)


def table(rows):
    corners, identities, cameras = zip(*rows, strict=True)
    return FeatureTable(
        CORNERS[list(corners)], list(identities), list(cameras), [f"{i}.jpg" for i in range(len(rows))]
    )


def people(count, pictures, spread, seed=0, dim=16):
    """A query of each person, and as many gallery pictures by another camera as asked for."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, dim))
    who = np.repeat(np.arange(count), pictures)
    query = FeatureTable(
        centres + spread * rng.normal(size=centres.shape), np.arange(count), [1] * count, [""] * count
    )
    features = centres[who] + spread * rng.normal(size=(len(who), dim))
    return query, FeatureTable(features, who, [2] * len(who), [""] * len(who))


def slow_distance(a, b):
    lengths = math.sqrt(float(a @ a) * float(b @ b))
    return 1 - float(a @ b) / lengths if lengths else 1.0


def slow_candidates(query, gallery, row, rule, without=()):
    """(distance, gallery row, match) of what one query sees when some identities are gone, nearest first."""
    kept = []
    for g in range(len(gallery)):
        who, other = query.identities[row], gallery.identities[g]
        left_out = (rule == "same_camera" and who == other and query.cameras[row] == gallery.cameras[g]) or (
            rule == "same_picture" and query.paths[row] == gallery.paths[g]
        )
        if other in without or left_out or who == other == -1:
            continue
        kept.append((slow_distance(query.features[row], gallery.features[g]), g, bool(who == other)))
    return sorted(kept, key=lambda item: item[0])


def slow_draw(query, gallery, rule, rank, gone):
    """(FPIR, FNIR) at every threshold, by definition, with the identities in `gone` out of the gallery."""
    seen = [slow_candidates(query, gallery, row, rule, gone) for row in range(len(query))]
    known = [any(match for _, _, match in candidates) for candidates in seen]

    def rates(threshold):
        alarms = [any(d <= threshold for d, _, _ in seen[row]) for row in range(len(query)) if not known[row]]
        misses = [
            not any(match and d <= threshold for d, _, match in seen[row][:rank])
            for row in range(len(query))
            if known[row]
        ]
        return np.mean(alarms), np.mean(misses)

    return rates, known


@given(ROWS, ROWS, st.sampled_from(LEAVE_OUT), st.integers(1, 4), st.sampled_from([0.3, 0.5, 0.7]))
@settings(max_examples=80, deadline=None)
def test_one_draw_agrees_with_a_full_sort_of_each_smaller_gallery(query_rows, gallery_rows, rule, rank, share):
    query, gallery = table(query_rows), table(gallery_rows)
    mated = [row for row in range(len(query)) if any(m for _, _, m in slow_candidates(query, gallery, row, rule))]
    asked = np.unique(query.identities[mated])
    count = round(share * len(asked))
    if count == len(asked) or (count == 0 and len(mated) == len(query)):
        with pytest.raises(InputError, match=r"no (known|unknown) queries"):
            open_set(query, gallery, unknown_share=share, draws=2, leave_out=rule)
        return
    result = open_set(query, gallery, unknown_share=share, draws=3, seed=5, leave_out=rule, rank=rank)
    generator = np.random.default_rng(5)
    for draw in range(3):
        gone = set(generator.permutation(asked)[:count].tolist())
        rates, known = slow_draw(query, gallery, rule, rank, gone)
        one = OpenSetResult(
            **{**vars(result), "unknown": result.unknown[draw : draw + 1], "known": result.known[draw : draw + 1]}
        )
        assert len(one.known[0]) == sum(known)
        assert len(one.unknown[0]) == len(query) - sum(known)
        for threshold in np.arange(-1, 9) / 4 + 1e-3:  # between the distances, which are multiples of a quarter
            got = [spread.mean for spread in one.rates_at(threshold)]
            assert got == pytest.approx(rates(threshold))


def test_rates_at_a_wanted_fpir_are_the_best_that_keep_to_it():
    query, gallery = people(80, 3, 0.7)
    result = open_set(query, gallery, draws=4)
    for draw in range(4):
        one = OpenSetResult(
            **{**vars(result), "unknown": result.unknown[draw : draw + 1], "known": result.known[draw : draw + 1]}
        )
        for fpir in (0.025, 0.1, 0.5, 0.99):
            threshold = one.threshold_at_fpir(fpir).mean
            got, missed = (spread.mean for spread in one.rates_at(threshold))
            assert got <= fpir
            assert one.fnir_at_fpir(fpir).mean == missed
            assert one.rates_at(np.nextafter(np.float32(threshold), np.float32(9)))[0].mean > fpir
        assert one.threshold_at_fpir(1).mean == math.inf


def test_mean_and_deviation_are_over_the_draws():
    result = open_set(*people(60, 2, 1.0), draws=6)
    each = [
        OpenSetResult(**{**vars(result), "unknown": (unknown,), "known": (known,)}).fnir_at_fpir(0.1).mean
        for unknown, known in zip(result.unknown, result.known, strict=True)
    ]
    spread = result.fnir_at_fpir(0.1)
    assert spread.values == tuple(each)
    assert (spread.mean, spread.deviation) == (pytest.approx(np.mean(each)), pytest.approx(np.std(each, ddof=1)))
    assert np.std(each) > 0
    assert open_set(*people(60, 2, 1.0), draws=1).fnir_at_fpir(0.1).deviation is None


def test_draws_are_those_of_the_seed_and_more_go_on():
    query, gallery = people(40, 2, 0.5)
    few, more, other = (open_set(query, gallery, draws=d, seed=s) for d, s in ((2, 7), (4, 7), (2, 8)))
    for a, b in zip(few.known, more.known[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(few.known[0], few.known[1])
    assert not np.array_equal(few.known[0], other.known[0])


@pytest.mark.parametrize("rank", [1, 5])
def test_without_a_threshold_and_with_nobody_unknown_it_is_the_cmc(tables, rank):
    ranking = rank_features(*tables, device="cpu")
    result = open_set(*tables, unknown_share=0, draws=1, rank=rank)
    assert (len(result.known[0]), len(result.unknown[0])) == (136, 24)
    _, missed = result.rates_at(math.inf)
    assert missed.mean == pytest.approx(1 - ranking.cmc(rank)[-1])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_blocks_change_nothing_but_memory(tables, metric, monkeypatch):
    whole = open_set(*tables, metric, draws=2)
    monkeypatch.setattr(distances, "BLOCK_BYTES", 1200 * 4 * 7)  # 7 queries at a time
    parts = open_set(*tables, metric, draws=2)
    for ours, theirs in zip(parts.known + parts.unknown, whole.known + whole.unknown, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_too_few_unknown_queries_tell_no_rate():
    result = open_set(*people(40, 2, 0.5))  # 20 unknown
    assert result.fnir_at_fpir(0.05) is not None
    assert result.fnir_at_fpir(0.049) is None
    assert result.threshold_at_fpir(0.01) is None


def test_the_curve_falls_and_passes_through_the_rates():
    result = open_set(*people(300, 2, 0.8), draws=3)
    fpir, fnir = result.curve(21)
    assert (fpir[0], fpir[-1], fpir.shape, fnir.shape) == (pytest.approx(1 / 150), 1, (21,), (3, 21))
    assert (np.diff(fnir, axis=1) <= 0).all()
    for rate, shares in zip(fpir, fnir.T, strict=True):
        assert result.fnir_at_fpir(rate).values == tuple(shares)
    with pytest.raises(InputError, match="at least 2 points, got 1"):
        result.curve(1)


def test_figures_as_json():
    result = open_set(*people(60, 2, 0.5), draws=2)
    value = json.loads(json.dumps(result.to_dict()))
    assert value["unknown_queries"] == value["known_queries"] == [30, 30]
    assert value["fnir_at_fpir"]["0.01"] is None
    assert value["fnir_at_fpir"]["0.1"] == list(result.fnir_at_fpir(0.1).values)
    assert np.shape(value["curve"]["fnir"]) == (2, len(value["curve"]["fpir"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unknown_share": 1}, "from 0 to below 1, got 1"),
        ({"unknown_share": -0.1}, "from 0 to below 1, got -0.1"),
        ({"unknown_share": 0}, "40 identities .* with 0 of them unknown there are no unknown queries"),
        ({"unknown_share": 0.999}, "with 40 of them unknown there are no known queries"),
        ({"draws": 0}, "draws is at least 1, got 0"),
        ({"rank": 0}, "rank is at least 1, got 0"),
        ({"seed": -1}, "seed is a whole number from 0, got -1"),
        ({"metric": "l1"}, "unknown metric 'l1'"),
        ({"leave_out": "all"}, "unknown rule 'all'"),
    ],
)
def test_refuses_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        open_set(*people(40, 2, 0.5), **arguments)


def test_refuses_rates_that_are_none():
    result = open_set(*people(40, 2, 0.5))
    for fpir in (0, 1.1, math.nan):
        with pytest.raises(InputError, match="FPIR to aim at is above 0 and at most 1"):
            result.fnir_at_fpir(fpir)
    with pytest.raises(InputError, match="a threshold is a distance, got nan"):
        result.rates_at(math.nan)


@given(ROWS, ROWS, st.sampled_from([0.3, 0.5]), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_halves_have_nobody_in_common_and_lose_nothing(query_rows, gallery_rows, share, seed):
    query, gallery = table(query_rows), table(gallery_rows)
    asked = set(query.identities.tolist()) - {-1}
    count = round(share * len(asked))
    if not 0 < count < len(asked):
        with pytest.raises(InputError, match=f"the queries have {len(asked)} identities, too few"):
            split_identities(query, gallery, share, seed)
        return
    parts = split_identities(query, gallery, share, seed)
    first, second = ({*q.identities.tolist(), *g.identities.tolist()} - {-1} for q, g in parts)
    assert not first & second
    assert len(first & asked) == count
    for side, whole in enumerate((query, gallery)):
        assert sorted(parts[0][side].paths + parts[1][side].paths) == sorted(whole.paths)
        distractors = [int((part[side].identities == -1).sum()) for part in parts]
        assert distractors[0] == round(share * sum(distractors))


def test_a_split_is_that_of_the_seed(tables):
    halves = [split_identities(*tables, seed=seed)[0][0].paths for seed in (1, 1, 2)]
    assert halves[0] == halves[1] != halves[2]
    for share in (0, 1, -1, math.nan):
        with pytest.raises(InputError, match="above 0 and below 1"):
            split_identities(*tables, share)
    with pytest.raises(InputError, match="seed is a whole number from 0"):
        split_identities(*tables, seed=-1)


def test_a_threshold_of_one_half_holds_on_the_other():
    fit, report = (collect_pairs(*half) for half in split_identities(*people(600, 3, 0.6), seed=3))
    rows = threshold_report(fit, report, (1e-1, 1e-2, 1e-3, 1e-9))
    for row in rows[:3]:
        assert row.threshold == fit.threshold_at_fpr(row.wanted)
        assert (row.tpr, row.fpr) == report.rates_at(row.threshold)
        assert row.fpr == pytest.approx(row.wanted, rel=0.25)
        assert row.tpr == pytest.approx(fit.tpr_at_fpr(row.wanted), abs=0.05)
    assert rows[3][1:] == (None, None, None)


def test_refuses_thresholds_of_another_metric_or_model():
    ones = np.ones(BINS, dtype=np.int64)
    cosine, euclidean = (PairDistances(metric, 2.0, ones, ones, model="aa") for metric in ("cosine", "euclidean"))
    with pytest.raises(InputError, match="cosine distances means nothing for euclidean ones"):
        threshold_report(cosine, euclidean)
    with pytest.raises(InputError, match=r"different models .'aa' and 'bb'"):
        threshold_report(cosine, PairDistances("cosine", 2.0, ones, ones, model="bb"))
