import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongreid.errors import InputError
from strongreid.evaluation import distances, expansion
from strongreid.evaluation.expansion import augment_database, expand_queries

# Corners of cubes, of lengths 2, 4 and 8, and zero: many cosines tie, and every one is exact in float32.
CORNERS = np.array([np.array(c) * s for c in product((-1, 1), repeat=4) for s in (1, 2, 4)] + [[0] * 4], "f4")
ROWS = st.lists(st.integers(0, len(CORNERS) - 1), min_size=2, max_size=15).map(lambda rows: CORNERS[rows])
ALPHA = st.sampled_from([0.0, 0.5, 3.0])


def unit(vector):
    length = np.sqrt((vector**2).sum())
    return vector / length if length else vector


def slow_mean(feature, others, k, alpha):
    """One feature and a list of others, float64: a full stable sort, then the sum as the papers write it."""
    feature, others = unit(feature.astype(float)), [unit(other.astype(float)) for other in others]
    nearest = sorted(others, key=lambda other: -(feature @ other))[:k]
    return unit(feature + sum(max(feature @ other, 0.0) ** alpha * other for other in nearest))


def slow_augment(gallery, k, alpha):
    return [slow_mean(gallery[i], np.delete(gallery, i, axis=0), k, alpha) for i in range(len(gallery))]


@given(ROWS, ROWS, st.integers(1, 15), ALPHA)
@settings(max_examples=80, deadline=None)
def test_queries_agree_with_a_full_stable_sort(query, gallery, k, alpha):
    k = min(k, len(gallery))
    expanded = expand_queries(query, gallery, k, alpha)
    assert (expanded.dtype, expanded.shape) == (np.float32, query.shape)
    np.testing.assert_allclose(expanded, [slow_mean(row, gallery, k, alpha) for row in query], atol=1e-6)


@given(ROWS, st.integers(1, 14), ALPHA)
@settings(max_examples=80, deadline=None)
def test_galleries_agree_with_a_full_stable_sort(gallery, k, alpha):
    k = min(k, len(gallery) - 1)
    before = gallery.copy()
    augmented = augment_database(gallery, k, alpha)
    assert (augmented.dtype, augmented.shape) == (np.float32, gallery.shape)
    np.testing.assert_allclose(augmented, slow_augment(gallery, k, alpha), atol=1e-6)
    np.testing.assert_array_equal(gallery, before)


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_pieces_of_a_large_set_fit_together(alpha, monkeypatch):
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(40, 6)), rng.normal(size=(90, 6))
    monkeypatch.setattr(distances, "BLOCK_BYTES", 90 * 4 * 7)  # blocks of 7 rows
    monkeypatch.setattr(expansion, "_KEYS", 90 * 3)  # in pieces of 3, 3 and 1
    expected = [slow_mean(row, gallery, 10, alpha) for row in query]
    np.testing.assert_allclose(expand_queries(query, gallery, alpha=alpha), expected, atol=1e-5)
    np.testing.assert_allclose(augment_database(gallery, alpha=alpha), slow_augment(gallery, 10, alpha), atol=1e-5)


def test_equal_cosines_are_taken_in_the_order_of_the_gallery():
    query = np.array([[1, 0, 0]])
    gallery = np.array([[0, 0, 5], [1, 1, 0], [1, 0, 1], [1, -1, 0]])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        expand_queries(query, gallery, 2)[0], unit(np.array([1 + 2 * half, half, half])), rtol=1e-6
    )


def test_what_points_away_has_no_weight_under_alpha_and_all_of_it_without():
    query, gallery = np.array([[1, 0]]), np.array([[-1, 1], [0, 1]])
    np.testing.assert_array_equal(expand_queries(query, gallery, 2, 3.0), [[1, 0]])
    plain = unit(np.array([1 - np.sqrt(0.5), 1 + np.sqrt(0.5)]))
    np.testing.assert_allclose(expand_queries(query, gallery, 2)[0], plain, rtol=1e-6)


def test_a_picture_counts_itself_once_and_its_copies_as_neighbours():
    gallery = np.array([[1, 0], [1, 0], [0, 1]])
    augmented = augment_database(gallery, 2)
    np.testing.assert_allclose(augmented[0], unit(np.array([2.0, 1.0])), rtol=1e-6)
    np.testing.assert_allclose(augmented[2], unit(np.array([2.0, 1.0])), rtol=1e-6)


