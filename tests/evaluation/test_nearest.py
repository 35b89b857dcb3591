import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongreid.errors import InputError
from strongreid.evaluation import nearest, nearest_neighbours


def slow(features, count):
    exact = features.astype(float)
    squared = ((exact[:, None] - exact[None]) ** 2).sum(axis=2)
    largest = squared.max(axis=1)
    return np.argsort(squared, axis=1, kind="stable")[:, :count], np.where(largest > 0, largest, 1)


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 25), st.sampled_from(["cpu", "cpu:0"]))
@settings(max_examples=60, deadline=None)
def test_agrees_with_a_stable_sort_of_all_distances(seed, rows, count, device):
    features = np.random.default_rng(seed).integers(-2, 3, (rows, 3)).astype(np.float32)  # exact, with many ties
    found, largest = nearest_neighbours(features, count, device=device)
    expected, expected_largest = slow(features, min(count, rows))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(largest, expected_largest)


@pytest.mark.parametrize("tile", [7, 16, 100])
@pytest.mark.parametrize("strip", [1, 600, 1 << 20])
def test_tiles_fit_together(tile, strip, monkeypatch):
    monkeypatch.setattr(nearest, "_TILE", tile)
    monkeypatch.setattr(nearest, "_STRIP_CELLS", strip)
    features = np.random.default_rng(0).integers(-3, 4, (90, 4)).astype(np.float32)
    found, largest = nearest_neighbours(features, 12)
    expected, expected_largest = slow(features, 12)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(largest, expected_largest)


@pytest.mark.parametrize("first", [1, 30, 89])
def test_the_products_of_the_first_and_the_rest_are_kept(first, monkeypatch):
    monkeypatch.setattr(nearest, "_TILE", 16)
    features = np.random.default_rng(0).integers(-3, 4, (90, 4)).astype(np.float32)
    kept = np.full((first, 90 - first), np.nan, dtype=np.float32)
    nearest_neighbours(features, 3, first_to_rest=kept)
    np.testing.assert_array_equal(kept, -2 * features[:first] @ features[first:].T)


def test_the_matrix_is_never_whole(monkeypatch):
    monkeypatch.setattr(nearest, "_TILE", 100)
    monkeypatch.setattr(nearest, "_STRIP_CELLS", 1 << 16)
    features = np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32)
    tracemalloc.start()
    nearest_neighbours(features, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * 2000 * 4 / 5


def test_one_row_and_equal_rows():
    found, largest = nearest_neighbours(np.ones((1, 3), dtype=np.float32), 5)
    assert (found.tolist(), largest.tolist()) == ([[0]], [1])
    found, _ = nearest_neighbours(np.ones((4, 3), dtype=np.float32), 2)
    assert found.tolist() == [[0, 1]] * 4


def test_refuses_what_is_too_long():
    with pytest.raises(InputError, match="1 of 1 features are too large"):
        nearest_neighbours(np.full((1, 2), 1e30, dtype=np.float32), 1)
