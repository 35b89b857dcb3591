"""Two results on the same queries, compared query by query: is one model better, or were these people kind to it?

The queries are paired, so what both models find hard cancels out. The interval of the difference is a cluster
bootstrap over identities (see `intervals`). The p-value comes from a sign-flip test over identities: if it made no
difference which model is called A, each identity's difference could as well have the other sign (Fisher, The Design
of Experiments, 1935, section 21). Random flips count the observed one among them, so that p is never 0 (Phipson,
Smyth, Statistical Applications in Genetics and Molecular Biology 9, 2010).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.distances import Float64, Int64
from strongreid.evaluation.intervals import (
    Measure,
    bootstrap_limits,
    by_identity,
    in_percent,
    measure_name,
    query_values,
)
from strongreid.evaluation.result import TABLE_RANKS, EvalResult
from strongreid.evaluation.text import percent, text_table

MOST_EXACT = 14
"""Up to so many identities that differ, all 2 ** 14 = 16,384 sign patterns are counted."""
_CELLS = 1 << 21  # signs at a time: about 35 MB
_ROUNDING = 1e-9  # of the sum of all sizes: patterns this close to the observed one are as extreme


@dataclass(frozen=True)
class Difference:
    """A measure of A and of B, as shares in 0..1."""

    a: float
    b: float
    difference: float
    """b - a."""
    low: float
    """The lower end of the difference's interval."""
    high: float
    p: float
    """How often chance alone gives a difference at least as large, of either sign."""


