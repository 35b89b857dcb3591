import numpy as np
import pytest
import torch
from torch import nn

from strongreid.errors import InputError
from strongreid.model.backbones import create_backbone
from strongreid.model.network import BNNeck, ReIDModel, map_shape

GOLDEN = np.load("tests/golden/model.npz")


@pytest.mark.parametrize("backbone", ["resnet50", "resnet18"])
@pytest.mark.parametrize("stride", [1, 2])
def test_outputs_equal_the_released_model(backbone, stride, like_reference):
    model = like_reference(ReIDModel(backbone, 751, last_stride=stride, pretrained=False, stem_relu=False)).eval()
    with torch.no_grad():
        output = model(torch.from_numpy(GOLDEN["model_images"]))
    for name, found in (("ft", output.pooled), ("fi", output.feature), ("logits", output.logits)):
        expected = GOLDEN[f"model_{backbone}_stride{stride}_{name}"]
        assert np.abs(found.numpy() - expected).max() <= 1e-3 * np.abs(expected).max()
    assert map_shape(model, (256, 128)) == tuple(GOLDEN[f"model_{backbone}_stride{stride}_map_shape"][1:])


@pytest.mark.parametrize(
    "backbone",
    ["resnet10_w16", "regnety_002", "convnext_atto", "resnest14d", "efficientnet_lite0", "legacy_seresnet18"],
)
def test_last_stride_1_doubles_the_map_and_dilates_nothing(backbone):
    maps = {
        stride: map_shape(ReIDModel(backbone, last_stride=stride, pretrained=False), (128, 64)) for stride in (1, 2)
    }
    assert maps[1] == (maps[2][0], 2 * maps[2][1], 2 * maps[2][2])
    plain = create_backbone(backbone, pretrained=False, last_stride=1)
    assert all(max(m.dilation) == 1 for m in plain.modules() if isinstance(m, nn.Conv2d))


def test_last_stride_1_adds_no_weights():
    counts = [
        sum(p.numel() for p in create_backbone("resnet18", pretrained=False, last_stride=s).parameters())
        for s in (1, 2)
    ]
    assert counts[0] == counts[1]


def test_both_modes_return_the_same_type_and_shapes():
    model = ReIDModel("resnet10_w16", 7, pretrained=False)
    images = torch.randn(4, 3, 64, 32)
    shapes = [[tuple(part.shape) for part in mode(images)] for mode in (model.train(), model.eval())]
    assert shapes[0] == shapes[1] == [(4, 128), (4, 128), (4, 7)]


@pytest.mark.parametrize("backbone", ["resnet18", "resnet10_w16", "regnety_002"])
def test_from_scratch_it_starts_as_torch_does(backbone):
    model = create_backbone(backbone, pretrained=False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert torch.equal(module.weight, torch.ones_like(module.weight))
        if isinstance(module, nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5  # uniform within 1 / sqrt(fan in)
            assert 0.8 * bound < module.weight.abs().max() <= bound


def test_bnneck_bias_is_frozen_and_the_classifier_has_none():
    model = ReIDModel("resnet10_w16", 50, pretrained=False)
    assert isinstance(model.neck, BNNeck)
    assert not model.neck.bias.requires_grad
    assert model.neck.weight.requires_grad
    assert model.classifier.bias is None
    assert 0.0005 < model.classifier.weight.std() < 0.0015


def test_without_neck_the_two_features_are_one_and_the_classifier_has_a_bias():
    model = ReIDModel("resnet10_w16", 5, neck="none", pretrained=False)
    output = model(torch.randn(2, 3, 64, 32))
    assert output.feature is output.pooled
    assert model.classifier.bias is not None


def test_without_identities_there_are_no_logits():
    assert ReIDModel("resnet10_w16", pretrained=False).eval()(torch.randn(2, 3, 64, 32)).logits.shape == (2, 0)


def test_the_stem_relu_is_a_switch():
    assert isinstance(create_backbone("resnet18", pretrained=False).act1, nn.ReLU)
    assert isinstance(create_backbone("resnet18", pretrained=False, stem_relu=False).act1, nn.Identity)
    with pytest.raises(InputError, match="no ReLU after its stem"):
        create_backbone("convnext_atto", pretrained=False, stem_relu=False)


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_transformers_take_the_picture_size(backbone):
    size = (224, 112)
    model = ReIDModel(backbone, 3, last_stride=2, pretrained=False, image_size=size).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, *size)).feature.shape == (1, model.dim)
    with pytest.raises(InputError, match="no last stride that can be set to 1"):
        ReIDModel(backbone, 3, last_stride=1, pretrained=False)


def test_an_unknown_backbone_names_the_nearest():
    with pytest.raises(InputError, match=r"unknown backbone 'resnet5O'.*resnet50"):
        ReIDModel("resnet5O", pretrained=False)


def test_weights_from_a_file_are_the_files(tmp_path):
    source = create_backbone("resnet18", pretrained=False, last_stride=2)
    state = source.state_dict() | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "resnet18.pth")
    loaded = create_backbone("resnet18", pretrained=str(tmp_path / "resnet18.pth"))
    for name, tensor in source.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [
        ("nowhere.pth", "weight file nowhere.pth does not exist"),
        (True, r"cannot load ImageNet weights.*--model.pretrained"),
    ],
)
def test_weights_that_cannot_be_had_are_refused(pretrained, message, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=message):
        create_backbone("resnet50", pretrained=pretrained)


def test_our_own_backbones_have_no_imagenet_weights():
    with pytest.raises(InputError, match="has no ImageNet weights"):
        create_backbone("resnet10_w16", pretrained=True)
