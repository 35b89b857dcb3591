"""The verbs gallery and verify, from pictures to answers."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tests.gallery.people import calibration, people

from strongreid.cli import main
from strongreid.evaluation.calibration import Calibration
from strongreid.extraction import Extractor, extract_folder
from strongreid.gallery import Gallery
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, save_model

DEVICE = ["--device", "cpu", "--quiet"]


@pytest.fixture(scope="module")
def pictures(in_memory_folder):
    """Four people, each of one colour, by two cameras; one folder to enrol and one to ask with."""
    root, noise = in_memory_folder / "pictures", np.random.default_rng(0)
    for identity in range(1, 5):
        colour = np.random.default_rng(identity).integers(20, 235, 3)
        for camera, folder in ((1, "asked"), (2, "enrolled"), (3, "enrolled")):
            (root / folder).mkdir(parents=True, exist_ok=True)
            pixels = np.clip(colour + noise.normal(0, 12, (64, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{identity:04d}_c{camera}s1_000000_00.png")
    return root


@pytest.fixture(scope="module")
def model(in_memory_folder):
    torch.manual_seed(0)
    folder = in_memory_folder / "model"
    save_model(
        folder, ReIDModel("resnet10_w16", identities=3, pretrained=False, image_size=(64, 32)), InputSpec(64, 32)
    )
    own = calibration(model=Extractor(folder, device="cpu").fingerprint, threshold=0.05)
    own.save(folder)
    return folder


@pytest.fixture(scope="module")
def table(in_memory_folder, pictures, model):
    path = in_memory_folder / "enrolled.parquet"
    extract_folder(Extractor(model, device="cpu"), pictures / "enrolled", path)
    return path


@pytest.fixture
def run(capsys):
    def call(*arguments, code=0):
        found = main([str(argument) for argument in arguments])
        out, error = capsys.readouterr()
        assert found == code, error
        if code == 2:
            assert (out, error.count("\n")) == ("", 1)
        return error if code == 2 else out

    return call


def test_from_pictures_to_forgetting(run, tmp_path, pictures, model):
    where, notes = tmp_path / "g", tmp_path / "notes.csv"
    enrolled = sorted((pictures / "enrolled").iterdir())
    rows = [f"{path},{100 + number},{number % 2},true" for number, path in enumerate(enrolled)]
    notes.write_text("\n".join(["path,time,floor,inside", *rows]) + "\n")
    options = ["--model", model, "--notes", notes, *DEVICE]
    assert run("gallery", "add", where, pictures / "enrolled", *options) == f"{where}: 8 entries added, 8 there\n"
    asked = pictures / "asked" / "0002_c1s1_000000_00.png"
    search = ["gallery", "search", where, asked, "--model", model, *DEVICE]
    found = json.loads(run(*search, "--json", "--top-k", "8"))
    extract = Extractor(model, device="cpu")
    with Gallery(where) as gallery:
        expected = gallery.search(extract(asked), top_k=8)
    assert [m["id"] for m in found["matches"]] == [match.id for match in expected]
    assert found["threshold"] == 0.05, "the model's calibration was copied"
    assert found["matches"][0]["labels"] == {"floor": found["matches"][0]["id"] % 2, "inside": True}
    assert run(*search).splitlines()[0].startswith("rank  id")
    only = ["--cameras", "3", "--where", "floor=1", "inside=true", "--since", "103", "--before", "107.5", "--csv"]
    lines = run(*search, *only).splitlines()
    assert {line.split(",")[2] for line in lines[1:]} == {"3", "5", "7"}
    assert "answer: unknown" in run(*search, "--cameras", "9")
    away = json.loads(run(*search, "--unlike", enrolled[0], "--rerank", "k_reciprocal", "--json"))
    assert len(away["matches"]) == 8
    entry = json.loads(run("gallery", "search", where, "--entry", "3", "--json", "--top_k", "1"))
    assert entry["matches"][0]["id"] == 3
    page = json.loads(run("gallery", "list", where, "--cameras", "3", "--limit", "3", "--json"))
    assert [entry["id"] for entry in page["entries"]] == [1, 3, 5]
    assert page["following"] == 7
    text = run("gallery", "list", where, "--cameras", "3", "--start", "7", "--where", "inside=true")
    assert text.splitlines()[-1].endswith(str(enrolled[7]))
    assert "more" not in text
    assert run("gallery", "list", where, "--csv").startswith(
        "id,identity,camera,path,time,track,floor,inside\n0,1,2,"
    )
    assert run("gallery", "remove", where, "--identity", "2", "--compact") == f"{where}: 2 entries removed, 6 left\n"
    assert all(m["identity"] != 2 for m in json.loads(run(*search, "--json"))["matches"])
    info = json.loads(run("gallery", "info", where, "--json"))
    assert (info["entries"], info["removed_not_compacted"], info["model"]) == (6, 0, extract.fingerprint)
    audit = [json.loads(line) for line in run("gallery", "info", where, "--audit").splitlines()]
    assert [line["what"] for line in audit] == ["create", "remove", "compact"]
    for action in ("rebuild", "compact"):
        assert "6 of " in run("gallery", action, where)


def test_a_table_needs_no_model(run, tmp_path, table):
    where = tmp_path / "g"
    assert "8 entries added" in run("gallery", "add", where, table)
    out = run("gallery", "search", where, "--table", table, "--top_k", "2", "--combine", "best")
    assert "no calibration" in out


def test_verify_says_same_or_not(run, pictures, model):
    a, b, c = (pictures / "asked" / f"000{number}_c1s1_000000_00.png" for number in (1, 1, 3))
    out = run("verify", a, b, "--model", model, *DEVICE)
    assert out.startswith("same: cosine distance 0.0000, threshold 0.0500 (which 0.1 % of pairs")
    assert "cosine 1.0000" in out
    extract = Extractor(model, device="cpu")
    one, other = (feature / np.linalg.norm(feature) for feature in extract([a, c]))
    apart = 1 - float(one @ other)
    found = json.loads(run("verify", a, c, "--model", model, "--json", *DEVICE, code=0 if apart <= 0.05 else 1))
    assert found["cosine"] == pytest.approx(1 - apart, abs=1e-5)
    assert found["same"] == (apart <= 0.05)
    own = Calibration.load(model)
    assert found["probability"] == pytest.approx(float(own.probability(apart)), abs=1e-4)
    strict = Calibration(**{**vars(own), "thresholds": ((0.001, apart / 2),)})
    strict.save(model)
    try:
        assert run("verify", a, c, "--model", model, *DEVICE, code=1).startswith("not the same: cosine distance")
    finally:
        own.save(model)


def test_what_is_wrong_is_said_in_a_line(run, tmp_path, pictures, model, table, capsys):
    where = tmp_path / "g"
    run("gallery", "add", where, table)
    picture = next((pictures / "asked").iterdir())
    ask = ["gallery", "search", where]
    for arguments, message in (
        (["gallery", "serch", where], "unknown action 'serch'; there are add, search.*Did you mean search"),
        (["gallery", "add", where, pictures / "enrolled"], "say with --model what is to make their features"),
        (["gallery", "add", where, tmp_path / "none.parquet"], "no feature table at"),
        (["gallery", "add", where, table, "--notes", tmp_path / "none.csv"], "cannot read the notes"),
        ([*ask, picture], "say with --model what makes them"),
        (ask, "in one way: pictures, --table or --entry"),
        ([*ask, picture, "--entry", "1", "--model", model], "in one way"),
        ([*ask, "--entry", "99"], "has no entry 99"),
        ([*ask, "--entry", "1", "--where", "colour=red"], "has no label 'colour'"),
        ([*ask, "--entry", "1", "--where", "colour"], "--where takes LABEL=VALUE"),
        (["gallery", "search", tmp_path / "none", "--entry", "1"], "there is no gallery at"),
        (["gallery", "info", pictures], "is no gallery: it has no gallery.json and holds"),
        (["gallery", "remove", where], "exactly one of ids, identity and before"),
        (["gallery", "move", where, tmp_path], "move goes from a folder to http://HOST:PORT/NAME"),
        (["verify", picture, picture, "--model", tmp_path], "is not a model folder"),
    ):
        error = run(*arguments, code=2)
        assert error.startswith(f"strongreid {arguments[0]}: ")
        import re

        assert re.search(message, error), error
    (tmp_path / "notes.csv").write_text("path,time\nelsewhere.png,3\n")
    error = run("gallery", "add", where, table, "--notes", tmp_path / "notes.csv", code=2)
    assert "says nothing about 8 of 8 pictures" in error
    (tmp_path / "notes.csv").write_text("name\nx\n")
    assert "needs a head with a column path" in run(
        "gallery", "add", where, table, "--notes", tmp_path / "notes.csv", code=2
    )
    with Gallery(where) as gallery:
        assert len(gallery) == 8


def test_features_of_another_model_are_refused(run, tmp_path, table, pictures, model):
    people(2).save(tmp_path / "other.parquet")
    run("gallery", "add", tmp_path / "g", tmp_path / "other.parquet")
    error = run("gallery", "add", tmp_path / "g", table, code=2)
    assert "numbers, those of" in error
    picture = next((pictures / "asked").iterdir())
    error = run("gallery", "search", tmp_path / "g", picture, "--model", model, *DEVICE, code=2)
    assert "numbers, those of" in error


def test_the_usage_names_every_action(run):
    out = run("gallery", "--help")
    for action in ("add", "search", "list", "remove", "info", "rebuild", "compact", "move"):
        assert f"\n  {action} " in out


@pytest.mark.parametrize(
    ("missing", "extra", "where"),
    [("qdrant_edge", "gallery", "g"), ("qdrant_client", "server", "http://localhost:6333")],
)
def test_a_missing_extra_is_one_line(run, monkeypatch, tmp_path, missing, extra, where):
    import sys

    monkeypatch.setitem(sys.modules, missing, None)
    place = where if where.startswith("http") else tmp_path / where
    error = run("gallery", "info", place, code=2)
    assert error == f"strongreid gallery needs {missing}: pip install 'strongreid[{extra}]'\n"
