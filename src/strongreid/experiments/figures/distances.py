"""How far pictures of one person and of two lie apart, across cameras and within one camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from strongreid.data.records import DISTRACTOR
from strongreid.errors import InputError
from strongreid.evaluation.checks import check_tables
from strongreid.evaluation.distances import (
    Int64,
    Metric,
    into_distances,
    ordering_blocks,
    row_offsets,
    squared_norms,
)
from strongreid.evaluation.figures import DIFFERENT, SAME
from strongreid.evaluation.style import drawing
from strongreid.features import FeatureTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FINE = 4096
"""Bins in which pairs are counted, before a figure makes fewer of them."""


@dataclass(frozen=True, eq=False)
class CameraDistances:
    """Counts of pairs by distance, (4096,) each, in bins of equal width from 0 to `upper`."""

    metric: Metric
    upper: float
    same_across: Int64
    """Of one identity, from two cameras."""
    same_within: Int64
    """Of one identity, from one camera."""
    different_across: Int64
    different_within: Int64

    def median(self, counts: Int64) -> float:
        """Of one of the four, to the width of a bin.

        Raises:
            InputError: it counts no pairs.
        """
        if not counts.any():
            raise InputError("there are no such pairs, so they have no median.")
        place = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
        return (place + 0.5) * self.upper / FINE


def count_distances(query: FeatureTable, gallery: FeatureTable, metric: Metric = "cosine") -> CameraDistances:
    """Count the distances of all pairs of a query and a gallery picture, by identity and camera.

    A picture with itself (the same path) is no pair, nor are two distractors: they may be one person. To compare the
    pictures of one table with each other, give it twice. Memory is bounded by a block of distances.

    Raises:
        InputError: a table is empty, or they do not belong together (dimension, model).
    """
    check_tables(query, gallery, metric)
    upper = 2.0
    if metric == "euclidean":
        longest = [float(np.sqrt(squared_norms(table.features).max())) for table in (query, gallery)]
        upper = 1.0001 * sum(longest) or 1.0
    own = {path: row for row, path in enumerate(gallery.paths)}
    counts = np.zeros(5 * FINE, dtype=np.int64)  # the fifth: what is no pair
    offsets = row_offsets(query.features, metric)
    for rows, block in ordering_blocks(query.features, gallery.features, metric):
        into_distances(block, offsets[rows], metric)
        for values, row in zip(block, range(rows.start, rows.stop), strict=True):
            same = gallery.identities == query.identities[row]
            kind = 2 * same + (gallery.cameras == query.cameras[row])
            if query.identities[row] == DISTRACTOR:
                kind[same] = 4
            if query.paths[row] and query.paths[row] in own:
                kind[own[query.paths[row]]] = 4
            bins = np.minimum((values * (FINE / upper)).astype(np.int64), FINE - 1)
            counts += np.bincount(kind * FINE + bins, minlength=5 * FINE)
    different_across, different_within, same_across, same_within, _ = counts.reshape(5, FINE)
    return CameraDistances(metric, upper, same_across, same_within, different_across, different_within)


def draw_camera_distances(found: CameraDistances, path: str | Path, *, bins: int = 100) -> None:
    """Draw the histograms, each to a sum of 100 %: pairs across cameras above, within a camera below.

    Raises:
        InputError: fewer than 2 bins, there are no pairs, or the file can't be written.
    """
    seen = np.flatnonzero(found.same_across + found.same_within + found.different_across + found.different_within)
    if bins < 2 or not seen.size:
        raise InputError(f"a histogram needs pairs and at least 2 bins, got {bins} bins and {seen.size} filled.")
    edges = np.arange(FINE + 1) * (found.upper / FINE)
    ends = float(edges[seen[0]]), float(edges[seen[-1] + 1])
    with drawing(path, 6.4, 5) as figure:
        above, below = figure.subplots(2, 1, sharex=True)
        _histograms(above, found, found.same_across, found.different_across, (ends, bins))
        _histograms(below, found, found.same_within, found.different_within, (ends, bins))
        above.set_title("from two cameras")
        below.set_title("from one camera")
        below.set_xlabel(f"{found.metric} distance")
        figure.supylabel("share of the pairs, %", fontsize=9)


def _histograms(
    axes: Axes, found: CameraDistances, same: Int64, different: Int64, shape: tuple[tuple[float, float], int]
) -> None:
    """Both kinds in one panel, with their medians; `shape` is the ends and the number of bins."""
    ends, bins = shape
    centres = (np.arange(FINE) + 0.5) * (found.upper / FINE)
    for name, counts, colour in (("one identity", same, SAME), ("two identities", different, DIFFERENT)):
        if not counts.any():
            axes.plot([], [], color=colour, label=f"{name}: no pairs")
            continue
        heights, edges = np.histogram(centres, bins=bins, range=ends, weights=counts)
        middle = found.median(counts)
        named = f"{name}: {counts.sum():,} pairs, median {middle:.2f}"
        axes.stairs(100 * heights / counts.sum(), edges, fill=True, color=colour, alpha=0.45, label=named)
        axes.axvline(middle, ymax=1 / 1.3, color=colour, linewidth=1, linestyle="--")
    axes.set_ylim(top=1.35 * axes.get_ylim()[1])  # room for the legend
    axes.legend(loc="upper right")
