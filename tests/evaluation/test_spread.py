import json
import statistics

import numpy as np
import pytest
from tests.evaluation.made import made_result

from strongreid.errors import InputError
from strongreid.evaluation.spread import Spread, join_results, student_t


def runs(*means):
    """Runs of two queries, whose mAP is the given mean."""
    return [made_result([mean - 0.1, mean + 0.1], [1, 2]) for mean in means]


# Two-sided quantiles as printed in tables of Student's t.
@pytest.mark.parametrize(
    ("level", "degrees", "expected"),
    [
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 3, 3.182),
        (0.95, 4, 2.776),
        (0.95, 5, 2.571),
        (0.95, 9, 2.262),
        (0.95, 10, 2.228),
        (0.95, 19, 2.093),
        (0.95, 30, 2.042),
        (0.95, 120, 1.980),
        (0.90, 1, 6.314),
        (0.90, 5, 2.015),
        (0.90, 8, 1.860),
        (0.99, 1, 63.657),
        (0.99, 2, 9.925),
        (0.99, 10, 3.169),
        (0.999, 7, 5.408),
        (0.5, 4, 0.741),
    ],
)
def test_student_t_agrees_with_printed_tables(level, degrees, expected):
    assert student_t(level, degrees) == pytest.approx(expected, abs=6e-4)


def test_student_t_ends_at_the_normal_distribution():
    normal = statistics.NormalDist().inv_cdf(0.975)
    assert student_t(0.95, 100_000) == pytest.approx(normal, abs=1e-4)


def test_mean_deviation_and_extremes_of_the_runs():
    joined = join_results(runs(0.80, 0.82, 0.87))
    spread = joined.measures["mAP"]
    assert joined.runs == 3
    assert spread.values == pytest.approx((0.80, 0.82, 0.87))
    assert spread.mean == pytest.approx(0.83)
    assert spread.deviation == pytest.approx(np.std([0.80, 0.82, 0.87], ddof=1))
    around = spread.interval()
    half = 4.303 * spread.deviation / np.sqrt(3)
    assert (around.low, around.high) == pytest.approx((0.83 - half, 0.83 + half), abs=1e-4)
    assert list(joined.measures) == ["mAP", "mINP", "Rank-1", "Rank-5", "Rank-10"]
    assert joined.measures["Rank-1"].mean == 1


def test_t_intervals_hold_the_truth_about_that_often():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        around = Spread(tuple(rng.normal(0.8, 0.01, 3).tolist())).interval()
        hits += around.low <= 0.8 <= around.high
    assert 0.93 <= hits / 1000 <= 0.97


def test_prints_mean_and_spread():
    lines = join_results(runs(0.80, 0.82, 0.87)).table(level=0.9).splitlines()
    assert lines[0].split() == ["3", "runs", "min", "max", "90", "%", "interval"]
    assert lines[2].split()[:6] == ["mAP", "83.00", "±", "3.61", "80.00", "87.00"]
    assert len({len(line) for line in lines}) == 1
    value = json.loads(join_results(runs(0.80, 0.82, 0.87)).json())
    assert (value["runs"], value["level"]) == (3, 0.95)
    assert value["measures"]["mAP"]["deviation"] == pytest.approx(0.0360555)
    assert value["measures"]["mAP"]["values"] == pytest.approx([0.80, 0.82, 0.87])


def test_a_single_run_has_no_spread_and_says_so():
    joined = join_results(runs(0.8))
    assert joined.table().splitlines()[2].split() == ["mAP", "80.00", "80.00", "80.00", "-"]
    assert json.loads(joined.json())["measures"]["mAP"]["deviation"] is None
    with pytest.raises(InputError, match="one run has no spread; join at least 2"):
        joined.measures["mAP"].interval()


def test_partitions_may_have_other_queries_and_galleries():
    split = made_result([0.4, 0.6, 0.8], [7, 8, 9], paths=["a", "b", "c"], gallery=55)
    assert join_results([*runs(0.8), split]).measures["mAP"].mean == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([], "no results to join"),
        ([*runs(0.8), made_result([0.5], [1], metric="euclidean")], r"settings of metric \(cosine, euclidean\)"),
        ([*runs(0.8), made_result([0.5], [1], rerank="k_reciprocal")], r"of rerank \(None, k_reciprocal\)"),
        ([*runs(0.8), made_result([0.5], [1], leave_out="nothing")], r"of leave_out \(same_camera, nothing\)"),
    ],
)
def test_refuses_what_are_no_runs_of_one_experiment(results, message):
    with pytest.raises(InputError, match=message):
        join_results(results)


def test_refuses_levels_and_degrees_out_of_range():
    with pytest.raises(InputError, match=r"got 1\.5"):
        join_results(runs(0.8, 0.9)).table(level=1.5)
    with pytest.raises(InputError, match="at least 1 degree of freedom, got 0"):
        student_t(0.95, 0)
