import colorsys

import numpy as np
import pytest

from strongreid.errors import InputError
from strongreid.evaluation import colour_histogram

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (48, 24, 3), dtype=np.uint8)


def plain(red, green, blue, size=(12, 6)):
    return np.full((*size, 3), (red, green, blue), dtype=np.uint8)


def test_rows_have_length_one_and_any_size_will_do():
    features = colour_histogram([NOISE, NOISE[:13, :5], plain(1, 2, 3, (6, 1))])
    assert features.shape == (3, 6 * 256)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(colour_histogram(np.stack([NOISE, NOISE])), features[[0, 0]])
    assert colour_histogram([]).shape == (0, 6 * 256)


def test_mirroring_changes_nothing_and_turning_upside_down_does():
    same = colour_histogram([NOISE, NOISE[:, ::-1]])
    np.testing.assert_allclose(same[0], same[1], atol=1e-6)
    two_halves = np.concatenate([plain(200, 0, 0), plain(0, 0, 200)])
    apart = colour_histogram([two_halves, two_halves[::-1]])
    assert apart[0] @ apart[1] == pytest.approx(0, abs=1e-6)


def test_rows_of_a_stripe_may_change_places():
    rows = NOISE.reshape(6, 8, 24, 3)
    shuffled = np.stack([stripe[RNG.permutation(8)] for stripe in rows]).reshape(NOISE.shape)
    found = colour_histogram([NOISE, shuffled])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_the_middle_counts_more_than_the_sides():
    person = plain(200, 0, 0, (12, 30))
    person[:, :10] = person[:, 20:] = (0, 0, 200)  # two thirds background
    found = colour_histogram([person, plain(200, 0, 0), plain(0, 0, 200)])
    assert found[0] @ found[1] > found[0] @ found[2]


def test_colours_are_told_apart_the_more_the_farther():
    hues = [plain(*(round(255 * c) for c in colorsys.hsv_to_rgb(h / 16 + 0.03, 1, 0.9))) for h in range(16)]
    likeness = colour_histogram(hues) @ colour_histogram(hues)[0]
    assert likeness[0] == pytest.approx(1, abs=1e-6)
    assert likeness[1] == pytest.approx(likeness[15], abs=1e-6)  # hue is a circle
    assert likeness[1] < 0.99
    np.testing.assert_allclose(likeness[4:13], 0, atol=1e-6)
    greys = colour_histogram([plain(g, g, g) for g in (20, 240)])
    assert greys[0] @ greys[1] == pytest.approx(0, abs=1e-6)


def test_hue_is_ignored_where_it_is_noise():
    nearly_grey = colour_histogram([plain(120, 124, 122), plain(124, 120, 121)])
    nearly_black = colour_histogram([plain(9, 2, 3), plain(1, 2, 12)])
    for pair in (nearly_grey, nearly_black):
        assert pair[0] @ pair[1] == pytest.approx(1, abs=1e-6)


def test_grey_world_evens_out_the_light():
    clothes = RNG.integers(60, 140, (6, 1, 3)).repeat(8, axis=0).repeat(24, axis=1)
    daylight = (clothes + RNG.integers(-8, 8, clothes.shape)).astype(np.uint8)
    lamp = (daylight * [1.5, 1.0, 0.6]).astype(np.uint8)
    raw, corrected = (colour_histogram([daylight, lamp], grey_world=on) for on in (False, True))
    assert raw[0] @ raw[1] < 0.5
    assert corrected[0] @ corrected[1] > 0.8


@pytest.mark.parametrize(
    ("pictures", "stripes", "message"),
    [
        ([NOISE, NOISE[..., 0]], 6, r"picture 1 is uint8 \(48, 24\); needed is uint8 RGB"),
        ([NOISE.astype(float)], 6, "picture 0 is float64"),
        ([NOISE[:0]], 6, r"picture 0 is uint8 \(0, 24, 3\)"),
        ([NOISE], 0, "at least one stripe, got 0"),
    ],
)
def test_refuses(pictures, stripes, message):
    with pytest.raises(InputError, match=message):
        colour_histogram(pictures, stripes=stripes)
