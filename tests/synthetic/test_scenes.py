"""Scenes as folders of MOT Challenge, and what a detector finds in them."""

from __future__ import annotations

import configparser
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.synthetic.made import SMALL_SCENE as SMALL
from tests.synthetic.made import contents

from strongreid.cli import main
from strongreid.errors import InputError
from strongreid.synthetic.mot import FOUND_FROM, detect, sequence_name, write_scene
from strongreid.synthetic.street import SceneSettings, render_scene


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("scene") / "out"
    return root, write_scene(root, SMALL)


def test_detections_are_within_the_stated_noise(filmed):
    exact = replace(SMALL, misses=0.0, false_alarms=0.0, box_noise=0.02)
    for frame in filmed:
        found = detect(frame, exact)
        plain = [seen for seen in frame.people if seen.visibility >= FOUND_FROM]
        assert len(found) == len(plain)
        for detection, seen in zip(found, plain, strict=True):
            ends = detection.left + detection.width, detection.top + detection.height
            wide, tall = 3.5 * 0.02 * seen.width, 3.5 * 0.02 * seen.height
            assert abs(detection.left - max(0, seen.left)) <= wide
            assert abs(detection.top - max(0, seen.top)) <= tall
            assert abs(ends[0] - min(320, seen.left + seen.width)) <= wide + 1e-9
            assert abs(ends[1] - min(180, seen.top + seen.height)) <= tall + 1e-9
            assert 0 < detection.confidence <= 1


def test_misses_and_false_alarms_come_as_often_as_asked(filmed):
    blind = replace(SMALL, misses=1.0, false_alarms=2.0)
    assert {len(detect(frame, blind)) for frame in filmed} == {2}
    half = replace(SMALL, misses=0.5, false_alarms=0.0)
    share = sum(len(detect(frame, half)) for frame in filmed) / sum(len(frame.people) for frame in filmed)
    assert 0.2 < share < 0.6
    some = replace(SMALL, misses=1.0, false_alarms=0.5)
    assert 0 < sum(len(detect(frame, some)) for frame in filmed) < len(filmed)


def test_the_folder_has_the_layout_of_mot_challenge(written, filmed):
    root, manifest = written
    assert {p.name for p in root.iterdir()} == {"scene.json", "scene-c1", "scene-c2"}
    for camera in (1, 2):
        folder = root / sequence_name(camera)
        mine = [frame for frame in filmed if frame.camera == camera]
        info = configparser.ConfigParser()
        info.optionxform = str
        info.read(folder / "seqinfo.ini")
        assert dict(info["Sequence"]) == {
            "name": folder.name, "imDir": "img1", "frameRate": "5", "seqLength": "12",
            "imWidth": "320", "imHeight": "180", "imExt": ".jpg",
        }  # fmt: skip
        assert [p.name for p in sorted((folder / "img1").iterdir())] == [f"{n:06d}.jpg" for n in range(1, 13)]
        with Image.open(folder / "img1" / "000001.jpg") as picture:
            assert picture.size == (320, 180)
            assert np.abs(np.asarray(picture).astype(int) - mine[0].pixels).mean() < 6
        truth = np.loadtxt(folder / "gt/gt.txt", delimiter=",", ndmin=2)
        expected = [
            (frame.number, seen.identity, seen.left + 1, seen.top + 1, seen.width, seen.height, 1, 1, seen.visibility)
            for frame in mine
            for seen in frame.people
        ]
        assert np.allclose(truth, expected)
        found = np.loadtxt(folder / "det/det.txt", delimiter=",", ndmin=2)
        assert found.shape[1] == 10
        assert set(found[:, 1]) == {-1}
        assert set(found[:, 0]) <= set(range(1, 13))
        assert len(found) == sum(len(detect(frame, SMALL)) for frame in mine)
        digest = hashlib.sha256(b"".join(frame.pixels.tobytes() for frame in mine)).hexdigest()
        row = manifest["sequences"][camera - 1]
        assert (row["sha256"], row["boxes"], row["detections"]) == (digest, len(truth), len(found))
    assert json.loads((root / "scene.json").read_text()) == manifest
    assert set(manifest["people"]) == {"1", "2", "3", "4"}


def test_the_same_seed_gives_the_same_bytes_and_another_another_scene(written, tmp_path):
    root, _ = written
    write_scene(tmp_path / "again", SMALL)
    assert contents(tmp_path / "again") == contents(root)
    other = next(render_scene(replace(SMALL, seed=4, cameras=1)))
    first = next(render_scene(SMALL))
    assert not np.array_equal(first.pixels, other.pixels)


def test_a_finished_scene_is_kept_and_anything_else_refused_and_left_alone(written, tmp_path):
    root, manifest = written
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    assert write_scene(root, SMALL) == manifest
    with pytest.raises(InputError, match="Nothing was touched"):
        write_scene(root, replace(SMALL, seed=4))
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before
    (tmp_path / "holiday.txt").write_text("keep me")
    with pytest.raises(InputError, match="choose another folder"):
        write_scene(tmp_path, SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.txt"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1), ("cameras", 0), ("cameras", True), ("people", 0), ("people", 201), ("frames", 0), ("fps", 0),
        ("width", 64), ("height", 5000), ("width", 320.5), ("colour_shift", 1.1), ("misses", -0.1),
        ("misses", float("nan")), ("box_noise", 0.9), ("false_alarms", "few"), ("look_alikes", True),
    ],
)  # fmt: skip
def test_settings_out_of_range_say_what_is_allowed(field, value):
    with pytest.raises(InputError, match=rf"{field} is .*allowed is .* Change {field}"):
        SceneSettings(**{field: value})


def test_a_frame_too_narrow_or_too_flat_is_refused():
    for width, height in ((1280, 96), (128, 720)):
        with pytest.raises(InputError, match=f"width is {width} and height {height}; allowed is .* Change width"):
            SceneSettings(width=width, height=height)


def test_the_verb_writes_a_scene_and_refuses_bad_input(tmp_path, capsys):
    sizes = ["--people", "2", "--frames", "2", "--cameras", "1", "--width", "160", "--height", "96", "--quiet"]
    assert main(["scene", str(tmp_path / "out"), "--seed", "3", *sizes]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{tmp_path / 'out'}/scene-c1: 2 frames, ")
    assert err == ""
    assert (tmp_path / "out/scene-c1/img1/000002.jpg").exists()
    assert main(["scene", str(tmp_path / "no"), "--people", "0"]) == 2
    assert "people is 0; allowed is" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
