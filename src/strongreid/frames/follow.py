"""Tracks for boxes that have none: a box goes on with the track whose last box it overlaps most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strongreid.errors import InputError
from strongreid.frames.boxes import Box, by_frame


def follow(boxes: Sequence[Box], *, least_overlap: float = 0.3, longest_gap: int = 10) -> tuple[Box, ...]:
    """The boxes with tracks, from 1 on, in the order of frames.

    In every frame the pairs of a box and a track are joined by falling overlap (intersection over union with the
    track's last box). It is made for people who are apart: where two cross, tracks end or are taken over. Boxes of a
    tracker of your own are better; appearance comes in with `gallery link`.

    Args:
        boxes: of one film; tracks they have are dropped.
        least_overlap: with less, a box starts a track; above 0 to 1.
        longest_gap: frames without a box after which a track is over.

    Raises:
        InputError: an argument out of range.
    """
    if not 0 < least_overlap <= 1 or longest_gap < 1:
        raise InputError(f"least_overlap is above 0 to 1 and longest_gap from 1; got {least_overlap}, {longest_gap}.")
    found: list[Box] = []
    last: dict[int, Box] = {}
    count = 0
    for frame, here in sorted(by_frame(boxes).items()):
        last = {track: box for track, box in last.items() if frame - box.frame <= longest_gap}
        joined = _joined(here, list(last.values()), least_overlap)
        for row, box in enumerate(here):
            old = joined.get(row)
            if old is None:
                count += 1
            own = box._replace(track=count if old is None else old)
            assert own.track is not None
            last[own.track] = own
            found.append(own)
    return tuple(found)


def _joined(here: Sequence[Box], before: Sequence[Box], least: float) -> dict[int, int | None]:
    """Track by the number of the box."""
    if not before:
        return {}
    overlaps = overlap(here, before)
    order = np.argsort(-overlaps, axis=None, kind="stable")
    joined: dict[int, int | None] = {}
    taken: set[int] = set()
    for place in order.tolist():
        row, column = divmod(place, len(before))
        if overlaps[row, column] < least:
            break
        if row not in joined and column not in taken:
            joined[row] = before[column].track
            taken.add(column)
    return joined


def overlap(one: Sequence[Box], other: Sequence[Box]) -> NDArray[np.float64]:
    """(n, m) intersection over union."""
    a, b = (np.array([(x.left, x.top, x.left + x.width, x.top + x.height) for x in some]) for some in (one, other))
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(some[:, 2:] - some[:, :2], axis=1) for some in (a, b)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None, :] - shared))
