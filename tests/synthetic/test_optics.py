"""Filters and counts that were written again to be fast agree to the bit with what they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from strongreid.synthetic.body import Body
from strongreid.synthetic.dice import Dice
from strongreid.synthetic.optics import blur, sharpen
from strongreid.synthetic.raster import Window, count_pixels, splat
from strongreid.synthetic.skeleton import Stance
from strongreid.synthetic.wardrobe import draw_person

SHAPES = [(24, 12), (3, 3), (61, 40)]


def noise(shape: tuple[int, int]) -> np.ndarray:
    """(rows, columns, 3), with whole patches of the darkest and the brightest."""
    pixels = Dice(5).bytes_of((*shape, 3)).copy()
    pixels[: shape[0] // 2][pixels[: shape[0] // 2] < 90] = 0
    pixels[pixels > 190] = 255
    return pixels


@pytest.mark.parametrize("shape", SHAPES)
def test_blur_is_that_of_pillow(shape: tuple[int, int]) -> None:
    pixels = noise(shape)
    for hundredths in range(0, 130, 1):
        radius = hundredths / 100
        for across, down in ((radius, radius), (radius, 0.0), (0.0, radius)):
            expected = np.asarray(Image.fromarray(pixels).filter(ImageFilter.BoxBlur((across, down))))
            assert np.array_equal(blur(pixels, across, down), expected), (across, down)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sixteenths", [2, 4, 6, 10])
def test_sharpening_is_that_of_pillow(sixteenths: int, shape: tuple[int, int]) -> None:
    pixels, side = noise(shape), -sixteenths / 16
    kernel = ImageFilter.Kernel((3, 3), (0, side, 0, side, 1 - 4 * side, side, 0, side, 0), scale=1)
    assert np.array_equal(sharpen(pixels, sixteenths), np.asarray(Image.fromarray(pixels).filter(kernel)))


@pytest.mark.parametrize("rows", [20, 90, 200, 400])
def test_pixels_are_counted_as_they_are_drawn(rows: int) -> None:
    body = Body(draw_person(Dice(31, 3), 3), 0.5)
    for yaw, tall in ((0.0, 2.2), (1.2, 1.1)):  # the second is cut off
        places, normals = body.pose(Stance(0.6, 1.0), yaw, 0.1)
        window = Window(-tall / 4, 2.0, rows / tall, rows / tall)
        where = (places, normals, window, (rows, rows // 2), body.spacing)
        pixels, surfels = splat(*where)
        assert count_pixels(*where) == len(pixels) == len(surfels) > 20
        shown = np.full((rows, rows // 2), -1)
        shown.reshape(-1)[pixels] = surfels
        assert_nearest(shown, *where)


def assert_nearest(
    shown: np.ndarray,
    places: np.ndarray,
    normals: np.ndarray,
    window: Window,
    shape: tuple[int, int],
    spacing: float,
) -> None:
    """Surfel after surfel: no pixel shows one that lies behind another which claims the pixel."""
    side = max(2, int(np.ceil(spacing * window.down)))
    nearest = np.full(shape, -np.inf)
    for x, y, z, facing in zip(*places, normals[2], strict=True):
        column, row = (x - window.left) * window.across, (window.top - y) * window.down
        if facing > -0.08 and 0 < column < shape[1] - 1 and 0 < row < shape[0] - 1:
            up, left = (side - 1) // 2, (side - 1) // 2
            part = nearest[max(0, int(row) - up) : int(row) - up + side, max(0, int(column) - left) :]
            part = part[:, : int(column) - left + side - max(0, int(column) - left)]
            np.maximum(part, z, out=part)
    claimed = np.isfinite(nearest)
    assert (shown[claimed] >= 0).all()
    depth = places[2][shown[claimed]]
    assert (depth > nearest[claimed] - 1e-4).all()
