"""Linking: tracks of several cameras, put together into people by their looks, and by where nobody can have been."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.evaluation.clustering import ClusterScores, cluster_scores
from strongreid.evaluation.distances import Float64, Int64, normalise
from strongreid.features import FeatureTable
from strongreid.files import atomic_file
from strongreid.gallery.agglomeration import Forbidden, agglomerate
from strongreid.gallery.description import now
from strongreid.gallery.engine import Point
from strongreid.gallery.entries import Entries, Moment, entries_of

if TYPE_CHECKING:
    from strongreid.gallery.gallery import Gallery

MOST = 50_000
"""Tracks that are linked at a time: the cost grows with the square of their number."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """n tracks; made by `tracks_of`."""

    features: Float64
    """(n, d) the mean of a track's normalised features, of length 1."""
    cameras: Int64
    identities: Int64
    """(n,) as enrolled, -1 for nobody known."""
    starts: Float64
    """(n,) seconds, NaN where unknown."""
    ends: Float64
    names: tuple[str, ...]
    """As enrolled; empty for a picture without a track."""
    paths: tuple[str, ...]
    """Of the first picture."""
    rows: Int64
    """(m,) the track of each of the m rows that the tracks were made of."""
    ids: Int64
    """(m,) their ids in the gallery, or row numbers of the table."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def counts(self) -> Int64:
        """(n,) rows of each."""
        return np.bincount(self.rows, minlength=len(self)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Links:
    """Which tracks show one person."""

    tracks: Tracks
    people: Int64
    """(n,) who each track shows, from 1 on, in the order of the first tracks."""
    threshold: float

    def of_rows(self) -> Int64:
        """(m,) who each row shows that the tracks were made of."""
        return np.asarray(self.people[self.tracks.rows])

    def scores(self, identities: npt.ArrayLike | None = None, weights: npt.ArrayLike | None = None) -> ClusterScores:
        """`cluster_scores` over rows, against the identities enrolled, or those given for each track.

        Raises:
            InputError: as `cluster_scores`, or no track has an identity.
        """
        who = self.tracks.identities if identities is None else np.asarray(identities)
        if not (who >= 0).any():
            raise InputError("no track has an identity to compare with; give identities, one for each track.")
        return cluster_scores(who, self.people, self.tracks.counts if weights is None else weights)

    def table(self) -> str:
        """In words."""
        several = np.bincount(self.people)
        across = len({p for p in np.unique(self.people).tolist() if len(set(self._cameras(p))) > 1})
        return (
            f"{len(self.tracks)} tracks, {int((several > 0).sum())} people, {int((several > 1).sum())} of them of "
            f"several tracks, {across} by several cameras; linked up to a distance of {self.threshold:.4f}"
        )

    def _cameras(self, person: int) -> list[int]:
        return [int(camera) for camera in self.tracks.cameras[self.people == person]]

    def csv(self) -> str:
        """A row for each track, the people in order, each one's tracks by time."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("person", "camera", "track", "start", "end", "pictures", "path"))
        own = self.tracks
        counts = own.counts
        for row in np.lexsort((np.arange(len(own)), own.starts, self.people)).tolist():
            times = ["" if np.isnan(value) else f"{value:.6f}" for value in (own.starts[row], own.ends[row])]
            writer.writerow((self.people[row], own.cameras[row], own.names[row], *times, counts[row], own.paths[row]))
        return text.getvalue()

    def save(self, path: str | Path) -> None:
        """Write `csv()`, atomically.

        Raises:
            InputError: the file can't be written.
        """
        with atomic_file(Path(path)) as partial:
            partial.write_text(self.csv(), encoding="utf-8", newline="")


