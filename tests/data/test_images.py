"""Decoding against Pillow step by step, and the decoded store: reuse, rebuild, damage, refusals."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from strongreid.data import images
from strongreid.data.images import DecodedStore, decode
from strongreid.data.records import ImageRecord
from strongreid.errors import InputError

H, W = 16, 8


def noise(height: int = 40, width: int = 21, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, seed: int = 0) -> Path:
    Image.fromarray(noise(seed=seed)).save(path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def make(folder: Path, count: int = 5) -> list[ImageRecord]:
    folder.mkdir(parents=True, exist_ok=True)
    return [ImageRecord(save(folder / f"{i:04d}_c1.png", i), i, 1) for i in range(count)]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The pictures decoded so far."""
    seen: list[Path] = []

    def counting(path: Path, height: int, width: int) -> images.Pictures:
        seen.append(path)
        return decode(path, height, width)

    monkeypatch.setattr(images, "decode", counting)
    return seen


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp"])
def test_decode_is_bilinear_rgb_of_every_format(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a.{suffix}")
    with Image.open(path) as image:
        expected = np.array(image.convert("RGB").resize((W, H), Image.Resampling.BILINEAR))
    got = decode(path, H, W)
    assert got.shape == (H, W, 3)
    assert got.dtype == np.uint8
    assert got.flags.writeable
    np.testing.assert_array_equal(got, expected)


def test_decode_averages_when_it_shrinks(tmp_path: Path) -> None:
    checkers = np.kron(np.indices((64, 64)).sum(0) % 2, np.ones((1, 1))).astype(np.uint8) * 255
    Image.fromarray(checkers).save(tmp_path / "a.png")
    assert np.abs(decode(tmp_path / "a.png", 8, 8).astype(int) - 127).max() < 20  # point sampling gives 0 or 255


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_decode_turns_every_mode_into_rgb(tmp_path: Path, mode: str) -> None:
    grey = noise()[:, :, 0]
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(np.stack([grey] * 3, axis=2)).convert(mode)
    image.save(tmp_path / "a.png")
    got = decode(tmp_path / "a.png", *grey.shape)
    expected = np.array(image.convert("RGB")) if mode in ("1", "P") else np.stack([grey] * 3, axis=2)
    np.testing.assert_array_equal(got, expected)


def test_decode_a_palette_with_transparency_without_a_warning(tmp_path: Path) -> None:
    image = Image.fromarray(noise()).quantize(16)
    image.save(tmp_path / "a.png", transparency=bytes(range(16)))
    np.testing.assert_array_equal(decode(tmp_path / "a.png", 40, 21), np.array(image.convert("RGB")))


def test_decode_ignores_the_exif_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise()).save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(noise()).save(tmp_path / "plain.jpg")
    np.testing.assert_array_equal(decode(tmp_path / "turned.jpg", H, W), decode(tmp_path / "plain.jpg", H, W))


