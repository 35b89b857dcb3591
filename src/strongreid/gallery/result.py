"""What a search found: typed, printable, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from strongreid.data.records import DISTRACTOR
from strongreid.evaluation.distances import Metric
from strongreid.evaluation.text import text_table
from strongreid.gallery.entries import Label

UNKNOWN = "unknown"
"""The answer where nobody in the gallery is near enough."""
PAYLOAD = ("identity", "camera", "path", "time", "track")
"""What an entry has beside its labels."""
_UNTIL = "until"
"""The last moment of an entry that is a whole track; kept for linking, not shown."""
_DATES = 1e8
"""Times from here on (March 1973) are shown as dates, smaller ones as seconds of a film."""


@dataclass(frozen=True)
class Match:
    """One entry that a search found."""

    id: int
    score: float
    """What the search is ordered by: cosine, or minus the Euclidean distance, to what was asked for."""
    distance: float
    """To the pictures given, in the gallery's metric (1 - cosine, or Euclidean); what the calibration is about."""
    probability: float | None
    """That it is the same person, at the search's prior; None without a calibration."""
    known: bool | None
    """Whether it passes the threshold; False means unknown, None that there is no calibration."""
    identity: int
    """As it was enrolled; -1 for none."""
    camera: int
    path: str
    time: float | None = None
    """Seconds."""
    track: str | None = None
    labels: Mapping[str, Label] = field(default_factory=dict)
    reranked: float | None = None
    """The distance after re-ranking, by which the matches are then ordered."""

    @property
    def who(self) -> str:
        """The identity, "unknown" below the threshold, or "-" for an entry that was enrolled without one."""
        if self.known is False:
            return UNKNOWN
        return "-" if self.identity == DISTRACTOR else str(self.identity)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        own = {name: getattr(self, name) for name in _COLUMNS}
        return own | {"labels": dict(self.labels)}


_COLUMNS = tuple(name for name in ("who", *Match.__dataclass_fields__) if name != "labels")


@dataclass(frozen=True)
class SearchResult:
    """The matches of one search, best first; printed, it is a table."""

    matches: tuple[Match, ...]
    metric: Metric
    threshold: float | None
    """The largest distance of a match that is not "unknown"; None without a calibration."""
    fpr: float | None
    """The false positive rate of pairs that the threshold was chosen for."""
    prior: float
    """How likely the same person was before looking, behind every probability."""
    exact: bool = True
    """False where an approximate index was asked, which may miss entries."""

    def __len__(self) -> int:
        return len(self.matches)

    def __getitem__(self, rank: int) -> Match:
        return self.matches[rank]

    @property
    def answer(self) -> str:
        """Who it is: `who` of the first match, "unknown" if there is none."""
        return self.matches[0].who if self.matches else UNKNOWN

    def table(self) -> str:
        """A plain-text table, and a line on the threshold."""
        if not self.matches:
            return f"answer: {UNKNOWN} (nothing in the gallery passes the filters)"
        names = sorted({name for match in self.matches for name in match.labels})
        optional = [name for name in ("reranked", "time", "track") if any(getattr(m, name) is not None for m in self)]
        head = ["rank", "id", "who", "score", "probability", *optional, "camera", *names]
        rows = []
        for rank, match in enumerate(self, start=1):
            shown = {
                "reranked": "-" if match.reranked is None else f"{match.reranked:.4f}",
                "time": shown_time(match.time),
                "track": match.track or "-",
            }
            probability = "-" if match.probability is None else f"{match.probability:.4f}"
            cells = [str(rank), str(match.id), match.who, f"{match.score:.4f}", probability]
            cells += [shown[name] for name in optional]
            cells += [str(match.camera), *(str(match.labels.get(name, "-")) for name in names)]
            rows.append(cells)
        lines = text_table(head, rows).splitlines()
        paths = ["path", "----", *(match.path for match in self)]
        lines = [f"{line}  {path}" for line, path in zip(lines, paths, strict=True)]
        return "\n".join([*lines, "", self._verdict()])

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return self.table()

    def __iter__(self) -> Iterator[Match]:
        return iter(self.matches)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        own = {name: getattr(self, name) for name in ("answer", "metric", "threshold", "fpr", "prior", "exact")}
        return own | {"matches": [match.to_dict() for match in self.matches]}

    def json(self) -> str:
        """As JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def csv(self) -> str:
        """As CSV with a head, one match a line; every label is a column."""
        names = sorted({name for match in self.matches for name in match.labels})
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["rank", *_COLUMNS, *names])
        for rank, match in enumerate(self.matches, start=1):
            cells = [getattr(match, name) for name in _COLUMNS] + [match.labels.get(name) for name in names]
            writer.writerow([rank, *("" if cell is None else cell for cell in cells)])
        return text.getvalue()

    def _verdict(self) -> str:
        approximate = "" if self.exact else "; approximate: entries may be missing"
        if self.threshold is None:
            return f"answer: {self.answer} (no calibration: nearest is not the same as near{approximate})"
        rate = "" if self.fpr is None else f", which {100 * self.fpr:g} % of pairs of different people pass"
        return (
            f"answer: {self.answer} (unknown beyond a {self.metric} distance of {self.threshold:.4f}{rate}; "
            f"probabilities at a prior of {self.prior:g}{approximate})"
        )


def labels_of(payload: Mapping[str, Any], flags: Collection[str]) -> dict[str, Label]:
    """The labels in what an engine keeps; `flags` names those that are True or False, which it keeps as 1 and 0."""
    known = (*PAYLOAD, _UNTIL)
    return {name: bool(value) if name in flags else value for name, value in payload.items() if name not in known}


def shown_time(time: float | None) -> str:
    """A time in words: a date in UTC, seconds where it is too small for one, "-" for none."""
    if time is None or math.isnan(time):
        return "-"
    if not _DATES <= time < 2e11:
        return f"{time:g}"
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
