import itertools

import pytest

from strongreid.training import learning_rate

PAPER = {1: 3.5e-5, 5: 1.75e-4, 10: 3.5e-4, 11: 3.5e-4, 40: 3.5e-4, 41: 3.5e-5, 70: 3.5e-5, 71: 3.5e-6, 120: 3.5e-6}


@pytest.mark.parametrize(("epoch", "rate"), PAPER.items())
def test_the_paper_s_schedule(epoch, rate):
    assert 3.5e-4 * learning_rate(epoch) == pytest.approx(rate)


def test_without_warm_up_the_first_epoch_has_the_full_rate():
    assert learning_rate(1, warmup_epochs=0) == 1


def test_the_cosine_starts_full_after_warm_up_and_ends_nearly_at_zero():
    rates = [learning_rate(e, schedule="cosine", warmup_epochs=2, epochs=12) for e in range(1, 13)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert all(a > b for a, b in itertools.pairwise(rates[2:]))
    assert 0 < rates[-1] < 0.03


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_a_rate_for_every_step_passes_through_the_epochs_rates(schedule):
    settings = {"schedule": schedule, "warmup_epochs": 2, "milestones": (4, 6), "epochs": 8}
    steps = 5
    rates = [learning_rate(n / steps, length=1 / steps, **settings) for n in range(1, 8 * steps + 1)]
    by_epoch = [learning_rate(e, **settings) for e in range(1, 9)]
    assert rates[: 2 * steps] == pytest.approx([n / (2 * steps) for n in range(1, 2 * steps + 1)])
    if schedule == "step":
        for epoch in range(3, 9):
            assert rates[(epoch - 1) * steps : epoch * steps] == [by_epoch[epoch - 1]] * steps
    else:
        assert rates[2 * steps :: steps] == pytest.approx(by_epoch[2:])  # an epoch's first step has the epoch's rate
        assert all(a > b for a, b in itertools.pairwise(rates[2 * steps :]))
        assert 0 < rates[-1] < by_epoch[-1]
