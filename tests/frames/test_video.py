"""Videos by opencv, and what is said without it."""

import sys

import numpy as np
import pytest
from tests.frames.made import notes_of, pixels_of

from strongreid.cli import main
from strongreid.errors import InputError
from strongreid.frames.film import open_film

cv2 = pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """12 frames at 4 a second; frame k is of grey value 20 k, with red in its left half."""
    path = tmp_path_factory.mktemp("video") / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 4, (64, 48))
    for number in range(1, 13):
        pixels = np.full((48, 64, 3), 20 * number, dtype=np.uint8)
        pixels[:, :32] = (0, 0, 250)  # blue, green, red
        writer.write(pixels)
    writer.release()
    return path


def test_frames_have_numbers_times_and_rgb(video):
    film = open_film(video)
    assert (film.numbers, film.size) == (range(1, 13), (64, 48))
    frames = list(film.frames())
    assert [frame.number for frame in frames] == list(range(1, 13))
    assert [frame.time for frame in frames] == pytest.approx([number / 4 for number in range(12)])
    for frame in frames:
        assert np.abs(frame.pixels[:, 40:].astype(int) - 20 * frame.number).max() < 12
        assert np.abs(frame.pixels[5, 5].astype(int) - (250, 0, 0)).max() < 12
    chosen = list(film.frames([2, 7]))
    assert [frame.number for frame in chosen] == [2, 7]
    np.testing.assert_array_equal(chosen[1].pixels, frames[6].pixels)
    assert [frame.time for frame in open_film(video, fps=2).frames([3])] == [1.0]


def test_a_video_is_cut_like_frames(video, tmp_path, capsys):
    boxes = tmp_path / "b.csv"
    boxes.write_text("frame,left,top,width,height,track\n3,40,8,16,32,1\n9,40,8,16,32,1\n")
    out = tmp_path / "out"
    run = ["crop", str(video), str(out), "--boxes", str(boxes), "--min-height", "10", "--camera", "4", "--quiet"]
    assert main([*run, "--start", "2026-03-01T08:30:00Z"]) == 0
    assert [(row["time"], row["camera"], row["frame"]) for row in notes_of(out)] == [
        ("1772353800.500000", "4", "3"),
        ("1772353802.000000", "4", "9"),
    ]
    assert np.abs(pixels_of(out / notes_of(out)[1]["path"]).astype(int) - 180).max() < 14


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"no video at all")
    with pytest.raises(InputError, match="can't open this as a video"):
        open_film(tmp_path / "v.mp4")


def test_without_opencv_one_line_says_what_to_install(video, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert main(["crop", str(video), str(tmp_path / "out"), "--boxes", "b.csv"]) == 2
    assert "needs cv2: pip install 'strongreid[video]'" in capsys.readouterr().err
