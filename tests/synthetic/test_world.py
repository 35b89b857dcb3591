"""Promises of the generated world, on worlds of seven people."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from strongreid.errors import InputError
from strongreid.synthetic.body import Body
from strongreid.synthetic.dataset import WorldSettings, images, preset, synthesize
from strongreid.synthetic.dice import Dice
from strongreid.synthetic.plan import SPLITS, make_plan
from strongreid.synthetic.skeleton import Stance
from strongreid.synthetic.truth import Viewpoint, describe, images_with_truth, label
from strongreid.synthetic.wardrobe import draw_person

TINY = WorldSettings(
    train_identities=4, test_identities=3, cameras=3, height=64, width=32, frames_max=3, distractors=0.5, junk=0.9
)

SMALL = WorldSettings(train_identities=1, test_identities=1, cameras=2, height=32, width=16, junk=0.0)

# Changes with every change of a pixel, and then GENERATOR_VERSION must change too.
TINY_SHA256 = "6a787d77f14cd1372e3c8e82cb0bb026bb9b12e27e25c3bb5646cb0ad05d32c9"
PRESETS_SHA256 = {
    "easy": "83a85e2990f8531c96606ba6db8076d3e4f4a598a425631481b48c2b5e98d8e4",
    "default": "c850ebe36fb8d1b50435fd1afd6364e1401be0d1100153b56edfc41dda31c027",
    "hard": "303a9ade01a3f6e71408dfb47023eccd82a27c589aa10c7a6cd8c065777ece24",
    "occluded": "8e2302057157317de91d38032f22c9e6fc30b2dd54cf80566dc4cdae58d6fffa",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("world") / "set"
    return root, synthesize(root, TINY, processes=1)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("small") / "set"
    synthesize(root, SMALL, processes=1)
    return root


def _snapshot(root: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in root.rglob("*")
        if path.is_file()
    }


def _digests(root: Path) -> dict[str, str]:
    return {name: digest for name, (_, digest) in _snapshot(root).items()}


def test_the_pixels_of_a_version_never_change(written: tuple[Path, dict[str, Any]]) -> None:
    assert written[1]["sha256"] == TINY_SHA256


@pytest.mark.parametrize("name", PRESETS_SHA256)
def test_nor_do_those_of_the_presets(name: str) -> None:
    settings = preset(name, seed=5, height=96, width=48, cameras=2, train_identities=2, test_identities=2)
    pixels = hashlib.sha256()
    for image in images(settings):
        pixels.update(image.pixels.tobytes())
    assert pixels.hexdigest() == PRESETS_SHA256[name]


def test_the_manifest_describes_the_pixels_that_images_yields(written: tuple[Path, dict[str, Any]]) -> None:
    rows = [
        {
            "file": f"{image.split}/{image.name}",
            "identity": image.identity,
            "camera": image.camera,
            "frame": image.frame,
            **label(image.truth),
            "sha256": hashlib.sha256(np.ascontiguousarray(image.pixels).tobytes()).hexdigest(),
        }
        for image in images(TINY)
    ]
    assert rows == [{key: row[key] for key in row if key != "jpeg_sha256"} for row in written[1]["images"]]


def test_the_manifest_tells_what_is_true_about_each_picture(written: tuple[Path, dict[str, Any]]) -> None:
    manifest = written[1]
    told = {image.shot.file: image for image in images_with_truth(TINY)}
    people = {row["subject"]: row for row in manifest["people"]}
    for row in manifest["images"]:
        truth = told[row["file"]].truth
        if truth is None:
            assert (row["subject"], row["identity"], "occlusion" in row) == (None, 0, False), "a false alarm"
            continue
        described = describe(told[row["file"]])
        assert described.pop("attributes").items() <= people[row["subject"]].items()
        assert described.items() <= row.items()
        assert row["viewpoint"] in get_args(Viewpoint)
        assert 0 <= row["covered"] <= row["occlusion"] <= 1
        if row["identity"] > 0:
            assert row["subject"] == row["identity"]
    assert {row["subject"] for row in manifest["images"]} == {*people, None}
    assert [row["identity"] for row in manifest["people"]][:7] == [1, 2, 3, 4, 5, 6, 7]
    assert {row["identity"] for row in manifest["people"][7:]} == {0}, "strangers"
    assert all(
        {"top", "top_colour", "bag", "hat", "hair", "build", "trim_colour"} <= set(row) for row in people.values()
    )


def test_another_seed_is_another_world(written: tuple[Path, dict[str, Any]]) -> None:
    other = replace(SMALL, seed=8, height=64, width=32)
    mine = {row["sha256"] for row in written[1]["images"]}
    assert not mine & {hashlib.sha256(image.pixels.tobytes()).hexdigest() for image in images(other)}


def test_processes_make_no_difference(tmp_path: Path) -> None:
    settings = WorldSettings(train_identities=4, test_identities=3, cameras=2, height=32, width=16, frames_max=2)
    alone = synthesize(tmp_path / "one", settings, processes=1)
    together = synthesize(tmp_path / "two", settings, processes=2)
    assert alone == together
    for row in alone["images"]:
        assert (tmp_path / "one" / row["file"]).read_bytes() == (tmp_path / "two" / row["file"]).read_bytes()


def test_an_image_does_not_depend_on_how_many_people_follow() -> None:
    many = replace(SMALL, train_identities=3)
    first = {image.name: image.pixels for image in images(SMALL) if image.identity == 1}
    again = {image.name: image.pixels for image in images(many) if image.identity == 1}
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_the_folder_has_the_layout_of_market_1501(written: tuple[Path, dict[str, Any]]) -> None:
    root, manifest = written
    assert {path.name for path in root.iterdir()} == {*SPLITS, "manifest.json"}
    assert json.loads((root / "manifest.json").read_text()) == manifest
    for split in SPLITS:
        names = [path.name for path in (root / split).iterdir()]
        assert len(names) == manifest["counts"][split] > 0
        for name in names:
            assert re.fullmatch(r"(-1|\d{4,})_c[1-3]s1_\d{6,}_\d\d\.jpg", name)
            with Image.open(root / split / name) as picture:
                assert (picture.size, picture.mode, picture.format) == ((32, 64), "RGB", "JPEG")
    for row in manifest["images"]:
        identity, camera, frame = re.findall(r"-?\d+", Path(row["file"]).name.replace("s1_", "_"))[:3]
        assert (int(identity), int(camera), int(frame)) == (row["identity"], row["camera"], row["frame"])


def test_names_are_unique_in_the_default_world() -> None:
    files = [shot.file for subject in make_plan(WorldSettings()) for shot in subject.shots]
    assert len(files) == len(set(files))
    assert 6000 <= len(files) <= 10000


def test_splits_follow_the_protocol() -> None:
    settings = WorldSettings(train_identities=30, test_identities=20, camera_visibility=0.1)
    shots = [shot for subject in make_plan(settings) for shot in subject.shots]
    train = {shot.identity for shot in shots if shot.split == "bounding_box_train"}
    query = Counter((shot.identity, shot.camera) for shot in shots if shot.split == "query")
    gallery = {(shot.identity, shot.camera) for shot in shots if shot.split == "bounding_box_test"}
    assert train == set(range(1, 31))
    assert {identity for identity, _ in query} == set(range(31, 51))
    assert set(query.values()) == {1}
    for identity, camera in query:
        assert any(other == identity and place != camera for other, place in gallery)
    for identity in train:
        assert len({shot.camera for shot in shots if shot.identity == identity}) >= 2


def test_the_gallery_has_distractors_and_junk() -> None:
    settings = WorldSettings(train_identities=1, test_identities=30, distractors=0.4, junk=0.5)
    shots = [shot for subject in make_plan(settings) for shot in subject.shots]
    count = Counter(min(shot.identity, 1) for shot in shots if shot.split == "bounding_box_test")
    queries = sum(shot.split == "query" for shot in shots)
    assert count[0] == round(0.4 * count[1])
    assert 0.3 * queries < count[-1] < 0.7 * queries
    assert not any(shot.identity < 1 for shot in shots if shot.split != "bounding_box_test")


def test_a_body_stands_on_the_ground_and_is_as_tall_as_its_person() -> None:
    for number in range(6):
        person = draw_person(Dice(5, number), number)
        places, normals = Body(person, 0.4).pose(Stance(phase=0.7, swing=1.0), yaw=0.0, elevation=0.0)
        assert -0.02 < places[1].min() < 0.03
        assert 0.95 * person.height < places[1].max() < 1.06 * person.height
        assert np.all(np.linalg.norm(normals, axis=0) < 1.05)


def test_posing_is_exact_whatever_the_order_of_adding() -> None:
    body = Body(draw_person(Dice(5), 0), 0.3)
    for _, places, normals in body._pieces:
        for static in (places, normals):
            assert np.array_equal(static * 2048, np.rint(static * 2048))
            assert np.abs(static).max() < 2


def test_a_second_call_writes_nothing(written: tuple[Path, dict[str, Any]]) -> None:
    root, manifest = written
    before = _snapshot(root)
    assert synthesize(root, TINY, processes=1) == manifest
    assert _snapshot(root) == before


def test_a_set_that_lost_files_is_made_whole(small: Path, tmp_path: Path) -> None:
    root = shutil.copytree(small, tmp_path / "set")
    whole = _digests(root)
    next((root / "query").iterdir()).unlink()
    synthesize(root, SMALL, processes=1)
    assert _digests(root) == whole


def test_what_a_killed_run_left_behind_is_cleared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leftover = tmp_path / ".set.partial" / "query"
    leftover.mkdir(parents=True)
    (leftover / "0009_c1s1_000001_00.jpg").write_bytes(b"half")
    synthesize(tmp_path / "set", SMALL, processes=1, progress=True)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    out, err = capsys.readouterr()
    assert out == ""
    assert "image/s" in err


def test_a_folder_of_other_things_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").write_text("keep me")
    before = _snapshot(tmp_path)
    with pytest.raises(InputError, match="Nothing was touched"):
        synthesize(tmp_path, TINY, processes=1)
    assert _snapshot(tmp_path) == before


def test_a_set_of_other_settings_is_refused_and_untouched(small: Path) -> None:
    before = _snapshot(small)
    with pytest.raises(InputError, match="choose another folder"):
        synthesize(small, TINY, processes=1)
    assert _snapshot(small) == before


def test_added_files_do_no_harm_to_a_complete_set_and_are_never_deleted(small: Path, tmp_path: Path) -> None:
    root = shutil.copytree(small, tmp_path / "set")
    (root / "query" / "mine.txt").write_text("keep me")
    synthesize(root, SMALL, processes=1)
    next((root / "bounding_box_train").iterdir()).unlink()
    with pytest.raises(InputError, match="choose another folder"):
        synthesize(root, SMALL, processes=1)
    assert (root / "query" / "mine.txt").read_text() == "keep me"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("a file")
    with pytest.raises(InputError):
        synthesize(tmp_path / "set", TINY, processes=1)
    assert (tmp_path / "set").read_text() == "a file"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cameras", 1),
        ("cameras", 2.5),
        ("train_identities", 0),
        ("test_identities", 0),
        ("height", 16),
        ("width", 8),
        ("width", 200),
        ("frames_min", 1),
        ("frames_max", 1),
        ("seed", -1),
        ("seed", True),
        ("occlusion", 1.2),
        ("junk", -0.1),
        ("junk", float("nan")),
        ("look_alikes", "often"),
        ("distractors", 9),
    ],
)
def test_settings_out_of_range_say_what_is_allowed(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"{field} is .*allowed is"):
        WorldSettings(**{field: value})


def test_no_processes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="processes is 0"):
        synthesize(tmp_path / "set", TINY, processes=0)
