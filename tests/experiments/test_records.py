"""Means, intervals and differences of an experiment read back, against hand computation."""

import json
import statistics

import numpy as np
import pytest
from tests.experiments.made import made_experiment

from strongreid.errors import InputError
from strongreid.evaluation.comparison import compare_results
from strongreid.evaluation.intervals import interval
from strongreid.evaluation.spread import holm, paired_difference, student_p, student_t
from strongreid.experiments.records import load_experiment

REFERENCES = {"warm-up": "baseline", "erasing": "warm-up"}


@pytest.fixture
def three(tmp_path):
    """Three rows, four seeds."""
    values = {
        "baseline": {"a": [0.50, 0.52, 0.54, 0.52]},
        "warm-up": {"a": [0.56, 0.57, 0.60, 0.59]},
        "erasing": {"a": [0.55, 0.60, 0.58, 0.60]},
    }
    return made_experiment(tmp_path, values, references=REFERENCES)


def test_means_and_t_intervals_over_seeds(three):
    row = three.row("baseline")
    values = [0.50, 0.52, 0.54, 0.52]
    assert row.basis("a") == "seeds"
    assert row.mean("mAP", "a") == pytest.approx(0.52)
    assert row.spread("mAP", "a").deviation == pytest.approx(statistics.stdev(values))
    around = row.interval("mAP", "a")
    half = 3.1824 * statistics.stdev(values) / 2  # Student's t of 3 degrees, printed
    assert (around.low, around.high) == pytest.approx((0.52 - half, 0.52 + half), abs=1e-5)
    assert row.mean("mINP", "a") == pytest.approx(0.26)
    assert (three.planned, three.finished) == (12, 12)


def test_differences_are_paired_by_seed(three):
    found = {one.row: one for one in three.differences("mAP", "a")}
    gains = [0.06, 0.05, 0.06, 0.07]
    one = found["warm-up"]
    error = statistics.stdev(gains) / 2
    assert one.reference == "baseline"
    assert one.seeds == 4
    assert one.found.difference == pytest.approx(0.06)
    assert (one.found.a, one.found.b) == pytest.approx((0.52, 0.58))
    assert one.found.low == pytest.approx(0.06 - 3.1824 * error, abs=1e-5)
    assert one.found.p == pytest.approx(student_p(0.06 / error, 3))
    assert one.adjusted == pytest.approx(2 * one.found.p)
    assert one.significant
    assert not found["erasing"].significant
    assert found["erasing"].adjusted == found["erasing"].found.p, "the largest is not adjusted"


def test_of_a_single_seed_everything_is_over_people(tmp_path):
    values = {"baseline": {"a": [0.5]}, "warm-up": {"a": [0.6]}}
    found = made_experiment(tmp_path, values, references=REFERENCES)
    row = found.row("warm-up")
    assert row.basis("a") == "people"
    assert row.interval("mAP", "a") == interval(row.cells[0].result())
    (one,) = found.differences("rank1")
    pair = [found.row(name).cells[0].result() for name in ("baseline", "warm-up")]
    assert one.found == compare_results(*pair, ranks=[1]).measures["Rank-1"]
    assert one.seeds == 1


def test_only_seeds_that_both_rows_have_are_compared(tmp_path):
    values = {"baseline": {"a": [0.5, None, 0.6]}, "warm-up": {"a": [None, 0.7, 0.8]}}
    found = made_experiment(tmp_path, values, references=REFERENCES)
    assert [cell.seed for cell in found.row("baseline").of("a")] == [0, 2]
    (one,) = found.differences("mAP")
    assert one.seeds == 1
    assert one.found.difference == pytest.approx(0.2)
    assert (found.planned, found.finished) == (6, 4)


def test_a_row_without_cells_has_no_figures(tmp_path):
    found = made_experiment(tmp_path, {"baseline": {"a": [None]}, "warm-up": {"a": [0.6]}}, references=REFERENCES)
    row = found.row("baseline")
    assert (row.basis("a"), row.mean("mAP", "a"), row.interval("mAP", "a")) == ("nothing", None, None)
    assert found.differences() == []


