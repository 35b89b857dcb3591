"""Whether two ways to compute features agree: compared on fixed made pictures, in batches of several sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.evaluation.distances import normalise

Pictures = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]
LEAST_COSINE = 0.9999
"""Features of two ways that are less alike than this are not put into one gallery."""
BATCHES = (1, 3, 16)
"""Sizes tried: an export that was traced with one size can be wrong at another."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well features agree with torch's."""

    cosine: float
    """The least cosine of any picture's two features."""
    centred: float
    """The same with the mean feature taken off, which tells apart pictures whose features are all much alike."""
    pictures: int
    batches: tuple[int, ...]

    @property
    def agrees(self) -> bool:
        """Whether both are at least `LEAST_COSINE`."""
        return min(self.cosine, self.centred) >= LEAST_COSINE

    def text(self) -> str:
        """One line."""
        sizes = ", ".join(map(str, self.batches))
        return (
            f"least cosine to torch {self.cosine:.7f}, {self.centred:.7f} with the mean taken off "
            f"({self.pictures} pictures in batches of {sizes})"
        )

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "batches": list(self.batches)}


def sample_pictures(count: int, height: int, width: int) -> Pictures:
    """Made pictures (count, height, width, 3): coarse patches of colour under noise, the same every time."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (count, 8, 4, 3))
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 4 // width
    noise = draw.integers(-30, 31, (count, height, width, 3))
    pictures: Pictures = np.clip(coarse[:, rows][:, :, columns] + noise, 0, 255).astype(np.uint8)
    return pictures


def compare(
    reference: Features,
    compute: Callable[[Pictures], Features],
    pictures: Pictures,
    batches: tuple[int, ...] = BATCHES,
) -> Agreement:
    """Compare what `compute` gives for n pictures, in batches of each size, with the `reference` (n, d).

    Raises:
        InputError: the shapes differ, or a feature is not finite.
    """
    worst = {"cosine": 1.0, "centred": 1.0}
    for size in batches:
        found = np.concatenate([compute(pictures[start : start + size]) for start in range(0, len(pictures), size)])
        if found.shape != reference.shape or not np.isfinite(found).all():
            raise InputError(
                f"in batches of {size} the exported network gives {found.dtype} {found.shape} where torch gives "
                f"{reference.shape}, or numbers that are not finite: this model can't be exported."
            )
        cosines = {"cosine": _cosines(found, reference)}
        mean = reference.mean(axis=0)
        # Of a collapsed model nothing but rounding is left without the mean.
        apart = np.linalg.norm(reference - mean, axis=1) > 1e-3 * np.linalg.norm(reference, axis=1)
        cosines["centred"] = _cosines(found[apart] - mean, reference[apart] - mean)
        for name, values in cosines.items():
            worst[name] = min(worst[name], float(values.min(initial=1.0)))
    return Agreement(**worst, pictures=len(pictures), batches=batches)


def _cosines(a: Features, b: Features) -> Features:
    """Row by row; two rows of zeros are alike."""
    cosines: Features = (normalise(a) * normalise(b)).sum(axis=1)
    cosines[~(a.any(axis=1) | b.any(axis=1))] = 1.0
    return cosines
