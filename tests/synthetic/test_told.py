"""Masks and joints that are written with a set: right, gone on with after a kill, and verified."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.synthetic.made import SMALL, contents, partial_of

from strongreid.cli import main
from strongreid.data.readers import read_dataset
from strongreid.errors import InputError
from strongreid.synthetic import dataset, plan
from strongreid.synthetic.dataset import images, write_set
from strongreid.synthetic.journal import Journal, read_manifest, read_summary
from strongreid.synthetic.truth import JOINT_NAMES
from strongreid.synthetic.verification import verify

pytestmark = pytest.mark.usefixtures("built_once")

BOTH = ("masks", "joints")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small set with masks and joints; only read it."""
    root = tmp_path_factory.mktemp("told") / "set"
    write_set(root, SMALL, truth=BOTH, processes=1)
    return root


@pytest.fixture
def copied(told: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(told, tmp_path / "set"))


def found(root: Path, **options: Any) -> list[tuple[str, str]]:
    return [(difference.kind, difference.file) for difference in verify(root, processes=1, **options)]


def test_each_picture_has_the_mask_and_the_joints_that_are_true_of_it(told: Path) -> None:
    rows = {row["file"]: row for row in read_manifest(told)["images"]}
    nobody = 0
    for image in images(SMALL, masks=True, joints=True):
        row = rows.pop(f"{image.split}/{image.name}")
        with Image.open(told / "masks" / image.split / Path(image.name).with_suffix(".png")) as mask:
            assert mask.mode == "L"
            written = np.asarray(mask)
        if image.truth is None:
            assert not written.any()
            assert "joints" not in row
            nobody += 1
            continue
        assert np.array_equal(written, np.where(image.truth.mask, 255, 0))
        assert list(row["joints"]) == list(JOINT_NAMES)
        x, y, visible = zip(*row["joints"].values(), strict=True)
        assert np.allclose(np.stack([x, y], 1), image.truth.joints, atol=0.051)
        assert list(visible) == image.truth.joints_visible.tolist()
    assert not rows
    assert nobody > 0


def test_pictures_and_labels_are_those_of_a_set_without(told: Path, unbroken: Path) -> None:
    plain, full = read_manifest(unbroken), read_manifest(told)
    assert full.pop("truth") == list(BOTH)
    for row in full["images"]:
        for key in ("joints", "mask_sha256", "png_sha256"):
            row.pop(key, None)
    assert full == plain
    pictures = {file: digest for file, digest in contents(told).items() if file.endswith(".jpg")}
    assert pictures == {file: digest for file, digest in contents(unbroken).items() if file.endswith(".jpg")}
    assert len(read_dataset("market1501", told).train) == len(read_dataset("market1501", unbroken).train)


@pytest.mark.parametrize("kind", BOTH)
def test_one_of_them_is_written_without_the_other(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    summary = write_set(root, SMALL, truth=[kind, kind], processes=1)
    assert summary["truth"] == [kind]
    assert (root / "masks").exists() == (kind == "masks")
    assert any("joints" in row for row in read_manifest(root)["images"]) == (kind == "joints")
    assert found(root) == []


@pytest.mark.parametrize("ending", ["interrupt", "mask cut", "mask gone"])
def test_a_broken_run_goes_on_to_the_same_bytes(
    ending: str, told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "_PICTURES_PER_TASK", 3)
    root, add, calls = tmp_path / "set", Journal.add, []

    def interrupt(journal: Journal, pictures: Any) -> None:
        calls.append(pictures)
        if len(calls) == 4:
            raise KeyboardInterrupt
        add(journal, pictures)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_set(root, SMALL, truth=BOTH, processes=1)
    masks = sorted((partial_of(root) / "masks").glob("*/*.png"))
    assert len(masks) == sum(map(len, calls[:3]))
    if ending == "mask cut":
        masks[0].write_bytes(masks[0].read_bytes()[:60])
    elif ending == "mask gone":
        masks[-1].unlink()
    write_set(root, SMALL, truth=BOTH, processes=1)
    assert contents(root) == contents(told)


def test_a_finished_set_is_kept_and_other_truth_is_refused(
    copied: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "render", lambda *_, **__: pytest.fail("everything is there"))
    before = contents(copied)
    assert write_set(copied, SMALL, truth=BOTH[::-1], processes=1) == read_summary(copied)
    with pytest.raises(InputError, match=r"truth \['masks', 'joints'\] in place of \[\]"):
        write_set(copied, SMALL, processes=1)
    with pytest.raises(InputError, match=r"truth \[\] in place of \['joints'\]"):
        write_set(unbroken, SMALL, truth=["joints"], processes=1)
    assert contents(copied) == before


def test_a_set_that_lacks_a_mask_is_written_anew(copied: Path, told: Path) -> None:
    next((copied / "masks" / "query").iterdir()).unlink()
    write_set(copied, SMALL, truth=BOTH, processes=1)
    assert contents(copied) == contents(told)


def test_every_difference_of_masks_and_joints_is_named(copied: Path) -> None:
    assert found(copied) == []
    manifest = read_manifest(copied)
    rows = manifest["images"]
    files = [f"masks/{row['file'].removesuffix('.jpg')}.png" for row in rows]
    (copied / files[0]).unlink()
    shutil.copy(copied / files[2], copied / files[1])
    (copied / "masks" / "query" / "more.png").write_bytes(b"x")
    wanted = [("missing", files[0]), ("file", files[1]), ("extra", "masks/query/more.png")]
    assert found(copied, pixels=False) == wanted
    rows[3]["mask_sha256"] = "0" * 64
    rows[4]["joints"]["crown"][0] += 1
    (copied / "manifest.json").write_text(json.dumps(manifest))
    assert found(copied) == [*wanted, ("pixels", files[3]), ("labels", rows[4]["file"])]


@pytest.mark.parametrize("wrong", [["masks", "bones"], "masks and joints", 3])
def test_a_manifest_of_unknown_truth_is_named(wrong: Any, copied: Path) -> None:
    manifest = read_manifest(copied)
    manifest["truth"] = wrong
    (copied / "manifest.json").write_text(json.dumps(manifest))
    assert ("manifest", "manifest.json") in found(copied, pixels=False)


def test_the_command_line_writes_and_verifies_them(
    told: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--train_identities", "6", "--test_identities", "2", "--cameras", "2", "--frames_max", "3"]
    small += ["--height", "32", "--width", "16", "--junk", "0.5", "--processes", "1", "--quiet"]
    root = tmp_path / "set"
    assert main(["synthesize", str(root), *small, "--truth", "bones"]) == 2
    assert "truth is 'bones'; allowed is masks, joints" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert main(["synthesize", str(root), *small, "--truth", "joints, masks"]) == 0
    assert contents(root) == contents(told)
    next((root / "masks" / "query").iterdir()).unlink()
    capsys.readouterr()
    assert main(["synthesize", "--verify", "--files_only", str(root)]) == 1
    assert capsys.readouterr().out.startswith("missing: masks/query/")
