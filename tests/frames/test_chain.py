"""Four commands: a scene, its crops, a gallery by track, who is who."""

import csv
import json

import numpy as np
import pytest
import torch
from tests.gallery.people import calibration

from strongreid.cli import main
from strongreid.extraction import Extractor
from strongreid.gallery import Gallery
from strongreid.gallery.linking import tracks_in
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    network = ReIDModel("resnet10_w16", identities=3, pretrained=False, image_size=(64, 32))
    save_model(folder, network, InputSpec(64, 32))
    calibration(model=Extractor(folder, device="cpu").fingerprint, threshold=0.02).save(folder)
    return folder


def test_from_a_scene_to_people(filmed, model, tmp_path, capsys):
    crops, where, links = tmp_path / "crops", tmp_path / "people.gallery", tmp_path / "links.csv"
    quiet = ["--quiet", "--device", "cpu"]
    cutting = ["--boxes", "gt/gt.txt", "--min-height", "20", "--per-track", "4", "--identities", "--quiet"]
    assert main(["crop", str(filmed), str(crops), *cutting]) == 0
    options = ["--model", str(model), "--notes", str(crops / "notes.csv"), "--track-as-one", *quiet]
    assert main(["gallery", "add", str(where), str(crops), *options]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    with (crops / "notes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    tracks = {row["track"] for row in rows}
    assert "left out, since they differ within a track: frame, box, score" in said
    assert f"{len(tracks)} entries added" in said
    with Gallery(where) as gallery:
        found = tracks_in(gallery)
        spans = {name: [float(row["time"]) for row in rows if row["track"] == name] for name in tracks}
        assert dict(zip(found.names, found.starts.tolist(), strict=True)) == {n: min(t) for n, t in spans.items()}
        assert dict(zip(found.names, found.ends.tolist(), strict=True)) == {n: max(t) for n, t in spans.items()}
        assert set(found.cameras.tolist()) == {1, 2}
        first = [row["path"] for row in rows if row["track"] == found.names[0]]
        mean = Extractor(model, device="cpu")([crops / path for path in first])
        mean = (mean / np.linalg.norm(mean, axis=1, keepdims=True)).mean(axis=0)
        np.testing.assert_allclose(found.features[0], mean / np.linalg.norm(mean), atol=1e-5)
    assert main(["gallery", "link", str(where), "--output", str(links), "--write", "person"]) == 0
    said = capsys.readouterr().out
    assert f"{len(tracks)} tracks" in said
    assert "IDF1" in said, "the scene's identities are known"
    with links.open(newline="") as file:
        linked = {row["track"]: int(row["person"]) for row in csv.DictReader(file)}
    assert set(linked) == tracks
    assert main(["gallery", "search", str(where), "--entry", "0", "--json"]) == 0
    best = json.loads(capsys.readouterr().out)["matches"][0]
    assert best["labels"]["person"] == linked[best["track"]]
