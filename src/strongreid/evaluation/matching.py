"""Which gallery pictures match a query, and which a protocol leaves out of its ranking."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from strongreid.data.records import DISTRACTOR
from strongreid.errors import InputError
from strongreid.evaluation.distances import Float32, Int64
from strongreid.features import FeatureTable

LeaveOut = Literal["same_camera", "same_picture", "nothing"]
LEAVE_OUT: tuple[LeaveOut, ...] = get_args(LeaveOut)


class Matching:
    """For each query: its true matches in the gallery, and the gallery pictures that it never sees.

    "same_camera" leaves out pictures of the query's identity and camera (Market-1501, DukeMTMC-reID, MSMT17,
    CUHK03); "same_picture" leaves out the query itself, by its path, where a set is searched with its own
    pictures; "nothing" keeps all (VehicleID, sets without cameras). A distractor (identity -1) matches nothing.

    Raises:
        InputError: an unknown rule, or "same_picture" with a path that two gallery pictures share.
    """

    def __init__(self, query: FeatureTable, gallery: FeatureTable, leave_out: LeaveOut = "same_camera") -> None:
        if leave_out not in LEAVE_OUT:
            raise InputError(f"unknown rule {leave_out!r} of what is left out; allowed: {', '.join(LEAVE_OUT)}.")
        self._query, self._gallery, self.rule = query, gallery, leave_out
        self._order = np.argsort(gallery.identities, kind="stable").astype(np.int64)
        identities = gallery.identities[self._order]
        self._first = np.searchsorted(identities, query.identities, "left")
        self._last = np.searchsorted(identities, query.identities, "right")
        # Distractors are many people: none of them is known to be the query's.
        self._last[query.identities == DISTRACTOR] = self._first[query.identities == DISTRACTOR]
        self._places: dict[str, int] = {}
        if leave_out == "same_picture":
            self._places = {path: row for row, path in enumerate(gallery.paths)}
            if len(self._places) < len(gallery):
                raise InputError(
                    "to leave out the query's own picture, every gallery picture needs a path of its own; "
                    f"{len(gallery) - len(self._places)} of {len(gallery)} share one."
                )

    def of(self, row: int) -> tuple[Int64, Int64]:
        """Ascending gallery rows that match query `row`, and those that it does not see."""
        same = self._order[self._first[row] : self._last[row]]
        if self.rule == "same_camera":
            own = self._gallery.cameras[same] == self._query.cameras[row]
            return same[~own], same[own]
        if self.rule == "same_picture":
            own_row = self._places.get(self._query.paths[row])
            if own_row is not None:
                return same[same != own_row], np.array([own_row], dtype=np.int64)
        return same, np.empty(0, dtype=np.int64)

    def mask(self, rows: slice, values: Float32) -> None:
        """Set what queries `rows` do not see to NaN, in place, in their (b, g) block of values."""
        for number, row in enumerate(range(rows.start, rows.stop)):
            values[number, self.of(row)[1]] = np.nan
