"""Which entries a search may find, apart from any engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from strongreid.errors import InputError
from strongreid.gallery.entries import FIELDS, Label, LabelKind, Moment, seconds


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The field has one of the values, or none of them where `exclude` is set."""

    field: str
    values: tuple[str | int, ...]
    """True and False as 1 and 0, as `Entries.payloads` gives them."""
    exclude: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """at_least <= field < below; entries without a value never pass."""

    field: str
    at_least: float | None = None
    below: float | None = None


Condition = AnyOf | Between
Several = Label | Iterable[Label]
_KIND_WORDS = {"text": "text", "whole": "whole numbers", "flag": "True or False"}


@dataclass(frozen=True)
class Only:
    """What to search in: entries that pass every condition given.

    Args of one value or several; several are alternatives.
    """

    cameras: Several | None = None
    not_cameras: Several | None = None
    """All but these: a query's own camera, for one."""
    identities: Several | None = None
    tracks: Several | None = None
    since: Moment | None = None
    """Entries of this time or later, as `seconds` reads it."""
    before: Moment | None = None
    """Entries before this time. Entries without a time pass neither."""
    labels: Mapping[str, Several] | None = None

    def conditions(self, known: Mapping[str, LabelKind]) -> tuple[Condition, ...]:
        """The conditions, checked against the labels that the gallery has.

        Raises:
            InputError: an unknown label, no values, values of another kind, or a time that can't be read or ends
                before it begins.
        """
        found: list[Condition] = []
        for name, given, exclude in (
            ("camera", self.cameras, False),
            ("camera", self.not_cameras, True),
            ("identity", self.identities, False),
        ):
            if given is not None:
                found.append(AnyOf(name, _values(name, given, "whole"), exclude))
        if self.tracks is not None:
            tracks = [str(track) for track in _listed(self.tracks)]
            found.append(AnyOf("track", _values("track", tracks, "text")))
        for name, given in (self.labels or {}).items():
            if name not in known:
                there = ", ".join([*FIELDS, *sorted(known)])
                raise InputError(f"this gallery has no label {name!r} to filter by; it has {there}.")
            found.append(AnyOf(name, _values(name, given, known[name])))
        since = None if self.since is None else seconds(self.since)
        before = None if self.before is None else seconds(self.before)
        if since is not None and before is not None and since >= before:
            raise InputError(f"the time range {self.since} to {self.before} is empty: it ends before it begins.")
        if since is not None or before is not None:
            found.append(Between("time", since, before))
        return tuple(found)


def _listed(given: Any) -> list[Any]:
    if isinstance(given, (str, int, bool)):
        return [given]
    if isinstance(given, np.generic):
        return [given.item()]
    try:
        return given.tolist() if isinstance(given, np.ndarray) else list(given)
    except TypeError as error:
        raise InputError(f"a filter takes a value or several, got {given!r}.") from error


def _values(name: str, given: Any, kind: LabelKind) -> tuple[str | int, ...]:
    values = [value.item() if isinstance(value, np.generic) else value for value in _listed(given)]
    if not values:
        raise InputError(f"no values to filter {name} by: give at least one, or leave the filter out.")
    wanted = {"text": str, "whole": int, "flag": bool}[kind]
    for value in values:
        if type(value) is not wanted:
            raise InputError(f"{name} is {_KIND_WORDS[kind]} in this gallery, got {value!r}.")
    return tuple(int(value) if kind == "flag" else value for value in values)


def qdrant_filter(conditions: Sequence[Condition], models: Any) -> Any:
    """The filter in the classes of `qdrant_edge` or `qdrant_client.models`, which share their names; None for all."""
    if not conditions:
        return None
    bounds = getattr(models, "RangeFloat", None) or models.Range
    must: list[Any] = []
    must_not: list[Any] = []
    for condition in conditions:
        if isinstance(condition, Between):
            limits = bounds(gte=condition.at_least, lt=condition.below)
            must.append(models.FieldCondition(key=condition.field, range=limits))
            continue
        match = models.FieldCondition(key=condition.field, match=models.MatchAny(any=list(condition.values)))
        (must_not if condition.exclude else must).append(match)
    return models.Filter(must=must or None, must_not=must_not or None)
