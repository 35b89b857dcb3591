"""From a distance to the probability of "same identity", and thresholds, kept in the model folder.

The calibration is a logistic regression on the distance in which both classes weigh the same, so its log-odds are a
log-likelihood ratio: how much likelier such a distance is between pictures of one person than of two (Brümmer, du
Preez, Computer Speech and Language 20, 2006). The prior, how likely a match is before looking, is the user's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.evaluation.distances import METRICS, Float64, Metric
from strongreid.evaluation.logistic import class_shares, fit_logistic, logistic
from strongreid.evaluation.matching import LeaveOut
from strongreid.evaluation.pairs import PairDistances, pairs_needed
from strongreid.files import write_json

FILE = "calibration.json"
"""Its name in a model folder."""
FORMAT = "strongreid.calibration"
VERSION = 1
STORED_FPRS = (1e-2, 1e-3, 1e-4)
"""False positive rates for which a threshold is kept, besides the one chosen."""


@dataclass(frozen=True)
class Calibration:
    """What a distance of one model means; arrays of distances have any shape."""

    metric: Metric
    slope: float
    """Of the log-likelihood ratio by distance; below 0: the farther, the less likely the same identity."""
    offset: float
    """The log-likelihood ratio at distance 0."""
    fpr: float
    """The false positive rate of pairs that `threshold()` aims at."""
    thresholds: tuple[tuple[float, float | None], ...]
    """False positive rates, descending, each with its threshold, or None where there were too few pairs."""
    same_pairs: int
    """Pairs of the same identity that it was fitted on."""
    different_pairs: int
    leave_out: LeaveOut
    """Which pairs were not counted, as in `Matching`."""
    data: str = ""
    """The data set it was fitted on."""
    model: str = ""
    """Fingerprint of the model that made the features; empty when unknown."""

    @classmethod
    def fit(cls, pairs: PairDistances, *, fpr: float = 1e-3, data: str = "") -> Calibration:
        """Fit the regression, as `fit_logistic`, and read off the thresholds.

        Args:
            pairs: with both kinds.
            fpr: the false positive rate of pairs that `threshold()` aims at.
            data: what to call the data.

        Raises:
            InputError: there are no pairs of the same or of different identities, too few different ones for `fpr`,
                or pairs of the same identity are no nearer than others.
        """
        pairs.check_both()
        same_pairs, different_pairs = int(pairs.same.sum()), int(pairs.different.sum())
        if different_pairs < pairs_needed(fpr):
            raise InputError(
                f"a threshold for a false positive rate of {fpr:g} takes at least {pairs_needed(fpr)} pairs of "
                f"different identities, there are {different_pairs}; give more people, or aim at a higher rate."
            )
        slope, offset = fit_logistic(pairs)
        if slope >= 0:
            raise InputError(
                f"the {same_pairs} pairs of the same identity are no nearer than the {different_pairs} of different "
                "ones, so a distance says nothing; check the identities, or train the model first."
            )
        wanted = sorted({*STORED_FPRS, fpr}, reverse=True)
        return cls(
            metric=pairs.metric,
            slope=slope,
            offset=offset,
            fpr=fpr,
            thresholds=tuple((rate, pairs.threshold_at_fpr(rate)) for rate in wanted),
            same_pairs=same_pairs,
            different_pairs=different_pairs,
            leave_out=pairs.leave_out,
            data=data,
            model=pairs.model,
        )

    def log_likelihood_ratio(self, distance: npt.ArrayLike) -> Float64:
        """log(p(distance | same identity) / p(distance | different identities)), natural: slope * distance + offset.

        Above 0 for what is likelier between pictures of one person. A straight line: it goes on beyond the distances
        that the data had.
        """
        ratio: Float64 = np.asarray(distance, dtype=np.float64) * self.slope + self.offset
        return ratio

    def probability(self, distance: npt.ArrayLike, prior: float = 0.5) -> Float64:
        """The probability that two pictures at this distance show the same identity, in 0..1.

        Args:
            distance: of any shape, in the calibration's metric.
            prior: how likely that was before looking, above 0 and below 1. Searching a gallery of n people for one
                who is in it with probability p, it is p / n for each.

        Raises:
            InputError: the prior is out of range.
        """
        return logistic(self.log_likelihood_ratio(distance) + _log_odds(prior))

    def threshold(self, fpr: float | None = None) -> float:
        """The largest distance to accept for a false positive rate of pairs; None takes the chosen `fpr`.

        Raises:
            InputError: none is kept for that rate.
        """
        wanted = self.fpr if fpr is None else fpr
        kept = {rate: threshold for rate, threshold in self.thresholds if threshold is not None}
        if wanted not in kept:
            few = " for which there were too few pairs" if wanted in dict(self.thresholds) else ""
            raise InputError(
                f"this calibration has no threshold for a false positive rate of {wanted:g}{few}; it has "
                f"{', '.join(f'{rate:g}' for rate in kept)}. Calibrate again with --fpr {wanted:g}, on enough data."
            )
        return kept[wanted]

    def accepts(self, distance: npt.ArrayLike, fpr: float | None = None) -> npt.NDArray[np.bool_]:
        """Whether each distance passes `threshold(fpr)`; what does not is "unknown".

        Raises:
            InputError: as `threshold`.
        """
        return np.asarray(np.asarray(distance, dtype=np.float64) <= self.threshold(fpr))

    def check_fits(self, pairs: PairDistances) -> None:
        """Refuse distances of another metric or model with an InputError."""
        self.check_belongs(pairs.metric, pairs.model)

    def save(self, folder: str | Path) -> Path:
        """Write `calibration.json` into the model's folder, atomically; an older one is replaced.

        Saving another model there removes it with the rest of the folder.

        Raises:
            InputError: the folder holds another model or none, or the file can't be written.
        """
        folder = Path(folder)
        self._check_folder(folder)
        write_json(folder / FILE, self.to_dict())
        return folder / FILE

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, with format and version."""
        thresholds = [{"fpr": fpr, "threshold": threshold} for fpr, threshold in self.thresholds]
        return {"format": FORMAT, "version": VERSION} | asdict(self) | {"thresholds": thresholds}

    @classmethod
    def from_dict(cls, value: Any) -> Calibration:
        """Read what `to_dict` gave.

        Raises:
            InputError: it is something else, of another version, or damaged.
        """
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise InputError(f"this is no calibration: it lacks the format {FORMAT!r}; calibrate again.")
        if value.get("version") != VERSION:
            raise InputError(
                f"this is a calibration of version {value.get('version')}, this program reads {VERSION}; update "
                "strongreid, or calibrate again."
            )
        try:
            return cls(**_fields(value))
        except (KeyError, TypeError, ValueError) as error:
            what = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise InputError(f"damaged ({what}); calibrate again.") from error

    @classmethod
    def load(cls, folder: str | Path, *, model: str | None = None, metric: Metric | None = None) -> Calibration:
        """Read the calibration in a model folder.

        Args:
            folder: of the model.
            model: refuse a calibration for features of another fingerprint (`Extractor.fingerprint`).
            metric: refuse a calibration of another metric.

        Raises:
            InputError: there is none, it is damaged, or it belongs to another model or metric.
        """
        path = Path(folder) / FILE
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(
                f"{folder} has no {FILE}: run strongreid calibrate {folder} DATA on a labelled data set first."
            ) from error
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is damaged or no JSON ({error}); calibrate again.") from error
        try:
            calibration = cls.from_dict(value)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        calibration._check_folder(Path(folder))
        calibration.check_belongs(metric, model)
        return calibration

    def check_belongs(self, metric: Metric | None, model: str | None) -> None:
        """Refuse another metric, or features of another model, with an InputError; None and "" pass."""
        if metric is not None and metric != self.metric:
            raise InputError(
                f"this calibration is of {self.metric} distances and says nothing about {metric} ones; compare by "
                f"{self.metric}, or calibrate again with {metric}."
            )
        if model and self.model and model != self.model:
            raise InputError(
                f"this calibration belongs to features of {self.model!r}, got those of {model!r} (the model, or "
                "averaging with mirrored pictures, differs); calibrate again as the features are made."
            )

    def _check_folder(self, folder: Path) -> None:
        """Refuse a folder of another model, going by the fingerprint in its model.json."""
        try:
            found = json.loads((folder / "model.json").read_text(encoding="utf-8"))["sha256"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{folder} is not a model folder ({error!r}): a calibration stays beside its model.json."
            ) from error
        if self.model.split("+")[0] != found:  # what follows a plus is how the features were made
            raise InputError(
                f"this calibration belongs to the model {self.model or 'unknown'!r}, but {folder} holds {found!r}; "
                "calibrate the model that is there."
            )


