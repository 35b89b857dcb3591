"""How well groups that were found fit the people that there are: IDF1, homogeneity, completeness, V-measure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.evaluation.distances import Float64, Int64

NOBODY = -1
"""The identity of what shows no one, such as a detector's false alarm."""


@dataclass(frozen=True)
class ClusterScores:
    """Shares in 0..1, over boxes where the items are weighted by these."""

    idf1: float
    """2 IDTP / (true + found): IDTP is the weight that the best one-to-one matching of people to groups covers
    (Ristani et al., ECCV Workshops 2016)."""
    id_precision: float
    """IDTP / found."""
    id_recall: float
    """IDTP / true."""
    homogeneity: float
    """1 - H(person | group) / H(person): 1 where every group is of one person (Rosenberg, Hirschberg, EMNLP 2007)."""
    completeness: float
    """1 - H(group | person) / H(group): 1 where every person is in one group."""
    v_measure: float
    """The harmonic mean of the two."""
    people: int
    groups: int
    items: int

    def table(self) -> str:
        """In words."""
        return (
            f"IDF1 {self.idf1:.3f} (precision {self.id_precision:.3f}, recall {self.id_recall:.3f}), V-measure "
            f"{self.v_measure:.3f} (homogeneity {self.homogeneity:.3f}, completeness {self.completeness:.3f}); "
            f"{self.people} people, {self.groups} groups, {self.items} items"
        )

    def json(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


def cluster_scores(
    people: npt.ArrayLike, groups: npt.ArrayLike, weights: npt.ArrayLike | None = None, *, missed: float = 0.0
) -> ClusterScores:
    """Compare groups with the truth.

    Items of `NOBODY` count against the precision wherever they are put, and not at all in the V-measure. Where
    nothing is uncertain (one person, or one group) homogeneity or completeness is 1, as in the paper.

    Args:
        people: (n,) whole numbers, who each item is.
        groups: (n,) whole numbers, the group that each was put in.
        weights: (n,) above 0, such as a track's boxes; None is 1 for each.
        missed: weight of true boxes that are in no item, such as those that a detector missed.

    Raises:
        InputError: no items, lengths that differ, or weights that are not above 0.
    """
    who, found = np.asarray(people), np.asarray(groups)
    weight = np.ones(len(who)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not who.size or who.ndim != 1 or who.shape != found.shape or who.shape != weight.shape:
        raise InputError(
            f"one person, group and weight for each item; got {who.shape}, {found.shape}, {weight.shape}."
        )
    if who.dtype.kind not in "iu" or found.dtype.kind not in "iu":
        raise InputError(f"people and groups are whole numbers, got {who.dtype} and {found.dtype}.")
    if not (np.isfinite(weight) & (weight > 0)).all() or missed < 0:
        raise InputError("weights are numbers above 0, and missed is 0 or more.")
    real = who != NOBODY
    persons, rows = np.unique(who[real], return_inverse=True)
    _, columns = np.unique(found[real], return_inverse=True)
    cells, place = np.unique(np.stack([rows, columns], axis=1), axis=0, return_inverse=True)
    shared = np.bincount(place.reshape(-1), weights=weight[real], minlength=len(cells)).astype(np.float64)
    covered = _matched(cells, shared)
    true, total = float(weight[real].sum()) + missed, float(weight.sum())
    homogeneity, completeness = _v_parts(cells, shared)
    both = homogeneity + completeness
    return ClusterScores(
        idf1=2 * covered / (true + total),
        id_precision=covered / total,
        id_recall=covered / true if true else 0.0,
        homogeneity=homogeneity,
        completeness=completeness,
        v_measure=2 * homogeneity * completeness / both if both else 0.0,
        people=len(persons),
        groups=len(np.unique(found)),
        items=len(who),
    )


def _v_parts(cells: Int64, shared: Float64) -> tuple[float, float]:
    """Homogeneity and completeness from the (k, 2) persons and groups that share something, and how much."""
    if not len(cells):
        return 1.0, 1.0
    share = shared / shared.sum()
    found = []
    for given, other in ((1, 0), (0, 1)):
        known = np.bincount(cells[:, given], weights=share)
        own = np.bincount(cells[:, other], weights=share)
        apart = -float((share * np.log(share / known[cells[:, given]])).sum())
        whole = -float((own[own > 0] * np.log(own[own > 0])).sum())
        found.append(1.0 if whole <= 1e-15 else min(max(1.0 - apart / whole, 0.0), 1.0))
    return found[0], found[1]


def _matched(cells: Int64, shared: Float64) -> float:
    """The largest weight that pairs of a person and a group cover, each in one pair at most.

    People and groups that share nothing, also by way of others, can't compete: each connected part is solved alone.
    """
    total = 0.0
    for part in _parts(cells):
        own, values = cells[part], shared[part]
        rows, row = np.unique(own[:, 0], return_inverse=True)
        columns, column = np.unique(own[:, 1], return_inverse=True)
        if min(len(rows), len(columns)) == 1:
            total += float(values.max())
            continue
        weight = np.zeros((len(rows), len(columns)))
        weight[row, column] = values
        total += (
            float(weight[np.arange(len(weight)), assignment(-weight)].sum())
            if len(rows) <= len(columns)
            else (float(weight.T[np.arange(len(columns)), assignment(-weight.T)].sum()))
        )
    return total


def _parts(cells: Int64) -> list[Int64]:
    """Rows of `cells` by connected part of the graph of people and groups."""
    if not len(cells):
        return []
    parent = list(range(int(cells[:, 0].max()) + int(cells[:, 1].max()) + 2))
    shift = int(cells[:, 0].max()) + 1

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for person, group in cells.tolist():
        parent[root(person)] = root(shift + group)
    roots = np.array([root(person) for person in cells[:, 0].tolist()])
    order = np.argsort(roots, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(roots[order])) + 1)


def assignment(costs: Float64) -> Int64:
    """The column of each row in the cheapest one-to-one assignment of all rows; (n, m) with n <= m.

    Shortest augmenting paths (Jonker, Volgenant, Computing 38, 1987), O(n^2 m).

    Raises:
        InputError: more rows than columns, or costs that are not finite.
    """
    costs = np.asarray(costs, dtype=np.float64)
    if costs.ndim != 2 or costs.shape[0] > costs.shape[1] or not np.isfinite(costs).all():
        raise InputError(f"costs are finite, with at most as many rows as columns; got {costs.shape}.")
    count, width = costs.shape
    of_row, of_column = np.zeros(count), np.zeros(width)  # prices: costs - of_row - of_column >= 0
    owner = np.full(width, -1)
    for start in range(count):
        shortest, before = np.full(width, np.inf), np.full(width, -1)
        done = np.zeros(width, dtype=bool)
        row, column, length = start, -1, 0.0
        rows = [start]
        while True:
            reached = length + costs[row] - of_row[row] - of_column
            better = ~done & (reached < shortest)
            shortest[better], before[better] = reached[better], column
            column = int(np.argmin(np.where(done, np.inf, shortest)))
            length, done[column] = float(shortest[column]), True
            if owner[column] < 0:
                break
            row = int(owner[column])
            rows.append(row)
        of_row[start] += length
        ended = np.flatnonzero(done)
        taken = ended[owner[ended] >= 0]
        of_row[owner[taken]] += length - shortest[taken]
        of_column[ended] -= length - shortest[ended]
        while column >= 0:
            earlier = int(before[column])
            owner[column] = owner[earlier] if earlier >= 0 else start
            column = earlier
    found = np.empty(count, dtype=np.int64)
    held = np.flatnonzero(owner >= 0)
    found[owner[held]] = held
    return found
