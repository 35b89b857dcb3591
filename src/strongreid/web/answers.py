"""What is answered: typed, documented by OpenAPI."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Error(BaseModel):
    """Why not, in one sentence."""

    error: str


class Count(BaseModel):
    """A value and how many entries have it."""

    value: str | int | bool
    entries: int


class Allowed(BaseModel):
    """What one request may take."""

    pictures: int
    picture_bytes: int
    picture_pixels: int
    request_bytes: int
    top_k: int


class Info(BaseModel):
    """What the gallery is."""

    gallery: str
    version: str
    made: bool = Field(description="false until the first entry makes it")
    entries: int
    dim: int | None
    metric: str | None
    model: str
    cameras: list[Count]
    labels: dict[str, str] = Field(description="the kind of each: text, whole or flag")
    label_values: dict[str, list[Count]]
    threshold: float | None = Field(description="a distance beyond it is unknown; null without a calibration")
    fpr: float | None
    thresholds: dict[str, float] = Field(description="by false positive rate")
    calibrated_on: str
    pictures_shown: bool
    uploads_kept: bool
    removed_not_compacted: int | None = Field(description="entries still on the disk; null on a server")
    allowed: Allowed


class Entry(BaseModel):
    """What is known about an entry."""

    id: int
    identity: int = Field(description="-1 for none")
    camera: int
    path: str = Field(description="as enrolled")
    time: float | None
    time_text: str = Field(description="as a date in UTC, or seconds; '-' for none")
    track: str | None
    labels: dict[str, str | int | bool]
    picture: bool = Field(description="whether /api/entries/ID/picture has one")


class Page(BaseModel):
    """Some entries, by id."""

    entries: list[Entry]
    following: int | None = Field(description="the start of the next page")


class Match(Entry):
    """An entry that was found."""

    rank: int
    who: str
    score: float
    distance: float
    probability: float | None
    known: bool | None
    reranked: float | None


class Found(BaseModel):
    """Matches, best first."""

    result: str = Field(description="for /api/results/RESULT.csv, while it is among the latest")
    answer: str = Field(description="the identity, '-' for an entry without one, or 'unknown'")
    metric: str
    threshold: float | None
    fpr: float | None
    prior: float
    pictures: int = Field(description="that were searched for, uploads and entries")
    seconds: float = Field(description="that it took, waiting included")
    matches: list[Match]


class Enrolled(BaseModel):
    """What was enrolled."""

    ids: list[int]
    entries: int
    kept: bool = Field(description="whether the pictures were kept")


class Removed(BaseModel):
    """What was removed."""

    removed: int
    entries: int
    removed_not_compacted: int | None
    pictures_deleted: int = Field(description="of uploads that had been kept")
    pictures_left: int = Field(description="of uploads that could not be deleted")


class Compacted(BaseModel):
    """What is there after compacting."""

    entries: int
    removed_not_compacted: int | None
