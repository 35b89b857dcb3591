import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from strongreid.losses import (
    BagOfTricksLoss,
    CenterLoss,
    batch_hard_triplet,
    euclidean_distances,
    hardest,
    identity_loss,
    in_units_of_spread,
)
from strongreid.model.network import Output

GOLDEN = {name: torch.from_numpy(np.asarray(value)) for name, value in np.load("tests/golden/losses.npz").items()}
LABELS = GOLDEN["labels"]


def test_label_smoothing_equals_the_released_loss():
    logits = GOLDEN["ls_logits"].clone().requires_grad_()
    loss = identity_loss(logits, LABELS, 0.1)
    loss.backward()
    torch.testing.assert_close(loss.detach(), GOLDEN["ls_loss"], rtol=0, atol=1e-5)
    torch.testing.assert_close(logits.grad, GOLDEN["ls_grad"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("case", "margin"), [("margin", 0.3), ("soft", None), ("margin_normalized", 0.3)])
def test_triplet_equals_the_released_loss(case, margin):
    feature = GOLDEN["feat"].clone().requires_grad_()
    used = feature / feature.norm(dim=1, keepdim=True) if case.endswith("normalized") else feature
    farthest, nearest, counts = hardest(euclidean_distances(used), LABELS)
    assert counts.all()
    loss = batch_hard_triplet(used, LABELS, margin)
    loss.backward()
    for found, name in ((farthest, "dist_ap"), (nearest, "dist_an"), (loss, "loss")):
        torch.testing.assert_close(found.detach(), GOLDEN[f"tri_{case}_{name}"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(feature.grad, GOLDEN[f"tri_{case}_grad"], rtol=0, atol=1e-4)


def test_center_loss_and_its_update_equal_the_released_code():
    names, labels = np.unique(LABELS.numpy(), return_inverse=True)
    center = CenterLoss(len(names), 256)
    center.centers.data = GOLDEN["center_rows"].clone()
    feature = GOLDEN["feat"].clone().requires_grad_()
    loss = center(feature, torch.from_numpy(labels))
    torch.testing.assert_close(loss.detach(), GOLDEN["center_loss"], rtol=1e-4, atol=0)
    optimizer = torch.optim.SGD(center.parameters(), lr=0.5 / 0.0005)
    (0.0005 * loss).backward()
    torch.testing.assert_close(feature.grad, GOLDEN["center_weighted_feat_grad"], rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(
        center.centers.grad / 0.0005, GOLDEN["center_grad_rescaled_rows"], rtol=1e-4, atol=1e-5
    )
    optimizer.step()
    torch.testing.assert_close(center.centers.data, GOLDEN["centers_after_sgd_rows"], rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(labels=st.lists(st.integers(0, 3), min_size=2, max_size=12), seed=st.integers(0, 99))
def test_triplet_equals_a_loop_over_all_triplets_for_any_counts(labels, seed):
    feature = torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float()
    losses = []
    for a, label in enumerate(labels):
        positives = [(feature[a] - feature[p]).norm() for p, other in enumerate(labels) if other == label and p != a]
        negatives = [(feature[a] - feature[n]).norm() for n, other in enumerate(labels) if other != label]
        if positives and negatives:
            losses.append(max(0.0, float(max(positives) - min(negatives)) + 0.3))
    expected = sum(losses) / len(losses) if losses else 0.0
    assert float(batch_hard_triplet(feature, torch.tensor(labels))) == pytest.approx(expected, abs=2e-4)


def test_in_units_of_the_spread_neither_size_nor_place_counts_and_nothing_pulls_inwards():
    feature = torch.randn(8, 6, requires_grad=True)
    labels = torch.arange(4).repeat_interleave(2)
    found = in_units_of_spread(feature)
    assert found.mean(0).abs().max() < 1e-6
    assert found.square().sum(1).mean().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(in_units_of_spread(100 * feature + 7), found, rtol=0, atol=1e-4)
    loss = BagOfTricksLoss(4, 6, triplet_units="spread", triplet_weight=2.0, center_weight=0)
    term = loss(Output(feature, feature, torch.zeros(8, 4)), labels)["triplet"]
    assert term.item() == pytest.approx(2 * batch_hard_triplet(found, labels).item(), abs=1e-5)
    term.backward()
    centred = feature.detach() - feature.detach().mean(0)
    assert feature.grad.abs().max() > 1e-3
    assert (feature.grad * centred).sum().abs() < 1e-5, "along this all features would shrink"


def test_equal_features_have_no_spread_and_give_finite_numbers():
    feature = torch.ones(8, 6, requires_grad=True)
    batch_hard_triplet(in_units_of_spread(feature), torch.arange(4).repeat_interleave(2)).backward()
    assert torch.isfinite(feature.grad).all()


def test_a_batch_without_triplets_costs_nothing_and_has_a_gradient():
    feature = torch.randn(4, 8, requires_grad=True)
    batch_hard_triplet(feature, torch.zeros(4, dtype=torch.long)).backward()
    assert torch.equal(feature.grad, torch.zeros(4, 8))


def test_distances_stay_in_float32_under_autocast():
    feature = torch.randn(16, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = euclidean_distances(feature.bfloat16())
    assert found.dtype == torch.float32
    expected = torch.cdist(feature.bfloat16().float(), feature.bfloat16().float())
    torch.testing.assert_close(found.fill_diagonal_(0), expected, atol=2e-3, rtol=0)


def test_terms_are_weighted_and_a_term_that_is_off_is_absent():
    output = Output(torch.randn(8, 6), torch.randn(8, 6), torch.randn(8, 4))
    labels = torch.arange(4).repeat_interleave(2)
    full = BagOfTricksLoss(4, 6, center_weight=0.25, triplet_weight=2.0)
    terms = full(output, labels)
    assert set(terms) == {"identity", "triplet", "center"}
    assert terms["center"].item() == pytest.approx(0.25 * full.center(output.pooled, labels).item())
    assert terms["triplet"].item() == pytest.approx(2 * batch_hard_triplet(output.pooled, labels).item())
    plain = BagOfTricksLoss(4, 6, center_weight=0, triplet_weight=0, label_smoothing=0)
    assert set(plain(output, labels)) == {"identity"}
    assert not list(plain.parameters())


def test_trivial_values_are_those_of_a_network_that_sees_nothing():
    criterion = BagOfTricksLoss(20, 6)
    same = torch.ones(8, 6)
    terms = criterion(Output(same, same, torch.zeros(8, 20)), torch.arange(4).repeat_interleave(2))
    trivial = criterion.trivial(20)
    assert trivial == {"identity": math.log(20), "triplet": 0.3}
    assert set(BagOfTricksLoss(20, 6, triplet_units="spread").trivial(20)) == {"identity"}
    for name, value in trivial.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-4)
