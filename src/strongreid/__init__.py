"""Re-identification: is this the person, vehicle or animal that another camera saw?

The public names are imported when first used, so that `import strongreid` is quick and needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strongreid.config import PRESETS, Config
    from strongreid.data.readers import read_dataset
    from strongreid.data.records import ImageRecord, ReIDDataset
    from strongreid.errors import InputError
    from strongreid.evaluation import EvalResult, evaluate
    from strongreid.extraction import Extractor
    from strongreid.features import FeatureTable
    from strongreid.gallery import Gallery
    from strongreid.model.network import Output, ReIDModel
    from strongreid.model.weights import load_model, save_model
    from strongreid.synthetic.dataset import WorldSettings, synthesize
    from strongreid.training.loop import train

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Config",
    "EvalResult",
    "Extractor",
    "FeatureTable",
    "Gallery",
    "ImageRecord",
    "InputError",
    "Output",
    "ReIDDataset",
    "ReIDModel",
    "WorldSettings",
    "evaluate",
    "load_model",
    "read_dataset",
    "save_model",
    "synthesize",
    "train",
]

_HOMES = {
    "PRESETS": "config",
    "Config": "config",
    "EvalResult": "evaluation",
    "Extractor": "extraction",
    "FeatureTable": "features",
    "Gallery": "gallery",
    "ImageRecord": "data.records",
    "InputError": "errors",
    "Output": "model.network",
    "ReIDDataset": "data.records",
    "ReIDModel": "model.network",
    "WorldSettings": "synthetic.dataset",
    "evaluate": "evaluation",
    "load_model": "model.weights",
    "read_dataset": "data.readers",
    "save_model": "model.weights",
    "synthesize": "synthetic.dataset",
    "train": "training.loop",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'strongreid' has no attribute {name!r}")
    try:
        home = import_module(f"strongreid.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "torchvision", "timm"):
            raise
        raise ModuleNotFoundError(
            f"strongreid.{name} needs {error.name}: pip install 'strongreid[train]'", name=error.name
        ) from error
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted(__all__)
