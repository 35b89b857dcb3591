"""Long folders: in parts, going on after a kill, and the same table as in one go."""

import shutil

import numpy as np
import pytest
from PIL import Image

import strongreid.extraction.extractor as extractor
import strongreid.extraction.folders as folders
from strongreid.errors import InputError
from strongreid.extraction import Extractor, extract_folder, read_records
from strongreid.features import FeatureTable

COUNT, CHUNK = 23, 4


class KilledError(Exception):
    """As a kill between two chunks."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    draw, folder = np.random.default_rng(0), tmp_path_factory.mktemp("long")
    for number in range(COUNT):
        pixels = draw.integers(0, 256, (64, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{1 + number // 3:04d}_c{1 + number % 3}s1_{number:06d}_00.png")
    return folder


@pytest.fixture
def extract(exports, monkeypatch):
    """Counts the pictures it computes; small chunks."""
    for module in (extractor, folders):
        monkeypatch.setattr(module, "CHUNK", CHUNK)
    made = Extractor(exports.onnx)
    network, made.seen, made.stop_at = made.network(0), 0, None
    compute = network.features

    def features(pictures, **options):
        if made.stop_at is not None and made.seen >= made.stop_at:
            raise KilledError
        made.seen += len(pictures)
        return compute(pictures, **options)

    monkeypatch.setattr(network, "features", features)
    return made


@pytest.fixture
def whole(exports, pictures):
    return Extractor(exports.onnx).table(read_records(pictures))


def same(table, other):
    np.testing.assert_allclose(table.features, other.features, rtol=1e-5, atol=1e-5)
    assert (table.paths, table.model) == (other.paths, other.model)
    np.testing.assert_array_equal(table.identities, other.identities)
    np.testing.assert_array_equal(table.cameras, other.cameras)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_killed_extraction_goes_on(extract, pictures, whole, tmp_path):
    output = tmp_path / "t.parquet"
    extract.stop_at = 12
    with pytest.raises(KilledError):
        extract_folder(extract, pictures, output)
    assert names(tmp_path) == [".t.parquet.parts"], "no table that is not whole"
    assert len(names(tmp_path / ".t.parquet.parts")) == 1 + 12 // CHUNK
    extract.seen, extract.stop_at = 0, None
    same(extract_folder(extract, pictures, output), whole)
    assert extract.seen == COUNT - 12, "only what was missing"
    same(FeatureTable.load(output), whole)
    assert names(tmp_path) == ["t.parquet"]


@pytest.mark.parametrize("change", ["picture", "part", "flip", "all there"])
def test_only_parts_of_the_same_job_are_taken(extract, pictures, whole, tmp_path, change):
    output, copied = tmp_path / "t.parquet", tmp_path / "copied"
    shutil.copytree(pictures, copied)
    extract.stop_at = 20
    with pytest.raises(KilledError):
        extract_folder(extract, copied, output)
    extract.seen, extract.stop_at, expected = 0, None, COUNT
    if change == "picture":
        first = copied / names(copied)[0]
        Image.new("RGB", (32, 64)).save(first)
    elif change == "part":
        (tmp_path / ".t.parquet.parts" / "000001.parquet").write_bytes(b"torn")
        expected = CHUNK + COUNT - 20
    elif change == "flip":
        extract.flip, extract.fingerprint = True, f"{extract.fingerprint}+flip"
    else:
        expected = COUNT - 20
    table = extract_folder(extract, copied, output)
    assert extract.seen == expected
    assert len(table) == COUNT
    if change in ("part", "all there"):
        np.testing.assert_allclose(table.features, whole.features, rtol=1e-5, atol=1e-5)
    else:
        assert not np.allclose(table.features, whole.features, atol=1e-3)


def test_unreadable_pictures_in_parts(extract, pictures, whole, tmp_path):
    """One, and a whole chunk of them."""
    copied, output = tmp_path / "copied", tmp_path / "t.parquet"
    shutil.copytree(pictures, copied)
    torn = [1, *range(2 * CHUNK, 3 * CHUNK)]
    for number in torn:
        (copied / names(copied)[number]).write_bytes(b"torn")
    with pytest.raises(InputError, match=r"1 of 4 pictures can't be read.*_000001_"):
        extract_folder(extract, copied, output)
    table = extract_folder(extract, copied, output, skip_unreadable=True)
    kept = [row for row in range(COUNT) if row not in torn]
    np.testing.assert_allclose(table.features, whole.features[kept], rtol=1e-5, atol=1e-5)
    assert names(tmp_path) == ["copied", "t.parquet"]
    for path in copied.iterdir():
        path.write_bytes(b"torn")
    with pytest.raises(InputError, match="none of the 23 pictures can be read"):
        extract_folder(extract, copied, output, skip_unreadable=True)
    assert len(FeatureTable.load(output)) == len(kept), "the older table is intact"


def test_progress_counts_every_picture(extract, pictures, tmp_path, capsys):
    extract.stop_at = 8
    with pytest.raises(KilledError):
        extract_folder(extract, pictures, tmp_path / "t.parquet")
    extract.stop_at = None
    extract_folder(extract, pictures, tmp_path / "t.parquet", progress=True)
    assert f"{COUNT}/{COUNT}" in capsys.readouterr().err
