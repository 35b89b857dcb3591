"""Where an evaluation is strong and weak: by distractors, by pairs of cameras, by identity."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from strongreid.data.records import DISTRACTOR
from strongreid.errors import InputError
from strongreid.evaluation.checks import check_matches, check_tables
from strongreid.evaluation.distances import Float32, Float64, Int64, Metric, order_keys, ordering_blocks
from strongreid.evaluation.matching import LeaveOut, Matching
from strongreid.evaluation.ranking import rank_features
from strongreid.evaluation.result import EvalResult
from strongreid.evaluation.text import percent, text_table
from strongreid.features import FeatureTable

_QUARTERS = 4  # steps of a curve whose counts nobody chose


@dataclass(frozen=True)
class CurvePoint:
    """The measures, as shares in 0..1, with so many distractors in the gallery."""

    distractors: int
    mAP: float  # noqa: N815 - the field's own spelling
    rank1: float


@dataclass(frozen=True)
class DistractorCurve:
    """How mAP and Rank-1 fall as distractors are added to a gallery."""

    points: tuple[CurvePoint, ...]
    """In ascending order of distractors."""
    queries: int
    """Queries evaluated, the same at every point."""

    def table(self) -> str:
        """A text table, a row per number of distractors, percentages."""
        rows = [[str(point.distractors), percent(point.mAP), percent(point.rank1)] for point in self.points]
        return text_table(["distractors", "mAP", "Rank-1"], rows)

    def json(self) -> str:
        """As JSON, shares in 0..1."""
        return json.dumps({"queries": self.queries, "points": [vars(point) for point in self.points]}, indent=2)


@dataclass(frozen=True, eq=False)
class CameraPairs:
    """How well queries of one camera (rows) find their matches among the pictures of another (columns)."""

    cameras: tuple[int, ...]
    """c camera numbers, ascending."""
    mAP: Float64  # noqa: N815 - the field's own spelling
    """(c, c) mean average precision in 0..1, NaN where no query of the row has a match in the column."""
    rank1: Float64
    """(c, c) share of queries whose first picture of that camera is a match; NaN as above."""
    queries: Int64
    """(c, c) queries of the row's camera that have a match in the column's."""

    def table(self) -> str:
        """A text table of mAP in percent with the number of queries; rows are the query's camera."""
        rows = [
            [
                f"camera {camera}",
                *(
                    f"{percent(share)} ({count})" if count else "-"
                    for share, count in zip(shares, counts, strict=True)
                ),
            ]
            for camera, shares, counts in zip(self.cameras, self.mAP.tolist(), self.queries.tolist(), strict=True)
        ]
        return text_table(["query \\ gallery", *(f"camera {camera}" for camera in self.cameras)], rows)

    def json(self) -> str:
        """As JSON, shares in 0..1, null where there are no queries."""
        fields: dict[str, Any] = {"cameras": list(self.cameras), "queries": self.queries.tolist()}
        for name, matrix in (("mAP", self.mAP), ("rank1", self.rank1)):
            fields[name] = [[None if math.isnan(share) else share for share in row] for row in matrix.tolist()]
        return json.dumps(fields, indent=2)


@dataclass(frozen=True)
class Group:
    """The queries of one identity, or of one camera; shares in 0..1."""

    number: int
    """Of the identity or camera."""
    queries: int
    mAP: float  # noqa: N815 - the field's own spelling
    rank1: float


@dataclass(frozen=True)
class Breakdown:
    """An evaluation split into groups of queries, worst first."""

    by: str
    """What a group has in common: "identity" or "camera"."""
    groups: tuple[Group, ...]
    """By ascending mAP, then Rank-1, then number."""

    def table(self, limit: int | None = None) -> str:
        """A text table of the first `limit` groups, all if None; percentages."""
        shown = self.groups[:limit]
        rows = [[str(group.number), str(group.queries), percent(group.mAP), percent(group.rank1)] for group in shown]
        table = text_table([self.by, "queries", "mAP", "Rank-1"], rows)
        hidden = len(self.groups) - len(shown)
        return f"{table}\n... and {hidden} more, all at least as good" if hidden else table

    def json(self) -> str:
        """As JSON, all groups, shares in 0..1."""
        return json.dumps({"by": self.by, "groups": [vars(group) for group in self.groups]}, indent=2)


