"""The folder of a set: a killed run goes on, and a folder is checked against its manifest."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from strongreid.cli import main
from strongreid.errors import InputError
from strongreid.synthetic import dataset, plan
from strongreid.synthetic.dataset import WorldSettings, synthesize, write_set
from strongreid.synthetic.dice import GENERATOR_VERSION
from strongreid.synthetic.journal import Journal, read_manifest, read_summary
from strongreid.synthetic.truth import tell_people
from strongreid.synthetic.verification import verify

SMALL = WorldSettings(train_identities=6, test_identities=2, cameras=2, height=32, width=16, frames_max=3, junk=0.5)

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


_world = cache(dataset.World)


@pytest.fixture(autouse=True)
def _built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cameras are built once for all tests."""
    monkeypatch.setattr(dataset, "World", _world)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("unbroken") / "set"
    write_set(root, SMALL, processes=1)
    return root


def contents(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def partial_of(root: Path) -> Path:
    return root.with_name(f".{root.name}.partial")


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


# --- verify


@pytest.fixture
def copied(unbroken: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unbroken, tmp_path / "set"))


def edit(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = read_manifest(root)
    change(manifest)
    (root / "manifest.json").write_text(json.dumps(manifest, indent=1))


def agree(manifest: dict[str, Any]) -> None:
    """Let the manifest's totals follow from its rows again."""
    text = "".join(f"{row['sha256']}  {row['file']}\n" for row in manifest["images"])
    manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    for split in manifest["counts"]:
        manifest["counts"][split] = sum(row["file"].startswith(f"{split}/") for row in manifest["images"])


def found(root: Path, **options: Any) -> list[tuple[str, str]]:
    return [(difference.kind, difference.file) for difference in verify(root, processes=1, **options)]


def test_a_set_as_it_was_written_has_no_difference(unbroken: Path, copied: Path) -> None:
    before = contents(unbroken)
    assert found(unbroken) == []
    assert contents(unbroken) == before
    edit(copied, agree)
    assert found(copied) == [], "nor has one whose manifest is laid out otherwise"


def test_every_kind_of_damage_to_the_folder_is_named(copied: Path) -> None:
    files = [row["file"] for row in read_manifest(copied)["images"]]
    missing, flipped, swapped, other = files[0], files[3], files[5], files[6]
    (copied / missing).unlink()
    data = bytearray((copied / flipped).read_bytes())
    data[-30] ^= 1
    (copied / flipped).write_bytes(data)
    shutil.copy(copied / other, copied / swapped)
    (copied / "query" / "0001_c1s1_000001_00.jpg").write_bytes(b"x")
    (copied / "notes").mkdir()
    (copied / "notes" / "a.txt").write_text("x")
    wanted = {
        ("missing", missing),
        ("file", flipped),
        ("file", swapped),
        ("extra", "query/0001_c1s1_000001_00.jpg"),
        ("extra", "notes/a.txt"),
    }
    for options in ({}, {"pixels": False}):
        named = found(copied, **options)
        assert set(named) == wanted
        assert len(named) == len(wanted)


def test_a_file_saved_again_is_another_file_though_it_looks_the_same(copied: Path) -> None:
    file = next((copied / "query").iterdir())
    with Image.open(file) as picture:
        picture.load()
        picture.save(file, quality=92)
    assert found(copied, pixels=False) == [("file", f"query/{file.name}")]


def test_pixels_and_labels_are_compared_with_what_the_generator_gives(copied: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        rows = manifest["images"]
        rows[2]["sha256"] = hashlib.sha256(np.zeros((32, 16, 3), np.uint8)).hexdigest()
        rows[4]["camera"] = 3 - rows[4]["camera"]
        agree(manifest)

    edit(copied, change)
    files = [row["file"] for row in read_manifest(copied)["images"]]
    assert found(copied, pixels=False) == []
    assert found(copied) == [("pixels", files[2]), ("labels", files[4])]
    line = str(verify(copied, processes=1)[1])
    assert line.startswith(f"labels: {files[4]}: camera is ")
    assert "\n" not in line


def test_wrong_labels_and_people_are_named(copied: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        row = next(row for row in manifest["images"] if row["identity"] > 0)
        row["occlusion"] = 0.9876
        manifest["people"][1]["hat"] = "crown"
        manifest["people"].append({"subject": 99})

    edit(copied, change)
    details = [difference.detail for difference in verify(copied, processes=1) if difference.kind == "labels"]
    assert len(details) == len(verify(copied, processes=1)) == 3
    assert details[0].startswith("people: subject 2: hat is 'crown' in the manifest; the generator gives '")
    assert details[1] == "people: 1 rows too many"
    assert details[2].startswith("occlusion is 0.9876 in the manifest; the generator gives 0")
    edit(copied, lambda manifest: manifest.update(people=manifest["people"][:1]))
    assert {difference.detail for difference in verify(copied, pixels=False)} == {
        f"people: subject {row['subject']} is wanting" for row in list(tell_people(SMALL))[1:]
    }
    edit(copied, lambda manifest: manifest.pop("people"))
    assert [str(difference) for difference in verify(copied, pixels=False)] == [
        "manifest: manifest.json: it has no table of people"
    ]


def test_another_generator_version_is_named_and_its_pixels_are_not_compared(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(copied, lambda manifest: manifest.update(version=GENERATOR_VERSION + 1))
    (copied / "more.txt").write_text("x")
    monkeypatch.setattr(dataset, "World", lambda *_: pytest.fail("nothing to render"))
    assert found(copied) == [("extra", "more.txt"), ("version", "manifest.json")]


@pytest.mark.parametrize("wrong", [{"cameras": 1}, {"colour": 3}, {"seed": "seven"}])
def test_settings_of_no_set_are_named(wrong: dict[str, Any], copied: Path) -> None:
    edit(copied, lambda manifest: manifest["settings"].update(wrong))
    assert found(copied) == [("settings", "manifest.json")]
    assert next(iter(wrong)) in verify(copied)[0].detail


def test_settings_that_give_other_pictures_are_named(copied: Path) -> None:
    edit(copied, lambda manifest: manifest["settings"].update(test_identities=1))
    named = found(copied, pixels=False)
    rows = {row["file"] for row in read_manifest(copied)["images"]}
    given = {shot.file for subject in plan.make_plan(replace(SMALL, test_identities=1)) for shot in subject.shots}
    assert {file for kind, file in named if kind == "settings"} == rows ^ given
    people = [one for one in named if one == ("labels", "manifest.json")]  # in the table of people
    assert people
    assert len(named) - len(people) == len(rows ^ given) > 0


def test_a_row_too_few_and_a_row_too_many_are_named(copied: Path) -> None:
    dropped: list[str] = []

    def change(manifest: dict[str, Any]) -> None:
        rows = manifest["images"]
        dropped.append(rows.pop(1)["file"])
        rows.append({**rows[0], "file": "query/0099_c1s1_000001_00.jpg"})
        agree(manifest)

    edit(copied, change)
    assert sorted(found(copied, pixels=False)) == sorted(
        [
            ("extra", dropped[0]),
            ("settings", dropped[0]),
            ("missing", "query/0099_c1s1_000001_00.jpg"),
            ("settings", "query/0099_c1s1_000001_00.jpg"),
        ]
    )


@pytest.mark.parametrize("file", ["../run.py", "query/../../x", "query/", "", None, 3])
def test_a_row_that_leads_out_of_the_folder_is_not_followed(file: Any, copied: Path) -> None:
    edit(copied, lambda manifest: manifest["images"].append({"file": file, "sha256": "0"}))
    kinds = found(copied, pixels=False)
    assert ("manifest", "manifest.json") in kinds
    assert {kind for kind, _ in kinds} == {"manifest"}


def test_a_manifest_that_contradicts_itself_is_named(copied: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["counts"]["query"] += 1
        manifest["sha256"] = "0" * 64
        manifest["images"].append(manifest["images"][0])

    edit(copied, change)
    details = [difference.detail for difference in verify(copied, pixels=False)]
    assert len(details) == 4
    assert "again" in details[0]
    assert "counts" in details[1]
    assert "counts" in details[2]
    assert "sha256" in details[3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read .*manifest.json: No such file"),
        ('{"images": [', "is not JSON, or is cut short"),
        ("[]", "not the manifest of a generated set: no version"),
        ('{"version": 1, "settings": {}, "counts": {}, "sha256": ""}', "no images"),
    ],
)
def test_a_folder_without_a_manifest_is_refused(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=message):
        verify(tmp_path)


def test_helpers_verify_to_the_same_answer(copied: Path) -> None:
    file = next((copied / "query").iterdir())
    file.unlink()
    edit(copied, lambda manifest: manifest["images"][0].update(frame=1))
    alone = verify(copied, processes=1)
    assert len(alone) == 2
    assert verify(copied, processes=2) == alone


def test_the_command_line_verifies(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check = ["synthesize", "--verify", str(copied), "--processes", "1", "--quiet"]
    assert main(check) == 0
    assert capsys.readouterr() == (f"{copied}: as its manifest says\n", "")
    files = list(islice((copied / "query").iterdir(), 2))
    for path in files:
        path.unlink()
    assert main([*check, "--files-only"]) == 1
    out, err = capsys.readouterr()
    assert sorted(out.splitlines()) == sorted(f"missing: query/{path.name}: listed, but not there" for path in files)
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--verify", "--seed", "8"], "--seed with --verify: the manifest tells the settings"),
        (["--files-only"], "--files_only is given without --verify"),
        (["--verify"], "cannot read"),
    ],
)
def test_verifying_the_wrong_way_is_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synthesize", str(tmp_path / "set"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
