"""Several runs as one row: mean and spread over seeds, partitions or draws of the same experiment.

This spread is another thing than the interval over identities (`intervals`): it says how much training again, or
another split, moves the result; the interval says how much other people would. Neither contains the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from strongreid.errors import InputError
from strongreid.evaluation.comparison import Difference
from strongreid.evaluation.intervals import Interval, Measure, in_percent, measure_name, query_values
from strongreid.evaluation.result import TABLE_RANKS, EvalResult
from strongreid.evaluation.text import percent, text_table

ROUNDING = 1e-6  # two shares that are nearer than this are equal


@dataclass(frozen=True)
class Spread:
    """A measure over runs, as shares in 0..1."""

    values: tuple[float, ...]
    """One per run."""

    @property
    def mean(self) -> float:
        """Of the runs."""
        return fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the runs (n - 1); None for a single run."""
        return stdev(self.values) if len(self.values) > 1 else None

    def interval(self, level: float = 0.95) -> Interval:
        """Student's t interval of the mean over all runs that could have been made.

        It takes the runs for normal and independent. Few runs say little: at 0.95, 3 runs give the mean plus and
        minus 2.5 standard deviations, 5 runs 1.2, 10 runs 0.7. It may go below 0 or above 1.

        Raises:
            InputError: there is a single run, or the level is not between 0 and 1.
        """
        if self.deviation is None:
            raise InputError("one run has no spread; join at least 2, better 3 to 5.")
        half = student_t(level, len(self.values) - 1) * self.deviation / math.sqrt(len(self.values))
        return Interval(self.mean, self.mean - half, self.mean + half, level)

    def __str__(self) -> str:
        return percent(self.mean) + ("" if self.deviation is None else f" ± {percent(self.deviation)}")


@dataclass(frozen=True, eq=False)
class Joined:
    """Several runs: the mean and spread of each measure."""

    measures: dict[str, Spread]
    """"mAP", "mINP" and each "Rank-k"."""
    runs: int

    def table(self, level: float = 0.95) -> str:
        """Plain text in percent: mean ± standard deviation, the least and the most, the t interval of the mean.

        Raises:
            InputError: the level is not between 0 and 1.
        """
        head = ["", "1 run" if self.runs == 1 else f"{self.runs} runs", "min", "max", f"{100 * level:g} % interval"]
        rows = []
        for name, spread in self.measures.items():
            extremes = map(percent, (min(spread.values), max(spread.values)))
            around = spread.interval(level) if self.runs > 1 else None
            rows.append([name, str(spread), *extremes, in_percent(around.low, around.high) if around else "-"])
        return text_table(head, rows)

    def json(self, level: float = 0.95) -> str:
        """The same as JSON, with every run's value; shares in 0..1, null where a single run has no spread.

        Raises:
            InputError: the level is not between 0 and 1.
        """
        measures = {}
        for name, spread in self.measures.items():
            around = spread.interval(level) if self.runs > 1 else None
            measures[name] = {
                "mean": spread.mean,
                "deviation": spread.deviation,
                "min": min(spread.values),
                "max": max(spread.values),
                "interval": [around.low, around.high] if around else None,
                "values": spread.values,
            }
        value = {"format": "strongreid.joined", "version": 1, "runs": self.runs, "level": level, "measures": measures}
        return json.dumps(value, indent=2)


def join_results(results: Sequence[EvalResult], *, ranks: Sequence[int] = TABLE_RANKS) -> Joined:
    """The mean and spread of each measure over runs of one experiment: seeds, partitions, or draws.

    Args:
        results: at least 1. Their queries and galleries may differ, as those of partitions do.
        ranks: the k of each Rank-k.

    Raises:
        InputError: there are none, or they were made with different metrics, re-ranking or protocols.
    """
    if not results:
        raise InputError("there are no results to join; give at least one, better 3 to 5.")
    for what in ("metric", "rerank", "leave_out"):
        found = list(dict.fromkeys(str(getattr(result, what)) for result in results))
        if len(found) > 1:
            raise InputError(
                f"the results have different settings of {what} ({', '.join(found)}): they are not runs of one "
                "experiment. Join those that agree, and compare the others with `compare_results`."
            )
    measures: list[Measure] = ["mAP", "mINP", *ranks]
    values = [query_values(result.per_query, measures).mean(axis=0).tolist() for result in results]
    columns = zip(*values, strict=True)
    return Joined(
        {measure_name(measure): Spread(tuple(column)) for measure, column in zip(measures, columns, strict=True)},
        len(results),
    )


def paired_difference(a: Sequence[float], b: Sequence[float], *, level: float = 0.95) -> Difference:
    """Runs of B against runs of A, in pairs such as those of the same seed: Student's paired t.

    The interval is that of `Spread.interval` over the differences b - a, and p says how often chance gives a mean
    difference at least as large, of either sign. Both take the differences for normal and independent. A difference
    below 1e-6 counts as none: rounding leaves that much between two collapsed models, and it is no finding.

    Args:
        a: at least 2 values, shares in 0..1.
        b: as many, in the same order.
        level: share in 0..1 that the interval is made for.

    Raises:
        InputError: the numbers of runs differ, there are fewer than 2, or the level is not between 0 and 1.
    """
    if len(a) != len(b):
        raise InputError(f"runs are paired, got {len(a)} of A and {len(b)} of B; give those of the same seeds.")
    differences = (second - first for first, second in zip(a, b, strict=True))
    spread = Spread(tuple(one if abs(one) > ROUNDING else 0.0 for one in differences))
    around = spread.interval(level)
    error = (around.high - around.low) / 2 / student_t(level, len(a) - 1)
    p = (1.0 if spread.mean == 0 else 0.0) if error == 0 else student_p(spread.mean / error, len(a) - 1)
    return Difference(fmean(a), fmean(b), spread.mean, around.low, around.high, p)


def holm(values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several (Holm, Scandinavian Journal of Statistics 6, 1979), in the same order.

    If each adjusted value below 0.05 is called a difference, all such calls are right in 95 of 100 tables.
    """
    adjusted = [0.0] * len(values)
    most = 0.0
    for number, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        most = max(most, min(1.0, values[place] * (len(values) - number)))
        adjusted[place] = most
    return adjusted


def student_p(t: float, degrees: int) -> float:
    """P(|T| >= |t|) for Student's distribution of so many degrees of freedom, at least 1."""
    if degrees < 1:
        raise InputError(f"Student's t has at least 1 degree of freedom, got {degrees}.")
    return max(0.0, 1 - _share_within(math.atan(abs(t) / math.sqrt(degrees)), degrees))


def student_t(level: float, degrees: int) -> float:
    """The t with P(|T| <= t) = level for Student's distribution of so many degrees of freedom, at least 1.

    By bisection of the closed form for whole degrees (Abramowitz, Stegun, Handbook of Mathematical Functions, 1964,
    26.7.3 and 26.7.4), over the angle arctan(t / sqrt(degrees)).

    Raises:
        InputError: the level is not between 0 and 1, or degrees is below 1.
    """
    if not 0 < level < 1:
        raise InputError(f"level is the share of a confidence interval, above 0 and below 1, got {level}; try 0.95.")
    if degrees < 1:
        raise InputError(f"Student's t has at least 1 degree of freedom, got {degrees}.")
    low, high = 0.0, math.pi / 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _share_within(middle, degrees) < level else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _share_within(angle: float, degrees: int) -> float:
    """P(|T| <= sqrt(degrees) * tan(angle))."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(odd, degrees - 1, 2):
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
