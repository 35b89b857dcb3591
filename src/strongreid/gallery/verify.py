"""Two pictures: the same person or not."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.evaluation.calibration import Calibration
from strongreid.evaluation.distances import Metric, normalise


@dataclass(frozen=True)
class Verification:
    """Whether two pictures show the same person, and how sure that is."""

    same: bool
    """The distance is at most the threshold."""
    probability: float
    """At the prior."""
    cosine: float
    distance: float
    """In the calibration's metric."""
    metric: Metric
    threshold: float
    fpr: float
    """The share of pairs of different people that the threshold lets pass."""
    prior: float

    def table(self) -> str:
        """As text."""
        return (
            f"{'same' if self.same else 'not the same'}: {self.metric} distance {self.distance:.4f}, threshold "
            f"{self.threshold:.4f} (which {100 * self.fpr:g} % of pairs of different people pass)\n"
            f"probability {self.probability:.4f} at a prior of {self.prior:g}, cosine {self.cosine:.4f}"
        )

    def json(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=2)


def verify(
    a: npt.ArrayLike, b: npt.ArrayLike, calibration: Calibration, *, prior: float = 0.5, fpr: float | None = None
) -> Verification:
    """Compare the features, (d,) or (1, d), of two pictures.

    Raises:
        InputError: the features do not have one shape or are not finite, the prior is out of range, or there is no
            threshold for that rate.
    """
    both = [np.asarray(feature, dtype=np.float32).reshape(-1) for feature in (a, b)]
    if both[0].shape != both[1].shape or not both[0].size or not all(np.isfinite(feature).all() for feature in both):
        raise InputError(
            f"verify takes two features of finite numbers and one length, got {both[0].shape} and {both[1].shape}."
        )
    one, other = normalise(np.stack(both)).astype(np.float64)
    cosine = float(one @ other)
    euclidean = float(np.linalg.norm(both[0].astype(np.float64) - both[1]))
    distance = max(0.0, 1 - cosine) if calibration.metric == "cosine" else euclidean
    threshold = calibration.threshold(fpr)
    return Verification(
        same=distance <= threshold,
        probability=float(calibration.probability(distance, prior)),
        cosine=cosine,
        distance=distance,
        metric=calibration.metric,
        threshold=threshold,
        fpr=calibration.fpr if fpr is None else fpr,
        prior=prior,
    )
