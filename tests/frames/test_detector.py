"""The detector with weights that nobody trained: the way through it, and what is said where it has none."""

import json

import pytest
import torch
from tests.frames.made import colours, notes_of

from strongreid.cli import main
from strongreid.errors import InputError
from strongreid.frames.boxes import read_boxes
from strongreid.frames.detections import detect_film
from strongreid.frames.detector import DETECTORS, PersonDetector
from strongreid.frames.film import open_film


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of the quickest network, with a class layer that takes everything for a person."""
    from torchvision.models import detection

    torch.manual_seed(0)
    network = getattr(detection, DETECTORS[0])(weights=None, weights_backbone=None, num_classes=91)
    with torch.no_grad():
        network.roi_heads.box_predictor.cls_score.bias[1] += 6
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), path)
    return path


def test_people_are_found_inside_the_frame_the_surest_first(filmed, weights):
    detect = PersonDetector(DETECTORS[0], weights=weights, least_score=0.2, device="cpu")
    (frame,) = open_film(filmed / "scene-c1" / "img1").frames([3])
    found = detect(frame.pixels)
    assert found
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        assert 0.2 <= one.score <= 1
        assert min(one.left, one.top) >= 0
        assert one.left + one.width <= 320 + 1e-3
        assert one.top + one.height <= 192 + 1e-3
    assert detect(frame.pixels) == found
    strict = PersonDetector(DETECTORS[0], weights=weights, least_score=1.0, device="cpu")
    assert strict(frame.pixels) == ()


def test_the_verb_goes_from_frames_to_crops(filmed, weights, tmp_path, capsys):
    out = tmp_path / "out"
    run = ["crop", str(filmed / "scene-c1"), str(out), "--detector", "quick", "--weights", str(weights), "--quiet"]
    run += ["--detector-score", "0.2", "--every", "6", "--min-height", "5", "--follow", "--device", "cpu"]
    assert main(run) == 0, capsys.readouterr().err
    boxes = read_boxes(out / "detections-c1.jsonl")
    assert {box.frame for box in boxes} == {1, 7}
    rows = notes_of(out)
    assert rows
    assert all(row["track"] for row in rows), "--follow made tracks"
    assert main(run) == 0
    assert main([*run, "--detector-score", "0.3"]) == 2
    assert "found by another detector" in capsys.readouterr().err


def test_detection_goes_on_where_it_was_killed(tmp_path):
    film = open_film(colours(tmp_path / "f", count=6))
    seen = []

    def detect(pixels, stop=None):
        seen.append(int(pixels[0, 0, 0]))
        if len(seen) == stop:
            raise KeyboardInterrupt
        return [(0.0, 0.0, 5.0, 10.0, 0.5)] if pixels[0, 0, 0] != 20 else []

    output = tmp_path / "d.jsonl"
    with pytest.raises(KeyboardInterrupt):
        detect_film(film, lambda pixels: detect(pixels, 4), output, named="made")
    assert not output.exists()
    begun = tmp_path / ".d.jsonl.begun"
    begun.write_text(begun.read_text() + "[4, [[0.0,")  # half a line
    found = detect_film(film, detect, output, named="made")
    assert seen == [10, 20, 30, 40, 40, 50, 60]
    assert [box.frame for box in found] == [1, 3, 4, 5, 6]
    assert not begun.exists()
    assert json.loads(output.read_text().splitlines()[0])["score"] == 0.5
    assert detect_film(film, None, output, named="made") == found, "a finished file is used again"
    with pytest.raises(InputError, match="another detector"):
        detect_film(film, None, output, named="other")


def test_a_film_without_anybody_is_said(tmp_path):
    film = open_film(colours(tmp_path / "f", count=2))
    with pytest.raises(InputError, match="found nobody in 2 frames"):
        detect_film(film, lambda _: [], tmp_path / "d.jsonl", named="made")


def test_weights_that_do_not_fit_are_refused(weights, tmp_path):
    with pytest.raises(InputError, match="does not hold the weights of"):
        PersonDetector(DETECTORS[2], weights=weights, device="cpu")
    (tmp_path / "w.pth").write_bytes(b"nothing")
    with pytest.raises(InputError, match="can't be read as weights"):
        PersonDetector(DETECTORS[0], weights=tmp_path / "w.pth", device="cpu")
    with pytest.raises(InputError, match="no such file"):
        PersonDetector(DETECTORS[0], weights=tmp_path / "none.pth", device="cpu")
    with pytest.raises(InputError, match="unknown detector"):
        PersonDetector("yolo", device="cpu")


def test_where_weights_cannot_be_had_their_address_is_named(tmp_path, monkeypatch):
    def no_network(*given, **options):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with pytest.raises(
        InputError, match=r"can't be had .*download https://\S+\.pth and give the file with --weights"
    ):
        PersonDetector(DETECTORS[0], device="cpu")