class ReliabilityRow(NamedTuple):
    """Pairs of about the same predicted probability."""

    predicted: float
    """Their mean predicted probability."""
    observed: float
    """The share of them that are of the same identity."""
    weight: float
    """Their share of all pairs."""


def reliability(
    pairs: PairDistances, calibration: Calibration, bins: int = 10, prior: float = 0.5
) -> list[ReliabilityRow]:
    """Predicted against observed, of pairs grouped by predicted probability.

    The groups are `bins` parts of 0..1 of equal width; empty ones are left out. Pairs are weighted such that those of
    the same identity make up the share `prior`. Use pairs of other people than the calibration was fitted on.

    Raises:
        InputError: fewer than 1 bin, a prior out of range, another metric or model than the calibration's, or no
            pairs of the same or of different identities.
    """
    if bins < 1:
        raise InputError(f"reliability takes at least 1 bin, got {bins}.")
    calibration.check_fits(pairs)
    distances, same, different = class_shares(pairs)
    predicted = calibration.probability(distances, prior)
    same, weights = prior * same, prior * same + (1 - prior) * different
    group = np.minimum((predicted * bins).astype(np.intp), bins - 1)
    totals, hits, sums = (np.bincount(group, part, bins) for part in (weights, same, weights * predicted))
    return [
        ReliabilityRow(float(sums[i] / totals[i]), float(hits[i] / totals[i]), float(totals[i]))
        for i in np.flatnonzero(totals).tolist()
    ]


