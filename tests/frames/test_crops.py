"""From frames and boxes to crops and their notes."""

import json

import numpy as np
import pytest
from PIL import Image
from tests.frames.made import colours, notes_of, pixels_of

from strongreid.cli import main
from strongreid.data.readers import read_folder
from strongreid.errors import InputError
from strongreid.frames import crops as module
from strongreid.frames.boxes import Box, read_boxes
from strongreid.frames.crops import CropSettings, cut
from strongreid.frames.film import Shot, find_shots, open_film

FREE = CropSettings(min_height=1)


def shot(folder, **options):
    return Shot(folder, folder, **({"camera": 1, "start": None} | options))


def box(frame, track=None, left=0.0, top=0.0, width=10.0, height=20.0, score=None):
    return Box(frame, track, left, top, width, height, score)


def test_a_crop_shows_what_the_box_frames(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    pixels = np.repeat(np.repeat(noise[::8, ::8], 8, axis=0), 8, axis=1)
    (tmp_path / "f").mkdir()
    Image.fromarray(pixels).save(tmp_path / "f" / "1.png")
    film = open_film(tmp_path / "f")
    boxes = [box(1, left=8, top=8, width=16, height=24), box(1, left=-4, top=30, width=12, height=12)]
    cut([(shot(tmp_path / "f"), film, boxes)], tmp_path / "out", FREE)
    first, second = notes_of(tmp_path / "out")
    assert (first["box"], second["box"]) == ("8 8 16 24", "0 30 8 10")
    found = pixels_of(tmp_path / "out" / first["path"])
    assert np.abs(found.astype(int) - pixels[8:32, 8:24]).mean() < 6, "but for JPEG"
    assert pixels_of(tmp_path / "out" / second["path"]).shape == (10, 8, 3)


def test_the_margin_is_added_on_each_side_and_ends_at_the_frame(tmp_path):
    film = open_film(colours(tmp_path / "f"))
    boxes = [box(1, left=20, top=10, width=10, height=20), box(2, left=0, top=10, width=10, height=20)]
    cut([(shot(tmp_path / "f"), film, boxes)], tmp_path / "out", CropSettings(min_height=1, margin=0.2))
    assert [row["box"] for row in notes_of(tmp_path / "out")] == ["18 6 14 28", "0 6 12 28"]


def test_notes_tell_camera_time_track_frame_and_score(tmp_path):
    film = open_film(colours(tmp_path / "f"), fps=4)
    made = cut(
        [(shot(tmp_path / "f", camera=3, start=100.0), film, [box(3, 7, score=0.5), box(1, score=0.25)])],
        tmp_path / "out",
        FREE,
    )
    assert made == (2, 1, 2)
    assert notes_of(tmp_path / "out") == [
        {
            "path": "0000_c3s1_000001_00.jpg", "camera": "3", "time": "100.000000", "track": "", "frame": "1",
            "box": "0 0 10 20", "score": "0.25",
        },
        {
            "path": "0000_c3s1_000003_00.jpg", "camera": "3", "time": "100.500000", "track": "c3-7", "frame": "3",
            "box": "0 0 10 20", "score": "0.5",
        },
    ]  # fmt: skip
    assert {(record.identity, record.camera) for record in read_folder(tmp_path / "out")} == {(-1, 3)}


def test_without_a_frame_rate_times_are_unknown(tmp_path):
    cut([(shot(tmp_path / "f"), open_film(colours(tmp_path / "f")), [box(1)])], tmp_path / "out", FREE)
    assert notes_of(tmp_path / "out")[0]["time"] == ""


def test_which_boxes_are_cut(tmp_path):
    film = open_film(colours(tmp_path / "f", count=9))
    boxes = [
        box(1, 1), box(2, 1), box(3, 1, height=9), box(4, 1, score=0.1), box(5, 1), box(7, 1), box(9, 1),
        box(5, 2, left=-6), box(7, 2, left=-4), box(7), box(9), box(9, 3, top=25),
    ]  # fmt: skip
    settings = CropSettings(min_height=16, every=2, per_track=2, min_score=0.2)
    made = cut([(shot(tmp_path / "f"), film, boxes)], tmp_path / "out", settings)
    found = [(row["frame"], row["track"]) for row in notes_of(tmp_path / "out")]
    assert found == [("5", "c1-1"), ("7", "c1-2"), ("7", ""), ("9", "c1-1"), ("9", "")]
    assert made.tracks == 2


def test_crops_of_a_track_are_spread_evenly(tmp_path):
    film = open_film(colours(tmp_path / "f", count=20))
    boxes = [box(frame, 1) for frame in range(1, 21)]
    cut([(shot(tmp_path / "f"), film, boxes)], tmp_path / "out", CropSettings(min_height=1, per_track=4))
    assert [int(row["frame"]) for row in notes_of(tmp_path / "out")] == [3, 8, 13, 18]


def test_a_killed_run_goes_on_and_ends_as_an_unbroken_one(tmp_path, monkeypatch):
    film = open_film(colours(tmp_path / "f", count=8), fps=2)
    given = [
        (shot(tmp_path / "f"), film, [box(n, 1) for n in range(1, 9)] + [box(n, 2, left=30) for n in range(1, 9)])
    ]
    cut(given, tmp_path / "whole", FREE)
    save, count = module._save, 0

    def killed(path, pixels):
        nonlocal count
        count += 1
        if count == 6:
            raise KeyboardInterrupt
        save(path, pixels)

    monkeypatch.setattr(module, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        cut(given, tmp_path / "out", FREE)
    monkeypatch.undo()
    assert not (tmp_path / "out" / "notes.csv").exists(), "notes come last"
    with (tmp_path / "out" / ".times-c1.json").open("a") as file:
        file.write("[3, 1.")  # a line that was half written
    (tmp_path / "out" / ".0000_c1s1_000003_00.jpg.partial").write_bytes(b"half")
    assert cut(given, tmp_path / "out", FREE).new == 12
    for one in (tmp_path / "whole").glob("*"):
        if one.name != "crops.json":
            assert (tmp_path / "out" / one.name).read_bytes() == one.read_bytes()
    monkeypatch.setattr(type(film), "frames", None)
    assert cut(given, tmp_path / "out", FREE).new == 0, "a complete one decodes nothing"


def test_other_crops_are_not_mixed_in(tmp_path):
    film = open_film(colours(tmp_path / "f"))
    given = [(shot(tmp_path / "f"), film, [box(1), box(2)])]
    cut(given, tmp_path / "out", FREE)
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    for other, settings in ((given, CropSettings(min_height=2)), ([(*given[0][:2], [box(1)])], FREE)):
        with pytest.raises(InputError, match="other films, boxes or settings"):
            cut(other, tmp_path / "out", settings)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match=r"something else \(letter.txt\)"):
        cut(given, tmp_path / "mine", FREE)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before


def test_boxes_of_another_film_are_refused(tmp_path):
    film = open_film(colours(tmp_path / "f"))
    with pytest.raises(InputError, match="5 frames, 1 to 5, and boxes name frame 6"):
        cut([(shot(tmp_path / "f"), film, [box(6)])], tmp_path / "out", FREE)
    with pytest.raises(InputError, match="none is to be cut"):
        cut([(shot(tmp_path / "f"), film, [box(1)])], tmp_path / "out")
    with pytest.raises(InputError, match="the same camera"):
        cut([(shot(tmp_path / "f"), film, [box(1)])] * 2, tmp_path / "out", FREE)
    with pytest.raises(InputError, match="nobody knows who"):
        cut([(shot(tmp_path / "f"), film, [box(1)])], tmp_path / "out", FREE, identities=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every"),
        ({"margin": -0.1}, "margin"),
        ({"per_track": 0}, "per_track"),
        ({"min_height": 1.5}, "h"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        CropSettings(**options)


def test_names_that_are_no_numbers_are_counted(tmp_path):
    film = open_film(colours(tmp_path / "f", count=3, names="b{}.png"))
    assert film.numbers == (1, 2, 3)
    assert [frame.pixels[0, 0, 0] for frame in film.frames([2])] == [20]


def test_a_scene_tells_cameras_and_times(filmed):
    starts = [film["start"] for film in json.loads((filmed / "scene.json").read_text())["sequences"]]
    shots = find_shots(filmed)
    assert [(one.camera, one.start) for one in shots] == [(1, starts[0]), (2, starts[1])]
    assert [one.start for one in find_shots(filmed, start=5.0)] == [5.0, 5.0]
    single = find_shots(filmed / "scene-c2", camera=9)
    assert (single[0].camera, single[0].path.name) == (9, "img1")
    times = [frame.time for frame in single[0].open().frames([1, 6])]
    assert times == [0.0, 1.0], "5 frames a second, by seqinfo.ini"
    with pytest.raises(InputError, match="no one camera"):
        find_shots(filmed, camera=1)
    with pytest.raises(InputError, match="no such video or folder"):
        find_shots(filmed / "none")
    with pytest.raises(InputError, match="no pictures in it and no folders"):
        find_shots(filmed / "scene-c1" / "gt")


def test_the_verb_cuts_a_scene_by_its_true_boxes(filmed, tmp_path, capsys):
    out = tmp_path / "crops"
    run = ["crop", str(filmed), str(out), "--boxes", "gt/gt.txt", "--min-height", "20", "--identities", "--quiet"]
    assert main(run) == 0
    rows = notes_of(out)
    said = capsys.readouterr().out
    tracks = {row["track"] for row in rows}
    assert said == f"{out}/notes.csv: {len(rows)} crops, {len(tracks)} tracks, {len(rows)} of the crops new\n"
    assert {record.identity for record in read_folder(out)} <= {1, 2, 3}
    truth = {camera: read_boxes(filmed / f"scene-c{camera}" / "gt" / "gt.txt") for camera in (1, 2)}
    by_key = {(camera, own.frame, own.track): own for camera, boxes in truth.items() for own in boxes}
    for row in rows:
        left, _, width, height = map(int, row["box"].split())
        own = by_key[int(row["camera"]), int(row["frame"]), int(row["track"].split("-")[1])]
        assert abs(left - max(own.left, 0)) <= 0.5
        assert height >= 20
        assert pixels_of(out / row["path"]).shape == (height, width, 3)
    assert main(run) == 0
    assert capsys.readouterr().out.endswith(" 0 of the crops new\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "say where the people are"),
        (["--boxes", "gt/gt.txt", "--detector", "usual"], "say where the people are"),
        (["--boxes", "none.txt"], "no such file of boxes"),
        (["--boxes", "gt/gt.txt", "--every", "0"], "every is 0"),
        (["--boxes", "gt/gt.txt", "--fps", "-1"], "fps is -1"),
        (["--boxes", "gt/gt.txt", "--start", "noon"], "a time is"),
        (["--detector", "huge"], "allowed: quick, usual, thorough"),
    ],
)
def test_the_verb_refuses_in_one_line(filmed, tmp_path, capsys, options, message):
    assert main(["crop", str(filmed), str(tmp_path / "out"), *options, "--quiet"]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert message in error
    assert not (tmp_path / "out").exists()
