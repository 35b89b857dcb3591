"""How far a result could be from that of other people: intervals by bootstrap over identities.

The pictures of a person are easy or hard together, so it is people that are drawn with replacement, each with all
their queries: the cluster bootstrap (Field, Welsh, Journal of the Royal Statistical Society B 69, 2007) with
percentile intervals (Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). Drawing queries one by
one would take a person's eight agreeing queries for eight witnesses, and give intervals that are too narrow.

What is drawn are the people asked for. The gallery and the model stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.distances import Float64, Int64
from strongreid.evaluation.ranking import Ranking
from strongreid.evaluation.result import TABLE_RANKS, EvalResult
from strongreid.evaluation.text import percent, text_table

Measure = Literal["mAP", "mINP"] | int
"""A mean over the queries; a whole number k is Rank-k."""
FEWEST_DRAWS = 100
_CELLS = 1 << 20  # drawn identities at a time: about 30 MB


@dataclass(frozen=True)
class Interval:
    """A value and the interval around it, as shares in 0..1."""

    value: float
    low: float
    high: float
    level: float
    """How often intervals made this way hold the true value, such as 0.95."""

    def __str__(self) -> str:
        return f"{percent(self.value)} {in_percent(self.low, self.high)}"


def interval(
    result: EvalResult, measure: Measure = "mAP", *, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> Interval:
    """The interval of one measure by bootstrap over identities; as `intervals` gives it.

    Args:
        result: with its per-query figures.
        measure: "mAP", "mINP", or k for Rank-k, which may go beyond the result's `max_rank`.
        level: share in 0..1 that the interval is made for.
        draws: bootstrap draws, at least 100.
        seed: the same seed gives the same interval.

    Raises:
        InputError: the queries are of fewer than 2 identities, or an argument is out of range.
    """
    return _intervals(result, [measure], level, draws, seed)[measure_name(measure)]


def intervals(
    result: EvalResult,
    ranks: Sequence[int] = TABLE_RANKS,
    *,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> dict[str, Interval]:
    """The intervals of "mAP", "mINP" and each "Rank-k", all from the same draws.

    A measure is the mean over queries: of each draw, the sum over the queries of the identities drawn, divided by
    their number. Below some 20 identities such intervals are too narrow, and a measure that is 0 or 1 for every
    query gets one of no width.

    Args:
        result: as in `interval`.
        ranks: the k of each Rank-k.
        level: as in `interval`.
        draws: as in `interval`.
        seed: as in `interval`.

    Raises:
        InputError: as `interval`.
    """
    return _intervals(result, ["mAP", "mINP", *ranks], level, draws, seed)


def interval_table(found: Mapping[str, Interval]) -> str:
    """An aligned text table of what `intervals` returned, in percent."""
    level = next(iter(found.values())).level
    rows = [[name, percent(one.value), in_percent(one.low, one.high)] for name, one in found.items()]
    return text_table(["", "value", f"{100 * level:g} % interval"], rows)


def in_percent(low: float, high: float, sign: str = "") -> str:
    """The text "[low, high]" in percent; `sign` "+" shows the sign of positive numbers too."""
    return f"[{100 * low:{sign}z.2f}, {100 * high:{sign}z.2f}]"


def measure_name(measure: Measure) -> str:
    """The name in tables: "mAP", "mINP" or "Rank-k"."""
    return f"Rank-{measure}" if isinstance(measure, int) else measure


def query_values(ranking: Ranking, measures: Sequence[Measure]) -> Float64:
    """What each query contributes: (n, m), of which the means of the columns are the measures.

    Raises:
        InputError: there is no such measure.
    """
    columns: list[Float64] = []
    for measure in measures:
        if measure == "mAP":
            columns.append(ranking.average_precision)
        elif measure == "mINP":
            columns.append(ranking.inverse_negative_penalty)
        elif isinstance(measure, int) and measure >= 1:
            columns.append((ranking.first_match_rank <= measure).astype(np.float64))
        else:
            raise InputError(f"unknown measure {measure!r}; allowed: 'mAP', 'mINP', or k of at least 1 for Rank-k.")
    return np.stack(columns, axis=1)


def by_identity(identities: Int64, values: Float64) -> tuple[Float64, Float64]:
    """Per identity, in ascending order, the sums of its queries' values and their number: (n, m) -> (i, m), (i,).

    Raises:
        InputError: there are fewer than 2 identities.
    """
    known, place = np.unique(identities, return_inverse=True)
    if len(known) < 2:
        raise InputError(
            f"the {len(identities)} queries are of {len(known)} identities; how far a result varies from person to "
            "person needs at least 2, and is of use from about 20. Evaluate with queries of more people."
        )
    sums = np.zeros((len(known), values.shape[1]))
    np.add.at(sums, place, values)
    return sums, np.bincount(place).astype(np.float64)


def bootstrap_limits(
    sums: Float64, counts: Float64, *, level: float, draws: int, seed: int
) -> tuple[Float64, Float64]:
    """The lower and the upper limits of sum / count under draws of identities: (i, m), (i,) -> (m,), (m,).

    Raises:
        InputError: the level is not between 0 and 1, or there are fewer than 100 draws.
    """
    if not 0 < level < 1:
        raise InputError(f"level is the share of a confidence interval, above 0 and below 1, got {level}; try 0.95.")
    if draws < FEWEST_DRAWS:
        raise InputError(f"draws is at least {FEWEST_DRAWS}, got {draws}; 10000 is usual.")
    total = len(counts)
    both = np.column_stack([sums, counts])
    generator = np.random.default_rng(seed)
    means = np.empty((draws, sums.shape[1]), dtype=np.float64)
    step = max(1, _CELLS // total)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        drawn = generator.integers(total, size=(rows, total))
        drawn += np.arange(0, rows * total, total)[:, None]
        often = np.bincount(drawn.reshape(-1), minlength=rows * total).reshape(rows, total)
        sampled = often.astype(np.float64) @ both
        means[start : start + rows] = sampled[:, :-1] / sampled[:, -1:]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _intervals(
    result: EvalResult, measures: Sequence[Measure], level: float, draws: int, seed: int
) -> dict[str, Interval]:
    values = query_values(result.per_query, measures)
    sums, counts = by_identity(result.per_query.identities, values)
    low, high = bootstrap_limits(sums, counts, level=level, draws=draws, seed=seed)
    columns = zip(measures, values.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)
    return {measure_name(measure): Interval(value, least, most, level) for measure, value, least, most in columns}
