"""From two feature tables to one result."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.checks import check_matches, check_max_rank, check_tables
from strongreid.evaluation.distances import Float32, Metric, distances_of, normalise, ordering_blocks
from strongreid.evaluation.hardware import accelerator
from strongreid.evaluation.matching import LeaveOut, Matching
from strongreid.evaluation.pairs import collect_pairs
from strongreid.evaluation.ranking import Ranking, TopMatches, rank_blocks, rank_features, top_matches
from strongreid.evaluation.reranking import k_reciprocal_blocks
from strongreid.evaluation.result import RERANKS, Answers, EvalResult, Rerank
from strongreid.features import FeatureTable


def evaluate(
    query: FeatureTable,
    gallery: FeatureTable,
    metric: Metric = "cosine",
    rerank: Rerank | None = None,
    max_rank: int = 50,
    *,
    leave_out: LeaveOut = "same_camera",
    answers: int = 0,
    pairs: bool = False,
    device: str = "auto",
) -> EvalResult:
    """Evaluate retrieval, by default under the cross-camera protocol of Market-1501 (paper, section 4).

    Gallery pictures of the query's identity and camera are removed, distractors (identity -1) stay and never
    match, queries without a true match are skipped and counted, equal distances are ordered by gallery row.
    Memory is bounded by one block of distances, whatever the number of queries.

    Args:
        query: (q, d) features with identities and cameras.
        gallery: (g, d), the same.
        metric: "cosine", or "euclidean" on the features as they are.
        rerank: None, or "k_reciprocal" with the published k1=20, k2=6, lam=0.3. It works on Euclidean
            distances: of the L2-normalised features under "cosine", of the features as they are under
            "euclidean".
        max_rank: length of the CMC.
        leave_out: what a query does not see: pictures of its identity and camera ("same_camera"), itself
            ("same_picture", for a set searched with its own pictures), or "nothing".
        answers: keep so many of the nearest gallery pictures of each query in the result, for sheets and
            comparisons.
        pairs: count the distances of all pairs too, for ROC and histograms; they are those before re-ranking, and
            take a second pass.
        device: "auto" ranks on a CUDA device where torch is loaded and sees one; "cpu"; or any torch device.

    Raises:
        InputError: a table is empty, the tables do not belong together (dimension, model), an argument is not
            allowed, or no query has a possible match.
    """
    _check(query, gallery, metric, rerank, max_rank, answers)
    matching = Matching(query, gallery, leave_out)
    check_matches(query, gallery, matching)
    top = TopMatches(len(query), answers, matching) if answers else None
    if rerank is not None:
        prepare = normalise if metric == "cosine" else np.asarray
        blocks = k_reciprocal_blocks(prepare(query.features), prepare(gallery.features), device=device)
        ranking = _rank(blocks, query, gallery, matching, top)
    elif accelerator(device) is not None:
        ranking = rank_features(query, gallery, metric, leave_out=leave_out, device=device)
        if top is not None:
            top.rows, top.values = top_matches(query, gallery, answers, metric, leave_out=leave_out)
    else:
        ranking = _rank(ordering_blocks(query.features, gallery.features, metric), query, gallery, matching, top)
        if top is not None:
            top.values = distances_of(top.values, query.features, metric)
    return EvalResult(
        mAP=float(ranking.average_precision.mean()),
        mINP=float(ranking.inverse_negative_penalty.mean()),
        cmc=tuple(ranking.cmc(max_rank).tolist()),
        queries=len(ranking.query),
        skipped=ranking.skipped,
        gallery=len(gallery),
        metric=metric,
        rerank=rerank,
        model=query.model or gallery.model,
        per_query=ranking,
        leave_out=leave_out,
        answers=None if top is None else _answers(top, ranking, gallery),
        pairs=collect_pairs(query, gallery, metric, leave_out=leave_out) if pairs else None,
    )


def _rank(
    blocks: Iterable[tuple[slice, Float32]],
    query: FeatureTable,
    gallery: FeatureTable,
    matching: Matching,
    top: TopMatches | None,
) -> Ranking:
    return rank_blocks(blocks if top is None else top.watch(blocks), query, gallery, matching)


def _answers(top: TopMatches, ranking: Ranking, gallery: FeatureTable) -> Answers:
    """The answers to the evaluated queries, with paths and whether they are right."""
    paths, right, distances = [], [], []
    for row, identity in zip(ranking.query.tolist(), ranking.identities.tolist(), strict=True):
        found = top.rows[row][top.rows[row] >= 0]
        paths.append(tuple(gallery.paths[place] for place in found.tolist()))
        right.append(tuple((gallery.identities[found] == identity).tolist()))
        distances.append(tuple(top.values[row, : len(found)].tolist()))
    return Answers(tuple(paths), tuple(right), tuple(distances))


def _check(
    query: FeatureTable, gallery: FeatureTable, metric: Metric, rerank: Rerank | None, max_rank: int, answers: int
) -> None:
    """Refuse what can't be evaluated."""
    if rerank is not None and rerank not in RERANKS:
        raise InputError(f"unknown rerank {rerank!r}; allowed: None, {', '.join(RERANKS)}.")
    if answers < 0:
        raise InputError(f"answers is the number of nearest pictures to keep and at least 0, got {answers}.")
    check_max_rank(max_rank)
    check_tables(query, gallery, metric)
