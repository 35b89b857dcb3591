"""Which runtime an extractor takes, and that what it gives does not depend on it."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.export.made import build

import strongreid.extraction.backends as backends
from strongreid.cli import main
from strongreid.data.readers import read_dataset
from strongreid.errors import InputError
from strongreid.export.description import ABOUT
from strongreid.extraction import Extractor
from strongreid.extraction.torch_network import TorchNetwork
from strongreid.features import FeatureTable
from strongreid.gallery import Gallery
from strongreid.model.weights import load_model


@pytest.fixture(scope="module")
def kept(tmp_path_factory, exports):
    """A model folder with exports for both runtimes in its cache."""
    folder = tmp_path_factory.mktemp("kept") / "model"
    shutil.copytree(exports.model, folder)
    weights = load_model(folder).fingerprint
    for runtime in ("onnx", "openvino"):
        shutil.copytree(getattr(exports, runtime), folder / "exported" / f"{runtime}-f_i-{weights[:12]}")
    return folder


@pytest.fixture
def quick_export(exports, monkeypatch):
    """Exporting takes seconds: this copies the export of the same model instead, and counts."""
    calls = []

    def copy(model, output, *, format, feature):  # noqa: A002
        assert (load_model(model).fingerprint, feature) == (load_model(exports.model).fingerprint, "f_i")
        calls.append(output)
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(getattr(exports, format), output)
        return exports.agreements[format]

    monkeypatch.setattr(backends, "WORTH", 1e3)
    monkeypatch.setattr(backends, "export_model", copy)
    return calls


@pytest.fixture
def model(kept, tmp_path):
    shutil.copytree(kept, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def unexported(model):
    shutil.rmtree(model / "exported")
    return model


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr("strongreid.extraction.torch_network.gpu_is_there", lambda: False)


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (21, 64, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
@pytest.mark.parametrize("options", [{}, {"flip": True}])
def test_backends_give_features_for_one_gallery(kept, market, tmp_path, backend, options):
    dataset = read_dataset("market1501", market)
    by_torch = Extractor(kept, device="cpu", backend="torch", **options)
    other = Extractor(kept, backend=backend, **options)
    a, b = by_torch.table(dataset.gallery), other.table(dataset.gallery)
    assert (a.model, a.paths) == (b.model, b.paths)
    np.testing.assert_allclose(a.features, b.features, rtol=1e-3, atol=1e-3)
    unit = [x.features / np.linalg.norm(x.features, axis=1, keepdims=True) for x in (a, b)]
    assert (unit[0] * unit[1]).sum(axis=1).min() > 0.9999
    with Gallery(tmp_path / "g") as gallery:
        gallery.add(a)
        found = gallery.search(b.select([0]), top_k=1)
        assert [match.path for match in found] == [a.paths[0]]


@pytest.mark.parametrize("backend", ["torch", "onnx", "openvino"])
def test_every_kind_of_picture_gives_the_same_feature(kept, market, backend):
    extract = Extractor(kept, device="cpu", backend=backend)
    path = min((market / "query").iterdir())
    with Image.open(path) as image:
        array = np.asarray(image.convert("RGB"))
        kinds = [path, str(path), path.read_bytes(), image, array]
        features = extract(kinds)
    np.testing.assert_allclose(features, features[[0] * 5], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(extract(path.read_bytes()), features[:1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(extract(np.stack([array] * 3)), features[:3], rtol=1e-4, atol=1e-5)
    assert extract([]).shape == (0, 128)


def test_auto_takes_onnx_then_openvino_then_torch(model, noise, no_gpu, monkeypatch):
    expected = Extractor(model, device="cpu", backend="torch")(noise)
    there = {"openvino", "onnx"}
    monkeypatch.setattr(backends, "installed", lambda runtime: runtime in there)
    for gone, format_, word in (("", "onnx", "onnxruntime"), ("onnx", "openvino", "openvino"), ("openvino", "", "")):
        there.discard(gone)
        said = []
        extract = Extractor(model, say=said.append)
        assert not said, "settled by the first pictures"
        features = extract(noise)
        np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3)
        assert said == [extract.why]
        if format_:
            assert extract.network(1).format == format_
            assert said[0].startswith(f"{word} ")
        else:
            assert isinstance(extract.network(1), TorchNetwork)
            assert "neither openvino nor onnxruntime is installed" in said[0]


def test_asking_for_a_runtime_exports_into_the_model_folder(unexported, noise):
    said = []
    extract = Extractor(unexported, backend="onnx", say=said.append)
    assert said[0].startswith("onnx, as asked: exported; least cosine to torch")
    (place,) = (unexported / "exported").iterdir()
    assert place.name == f"onnx-f_i-{extract.fingerprint[:12]}"
    assert Extractor(unexported, backend="onnx").why == "onnx, as asked", "once"
    np.testing.assert_allclose(extract(noise), Extractor(unexported, backend="torch")(noise), rtol=1e-3, atol=1e-3)


def test_auto_exports_once_when_there_is_enough_to_do(unexported, noise, no_gpu, monkeypatch, exports, quick_export):
    monkeypatch.setattr(backends, "WORTH", 2e12)
    few = Extractor(unexported)
    few(noise[:2])
    assert "too few pictures for an export to pay: 2" in few.why
    assert not (unexported / "exported").exists()
    monkeypatch.setattr(backends, "WORTH", 1e3)
    monkeypatch.setattr(backends, "ORDER", ("onnx",))
    first, again = Extractor(unexported), Extractor(unexported)
    np.testing.assert_array_equal(first(noise), again(noise))
    assert "exported to" in first.why
    assert "least cosine" in first.why
    assert len(quick_export) == 1
    assert again.why.endswith(str(next((unexported / "exported").iterdir()))), "not compared again"


def test_an_export_of_other_weights_is_not_taken(exports, like_reference, tmp_path, noise, no_gpu, monkeypatch):
    """Under the name that it should have, and where exporting anew fails."""
    other = build(tmp_path / "other", like_reference, "x")
    weights = load_model(other).fingerprint
    shutil.copytree(exports.onnx, other / "exported" / f"onnx-f_i-{weights[:12]}")

    def fail(*_, **__):
        raise InputError("torch can't export this one.")

    monkeypatch.setattr(backends, "WORTH", 1e3)
    monkeypatch.setattr(backends, "ORDER", ("onnx",))
    monkeypatch.setattr(backends, "export_model", fail)
    extract = Extractor(other)
    np.testing.assert_array_equal(extract(noise), Extractor(other, device="cpu", backend="torch")(noise))
    assert extract.why.endswith("torch can't export this one.")


@pytest.mark.parametrize("change", ["runtime", "damage"])
def test_a_stale_export_is_made_anew(model, change, noise, no_gpu, monkeypatch, quick_export):
    monkeypatch.setattr(backends, "ORDER", ("onnx",))
    place = next((model / "exported").glob("onnx-*"))
    if change == "runtime":
        told = json.loads((place / ABOUT).read_text())
        told["agreement"]["runtime"] = "0.1"
        (place / ABOUT).write_text(json.dumps(told))
    else:
        (place / "features.onnx").write_bytes(b"torn")
    extract = Extractor(model)
    expected = Extractor(model, device="cpu", backend="torch")(noise)
    np.testing.assert_allclose(extract(noise), expected, rtol=1e-3, atol=1e-3)
    assert "exported to" in extract.why
    assert quick_export == [place]


def test_auto_falls_back_to_torch_and_says_why(unexported, noise, no_gpu, monkeypatch):
    monkeypatch.setattr(backends, "WORTH", 1e3)
    (unexported / "exported").write_text("in the way")
    extract = Extractor(unexported)
    expected = Extractor(unexported, device="cpu", backend="torch")(noise)
    np.testing.assert_array_equal(extract(noise), expected)
    assert "cannot write" in extract.why
    for options, reason in (({"precision": "bf16"}, "precision bf16"), ({"device": "cpu"}, "cannot write")):
        extract = Extractor(unexported, **options)
        extract(noise[:1])
        assert reason in extract.why
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    extract = Extractor(unexported)
    extract(noise[:1])
    assert "run strongreid export first" in extract.why


def test_a_gpu_keeps_torch(kept, noise, monkeypatch):
    monkeypatch.setattr("strongreid.extraction.torch_network.gpu_is_there", lambda: True)
    extract = Extractor(kept)
    extract(noise[:1])
    assert "there is a GPU" in extract.why


def test_what_an_exported_model_cannot_do_is_refused(kept):
    exported = next((kept / "exported").glob("onnx-*"))
    for options, message in (
        ({"backend": "torch"}, "runs by onnx, not by torch"),
        ({"backend": "openvino"}, "runs by onnx, not by openvino"),
        ({"feature": "f_t"}, "gives f_i, not f_t"),
        ({"device": "cuda"}, "runs on the CPU"),
        ({"precision": "bf16"}, "runs on the CPU"),
        ({"batch": 0}, "at least 1"),
    ):
        with pytest.raises(InputError, match=message):
            Extractor(exported, **options)
    with pytest.raises(InputError, match="runs on the CPU"):
        Extractor(kept, backend="onnx", device="cuda")
    extract = Extractor(kept, backend="torch", device="cpu")
    with pytest.raises(InputError, match="give its folder"):
        Extractor(load_model(kept), backend="onnx")
    assert Extractor(exported).fingerprint == extract.fingerprint


def test_boxes_are_cut_from_the_frame_and_clipped(kept):
    extract = Extractor(kept, backend="onnx")
    frame = np.random.default_rng(1).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    boxes = [[10, 20, 40, 80], [-15.4, -10, 40, 60.3], [170, 90, 100, 100]]
    cuts = [frame[20:100, 10:50], frame[0:50, 0:25], frame[90:120, 170:200]]
    expected = extract(cuts)
    np.testing.assert_allclose(extract.boxes(frame, boxes), expected, rtol=1e-5, atol=1e-5)
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "PNG")
    np.testing.assert_allclose(extract.boxes(stream.getvalue(), np.array(boxes)), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(extract.boxes(Image.fromarray(frame), boxes), expected, rtol=1e-5, atol=1e-5)
    assert extract.boxes(frame, []).shape == (0, 128)
    for wrong, message in (
        ([[10, 20, 0, 5]], "1 of 1 boxes have no pixel"),
        ([[10, 20, 5, 5], [200, 0, 9, 9]], "box 1: left 200"),
        ([[0, 0, -5, 10]], "have no pixel"),
        ([[0, 0, 5]], r"got shape \(1, 3\)"),
        ([[0, 0, 5, np.nan]], "NaN or infinity"),
        (["a box"], "boxes are numbers"),
    ):
        with pytest.raises(InputError, match=message):
            extract.boxes(frame, wrong)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_arrays_that_are_no_pictures_are_refused(kept, wrong):
    extract = Extractor(kept, backend="onnx")
    for use in (lambda: extract(wrong), lambda: extract.boxes(wrong, [[0, 0, 2, 2]])):
        with pytest.raises(InputError, match="must be"):
            use()
    with pytest.raises(InputError, match="picture of 9 bytes: not a JPEG"):
        extract(b"no JPEG..")
    with pytest.raises(InputError, match="picture of 0 bytes: the file is empty"):
        extract(b"")


def test_the_command_line_takes_any_backend(model, market, tmp_path, capsys, no_gpu):
    tables = {}
    for backend in ("torch", "onnx", "openvino", "auto"):
        output = tmp_path / f"{backend}.parquet"
        assert main(["extract", str(model), str(market / "query"), str(output), "--backend", backend]) == 0
        assert f"features by {'onnxruntime' if backend == 'auto' else backend}" in capsys.readouterr().err
        tables[backend] = FeatureTable.load(output)
    for table in tables.values():
        np.testing.assert_allclose(table.features, tables["torch"].features, rtol=1e-3, atol=1e-3)
        assert table.model == tables["torch"].model
    exported = next((model / "exported").glob("openvino-*"))
    figures = []
    for place in (model, exported):
        assert main(["evaluate", str(place), str(market), "--json", "--quiet"]) == 0
        figures.append(json.loads(capsys.readouterr().out))
    assert figures[0]["mAP"] == pytest.approx(figures[1]["mAP"], abs=1e-3)
    assert main(["evaluate", str(exported), str(market), "--backend", "torch"]) == 2
    assert "runs by openvino, not by torch" in capsys.readouterr().err
