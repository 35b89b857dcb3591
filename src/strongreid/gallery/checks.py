"""What a gallery refuses: features that can't be compared with its own, and removals that are not clear."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.evaluation.distances import Float32, Int64
from strongreid.features import FeatureTable
from strongreid.gallery.conditions import Between, Condition, Only
from strongreid.gallery.description import Description
from strongreid.gallery.engine import PAGE, Engine
from strongreid.gallery.entries import Moment, seconds

Given = FeatureTable | npt.ArrayLike
"""(d,) or (n, d) features, or a table of them."""


def check_same_model(own: Description, where: str | Path, features: npt.NDArray[Any], model: str) -> None:
    """Refuse features of another dimension or model with an InputError."""
    if features.shape[1] != own.dim:
        raise InputError(
            f"these features have {features.shape[1]} numbers, those of {where} have {own.dim}: extract them with "
            "the gallery's model."
        )
    if model != own.model:
        raise InputError(
            f"these features come from the model {model or 'unknown'!r}, {where} holds those of "
            f"{own.model or 'unknown'!r}, and the two can't be compared: extract them with the gallery's model, or "
            "make another gallery."
        )


def comparable(own: Description, where: str | Path, given: Given, model: str) -> Float32:
    """(n, d) of what is searched by; an array's model is taken on trust where none is named.

    Raises:
        InputError: it is empty, of another shape, dimension or model, or not finite.
    """
    if not isinstance(given, FeatureTable):
        array = np.asarray(given)
        array = array[None] if array.ndim == 1 else array
        rows = np.zeros(len(array) if array.ndim else 0, dtype=np.int64)
        given = FeatureTable(array, rows, rows, ("",) * len(rows), model or own.model)  # refuses NaN and odd shapes
    if not len(given):
        raise InputError("there are no features to search by.")
    check_same_model(own, where, given.features, given.model)
    return given.features


def refuse_taken(engine: Engine, where: str | Path, ids: Int64) -> None:
    """Refuse ids that the gallery has with an InputError."""
    for start in range(0, len(ids), PAGE):
        taken = engine.retrieve(ids[start : start + PAGE].tolist())
        if taken:
            raise InputError(f"{where} already has an entry {taken[0].id}; nothing was added.")


def to_remove(
    engine: Engine,
    where: str | Path,
    ids: Sequence[int] | Int64 | None,
    identity: int | None,
    before: Moment | None,
) -> tuple[Int64, dict[str, Any]]:
    """The ids that are meant, and how they were named, for the audit.

    Raises:
        InputError: not exactly one of the three is given, or an id is not there.
    """
    if sum(argument is not None for argument in (ids, identity, before)) != 1:
        raise InputError("remove takes exactly one of ids, identity and before: say what is to go.")
    if ids is not None:
        chosen = np.unique(np.asarray(ids))
        if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
            raise InputError(f"ids are whole numbers, got {chosen.dtype}.")
        there = {point.id for point in engine.retrieve(chosen.tolist())}
        if missing := [number for number in chosen.tolist() if number not in there]:
            raise InputError(f"{where} has no entry {missing[0]}; nothing was removed.")
        return chosen.astype(np.int64), {"by": "ids"}
    condition: Condition
    if identity is not None:
        condition = Only(identities=identity).conditions({})[0]
        note: dict[str, Any] = {"by": "identity", "value": int(identity)}
    else:
        assert before is not None
        condition = Between("time", below=seconds(before))
        note = {"by": "before", "value": seconds(before)}
    found = [point.id for page in engine.pages([condition]) for point in page]
    return np.array(found, dtype=np.int64), note
