"""One small model and its exports, made once; tests that change one copy it."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from tests.export.made import SPEC, build

from strongreid.evaluation.calibration import Calibration
from strongreid.export.export import export_model
from strongreid.model.weights import load_model


@pytest.fixture(scope="session")
def exports(tmp_path_factory, like_reference):
    """The model folder, and it exported for both runtimes, with the agreements that were reported."""
    root = tmp_path_factory.mktemp("exports")
    model = build(root / "model", like_reference)
    Calibration(
        metric="cosine",
        slope=-20.0,
        offset=1.0,
        fpr=0.001,
        thresholds=((0.001, 0.05),),
        same_pairs=10,
        different_pairs=100,
        leave_out="same_camera",
        data="made",
        model=load_model(model).fingerprint,
    ).save(model)
    agreements = {name: export_model(model, root / name, format=name) for name in ("onnx", "openvino")}
    return SimpleNamespace(model=model, onnx=root / "onnx", openvino=root / "openvino", agreements=agreements)


@pytest.fixture(params=["onnx", "openvino"])
def exported(request, exports):
    return getattr(exports, request.param)


@pytest.fixture
def model(exports, tmp_path):
    """A copy of the model folder, to be changed."""
    shutil.copytree(exports.model, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="session")
def noise():
    """Pictures of the model's size."""
    return np.random.default_rng(0).integers(0, 256, (37, 64, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def truth(exports, noise):
    """The features of `noise` by torch, f_i and f_t, in one batch of the plain model."""
    import torch

    loaded = load_model(exports.model)
    with torch.no_grad():
        images = torch.from_numpy(noise).permute(0, 3, 1, 2).double() / 255
        mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (SPEC.mean, SPEC.std))
        output = loaded.model.double()((images - mean) / std)
    return SimpleNamespace(f_i=output.feature.numpy(), f_t=output.pooled.numpy())
