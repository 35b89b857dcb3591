"""Adding, removing, forgetting; what is kept over a closing, and what is refused."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tests.gallery.people import DIM, MODEL, calibration, known, nearest, people, unit

from strongreid.errors import InputError
from strongreid.evaluation.calibration import Calibration
from strongreid.features import FeatureTable
from strongreid.gallery import Gallery


def ids_of(result):
    return [match.id for match in result]


def everything(gallery, table):
    return sorted(ids_of(gallery.search(table.features[0], top_k=10_000)))


def test_adds_little_by_little_and_opens_again(tmp_path):
    table = people(20)
    with Gallery(tmp_path / "g", calibration=calibration()) as gallery:
        assert len(gallery) == 0
        assert not (tmp_path / "g").exists(), "made with the first entries"
        given = [gallery.add(table.select(range(start, start + 30))) for start in range(0, 120, 30)]
    assert np.concatenate(given).tolist() == list(range(120))
    with Gallery(tmp_path / "g") as gallery:
        assert len(gallery) == 120
        result = gallery.search(table.features[77], top_k=120)
        assert ids_of(result) == nearest(table, table.features[77])[0]
        assert result.threshold == 0.3, "the calibration was copied"
        assert gallery.add(table.select([0])).tolist() == [120]


def test_the_parts_are_feature_tables(tmp_path):
    table = people(4)
    with Gallery(tmp_path / "g") as gallery:
        gallery.add(table, **known(table))
    part = FeatureTable.load(tmp_path / "g" / "parts-1" / "00000001.add.parquet")
    np.testing.assert_array_equal(part.features, table.features)
    assert (part.paths, part.model) == (table.paths, MODEL)


def test_a_track_as_one_entry(empty):
    table = people(4)
    tracks = [None if row % 6 == 5 else f"{table.identities[row]}-{table.cameras[row]}" for row in range(24)]
    times = [100.0 - row for row in range(24)]
    gallery = empty()
    ids = gallery.add(table, tracks=tracks, times=times, labels={"site": ["x"] * 24}, track_as_one=True)
    # Each person: cameras 1 and 2 with two pictures, camera 3 with one and one without a track.
    assert len(ids) == len(gallery) == 16
    mean = unit(unit(table.features[[0, 3]]).mean(axis=0))[0]
    match = gallery.search(mean, top_k=1)[0]
    assert match.distance == pytest.approx(0, abs=1e-6)
    assert (match.track, match.path, match.time, match.camera) == ("0-1", table.paths[0], 97.0, 1)
    alone = gallery.search(table.features[5], top_k=1)[0]
    assert (alone.track, alone.path) == (None, table.paths[5])
    with pytest.raises(InputError, match="one value of each label"):
        gallery.add(table, tracks=tracks, labels={"site": [str(row) for row in range(24)]}, track_as_one=True)
    with pytest.raises(InputError, match="there are no tracks"):
        gallery.add(table, track_as_one=True)
    with pytest.raises(InputError, match="4 identities"):
        gallery.add(table, tracks=["one"] * 24, track_as_one=True)
    assert len(gallery) == 16


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({"ids": [3, 5, 5]}, {3, 5}),
        ({"ids": np.array([7])}, {7}),
        ({"identity": np.int64(2)}, set(range(12, 18))),
        ({"before": 1.7e9 + 3600 * 10}, set(range(10)) - {3}),  # 3 has no time
        ({"identity": 99}, set()),
    ],
)
def test_removed_is_gone_at_once_and_after_opening_again(empty, options, gone):
    table = people(6)
    gallery = empty()
    gallery.add(table, ids=range(36), **known(table))
    assert gallery.remove(**options) == len(gone)
    left = sorted(set(range(36)) - gone)
    assert everything(gallery, table) == left
    assert len(gallery) == len(left)
    line = gallery.audit()[-1]
    if gone:
        assert (line["what"], line["entries"]) == ("remove", len(gone))
        assert line["by"] in options
        assert not set(line) - {"when", "what", "by", "value", "entries", "key"}
    if gallery.info().location.startswith("http"):
        return
    where = gallery.info().location
    gallery.close()
    with Gallery(where) as again:
        assert everything(again, table) == left


def test_an_id_that_was_removed_can_be_given_again_but_is_not_by_itself(tmp_path):
    table = people(2)
    with Gallery(tmp_path / "g") as gallery:
        gallery.add(table)
        gallery.remove(ids=[11, 3])
        gallery.compact()
        assert gallery.add(table.select([0])).tolist() == [12]
        gallery.remove(ids=[12])
    with Gallery(tmp_path / "g") as gallery:
        assert gallery.add(table.select([0])).tolist() == [13]
        gallery.add(table.select([3]), ids=[3])
        assert 3 in gallery
        assert 11 not in gallery
    shutil.rmtree(tmp_path / "g" / "index-2")
    with Gallery(tmp_path / "g") as gallery:
        assert everything(gallery, table) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13]


def bytes_of(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_compact_takes_the_bytes_from_the_disk(tmp_path):
    """The feature as it was given, as it is searched, and the path: all there before, none after."""
    table = people(8)
    folder = tmp_path / "g"
    gallery = Gallery(folder, calibration=calibration())
    gallery.add(table, **known(table))
    gallery.close()
    secret = 13
    as_searched = (table.features[secret] / np.linalg.norm(table.features[secret])).astype(np.float32)
    gallery = Gallery(folder)
    as_searched = gallery.features([secret])[0]
    wanted = [table.features[secret].tobytes(), as_searched.tobytes(), table.paths[secret].encode()]
    assert gallery.remove(ids=[secret]) == 1
    gallery.close()
    there = bytes_of(folder)
    assert all(part in there for part in wanted), "removed, and still on the disk"
    with Gallery(folder) as gallery:
        assert "1 still on disk until compact" in str(gallery.info())
        gallery.compact()
        open_bytes = bytes_of(folder)
        assert "0 still on disk until compact" in str(gallery.info())
        assert everything(gallery, table) == [row for row in range(48) if row != secret]
    for content in (open_bytes, bytes_of(folder)):
        assert not any(part in content for part in wanted)
        assert table.features[12].tobytes() in content, "the others are there"
        assert table.paths[12].encode() in content


def test_all_can_be_removed_and_compacted(tmp_path):
    table = people(2)
    with Gallery(tmp_path / "g") as gallery:
        gallery.add(table)
        assert gallery.remove(ids=range(12)) == 12
        gallery.compact()
        assert len(gallery) == 0
        assert gallery.add(table).tolist() == list(range(12, 24))
    with Gallery(tmp_path / "g") as gallery:
        assert len(gallery) == 12


def test_rebuild_gives_the_same_gallery(tmp_path):
    table = people(10)
    with Gallery(tmp_path / "g", calibration=calibration()) as gallery:
        gallery.add(table, **known(table))
        gallery.remove(identity=4)
        before = gallery.search(table.features[9], top_k=60).to_dict()
        gallery.rebuild()
        assert gallery.search(table.features[9], top_k=60).to_dict() == before
        assert [line["what"] for line in gallery.audit()] == ["create", "remove", "rebuild"]
    assert sorted(path.name for path in (tmp_path / "g").iterdir() if path.is_dir()) == ["index-2", "parts-1"]


def test_an_index_that_is_damaged_or_lost_is_made_anew(tmp_path):
    table = people(10)
    with Gallery(tmp_path / "g") as gallery:
        gallery.add(table)
    for round_, spoil in enumerate(
        (
            lambda: shutil.rmtree(tmp_path / "g" / "index-1"),
            lambda: (tmp_path / "g" / "index-2.json").write_text("{"),
            lambda: [f.write_bytes(b"") for f in (tmp_path / "g" / "index-3").rglob("segment.json")],
        )
    ):
        spoil()
        with Gallery(tmp_path / "g") as gallery:
            assert everything(gallery, table) == list(range(60)), round_


def test_a_damaged_part_is_named(tmp_path):
    table = people(10)
    with Gallery(tmp_path / "g") as gallery:
        gallery.add(table)
    part = tmp_path / "g" / "parts-1" / "00000001.add.parquet"
    content = bytearray(part.read_bytes())
    content[content.index(table.features[9].tobytes())] ^= 1
    part.write_bytes(content)
    with Gallery(tmp_path / "g") as gallery, pytest.raises(InputError, match=r"00000001.add.parquet is damaged"):
        gallery.rebuild()
    part.unlink()
    (part.parent / "00000002.add.parquet").write_bytes(content)
    with pytest.raises(InputError, match="lacks its part number 1"):
        Gallery(tmp_path / "g")


def test_one_process_at_a_time_and_it_is_named(tmp_path):
    gallery = Gallery(tmp_path / "g")
    gallery.add(people(2))
    with pytest.raises(InputError, match="open in this very process"):
        Gallery(tmp_path / "g")
    code = "import sys; from strongreid.gallery import Gallery; Gallery(sys.argv[1])"
    run = [sys.executable, "-c", code, str(tmp_path / "g")]
    other = subprocess.run(run, capture_output=True, text=True, timeout=60)
    import os

    assert f"is open in process {os.getpid()}, and one process at a time" in other.stderr
    gallery.close()
    gallery.close()
    assert subprocess.run(run, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (people(2, dim=8), {}, "have 8 numbers, those of .* have 16"),
        (people(2, model="b" * 64), {}, "come from the model 'bbb.*holds those of 'aaa"),
        (people(2, model=""), {}, "come from the model 'unknown'"),
        (people(2).select([]), {}, "the table is empty"),
        (people(2), {"ids": [1, 2]}, "one for each of 12 rows"),
        (people(2), {"ids": [*range(100, 111), 100]}, "id 100 is given to 2 rows"),
        (people(2), {"ids": range(11, 23)}, "already has an entry 11; nothing was added"),
        (people(2), {"ids": range(-1, 11)}, "ids are whole numbers from 0 to .*; got -1"),
        (people(2), {"ids": [2**53 + row for row in range(12)]}, "ids are whole numbers from 0"),
        (people(2), {"times": [1.0]}, "times: one value for each of the table's 12 rows, or None; got 1"),
        (people(2), {"times": ["noon"] * 12}, "a time is a number of seconds or a date"),
        (people(2), {"times": [np.inf] * 12}, "a time is a number of seconds or a date"),
        (people(2), {"tracks": "abcdefghijkl"}, "tracks: one value for each"),
        (people(2), {"tracks": [1.5] * 12}, "a track is a name or a whole number, got 1.5"),
        (people(2), {"labels": {"camera": ["a"] * 12}}, "a label's name is letters"),
        (people(2), {"labels": {"a.b": ["a"] * 12}}, "a label's name is letters"),
        (people(2), {"labels": {"site": [1.5] * 12}}, "all text, all whole numbers or all True and False; got float"),
        (people(2), {"labels": {"site": ["a", 1] * 6}}, "got int and str"),
        (people(2), {"labels": {"hat": ["yes"] * 12}}, "label hat is flag in this gallery and text in what is"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_added(changed, table, options, message):
    gallery, before = changed
    with pytest.raises(InputError, match=message):
        gallery.add(table, **options)
    assert len(gallery) == 36
    assert gallery.info().to_dict() == before


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    table = people(6)
    with Gallery(tmp_path_factory.mktemp("changed") / "g") as gallery:
        gallery.add(table, **known(table))
        yield gallery, gallery.info().to_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one of ids, identity and before"),
        ({"ids": [1], "identity": 2}, "exactly one of ids, identity and before"),
        ({"ids": [1, 999]}, "has no entry 999; nothing was removed"),
        ({"ids": ["one"]}, "ids are whole numbers"),
        ({"before": "yesterday"}, "got 'yesterday'"),
        ({"identity": "Ann"}, "identity is whole numbers in this gallery, got 'Ann'"),
    ],
)
def test_a_removal_that_is_not_clear_is_refused(changed, options, message):
    gallery, before = changed
    with pytest.raises(InputError, match=message):
        gallery.remove(**options)
    assert gallery.info().to_dict() == before


def test_a_closed_gallery_is_closed(empty):
    gallery = empty()
    gallery.add(people(2))
    gallery.close()
    gallery.close()
    for call in (
        lambda: gallery.search(np.ones(DIM)),
        lambda: gallery.add(people(2)),
        lambda: gallery.remove(ids=[1]),
        lambda: len(gallery),
        lambda: 3 in gallery,
        gallery.info,
    ):
        with pytest.raises(InputError, match="was closed: open it again"):
            call()


def test_a_missing_gallery_is_said_and_nothing_is_made(empty, tmp_path):
    gallery = empty()
    for call in (
        lambda: gallery.search(np.ones(DIM)),
        lambda: gallery.remove(ids=[1]),
        gallery.info,
        gallery.compact,
        gallery.audit,
        gallery.rebuild,
    ):
        with pytest.raises(InputError, match="there is no gallery at"):
            call()
    assert len(gallery) == 0
    assert 3 not in gallery
    assert not list(tmp_path.iterdir())


def test_a_place_that_holds_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.jpg").write_bytes(b"sand")
    with pytest.raises(InputError, match=r"is no gallery: it has no gallery.json and holds beach.jpg"):
        Gallery(tmp_path / "holiday")
    with pytest.raises(InputError, match="is a file, a gallery is a folder"):
        Gallery(tmp_path / "holiday" / "beach.jpg")
    assert [path.name for path in (tmp_path / "holiday").iterdir()] == ["beach.jpg"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value | {"format": "else"}, "describes no gallery"),
        (lambda value: value | {"version": 9}, "a gallery of version 9, this program reads 1"),
        (lambda value: value | {"metric": "l1"}, "is damaged"),
        (lambda value: {name: value[name] for name in value if name != "dim"}, "is damaged .KeyError..dim"),
        (lambda value: {name: value[name] for name in value if name != "parts"}, "is damaged"),
        (lambda value: value | {"parts": "parts-9"}, "parts-9 is missing"),
    ],
)
def test_a_damaged_description_is_refused(tmp_path, change, message):
    with Gallery(tmp_path / "g") as gallery:
        gallery.add(people(2))
    where = tmp_path / "g" / "gallery.json"
    good = where.read_text()
    where.write_text(json.dumps(change(json.loads(good))))
    with pytest.raises(InputError, match=message):
        Gallery(tmp_path / "g")
    where.write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        Gallery(tmp_path / "g")
    if "missing" not in message:
        where.write_text(good)
        with Gallery(tmp_path / "g") as gallery:
            assert len(gallery) == 12


def test_the_calibration_comes_from_the_model_folder_and_must_fit(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.json").write_text(json.dumps({"sha256": MODEL}))
    calibration().save(model)
    with Gallery(tmp_path / "g", calibration=model) as gallery:
        gallery.add(people(2))
    (model / "calibration.json").unlink()
    with Gallery(tmp_path / "g") as gallery:
        assert gallery.info().description.calibration == calibration()
    with Gallery(tmp_path / "g", calibration=calibration(threshold=0.2)) as gallery:
        assert gallery.search(np.ones(DIM)).threshold == 0.2
    with pytest.raises(InputError, match="belongs to features of 'bbb"):
        Gallery(tmp_path / "g", calibration=calibration(model="b" * 64))
    with pytest.raises(InputError, match="of euclidean distances and says nothing about cosine"):
        Gallery(tmp_path / "g", calibration=calibration("euclidean"))
    with pytest.raises(InputError, match="is a gallery of cosine distances, not of euclidean"):
        Gallery(tmp_path / "g", metric="euclidean")
    with pytest.raises(InputError, match="unknown metric 'l1'"):
        Gallery(tmp_path / "new", metric="l1")
    gallery = Gallery(tmp_path / "new", calibration=calibration(model="b" * 64))
    with pytest.raises(InputError, match="belongs to features of 'bbb"):
        gallery.add(people(2))
    assert not (tmp_path / "new").exists()
    assert Calibration.from_dict(calibration().to_dict()) == calibration()


def test_labels_may_come_later(empty):
    table = people(2)
    gallery = empty()
    gallery.add(table, ids=range(12))
    gallery.add(table, ids=range(12, 24), labels={"site": ["north"] * 6 + [None] * 6})
    assert gallery.count(labels={"site": "north"}) == 6
    assert sorted(ids_of(gallery.search(table.features[0], 24, labels={"site": "north"}))) == [*range(12, 18)]
    if not gallery.info().location.startswith("http"):
        gallery.compact()
        assert gallery.count(labels={"site": "north"}) == 6
        assert len(gallery) == 24