def test_unreadable_pictures_are_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("not a picture")
    for suffix in ("jpg", "png", "bmp", "webp"):
        whole = save(tmp_path / f"cut.{suffix}").read_bytes()
        (tmp_path / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(noise()).save(tmp_path / "other.jpg", format="TIFF")
    for name, reason in {
        "missing.jpg": "no such file",
        "empty.jpg": "the file is empty",
        "text.png": "not a jpeg, png, bmp or webp picture",
        "other.jpg": "not a jpeg, png, bmp or webp picture",
        "cut.jpg": "truncated",
        "cut.png": "truncated",
        "cut.bmp": "truncated",
        "cut.webp": "",
        ".": "directory",
    }.items():
        with pytest.raises(InputError) as caught:
            decode(tmp_path / name, H, W)
        assert f"cannot read the picture {tmp_path / name}: " in str(caught.value)
        assert reason in str(caught.value).lower()


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png")  # 840 pixels
    monkeypatch.setattr(images, "MAX_PIXELS", 839)
    with pytest.raises(InputError, match="more than 839 pixels"):
        decode(path, H, W)
    for limit in (400, 500):  # Pillow raises above twice its limit, and warns above it
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(InputError, match="more than 839 pixels"):
            decode(path, H, W)


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_store_equals_decoding_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int | None
) -> None:
    monkeypatch.setattr(images, "_CHUNK", 2)
    records = make(tmp_path / "in")
    expected = np.stack([decode(record.path, H, W) for record in records])
    for folder in (None, tmp_path / "store"):
        store = DecodedStore.build(records, H, W, folder, threads=threads)
        np.testing.assert_array_equal(store.pictures, expected)
        assert store.records == tuple(records)
        assert store.skipped == ()
        assert isinstance(store.pictures, np.memmap) == (folder is not None)
    assert not store.pictures.flags.writeable
    assert names(tmp_path) == ["in", "store"]
    assert names(tmp_path / "store") == ["index.json", "pictures.npy"]
    index = json.loads((tmp_path / "store" / "index.json").read_text())
    assert (index["height"], index["width"], index["count"]) == (H, W, 5)
    assert index["names"] == [record.path.name for record in records]


def test_store_is_reused_without_decoding(tmp_path: Path, decoded: list[Path]) -> None:
    records = make(tmp_path / "in")
    first = DecodedStore.build(records, H, W, tmp_path / "store")
    assert len(decoded) == 5
    again = DecodedStore.build(records, H, W, str(tmp_path / "store"))
    assert len(decoded) == 5
    np.testing.assert_array_equal(first.pictures, again.pictures)
    assert again.records == first.records


def test_store_takes_identities_from_the_records_given(tmp_path: Path, decoded: list[Path]) -> None:
    records = make(tmp_path / "in")
    DecodedStore.build(records, H, W, tmp_path / "store")
    renamed = [ImageRecord(record.path, record.identity + 100, 2) for record in records]
    assert DecodedStore.build(renamed, H, W, tmp_path / "store").records == tuple(renamed)
    assert len(decoded) == 5


@pytest.mark.parametrize("change", ["picture", "time", "removed", "order", "fewer", "size"])
def test_store_is_rebuilt_when_anything_changes(tmp_path: Path, decoded: list[Path], change: str) -> None:
    records, size = make(tmp_path / "in"), (H, W)
    DecodedStore.build(records, *size, tmp_path / "store")
    decoded.clear()
    if change == "picture":
        save(records[2].path, seed=99)
    elif change == "time":
        os.utime(records[2].path, ns=(1, 1))
    elif change == "removed":
        records[2].path.unlink()
    elif change == "order":
        records.reverse()
    elif change == "fewer":
        records.pop()
    else:
        size = (W, H)
    store = DecodedStore.build(records, *size, tmp_path / "store", skip_unreadable=True)
    assert len(decoded) == len(records)
    assert len(store.records) + len(store.skipped) == len(records)
    expected = np.stack([decode(record.path, *size) for record in store.records])
    np.testing.assert_array_equal(store.pictures, expected)


@pytest.mark.parametrize("damage", ["cut", "longer", "header", "index", "no index", "no pictures", "other shape"])
def test_a_damaged_store_is_rebuilt(tmp_path: Path, decoded: list[Path], damage: str) -> None:
    records, folder = make(tmp_path / "in"), tmp_path / "store"
    expected = np.array(DecodedStore.build(records, H, W, folder).pictures)
    decoded.clear()
    pictures, index = folder / "pictures.npy", folder / "index.json"
    whole = pictures.read_bytes()
    if damage == "cut":
        pictures.write_bytes(whole[:-1])
    elif damage == "longer":
        pictures.write_bytes(whole + b"\0")
    elif damage == "header":
        pictures.write_bytes(b"\0" * len(whole))
    elif damage == "index":
        index.write_text(index.read_text()[:-20])
    elif damage == "no index":
        index.unlink()
    elif damage == "no pictures":
        pictures.unlink()
    else:
        np.save(pictures, np.zeros((4, H, W, 3), dtype=np.uint8))
    store = DecodedStore.build(records, H, W, folder)
    assert len(decoded) == 5
    np.testing.assert_array_equal(store.pictures, expected)


