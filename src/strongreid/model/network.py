"""The network: backbone, global pooling, BNNeck (trick 5, paper section 3.5), classifier."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from strongreid.errors import InputError
from strongreid.model.backbones import Pretrained, create_backbone, feature_width

Neck = Literal["bnneck", "none"]


class Output(NamedTuple):
    """What the model returns in training and in evaluation mode alike; d is the backbone's width."""

    pooled: Tensor
    """f_t (b, d): before BNNeck; for triplet and center loss."""
    feature: Tensor
    """f_i (b, d): after BNNeck; for the classifier and for retrieval. The same as `pooled` without a neck."""
    logits: Tensor
    """(b, identities); (b, 0) for a model without a classifier."""


class BNNeck(nn.BatchNorm1d):
    """Batch normalisation between the two features, with a bias frozen at 0 (section 3.5)."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.bias.requires_grad_(False)


class ReIDModel(nn.Module):
    """Backbone, pooling, neck and classifier of the strong baseline."""

    def __init__(
        self,
        backbone: str = "resnet50",
        identities: int | None = None,
        last_stride: Literal[1, 2] = 1,
        neck: Neck = "bnneck",
        pretrained: Pretrained = True,
        stem_relu: bool = True,
        image_size: tuple[int, int] = (256, 128),
    ) -> None:
        """Build the model.

        Args:
            backbone: any timm name, or one of `backbones.OWN`.
            identities: how many to classify; None leaves the classifier out.
            last_stride: 1 keeps the last stage's map as large as the stage before (trick 4); 2 is the usual network.
            neck: "bnneck", or "none": a linear classifier with bias on the pooled feature.
            pretrained: True downloads ImageNet weights, False starts at random, a path reads a weight file.
            stem_relu: False leaves the ReLU after the stem's BatchNorm out, as the paper's released code does.
            image_size: height and width in pixels, for backbones that need to know.

        Raises:
            InputError: unknown backbone (with the nearest names), weights that can't be had or don't fit, or a
                backbone without a last stride to change.
        """
        super().__init__()
        self.settings: dict[str, Any] = {
            "backbone": backbone,
            "identities": identities,
            "last_stride": last_stride,
            "neck": neck,
            "stem_relu": stem_relu,
            "image_size": image_size,
        }
        """What it takes to build this model again, apart from the weights."""
        self.backbone: Any = create_backbone(
            backbone,
            pretrained=pretrained,
            last_stride=last_stride,
            stem_relu=stem_relu,
            image_size=image_size,
        )
        self.dim = feature_width(self.backbone)
        self.neck: nn.Module = BNNeck(self.dim) if neck == "bnneck" else nn.Identity()
        self.classifier: nn.Linear | None = None
        if identities is not None:
            if identities < 1:
                raise InputError(f"identities is {identities}: a classifier needs at least 1, or None for none.")
            self.classifier = nn.Linear(self.dim, identities, bias=neck == "none")
            if neck == "bnneck":
                nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, images: Tensor) -> Output:
        """Normalised images (b, 3, h, w) to `Output`."""
        pooled = self.backbone.forward_head(self.backbone.forward_features(images), pre_logits=True)
        feature = self.neck(pooled)
        logits = feature.new_zeros(len(feature), 0) if self.classifier is None else self.classifier(feature)
        return Output(pooled, feature, logits)


@torch.no_grad()
def map_shape(model: ReIDModel, image_size: tuple[int, int]) -> tuple[int, ...]:
    """Shape of the last feature map for one picture, without the batch: (channels, height, width) for a CNN."""
    was_training = model.training
    model.eval()
    shape = model.backbone.forward_features(torch.zeros(1, 3, *image_size)).shape[1:]
    model.train(was_training)
    return tuple(shape)
