"""Backbones: any timm network by name; last stride 1 without dilation (trick 4, paper section 3.4)."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

import timm
from torch import nn

from strongreid.errors import InputError

Pretrained = bool | str

IMAGENET = {"resnet18": "tv_in1k", "resnet34": "tv_in1k", "resnet50": "tv_in1k", "resnet101": "tv_in1k"}
"""Which weights a bare name means: torchvision's first ones, the paper's, not timm's newer recipe."""

OWN: dict[str, tuple[int, ...]] = {
    "resnet10_w16": (16, 32, 64, 128),
    "resnet10_w32": (32, 64, 128, 256),
}
"""Small networks for machines without a GPU: a ResNet-10 with so many channels in its four stages, and a stem of one
4x4 convolution of stride 4: on a CPU twice as fast as convolutions with few channels on large maps."""


def create_backbone(
    name: str,
    *,
    pretrained: Pretrained = True,
    last_stride: Literal[1, 2] = 1,
    stem_relu: bool = True,
    image_size: tuple[int, int] = (256, 128),
) -> nn.Module:
    """Build a timm network without its classifier; arguments and errors as for `ReIDModel`."""
    options: dict[str, Any] = {}
    architecture = name
    if channels := OWN.get(name):
        architecture = "resnet10t"
        options |= {"channels": channels, "stem_width": channels[0] // 2, "stem_type": "deep"}
    elif not timm.is_model(architecture.split(".")[0]):
        raise InputError(_unknown(name))
    legacy = architecture.startswith("legacy_se")  # SENets with the released code's weights; timm can't dilate these
    if last_stride == 1 and not legacy:
        options["output_stride"] = 16
    if architecture.startswith(("vit_", "deit", "swin", "eva", "beit")):
        options["img_size"] = image_size
    backbone = _create(name, architecture, pretrained, options)
    if channels:
        backbone.conv1 = nn.Conv2d(3, channels[0], 4, stride=4, bias=False)
        backbone.maxpool = nn.Identity()
    if not pretrained:
        _start_at_random(backbone)
    if last_stride == 1 and legacy:
        _undo_stride(backbone.get_submodule("layer4"))
    elif last_stride == 1:
        _undo_dilation(backbone)
    if not stem_relu:
        if not isinstance(getattr(backbone, "act1", None), nn.ReLU):
            raise InputError(
                f"backbone {name!r} has no ReLU after its stem to leave out: set model.stem_relu to true."
            )
        backbone.act1 = nn.Identity()
    return backbone


def _create(name: str, architecture: str, pretrained: Pretrained, options: dict[str, Any]) -> nn.Module:
    """Call timm and turn its failures into messages."""
    check_pretrained(name, pretrained)
    if isinstance(pretrained, str):
        options["pretrained_cfg_overlay"] = {"file": pretrained}
    elif pretrained and architecture in IMAGENET:
        architecture = f"{architecture}.{IMAGENET[architecture]}"
    try:
        backbone: nn.Module = timm.create_model(architecture, pretrained=bool(pretrained), num_classes=0, **options)
    except (TypeError, AssertionError) as error:
        if "output_stride" not in options:
            raise
        raise InputError(
            f"backbone {name!r} has no last stride that can be set to 1: set model.last_stride to 2."
        ) from error
    except Exception as error:  # timm lets every kind of hub, network and file error through
        if not pretrained:
            raise
        source = pretrained if isinstance(pretrained, str) else "the model hub"
        raise InputError(
            f"cannot load ImageNet weights of {name!r} from {source}: {str(error).splitlines()[0]}. Give a weight "
            "file with --model.pretrained FILE, or start at random with --model.pretrained false."
        ) from error
    return backbone


def check_pretrained(name: str, pretrained: Pretrained) -> None:
    """Refuse weights that can't be there, before anything is built or downloaded.

    Raises:
        InputError: the backbone is one of `OWN` and weights are wanted, or there is no such file.
    """
    if pretrained and name in OWN:
        raise InputError(f"backbone {name!r} is our own and has no ImageNet weights: set model.pretrained to false.")
    if isinstance(pretrained, str) and not Path(pretrained).is_file():
        raise InputError(f"weight file {pretrained} does not exist: model.pretrained takes true, false or a file.")


def _start_at_random(backbone: nn.Module) -> None:
    """Start convolutions and normalisations as torch does, and so the released code; timm starts them otherwise.

    Adam moves a weight by about its learning rate a step, whatever the weight's size. torch's convolutions are 2.4
    times smaller than timm's, and so learn faster; timm shuts the residual branches, which a short run can't open.
    """
    for module in backbone.modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
            module.reset_parameters()


def feature_width(backbone: Any) -> int:
    """Numbers in the pooled feature of a timm network."""
    return int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)


def _undo_dilation(backbone: nn.Module) -> None:
    """Turn the dilated last stage of an `output_stride=16` network into a plain one with stride 1.

    Equal to editing the strides of a ResNet, and also right where a shortcut pools (ResNet-D, ResNeSt, RegNet).
    """
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d) and max(module.dilation) > 1 and not isinstance(module.padding, str):
            module.padding = tuple(p // d for p, d in zip(module.padding, module.dilation, strict=True))
            module.dilation = (1, 1)


def _undo_stride(stage: nn.Module) -> None:
    """Let the convolutions of a stage keep their map; its shortcut must be a convolution too, as in SENets."""
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)


def _unknown(name: str) -> str:
    known = [*OWN, *timm.list_models()]
    near = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
    hint = f"nearest: {', '.join(near)}" if near else "timm.list_models() names them all"
    return f"unknown backbone {name!r}: it must be a timm model or one of {', '.join(OWN)}; {hint}."