def test_unreadable_pictures_stop_the_build_unless_skipped(tmp_path: Path, decoded: list[Path]) -> None:
    records, folder = make(tmp_path / "in", 9), tmp_path / "store"
    bad = [0, 2, 3, 5, 6, 8]
    for position in bad:
        records[position].path.write_bytes(b"")
    for place in (folder, None):
        with pytest.raises(InputError) as caught:
            DecodedStore.build(records, H, W, place)
        five = ", ".join(str(records[position].path) for position in bad[:5])
        assert f"6 of 9 pictures can't be read: {five} and 1 more." in str(caught.value)
        assert "--skip-unreadable" in str(caught.value)
        assert names(tmp_path) == ["in"]
    for place in (folder, None):
        store = DecodedStore.build(records, H, W, place, skip_unreadable=True)
        assert store.records == tuple(records[i] for i in (1, 4, 7))
        assert store.skipped == tuple(records[i].path for i in bad)
        expected = np.stack([decode(record.path, H, W) for record in store.records])
        np.testing.assert_array_equal(store.pictures, expected)
    decoded.clear()
    again = DecodedStore.build(records, H, W, folder, skip_unreadable=True)
    assert again.skipped == tuple(records[i].path for i in bad)
    with pytest.raises(InputError, match="6 of 9"):  # a store with gaps doesn't pass where gaps are not allowed
        DecodedStore.build(records, H, W, folder)
    assert decoded == []


def test_no_readable_picture_and_no_records(tmp_path: Path) -> None:
    records = [ImageRecord(tmp_path / "gone.jpg", 1, 1)]
    with pytest.raises(InputError, match=r"1 of 1 pictures can't be read: .*gone\.jpg\.\n.*check the paths"):
        DecodedStore.build(records, H, W, tmp_path / "store", skip_unreadable=True)
    store = DecodedStore.build(records, H, W, None, skip_unreadable=True)
    assert store.pictures.shape == (0, H, W, 3)
    assert (store.records, store.skipped) == ((), (tmp_path / "gone.jpg",))
    with pytest.raises(InputError, match="cannot decode 0 pictures"):
        DecodedStore.build([], H, W, None)
    assert names(tmp_path) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = make(tmp_path / "in")

    def full(file: object, chunk: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(images, "_write", full)
        with pytest.raises(InputError, match=r"cannot write .*store: No space left on device"):
            DecodedStore.build(records, H, W, tmp_path / "store")
    assert names(tmp_path) == ["in"]
    usage = images.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(images.shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(InputError, match=r"5 decoded pictures of 16 x 8 need 0\.00 GB and 0\.00 GB are free"):
        DecodedStore.build(records, H, W, tmp_path / "deep" / "store")
    assert names(tmp_path) == ["in"]


def test_a_folder_that_is_no_store_is_never_replaced(tmp_path: Path) -> None:
    records = make(tmp_path / "in")
    with pytest.raises(InputError, match=r"not a decoded store \(found 0000_c1\.png, 0001_c1\.png, 0002_c1\.png, "):
        DecodedStore.build(records, H, W, tmp_path / "in")
    assert len(names(tmp_path / "in")) == 5
    with pytest.raises(InputError, match="found a file"):
        DecodedStore.build(records, H, W, records[0].path)


def test_progress_goes_to_stderr_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = make(tmp_path / "in")
    DecodedStore.build(records, H, W, None)
    assert capsys.readouterr() == ("", "")
    DecodedStore.build(records, H, W, None, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "decode: 100%" in err
    assert "5/5" in err
