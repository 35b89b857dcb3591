"""IDF1, homogeneity and completeness against their definitions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongreid.errors import InputError
from strongreid.evaluation.clustering import assignment, cluster_scores

ITEMS = st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 4), st.integers(1, 9)), min_size=1, max_size=12)


def slow_idtp(items):
    """The best of all one-to-one matchings of people and groups."""
    people = sorted({who for who, _, _ in items if who >= 0})
    groups = sorted({group for _, group, _ in items})
    groups += [None] * max(0, len(people) - len(groups))
    shared = {}
    for who, group, weight in items:
        shared[who, group] = shared.get((who, group), 0) + weight
    return max(
        sum(shared.get(pair, 0) for pair in zip(people, order, strict=True))
        for order in itertools.permutations(groups, len(people))
    )


def slow_entropy(rows):
    """H(first | second) and H(first) of weighted pairs."""
    total = sum(weight for _, _, weight in rows)
    given_second = 0.0
    for second in {row[1] for row in rows}:
        own = [row for row in rows if row[1] == second]
        size = sum(row[2] for row in own)
        for first in {row[0] for row in own}:
            part = sum(row[2] for row in own if row[0] == first)
            given_second -= part / total * math.log(part / size)
    alone = 0.0
    for first in {row[0] for row in rows}:
        part = sum(row[2] for row in rows if row[0] == first)
        alone -= part / total * math.log(part / total)
    return given_second, alone


@settings(max_examples=80, deadline=None)
@given(items=ITEMS, missed=st.sampled_from([0, 3]))
def test_scores_are_those_of_the_definitions(items, missed):
    people, groups, weights = (np.array(column) for column in zip(*items, strict=True))
    found = cluster_scores(people, groups, weights, missed=missed)
    real = [item for item in items if item[0] >= 0]
    true, total = sum(item[2] for item in real) + missed, sum(item[2] for item in items)
    covered = slow_idtp(items)
    assert found.idf1 == pytest.approx(2 * covered / (true + total))
    assert found.id_precision == pytest.approx(covered / total)
    assert found.id_recall == pytest.approx(covered / true if true else 0)
    if real:
        apart, alone = slow_entropy(real)
        homogeneity = 1 if alone < 1e-12 else 1 - apart / alone
        apart, alone = slow_entropy([(group, who, weight) for who, group, weight in real])
        completeness = 1 if alone < 1e-12 else 1 - apart / alone
        assert (found.homogeneity, found.completeness) == pytest.approx((homogeneity, completeness), abs=1e-9)
        both = homogeneity + completeness
        harmonic = 2 * homogeneity * completeness / both if both > 1e-9 else 0
        assert found.v_measure == pytest.approx(harmonic, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 5), more=st.integers(0, 2), seed=st.integers(0, 10**6), whole=st.booleans())
def test_the_assignment_is_the_cheapest(rows, more, seed, whole):
    draw = np.random.default_rng(seed)
    costs = draw.integers(-3, 4, (rows, rows + more)) if whole else draw.normal(size=(rows, rows + more))
    found = assignment(costs)
    assert len(set(found.tolist())) == rows
    best = min(costs[range(rows), list(order)].sum() for order in itertools.permutations(range(rows + more), rows))
    assert costs[np.arange(rows), found].sum() == pytest.approx(best)


def test_what_is_right_scores_one_and_extremes_what_they_must():
    who = np.repeat(np.arange(6), 4)
    right = cluster_scores(who, 10 - who)
    assert (right.idf1, right.v_measure) == (1.0, 1.0)
    assert (right.people, right.groups, right.items) == (6, 6, 24)
    alone = cluster_scores(who, np.arange(24))
    assert (alone.homogeneity, alone.idf1) == (1.0, pytest.approx(0.25))
    one = cluster_scores(who, np.zeros(24, dtype=int))
    assert (one.completeness, one.homogeneity, one.idf1) == (1.0, 0.0, pytest.approx(1 / 6))
    assert "IDF1 0.167" in one.table()


@pytest.mark.parametrize(
    ("people", "groups", "weights", "message"),
    [
        ([], [], None, "one person, group and weight"),
        ([1, 2], [1], None, "one person, group and weight"),
        ([1, 2], [0.5, 1], None, "whole numbers"),
        ([1, 2], [1, 1], [1, 0], "above 0"),
        ([1, 2], [1, 1], [1, float("nan")], "above 0"),
    ],
)
def test_what_is_no_clustering_is_refused(people, groups, weights, message):
    with pytest.raises(InputError, match=message):
        cluster_scores(people, groups, weights)
