"""The folder of a set: it appears whole or not at all, and a killed run goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from tests.synthetic.made import SMALL, contents, partial_of

from strongreid.errors import InputError
from strongreid.synthetic import dataset, plan
from strongreid.synthetic.dataset import WorldSettings, synthesize, write_set
from strongreid.synthetic.journal import Journal, read_manifest, read_summary

pytestmark = pytest.mark.usefixtures("built_once")

RUN = """
import json, sys, time
from strongreid.synthetic import journal, plan
from strongreid.synthetic.dataset import WorldSettings, write_set

def write_slowly(path, content):  # a kill mostly finds a file half-written
    with open(path, "wb", buffering=0) as file:
        file.write(content[:200])
        time.sleep(0.01)
        file.write(content[200:])

if __name__ == "__main__":
    plan._PICTURES_PER_TASK = 3
    journal._write_file = write_slowly
    write_set(sys.argv[1], WorldSettings(**json.loads(sys.argv[2])), processes=int(sys.argv[3]))
"""


def listed(folder: Path) -> list[str]:
    """Files whose rows the unfinished manifest holds."""
    lines = (folder / "manifest.json").read_text().splitlines()
    return [line.split('"')[3] for line in lines if line.startswith('    {"file": ')]


def start(root: Path, settings: WorldSettings, processes: int, folder: Path) -> subprocess.Popen[bytes]:
    script = folder / "run.py"
    script.write_text(RUN)
    return subprocess.Popen([sys.executable, str(script), str(root), json.dumps(asdict(settings)), str(processes)])


def await_files(folder: Path, count: int, run: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*/*.jpg"))) < count:
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_run_killed_again_and_again_goes_on_to_the_same_bytes(unbroken: Path, tmp_path: Path) -> None:
    root = tmp_path / "out" / "set"
    total = read_summary(unbroken)["counts"]
    at_least = 0
    for share in (0.0, 0.3, 0.6):
        run = start(root, SMALL, 1, tmp_path)
        await_files(partial_of(root), round(share * sum(total.values())) + 1, run)
        run.kill()
        run.wait()
        assert not root.exists(), "a reader sees a whole set or none"
        rows = listed(partial_of(root))
        assert len(rows) >= at_least, "no work is lost"
        at_least = len(rows)
    times = {file: (partial_of(root) / file).stat().st_mtime_ns for file in rows[:-1]}
    write_set(root, SMALL, processes=1)
    assert contents(root) == contents(unbroken)
    assert [path.name for path in root.parent.iterdir()] == ["set"]
    # The last row may belong to a person half of whose pictures are finished: these are made again.
    again = [file for file, stamp in times.items() if (root / file).stat().st_mtime_ns != stamp]
    assert len({Path(file).name[:4] for file in again}) <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_helpers_end_with_a_killed_run_and_another_goes_on(unbroken: Path, tmp_path: Path) -> None:
    root = tmp_path / "out" / "set"
    run = start(root, SMALL, 2, tmp_path)
    await_files(partial_of(root), 1, run)
    tasks = Path(f"/proc/{run.pid}/task").iterdir()
    helpers = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    assert len(helpers) >= 2
    run.kill()
    run.wait()
    deadline = time.monotonic() + 20
    while any(alive(helper) for helper in helpers):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not root.exists()
    write_set(root, SMALL, processes=1)
    assert contents(root) == contents(unbroken)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def begun(unbroken: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A root, and beside it an unfinished folder that holds everything but the new name."""
    root = tmp_path / "set"
    shutil.copytree(unbroken, partial_of(root))
    return root, partial_of(root)


def test_a_run_killed_before_the_last_rename_has_nothing_left_to_render(
    unbroken: Path, begun: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "render", lambda *_: pytest.fail("everything is there"))
    write_set(begun[0], SMALL, processes=1)
    assert contents(begun[0]) == contents(unbroken)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.5, 0.9, 0.999])
