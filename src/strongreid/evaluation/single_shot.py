"""Drawn galleries with one picture of each identity: the rank of the only true match, draw by draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strongreid.data.records import DISTRACTOR
from strongreid.errors import InputError
from strongreid.evaluation.distances import Float32, Float64, Int64, Metric, ordering_blocks
from strongreid.evaluation.matching import Matching
from strongreid.evaluation.ranking import Ranking
from strongreid.features import FeatureTable


@dataclass(frozen=True, eq=False)
class _People:
    """The g rows of a table person after person, every distractor a person of its own."""

    order: Int64
    """(g,) rows of the table, each person's in the table's order."""
    starts: Int64
    """(p,) where each person begins in `order`."""
    lengths: Int64
    """(p,) pictures of each person."""
    person: Int64
    """(g,) the person of each row, from 0."""

    @classmethod
    def of(cls, table: FeatureTable) -> _People:
        order = np.argsort(table.identities, kind="stable").astype(np.int64)
        identities = table.identities[order]
        begins = np.ones(len(table), dtype=np.bool_)
        begins[1:] = (identities[1:] != identities[:-1]) | (identities[1:] == DISTRACTOR)
        starts = np.flatnonzero(begins)
        person = np.empty(len(table), dtype=np.int64)
        person[order] = np.cumsum(begins) - 1
        return cls(order, starts, np.diff(np.append(starts, len(table))), person)

    def drawn(self, shares: Float64) -> Int64:
        """One row of each person; the shares in [0, 1) choose it. (draws, p) -> (draws, p)."""
        return self.order[self.starts + (shares * self.lengths).astype(np.int64)]


def rank_one_per_identity(
    query: FeatureTable, gallery: FeatureTable, matching: Matching, metric: Metric, *, draws: int, seed: int
) -> tuple[list[Ranking], int]:
    """Rank, for each query and draw, one random picture of each identity among those that the query sees.

    The draws of a query depend on the seed and its row alone. Beyond the distances, O(q * draws * p) time and
    O(draws * p) memory for p identities and distractors.

    Returns:
        A ranking per draw, and the size of a drawn gallery, p.
    """
    people = _People.of(gallery)
    asked: list[int] = []
    ranks: list[Int64] = []
    for rows, values in ordering_blocks(query.features, gallery.features, metric):
        for row, own in enumerate(values, start=rows.start):
            matches, left_out = matching.of(row)
            if matches.size:
                own[left_out] = np.nan  # never nearer than anything
                shares = np.random.default_rng([seed, row]).random((draws, len(people.starts)))
                asked.append(row)
                ranks.append(_ranks_of_drawn(own, matches, people, shares))
    found = np.stack(ranks, axis=1)  # (draws, n)
    asked_rows = np.array(asked, dtype=np.int64)
    return [_single_match(query, asked_rows, own, len(query) - len(asked)) for own in found], len(people.starts)


def _ranks_of_drawn(values: Float32, matches: Int64, people: _People, shares: Float64) -> Int64:
    """(draws,) rank, from 1, of the drawn true match among one drawn picture of each person."""
    drawn = people.drawn(shares)
    asked = people.person[matches[0]]
    true = matches[(shares[:, asked] * len(matches)).astype(np.int64)]  # of those that the query sees
    drawn[:, asked] = true
    near, target = values[drawn], values[true][:, None]
    nearer = (near < target) | ((near == target) & (drawn < true[:, None]))
    ranks: Int64 = nearer.sum(axis=1) + 1
    return ranks


def rank_one_for_all(pool: FeatureTable, metric: Metric, *, draws: int, seed: int) -> tuple[list[Ranking], int]:
    """Rank, in each draw, one random picture of each identity for all the other pictures.

    Distances to the pictures drawn at least once, then O(n * draws * p) time for n pictures and p identities and
    distractors; memory of one block of distances, what a draw takes from it, and O(n * draws) ranks.

    Returns:
        A ranking per draw, and the size of a drawn gallery, p.

    Raises:
        InputError: no identity has two pictures.
    """
    people = _People.of(pool)
    known = pool.identities[people.order[people.starts]] != DISTRACTOR
    if not (people.lengths[known] > 1).any():
        raise InputError(
            f"none of the {int(known.sum())} identities has two pictures, one for the gallery and one to ask with; "
            "give a set in which some have more, distractors (identity -1) aside."
        )
    shares = np.random.default_rng(seed).random((draws, len(people.starts)))
    drawn = people.drawn(shares)  # (draws, p) rows of the pool
    shown = np.unique(drawn)
    columns = np.searchsorted(shown, drawn)  # the same as rows of the gallery
    targets = columns[:, people.person]  # (draws, n): each picture's match
    ranks = np.empty((draws, len(pool)), dtype=np.int64)
    for rows, values in ordering_blocks(pool.features, pool.features[shown], metric):
        for draw in range(draws):
            near, match = values[:, columns[draw]], targets[draw, rows, None]
            target = np.take_along_axis(values, match, axis=1)
            nearer = (near < target) | ((near == target) & (columns[draw] < match))
            ranks[draw, rows] = nearer.sum(axis=1) + 1
    asks = shown[targets] != np.arange(len(pool))  # a distractor is always drawn
    rankings = [
        _single_match(pool, np.flatnonzero(own), of_draw[own], 0) for own, of_draw in zip(asks, ranks, strict=True)
    ]
    return rankings, len(people.starts)


def _single_match(query: FeatureTable, rows: Int64, ranks: Int64, skipped: int) -> Ranking:
    """The ranking of queries that have one true match each, at these ranks."""
    return Ranking(
        query=rows,
        average_precision=1 / ranks,
        inverse_negative_penalty=1 / ranks,
        first_match_rank=ranks,
        identities=query.identities[rows],
        cameras=query.cameras[rows],
        paths=tuple(query.paths[row] for row in rows.tolist()),
        skipped=skipped,
    )