def expected_calibration_error(rows: Sequence[ReliabilityRow]) -> float:
    """Mean distance of predicted and observed over the rows of `reliability`, by their weights; 0 is best."""
    return sum(row.weight * abs(row.predicted - row.observed) for row in rows)


def _log_odds(prior: float) -> float:
    if not 0 < prior < 1:
        raise InputError(f"a prior is a probability above 0 and below 1, got {prior}.")
    return math.log(prior / (1 - prior))


def _fields(value: dict[str, Any]) -> dict[str, Any]:
    """The fields of a calibration from its JSON object; KeyError, TypeError or ValueError where that is damaged."""
    fields = {name: value[name] for name in Calibration.__dataclass_fields__}
    numbers = [float(fields[name]) for name in ("slope", "offset", "fpr")]
    if not all(map(math.isfinite, numbers)) or numbers[0] >= 0 or fields["metric"] not in METRICS:
        raise ValueError("its slope, offset, rate or metric is not one that a fit gives")
    kept = [(float(row["fpr"]), row["threshold"]) for row in fields["thresholds"]]
    thresholds = tuple((fpr, None if threshold is None else float(threshold)) for fpr, threshold in kept)
    if dict(thresholds).get(numbers[2]) is None:
        raise ValueError("it has no threshold for the rate it was made for")
    named = dict(zip(("slope", "offset", "fpr"), numbers, strict=True))
    counts = {name: int(fields[name]) for name in ("same_pairs", "different_pairs")}
    texts = {name: str(fields[name]) for name in ("data", "model")}
    return fields | named | counts | texts | {"thresholds": thresholds}
