"""Open set: queries whose people may not be in the gallery, and thresholds that have to hold on other people.

Measures as in ISO/IEC 19795-1: of the queries of unknown people, the share for which a threshold lets some gallery
picture pass is the false positive identification rate (FPIR). Of the queries of known people, the share whose true
match is not let pass, or not among the first pictures, is the false negative identification rate (FNIR).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from strongreid.data.records import DISTRACTOR
from strongreid.errors import InputError
from strongreid.evaluation.checks import check_tables
from strongreid.evaluation.distances import (
    Float32,
    Float64,
    Int64,
    Metric,
    into_distances,
    ordering_blocks,
    row_offsets,
)
from strongreid.evaluation.matching import LeaveOut, Matching
from strongreid.evaluation.pairs import FPRS, PairDistances
from strongreid.evaluation.spread import Spread
from strongreid.features import FeatureTable

FPIRS = (1e-1, 1e-2)
"""The false positive identification rates that are usually reported."""
_SLACK = 1e-9  # relative: 1e-2 of 100 queries is one query, whatever the rounding

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class OpenSetResult:
    """What searches with unknown people found, for every draw of who is unknown.

    A `Spread` is a figure of each draw, with mean and standard deviation. The draws share pictures: it says how much
    hangs on who is unknown, and makes no confidence interval.
    """

    metric: Metric
    model: str
    """Fingerprint of the model that made the features; empty when unknown."""
    leave_out: LeaveOut
    rank: int
    """Among how many of the first gallery pictures the true match has to be."""
    unknown_share: float
    seed: int
    unknown: tuple[Float32, ...]
    """For each draw, ascending: of every query of an unknown person the distance of the nearest gallery picture."""
    known: tuple[Float32, ...]
    """For each draw, ascending: of every query of a known person the distance of the nearest true match, or infinity
    where `rank` other pictures are nearer."""

    def threshold_at_fpir(self, fpir: float) -> Spread | None:
        """The largest threshold at which at most `fpir` of the unknown queries find somebody, over the draws.

        None where a draw has fewer than 1 / fpir unknown queries.

        Raises:
            InputError: `fpir` is not above 0 and at most 1.
        """
        thresholds = self._thresholds(fpir)
        return None if thresholds is None else Spread(tuple(thresholds))

    def fnir_at_fpir(self, fpir: float) -> Spread | None:
        """The share of the known queries that are not found at each draw's own threshold for `fpir`.

        None where a draw has fewer than 1 / fpir unknown queries.

        Raises:
            InputError: `fpir` is not above 0 and at most 1.
        """
        thresholds = self._thresholds(fpir)
        if thresholds is None:
            return None
        return Spread(tuple(1 - _share(found, most) for found, most in zip(self.known, thresholds, strict=True)))

    def rates_at(self, threshold: float) -> tuple[Spread, Spread]:
        """FPIR and FNIR at one threshold, such as one that was chosen on other people.

        Raises:
            InputError: the threshold is not a number.
        """
        if math.isnan(threshold):
            raise InputError(f"a threshold is a distance, got {threshold}.")
        false_positives = tuple(_share(nearest, threshold) for nearest in self.unknown)
        return Spread(false_positives), Spread(tuple(1 - _share(found, threshold) for found in self.known))

    def curve(self, points: int = 31) -> tuple[Float64, Float64]:
        """FNIR by FPIR: (n,) rates aimed at, evenly spaced on a logarithmic axis, and (draws, n) FNIR of each draw.

        The rates go from the lowest that every draw has enough unknown queries for, up to 1; n is at most `points`.

        Raises:
            InputError: fewer than 2 points.
        """
        if points < 2:
            raise InputError(f"a curve has at least 2 points, got {points}.")
        fewest = min(len(nearest) for nearest in self.unknown)
        rates = np.unique(np.minimum(np.geomspace(1 / fewest, 1, points), 1.0))
        found = [spread.values for rate in rates.tolist() if (spread := self.fnir_at_fpir(rate)) is not None]
        return rates, np.array(found, dtype=np.float64).T

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values: settings, and by draw the numbers of queries, FNIR and its curve."""
        rates, shares = self.curve()
        at = {f"{fpir:g}": self.fnir_at_fpir(fpir) for fpir in FPIRS}
        return {
            "metric": self.metric,
            "leave_out": self.leave_out,
            "model": self.model,
            "rank": self.rank,
            "unknown_share": self.unknown_share,
            "seed": self.seed,
            "unknown_queries": [len(nearest) for nearest in self.unknown],
            "known_queries": [len(found) for found in self.known],
            "fnir_at_fpir": {fpir: None if spread is None else list(spread.values) for fpir, spread in at.items()},
            "curve": {"fpir": rates.tolist(), "fnir": shares.tolist()},
        }

    def _thresholds(self, fpir: float) -> list[float] | None:
        """The largest threshold of each draw that keeps to `fpir`."""
        if not 0 < fpir <= 1:
            raise InputError(f"an FPIR to aim at is above 0 and at most 1, such as 0.01; got {fpir}.")
        allowed = [math.floor(fpir * len(nearest) * (1 + _SLACK)) for nearest in self.unknown]
        if min(allowed) < 1:
            return None
        # Just below the distance of the first query too many.
        return [
            float(np.nextafter(nearest[count], np.float32(-np.inf))) if count < len(nearest) else math.inf
            for nearest, count in zip(self.unknown, allowed, strict=True)
        ]


