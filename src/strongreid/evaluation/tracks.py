"""Multi-shot retrieval: several pictures of one person by one camera, a track, answer and are found as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.evaluation.checks import check_tables
from strongreid.evaluation.distances import (
    Float32,
    Int64,
    Metric,
    block_rows,
    into_distances,
    normalise,
    ordering_blocks,
    row_offsets,
)
from strongreid.features import FeatureTable

SetKind = Literal["min", "mean", "hausdorff"]
SET_KINDS: tuple[SetKind, ...] = get_args(SetKind)
TrackLabels = npt.NDArray[np.integer] | Sequence[int] | Sequence[str]


@dataclass(frozen=True, eq=False)
class _Tracks:
    """The n rows of a table put track after track, the tracks in the order of their first pictures."""

    order: Int64
    """(n,) rows of the table, each track's in the table's order."""
    starts: Int64
    """(t,) where each track begins in `order`."""
    lengths: Int64
    """(t,) pictures of each track."""

    def within(self, rows: slice) -> tuple[slice, Int64]:
        """The tracks that have pictures in a slice of `order`, and where these begin in it (for `reduceat`)."""
        first, last = np.searchsorted(self.starts, [rows.start, rows.stop - 1], side="right") - 1
        tracks = slice(int(first), int(last) + 1)
        return tracks, np.maximum(self.starts[tracks] - rows.start, 0)


def average_tracks(table: FeatureTable, tracks: TrackLabels) -> FeatureTable:
    """One row per track: the mean of its pictures' L2-normalised features, again of length 1.

    Rows are in the order of the tracks' first pictures and carry the identity, the camera and the first
    picture's path; the model's fingerprint stays. Features that cancel out leave a row of zeros.

    Args:
        table: n pictures.
        tracks: (n,) whole numbers or names, the same for the pictures of one track. They need not be adjacent.

    Raises:
        InputError: the table is empty, the labels are not one per picture, or a track has two identities or two
            cameras (it is named, with them).
    """
    return _averaged(table, _grouped("table", table, tracks))


def set_distances(
    query: FeatureTable,
    gallery: FeatureTable,
    query_tracks: TrackLabels,
    gallery_tracks: TrackLabels,
    *,
    kind: SetKind = "min",
    metric: Metric = "cosine",
) -> tuple[Float32, FeatureTable, FeatureTable]:
    """Distances of tracks from the distances of all their pictures, for `rank_distances`.

    The distance of two tracks is, over all pairs of a picture of one and a picture of the other,

    - "min": the smallest;
    - "mean": the mean. Under "cosine" this is 1 minus the product of the means of the normalised features;
    - "hausdorff": how far the worst picture of either track is from the nearest of the other, the larger of
      max_a min_b d(a, b) and max_b min_a d(a, b).

    Memory is bounded: beyond the result and a sorted copy of the features, one block of queries against the
    gallery's pictures at a time.

    Args:
        query: the pictures of tq tracks.
        gallery: the pictures of tg tracks.
        query_tracks: the track of each query picture, as in `average_tracks`.
        gallery_tracks: the same of the gallery. A name that both sides use means two tracks.
        kind: how the pairs' distances become one.
        metric: "cosine" (1 - cosine), or "euclidean" on the features as they are.

    Returns:
        (tq, tg) float32 distances, and the two tables of `average_tracks`, a row per track, to rank them by:
        `rank_distances(*set_distances(...))`.

    Raises:
        InputError: as `average_tracks`; the kind or the metric is unknown; the tables do not belong together
            (dimension, model); or the features are too large for "euclidean".
    """
    if kind not in SET_KINDS:
        raise InputError(f"unknown kind {kind!r} of set distance; allowed: {', '.join(SET_KINDS)}.")
    check_tables(query, gallery, metric)
    ours = _grouped("query table", query, query_tracks)
    theirs = _grouped("gallery table", gallery, gallery_tracks)
    result = np.full((len(ours.starts), len(theirs.starts)), np.inf if kind == "min" else 0, dtype=np.float32)
    features = query.features[ours.order]
    offsets = row_offsets(features, metric)
    nearest = np.empty((0, len(gallery)), dtype=np.float32)  # (t, g): from gallery pictures to our tracks
    for rows, distances in ordering_blocks(features, gallery.features[theirs.order], metric):
        into_distances(distances, offsets[rows], metric)
        tracks, cuts = ours.within(rows)
        if kind == "min":
            least = np.minimum.reduceat(np.minimum.reduceat(distances, theirs.starts, axis=1), cuts, axis=0)
            np.minimum(result[tracks], least, out=result[tracks])
        elif kind == "mean":
            sums = np.add.reduceat(distances, theirs.starts, axis=1, dtype=np.float64)
            result[tracks] += np.add.reduceat(sums, cuts, axis=0) / np.outer(ours.lengths[tracks], theirs.lengths)
        else:
            there = np.maximum.reduceat(np.minimum.reduceat(distances, theirs.starts, axis=1), cuts, axis=0)
            np.maximum(result[tracks], there, out=result[tracks])
            begun = nearest[-1:]  # of the last block's last track, which goes on here unless one starts here
            nearest = np.minimum.reduceat(distances, cuts, axis=0)
            if ours.starts[tracks.start] < rows.start:
                np.minimum(nearest[:1], begun, out=nearest[:1])
            # The way back is known for the tracks that end in this block: all but perhaps the last.
            ended = slice(tracks.start, int(np.searchsorted(ours.starts + ours.lengths, rows.stop, side="right")))
            back = np.maximum.reduceat(nearest[: ended.stop - ended.start], theirs.starts, axis=1)
            np.maximum(result[ended], back, out=result[ended])
    return result, _averaged(query, ours), _averaged(gallery, theirs)


def _averaged(table: FeatureTable, tracks: _Tracks) -> FeatureTable:
    """The table of one row per track, in blocks of pictures."""
    sums = np.zeros((len(tracks.starts), table.dim), dtype=np.float32)
    step = block_rows(table.dim, 16)  # a copy, its normalised form, and float64 sums
    for start in range(0, len(table), step):
        rows = slice(start, min(start + step, len(table)))
        within, cuts = tracks.within(rows)
        features = normalise(table.features[tracks.order[rows]])
        sums[within] += np.add.reduceat(features, cuts, axis=0, dtype=np.float64)
    first = tracks.order[tracks.starts]
    return FeatureTable(
        features=normalise(sums),
        identities=table.identities[first],
        cameras=table.cameras[first],
        paths=tuple(table.paths[row] for row in first.tolist()),
        model=table.model,
    )


def _grouped(name: str, table: FeatureTable, tracks: TrackLabels) -> _Tracks:
    """The table's tracks; an InputError if it has none or they are not tracks."""
    labels = np.asarray(tracks)
    if labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels.flat):
        labels = labels.astype(np.str_)  # a column of names, as tables of other libraries give it
    if not len(table):
        raise InputError(f"the {name} is empty, there are no tracks in it; look at what it was made from.")
    if labels.shape != (len(table),) or labels.dtype.kind not in "iuU":
        raise InputError(
            f"the {name} has {len(table)} pictures and needs as many track labels, whole numbers or names, "
            f"got {labels.dtype} {labels.shape}."
        )
    _, first, numbers = np.unique(labels, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    numbers = place[numbers]  # (n,) tracks counted from 0 in the order of their first pictures
    first = np.sort(first)
    for what, values in (("identities", table.identities), ("cameras", table.cameras)):
        wrong = np.flatnonzero(values != values[first][numbers])
        if wrong.size:
            track = labels[wrong[0]].item()
            found = np.unique(values[labels == track])
            shown = ", ".join(map(str, found[:5].tolist())) + (", ..." if len(found) > 5 else "")
            raise InputError(
                f"track {track!r} of the {name} has pictures of {len(found)} {what} ({shown}); a track is one person "
                "seen by one camera: mend the labels, or give these pictures tracks of their own."
            )
    lengths = np.bincount(numbers)
    return _Tracks(np.argsort(numbers, kind="stable"), np.cumsum(lengths) - lengths, lengths)
