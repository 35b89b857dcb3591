"""An evaluation under a protocol with, if wanted, a second table of where it is weak."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from strongreid.errors import InputError
from strongreid.evaluation.breakdown import (
    Breakdown,
    CameraPairs,
    DistractorCurve,
    by_identity,
    camera_pairs,
    distractor_curve,
)
from strongreid.evaluation.distances import Metric
from strongreid.evaluation.protocols import Protocol, evaluate_protocol, pooled_table, protocol_named
from strongreid.evaluation.result import EvalResult, Rerank
from strongreid.evaluation.spread import join_results
from strongreid.features import FeatureTable

BreakdownName = Literal["cameras", "identities", "distractors"]
BREAKDOWNS: tuple[BreakdownName, ...] = get_args(BreakdownName)
WORST_SHOWN = 20
"""Identities in the printed table; the JSON has all."""


@dataclass(frozen=True, eq=False)
class ProtocolReport:
    """The results of a protocol, one per draw, and the breakdown that was asked for."""

    results: tuple[EvalResult, ...]
    breakdown: CameraPairs | DistractorCurve | Breakdown | None = None

    def table(self) -> str:
        """Plain text: the result, or mean and spread over the draws; then the breakdown."""
        first = self.results[0].table() if len(self.results) == 1 else join_results(self.results).table()
        if self.breakdown is None:
            return first
        second = (
            self.breakdown.table(WORST_SHOWN) if isinstance(self.breakdown, Breakdown) else self.breakdown.table()
        )
        return f"{first}\n\n{second}"

    def json(self) -> str:
        """The same as JSON, shares in 0..1; with a breakdown, an object of `result` and `breakdown`."""
        first = self.results[0].json() if len(self.results) == 1 else join_results(self.results).json()
        if self.breakdown is None:
            return first
        return json.dumps({"result": json.loads(first), "breakdown": json.loads(self.breakdown.json())}, indent=2)

    def save(self, path: str | Path) -> None:
        """Write the result, every query's figures included; draws to NAME-01.json, NAME-02.json, ... for `join`.

        Raises:
            InputError: a file can't be written.
        """
        path = Path(path)
        for number, result in enumerate(self.results, start=1):
            result.save(path if len(self.results) == 1 else path.with_stem(f"{path.stem}-{number:02d}"))


def checked_rule(
    protocol: str | Protocol, breakdown: BreakdownName | None = None, rerank: Rerank | None = None
) -> Protocol:
    """The protocol, if what is asked of it can be had.

    Raises:
        InputError: an unknown protocol or breakdown, a breakdown of drawn galleries, or one by cameras or
            distractors of re-ranked distances.
    """
    rule = protocol_named(protocol) if isinstance(protocol, str) else protocol
    if breakdown is None:
        return rule
    if breakdown not in BREAKDOWNS:
        raise InputError(f"unknown breakdown {breakdown!r}; allowed: None, {', '.join(BREAKDOWNS)}.")
    if rule.gallery != "all":
        raise InputError(
            f"protocol {rule.name!r} draws its galleries, which have no breakdown; leave it out, or take a protocol "
            "that ranks all pictures."
        )
    if rerank is not None and breakdown != "identities":
        raise InputError(
            f"a breakdown by {breakdown} ranks parts of the gallery, and re-ranking takes it whole; leave rerank "
            "out, or break down by identities."
        )
    return rule


def protocol_report(
    query: FeatureTable,
    gallery: FeatureTable | None,
    protocol: str | Protocol = "market1501",
    metric: Metric = "cosine",
    *,
    breakdown: BreakdownName | None = None,
    seed: int = 0,
    rerank: Rerank | None = None,
) -> ProtocolReport:
    """Evaluate under a protocol and break the result down.

    Args:
        query: as in `evaluate_protocol`.
        gallery: the same.
        protocol: the same.
        metric: the same.
        breakdown: None, or by pairs of "cameras", by "identities", or by number of "distractors".
        seed: of random galleries, and of the order of the distractors.
        rerank: as in `evaluate`.

    Raises:
        InputError: as `checked_rule`, `evaluate_protocol` and the breakdowns.
    """
    rule = checked_rule(protocol, breakdown, rerank)
    if rule.pooled:
        query = gallery = pooled_table(query, gallery)
    results = tuple(evaluate_protocol(query, gallery, rule, metric, seed=seed, rerank=rerank))
    assert gallery is not None  # or evaluate_protocol had refused
    if breakdown == "cameras":
        return ProtocolReport(results, camera_pairs(query, gallery, metric, leave_out=rule.leave_out))
    if breakdown == "distractors":
        curve = distractor_curve(query, gallery, metric=metric, leave_out=rule.leave_out, seed=seed)
        return ProtocolReport(results, curve)
    return ProtocolReport(results, by_identity(results[0]) if breakdown == "identities" else None)