def open_set(
    query: FeatureTable,
    gallery: FeatureTable,
    metric: Metric = "cosine",
    *,
    unknown_share: float = 0.5,
    draws: int = 10,
    seed: int = 0,
    leave_out: LeaveOut = "same_camera",
    rank: int = 1,
) -> OpenSetResult:
    """Search a gallery in which some of the people asked for are not.

    In each draw a random `unknown_share` of the identities that have a true match lose their gallery pictures; their
    queries are unknown then, as are in every draw those that never had a match. Distractors and people whom nobody
    asks for stay in the gallery. A query that is a distractor does not see the gallery's distractors, one of whom it
    may be. All draws come from one pass over the distances, in bounded memory.

    Args:
        query: (q, d) features with identities and cameras.
        gallery: (g, d), the same.
        metric: "cosine" (1 - cosine), or "euclidean" on the features as they are.
        unknown_share: share of the identities, from 0 (only queries without a match are unknown) to below 1.
        draws: how often the unknown are drawn anew.
        seed: the same seed draws the same identities; more draws go on where fewer end.
        leave_out: as `Matching`.
        rank: a known query counts as found when its nearest true match is among the first `rank` pictures.

    Raises:
        InputError: a table is empty, the tables do not belong together (dimension, model), an argument is not
            allowed, or a draw would leave no known or no unknown queries.
    """
    check_tables(query, gallery, metric)
    _check_arguments(unknown_share, draws, rank)
    _check_seed(seed)
    matching = Matching(query, gallery, leave_out)
    mated = np.array([matching.of(row)[0].size > 0 for row in range(len(query))])
    identities, groups = np.unique(gallery.identities, return_inverse=True)
    asked = np.unique(query.identities[mated])
    dropped = _draw(asked, identities, share=unknown_share, draws=draws, seed=seed, others=not mated.all())
    own_group = np.minimum(np.searchsorted(identities, query.identities), len(identities) - 1)
    unknown = ~mated | dropped[:, own_group]  # (draws, q)
    order = np.argsort(groups, kind="stable")  # gallery rows, identity by identity
    starts = np.searchsorted(groups[order], np.arange(len(identities)))
    distractors = np.flatnonzero(gallery.identities == DISTRACTOR)
    offsets = row_offsets(query.features, metric)
    nearest = np.full((draws, len(query)), np.inf, dtype=np.float32)  # of what the query may find
    for rows, block in ordering_blocks(query.features, gallery.features, metric):
        into_distances(block, offsets[rows], metric)
        for row, distances in enumerate(block, start=rows.start):
            matches, hidden = matching.of(row)
            distances[hidden] = np.inf
            if query.identities[row] == DISTRACTOR:
                distances[distractors] = np.inf
            strange = unknown[:, row]
            if strange.any():
                least = np.minimum.reduceat(distances[order], starts)  # (i,) of each identity
                nearest[strange, row] = np.where(dropped[strange], np.float32(np.inf), least).min(axis=1)
            if not strange.all():
                match, before = _before_the_match(distances, matches)
                ahead = (~dropped[:, groups[before]]).sum(axis=1)  # (draws,) pictures nearer than the match
                nearest[~strange & (ahead < rank), row] = distances[match]
    return OpenSetResult(
        metric=metric,
        model=query.model or gallery.model,
        leave_out=leave_out,
        rank=rank,
        unknown_share=unknown_share,
        seed=seed,
        unknown=tuple(np.sort(own[strange]) for own, strange in zip(nearest, unknown, strict=True)),
        known=tuple(np.sort(own[~strange]) for own, strange in zip(nearest, unknown, strict=True)),
    )


