"""P x K batches: what every epoch promises for any identity sizes, and its length beside the released sampler's."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongreid.data.sampler import plan_epoch, usable_pictures
from strongreid.errors import InputError

GOLDEN = np.load("tests/golden/data.npz")


@st.composite
def data_sets(draw):
    """Identities of pictures in any order, and a P and K that they can fill."""
    sizes = draw(st.lists(st.integers(1, 13), min_size=2, max_size=24))
    names = draw(st.lists(st.integers(0, 10**6), min_size=len(sizes), max_size=len(sizes), unique=True))
    seed = draw(st.integers(0, 1000))
    identities = np.random.default_rng(seed).permutation(np.repeat(names, sizes))
    return identities, draw(st.integers(2, min(5, len(sizes)))), draw(st.integers(2, 5)), seed


@settings(max_examples=150, deadline=None)
@given(data_sets())
def test_every_epoch_keeps_its_promises_for_any_identity_sizes(case):
    identities, p, k, seed = case
    plan = plan_epoch(identities, p, k, np.random.default_rng(seed))
    assert plan.ndim == 2
    assert plan.shape[1] == p * k
    sizes, groups_used = Counter(identities.tolist()), Counter()
    times = Counter(plan.ravel().tolist())
    for batch in plan:
        shown = [set(identities[group].tolist()) for group in batch.reshape(p, k)]
        assert all(len(names) == 1 for names in shown), "the k pictures of an identity are adjacent"
        assert len(set.union(*shown)) == p, "p distinct identities"
        groups_used.update(name for names in shown for name in names)
        for group in batch.reshape(p, k):
            (name,) = set(identities[group].tolist())
            if sizes[name] < k:
                counts = [Counter(group.tolist())[i] for i in np.flatnonzero(identities == name)]
                assert min(counts) >= 1, "each picture stands once ..."
                assert max(counts) - min(counts) <= 1, "... before any stands twice"
    assert all(count == 1 for i, count in times.items() if sizes[identities[i]] >= k), "no picture twice in an epoch"
    groups_left = {name: max(size // k, 1) - groups_used[name] for name, size in sizes.items()}
    assert min(groups_left.values()) >= 0
    assert sum(left > 0 for left in groups_left.values()) < p, "it stopped while a batch could be filled"


@settings(max_examples=30, deadline=None)
@given(data_sets())
def test_an_epoch_is_a_function_of_the_generator(case):
    identities, p, k, seed = case
    plans = [plan_epoch(identities, p, k, np.random.default_rng(seed)) for _ in range(2)]
    assert np.array_equal(*plans)


def test_other_seeds_shuffle_otherwise():
    identities = np.repeat(np.arange(20), 8)
    assert not np.array_equal(*(plan_epoch(identities, 4, 4, np.random.default_rng(seed)) for seed in (0, 1)))


def test_the_rest_of_a_division_is_another_one_in_every_epoch():
    identities = np.repeat(np.arange(4), 7)  # 7 = 4 + 3: three pictures of each wait
    seen = {int(i) for seed in range(40) for i in plan_epoch(identities, 2, 4, np.random.default_rng(seed)).ravel()}
    assert seen == set(range(28))


@pytest.mark.parametrize("names", [6, 40])  # below and above 4 p, where drawing goes two ways
def test_identities_are_drawn_uniformly(names):
    p, epochs = 3, 1500
    identities = np.repeat(np.arange(names), 4)
    first = Counter()
    rng = np.random.default_rng(5)
    for _ in range(epochs):
        first.update(identities[plan_epoch(identities, p, 4, rng)[0, ::4]].tolist())
    share = p / names
    spread = np.sqrt(share * (1 - share) / epochs)
    assert sorted(first) == list(range(names))
    assert max(abs(count / epochs - share) for count in first.values()) < 4.5 * spread


def test_epochs_on_market_are_as_long_as_the_released_samplers():
    identities = GOLDEN["sampler_market_pids"]
    released = GOLDEN["sampler_epoch_lengths"]  # samples: 183 or 184 batches of 64
    ours = np.array([plan_epoch(identities, 16, 4, np.random.default_rng([7, n])).size for n in range(20)])
    assert set(np.unique(ours) % 64) == {0}
    # Two means of 20 epochs each: they may differ by 4 standard errors, some 0.6 batches of 183.
    error = np.sqrt(ours.var(ddof=1) / 20 + released.var(ddof=1) / 20)
    assert abs(ours.mean() - released.mean()) < 4 * error
    assert error < 0.2 * 64


def slow_epoch(identities, p, k, draw):
    """The sampler of the field, as code bases write it: lists in Python, one batch after the other."""
    groups = {}
    for name in np.unique(identities).tolist():
        mine = draw.permutation(np.flatnonzero(identities == name)).tolist()
        mine = mine if len(mine) >= k else draw.choice(mine, k).tolist()
        groups[name] = [mine[start : start + k] for start in range(0, len(mine) - k + 1, k)]
    left, batches = list(groups), []
    while len(left) >= p:
        chosen = draw.choice(left, p, replace=False).tolist()
        batches.append([group for name in chosen for group in groups[name].pop()])
        left = [name for name in left if groups[name]]
    return np.array(batches)


def test_pictures_of_market_s_identities_come_as_often_as_from_the_slow_sampler():
    """By the size of the identity, since large ones have groups left when an epoch ends."""
    identities = GOLDEN["sampler_market_pids"].astype(np.int64)
    names, inverse, sizes = np.unique(identities, return_inverse=True, return_counts=True)
    epochs = 12

    def seen(plan_of):
        """(epochs, classes of sizes) share of the pictures of such identities in an epoch."""
        size_class = np.digitize(sizes, [8, 16, 32])[inverse]
        counts = [np.bincount(size_class[plan_of(n).ravel()], minlength=4) for n in range(epochs)]
        return np.array(counts) / np.bincount(size_class, minlength=4)

    fast = seen(lambda n: plan_epoch(identities, 16, 4, np.random.default_rng([1, n])))
    slow = seen(lambda n: slow_epoch(identities, 16, 4, np.random.default_rng([2, n])))
    assert len(names) == 751
    error = np.sqrt((fast.var(axis=0, ddof=1) + slow.var(axis=0, ddof=1)) / epochs)
    assert (abs(fast.mean(axis=0) - slow.mean(axis=0)) <= 4 * error + 1e-12).all()


def test_fewer_identities_than_a_batch_needs_are_refused_with_the_counts():
    with pytest.raises(InputError, match=r"3 training identities with 12 pictures.*4 identities x 4.*at most 3"):
        plan_epoch(np.repeat([5, 6, 9], 4), 4, 4, np.random.default_rng(0))


@pytest.mark.parametrize(("p", "k"), [(1, 4), (4, 1), (0, 0), (-3, 4)])
def test_batches_without_triplets_are_refused(p, k):
    with pytest.raises(InputError, match=rf"{p} identities x {k} pictures has no triplets"):
        plan_epoch(np.repeat(np.arange(8), 4), p, k, np.random.default_rng(0))


class TestSinglePictures:
    IDENTITIES = np.array([3, 1, 3, 8, 2, 1, 9])  # 8, 2 and 9 have one picture

    def test_are_refused_with_their_identities(self):
        with pytest.raises(
            InputError, match=r"3 training identities have a single picture \(2, 8, 9\).*drop.*repeat"
        ):
            usable_pictures(self.IDENTITIES)

    def test_can_be_dropped(self):
        assert usable_pictures(self.IDENTITIES, "drop").tolist() == [0, 1, 2, 5]

    def test_can_be_repeated(self):
        assert usable_pictures(self.IDENTITIES, "repeat").tolist() == list(range(7))
        plan = plan_epoch(self.IDENTITIES, 5, 3, np.random.default_rng(0))
        groups = {int(self.IDENTITIES[group[0]]): group.tolist() for group in plan[0].reshape(5, 3)}
        assert groups[8] == [3, 3, 3]
        assert groups[9] == [6, 6, 6]

    @pytest.mark.parametrize("single", ["refuse", "drop", "repeat"])
    def test_do_not_matter_where_there_are_none(self, single):
        assert usable_pictures(np.repeat([4, 2], 2), single).tolist() == [0, 1, 2, 3]
