"""Verification: how far pairs of pictures of the same and of different identities lie apart, and what follows.

A pair is accepted as one identity when its distance is at most a threshold. Of the pairs of the same identity, the
share accepted is the true positive rate (TPR); of those of different identities, the false positive rate (FPR).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from strongreid.data.records import DISTRACTOR
from strongreid.errors import InputError
from strongreid.evaluation.checks import check_tables
from strongreid.evaluation.distances import (
    METRICS,
    Float32,
    Float64,
    Int64,
    Metric,
    into_distances,
    ordering_blocks,
    row_offsets,
    squared_norms,
)
from strongreid.evaluation.matching import LEAVE_OUT, LeaveOut, Matching
from strongreid.features import FeatureTable

BINS = 1 << 16
"""Bins of a histogram of distances: under "cosine" each is 2 / 65536 = 0.00003 wide."""
FPRS = (1e-1, 1e-2, 1e-3, 1e-4)
"""The false positive rates that are usually reported."""
_PIECE = 1 << 18  # cells counted at a time: 2 MB of bin numbers, which stay in the cache
_SLACK = 1e-9  # relative: 1e-4 of 10000 pairs is one pair, whatever the rounding


@dataclass(frozen=True, eq=False)
class PairDistances:
    """The distances of all pairs of a query and a gallery picture, counted in 65536 bins of equal width.

    Bin i holds the distances d with edges[i] < d <= edges[i + 1], the first also d = 0. So at thresholds that are
    edges every rate is exact; other thresholds are rounded down to one. Distances themselves are float32.

    Raises:
        InputError: counts of another shape, type or sign, or an unknown metric or rule.
    """

    metric: Metric
    upper: float
    """The upper end of the last bin: 2 under "cosine", under "euclidean" what no distance exceeds."""
    same: Int64
    """(65536,) pairs of the same identity."""
    different: Int64
    """(65536,) pairs of different identities."""
    model: str = ""
    """Fingerprint of the model that made the features; empty when unknown."""
    leave_out: LeaveOut = "same_camera"
    """Which pairs were not counted, as in `Matching`."""

    def __post_init__(self) -> None:
        if self.metric not in METRICS or self.leave_out not in LEAVE_OUT:
            raise InputError(
                f"pairs have metric {self.metric!r} and leave_out {self.leave_out!r}; allowed: "
                f"{', '.join(METRICS)}, and {', '.join(LEAVE_OUT)}."
            )
        if not 0 < self.upper < math.inf:
            raise InputError(f"the upper end of the distances is a number above 0, got {self.upper}.")
        for name in ("same", "different"):
            counts = np.asarray(getattr(self, name))
            if counts.shape != (BINS,) or counts.dtype.kind not in "iu" or (counts < 0).any():
                raise InputError(
                    f"{name} is {BINS} counts of pairs, whole numbers from 0, got {counts.dtype} {counts.shape}."
                )
            object.__setattr__(self, name, np.ascontiguousarray(counts, dtype=np.int64))

    @property
    def edges(self) -> Float64:
        """(65537,) the ends of the bins, from 0 to `upper`."""
        edges: Float64 = np.arange(BINS + 1, dtype=np.float64) * (self.upper / BINS)
        return edges

    def roc(self) -> tuple[Float64, Float64, Float64]:
        """False positive rates, true positive rates and the thresholds that give them, all ascending, as (n,) each.

        From (0, 0) to (1, 1), with a point at every edge around which there are distances.

        Raises:
            InputError: there are no pairs of the same, or none of different identities.
        """
        self.check_both()
        seen = np.flatnonzero(self.same + self.different)
        kept = np.union1d(np.concatenate([seen, seen + 1]), [0, BINS])
        same, different = _accepted(self.same)[kept], _accepted(self.different)[kept]
        return different / different[-1], same / same[-1], self.edges[kept]

    def rates_at(self, threshold: float) -> tuple[float, float]:
        """True and false positive rate when pairs of distances up to `threshold` are accepted.

        Raises:
            InputError: the threshold is not a number, or as `roc`.
        """
        if math.isnan(threshold):
            raise InputError(f"a threshold is a distance, got {threshold}.")
        self.check_both()
        place = self._place(threshold)
        same, different = (int(counts[:place].sum()) / int(counts.sum()) for counts in (self.same, self.different))
        return same, different

    def threshold_at_fpr(self, fpr: float) -> float | None:
        """The largest threshold whose false positive rate is at most `fpr`, or None where that can't be told.

        It takes `pairs_needed(fpr)` pairs of different identities: of fewer, not one may be accepted.

        Raises:
            InputError: `fpr` is not above 0 and at most 1.
        """
        needed = pairs_needed(fpr)
        total = int(self.different.sum())
        if total < needed:
            return None
        allowed = fpr * total * (1 + _SLACK)
        place = int(np.searchsorted(_accepted(self.different), allowed, side="right")) - 1
        return float(self.edges[place])

    def tpr_at_fpr(self, fpr: float) -> float | None:
        """The true positive rate at `threshold_at_fpr(fpr)`; None where there is none, or no pair of one identity.

        Raises:
            InputError: as `threshold_at_fpr`.
        """
        threshold = self.threshold_at_fpr(fpr)
        return None if threshold is None or not self.same.any() else self.rates_at(threshold)[0]

    def equal_error_rate(self) -> float:
        """The rate at which as many of the same identity are refused as of different ones accepted.

        Between two edges both rates are taken as straight lines.

        Raises:
            InputError: as `roc`.
        """
        fpr, tpr, _ = self.roc()
        excess = fpr - (1 - tpr)  # ascending from -1 to 1
        after = int(np.searchsorted(excess, 0.0))  # the first point where it is not negative, never point 0
        share = -excess[after - 1] / (excess[after] - excess[after - 1])
        return float(fpr[after - 1] + share * (fpr[after] - fpr[after - 1]))

    def check_both(self) -> None:
        """Refuse pairs of one kind only with an InputError."""
        for counts, kind in ((self.same, "the same identity"), (self.different, "different identities")):
            if not counts.any():
                raise InputError(
                    f"there are no pairs of {kind}, and rates need both kinds; give queries whose people other "
                    "cameras saw, and a gallery of several people."
                )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; a histogram is one string "bin:count bin:count ..." of the bins that are not empty."""
        return {
            "metric": self.metric,
            "leave_out": self.leave_out,
            "model": self.model,
            "upper": self.upper,
            "bins": BINS,
            "same": _written(self.same),
            "different": _written(self.different),
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> PairDistances:
        """The pairs that `to_dict` described.

        Raises:
            InputError: it is something else, or damaged.
        """
        try:
            if value["bins"] != BINS:
                raise InputError(f"it has {value['bins']} bins, this program reads {BINS}")
            return cls(
                metric=value["metric"],
                upper=float(value["upper"]),
                same=_read(value["same"]),
                different=_read(value["different"]),
                model=str(value["model"]),
                leave_out=value["leave_out"],
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            what = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise InputError(f"these pair distances are damaged ({what}); evaluate again.") from error

    def _place(self, threshold: float) -> int:
        """Bins that lie at or below the threshold; one that is an edge up to rounding is that edge."""
        share = min(max(threshold / self.upper, -1.0), 2.0)
        return min(max(math.floor(share * BINS + 1e-6), 0), BINS)


def collect_pairs(
    query: FeatureTable, gallery: FeatureTable, metric: Metric = "cosine", *, leave_out: LeaveOut = "same_camera"
) -> PairDistances:
    """Count the distances of every query to every gallery picture that it sees.

    What the protocol leaves out is left out. A distractor (identity -1) is nobody whom the data set knows: with a
    picture of a known identity it is a pair of different identities, on either side. Two distractors may be one
    person, so they are no pair. Pairs of different identities seen by one camera count, as they do in ranking.

    Memory is bounded: one block of distances, and 2 MB of bin numbers (8 bytes a gallery picture where that is more).

    Args:
        query: (q, d) features with identities and cameras.
        gallery: (g, d), the same.
        metric: "cosine" (1 - cosine), or "euclidean" on the features as they are.
        leave_out: as `Matching`.

    Raises:
        InputError: a table is empty, the tables do not belong together (dimension, model), or an argument is not
            allowed.
    """
    check_tables(query, gallery, metric)
    matching = Matching(query, gallery, leave_out)
    distractors = np.flatnonzero(gallery.identities == DISTRACTOR)
    offsets = row_offsets(query.features, metric)
    upper = _upper(query.features, gallery.features, metric)
    # Counted from the far end, since turning a float into an integer rounds down: so each bin owns its upper edge.
    everything, same, unseen = (np.zeros(BINS + 1, dtype=np.int64) for _ in range(3))
    step = max(1, _PIECE // len(gallery))
    places = np.empty((step, len(gallery)), dtype=np.intp)
    for rows, block in ordering_blocks(query.features, gallery.features, metric):
        for start in range(rows.start, rows.stop, step):
            part = slice(start, min(start + step, rows.stop))
            values = block[part.start - rows.start : part.stop - rows.start]
            into_distances(values, offsets[part], metric)
            values *= np.float32(-BINS / upper)
            values += np.float32(BINS)
            bins = places[: len(values)]
            bins[...] = values  # between 0 and BINS, both included
            everything += np.bincount(bins.reshape(-1), minlength=BINS + 1)
            matches, hidden = [], []
            for row, own in enumerate(bins, start=start):
                right, left_out = matching.of(row)
                if query.identities[row] == DISTRACTOR:
                    left_out = np.union1d(left_out, distractors)
                matches.append(own[right])
                hidden.append(own[left_out])
            same += np.bincount(np.concatenate(matches), minlength=BINS + 1)
            unseen += np.bincount(np.concatenate(hidden), minlength=BINS + 1)
    return PairDistances(
        metric=metric,
        upper=upper,
        same=_from_near(same),
        different=_from_near(everything - same - unseen),
        model=query.model or gallery.model,
        leave_out=leave_out,
    )


def pairs_needed(fpr: float) -> int:
    """Pairs of different identities below which a false positive rate can't be told apart from 0: 1 / fpr.

    That many allow one pair to be accepted: a rate read off so few is a guess. Thirty times as many give it to about
    a third (the rule of 30: Doddington et al., Speech Communication 31, 2000).

    Raises:
        InputError: `fpr` is not above 0 and at most 1.
    """
    if not 0 < fpr <= 1:
        raise InputError(f"a false positive rate to aim at is above 0 and at most 1, such as 0.001; got {fpr}.")
    return math.ceil(1 / fpr * (1 - _SLACK))


def _upper(query: Float32, gallery: Float32, metric: Metric) -> float:
    """What no distance exceeds: 2, or a little more than the longest query and the longest gallery row together."""
    if metric == "cosine":
        return 2.0
    longest = [float(np.sqrt(squared_norms(features).max())) for features in (query, gallery)]
    return 1.0001 * sum(longest) or 1.0  # with room for rounding; where all features are zero, any width is right


def _from_near(counts: Int64) -> Int64:
    """Counts from the far end, where bin BINS is distance 0, as counts from the near end."""
    near = counts[:BINS][::-1].copy()
    near[0] += counts[BINS]
    return near


def _accepted(counts: Int64) -> Int64:
    """(BINS + 1,) pairs that lie at or below each edge."""
    return np.concatenate([[0], np.cumsum(counts)])


def _written(counts: Int64) -> str:
    filled = np.flatnonzero(counts)
    return " ".join(f"{place}:{count}" for place, count in zip(filled.tolist(), counts[filled].tolist(), strict=True))


def _read(text: str) -> npt.NDArray[np.int64]:
    """The counts of `_written`; ValueError where a bin is unknown or comes twice."""
    counts = np.zeros(BINS, dtype=np.int64)
    found = np.array([pair.split(":") for pair in text.split()], dtype=np.int64).reshape(-1, 2)
    places = found[:, 0]
    if places.size and (places.min() < 0 or places.max() >= BINS or (np.diff(places) <= 0).any()):
        raise ValueError("its bins are not ascending numbers of bins")
    counts[places] = found[:, 1]
    return counts
