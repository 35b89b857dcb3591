"""Atomic writes: at every moment a reader finds the old content or the new one, and nothing is left behind."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from strongreid.errors import InputError
from strongreid.files import atomic_file, atomic_folder, recover_folder, write_json


def tree(folder):
    """Every file below a folder with its content, and every empty folder."""
    return {
        str(entry.relative_to(folder)): entry.read_text() if entry.is_file() else None
        for entry in folder.rglob("*")
        if entry.is_file() or not any(entry.iterdir())
    }


def write_file(path, text):
    with atomic_file(path) as partial:
        partial.write_text(text)


def write_folder(path, **files):
    with atomic_folder(path) as partial:
        for name, text in files.items():
            (partial / name).write_text(text)


def write_half(path, error):
    path.write_text("half")
    raise error


def test_a_file_appears_under_its_name_and_replaces_an_older_one(tmp_path):
    path = tmp_path / "new" / "folder" / "x.txt"
    for text in ("one", "two"):
        with atomic_file(path) as partial:
            partial.write_text(text)
            assert partial.parent == path.parent, "a rename is atomic on one file system only"
            assert not path.exists() or path.read_text() != text, "nothing is seen before the end"
        assert tree(tmp_path) == {"new/folder/x.txt": text}


def test_a_folder_appears_whole_and_replaces_an_older_one(tmp_path):
    path = tmp_path / "new" / "model"
    write_folder(path, a="1", b="2")
    assert tree(tmp_path) == {"new/model/a": "1", "new/model/b": "2"}
    with atomic_folder(path) as partial:
        assert not any(partial.iterdir())
        (partial / "sub").mkdir()
        (partial / "sub" / "c").write_text("3")
        assert (path / "a").read_text() == "1", "the old one is there until the end"
    assert tree(tmp_path) == {"new/model/sub/c": "3"}


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), InputError("bad picture")])
@pytest.mark.parametrize("kind", [atomic_file, atomic_folder])
@pytest.mark.parametrize("older", [True, False])
def test_an_error_leaves_what_was_there_and_nothing_else(kind, error, older, tmp_path):
    path = tmp_path / "x"
    if older:
        write_file(path, "old") if kind is atomic_file else write_folder(path, a="old")
    before = tree(tmp_path)
    with pytest.raises(type(error)) as caught, kind(path) as partial:
        write_half(partial if kind is atomic_file else partial / "a", error)
    assert caught.value is error
    assert tree(tmp_path) == before


def test_a_resumable_folder_keeps_what_was_begun_and_a_reader_sees_none_of_it(tmp_path):
    path = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt), atomic_folder(path, resumable=True) as partial:
        write_half(partial / "a", KeyboardInterrupt())
    assert tree(tmp_path) == {".model.partial/a": "half"}
    with atomic_folder(path, resumable=True) as partial:
        assert (partial / "a").read_text() == "half"
        (partial / "b").write_text("2")
    assert tree(tmp_path) == {"model/a": "half", "model/b": "2"}


@pytest.mark.parametrize("kind", [atomic_file, atomic_folder])
def test_a_full_disk_is_an_input_error_that_says_what_to_do(kind, tmp_path):
    path = tmp_path / "x"
    write_file(path, "old") if kind is atomic_file else write_folder(path, a="old")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"cannot write .*x: No space left.*is intact; free some space"), kind(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", [atomic_file, atomic_folder])
def test_a_full_disk_noticed_at_the_last_flush_is_one_too(kind, tmp_path, monkeypatch):
    path = tmp_path / "x"
    write_file(path, "old") if kind is atomic_file else write_folder(path, a="old")
    before = tree(tmp_path)

    def fail(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="No space left"), kind(path) as partial:
        (partial if kind is atomic_file else partial / "a").write_text("new")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", [atomic_file, atomic_folder])
def test_a_parent_that_is_a_file_is_an_input_error(kind, tmp_path):
    (tmp_path / "parent").write_text("a file")
    with pytest.raises(InputError, match="cannot write"), kind(tmp_path / "parent" / "x"):
        pytest.fail("there is nowhere to write")
    assert tree(tmp_path) == {"parent": "a file"}


def test_a_second_rename_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch):
    path = tmp_path / "model"
    write_folder(path, a="old")
    rename = Path.replace

    def fail_on_the_second(source, target):
        if source.name == ".model.partial":
            raise OSError(errno.EIO, "Input/output error")
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", fail_on_the_second)
    with pytest.raises(InputError, match="Input/output error"):
        write_folder(path, a="new")
    assert tree(tmp_path) == {"model/a": "old"}


# Writes "old", then "new" once for every event the operating system sees, killed just before that event.
KILL_EVERYWHERE = """
import os, sys
from pathlib import Path
from strongreid.files import atomic_file, atomic_folder

EVENTS = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree")

def write(kind, path, text):
    with kind(path) as partial:
        (partial if kind is atomic_file else partial / "a").write_text(text)

def killed_at(number, kind, path):
    seen = 0
    def count(event, arguments):
        nonlocal seen
        seen += event in EVENTS
        if seen == number:
            os._exit(9)
    sys.addaudithook(count)
    write(kind, path, "new")
    os._exit(0)

kind = {"file": atomic_file, "folder": atomic_folder}[sys.argv[1]]
for number in range(1, 1000):
    path = Path(sys.argv[2], str(number), "x")
    write(kind, path, "old")
    child = os.fork()
    if child == 0:
        killed_at(number, kind, path)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 9:
        sys.exit(code)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(kind, tmp_path):
    subprocess.run([sys.executable, "-c", KILL_EVERYWHERE, kind, tmp_path], check=True, timeout=120)
    runs = sorted(tmp_path.iterdir(), key=lambda run: int(run.name))
    assert len(runs) > (4 if kind == "file" else 8)
    found, between = [], 0
    for run in runs:
        path = run / "x"
        if kind == "file":
            found.append(path.read_text())
            continue
        between += not path.exists()
        recover_folder(path)
        found.append((path / "a").read_text())
        assert not (run / ".x.old").exists()
        write_folder(path, a="next")  # and the next write clears away what the kill left
        assert tree(run) == {"x/a": "next"}
    assert found == sorted(found, reverse=True), "old until some moment, new from then on"
    assert (found[0], found[-1]) == ("old", "new")
    if kind == "folder":
        assert between == 1, "the kill between the two renames was one of them"


def test_recovering_puts_back_what_was_moved_away(tmp_path):
    path = tmp_path / "model"
    recover_folder(path)
    assert tree(tmp_path) == {}
    write_folder(tmp_path / ".model.old", a="old")
    recover_folder(path)
    assert tree(tmp_path) == {"model/a": "old"}
    write_folder(tmp_path / ".model.old", a="older")  # killed after the second rename: the new one stays
    recover_folder(path)
    assert tree(tmp_path) == {"model/a": "old"}


def test_json_reads_back(tmp_path):
    value = {"a": [1, 2.5, None], "ü": "ß"}
    write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == value
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {1, 2})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == value
    assert list(tree(tmp_path)) == ["x.json"]
