"""Boxes from the files of others, and tracks by overlap."""

import pytest

from strongreid.errors import InputError
from strongreid.frames.boxes import Box, read_boxes
from strongreid.frames.follow import follow, overlap


def test_rows_of_mot_challenge_count_pixels_from_one(tmp_path):
    path = tmp_path / "det.txt"
    path.write_text("2,-1,11,21,30.5,60,0.9,-1,-1,-1\n1 -1 0.5 1 3 4\n\n")
    assert read_boxes(path) == (Box(1, None, -0.5, 0, 3, 4, None), Box(2, None, 10, 20, 30.5, 60, 0.9))


def test_true_boxes_are_pedestrians_that_count_and_tell_how_much_is_seen(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text("1,4,1,1,9,9,1,1,0.25\n1,5,1,1,9,9,0,1,1\n1,6,1,1,9,9,1,3,1\n1,7,1,1,9,9,1,1,1\n")
    assert [(box.track, box.score) for box in read_boxes(path)] == [(4, 0.25), (7, 1.0)]


def test_tables_and_lines_of_json_have_named_columns(tmp_path):
    expected = (Box(1, 3, 0.0, 1.5, 10, 20, 0.5), Box(2, None, -2, 0, 10, 20, None))
    (tmp_path / "b.csv").write_text(
        "height,frame,left,top,width,track,score,colour\n20,2,-2,0,10,,,red\n20,1,0,1.5,10,3,0.5,\n"
    )
    (tmp_path / "b.jsonl").write_text(
        '{"frame": 1, "left": 0, "top": 1.5, "width": 10, "height": 20, "track": 3, "score": 0.5}\n\n'
        '{"frame": 2, "left": -2, "top": 0, "width": 10, "height": 20, "track": -1, "score": null}\n'
    )
    assert read_boxes(tmp_path / "b.csv") == expected
    assert read_boxes(tmp_path / "b.jsonl") == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("b.txt", "1,2,3\n", "line 1: a row is frame, track"),
        ("b.txt", "1,1,1,1,0,5,1\n", "width and a height above 0"),
        ("b.txt", "0,1,1,1,5,5,1\n", "counted from 1"),
        ("b.txt", "1.5,1,1,1,5,5,1\n", "a frame is a whole number"),
        ("b.txt", "1,1,nan,1,5,5,1\n", "'nan' is no number"),
        ("b.txt", "1,1,1e9,1,5,5,1\n", "within 1,000,000 pixels"),
        ("b.txt", "\n", "no boxes"),
        ("b.csv", "frame,left,top,width\n1,2,3,4\n", "lacks height"),
        ("b.csv", "frame,left,top,width,height\n1,2,3,4,x\n", "line 2: 'x' is no number"),
        ("b.jsonl", '{"frame": 1,\n', "line 1: no JSON"),
        ("b.jsonl", "[1]\n", "an object"),
        ("b.jsonl", '{"frame": true, "left": 0, "top": 0, "width": 1, "height": 1}\n', "True is no number"),
        ("b.xml", "<a/>", "read from .txt, .csv, .jsonl"),
    ],
)
def test_what_is_no_box_is_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_boxes(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_boxes(tmp_path / "none.txt")


def walker(frames, left, step, top=0.0):
    return [Box(frame, None, left + step * frame, top, 20, 40, 0.9) for frame in frames]


def test_boxes_that_overlap_become_tracks():
    boxes = walker(range(1, 30), 0, 2) + walker(range(1, 30), 300, -2, top=100)
    found = follow(boxes)
    assert len(found) == len(boxes)
    for top in (0.0, 100.0):
        assert len({box.track for box in found if box.top == top}) == 1
    assert {box.track for box in found} == {1, 2}


def test_a_short_gap_is_bridged_and_a_long_one_is_not():
    boxes = walker([1, 2, 6, 7, 30, 31], 0, 0.1)
    assert [box.track for box in follow(boxes, longest_gap=5)] == [1, 1, 1, 1, 2, 2]


def test_no_two_boxes_of_a_frame_share_a_track():
    boxes = [Box(frame, None, float(shift), 0, 20, 40, 1.0) for frame in range(1, 9) for shift in (0, 1, 2)]
    found = follow(boxes)
    assert len({(box.frame, box.track) for box in found}) == len(found)
    assert {box.track for box in found} == {1, 2, 3}


def test_overlap_is_intersection_over_union():
    a, b = Box(1, None, 0, 0, 10, 10, None), Box(1, None, 5, 0, 10, 20, None)
    assert overlap([a], [a, b])[0].tolist() == pytest.approx([1.0, 50 / 250])
    with pytest.raises(InputError, match="least_overlap"):
        follow([a], least_overlap=0.0)