def test_pictures_may_lie_elsewhere_on_the_machine_of_another_run(tmp_path):
    values = {"baseline": {"a": [0.5]}, "warm-up": {"a": [0.6]}}
    found = made_experiment(tmp_path, values, references=REFERENCES)
    before = found.differences()
    file = found.row("warm-up").cells[0].path
    file.write_text(file.read_text().replace("/data/test-a/", "/mnt/other/place/"))
    assert [one.found for one in load_experiment(tmp_path).differences()] == [one.found for one in before]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plan: plan.pop("rows"), r"experiment.json is damaged \(KeyError"),
        (lambda plan: plan.update(version=9), "has version 9, and this strongreid reads 1"),
        (lambda plan: plan.update(format="x"), "is no plan of an experiment"),
        (lambda plan: plan["rows"][0].update(colour="red"), "is damaged"),
    ],
)
def test_a_damaged_plan_is_refused(three, change, message):
    file = three.folder / "experiment.json"
    plan = json.loads(file.read_text())
    change(plan)
    file.write_text(json.dumps(plan))
    with pytest.raises(InputError, match=message):
        load_experiment(three.folder)


def test_what_is_no_experiment_or_torn_is_refused(three, tmp_path):
    with pytest.raises(InputError, match="is no experiment folder"):
        load_experiment(tmp_path / "runs")
    cell = next((three.folder / "runs").iterdir()) / "cell.json"
    cell.write_text('{"results"')
    with pytest.raises(InputError, match=r"cell\.json is damaged .*: delete .* and run again"):
        load_experiment(three.folder)
    (three.folder / "experiment.json").write_text("{")
    with pytest.raises(InputError, match="run the experiment's command again"):
        load_experiment(three.folder)


# P(|T| >= t) of printed two-sided quantiles.
@pytest.mark.parametrize(
    ("t", "degrees", "p"), [(12.706, 1, 0.05), (4.303, 2, 0.05), (2.228, 10, 0.05), (9.925, 2, 0.01)]
)
def test_student_p_is_the_inverse_of_the_quantile(t, degrees, p):
    assert student_p(t, degrees) == pytest.approx(p, rel=1e-3)
    assert student_p(-t, degrees) == student_p(t, degrees)
    assert student_p(student_t(0.9, degrees), degrees) == pytest.approx(0.1)


def test_the_paired_interval_holds_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(0)
    held = significant = 0
    for _ in range(2000):
        common = draw.normal(0.7, 0.05, 5)
        a, b = common + draw.normal(0, 0.01, 5), common + draw.normal(0.02, 0.01, 5)
        found = paired_difference(a.tolist(), b.tolist())
        held += found.low <= 0.02 <= found.high
        significant += (found.p < 0.05) == (not found.low <= 0 <= found.high)
    assert 0.935 < held / 2000 < 0.965
    assert significant == 2000, "p and the interval agree"


def test_equal_runs_do_not_differ():
    found = paired_difference([0.5, 0.6], [0.5, 0.6])
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert paired_difference([0.5, 0.5], [0.75, 0.75]).p == 0
    # two collapsed models, that differ by rounding alone
    collapsed = paired_difference([0.008399648550612518] * 2, [0.00839964503475138, 0.008399644982227525])
    assert (collapsed.difference, collapsed.low, collapsed.high, collapsed.p) == (0, 0, 0, 1)
    with pytest.raises(InputError, match="runs are paired, got 1 of A and 2 of B"):
        paired_difference([0.5], [0.5, 0.6])


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_calls_a_difference_in_one_of_twenty_tables_without_any():
    draw = np.random.default_rng(1)
    tables = draw.random((4000, 6))
    called = sum(min(holm(row.tolist())) < 0.05 for row in tables)
    assert 0.04 < called / 4000 < 0.06
