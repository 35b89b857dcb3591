"""What may be asked for: typed, bounded, documented by OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field, field_validator

from strongreid.gallery.conditions import Only
from strongreid.gallery.description import Description
from strongreid.gallery.entries import LARGEST_ID, Label, LabelKind
from strongreid.web.limits import RefusedError

Id = Annotated[int, Field(ge=0, le=LARGEST_ID)]
Number = Annotated[int, Field(ge=-LARGEST_ID, le=LARGEST_ID)]
Short = Annotated[str, Field(max_length=200)]
SeveralNumbers = Annotated[list[Number], Field(max_length=100)]
SeveralShort = Annotated[list[Short], Field(max_length=100)]
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Filters(BaseModel):
    """Which entries are meant; all must pass, several values are alternatives."""

    model_config = ConfigDict(extra="forbid")

    cameras: SeveralNumbers = []
    not_cameras: SeveralNumbers = []
    identities: SeveralNumbers = []
    since: Short = Field("", description="this time or later: seconds, or a date such as 2026-03-01T08:30:00Z (UTC)")
    before: Short = Field("", description="earlier than this time")
    where: SeveralShort = Field(default=[], description="LABEL=VALUE")

    def only(self, own: Description | None) -> Only:
        """As the gallery takes it.

        Raises:
            RefusedError: a label's value is not of its kind, or no LABEL=VALUE.
        """
        labels: dict[str, list[Label]] = {}
        for text in self.where:
            name, equals, value = text.partition("=")
            if not equals or not name.strip():
                raise RefusedError(f"a label is asked for as LABEL=VALUE, got {text!r}.", 422)
            kind = own.labels.get(name.strip(), "text") if own else "text"
            labels.setdefault(name.strip(), []).append(typed(name.strip(), value.strip(), kind))
        return Only(
            cameras=self.cameras or None,
            not_cameras=self.not_cameras or None,
            identities=self.identities or None,
            since=self.since.strip() or None,
            before=self.before.strip() or None,
            labels=labels or None,
        )


class EntriesQuery(Filters):
    """Which page of which entries."""

    start: Id = Field(0, description="the id to begin with: `following` of the page before")
    limit: int = Field(60, ge=1, le=500)


class Pictures(BaseModel):
    """Pictures of one person, and what parts of them."""

    pictures: list[UploadFile] = Field(default_factory=list, description="JPEG, PNG, WebP or BMP")
    boxes: SeveralShort = Field(
        default=[],
        description="of each picture LEFT,TOP,WIDTH,HEIGHT in pixels, upright; empty for all of it",
    )


class SearchForm(Filters, Pictures):
    """Look for somebody by pictures, by entries, or by both together."""

    entries: list[Id] = Field(default_factory=list, max_length=20, description="ids of entries to look for")
    unlike: list[Id] = Field(default_factory=list, max_length=20, description="ids of entries to move away from")
    top_k: int = Field(24, ge=1, le=500)
    combine: Literal["mean", "best"] = "mean"
    rerank: Literal["", "k_reciprocal"] = ""
    candidates: int = Field(200, ge=1, le=2000, description="nearest entries that are re-ranked")
    prior: float = Field(0.5, gt=0, lt=1, allow_inf_nan=False, description="how likely a match is before looking")
    fpr: float | None = Field(
        None, gt=0, lt=1, allow_inf_nan=False, description="which stored threshold decides on unknown"
    )

    @field_validator("fpr", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "" else value


class EnrolForm(Pictures):
    """Enrol each picture as an entry."""

    model_config = ConfigDict(extra="forbid")

    identity: int = Field(-1, ge=-1, le=LARGEST_ID, description="-1 for none")
    camera: Number = 0
    time: Short = Field("", description="seconds, or a date such as 2026-03-01T08:30:00Z (UTC)")
    track: Short = ""
    labels: SeveralShort = Field(default=[], description="LABEL=VALUE")

    def typed_labels(self, own: Description | None) -> dict[str, Label]:
        """By name, of the gallery's kinds; a label that is new is text.

        Raises:
            RefusedError: one is no LABEL=VALUE, is given twice, or not of its kind.
        """
        found: dict[str, Label] = {}
        for text in self.labels:
            name, equals, value = (part.strip() for part in text.partition("="))
            if not equals or not name or name in found:
                raise RefusedError(f"a label is given once, as LABEL=VALUE; got {text!r}.", 422)
            found[name] = typed(name, value, own.labels.get(name, "text") if own else "text")
        return found


class RemoveForm(BaseModel):
    """Exactly one of the three."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ids: list[Id] | None = Field(None, min_length=1, max_length=1000)
    identity: int | None = Field(None, ge=-1, le=LARGEST_ID)
    before: Short | None = Field(None, min_length=1)


class Token(BaseModel):
    """What was printed where the server was started."""

    model_config = ConfigDict(extra="forbid")

    token: Short


def typed(name: str, value: str, kind: LabelKind) -> Label:
    """A label's value as the gallery has it.

    Raises:
        RefusedError: it is not of that kind.
    """
    if kind == "text":
        return value
    if kind == "flag" and value.lower() in _FLAGS:
        return _FLAGS[value.lower()]
    if kind == "whole":
        try:
            number = int(value)
        except ValueError:
            number = LARGEST_ID + 1
        if abs(number) <= LARGEST_ID:
            return number
    wanted = "a whole number" if kind == "whole" else "true or false"
    raise RefusedError(f"{name} is {wanted} in this gallery, got {value!r}.", 422)
