"""Averaging with the mirrored picture; the rest of the extractor is tested with the training loop."""

import json

import numpy as np
import pytest
import torch

from strongreid.cli import main
from strongreid.data.readers import read_dataset
from strongreid.errors import InputError
from strongreid.evaluation import evaluate
from strongreid.extraction import Extractor
from strongreid.extraction.torch_network import forward
from strongreid.features import FeatureTable
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, load_model, save_model


@pytest.fixture
def folder(tmp_path, like_reference):
    model = like_reference(ReIDModel("resnet10_w16", identities=3, pretrained=False, image_size=(64, 32)))
    save_model(tmp_path / "model", model, InputSpec(64, 32))
    return tmp_path / "model"


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (5, 64, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("feature", ["f_i", "f_t"])
def test_a_flipped_feature_is_the_mean_of_two(feature, folder, pictures):
    plain, flip = (
        Extractor(folder, device="cpu", feature=feature, batch=2, flip=wanted).decoded for wanted in (False, True)
    )
    there, mirrored = plain(pictures), plain(pictures[:, :, ::-1])
    assert not np.allclose(there, mirrored, atol=1e-3)
    np.testing.assert_allclose(flip(pictures), (there + mirrored) / 2, rtol=1e-5, atol=1e-6)


def test_a_mirrored_picture_has_the_same_feature(folder, pictures):
    extract = Extractor(folder, device="cpu", flip=True)
    np.testing.assert_allclose(
        extract(list(pictures)), extract([picture[:, ::-1] for picture in pictures]), rtol=1e-6, atol=1e-6
    )


def test_it_is_off_unless_asked_for_and_the_mode_is_put_back(folder, pictures):
    extract = Extractor(folder, device="cpu", backend="torch")
    placement = extract.network(5).placement
    model = load_model(folder).model.train()
    features = forward(model, pictures, extract.spec, placement)
    np.testing.assert_array_equal(features, extract.decoded(pictures))
    assert model.training
    forward(model, pictures, extract.spec, placement, flip=True)
    assert model.training
    with torch.no_grad():
        assert features.shape == (5, model.dim)


def test_flipped_features_only_compare_with_their_like(folder, market):
    flipped, plain = (Extractor(folder, device="cpu", flip=wanted) for wanted in (True, False))
    assert flipped.fingerprint == f"{plain.fingerprint}+flip"
    dataset = read_dataset("market1501", market)
    query, gallery = flipped.table(dataset.query), flipped.table(dataset.gallery)
    assert evaluate(query, gallery).model == flipped.fingerprint
    with pytest.raises(InputError, match="different models"):
        evaluate(query, plain.table(dataset.gallery))


def test_the_command_line_flips(folder, market, tmp_path, capsys):
    for verb, more in (("extract", [market / "query", tmp_path / "q.parquet"]), ("evaluate", [market, "--json"])):
        arguments = [verb, folder, *more, "--flip", "--device", "cpu", "--quiet"]
        assert main([str(argument) for argument in arguments]) == 0
    table = FeatureTable.load(tmp_path / "q.parquet")
    extract = Extractor(folder, device="cpu", flip=True)
    np.testing.assert_allclose(table.features, extract(list(table.paths)), rtol=1e-5, atol=1e-5)
    assert table.model == extract.fingerprint
    out = capsys.readouterr().out
    assert json.loads(out[out.index("{") :])["model"] == extract.fingerprint


def test_f_t_and_f_i_only_compare_with_their_like(folder, market):
    own, other = Extractor(folder, device="cpu"), Extractor(folder, device="cpu", feature="f_t")
    assert Extractor(folder, device="cpu", feature=own.spec.feature).fingerprint == own.fingerprint
    assert other.fingerprint == f"{own.fingerprint}+f_t"
    dataset = read_dataset("market1501", market)
    with pytest.raises(InputError, match="different models"):
        evaluate(own.table(dataset.query), other.table(dataset.gallery))
