"""Twelve steps of the whole recipe against the losses recorded from the paper authors' code."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from strongreid.losses import BagOfTricksLoss
from strongreid.model.network import ReIDModel
from strongreid.model.winograd import use_winograd
from strongreid.training.optimizers import create_optimizers, set_learning_rate

FULL = Path(__file__).parents[2] / "../shared/conformance/bag_of_tricks.npz"


def run(golden, steps, like_reference, dtype=torch.float64, winograd=False):
    model = like_reference(ReIDModel("resnet18", 20, pretrained=False, stem_relu=False), "traj.").train().to(dtype)
    if winograd:
        assert use_winograd(model.to(memory_format=torch.channels_last))
    criterion = BagOfTricksLoss(20, 512).to(dtype)
    start = np.random.RandomState(zlib.crc32(b"traj.centers")).standard_normal((20, 512))
    criterion.center.centers.data = torch.from_numpy(start.astype(np.float32)).to(dtype)
    optimizers = create_optimizers(model, criterion, lr=1.0, weight_decay=5e-4, center_lr=0.5)
    rows = []
    for step in range(steps):
        set_learning_rate(optimizers[0], float(golden["traj_losses"][step, 4]))
        images, labels = (torch.from_numpy(golden[f"traj_{name}"][step]) for name in ("images", "labels"))
        terms = criterion(model(images.to(dtype)), labels)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        for optimizer in optimizers:
            optimizer.step()
        identity, triplet, center = (terms[name].item() for name in ("identity", "triplet", "center"))
        rows.append([identity + triplet + center, identity, triplet, center / 0.0005])
    return np.array(rows), model, criterion


# Adam divides by the gradient's size, so that after one step float32 rounding differs by a few thousandths from CPU
# to CPU. float64 has no such spread and shows that the recipe is the same.


@pytest.mark.parametrize(
    ("dtype", "winograd", "tolerance"),
    [(torch.float64, False, 1e-3), (torch.float32, False, 5e-3), (torch.float32, True, 5e-3)],
)
def test_the_first_steps_equal_the_released_code(like_reference, dtype, winograd, tolerance):
    golden = np.load("tests/golden/trajectory.npz")
    found, _, _ = run(golden, len(golden["traj_images"]), like_reference, dtype, winograd)
    np.testing.assert_allclose(found, golden["traj_losses"][: len(found), :4], rtol=tolerance)


@pytest.mark.skipif(not FULL.is_file(), reason="the full recorded trajectory (5 MB) is not beside this checkout")
def test_twelve_steps_equal_the_released_code(like_reference):
    golden = np.load(FULL)
    found, model, criterion = run(golden, 12, like_reference, torch.float32)
    total, identity, triplet, center = np.abs(found / golden["traj_losses"][:, :4] - 1).T
    assert max(total.max(), identity.max(), center.max()) <= 2e-2
    assert triplet.max() <= 5e-2  # the hardest pairs jump between runs that differ in rounding alone
    for tensor, name in (
        (criterion.center.centers, "traj_centers_after"),
        (model.classifier.weight, "traj_classifier_after"),
        (model.neck.weight, "traj_bnneck_weight_after"),
    ):
        expected = golden[name]
        assert np.abs(tensor.detach().numpy() - expected).max() <= 2e-2 * np.abs(expected).max(), name
