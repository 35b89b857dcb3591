"""What is known about pictures beside their features: the CSV of --notes."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from strongreid.errors import InputError
from strongreid.features import FeatureTable


def read_notes(path: str, table: FeatureTable) -> tuple[FeatureTable, dict[str, Any]]:
    """The table with the cameras and identities of the notes, and times, tracks and labels of its rows.

    Paths are as the table has them, or relative to the notes. Of labels, whole numbers and true/false are read as
    such.

    Raises:
        InputError: the notes can't be read, lack a picture, or have a camera or identity that is no whole number.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the notes {path}: {error}.") from error
    if not rows or "path" not in rows[0]:
        raise InputError(f"{path} needs a head with a column path, and rows below it.")
    chosen = _matched(path, rows, table.paths)
    names = [name for name in rows[0] if name and name != "path"]
    columns = {name: [row[name] or None for row in chosen] for name in names}
    found: dict[str, Any] = {"labels": {}}
    for name, values in columns.items():
        if name in ("camera", "identity"):
            table = _with(table, name, values, path)
        elif name in ("time", "track"):
            found[f"{name}s"] = values
        else:
            found["labels"][name] = typed(values)
    return table, found


def drop_varying(notes: dict[str, Any]) -> list[str]:
    """Take out the labels that differ within a track; returns their names."""
    first: dict[str, int] = {}
    tracks = notes.get("tracks") or []
    names = []
    for name, values in list(notes["labels"].items()):
        first = {}
        pairs = ((track, row) for row, track in enumerate(tracks) if track is not None)
        if any(values[first.setdefault(track, row)] != values[row] for track, row in pairs):
            names.append(name)
            del notes["labels"][name]
    return names


def typed(values: list[str | None]) -> list[Any]:
    """Texts as whole numbers or True and False, where all of them are."""
    given = [value for value in values if value is not None]
    flags = {"true": True, "false": False}
    if all(value.lower() in flags for value in given):
        return [None if value is None else flags[value.lower()] for value in values]
    if all(value.removeprefix("-").isdecimal() for value in given):
        return [None if value is None else int(value) for value in values]
    return list(values)


def _matched(path: str, rows: list[dict[str, Any]], wanted: tuple[str, ...]) -> list[dict[str, Any]]:
    by_path = {row["path"]: row for row in rows}
    here = Path(path).absolute().parent
    absolute = {os.path.normpath(here / row["path"]): row for row in rows if row["path"]}
    found = [by_path.get(name) or absolute.get(os.path.normpath(Path(name).absolute())) for name in wanted]
    missing = [name for name, row in zip(wanted, found, strict=True) if row is None]
    if missing:
        raise InputError(f"{path} says nothing about {len(missing)} of {len(wanted)} pictures, such as {missing[0]}.")
    return [row for row in found if row is not None]


def _with(table: FeatureTable, name: str, values: list[str | None], path: str) -> FeatureTable:
    """The table with another column of cameras or identities; where the notes say nothing, it keeps its own."""
    own = table.cameras if name == "camera" else table.identities
    try:
        numbers = [int(old) if value is None else int(value) for value, old in zip(values, own.tolist(), strict=True)]
    except ValueError as error:
        raise InputError(f"{path}: a {name} is a whole number ({error}).") from error
    column = np.array(numbers, dtype=np.int64)
    return replace(table, cameras=column) if name == "camera" else replace(table, identities=column)