def test_the_mean_of_a_person_s_pictures_is_nearer_to_the_person():
    rng = np.random.default_rng(1)
    people = np.repeat(rng.normal(size=(20, 32)), 11, axis=0)
    pictures = people + rng.normal(size=people.shape)
    asks = np.arange(len(people)) % 11 == 0
    query, gallery = pictures[asks], pictures[~asks]

    def closeness(features, to):
        return np.mean([unit(a.astype(float)) @ unit(b) for a, b in zip(features, to, strict=True)])

    for alpha in (0.0, 3.0):
        assert (
            closeness(expand_queries(query, gallery, 9, alpha), people[asks]) > closeness(query, people[asks]) + 0.1
        )
        assert closeness(augment_database(gallery, 9, alpha), people[~asks]) > closeness(gallery, people[~asks]) + 0.1


def test_the_distance_matrix_is_never_whole(monkeypatch):
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(1500, 8)), rng.normal(size=(3000, 8))
    monkeypatch.setattr(distances, "BLOCK_BYTES", 200_000)
    monkeypatch.setattr(expansion, "_KEYS", 20_000)
    tracemalloc.start()
    expand_queries(query, gallery)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1500 * 3000 * 4 / 8


HOLED = np.array([[1.0, 2.0], [np.nan, 0.0], [np.inf, 1.0]])


@pytest.mark.parametrize(
    ("query", "gallery", "arguments", "message"),
    [
        (np.ones(3), np.ones((4, 3)), {}, r"query features are numbers of shape \(n, d\) .*got float64 \(3,\)"),
        (np.ones((2, 3)), np.ones((4, 0)), {}, r"gallery features are .* d > 0, got float64 \(4, 0\)"),
        ([["a"]], np.ones((4, 3)), {}, r"got <U1 \(1, 1\)"),
        (np.ones((0, 3)), np.ones((4, 3)), {}, "the query has no features"),
        (np.ones((2, 3)), np.ones((0, 3)), {}, "the gallery has no features"),
        (HOLED, np.ones((4, 2)), {}, r"2 of 3 query features hold NaN or infinity \(the first is row 1\)"),
        (np.ones((2, 2)), HOLED, {}, "2 of 3 gallery features hold NaN or infinity"),
        ([[1e39, 0.0]], np.ones((4, 2)), {"k": 1}, "1 of 1 query features hold NaN or infinity"),
        (np.ones((2, 3)), np.ones((4, 5)), {"k": 1}, "query features have 3 numbers, the gallery's 5"),
        (np.ones((2, 3)), np.ones((4, 3)), {"k": 0}, "k is 0, but the gallery has 4 pictures; choose k from 1 to 4"),
        (np.ones((2, 3)), np.ones((4, 3)), {}, "k is 10, but the gallery has 4 pictures"),
        (np.ones((2, 3)), np.ones((4, 3)), {"k": 1, "alpha": -1}, "alpha is -1; it is 0 for the plain mean"),
        (np.ones((2, 3)), np.ones((4, 3)), {"k": 1, "alpha": np.nan}, "alpha is nan"),
        (np.ones((2, 3)), np.ones((4, 3)), {"k": 1, "alpha": np.inf}, "alpha is inf"),
    ],
)
def test_refuses_queries(query, gallery, arguments, message):
    with pytest.raises(InputError, match=message):
        expand_queries(query, gallery, **arguments)


@pytest.mark.parametrize(
    ("gallery", "arguments", "message"),
    [
        (np.ones((4, 3)), {"k": 4}, "k is 4, but the gallery has 3 pictures beside each; choose k from 1 to 3"),
        (np.ones((1, 3)), {"k": 1}, "a gallery of one picture has no neighbours"),
        (np.ones((0, 3)), {"k": 1}, "the gallery has no features"),
        (HOLED, {"k": 1}, "2 of 3 gallery features hold NaN"),
        (np.ones((4, 3)), {"k": 2, "alpha": -0.5}, "alpha is -0.5"),
    ],
)
def test_refuses_galleries(gallery, arguments, message):
    with pytest.raises(InputError, match=message):
        augment_database(gallery, **arguments)