def distractor_curve(
    query: FeatureTable,
    gallery: FeatureTable,
    counts: Sequence[int] | None = None,
    metric: Metric = "cosine",
    *,
    leave_out: LeaveOut = "same_camera",
    seed: int = 0,
) -> DistractorCurve:
    """Measure mAP and Rank-1 while random distractors (identity -1) are added to the gallery's known pictures.

    The distractors are put in one random order, of which each point takes the first so many: the galleries are
    nested, and the curve can only fall. All points come from one pass: the rank of a match is its rank among the
    known pictures plus the nearer distractors, counted by the point from which they are in. So each distance is
    computed once, memory is one block of distances, and a point more costs O(matches) per query.

    Args:
        query: q features with identities and cameras.
        gallery: g, the same, distractors included.
        counts: numbers of distractors, from 0 to those present; None takes 0, a quarter, a half, ..., all.
        metric: "cosine" or "euclidean".
        leave_out: as `Matching`.
        seed: of the random order, at least 0.

    Raises:
        InputError: as `evaluate`; a count is negative or beyond the distractors present, there are no counts or no
            distractors; or the seed is negative.
    """
    if seed < 0:
        raise InputError(f"the seed of the order of distractors is a whole number from 0, got {seed}.")
    check_tables(query, gallery, metric)
    matching = Matching(query, gallery, leave_out)
    check_matches(query, gallery, matching)
    extra = np.flatnonzero(gallery.identities == DISTRACTOR)
    steps = _steps(counts, len(extra))
    stage = np.zeros(len(gallery), dtype=np.int64)  # the first point that has the picture in its gallery
    stage[extra] = np.searchsorted(steps, np.random.default_rng(seed).permutation(len(extra)), side="right")
    precisions: list[Float64] = []
    first: list[npt.NDArray[np.bool_]] = []
    for rows, values in ordering_blocks(query.features, gallery.features, metric):
        for row, own in enumerate(values, start=rows.start):
            matches, left_out = matching.of(row)
            if matches.size:
                own[left_out] = np.nan  # never nearer than anything
                ranks = _ranks_by_stage(own, matches, stage, len(steps))
                precisions.append(np.mean(np.arange(1, len(matches) + 1) / ranks, axis=1))
                first.append(ranks[:, 0] == 1)
    measures = zip(steps, np.stack(precisions, axis=1), np.stack(first, axis=1), strict=True)
    points = [CurvePoint(count, float(own.mean()), float(hits.mean())) for count, own, hits in measures]
    return DistractorCurve(tuple(points), len(precisions))


def camera_pairs(
    query: FeatureTable, gallery: FeatureTable, metric: Metric = "cosine", *, leave_out: LeaveOut = "same_camera"
) -> CameraPairs:
    """Evaluate the queries of each camera against the gallery pictures of each camera, distractors included.

    The gallery is ranked camera by camera, so each distance is computed once. Under "same_camera" the diagonal has
    no queries.

    Args:
        query: q features with identities and cameras.
        gallery: g, the same.
        metric: "cosine" or "euclidean".
        leave_out: as `Matching`.

    Raises:
        InputError: as `evaluate`.
    """
    check_tables(query, gallery, metric)
    check_matches(query, gallery, Matching(query, gallery, leave_out))
    cameras = np.unique(np.concatenate([query.cameras, gallery.cameras]))
    shape = (len(cameras), len(cameras))
    pairs = CameraPairs(
        tuple(cameras.tolist()), np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
    )
    for column, camera in enumerate(cameras.tolist()):
        own = gallery.cameras == camera
        if not own.any():
            continue
        ranking = rank_features(query, gallery.select(own), metric, leave_out=leave_out)
        for row, asking in enumerate(cameras.tolist()):
            asked = ranking.cameras == asking
            if asked.any():
                pairs.queries[row, column] = asked.sum()
                pairs.mAP[row, column] = ranking.average_precision[asked].mean()
                pairs.rank1[row, column] = (ranking.first_match_rank[asked] == 1).mean()
    return pairs


def by_identity(result: EvalResult) -> Breakdown:
    """The identities of the evaluated queries, worst first."""
    return _grouped(result, "identity", result.per_query.identities)


def by_camera(result: EvalResult) -> Breakdown:
    """The cameras of the evaluated queries, worst first."""
    return _grouped(result, "camera", result.per_query.cameras)


def _grouped(result: EvalResult, by: str, numbers: Int64) -> Breakdown:
    """The evaluated queries in groups of equal (n,) numbers."""
    ranking = result.per_query
    found, group = np.unique(numbers, return_inverse=True)
    counts = np.bincount(group)
    precision = np.bincount(group, ranking.average_precision) / counts
    rank1 = np.bincount(group, ranking.first_match_rank == 1) / counts
    order = np.lexsort((found, rank1, precision))
    columns = (found, counts, precision, rank1)
    groups = [Group(*fields) for fields in zip(*(column[order].tolist() for column in columns), strict=True)]
    return Breakdown(by, tuple(groups))


def _ranks_by_stage(values: Float32, matches: Int64, stage: Int64, points: int) -> Int64:
    """(points, m) ascending ranks, from 1, of `matches` among the (g,) pictures that each point has in its gallery.

    Every picture no farther than the last match falls into a gap between matches, and enters at its stage: their
    counts, summed along both, are the ranks. No sort of the gallery.
    """
    own = values[matches]
    targets = np.sort(order_keys(own, matches))
    near = np.flatnonzero(values <= own.max())
    gaps = np.searchsorted(targets, order_keys(values[near], near))  # matches strictly before each picture
    width = len(matches) + 1
    tally = np.bincount(stage[near] * width + gaps, minlength=(points + 1) * width).reshape(points + 1, width)
    ranks: Int64 = tally.cumsum(axis=0).cumsum(axis=1)[:points, :-1]
    return ranks


def _steps(counts: Sequence[int] | None, present: int) -> list[int]:
    """The counts, ascending, each once."""
    if counts is None:
        if not present:
            raise InputError(
                "the gallery has no distractors (identity -1), so there is no curve to draw; add pictures of people "
                "who are in no query, as identity -1."
            )
        counts = [round(present * step / _QUARTERS) for step in range(_QUARTERS + 1)]
    if not counts:
        raise InputError(f"a curve needs at least one number of distractors, from 0 to the {present} present.")
    wrong = [count for count in counts if not 0 <= count <= present]
    if wrong:
        raise InputError(
            f"the gallery has {present} distractors (identity -1), so {', '.join(map(str, wrong))} can't be had; "
            f"choose numbers from 0 to {present}."
        )
    return sorted(set(counts))