def test_a_manifest_cut_anywhere_is_completed(share: float, unbroken: Path, begun: tuple[Path, Path]) -> None:
    root, folder = begun
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[: int(share * manifest.stat().st_size)])
    write_set(root, SMALL, processes=1)
    assert contents(root) == contents(unbroken)


@pytest.mark.parametrize("ending", [",", ",\n", ',\n    {"file": "bounding_', ',\n    {"file": "x"}'])
def test_a_row_cut_anywhere_is_written_again(ending: str, unbroken: Path, begun: tuple[Path, Path]) -> None:
    root, folder = begun
    manifest = folder / "manifest.json"
    rows = manifest.read_text().split(",\n    ")
    manifest.write_text(",\n    ".join(rows[: len(rows) // 2]) + ending)
    write_set(root, SMALL, processes=1)
    assert contents(root) == contents(unbroken)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_picture_that_is_not_as_its_row_says_is_made_again(
    damage: str, unbroken: Path, begun: tuple[Path, Path]
) -> None:
    root, folder = begun
    files = listed(folder)
    picture = folder / files[len(files) // 2]
    if damage == "cut":
        picture.write_bytes(picture.read_bytes()[:100])
    else:
        picture.unlink()
    write_set(root, SMALL, processes=1)
    assert contents(root) == contents(unbroken)


def test_an_interrupt_keeps_what_is_done(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plan, "_PICTURES_PER_TASK", 3)
    add, calls = Journal.add, []

    def interrupt(journal: Journal, pictures: Any) -> None:
        calls.append(len(pictures))
        if len(calls) == 3:
            raise KeyboardInterrupt
        add(journal, pictures)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_set(tmp_path / "set", SMALL, processes=1)
    assert len(listed(partial_of(tmp_path / "set"))) == sum(calls[:2])
    write_set(tmp_path / "set", SMALL, processes=1, progress=True)
    assert contents(tmp_path / "set") == contents(unbroken)
    total = sum(read_summary(unbroken)["counts"].values())
    assert f"{total}/{total}" in capsys.readouterr().err


def test_an_unfinished_set_of_other_settings_is_begun_anew(unbroken: Path, begun: tuple[Path, Path]) -> None:
    root, folder = begun
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"seed": 7', b'"seed": 8'))
    (folder / "query" / "0009_c1s1_000001_00.jpg").write_bytes(b"half")
    write_set(root, SMALL, processes=1)
    assert contents(root) == contents(unbroken)


def test_two_runs_do_not_write_the_same_set(tmp_path: Path) -> None:
    folder = partial_of(tmp_path / "set")
    folder.mkdir()
    with Journal(folder, SMALL):
        before = contents(tmp_path)
        with pytest.raises(InputError, match="another process is writing this set"):
            write_set(tmp_path / "set", SMALL, processes=1)
        with pytest.raises(InputError, match="another process is writing this set"):
            write_set(tmp_path / "set", replace(SMALL, seed=8), processes=1)
        assert contents(tmp_path) == before


def test_no_processes_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="processes is 0"):
        write_set(tmp_path / "set", SMALL, processes=0)
    assert not list(tmp_path.iterdir())


def test_a_refusal_names_the_settings_that_differ(unbroken: Path) -> None:
    with pytest.raises(
        InputError, match=r"holds something other .*: seed 7 in place of 8, junk 0\.5 in place of 0\.4\."
    ):
        write_set(unbroken, replace(SMALL, seed=8, junk=0.4))


def test_the_summary_is_the_manifest_without_its_rows(unbroken: Path) -> None:
    manifest = read_manifest(unbroken)
    assert synthesize(unbroken, SMALL) == manifest
    assert list(manifest) == ["generator", "version", "settings", "images", "people", "counts", "sha256"]
    rows = manifest.pop("images")
    assert [row["subject"] for row in manifest.pop("people")][:8] == list(range(1, 9))
    assert read_summary(unbroken) == manifest == write_set(unbroken, SMALL)
    assert sum(manifest["counts"].values()) == len(rows) == (unbroken / "manifest.json").read_text().count('{"file"')
