"""A folder is checked against its manifest, and what it tells against what the generator gives."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.synthetic.made import SMALL, contents

from strongreid.cli import main
from strongreid.errors import InputError
from strongreid.synthetic import dataset, plan
from strongreid.synthetic.dice import GENERATOR_VERSION
from strongreid.synthetic.journal import read_manifest
from strongreid.synthetic.truth import tell_people
from strongreid.synthetic.verification import verify

pytestmark = pytest.mark.usefixtures("built_once")


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
