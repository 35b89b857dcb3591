"""Filters and counts that were written again to be fast agree to the bit with what they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from strongreid.synthetic import body
from strongreid.synthetic.body import Body
from strongreid.synthetic.camera import Camera
from strongreid.synthetic.dice import Dice
from strongreid.synthetic.optics import blur, sharpen
from strongreid.synthetic.raster import Window, count_pixels, facing_camera, splat
from strongreid.synthetic.settings import WorldSettings
from strongreid.synthetic.shadow import _touch
from strongreid.synthetic.skeleton import Stance
from strongreid.synthetic.tube import _gradient
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


@pytest.mark.parametrize("exposure", [0.4, 1.0, 1.7])
@pytest.mark.parametrize("shape", [*SHAPES, (200, 130)])
def test_a_sensor_sees_each_pixel_by_itself(shape: tuple[int, int], exposure: float, camera: Camera) -> None:
    pixels = noise(shape)
    matrix = np.rint(camera._mixing * camera._balance * exposure * 4096) / 4096
    seen = np.rint(np.clip(np.einsum("ij,rcj->rci", matrix, pixels), 0, 255)).astype(int)
    assert np.array_equal(camera.expose(pixels, exposure), np.frombuffer(camera._curve, np.uint8)[seen])


@pytest.fixture(scope="module")
def camera() -> Camera:
    return Camera(WorldSettings(), 4)


@pytest.mark.parametrize("places", [np.linspace(0, 1.7, 9), np.array([0, 0.1, 0.15, 0.6, 1.0, 1.01]), np.arange(3.0)])
def test_slopes_are_those_of_numpy(places: np.ndarray) -> None:
    values = np.sin(np.arange(len(places)) * 1.3)
    assert np.array_equal(_gradient(values, places), np.gradient(values, places))


@pytest.mark.parametrize("left", [-2.0, -0.3, 0.1, 0.6])
@pytest.mark.parametrize("top", [-0.1, 0.05, 1.2, 2.0, 2.6])
def test_the_dark_under_the_feet_is_drawn_as_pillow_draws(left: float, top: float) -> None:
    window, shape = Window(left, top, 90.0, 95.0), (51, 25)
    mine, image = np.zeros(shape, np.uint8), Image.new("L", (shape[1], shape[0]))
    _touch(mine, window)
    x, y, wide, tall = -left * 22.5, (top - 0.02) * 23.75, 0.28 * 22.5, 0.09 * 23.75
    oval = (round(x - wide), round(y - tall), round(x + wide), round(y + tall))
    ImageDraw.Draw(image).ellipse(oval, fill=92)
    assert np.array_equal(mine, np.asarray(image))


def test_small_parts_of_a_body_are_placed_together_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    person, stance = draw_person(Dice(31, 4), 4), Stance(0.6, 1.0)
    together = Body(person, 0.5)
    monkeypatch.setattr(body, "_SMALL", 0)
    alone = Body(person, 0.5)
    assert len(together._pieces) < len(alone._pieces)
    for mine, expected in zip(together.pose(stance, 0.7, 0.1), alone.pose(stance, 0.7, 0.1), strict=True):
        assert np.array_equal(mine, expected)


@pytest.mark.parametrize("rows", [20, 90, 200, 400])
def test_pixels_are_counted_as_they_are_drawn(rows: int) -> None:
    figure = Body(draw_person(Dice(31, 3), 3), 0.5)
    for yaw, tall in ((0.0, 2.2), (1.2, 1.1)):  # the second is cut off
        places, normals = figure.pose(Stance(0.6, 1.0), yaw, 0.1)
        window = Window(-tall / 4, 2.0, rows / tall, rows / tall)
        where = (window, (rows, rows // 2), figure.spacing)
        facing = facing_camera(places, normals)
        pixels, surfels = splat(places, facing, *where)
        assert count_pixels(facing, *where) == len(pixels) == len(surfels) > 20
        shown = np.full((rows, rows // 2), -1)
        shown.reshape(-1)[pixels] = surfels
        assert_nearest(shown, places, normals, *where)


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
