"""Calibrating a model from the command line: what is printed, stored and refused."""

import numpy as np
import pytest
from PIL import Image

from strongreid.cli import main
from strongreid.data.readers import read_dataset
from strongreid.evaluation.calibration import FILE, Calibration
from strongreid.evaluation.calibration_report import calibrate
from strongreid.extraction import Extractor
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, load_model, save_model


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten people to search for, each of one colour, seen by two cameras."""
    root, noise = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for identity in range(1, 14):
        colour = np.random.default_rng(identity).integers(20, 235, 3)
        folders = ["bounding_box_train"] if identity > 10 else ["query", "bounding_box_test"]
        for camera, folder in enumerate(folders, start=1):
            (root / folder).mkdir(exist_ok=True)
            for number in range(2):
                pixels = np.clip(colour + noise.normal(0, 12, (64, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / folder / f"{identity:04d}_c{camera}s1_{number:06d}_00.png")
    return root


@pytest.fixture
def folder(tmp_path, like_reference):
    save(tmp_path / "model", like_reference, 3)
    return tmp_path / "model"


def save(folder, like_reference, identities):
    model = like_reference(ReIDModel("resnet10_w16", identities=identities, pretrained=False, image_size=(64, 32)))
    save_model(folder, model, InputSpec(64, 32))


def run(*arguments):
    return main(["calibrate", *map(str, arguments), "--fpr", "0.05", "--device", "cpu", "--quiet"])


def test_prints_the_report_and_stores_the_calibration(folder, data, capsys):
    assert run(folder, data, "--seed", 3) == 0
    out = capsys.readouterr().out
    extract, dataset = Extractor(folder, device="cpu"), read_dataset("market1501", data)
    expected = calibrate(extract.table(dataset.query), extract.table(dataset.gallery), fpr=0.05, seed=3)
    assert out == f"{expected.table()}\nstored in {folder}\n"
    stored = Calibration.load(folder, model=extract.fingerprint, metric="cosine")
    assert stored.threshold() == pytest.approx(expected.calibration.threshold(), abs=1e-4)
    assert stored.slope == pytest.approx(expected.calibration.slope, rel=1e-3)
    assert stored.data == f"{dataset.name}: {data.name}"


def test_the_model_is_not_disturbed_and_saving_another_drops_the_calibration(folder, data, like_reference):
    fingerprint = load_model(folder).fingerprint
    assert run(folder, data) == 0
    assert load_model(folder).fingerprint == fingerprint
    assert (folder / FILE).is_file()
    save(folder, like_reference, 4)
    assert not (folder / FILE).exists()
    assert load_model(folder).fingerprint != fingerprint


def test_flipped_features_are_calibrated_as_such(folder, data):
    assert run(folder, data, "--flip", "--metric", "euclidean") == 0
    extract = Extractor(folder, device="cpu", flip=True)
    assert Calibration.load(folder, model=extract.fingerprint).metric == "euclidean"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fpr", "0"], "above 0 and at most 1, such as 0.001; got 0"),
        (["--fpr", "0.0001"], "takes at least 10000 pairs of different identities, there are "),
        (["--seed", "-1"], "a seed is a whole number from 0, got -1"),
    ],
)
def test_refuses_and_writes_nothing(folder, data, arguments, message, capsys):
    assert main(["calibrate", str(folder), str(data), *arguments, "--device", "cpu", "--quiet"]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert message in error
    assert not (folder / FILE).exists()
