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
    features = colour_histogram([NOISE, NOISE[:13, :5], plain(1, 2, 3, (3, 1))])
    assert features.shape == (3, 480)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features[:2], axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(colour_histogram(np.stack([NOISE, NOISE])), features[[0, 0]])
    assert colour_histogram([]).shape == (0, 480)


def test_order_of_pixels_matters_between_stripes_only():
    mirrored, enlarged = NOISE[:, ::-1], NOISE.repeat(3, axis=0).repeat(2, axis=1)
    shuffled = np.stack([stripe[RNG.permutation(8 * 24)] for stripe in NOISE.reshape(6, 8 * 24, 3)])
    same = colour_histogram([NOISE, mirrored, enlarged, shuffled.reshape(NOISE.shape)])
    np.testing.assert_allclose(same, same[[0] * 4], atol=1e-6)
    upside_down = np.concatenate([plain(200, 0, 0), plain(0, 0, 200)])
    apart = colour_histogram([upside_down, upside_down[::-1]])
    assert apart[0] @ apart[1] == pytest.approx(0, abs=1e-6)


def test_colours_are_told_apart_and_shades_of_grey_too():
    hues = [plain(*(round(255 * c) for c in colorsys.hsv_to_rgb(h / 12, 1, 0.9))) for h in range(12)]
    greys = [plain(g, g, g) for g in range(16, 256, 32)]
    features = colour_histogram([*hues, *greys])
    np.testing.assert_allclose(features @ features.T, np.eye(20), atol=1e-6)


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
