"""Killed at random, searched while it grows: nothing is lost, nothing is torn."""

import json
import os
import threading

import numpy as np
import pytest
from benchmarks.gallery_kills import BATCH, batch, check, kill_once
from tests.gallery.people import known, people

from strongreid.gallery import Gallery


def test_three_kills_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(__import__("sys").path))
    folder = tmp_path / "g"
    with Gallery(folder) as gallery:
        gallery.add(batch(0), ids=range(BATCH), times=[0.0] * BATCH)
    present = {0}
    for number in range(3):
        present, _ = kill_once(folder, 1000 * (number + 1), number, present)
    assert len(present) > 1, "something was acknowledged before a kill"
    with Gallery(folder) as gallery:
        gallery.rebuild()
        check(gallery, present, set())


def test_what_was_left_half_done_is_swept_and_the_audit_mended(tmp_path):
    table = people(4)
    folder = tmp_path / "g"
    with Gallery(folder) as gallery:
        gallery.add(table, **known(table))
        gallery.remove(identity=1)
        line = gallery.audit()[-1]
    # As after a kill: a part half written, a compaction half done, the audit line of the removal torn.
    (folder / "parts-1" / ".00000003.add.parquet.partial").write_bytes(b"PAR1")
    (folder / "parts-2").mkdir()
    (folder / "parts-2" / "00000001.add.parquet").write_bytes(b"PAR1")
    (folder / "index-2").mkdir()
    (folder / "index-2.json").write_text("{}")
    (folder / ".gallery.json.partial").write_text("{")
    lines = (folder / "audit.jsonl").read_bytes()
    (folder / "audit.jsonl").write_bytes(lines[: lines.rindex(b'"remove"')])
    with Gallery(folder) as gallery:
        assert len(gallery) == 18
        assert gallery.audit()[-1] == line
        assert len(gallery.audit()) == 2
    names = {path.name for path in folder.iterdir()}
    assert names == {"gallery.json", "audit.jsonl", "lock", "parts-1", "index-1", "index-1.json"}
    assert [path.name for path in sorted((folder / "parts-1").iterdir())] == [
        "00000001.add.parquet",
        "00000002.remove.parquet",
    ]


@pytest.mark.parametrize("left", ["lock", "parts-1", "index-1"])
def test_a_making_that_was_killed_can_be_done_again(tmp_path, left):
    folder = tmp_path / "g"
    folder.mkdir()
    if left == "lock":
        (folder / "lock").write_text("1")
    else:
        (folder / left).mkdir()
        (folder / left / "rest").write_text("rest")
    with Gallery(folder) as gallery:
        gallery.add(people(2))
    with Gallery(folder) as gallery:
        assert len(gallery) == 12


def test_an_index_behind_its_log_is_brought_up_to_it(tmp_path):
    """As after a kill: the index is of an earlier flush than the parts."""
    import shutil

    table = people(6)
    folder = tmp_path / "g"
    with Gallery(folder) as gallery:
        gallery.add(table.select(range(12)))
    shutil.copytree(folder / "index-1", tmp_path / "old")
    stamp = (folder / "index-1.json").read_text()
    with Gallery(folder) as gallery:
        gallery.add(table.select(range(12, 36)))
        gallery.remove(ids=[0, 20])
        gallery.add(table.select([20]), ids=[20])
    assert json.loads(stamp)["part"] == 1
    shutil.rmtree(folder / "index-1")
    shutil.copytree(tmp_path / "old", folder / "index-1")
    (folder / "index-1.json").write_text(stamp)
    with Gallery(folder) as gallery:
        assert len(gallery) == 35
        assert gallery.search(table.features[20], top_k=1)[0].id == 20
        assert sorted(match.id for match in gallery.search(table.features[0], top_k=50)) == [*range(1, 36)]
    assert (folder / "index-1").is_dir(), "brought up, not made anew"


def test_threads_search_while_one_adds_removes_and_compacts(tmp_path):
    table = people(100)
    first = table.select(range(60))
    stop, errors, counts = threading.Event(), [], [0] * 8

    def look(number):
        draw = np.random.default_rng(number)
        try:
            while not stop.is_set():
                row = int(draw.integers(60))
                match = gallery.search(first.features[row], top_k=3, cameras=[1, 2, 3])[0]
                assert match.id == row, "of the first 60, all of which stay"
                counts[number] += 1
        except Exception as error:  # told by the main thread
            errors.append(error)

    with Gallery(tmp_path / "g") as gallery:
        gallery.add(first)
        threads = [threading.Thread(target=look, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for start in range(60, 600, 180):
            ids = gallery.add(table.select(range(start, start + 180)))
            if start == 240:
                gallery.remove(ids=ids)
                gallery.compact()
        stop.set()
        for thread in threads:
            thread.join()
        assert not errors
        assert min(counts) > 0
        found = sorted(match.id for match in gallery.search(table.features[0], top_k=600))
        assert found == [row for row in range(600) if not 240 <= row < 420]
