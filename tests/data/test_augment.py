"""Augmentation: against slow per-picture references, and random erasing against draws of the released code."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from strongreid.data.augment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Augmentation,
    chosen_boxes,
    erasing_boxes,
    flip_and_crop,
    normalize,
    random_erasing,
)

GOLDEN = np.load("tests/golden/data.npz")
OFF = Augmentation(flip=0, pad=0, erasing=0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def erase(images, rate, draws, **fill):
    return random_erasing(images, chosen_boxes(len(images), *images.shape[2:], rate, draws), **fill)


def some_pictures(count=6, height=9, width=5, seed=0):
    return torch.randint(0, 256, (count, height, width, 3), generator=generator(seed), dtype=torch.uint8)


@pytest.mark.parametrize("flip", [0, 0.5, 1])
@pytest.mark.parametrize("pad", [0, 1, 4])
@pytest.mark.parametrize("size", [(9, 5), (4, 7)])
def test_flip_and_crop_equals_one_picture_at_a_time(flip, pad, size):
    pictures = some_pictures(12, *size)
    found = flip_and_crop(pictures, Augmentation(flip, pad).draw(12, *size, generator(3)), pad)
    draws = generator(3)
    mirrored = torch.rand(12, generator=draws) < flip
    tops, lefts = torch.randint(0, 2 * pad + 1, (2, 12), generator=draws).tolist()
    for i, picture in enumerate(pictures.numpy()):
        flipped = picture[:, ::-1] if mirrored[i] else picture
        framed = np.pad(flipped, ((pad, pad), (pad, pad), (0, 0)))  # black, before normalising
        expected = framed[tops[i] : tops[i] + size[0], lefts[i] : lefts[i] + size[1]]
        assert np.array_equal(found[i].numpy(), expected), i
    assert found.dtype == torch.uint8


def test_every_place_of_the_crop_is_equally_likely_and_half_are_flipped():
    count, pad = 9000, 2
    pictures = torch.zeros(count, 7, 7, 3, dtype=torch.uint8)
    pictures[:, 3, 3] = 1  # the middle pixel tells the place,
    pictures[:, 3, 2] = 2  # and its left neighbour whether it was flipped
    found = flip_and_crop(pictures, Augmentation(0.5, pad).draw(count, 7, 7, generator(1)), pad)[..., 0]
    middle = (found == 1).flatten(1).int().argmax(1)
    places = Counter(zip((middle // 7).tolist(), (middle % 7).tolist(), strict=True))
    assert set(places) == {(row, column) for row in range(1, 6) for column in range(1, 6)}
    spread = np.sqrt(count / 25 * 24 / 25)
    assert max(abs(seen - count / 25) for seen in places.values()) < 4.5 * spread
    flipped = (found == 2).flatten(1).int().argmax(1) > middle
    assert abs(flipped.float().mean().item() - 0.5) < 4.5 * np.sqrt(0.25 / count)


def test_normalising_is_the_formula():
    pictures = some_pictures()
    expected = (pictures.numpy().astype(np.float64) / 255 - IMAGENET_MEAN) / IMAGENET_STD
    found = normalize(pictures)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected.transpose(0, 3, 1, 2), atol=2e-6)
    other = normalize(pictures, mean=(0.5, 0.25, 0), std=(1, 2, 0.5)).numpy()
    expected = (pictures.numpy().astype(np.float64) / 255 - (0.5, 0.25, 0)) / (1, 2, 0.5)
    np.testing.assert_allclose(other, expected.transpose(0, 3, 1, 2), atol=2e-6)


def test_neutral_settings_only_normalise():
    pictures = some_pictures()
    assert torch.equal(OFF(pictures, generator()), normalize(pictures))


@pytest.mark.parametrize("fill", ["mean", "released"])
def test_images_are_channels_last_float32_and_the_pictures_are_left_alone(fill):
    pictures = some_pictures()
    before = pictures.clone()
    images = Augmentation(pad=2, erasing=1, erasing_fill=fill)(pictures, generator())
    assert images.shape == (6, 3, 9, 5)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(pictures, before)


@pytest.mark.parametrize("pad", [0, 3, 20])
@pytest.mark.parametrize("fill", ["mean", "released"])
def test_one_by_one_and_at_once_give_the_same_bits(pad, fill):
    """The first is how a CPU does it, the second how a GPU does; 20 pixels are more than the picture has."""
    pictures = some_pictures(40, 16, 12)
    augment = Augmentation(pad=pad, erasing=0.7, erasing_fill=fill)
    draws = augment.draw(40, 16, 12, generator(2))
    one, other = augment.one_by_one(pictures, draws), augment.at_once(pictures, draws)
    assert torch.equal(one, other)
    assert one.is_contiguous(memory_format=torch.channels_last)
    without = dataclasses.replace(draws, box=None)
    assert torch.equal(augment.one_by_one(pictures, without), augment.at_once(pictures, without))


def test_it_depends_on_the_generator_alone():
    pictures = some_pictures(16)
    torch.manual_seed(0)
    first = Augmentation(pad=3)(pictures, generator(4))
    torch.manual_seed(1)
    assert torch.equal(first, Augmentation(pad=3)(pictures, generator(4)))
    assert not torch.equal(first, Augmentation(pad=3)(pictures, generator(5)))


def test_each_part_has_its_own_switch():
    pictures = some_pictures(32)
    plain = normalize(pictures)
    flipped = Augmentation(flip=1, pad=0, erasing=0)(pictures, generator())
    assert torch.equal(flipped, plain.flip(3))
    cropped = Augmentation(flip=0, pad=3, erasing=0)(pictures, generator())
    assert not torch.equal(cropped, plain)
    erased = Augmentation(flip=0, pad=0, erasing=1)(pictures, generator())
    assert ((erased == plain) | (erased == 0)).all()
    assert (erased == 0).any()


class TestRandomErasing:
    """20,000 draws of the released code on 256 x 128 pictures are recorded: quantiles 0, 0.05, ... 1."""

    BOXES = erasing_boxes(20_000, 256, 128, generator(11)).double().numpy()
    TOP, LEFT, TALL, WIDE = BOXES.T

    @pytest.mark.parametrize("name", ["area", "aspect"])
    def test_has_the_released_distribution(self, name):
        drawn = {"area": self.TALL * self.WIDE / (256 * 128), "aspect": self.TALL / self.WIDE}[name]
        quantiles = GOLDEN[f"rea_{name}_quantiles"]
        # The share of ours below their quantile, ties halved, is the quantile's own rank. Kolmogorov-Smirnov of
        # 20,000 draws and the half of 20,000 that was erased: 0.024 at the 0.1 % level.
        ranks = [((drawn < q).mean() + (drawn <= q).mean()) / 2 for q in quantiles]
        assert np.abs(np.array(ranks) - np.linspace(0, 1, 21)).max() < 0.024
        np.testing.assert_allclose([drawn.min(), drawn.max()], quantiles[[0, -1]], rtol=0.03)

    def test_has_the_released_mean_area(self):
        area = self.TALL * self.WIDE / (256 * 128)
        error = area.std() * np.sqrt(1 / 20_000 + 1 / 10_000)
        assert abs(area.mean() - GOLDEN["rea_mean_area"]) < 4 * error

    def test_happens_at_the_rate_asked_for_as_the_released_one_did(self):
        images = torch.ones(5_000, 3, 8, 8)
        for rate in (0.5, 0.2):
            erased = erase(images, rate, generator(2)).eq(0).flatten(1).any(1).double().mean().item()
            assert abs(erased - rate) < 4 * np.sqrt(rate * (1 - rate) / 5_000)
        assert abs(GOLDEN["rea_rate"] - 0.5) < 4 * np.sqrt(0.25 / 20_000)

    def test_is_off_at_0_and_certain_at_1(self):
        images = torch.ones(500, 3, 16, 8)
        assert torch.equal(erase(images, 0, generator()), images)
        assert erase(images, 1, generator()).eq(0).flatten(1).any(1).all()

    def test_lies_inside_the_picture_and_is_smaller_in_both_directions(self):
        assert (self.TALL >= 1).all()
        assert (self.WIDE >= 1).all()
        assert (self.TALL < 256).all()
        assert (self.WIDE < 128).all()
        assert (np.minimum(self.TOP, self.LEFT) >= 0).all()
        assert (self.TOP + self.TALL <= 256).all()
        assert (self.LEFT + self.WIDE <= 128).all()

    @pytest.mark.parametrize(("start", "size", "side"), [(TOP, TALL, 256), (LEFT, WIDE, 128)], ids=["top", "left"])
    def test_starts_anywhere_with_equal_chance_both_edges_included(self, start, size, side):
        room = side - size  # 0..room inclusive
        share = np.sort((start + 0.5) / (room + 1))
        assert np.abs(share - np.linspace(0, 1, len(share))).max() < 1.95 / np.sqrt(len(share))
        first, last = (start == 0).sum(), (start == room).sum()
        expected = (1 / (room + 1)).sum()
        assert abs(first - expected) < 4.5 * np.sqrt(expected)
        assert abs(last - expected) < 4.5 * np.sqrt(expected)

    @pytest.mark.parametrize(("fill", "value"), [("mean", (0.0, 0.0, 0.0)), ("released", IMAGENET_MEAN)])
    def test_fills_one_solid_rectangle_and_nothing_else(self, fill, value):
        images = 5 + torch.rand(200, 3, 24, 12, generator=generator(8))
        before = images.clone()
        draws = generator(9)
        assert torch.rand(200, generator=draws).max() < 1
        boxes = erasing_boxes(200, 24, 12, draws).tolist()
        erased = erase(images, 1, generator(9), fill=fill)
        for image, was, (top, left, tall, wide) in zip(erased, before, boxes, strict=True):
            expected = was.clone()
            expected[:, top : top + tall, left : left + wide] = torch.tensor(value)[:, None, None]
            assert torch.equal(image, expected)
            assert tall * wide > 0

    def test_takes_the_first_attempt_that_fits(self):
        # On 40 x 4 pictures flat rectangles are too wide; a slow loop over the same draws picks the first that fits.
        area, ratio = torch.rand(2, 300, 100, generator=generator(6), dtype=torch.float64)
        boxes = erasing_boxes(300, 40, 4, generator(6))
        retried = 0
        for i, (_, _, tall, wide) in enumerate(boxes.tolist()):
            for attempt in range(100):
                pixels = (0.02 + 0.38 * float(area[i, attempt])) * 160
                aspect = 0.3 + (1 / 0.3 - 0.3) * float(ratio[i, attempt])
                h, w = round((pixels * aspect) ** 0.5), round((pixels / aspect) ** 0.5)
                if h < 40 and w < 4:
                    retried += attempt > 0
                    break
            assert (tall, wide) == (h, w)
        assert retried > 50

    def test_leaves_a_picture_alone_that_no_rectangle_fits(self):
        assert (erasing_boxes(50, 1, 1, generator())[:, 2] == 0).all()
        images = torch.ones(50, 3, 1, 1)
        assert torch.equal(erase(images, 1, generator()), images)