def link(
    tracks: Tracks,
    threshold: float,
    *,
    least_travel: float | Mapping[tuple[int, int], float] | None = None,
    most: int = MOST,
) -> Links:
    """Put the tracks together that show one person.

    Clusters are merged by average linkage under the cosine distance, nearest first (`agglomerate`). Never together
    are two tracks of one camera that overlap in time, and two of different cameras that are closer in time than the
    way between them takes. Tracks of unknown times are held apart by neither rule.

    Args:
        tracks: as `tracks_of`.
        threshold: largest mean distance between the tracks of two clusters that are merged, 0 to 2.
        least_travel: seconds that anybody needs from the end of one camera's view to another's, for all pairs of
            cameras, or by pair (a, b), either way; pairs that are missing are free. Give nothing where views overlap.
        most: tracks that are accepted.

    Raises:
        InputError: no tracks or too many, or an argument out of range.
    """
    if not len(tracks):
        raise InputError("there are no tracks to link; enrol some first.")
    if len(tracks) > most:
        raise InputError(
            f"{len(tracks):,} tracks are more than the {most:,} that are linked at a time (the time grows with the "
            "square of their number): enrol tracks as one entry, link a shorter period, or raise `most`."
        )
    if not 0 <= threshold <= 2:
        raise InputError(f"a threshold is a cosine distance from 0 to 2, got {threshold}.")
    travel = _travel(tracks, least_travel)
    people = agglomerate(tracks.features, threshold, _forbidden(tracks, travel)) + 1
    return Links(tracks, people, float(threshold))


def tracks_of(
    table: FeatureTable,
    *,
    times: Sequence[Moment | None] | npt.NDArray[np.floating] | None = None,
    tracks: Sequence[str | int | None] | npt.NDArray[np.generic] | None = None,
) -> Tracks:
    """The tracks of a table's rows; a row without a track is one of its own.

    Args:
        table: features of pictures, or of tracks.
        times: of each row, as `Gallery.add` takes them.
        tracks: name of each row's track; the same name before two cameras is two tracks.

    Raises:
        InputError: lengths differ, a time can't be read, or a track has two identities.
    """
    numbers = np.arange(len(table), dtype=np.int64)
    return grouped([entries_of(table, numbers, times=times, tracks=tracks)])


def tracks_in(gallery: Gallery) -> Tracks:
    """The tracks of a gallery's entries; an entry without a track is one of its own.

    Raises:
        InputError: there is no gallery, it is empty, its metric is not the cosine, or a track has two identities.
    """
    if gallery._described().metric != "cosine":
        raise InputError("tracks are linked under the cosine metric only.")
    return grouped(_entries(points) for points in gallery._store.engine.pages(features=True))


def write_links(gallery: Gallery, links: Links, name: str) -> int:
    """Write who was linked into a gallery's entries: all at once, or not at all; returns how many entries.

    Takes as much disk and time as `compact`, which it does too. Entries that came later keep what they have.

    Args:
        gallery: in a folder.
        links: of its tracks.
        name: of a label, old or new, for the number of the person; or "identity", where nobody has one yet.

    Raises:
        InputError: there is no gallery, a label can't have this name or is of another kind, "identity" would
            overwrite a known one, or the gallery is on a server.
    """
    own = gallery._described()
    with gallery._changing:
        described = own if name == "identity" else own.with_whole_label(name)
        count = len(links.tracks.ids)
        line = {"when": now(), "what": "link", "to": name, "entries": count}
        gallery._store.rewrite(_change_of(links, name), described, line)
    return count


def _entries(points: Sequence[Point]) -> Entries:
    payloads = [point.payload for point in points]
    return Entries(
        ids=np.array([point.id for point in points], dtype=np.int64),
        features=np.array([point.feature for point in points], dtype=np.float32),
        identities=np.array([payload["identity"] for payload in payloads], dtype=np.int64),
        cameras=np.array([payload["camera"] for payload in payloads], dtype=np.int64),
        paths=tuple(payload["path"] for payload in payloads),
        times=np.array([payload.get("time", np.nan) for payload in payloads], dtype=np.float64),
        tracks=tuple(payload.get("track") for payload in payloads),
        until=np.array([payload.get("until", np.nan) for payload in payloads], dtype=np.float64),
    )