def split_identities(
    query: FeatureTable, gallery: FeatureTable, share: float = 0.5, seed: int = 0
) -> tuple[tuple[FeatureTable, FeatureTable], tuple[FeatureTable, FeatureTable]]:
    """Two pairs of query and gallery tables without a person in common: one to choose on, one to report.

    Identities are divided at random, those asked for and those only in the gallery each in the same proportion;
    distractor rows one by one.

    Args:
        query: q pictures.
        gallery: g pictures.
        share: share of the identities in the first pair, between 0 and 1.
        seed: the same seed gives the same split.

    Raises:
        InputError: `share` or the seed is out of range, or a side would have no identity of a query.
    """
    if not 0 < share < 1:
        raise InputError(f"the share of identities in the first part is above 0 and below 1, got {share}.")
    _check_seed(seed)
    generator = np.random.default_rng(seed)
    asked = np.unique(query.identities[query.identities != DISTRACTOR])
    others = np.setdiff1d(gallery.identities[gallery.identities != DISTRACTOR], asked)
    first = [generator.permutation(group)[: round(share * len(group))] for group in (asked, others)]
    if not 0 < len(first[0]) < len(asked):
        raise InputError(
            f"the queries have {len(asked)} identities, too few to divide {share:g} to {1 - share:g}; "
            "give queries of more people."
        )
    chosen = np.concatenate(first)
    masks = []
    for table in (query, gallery):
        mask = np.isin(table.identities, chosen)
        distractors = np.flatnonzero(table.identities == DISTRACTOR)
        mask[generator.permutation(distractors)[: round(share * len(distractors))]] = True
        masks.append(mask)
    return (query.select(masks[0]), gallery.select(masks[1])), (query.select(~masks[0]), gallery.select(~masks[1]))


class ThresholdRow(NamedTuple):
    """A threshold chosen on some people, and what it does on others."""

    wanted: float
    """The false positive rate aimed at."""
    threshold: float | None
    """None where there were too few pairs to choose one, and then no rates either."""
    fpr: float | None
    tpr: float | None


def threshold_report(fit: PairDistances, report: PairDistances, fprs: Sequence[float] = FPRS) -> list[ThresholdRow]:
    """Choose a threshold for each false positive rate on `fit`, and measure both rates there on `report`.

    Raises:
        InputError: the pairs have different metrics or models, a rate is out of range, or `report` lacks pairs of
            the same or of different identities.
    """
    if fit.metric != report.metric:
        raise InputError(
            f"a threshold of {fit.metric} distances means nothing for {report.metric} ones; collect both pairs with "
            "the same metric."
        )
    if fit.model and report.model and fit.model != report.model:
        raise InputError(
            f"the pairs come from different models ({fit.model!r} and {report.model!r}), whose distances can't be "
            "compared; extract both with the same model."
        )
    rows = []
    for wanted in fprs:
        threshold = fit.threshold_at_fpr(wanted)
        tpr, fpr = (None, None) if threshold is None else report.rates_at(threshold)
        rows.append(ThresholdRow(wanted, threshold, fpr, tpr))
    return rows


def _before_the_match(distances: Float32, matches: Int64) -> tuple[int, Int64]:
    """The gallery row of the nearest match, and the rows before it; equal distances are ordered by row."""
    match = int(matches[np.argmin(distances[matches])])
    near = np.flatnonzero(distances <= distances[match])
    return match, near[(distances[near] < distances[match]) | (near < match)]


def _draw(asked: Int64, identities: Int64, *, share: float, draws: int, seed: int, others: bool) -> Bool:
    """(draws, i) which of the gallery's `identities` lose their pictures; `others`: some queries have no match."""
    count = round(share * len(asked))
    if count >= len(asked) or (count == 0 and not others):
        raise InputError(
            f"{len(asked)} identities of the queries have a true match; with {count} of them unknown there are no "
            f"{'known' if count >= len(asked) else 'unknown'} queries. Give queries of more people, or another "
            "unknown_share."
        )
    generator = np.random.default_rng(seed)
    drawn = [generator.permutation(asked)[:count] for _ in range(draws)]
    return np.stack([np.isin(identities, chosen) for chosen in drawn])


def _check_arguments(unknown_share: float, draws: int, rank: int) -> None:
    if not 0 <= unknown_share < 1:
        raise InputError(f"unknown_share is the share of unknown identities, from 0 to below 1, got {unknown_share}.")
    for name, count in (("draws", draws), ("rank", rank)):
        if count < 1:
            raise InputError(f"{name} is at least 1, got {count}.")


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise InputError(f"a seed is a whole number from 0, got {seed}.")


def _share(ascending: Float32, threshold: float) -> float:
    """Share of the distances that are at most the threshold and finite."""
    if math.isinf(threshold) and threshold > 0:
        return int(np.isfinite(ascending).sum()) / len(ascending)
    return int(np.searchsorted(ascending.astype(np.float64), threshold, side="right")) / len(ascending)
