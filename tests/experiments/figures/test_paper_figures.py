"""The paper's own figures: random erasing, the learning rate, the feature space in two dimensions."""

import dataclasses

import numpy as np
import pytest
import torch

from strongreid.config import OptimConfig, bag_of_tricks
from strongreid.data.augment import Augmentation, normalize
from strongreid.errors import InputError
from strongreid.evaluation.style import COLOURS
from strongreid.experiments.figures.erasing import ALWAYS, augmented, draw_erasing, some_pictures
from strongreid.experiments.figures.plane import (
    Panel,
    PlaneSettings,
    draw_plane,
    plane_panels,
    plane_table,
    train_plane,
)
from strongreid.experiments.figures.schedule import draw_schedule, learning_rates

MEAN_PIXEL = (124, 116, 104)  # ImageNet's mean times 255


@pytest.fixture(scope="module")
def pictures(people):
    return some_pictures(people.train, 4, 64, 32)


def test_erased_rectangles_are_those_of_training_and_nothing_else_changes(pictures):
    drawn = augmented(pictures, 3, ALWAYS, seed=5)
    assert drawn.shape == (3, *pictures.shape)
    generator = torch.Generator().manual_seed(5)
    for sample in drawn:
        boxes = ALWAYS.draw(len(pictures), 64, 32, generator).box
        for picture, original, (top, left, tall, wide) in zip(sample, pictures, boxes.tolist(), strict=True):
            expected = original.copy()
            expected[top : top + tall, left : left + wide] = MEAN_PIXEL
            np.testing.assert_array_equal(picture, expected)
            assert 0.015 * 64 * 32 < tall * wide < 0.42 * 64 * 32


def test_the_erasing_figure_shows_originals_and_grey_boxes(pictures, tmp_path, shares):
    draw_erasing(pictures, tmp_path / "all.png", samples=2)
    draw_erasing(pictures, tmp_path / "none.png", samples=2, augmentation=Augmentation(0, 0, 0))
    assert shares(tmp_path / "all.png", MEAN_PIXEL, 1) > 0.02 + shares(tmp_path / "none.png", MEAN_PIXEL, 1)
    draw_erasing(pictures, tmp_path / "again.png", samples=2)
    assert (tmp_path / "all.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def test_pictures_of_the_erasing_figure_are_of_different_people(people):
    assert some_pictures(people.train, 3, 64, 32).shape == (3, 64, 32, 3)
    assert len(some_pictures(people.train, 50, 64, 32)) == 5, "there are 5 people"
    with pytest.raises(InputError, match="cannot take 0 of"):
        some_pictures(people.train, 0, 64, 32)
    with pytest.raises(InputError, match="at least one picture and one sample"):
        draw_erasing(np.zeros((1, 8, 8, 3), np.uint8), "x.png", samples=0)


def test_the_schedule_of_the_paper():
    edges, rates = learning_rates(bag_of_tricks().optim)
    assert edges.tolist() == list(range(121))
    for epoch, rate in (
        (1, 3.5e-5),
        (5, 1.75e-4),
        (10, 3.5e-4),
        (40, 3.5e-4),
        (41, 3.5e-5),
        (70, 3.5e-5),
        (71, 3.5e-6),
    ):
        assert rates[epoch - 1] == pytest.approx(rate)


def test_a_rate_for_every_step_has_its_own_stairs():
    optim = OptimConfig(epochs=3, warmup_epochs=1, schedule="cosine", per_step=True, lr=1.0)
    edges, rates = learning_rates(optim, steps=4)
    assert edges.tolist() == [number / 4 for number in range(13)]
    assert rates[:5].tolist() == [0.25, 0.5, 0.75, 1, 1]
    assert (np.diff(rates[4:]) < 0).all()


def test_every_configuration_is_a_line(tmp_path, shares):
    optim = bag_of_tricks().optim
    settings = {"_a $b$": optim, "plain": dataclasses.replace(optim, warmup_epochs=0, lr=1e-3)}
    for logarithmic in (True, False):
        draw_schedule(settings, tmp_path / "lr.png", logarithmic=logarithmic)
        assert all(shares(tmp_path / "lr.png", colour) > 0.001 for colour in COLOURS[:2])
    with pytest.raises(InputError, match="at least one configuration and at least 1 step, got 0"):
        draw_schedule({}, tmp_path / "none.png")


@pytest.fixture(scope="module")
def settings():
    return PlaneSettings(identities=3, steps=30, images=3, lr=2e-3)


@pytest.fixture(scope="module")
def panels(people, settings):
    return plane_panels(people.train, settings)


def test_the_plane_has_f_t_of_four_networks_and_f_i_of_one(panels, tmp_path, shares):
    assert [panel.title for panel in panels] == [
        "ID loss", "triplet loss", "ID + triplet loss", "ID + triplet, BNNeck: f_t", "ID + triplet, BNNeck: f_i",
    ]  # fmt: skip
    assert [panel.classifier is not None for panel in panels] == [True, False, True, False, True]
    assert (panels[4].classifier[1] == 0).all(), "BNNeck's classifier has no bias"
    # f_i is f_t scaled and shifted: a line through the points fits without rest
    for f_t, f_i in zip(panels[3].features.T, panels[4].features.T, strict=True):
        rest = np.polyfit(f_t, f_i, 1, full=True)[1]
        assert rest.size == 0 or rest[0] < 1e-6
    table = plane_table(panels)
    assert all(panel.title in table for panel in panels)
    draw_plane(panels, tmp_path / "plane.png")
    assert all(shares(tmp_path / "plane.png", colour) > 0.0005 for colour in COLOURS[:3])


@pytest.fixture(scope="module")
def easy():
    """Eight pictures of each of three colours."""
    labels = np.repeat(np.arange(3), 8)
    noise = np.random.default_rng(0).integers(0, 30, (24, 64, 32, 3))
    colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]])[labels]
    return (colours[:, None, None] + noise).astype(np.uint8), labels


