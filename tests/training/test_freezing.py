import pytest
import torch

from strongreid.errors import InputError
from strongreid.model.network import ReIDModel
from strongreid.training.freezing import check_freezing, freeze_stages, stages


@pytest.fixture(scope="module")
def model():
    return ReIDModel("resnet10_w16", 4, pretrained=False)


def free_parts(model):
    """First parts of the names of the parameters that learn."""
    return {name.split(".")[1] for name, p in model.backbone.named_parameters(prefix="b") if p.requires_grad}


def test_a_resnet_has_a_stem_and_four_stages_which_cover_it(model):
    found = stages(model)
    assert len(found) == 5
    assert {id(p) for stage in found for p in stage} == {id(p) for p in model.backbone.parameters()}
    assert {id(p) for p in found[0]} == {id(p) for n, p in model.backbone.named_parameters() if "layer" not in n}
    assert {id(p) for p in found[4]} == {id(p) for p in model.backbone.layer4.parameters()}


def test_stages_wake_in_the_epoch_after_the_one_named(model):
    freeze = (3, 3, 1)
    expected = {1: {"layer3", "layer4"}, 2: {"layer2", "layer3", "layer4"}, 3: {"layer2", "layer3", "layer4"}}
    for epoch, free in expected.items():
        model.train()
        assert freeze_stages(model, freeze, epoch) == (epoch != 3)
        assert free_parts(model) == free
        assert not model.backbone.layer1[0].bn1.training
        assert model.backbone.layer4[0].bn1.training
        assert all(parameter.requires_grad for parameter in model.classifier.parameters())
    assert freeze_stages(model.train(), freeze, 4)
    assert len(free_parts(model)) == 6
    assert all(module.training for module in model.modules())
    assert not model.neck.bias.requires_grad, "the bias of BNNeck is never one of them"


def test_frozen_stages_keep_weights_and_statistics():
    model = ReIDModel("resnet10_w16", 4, pretrained=False).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
    freeze_stages(model, (2, 2), 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for _ in range(2):
        model(torch.randn(4, 3, 32, 16)).logits.square().sum().backward()
        optimizer.step()
    changed = {
        name.split(".")[1] for name, tensor in model.backbone.state_dict(prefix="b.").items()
        if not torch.equal(tensor, before[f"backbone.{name[2:]}"])
    }  # fmt: skip
    assert changed == {"layer2", "layer3", "layer4"}


def test_more_numbers_than_stages_are_refused(model):
    check_freezing(model, (9,) * 5)
    check_freezing(model, ())
    with pytest.raises(InputError, match="names 6 stages, but resnet10_w16 has 5 with the stem"):
        check_freezing(model, (1,) * 6)
