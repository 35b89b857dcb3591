"""A small generated data set, and a model with untrained weights, shared by the tests of figures."""

import numpy as np
import pytest
import torch
from PIL import Image

from strongreid.data.readers import read_dataset
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, load_model, save_model
from strongreid.synthetic.dataset import WorldSettings, write_set

HEIGHT, WIDTH = 64, 32


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The folder of a generated set of 5 training and 4 test identities."""
    root = tmp_path_factory.mktemp("world") / "set"
    settings = WorldSettings(
        train_identities=5, test_identities=4, cameras=3, height=HEIGHT, width=WIDTH, camera_visibility=1.0
    )
    write_set(root, settings, processes=1)
    return root


@pytest.fixture(scope="session")
def people(world):
    return read_dataset("market1501", world)


def build(neck, identities, seed=0):
    """A network whose BNNeck and classifier are far from neutral."""
    torch.manual_seed(seed)
    model = ReIDModel("resnet10_w16", identities, neck=neck, pretrained=False, image_size=(HEIGHT, WIDTH))
    with torch.no_grad():
        if neck == "bnneck":
            model.neck.weight.uniform_(0.5, 1.5)
            model.neck.running_mean.uniform_(0, 0.5)
            model.neck.running_var.uniform_(0.01, 0.3)
        if identities:
            model.classifier.weight.normal_(std=0.3)
    return model


@pytest.fixture(scope="session", params=["bnneck", "none"])
def model_folder(request, tmp_path_factory):
    """A model folder, with BNNeck and without."""
    folder = tmp_path_factory.mktemp("models") / request.param
    save_model(folder, build(request.param, 7), InputSpec(HEIGHT, WIDTH))
    return folder


@pytest.fixture(scope="session")
def bnneck_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    save_model(folder, build("bnneck", 7), InputSpec(HEIGHT, WIDTH))
    return folder


@pytest.fixture(scope="session")
def headless(tmp_path_factory):
    """A loaded model without a classifier."""
    folder = tmp_path_factory.mktemp("models") / "headless"
    save_model(folder, build("bnneck", None), InputSpec(HEIGHT, WIDTH))
    return load_model(folder)


@pytest.fixture
def shares():
    """How much of a PNG has (nearly) this colour."""

    def share(path, colour, within=3):
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        wanted = np.array(list(bytes.fromhex(colour[1:])) if isinstance(colour, str) else colour)
        return float((np.abs(pixels - wanted).max(axis=2) <= within).mean())

    return share
