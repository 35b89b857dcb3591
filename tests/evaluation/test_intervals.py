import importlib
import json

import numpy as np
import pytest
from tests.evaluation.made import alike, made_result, people

from strongreid.errors import InputError
from strongreid.evaluation.intervals import Interval, interval, interval_table, intervals


def simulated(seed=0, identities=40):
    rng = np.random.default_rng(seed)
    whose = people(rng, identities)
    return made_result(alike(rng, whose), whose)


def slow_interval(values, identities, level, draws, seed):
    """Draw people one by one, collect their queries, take the mean, sort."""
    generator = np.random.default_rng(seed)
    known = sorted(set(identities.tolist()))
    means = []
    for _ in range(draws):
        drawn = generator.integers(len(known), size=len(known))
        means.append(np.concatenate([values[identities == known[number]] for number in drawn]).mean())
    return np.quantile(means, [(1 - level) / 2, (1 + level) / 2])


@pytest.mark.parametrize("level", [0.95, 0.5])
def test_agrees_with_drawing_people_one_by_one(level):
    result = simulated(identities=12)
    ranking = result.per_query
    values = {"mAP": ranking.average_precision, 1: (ranking.first_match_rank == 1).astype(float)}
    for measure, expected in values.items():
        found = interval(result, measure, level=level, draws=300, seed=5)
        slow = slow_interval(expected, ranking.identities, level, 300, 5)
        np.testing.assert_allclose([found.low, found.high], slow, atol=1e-12)
        assert found.value == pytest.approx(expected.mean())
        assert found.level == level


def test_all_measures_come_from_the_same_draws():
    result = simulated()
    found = intervals(result, ranks=(1, 7), draws=500, seed=3)
    assert list(found) == ["mAP", "mINP", "Rank-1", "Rank-7"]
    for name, measure in zip(found, ("mAP", "mINP", 1, 7), strict=True):
        one = interval(result, measure, draws=500, seed=3)
        assert (one.low, one.high, one.value) == pytest.approx((found[name].low, found[name].high, found[name].value))
    assert found["mAP"].value == pytest.approx(result.mAP)
    assert found["Rank-1"].value == pytest.approx(result.rank(1))
    assert found["mAP"].low < found["mAP"].value < found["mAP"].high


def test_the_same_seed_gives_the_same_interval_whatever_the_pieces(monkeypatch):
    result = simulated()
    whole = interval(result, draws=200, seed=1)
    assert interval(result, draws=200, seed=1) == whole != interval(result, draws=200, seed=2)
    module = importlib.import_module("strongreid.evaluation.intervals")  # not the function
    monkeypatch.setattr(module, "_CELLS", 7 * 40)  # pieces of 7 draws
    pieces = interval(result, draws=200, seed=1)
    assert (pieces.low, pieces.high) == pytest.approx((whole.low, whole.high), abs=1e-12)


def test_95_percent_intervals_hold_the_truth_about_that_often():
    """Two hundred simulated data sets of 40 people, mean 0.5. An interval over queries would hold it less often."""
    hits = {"people": 0, "queries": 0}
    for seed in range(200):
        result = simulated(seed)
        alone = made_result(result.per_query.average_precision, np.arange(result.queries))
        for name, of in (("people", result), ("queries", alone)):
            found = interval(of, draws=1000, seed=seed)
            hits[name] += found.low <= 0.5 <= found.high
    assert 0.90 <= hits["people"] / 200 <= 0.99
    assert hits["queries"] < hits["people"] - 10


def test_queries_of_a_person_that_agree_are_one_witness():
    """Eight equal queries of each of 60 people: the interval is that of 60 queries, not of 480."""
    of_person = np.random.default_rng(0).random(60)
    whose = np.repeat(np.arange(60), 8)
    over_people = interval(made_result(of_person[whose], whose))
    over_queries = interval(made_result(of_person[whose], np.arange(480)))
    one_each = interval(made_result(of_person, np.arange(60)))
    assert (over_people.low, over_people.high) == pytest.approx((one_each.low, one_each.high), abs=1e-12)
    width = [one.high - one.low for one in (over_people, over_queries)]
    assert 2.5 < width[0] / width[1] < 3.2  # sqrt(8) = 2.8


def test_more_people_make_it_narrower_and_a_higher_level_wider():
    width = {n: (one := interval(simulated(identities=n))).high - one.low for n in (25, 400)}
    assert 3 < width[25] / width[400] < 5.5  # sqrt(16) = 4
    wide, narrow = (interval(simulated(), level=level) for level in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_where_every_query_is_right_there_is_no_width():
    found = interval(made_result(np.ones(30), np.arange(30)), 1)
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_prints_percent():
    assert str(Interval(0.8595, 0.85, 1.0, 0.95)) == "85.95 [85.00, 100.00]"
    head, rule, *rows = interval_table(intervals(simulated(), draws=200, level=0.9)).splitlines()
    assert head.split() == ["value", "90", "%", "interval"]
    assert [row.split()[0] for row in rows] == ["mAP", "mINP", "Rank-1", "Rank-5", "Rank-10"]
    assert {len(line) for line in (head, *rows)} == {len(rule)}


def test_survives_saving(tmp_path):
    result = simulated()
    result.save(tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text())["queries"] == result.queries
    assert interval(type(result).load(tmp_path / "result.json")) == interval(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "map"}, "unknown measure 'map'; allowed: 'mAP', 'mINP', or k of at least 1"),
        ({"measure": 0}, "unknown measure 0"),
        ({"level": 95}, "above 0 and below 1, got 95; try 0.95"),
        ({"level": 0}, "above 0 and below 1, got 0"),
        ({"draws": 99}, "draws is at least 100, got 99"),
    ],
)
def test_refuses_arguments_out_of_range(arguments, message):
    with pytest.raises(InputError, match=message):
        interval(simulated(), **arguments)


def test_refuses_a_single_person():
    with pytest.raises(InputError, match=r"the 3 queries are of 1 identities; .* needs at least 2"):
        intervals(made_result([0.2, 0.5, 0.9], [4, 4, 4]))
