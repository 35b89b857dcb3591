"""Which region decided: class-activation maps of pictures, and the regions by which two pictures match.

Pooling is a mean over locations, and BNNeck in evaluation is a scale and a shift. So a feature, a logit and a cosine
are sums over the locations of the last feature map, and the maps here are their summands, exactly. BNNeck's shift
belongs to no location; it is spread evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from strongreid.data.augment import normalize
from strongreid.data.images import Pictures, decode
from strongreid.errors import InputError
from strongreid.model.network import BNNeck, ReIDModel
from strongreid.model.spec import FeatureName
from strongreid.model.weights import LoadedModel

Doubles = npt.NDArray[np.float64]
_BATCH = 64
_ALLOWED = 1e-4  # by which the mean over locations may miss the pooled feature, relative to its largest number


@dataclass(frozen=True, eq=False)
class Located:
    """What a model makes of n pictures, location by location."""

    pictures: Pictures
    """(n, h, w, 3), as the model saw them."""
    local: Doubles
    """(n, rows, columns, d): at each location the feature whose mean over all locations is `feature`."""
    feature: Doubles
    """(n, d): f_i, or f_t where that was asked for."""
    logits: Doubles
    """(n, identities); (n, 0) for a model without a classifier."""
    classifier: Doubles | None
    """(identities, d), the classifier's weight, where it sees this feature."""


@dataclass(frozen=True, eq=False)
class Maps:
    """A map over each of n pictures."""

    values: Doubles
    """(n, rows, columns)"""
    kind: str
    """"class activation" or "activation energy"."""
    classes: tuple[int, ...]
    """The class that each map is of; empty for "activation energy"."""
    shares: tuple[float, ...]
    """The class's probability by softmax."""


@dataclass(frozen=True, eq=False)
class PairMaps:
    """By which locations two pictures match: each map sums to their cosine."""

    cosine: float
    a: Doubles
    """(rows, columns): what each location of a adds to the cosine."""
    b: Doubles
    """The same of b."""
    pairs: Doubles
    """(rows * columns, rows * columns): what each pair of locations adds."""

    def strongest(self, count: int) -> list[tuple[tuple[int, int], tuple[int, int], float]]:
        """The pairs that add most, no location in two of them: (row, column) in a, in b, and what they add."""
        left, columns, found = self.pairs.copy(), self.a.shape[1], []
        for _ in range(min(count, len(left))):
            place = int(left.argmax())
            one, other = divmod(place, left.shape[1])
            if left[one, other] <= 0:
                break
            found.append((divmod(one, columns), divmod(other, columns), float(left[one, other])))
            left[one], left[:, other] = -np.inf, -np.inf
        return found


@torch.no_grad()
def locate(
    model: LoadedModel,
    paths: Sequence[str | Path],
    *,
    feature: FeatureName | None = None,
    reference: Sequence[str | Path] = (),
) -> Located:
    """Run pictures through a model and keep its last feature map.

    Args:
        model: as `load_model` returned it.
        paths: of pictures; they are resized to the model's size.
        feature: None takes the one of training.
        reference: other pictures of the kind, some dozens. What a location shows on their average more or less than
            the others do (a border, the ground) is then taken off it: sums over locations stay what they were, and
            what is common to all pictures no longer hides what two have in common.

    Raises:
        InputError: there are no pictures, one can't be read, or the backbone's feature is not the mean of a map.
    """
    if not paths:
        raise InputError("there are no pictures to look at: name at least one.")
    network, chosen = model.model, feature or model.spec.feature
    pictures, maps = _maps(model, paths)
    if reference:
        usual = _maps(model, reference)[1].mean(dim=0)
        maps = maps - (usual - usual.mean(dim=(0, 1)))  # the correction is 0 on the mean over locations
    pooled = maps.mean(dim=(1, 2))
    scale, shift = neck_as_line(network)
    of_classifier = pooled * scale + shift
    local, value = (maps * scale + shift, of_classifier) if chosen == "f_i" else (maps, pooled)
    weight, logits = None, np.zeros((len(paths), 0))
    if network.classifier is not None:
        linear = network.classifier
        bias = 0 if linear.bias is None else linear.bias.double().cpu()
        logits = (of_classifier @ linear.weight.double().cpu().T + bias).numpy()
        if chosen == "f_i" or not isinstance(network.neck, BNNeck):
            weight = linear.weight.double().cpu().numpy()
    return Located(pictures, local.numpy(), value.numpy(), logits, weight)