@dataclass(frozen=True)
class Flip:
    """A query whose first answer is right in one result and wrong in the other."""

    path: str
    identity: int
    camera: int
    first_match: tuple[int, int]
    """Rank of the nearest true match in A and in B, from 1."""
    average_precision: tuple[float, float]
    """In A and in B."""

    @property
    def gained(self) -> bool:
        """Whether B is the one that is right."""
        return self.first_match[1] == 1

    @property
    def difference(self) -> float:
        """Of the average precision, B - A."""
        return self.average_precision[1] - self.average_precision[0]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What changed from result A to result B."""

    measures: dict[str, Difference]
    """"mAP", "mINP" and each "Rank-k"."""
    flips: tuple[Flip, ...]
    """By difference of average precision, from B's largest gain to its largest loss."""
    queries: int
    identities: int
    level: float
    """Of the intervals, such as 0.95."""

    def largest_flips(self, count: int) -> tuple[Flip, ...]:
        """At most `count` flips: B's largest gains, then its largest losses, half of each where there are enough."""
        gained = [flip for flip in self.flips if flip.gained]
        lost = [flip for flip in self.flips if not flip.gained]
        losses = min(len(lost), max(count // 2, count - len(gained)))
        return (*gained[: count - losses], *lost[len(lost) - losses :])

    def table(self, flips: int = 10) -> str:
        """Plain text: the measures in percent, counts, and at most so many of the flips."""
        rows = [
            [
                name,
                *map(percent, (found.a, found.b)),
                f"{100 * found.difference:+z.2f}",
                in_percent(found.low, found.high, "+"),
                f"{found.p:.4f}" if found.p >= 0.0001 else "<0.0001",
            ]
            for name, found in self.measures.items()
        ]
        gained = sum(flip.gained for flip in self.flips)
        lines = [
            text_table(["", "A", "B", "B - A", f"{100 * self.level:g} % interval", "p"], rows),
            "",
            f"{self.queries} queries of {self.identities} identities",
            f"first answer right in B only: {gained} queries, in A only: {len(self.flips) - gained}",
        ]
        if shown := self.largest_flips(flips):
            lines += ["", _flip_table(shown)]
            if len(shown) < len(self.flips):
                lines.append(f"({len(shown)} of {len(self.flips)}; the JSON has all)")
        return "\n".join(lines)

    def json(self) -> str:
        """Everything as JSON, all flips included; shares in 0..1."""
        value = {
            "format": "strongreid.comparison",
            "version": 1,
            "queries": self.queries,
            "identities": self.identities,
            "level": self.level,
            "measures": {name: asdict(found) for name, found in self.measures.items()},
            "flips": [asdict(flip) | {"gained": flip.gained} for flip in self.flips],
        }
        return json.dumps(value, indent=2)


def compare_results(
    a: EvalResult,
    b: EvalResult,
    *,
    ranks: Sequence[int] = TABLE_RANKS,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two results on the same queries and the same gallery, query by query. Differences are B - A.

    Models, metrics and re-ranking may differ: that is what is compared. The interval says how large the difference
    could be with other people, p whether there is any; near the border they can disagree a little. Five measures
    have five p-values: decide on the one that counts before looking.

    Args:
        a: the result to compare with.
        b: the other one.
        ranks: the k of each Rank-k.
        level: share in 0..1 that the intervals are made for.
        draws: bootstrap draws, and random sign flips where more than 14 identities differ; at least 100.
        seed: the same seed gives the same comparison.

    Raises:
        InputError: the queries have no paths of their own, or are not the same in both; the galleries' sizes, the
            protocol or the labels differ; the queries are of fewer than 2 identities; or an argument is out of range.
    """
    rows_a, rows_b = _paired(a, b)
    measures: list[Measure] = ["mAP", "mINP", *ranks]
    of_a, of_b = query_values(a.per_query, measures)[rows_a], query_values(b.per_query, measures)[rows_b]
    sums, counts = by_identity(a.per_query.identities[rows_a], of_b - of_a)
    low, high = bootstrap_limits(sums, counts, level=level, draws=draws, seed=seed)
    found = {}
    for column, measure in enumerate(measures):
        mean_a, mean_b = float(of_a[:, column].mean()), float(of_b[:, column].mean())
        found[measure_name(measure)] = Difference(
            a=mean_a,
            b=mean_b,
            difference=mean_b - mean_a,
            low=float(low[column]),
            high=float(high[column]),
            p=sign_flip_p(sums[:, column], draws=draws, seed=seed),
        )
    return Comparison(found, _flips(a, b, rows_a, rows_b), len(rows_a), len(counts), level)


def sign_flip_p(differences: Float64, *, draws: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of the sum of (i,) differences, one per identity, by flipping their signs.

    Exact where at most `MOST_EXACT` of them are not 0 (a 0 has no sign), otherwise from `draws` random patterns.
    """
    some = differences[differences != 0]
    least = abs(some.sum()) - _ROUNDING * np.abs(some).sum()
    if len(some) <= MOST_EXACT:
        bits = np.arange(1 << len(some))[:, None] >> np.arange(len(some))
        return float((np.abs((1 - 2 * (bits & 1)) @ some) >= least).mean())
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS // len(some))
    extreme = 0
    for start in range(0, draws, step):
        flipped = generator.integers(2, size=(min(step, draws - start), len(some)), dtype=np.int8)
        extreme += int((np.abs((1.0 - 2.0 * flipped) @ some) >= least).sum())
    return (1 + extreme) / (1 + draws)


def _paired(a: EvalResult, b: EvalResult) -> tuple[Int64, Int64]:
    """The rows of the same queries in A and in B, in the order of their paths; an InputError where they differ."""
    if a.leave_out != b.leave_out:
        raise InputError(
            f"A leaves out {a.leave_out!r}, B {b.leave_out!r}: other protocols have other answers; evaluate both "
            "with the same leave_out."
        )
    if a.gallery != b.gallery:
        raise InputError(
            f"the gallery of A has {a.gallery} pictures, that of B {b.gallery}; evaluate both on the same data set."
        )
    rows_a, rows_b = _rows_by_path("A", a), _rows_by_path("B", b)
    only_a, only_b = sorted(rows_a.keys() - rows_b.keys()), sorted(rows_b.keys() - rows_a.keys())
    if only_a or only_b:
        raise InputError(
            f"A and B answer different queries: {_some(only_a, len(rows_a), 'A', 'B')}, "
            f"{_some(only_b, len(rows_b), 'B', 'A')}. Queries are paired by path: evaluate both on the same data "
            "set, and name its folder in the same way."
        )
    paths = sorted(rows_a)
    ours = np.array([rows_a[path] for path in paths], dtype=np.int64)
    theirs = np.array([rows_b[path] for path in paths], dtype=np.int64)
    for what in ("identities", "cameras"):
        wrong = np.flatnonzero(getattr(a.per_query, what)[ours] != getattr(b.per_query, what)[theirs])
        if wrong.size:
            raise InputError(
                f"{wrong.size} of {len(paths)} queries have other {what} in A than in B (the first is "
                f"{paths[wrong[0]]}); evaluate both with the same labels."
            )
    return ours, theirs


def _rows_by_path(name: str, result: EvalResult) -> dict[str, int]:
    """The row of each query by its path; an InputError if paths are missing or shared."""
    paths = result.per_query.paths
    if missing := paths.count(""):
        raise InputError(
            f"{missing} of the {len(paths)} queries of {name} have no path, but queries are paired by path; "
            "evaluate tables whose paths name the pictures."
        )
    rows = {path: row for row, path in enumerate(paths)}
    if len(rows) < len(paths):
        twice = next(path for row, path in enumerate(paths) if rows[path] != row)
        raise InputError(
            f"{len(paths) - len(rows)} of the {len(paths)} queries of {name} share a path with another ({twice}), "
            "but queries are paired by path; give each a path of its own."
        )
    return rows


def _some(paths: Sequence[str], total: int, name: str, other: str) -> str:
    examples = f" ({', '.join(paths[:2])}{', ...' if len(paths) > 2 else ''})" if paths else ""
    return f"{len(paths)} of the {total} queries of {name} are not in {other}{examples}"


def _flips(a: EvalResult, b: EvalResult, rows_a: Int64, rows_b: Int64) -> tuple[Flip, ...]:
    """The queries whose first answer changed, from the largest gain of average precision to the largest loss."""
    of_a, of_b = a.per_query, b.per_query
    changed = (of_a.first_match_rank[rows_a] == 1) != (of_b.first_match_rank[rows_b] == 1)
    flips = [
        Flip(
            path=of_a.paths[ours],
            identity=int(of_a.identities[ours]),
            camera=int(of_a.cameras[ours]),
            first_match=(int(of_a.first_match_rank[ours]), int(of_b.first_match_rank[theirs])),
            average_precision=(float(of_a.average_precision[ours]), float(of_b.average_precision[theirs])),
        )
        for ours, theirs in zip(rows_a[changed].tolist(), rows_b[changed].tolist(), strict=True)
    ]
    return tuple(sorted(flips, key=lambda flip: -flip.difference))  # equal ones stay in the order of their paths


def _flip_table(flips: Sequence[Flip]) -> str:
    rows = [
        [
            flip.path,
            "gained" if flip.gained else "lost",
            *map(str, flip.first_match),
            *map(percent, flip.average_precision),
            f"{100 * flip.difference:+z.2f}",
        ]
        for flip in flips
    ]
    return text_table(["query", "Rank-1", "first match A", "B", "AP A", "B", "B - A"], rows)
