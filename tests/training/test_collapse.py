"""Recorded epoch means (identity loss, triplet loss) of runs on photographs and on the generated set."""

import math

import pytest

from strongreid.training.collapse import PATIENCE, PATIENCE_ALONE, collapse_warning, is_due, is_trivial

COLLAPSED = [(7.492, 0.705), (6.777, 0.349), (6.751, 0.329)]  # plain baseline from scratch, 743 identities
LEARNT = {
    "bag of tricks, 743 identities": (743, [(6.596, 0.601), (6.419, 0.382), (6.058, 0.378), (5.660, 0.376)]),
    "its cosine schedule, 743 identities": (743, [(6.57, 0.556), (6.29, 0.377), (5.82, 0.369), (5.41, 0.358)]),
    "tiny, 400 identities": (400, [(5.866, 0.784), (5.193, 0.425), (4.415, 0.394), (3.777, 0.370)]),
}


def verdicts(identities, epochs):
    trivial = {"identity": math.log(identities), "triplet": 0.3}
    return [is_trivial(dict(zip(trivial, means, strict=True)), trivial) for means in epochs]


def test_a_collapse_from_above_is_seen():
    assert verdicts(743, COLLAPSED) == [False, True, True]
    assert sum(verdicts(743, COLLAPSED)[-PATIENCE:]) == PATIENCE


@pytest.mark.parametrize("run", LEARNT)
def test_the_slow_start_of_a_run_that_learns_is_none(run):
    assert not any(verdicts(*LEARNT[run]))


def test_one_term_at_its_value_is_not_enough():
    trivial = {"identity": math.log(10), "triplet": 0.3}
    assert not is_trivial({"identity": math.log(10), "triplet": 0.1}, trivial)
    assert not is_trivial({"identity": 1.0, "triplet": 0.3}, trivial)
    assert is_trivial({"identity": math.log(10), "triplet": 0.3}, trivial)


def test_the_id_loss_alone_is_given_longer():
    """Of a run without triplet loss that learnt (docs/collapse.md): two of its epochs look like a collapse."""
    trivial = {"identity": math.log(400)}
    found = [is_trivial({"identity": mean}, trivial) for mean in (6.143, 5.941, 5.809, 5.564)]
    assert found == [True, True, False, False]
    assert [epochs for epochs in range(20) if is_due(epochs, trivial)] == [PATIENCE_ALONE, PATIENCE_ALONE + 10]
    both = trivial | {"triplet": 0.3}
    assert [epochs for epochs in range(20) if is_due(epochs, both)] == [PATIENCE, PATIENCE + 10]


def test_the_warning_shows_both_values_and_the_remedy():
    text = collapse_warning({"identity": 6.75}, {"identity": 6.61}, 2, "none")
    assert "identity 6.750 (trivial: 6.610)" in text
    assert "for 2 epochs" in text
    assert "--model.neck bnneck" in text


def test_nobody_with_bnneck_is_told_to_use_it():
    text = collapse_warning({"identity": 6.75}, {"identity": 6.61}, 2, "bnneck")
    assert "--model.neck" not in text
    assert "lower --optim.lr" in text