def _maps(model: LoadedModel, paths: Sequence[str | Path]) -> tuple[Pictures, Tensor]:
    """The pictures (n, h, w, 3) and their last feature maps (n, rows, columns, d), float64 on the CPU."""
    spec, network = model.spec, model.model
    pictures = np.stack([decode(path, spec.height, spec.width) for path in paths])
    device = next(network.parameters()).device
    parts = []
    for start in range(0, len(pictures), _BATCH):
        images = normalize(torch.from_numpy(pictures[start : start + _BATCH]), spec.mean, spec.std).to(device)
        maps = network.backbone.forward_features(images)
        _check_mean(network, maps, network.backbone.forward_head(maps, pre_logits=True))
        parts.append(maps.double().cpu().permute(0, 2, 3, 1))
    return pictures, torch.cat(parts)


def neck_as_line(model: ReIDModel) -> tuple[Tensor, Tensor]:
    """Scale and shift (d,) float64 with f_i = scale * f_t + shift in evaluation; 1 and 0 without BNNeck."""
    if not isinstance(model.neck, BNNeck):
        return torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    neck = model.neck
    assert neck.running_mean is not None
    assert neck.running_var is not None
    weight, bias, mean, var = (
        value.detach().double().cpu() for value in (neck.weight, neck.bias, neck.running_mean, neck.running_var)
    )
    scale = weight / torch.sqrt(var + neck.eps)
    return scale, bias - mean * scale


def class_activation(located: Located) -> Maps:
    """What each location adds to the logit of the likeliest training identity (CAM: Zhou et al., CVPR 2016).

    The values of a map and the classifier's bias sum to the logit. Without a classifier there are no classes: then
    each value is the squared length of the location's feature, the "activation energy".
    """
    if located.classifier is None:
        return Maps(np.square(located.local).sum(axis=3), "activation energy", (), ())
    classes = located.logits.argmax(axis=1)
    weights = located.classifier[classes]
    values = np.einsum("nrcd,nd->nrc", located.local, weights) / np.prod(located.local.shape[1:3])
    odds = np.exp(located.logits - located.logits.max(axis=1, keepdims=True))
    shares = odds.max(axis=1) / odds.sum(axis=1)
    return Maps(values, "class activation", tuple(classes.tolist()), tuple(shares.tolist()))


def match_regions(located: Located, a: int = 0, b: int = 1) -> PairMaps:
    """What each location of picture a, of picture b, and each pair of them adds to the cosine of their features.

    Raises:
        InputError: a feature is zero, so that there is no cosine.
    """
    rows, columns = located.local.shape[1:3]
    parts = []
    for number in (a, b):
        length = float(np.linalg.norm(located.feature[number]))
        if length == 0:
            raise InputError(f"the feature of picture {number + 1} is zero: it has no cosine with another.")
        parts.append(located.local[number].reshape(rows * columns, -1) / (length * rows * columns))
    pairs = parts[0] @ parts[1].T
    return PairMaps(
        cosine=float(pairs.sum()),
        a=pairs.sum(axis=1).reshape(rows, columns),
        b=pairs.sum(axis=0).reshape(rows, columns),
        pairs=pairs,
    )


def _check_mean(model: ReIDModel, maps: Tensor, pooled: Tensor) -> None:
    """Refuse a backbone whose pooled feature is anything but the mean of a (n, d, rows, columns) map."""
    if maps.ndim == 4 and maps.shape[:2] == pooled.shape:
        missed = (maps.mean(dim=(2, 3)) - pooled).abs().max()
        if missed <= _ALLOWED * pooled.abs().max().clamp(min=1e-6):
            return
    raise InputError(
        f"the feature of backbone {model.settings['backbone']!r} is not the mean of a map of locations (its map has "
        f"shape {tuple(maps.shape)}): such maps can be drawn of ResNets and other convolutional networks only."
    )
