"""Projections to two dimensions, held against slow ways, and the figures drawn from them."""

import numpy as np
import pytest

from strongreid.errors import InputError
from strongreid.evaluation.style import COLOURS, GREY
from strongreid.experiments.figures.projection import (
    principal_components,
    similarities,
    squared_distances,
    tsne,
    tsne_gradient,
)
from strongreid.experiments.figures.space import draw_space, some_people, space_tables
from strongreid.extraction import Extractor
from strongreid.features import FeatureTable
from strongreid.model.weights import load_model


@pytest.fixture(scope="module")
def clusters():
    """Three clusters of 20 points in 10 dimensions."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    return (rng.normal(0, 1, (60, 10)) + rng.normal(0, 6, (3, 10))[labels]).astype(np.float32), labels


def test_principal_components_are_eigenvectors_of_the_covariance(clusters):
    rows = clusters[0].astype(np.float64)
    places, shares = principal_components(rows)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    np.testing.assert_allclose(shares, values[::-1][:2] / values.sum(), rtol=1e-9)
    expected = (rows - rows.mean(0)) @ vectors[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(places), np.abs(expected), atol=1e-4)
    np.testing.assert_array_equal(places, principal_components(rows)[0])
    assert principal_components([[1, 2, 3], [1, 2, 3]])[1].tolist() == [0, 0], "no variance"


def test_similarities_have_the_perplexity_asked_for(clusters):
    rows = clusters[0]
    joint = similarities(rows, 7.0)
    np.testing.assert_array_equal(joint, joint.T)
    assert joint.sum() == pytest.approx(1, abs=1e-5)
    # point by point: bisect the width of its Gaussian until 2 ** entropy is 7, as the paper has it
    expected = np.zeros((60, 60))
    for row in range(60):
        far = ((rows - rows[row]).astype(np.float64) ** 2).sum(1)
        low, high = 1e-6, 1e3
        for _ in range(200):
            beta = (low * high) ** 0.5
            weights = np.exp(-beta * (far - np.delete(far, row).min()))
            weights[row] = 0
            weights /= weights.sum()
            entropy = -(weights[weights > 0] * np.log2(weights[weights > 0])).sum()
            low, high = (beta, high) if 2**entropy > 7 else (low, beta)
        expected[row] = weights
    np.testing.assert_allclose(joint, (expected + expected.T) / 120, atol=2e-6)


def test_the_gradient_of_tsne_is_that_of_the_divergence(clusters):
    wanted = similarities(clusters[0][:12], 3.0).astype(np.float64)

    def divergence(places):
        near = 1 / (1 + ((places[:, None] - places) ** 2).sum(-1))
        np.fill_diagonal(near, 0)
        q = near / near.sum()
        off = ~np.eye(12, dtype=bool)
        return float((wanted[off] * np.log(wanted[off] / q[off])).sum())

    places = np.random.default_rng(1).normal(0, 1, (12, 2))
    found = tsne_gradient(places.astype(np.float32), wanted.astype(np.float32))
    for row, column in ((0, 0), (3, 1), (11, 0)):
        step = np.zeros_like(places)
        step[row, column] = 1e-5
        slope = (divergence(places + step) - divergence(places - step)) / 2e-5
        assert found[row, column] == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_tsne_keeps_neighbours_together(clusters):
    rows, labels = clusters
    places = tsne(rows, perplexity=10, iterations=400)
    far = squared_distances(places)
    np.fill_diagonal(far, np.inf)
    assert (labels[far.argmin(axis=1)] == labels).all()
    within = np.mean([places[labels == label].std(axis=0) for label in range(3)])
    assert (places.std(axis=0) > 4 * within).all(), "clusters stand apart"
    np.testing.assert_array_equal(places, tsne(rows, perplexity=10, iterations=400))


def test_projections_refuse(clusters):
    for wrong, options in (
        (clusters[0][:3], {}),
        (clusters[0], {"perplexity": 0.5}),
        (clusters[0], {"iterations": 0}),
    ):
        with pytest.raises(InputError, match="t-SNE takes 4 to 3000 points"):
            tsne(wrong, **options)
    with pytest.raises(InputError, match=r"t-SNE takes 4 to 3000 points.*Take fewer"):
        tsne(np.zeros((3001, 2)))
    with pytest.raises(InputError, match="at least 2 features of 2 numbers, got shape"):
        principal_components([[1.0]])


def test_tables_of_both_features(model_folder, people):
    loaded = load_model(model_folder)
    tables = space_tables(loaded, people.query, device="cpu")
    if model_folder.name == "none":
        assert list(tables) == ["f_t"], "without BNNeck f_i is f_t"
        return
    f_t, f_i = tables.values()
    assert list(tables) == ["f_t", "f_i, scaled to length 1"]
    np.testing.assert_allclose(np.linalg.norm(f_i.features, axis=1), 1, atol=1e-5)
    plain = Extractor(loaded, device="cpu", feature="f_i").table(people.query).features
    cosines = (plain / np.linalg.norm(plain, axis=1, keepdims=True) * f_i.features).sum(1)
    np.testing.assert_allclose(cosines, 1, atol=1e-5)
    assert f_t.features.shape == f_i.features.shape


def test_people_are_taken_whole(people):
    records = (*people.query, *people.gallery)
    kept = some_people(records, 30)
    assert 0 < len(kept) <= 30
    assert all(record.identity >= 0 for record in kept), "no distractors"
    for identity in {record.identity for record in kept}:
        assert sum(r.identity == identity for r in kept) == sum(r.identity == identity for r in records)
    assert kept == some_people(records, 30)
    with pytest.raises(InputError, match="nobody with at most 1 pictures"):
        some_people(records, 1)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_the_space_is_drawn_in_colours(method, clusters, tmp_path, shares):
    rows, labels = clusters
    table = FeatureTable(rows, labels, labels % 2, tuple(map(str, range(60))))
    draw_space({"f_t": table, "$f_i$": table}, tmp_path / "a.png", method=method, perplexity=8)
    assert all(shares(tmp_path / "a.png", colour) > 0.0005 for colour in COLOURS[:3])
    draw_space({"f_t": table}, tmp_path / "b.png", method=method, colour_by="camera", perplexity=8)
    assert shares(tmp_path / "b.png", COLOURS[1]) > 0.0005 > shares(tmp_path / "b.png", COLOURS[2])


def test_people_beyond_the_colours_are_grey(tmp_path, shares):
    rng = np.random.default_rng(0)
    table = FeatureTable(rng.normal(size=(200, 4)), np.arange(200) % 20, [1] * 200, tuple(map(str, range(200))))
    draw_space({"f_t": table}, tmp_path / "a.png")
    assert all(shares(tmp_path / "a.png", colour) > 0.0002 for colour in COLOURS[:7])
    assert COLOURS[7] == GREY


def test_the_space_refuses(clusters, tmp_path):
    table = FeatureTable(clusters[0], clusters[1], clusters[1], tuple(map(str, range(60))))
    for tables, options in (({}, {}), ({"a": table}, {"method": "umap"}), ({"a": table}, {"colour_by": "shoes"})):
        with pytest.raises(InputError, match="give a table, a method of pca, tsne"):
            draw_space(tables, tmp_path / "x.png", **options)
    assert not list(tmp_path.iterdir())
