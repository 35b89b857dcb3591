"""The weight rule of the recorded reference models."""

import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from strongreid.model.network import ReIDModel


def reference_array(name, shape):
    draw = np.random.RandomState(zlib.crc32(name.encode()))
    if len(shape) == 4:
        values = draw.standard_normal(shape) * np.sqrt(2 / (shape[0] * shape[2] * shape[3]))
    elif len(shape) == 2:
        values = draw.standard_normal(shape) * 0.01
    elif name.endswith(("running_var", "weight")):
        values = draw.uniform(0.5, 1.5, shape)
    else:
        values = draw.standard_normal(shape) * 0.1
    return torch.from_numpy(values.astype(np.float32))


def fill_like_reference(model: ReIDModel, prefix: str = "") -> ReIDModel:
    """Give every parameter and buffer the value recorded under the released code's name for it."""
    released = {"backbone": "base", "neck": "bottleneck", "classifier": "classifier"}
    state = model.state_dict()
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            room, rest = name.split(".", 1)
            state[name] = reference_array(f"{prefix}{released[room]}.{rest}", tuple(tensor.shape))
    model.load_state_dict(state)
    return model


@pytest.fixture(scope="session")
def like_reference():
    return fill_like_reference


@pytest.fixture
def market(tmp_path):
    """A tiny data set in the Market-1501 layout: 4 training and 3 test identities, each of its own colour."""
    root = tmp_path / "market"
    noise = np.random.default_rng(0)

    def take(folder, identity, camera, number):
        (root / folder).mkdir(parents=True, exist_ok=True)
        colour = np.random.default_rng(identity).integers(40, 215, 3)
        pixels = np.clip(colour + noise.normal(0, 12, (64, 32, 3)), 0, 255).astype(np.uint8)
        name = f"{identity:04d}_c{camera}s1_{number:06d}_00.png"
        Image.fromarray(pixels).save(root / folder / name)

    for identity in range(1, 5):
        for number in range(4):
            take("bounding_box_train", identity, 1 + number % 2, number)
    for identity in range(5, 8):
        take("query", identity, 1, 0)
        for camera in (1, 2):
            take("bounding_box_test", identity, camera, camera)
    return root
