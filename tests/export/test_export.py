"""Exported networks: the same features as torch at every batch size, whole or not at all, and without torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.export.made import SPEC, build
from tqdm import tqdm

import strongreid
import strongreid.export.export as exporting
import strongreid.export.runtime as runtime
from strongreid.cli import main
from strongreid.errors import InputError
from strongreid.evaluation.calibration import Calibration
from strongreid.export.agreement import compare, sample_pictures
from strongreid.export.description import ABOUT, FILES
from strongreid.export.export import export_model, verify_export
from strongreid.export.runtime import ExportedNetwork
from strongreid.model.weights import load_model


def cosines(a, b):
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("batch", [1, 2, 3, 14, 16, 37, 64])
def test_every_batch_size_gives_torch_s_features(exported, noise, truth, batch):
    """An exporter that fixes the batch, or mixes its rows, is a known trap."""
    features = ExportedNetwork(exported).features(noise, batch=batch)
    assert (features.dtype, features.shape) == (np.float32, truth.f_i.shape)
    mean = truth.f_i.mean(axis=0)
    assert cosines(features, truth.f_i).min() > 0.999999
    assert cosines(features - mean, truth.f_i - mean).min() > 0.99999
    np.testing.assert_allclose(features, truth.f_i, rtol=1e-3, atol=1e-3)


def test_a_file_says_what_it_is(exports, exported, noise, truth):
    loaded = load_model(exports.model)
    file = exported / FILES[exported.name][0]
    network = ExportedNetwork(file)
    told = network.description
    assert (told.weights, told.fingerprint, told.spec) == (loaded.fingerprint, loaded.fingerprint, SPEC)
    assert (told.feature, told.dim, network.format) == ("f_i", 128, exported.name)
    assert cosines(network.features(noise[:3]), truth.f_i[:3]).min() > 0.999999
    for path in (exports.model.parent, Path(strongreid.__file__).parent):
        assert str(path).encode() not in file.read_bytes(), "no path of the machine that exported"


def test_the_agreement_is_reported_and_stored(exports, exported):
    agreement = exports.agreements[exported.name]
    assert agreement.agrees
    assert 0.99999 < agreement.centred <= 1.000001
    stored = json.loads((exported / ABOUT).read_text())["agreement"]
    assert (stored["cosine"], stored["batches"]) == (agreement.cosine, [1, 3, 16])
    assert verify_export(exports.model, exported).cosine == pytest.approx(agreement.cosine, abs=1e-6)
    assert Calibration.load(exported).model == ExportedNetwork(exported).description.weights


def test_the_other_feature_has_its_own_fingerprint(exports, noise, truth, tmp_path):
    export_model(exports.model, tmp_path / "f_t", feature="f_t")
    network = ExportedNetwork(tmp_path / "f_t")
    assert network.description.fingerprint.endswith("+f_t")
    assert cosines(network.features(noise), truth.f_t).min() > 0.999999


def test_flipped_is_the_mean_of_two(exported, noise):
    network = ExportedNetwork(exported)
    both = (network.features(noise) + network.features(noise[:, :, ::-1])) / 2
    np.testing.assert_allclose(network.features(noise, flip=True, batch=5), both, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 7, 37])
def test_threads_share_the_pictures(exported, noise, truth, threads, count, monkeypatch):
    """Batches of their own, or one for all where pictures are fewer; blocks of a few pictures, to have several."""
    monkeypatch.setattr(runtime, "BLOCK", 5 * 64 * 32)
    with tqdm(total=count, disable=True) as bar:
        monkeypatch.setattr(bar, "update", (seen := []).append)
        features = ExportedNetwork(exported, threads=threads).features(noise[:count], bar=bar)
    assert features.shape == (count, truth.f_i.shape[1])
    assert sum(seen) == count
    np.testing.assert_allclose(features, truth.f_i[:count], rtol=1e-3, atol=1e-4)


@given(st.integers(1, 200), st.integers(1, 70), st.integers(1, 9), st.integers(1, 40))
def test_parts_are_alike_and_none_is_too_large(count, batch, workers, fitting):
    height, width = 16, 8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "BLOCK", fitting * height * width)
        parts = runtime.parts_of((count, height, width, 3), batch, workers)
    rows = [row for part in parts for row in range(part.start, part.stop)]
    assert rows == list(range(count)), "every picture once, in order"
    sizes = {part.stop - part.start for part in parts}
    assert max(sizes) <= min(batch, fitting)
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == count or len(parts) % workers == 0, "no thread is left alone with a last one"


def test_what_does_not_agree_is_not_written(model, tmp_path, monkeypatch, exports):
    """Here the compared network lies; what stood at the place stays."""
    output = tmp_path / "out"
    shutil.copytree(exports.onnx, output)
    before = {file.name: file.read_bytes() for file in output.iterdir()}

    class Lying(ExportedNetwork):
        def features(self, pictures, **options):
            return super().features(pictures, **options)[::-1]

    monkeypatch.setattr(exporting, "ExportedNetwork", Lying)
    with pytest.raises(InputError, match=r"does not agree with torch.*Use torch"):
        export_model(model, output)
    assert {file.name: file.read_bytes() for file in output.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "out"]


def test_swapped_rows_are_noticed_where_all_features_are_alike():
    """The mean is taken off: without that, any two of these have a cosine of 1."""
    draw = np.random.default_rng(0)
    reference = (100 + draw.standard_normal((16, 8))).astype(np.float32)
    pictures = sample_pictures(16, 8, 4)
    order = {picture.tobytes(): row for row, picture in enumerate(pictures)}

    def right(block):
        return np.stack([reference[order[picture.tobytes()]] for picture in block])

    assert compare(reference, right, pictures).agrees
    found = compare(reference, lambda block: right(block)[::-1], pictures)
    assert found.cosine > 0.999
    assert not found.agrees
    flat = np.ones_like(reference)
    assert compare(flat, lambda block: flat[: len(block)], pictures).agrees
    with pytest.raises(InputError, match="in batches of 1 the exported network gives float32"):
        compare(reference, lambda block: right(block)[:, :4], pictures)


def test_sample_pictures_are_the_same_every_time_and_differ():
    pictures = sample_pictures(5, 64, 32)
    np.testing.assert_array_equal(pictures, sample_pictures(5, 64, 32))
    assert (pictures.shape, pictures.dtype) == ((5, 64, 32, 3), np.uint8)
    assert len({picture.tobytes() for picture in pictures}) == 5


def test_an_export_belongs_to_its_weights(exported, like_reference, tmp_path):
    other = build(tmp_path / "other", like_reference, "x")
    with pytest.raises(InputError, match="export the model again"):
        verify_export(other, exported)


@pytest.mark.parametrize("damage", ["cut", "gone", "swapped", "about"])
def test_a_damaged_export_is_refused(exported, tmp_path, damage):
    folder = tmp_path / "damaged"
    shutil.copytree(exported, folder)
    file = folder / FILES[exported.name][-1]
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "gone":
        file.unlink()
    elif damage == "swapped":
        file.write_bytes(file.read_bytes()[::-1])
    else:
        (folder / ABOUT).write_text("[]")
    with pytest.raises(InputError, match=r"export (it|the model) again|no exported model"):
        ExportedNetwork(folder)


def test_other_networks_are_refused(tmp_path, exports):
    with pytest.raises(InputError, match="no exported model"):
        ExportedNetwork(exports.model)
    with pytest.raises(InputError, match="no file"):
        ExportedNetwork(tmp_path / "none.onnx")
    for name in ("a.onnx", "a.xml"):
        (tmp_path / name).write_bytes(b"no network")
        with pytest.raises(InputError, match="can't be read as a network"):
            ExportedNetwork(tmp_path / name)
    onnx = pytest.importorskip("onnx")
    foreign = onnx.load(exports.onnx / "features.onnx")
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(InputError, match="was not written by strongreid"):
        ExportedNetwork(tmp_path / "foreign.onnx")


def test_the_verb_exports_and_refuses(exports, tmp_path, capsys, monkeypatch):
    assert main(["export", str(exports.model), str(tmp_path / "out"), "--feature", "f_i"]) == 0
    assert "least cosine to torch 1.0" in capsys.readouterr().out.replace("0.9999999", "1.0")
    keep = tmp_path / "mine"
    keep.mkdir()
    (keep / "letter.txt").write_text("dear")
    for arguments, message in (
        ([exports.model, keep], "is not an exported model; it would be replaced"),
        ([tmp_path / "nowhere", tmp_path / "b"], "is not a model folder"),
        ([exports.onnx, tmp_path / "b"], "corrupt or missing"),
    ):
        assert main(["export", *map(str, arguments)]) == 2
        out, error = capsys.readouterr()
        assert (out, message in error, error.count("\n")) == ("", True, 1), error
    assert (keep / "letter.txt").read_text() == "dear"
    assert not (tmp_path / "b").exists()
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert main(["export", str(exports.model), str(tmp_path / "b"), "--format", "openvino"]) == 2
    assert capsys.readouterr().err == "strongreid export needs openvino: pip install 'strongreid[openvino]'\n"
    assert not (tmp_path / "b").exists()


def test_extract_gallery_and_verify_need_no_torch(exports, exported, tmp_path):
    """A process where torch can't be imported: pictures to a table, into a gallery, found there, verified."""
    draw = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for identity in range(1, 4):
        for camera in (1, 2):
            pixels = draw.integers(0, 256, (1, 1, 3)) // 2 + draw.integers(0, 128, (64, 32, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(
                tmp_path / "pictures" / f"{identity:04d}_c{camera}s1_000000_00.png"
            )
    code = (
        "import sys\nfor name in ('torch', 'torchvision', 'timm', 'matplotlib', 'onnx', 'onnxscript'):\n"
        "    sys.modules[name] = None\n"
        "from strongreid.cli import main\nmodel, root = sys.argv[1:]\npictures = root + '/pictures'\n"
        "first = pictures + '/0001_c1s1_000000_00.png'\n"
        "for verb in (['extract', model, pictures, root + '/t.parquet'],\n"
        "             ['gallery', 'add', root + '/g', root + '/t.parquet'],\n"
        "             ['gallery', 'search', root + '/g', first, '--model', model, '--csv'],\n"
        "             ['verify', first, first, '--model', model]):\n"
        "    assert main(verb) == 0, verb\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(exported), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{tmp_path}/t.parquet: 6 pictures, 128 numbers each"
    assert next(line for line in lines if line.startswith("1,")).count("0001_c1s1_000000_00.png")
    assert lines[-2].startswith("same: cosine distance 0.0000")
