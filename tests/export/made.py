"""A small model whose preprocessing is not the usual one."""

from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, save_model

SPEC = InputSpec(64, 32, mean=(0.5, 0.25, 0.125), std=(0.5, 1.0, 2.0))


def build(folder, like_reference, prefix=""):
    """Save a model folder; another prefix gives other weights."""
    model = ReIDModel("resnet10_w16", identities=3, pretrained=False, image_size=(64, 32))
    save_model(folder, like_reference(model, prefix), SPEC)
    return folder