def grouped(parts: Iterable[Entries]) -> Tracks:
    """The tracks of a gallery's entries, from parts of them; only sums are kept of the features.

    Raises:
        InputError: there are no entries, or a track has two identities.
    """
    number: dict[tuple[int, str], int] = {}
    sums: list[npt.NDArray[np.float64]] = []
    about: list[tuple[int, int, str, str]] = []
    spans: list[list[float]] = []
    rows: list[int] = []
    ids: list[int] = []
    for entries in parts:
        ids += entries.ids.tolist()
        features = normalise(entries.features).astype(np.float64)
        cameras, identities = entries.cameras.tolist(), entries.identities.tolist()
        ends = entries.times if entries.until is None else np.fmax(entries.times, entries.until)
        for row, name in enumerate(entries.tracks):
            key = (cameras[row], f"\0{len(rows)}" if name is None else name)
            place = number.setdefault(key, len(sums))
            rows.append(place)
            if place == len(sums):
                sums.append(features[row].copy())
                about.append((cameras[row], identities[row], name or "", entries.paths[row]))
                spans.append([entries.times[row], ends[row]])
                continue
            if about[place][1] != identities[row]:
                raise InputError(
                    f"track {name!r} of camera {cameras[row]} has identities {about[place][1]} and "
                    f"{identities[row]}; a track is one person."
                )
            sums[place] += features[row]
            spans[place][0] = np.fmin(spans[place][0], entries.times[row])
            spans[place][1] = np.fmax(spans[place][1], ends[row])
    if not sums:
        raise InputError("there are no entries to link; enrol some first.")
    means = np.array(sums)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return Tracks(
        features=means / np.where(lengths > 0, lengths, 1.0),
        cameras=np.array([one[0] for one in about], dtype=np.int64),
        identities=np.array([one[1] for one in about], dtype=np.int64),
        starts=np.array([one[0] for one in spans], dtype=np.float64),
        ends=np.array([one[1] for one in spans], dtype=np.float64),
        names=tuple(one[2] for one in about),
        paths=tuple(one[3] for one in about),
        rows=np.array(rows, dtype=np.int64),
        ids=np.array(ids, dtype=np.int64),
    )


def _change_of(links: Links, name: str) -> Callable[[Entries], Entries]:
    """What gives entries their person's number, as the label `name` or as the identity.

    Raises:
        InputError: an entry has an identity, which would be overwritten.
    """
    if name == "identity" and (links.tracks.identities >= 0).any():
        known = int((links.tracks.identities >= 0).sum())
        raise InputError(
            f"{known} tracks have an identity, which would be overwritten; write a label instead, such as person."
        )
    people = dict(zip(links.tracks.ids.tolist(), links.of_rows().tolist(), strict=True))

    def changed(entries: Entries) -> Entries:
        ids = entries.ids.tolist()
        if name == "identity":
            known = entries.identities.tolist()
            own = [people.get(number, old) for number, old in zip(ids, known, strict=True)]
            return replace(entries, identities=np.array(own, dtype=np.int64))
        before = entries.labels.get(name, (None,) * len(entries))
        values = tuple(people.get(number, old) for number, old in zip(ids, before, strict=True))
        return replace(entries, labels={**entries.labels, name: values})

    return changed


def _travel(tracks: Tracks, given: float | Mapping[tuple[int, int], float] | None) -> tuple[Int64, Float64]:
    """The cameras, ascending, and the (c, c) seconds between them; minus infinity where any time will do."""
    cameras = np.unique(tracks.cameras)
    least = np.full((len(cameras), len(cameras)), -np.inf)
    pairs = given.items() if isinstance(given, Mapping) else []
    values = [given] if isinstance(given, (int, float)) else [value for _, value in pairs]
    if any(not 0 <= value < np.inf for value in values):
        raise InputError(f"least_travel is a number of seconds from 0, got {given}.")
    if isinstance(given, (int, float)):
        least[:] = given
    for (one, other), value in pairs:
        a, b = np.flatnonzero(cameras == one), np.flatnonzero(cameras == other)
        least[a[:, None], b] = least[b[:, None], a] = value
    np.fill_diagonal(least, 0.0)  # of one camera: no overlap
    return cameras, least


def _forbidden(tracks: Tracks, travel: tuple[Int64, Float64]) -> Forbidden:
    """Which tracks can't be one person: the gap between them is below the least."""
    cameras, least = travel
    places = np.searchsorted(cameras, tracks.cameras)
    starts, ends = tracks.starts, tracks.ends

    def block(rows: slice) -> npt.NDArray[np.bool_]:
        gaps = np.maximum(starts[rows, None] - ends, starts - ends[rows, None])  # NaN where a time is unknown
        wanted = least[places[rows, None], places]
        same = places[rows, None] == places
        apart = (gaps < wanted) | (same & (gaps <= 0))  # also those that only touch, by one moment
        apart[np.arange(len(gaps)), np.arange(rows.start, rows.start + len(gaps))] = False
        return np.asarray(apart)

    return block
