"""Calibrating on one half of the people and reporting on the other: the whole of it in one call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strongreid.data.records import DISTRACTOR
from strongreid.errors import InputError
from strongreid.evaluation.calibration import Calibration, ReliabilityRow, expected_calibration_error, reliability
from strongreid.evaluation.distances import Metric
from strongreid.evaluation.matching import LeaveOut
from strongreid.evaluation.openset import (
    FPIRS,
    OpenSetResult,
    ThresholdRow,
    open_set,
    split_identities,
    threshold_report,
)
from strongreid.evaluation.pairs import PairDistances, collect_pairs
from strongreid.evaluation.spread import Spread
from strongreid.evaluation.text import text_table
from strongreid.features import FeatureTable

_FEWEST = 4  # identities of queries: each half needs one that stays known and one that becomes unknown


@dataclass(frozen=True, eq=False)
class CalibrationReport:
    """A calibration fitted on some people, and what it does on others."""

    calibration: Calibration
    pairs: PairDistances
    """Of the people it is reported on, as is all that follows."""
    thresholds: list[ThresholdRow]
    """What each false positive rate that was aimed at gives."""
    reliability: list[ReliabilityRow]
    """At a prior of 0.5, in ten groups."""
    search: OpenSetResult
    """Half of these people are unknown."""

    @property
    def calibration_error(self) -> float:
        """Expected calibration error at a prior of 0.5, in 0..1."""
        return expected_calibration_error(self.reliability)

    def table(self) -> str:
        """A plain-text report, rates in percent."""
        own, pairs = self.calibration, self.pairs
        rows = [
            [f"{100 * row.wanted:g}", "-" if row.threshold is None else f"{row.threshold:.4f}"]
            + ["-" if rate is None else f"{100 * rate:.3f}" for rate in (row.fpr, row.tpr)]
            for row in self.thresholds
        ]
        false_positives, misses = self.search.rates_at(own.threshold())
        draws = len(self.search.known)
        lines = [
            f"fitted on {own.same_pairs:,} pairs of the same and {own.different_pairs:,} of different identities,",
            f"reported on {pairs.same.sum():,} and {pairs.different.sum():,} pairs of other people",
            "",
            f"log-likelihood ratio: {own.offset:.3f} - {-own.slope:.3f} x {own.metric} distance",
            f"expected calibration error at a prior of 0.5: {100 * self.calibration_error:.2f} %",
            f"equal error rate of pairs: {100 * pairs.equal_error_rate():.2f} %",
            "",
            text_table(["FPR aimed at, %", "threshold", "FPR, %", "TPR, %"], rows),
            "",
            f"searches with half of the people unknown, mean and deviation of {draws} draws:",
        ]
        lines += [f"FNIR at FPIR {100 * fpir:g} %: {_shown(self.search.fnir_at_fpir(fpir))}" for fpir in FPIRS]
        at = f"at the threshold {own.threshold():.4f}, for an FPR of {100 * own.fpr:g} % of pairs"
        return "\n".join([*lines, f"{at}: FPIR {_shown(false_positives)}, FNIR {_shown(misses)}"])


def calibrate(
    query: FeatureTable,
    gallery: FeatureTable,
    metric: Metric = "cosine",
    *,
    fpr: float = 1e-3,
    data: str = "",
    seed: int = 0,
    leave_out: LeaveOut = "same_camera",
) -> CalibrationReport:
    """Divide the people in halves, fit a calibration and its thresholds on one, report on the other.

    Args:
        query: (q, d) features with identities and cameras; not those of the people that the model was trained on,
            whose distances are smaller than anybody else's.
        gallery: (g, d), the same.
        metric: "cosine" or "euclidean".
        fpr: the false positive rate of pairs that `Calibration.threshold()` aims at.
        data: what to call the data in the calibration.
        seed: of the division, and of who is unknown.
        leave_out: as `Matching`.

    Raises:
        InputError: the tables do not belong together, an argument is not allowed, there are too few people for two
            halves or too few pairs for `fpr`, or pairs of the same identity are no nearer than others.
    """
    people = len(np.unique(query.identities[query.identities != DISTRACTOR]))
    if people < _FEWEST:
        raise InputError(
            f"calibrating takes queries of at least {_FEWEST} identities, 2 for each half; there are {people}. Give "
            "queries of more people: many more, since what is measured on a few says little about others."
        )
    fit_tables, report_tables = split_identities(query, gallery, seed=seed)
    fitted = collect_pairs(*fit_tables, metric, leave_out=leave_out)
    calibration = Calibration.fit(fitted, fpr=fpr, data=data)
    pairs = collect_pairs(*report_tables, metric, leave_out=leave_out)
    return CalibrationReport(
        calibration=calibration,
        pairs=pairs,
        thresholds=threshold_report(fitted, pairs, [rate for rate, _ in calibration.thresholds]),
        reliability=reliability(pairs, calibration),
        search=open_set(*report_tables, metric, seed=seed, leave_out=leave_out),
    )


def _shown(spread: Spread | None) -> str:
    return "too few queries" if spread is None else f"{spread} %"
