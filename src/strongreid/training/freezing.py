"""Staged unfreezing: the first stages of a backbone keep their weights for some epochs."""

from __future__ import annotations

from collections.abc import Sequence

from timm.models import group_parameters
from torch import nn

from strongreid.errors import InputError
from strongreid.model.network import ReIDModel


def stages(model: ReIDModel) -> list[list[nn.Parameter]]:
    """The backbone's parameters by stage from the input on: of a ResNet the stem and its four stages.

    timm says where a network's stages begin; what belongs to none (a last normalisation) is the last one's.
    """
    groups = group_parameters(model.backbone, model.backbone.group_matcher(coarse=True), return_values=True)
    return [list(groups[key]) for key in sorted(groups)]


def check_freezing(model: ReIDModel, freeze: Sequence[int]) -> None:
    """Refuse more numbers than the backbone has stages.

    Raises:
        InputError: it has fewer.
    """
    found = len(stages(model)) if freeze else 0
    if len(freeze) > found:
        raise InputError(
            f"optim.freeze names {len(freeze)} stages, but {model.settings['backbone']} has {found} with the stem: "
            "give at most so many numbers of epochs, the one of the stem first."
        )


def freeze_stages(model: ReIDModel, freeze: Sequence[int], epoch: int) -> bool:
    """Freeze in `epoch` (from 1) each stage i with `epoch <= freeze[i]`, and free the others; whether any changed.

    A frozen stage's normalisations are in evaluation mode, so that their statistics stay too. To be called anew
    after every `model.train()`, which would wake these.
    """
    changed = False
    if not freeze:
        return changed
    for number, parameters in enumerate(stages(model)):
        frozen = number < len(freeze) and epoch <= freeze[number]
        changed |= any(parameter.requires_grad == frozen for parameter in parameters)
        for parameter in parameters:
            parameter.requires_grad_(not frozen)
            if frozen:
                parameter.grad = None
    for module in model.backbone.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train(model.training and any(parameter.requires_grad for parameter in module.parameters()))
    return changed
