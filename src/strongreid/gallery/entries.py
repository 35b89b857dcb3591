"""What a gallery holds: features with all that is known about each, in memory and as Parquet parts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.evaluation.distances import Float32, Float64, Int64, Metric
from strongreid.evaluation.tracks import average_tracks
from strongreid.features import FeatureTable

Label = str | int | bool
LabelKind = Literal["text", "whole", "flag"]
Moment = float | str | datetime
FIELDS: dict[str, LabelKind | Literal["time"]] = {
    "identity": "whole",
    "camera": "whole",
    "track": "text",
    "time": "time",
}
"""What every gallery can be filtered by, besides its labels."""
RESERVED = (*FIELDS, "until", "id", "path", "feature")
LARGEST_ID = 2**53 - 1
"""Ids stay whole numbers in JSON, also where that is read by JavaScript."""
_KINDS: dict[type, LabelKind] = {str: "text", int: "whole", bool: "flag"}


@dataclass(frozen=True, eq=False)
class Entries:
    """n rows of a gallery; made by `entries_of`, which checks them."""

    ids: Int64
    """(n,) distinct, from 0."""
    features: Float32
    """(n, d), as the model gave them."""
    identities: Int64
    cameras: Int64
    paths: tuple[str, ...]
    times: Float64
    """(n,) seconds, NaN where unknown."""
    tracks: tuple[str | None, ...]
    labels: Mapping[str, tuple[Label | None, ...]] = field(default_factory=dict)
    until: Float64 | None = None
    """(n,) seconds of the last picture of an entry that is a track, otherwise NaN; None where none is."""

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice) -> Entries:
        """The given rows."""
        chosen = np.arange(len(self))[rows]
        if len(chosen) == len(self):
            return self
        numbers = chosen.tolist()
        return Entries(
            ids=self.ids[chosen],
            features=self.features[chosen],
            identities=self.identities[chosen],
            cameras=self.cameras[chosen],
            paths=tuple(self.paths[row] for row in numbers),
            times=self.times[chosen],
            tracks=tuple(self.tracks[row] for row in numbers),
            labels={name: tuple(values[row] for row in numbers) for name, values in self.labels.items()},
            until=None if self.until is None else self.until[chosen],
        )

    def with_ids(self, ids: Int64) -> Entries:
        """The same rows under other ids."""
        return replace(self, ids=ids)

    def payloads(self) -> Iterator[dict[str, Any]]:
        """What an engine keeps beside each feature; what is unknown is left out."""
        names = list(self.labels)
        columns = zip(
            self.identities.tolist(),
            self.cameras.tolist(),
            self.paths,
            self.times.tolist(),
            [math.nan] * len(self) if self.until is None else self.until.tolist(),
            self.tracks,
            *self.labels.values(),
            strict=True,
        )
        for identity, camera, path, time, until, track, *values in columns:
            payload: dict[str, Any] = {"identity": identity, "camera": camera, "path": path}
            if not math.isnan(time):
                payload["time"] = time
            if not math.isnan(until):
                payload["until"] = until
            if track is not None:
                payload["track"] = track
            for name, value in zip(names, values, strict=True):
                if value is not None:  # flags as 1 and 0: qdrant-edge 0.9 can't filter by True and False
                    payload[name] = int(value) if isinstance(value, bool) else value
            yield payload


def entries_of(
    table: FeatureTable,
    ids: Int64,
    *,
    times: Sequence[Moment | None] | npt.NDArray[Any] | None = None,
    tracks: Sequence[str | int | None] | npt.NDArray[Any] | None = None,
    labels: Mapping[str, Sequence[Label | None] | npt.NDArray[Any]] | None = None,
) -> Entries:
    """The table's rows with what else is known about them, one value per row or None.

    Raises:
        InputError: lengths differ, an id is repeated or out of range, a time can't be read, or a label has a name or
            values that can't be filtered by.
    """
    total = len(table)
    if ids.shape != (total,) or ids.dtype.kind not in "iu":
        raise InputError(f"ids are whole numbers, one for each of {total} rows; got {ids.dtype} {ids.shape}.")
    ids = ids.astype(np.int64)
    wrong = ids[(ids < 0) | (ids > LARGEST_ID)]
    if wrong.size:
        raise InputError(f"ids are whole numbers from 0 to {LARGEST_ID}; got {wrong[0]}.")
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < total:
        raise InputError(f"id {values[counts > 1][0]} is given to {counts.max()} rows; every entry has its own.")
    return Entries(
        ids=ids,
        features=table.features,
        identities=table.identities,
        cameras=table.cameras,
        paths=table.paths,
        times=np.full(total, np.nan) if times is None else _times(_per_row("times", times, total)),
        tracks=(None,) * total if tracks is None else _texts(_per_row("tracks", tracks, total)),
        labels={
            name: _label(name, _per_row(f"label {name}", given, total)) for name, given in (labels or {}).items()
        },
    )


def one_per_track(entries: Entries, metric: Metric) -> Entries:
    """Each track as one entry: the mean of its normalised features, with its first id and path, first and last time.

    Rows without a track stay as they are. Labels must be the same over a track.

    Raises:
        InputError: a track has two identities, cameras or values of a label, no row has a track, or the metric is not
            the cosine.
    """
    if metric != "cosine":
        raise InputError("a track becomes one entry under the cosine metric only; enrol its pictures one by one.")
    if all(track is None for track in entries.tracks):
        raise InputError("there are no tracks to make one entry each; give tracks, one name for each row.")
    names = [f"\0{row}" if track is None else track for row, track in enumerate(entries.tracks)]  # \0: of its own
    table = FeatureTable(entries.features, entries.identities, entries.cameras, entries.paths)
    means = average_tracks(table, names)
    _, first, groups = np.unique(np.array(names), return_index=True, return_inverse=True)
    order = np.argsort(first)
    earliest, latest = np.full(len(first), np.inf), np.full(len(first), -np.inf)
    np.fmin.at(earliest, groups, entries.times)
    np.fmax.at(latest, groups, entries.times)
    alone = np.array([name.startswith("\0") for name in names])[first]
    for name, values in entries.labels.items():
        for row, group in enumerate(groups.tolist()):
            if values[row] != values[first[group]]:
                raise InputError(
                    f"track {entries.tracks[row]!r} has {values[first[group]]!r} and {values[row]!r} as {name}; a "
                    "track that becomes one entry has one value of each label."
                )
    kept = entries.select(first[order])
    return Entries(
        ids=kept.ids,
        features=means.features,
        identities=kept.identities,
        cameras=kept.cameras,
        paths=kept.paths,
        times=np.where(np.isfinite(earliest), earliest, np.nan)[order],
        tracks=kept.tracks,
        labels=kept.labels,
        until=np.where(np.isfinite(latest) & ~alone, latest, np.nan)[order],
    )


def kinds_of(entries: Entries) -> dict[str, LabelKind]:
    """The kind of each label that has a value."""
    found: dict[str, LabelKind] = {}
    for name, values in entries.labels.items():
        kinds = {_KINDS[type(value)] for value in values if value is not None}
        if kinds:
            found[name] = kinds.pop()
    return found


def seconds(value: Moment) -> float:
    """A time as seconds: numbers as they are, dates as seconds since 1970 in UTC, and without a zone taken as UTC.

    Raises:
        InputError: it is neither a finite number nor a date in ISO 8601, such as 2026-03-01T08:30:00Z.
    """
    try:
        if isinstance(value, str):
            value = _number_or_date(value)
        if isinstance(value, datetime):
            value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, bool) or not math.isfinite(value):
            raise ValueError("not finite")  # noqa: TRY301
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"a time is a number of seconds or a date such as 2026-03-01T08:30:00Z, got {value!r}."
        ) from error


def _number_or_date(text: str) -> float | datetime:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text)


def _per_row(name: str, values: Iterable[Any], total: int) -> list[Any]:
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if isinstance(values, str) or len(listed) != total:
        raise InputError(f"{name}: one value for each of the table's {total} rows, or None; got {len(listed)}.")
    return listed


def _times(values: list[Any]) -> Float64:
    missing = [value is None or (isinstance(value, float) and math.isnan(value)) for value in values]
    return np.array([math.nan if gone else seconds(value) for value, gone in zip(values, missing, strict=True)])


def _texts(values: list[Any]) -> tuple[str | None, ...]:
    for value in values:
        if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int))):
            raise InputError(f"a track is a name or a whole number, got {value!r}.")
    return tuple(None if value is None else str(value) for value in values)


def check_label(name: str) -> None:
    """Refuse what can't be a label's name.

    Raises:
        InputError: as it says.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, flags=re.ASCII) or name in RESERVED:
        raise InputError(
            f"a label's name is letters, digits and underscores, and none of {', '.join(RESERVED)}; got {name!r}."
        )


def _label(name: str, values: list[Any]) -> tuple[Label | None, ...]:
    check_label(name)
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 or not kinds <= set(_KINDS):
        got = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise InputError(f"label {name} is all text, all whole numbers or all True and False; got {got}.")
    return tuple(values)