def test_the_same_plane_again(easy, settings):
    before = torch.random.get_rng_state()
    weights = [train_plane(*easy, "both", dataclasses.replace(settings, steps=10)).state_dict() for _ in range(2)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert torch.equal(before, torch.random.get_rng_state()), "torch's own generator is left alone"


def test_training_separates_what_is_easy(easy, settings):
    pictures, labels = easy
    network = train_plane(pictures, labels, "identity", dataclasses.replace(settings, steps=100))
    with torch.no_grad():
        named = network(normalize(torch.from_numpy(pictures))).logits.argmax(1).numpy()
    assert (named == labels).mean() > 0.9


def test_what_a_panel_measures():
    angles = np.deg2rad([0, 2, 4, 90, 92, 94])
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    labels, held = np.array([0, 0, 0, 1, 1, 1]), np.ones(6, dtype=bool)
    panel = Panel("circle", circle, labels, held, None)
    assert panel.length_variation() == pytest.approx(0, abs=1e-6)
    assert panel.spread() == pytest.approx(np.deg2rad(4 / 3) / np.sqrt(2), rel=0.01)
    assert panel.mean_ap("euclidean") == panel.mean_ap("cosine") == 1
    assert panel.regions(np.zeros(2, np.float32), np.zeros(2, np.float32)) is None
    # the same angles at two lengths: Euclid no longer tells who belongs together, the cosine does
    rays = Panel("rays", circle * np.array([1, 9, 1, 1, 9, 1], np.float32)[:, None], labels, held, None)
    assert rays.mean_ap("cosine") == 1 > rays.mean_ap("euclidean")
    assert rays.length_variation() > 0.9


def test_regions_are_what_the_classifier_names():
    weight, bias = np.eye(2, dtype=np.float32), np.array([0, 0.5], dtype=np.float32)
    panel = Panel("", np.zeros((1, 2), np.float32), np.zeros(1, int), np.ones(1, bool), (weight, bias))
    # at (x, y) the logits are x and y + 0.5
    found = panel.regions(np.array([0, 1], np.float32), np.array([0, 0.4, 0.9], np.float32))
    assert found.tolist() == [[1, 0], [1, 0], [1, 1]]


def test_the_plane_refuses(people):
    with pytest.raises(InputError, match=r"5 of 5 training identities have at least 6 pictures.*is to show 6"):
        plane_panels(people.train, PlaneSettings(identities=6))
    for wrong in ({"identities": 9}, {"steps": 0}, {"images": 1}, {"height": 16}):
        with pytest.raises(InputError, match="takes 2 to 8 identities"):
            PlaneSettings(**wrong)
