"""What the page can do, apart from HTTP: a gallery, something that makes features, folders of pictures."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

import strongreid
from strongreid.errors import InputError
from strongreid.features import FeatureTable
from strongreid.gallery import Entry, Gallery, Match, Only, SearchResult
from strongreid.gallery.description import Description
from strongreid.gallery.result import shown_time
from strongreid.web import answers
from strongreid.web.forms import EnrolForm, EntriesQuery, RemoveForm, SearchForm
from strongreid.web.limits import Limits, RefusedError
from strongreid.web.pictures import read_box, read_picture
from strongreid.web.shown import PictureFolders

VALUES = 64
"""Cameras, and values of a label, that the page offers to filter by."""


class Extract(Protocol):
    """Makes features: an `Extractor`, or anything that is called like one."""

    fingerprint: str
    """Of the model."""

    def __call__(self, pictures: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """(n, d) of n RGB pictures."""


class Service:
    """All calls may come from several threads at a time."""

    def __init__(self, gallery: Gallery, extract: Extract, folders: PictureFolders, limits: Limits) -> None:
        """Take what is there.

        Raises:
            InputError: the gallery holds features of another model.
        """
        self.gallery, self.extract, self.folders, self.limits = gallery, extract, folders, limits
        own = self.gallery.description
        if own is not None and own.model != extract.fingerprint:
            raise InputError(
                f"the gallery holds features of the model {own.model or 'unknown'!r}, and these are made by "
                f"{extract.fingerprint or 'unknown'!r}: name the gallery's model, or make another gallery."
            )
        self._extracting, self._remembering, self._changing = (threading.Lock() for _ in range(3))
        self._results: OrderedDict[str, SearchResult] = OrderedDict()

    def info(self) -> answers.Info:
        """What the gallery is, with the values that there are to filter by."""
        own, limits = self.gallery.description, self.limits
        calibration = None if own is None else own.calibration
        kept = {} if calibration is None else {f"{r:g}": t for r, t in calibration.thresholds if t is not None}
        return answers.Info(
            gallery=_short(self.gallery.location),
            version=strongreid.__version__,
            made=own is not None,
            entries=len(self.gallery),
            dim=None if own is None else own.dim,
            metric=None if own is None else own.metric,
            model=self.extract.fingerprint,
            cameras=sorted(self._values("camera", own), key=lambda count: int(count.value)),
            labels={} if own is None else dict(own.labels),
            label_values={name: self._values(name, own) for name in ([] if own is None else own.labels)},
            threshold=None if calibration is None else calibration.threshold(),
            fpr=None if calibration is None else calibration.fpr,
            thresholds=kept,
            calibrated_on="" if calibration is None else calibration.data,
            pictures_shown=bool(self.folders.folders),
            uploads_kept=self.folders.keeping is not None,
            removed_not_compacted=self._removed(),
            allowed=answers.Allowed(
                pictures=limits.pictures,
                picture_bytes=limits.picture_bytes,
                picture_pixels=limits.picture_pixels,
                request_bytes=limits.request_bytes,
                top_k=limits.top_k,
            ),
        )

    def entries(self, query: EntriesQuery) -> answers.Page:
        """A page of entries."""
        page = self.gallery.entries(query.limit, start=query.start, only=query.only(self.gallery.description))
        return answers.Page(entries=[self._entry(entry) for entry in page], following=page.following)

    def entry(self, number: int) -> answers.Entry:
        """One entry."""
        return self._entry(self._found(number))

    def picture(self, number: int, size: int) -> bytes:
        """An entry's picture as JPEG.

        Raises:
            RefusedError: there is no such entry, or no picture of it that may be shown.
        """
        made = self.folders.thumbnail(self._found(number).path, size)
        if made is None:
            raise RefusedError(f"there is no picture of entry {number} to show.", 404)
        return made

    def search(self, form: SearchForm, files: Sequence[bytes]) -> answers.Found:
        """The nearest entries; those that were asked for by their id are left out.

        Raises:
            InputError: nothing is looked for, a picture is refused, or as `Gallery.search`.
        """
        began, own = time.perf_counter(), self.gallery.description
        if own is None:
            raise RefusedError("the gallery is empty: enrol somebody first.", 409)
        pictures = self._pictures(files, form.boxes)
        asked = [*form.entries, *form.unlike]
        for number in asked:
            self._found(number)
        if not pictures and not form.entries:
            raise RefusedError("there is nothing to look for; give a picture or an entry.", 422)
        features = np.concatenate(
            [
                *([self._features(pictures)] if pictures else []),
                *([self.gallery.features(form.entries)] if form.entries else []),
            ]
        )
        only = form.only(own)
        result = self.gallery.search(
            features,
            top_k=min(form.top_k, self.limits.top_k) + len(asked),
            combine=form.combine,
            unlike=self.gallery.features(form.unlike) if form.unlike else None,
            rerank=form.rerank or None,
            candidates=form.candidates,
            prior=form.prior,
            fpr=form.fpr,
            model=self.extract.fingerprint,
            **vars(only),
        )
        kept = tuple(match for match in result if match.id not in asked)[: form.top_k]
        result = replace(result, matches=kept)
        return answers.Found(
            result=self._remember(result),
            answer=result.answer,
            metric=result.metric,
            threshold=result.threshold,
            fpr=result.fpr,
            prior=result.prior,
            pictures=len(features),
            seconds=time.perf_counter() - began,
            matches=[self._match(rank, match) for rank, match in enumerate(kept, start=1)],
        )

    def enrol(self, form: EnrolForm, files: Sequence[bytes]) -> answers.Enrolled:
        """Enrol each picture as an entry; all or none.

        Raises:
            InputError: there is no picture, one is refused, or as `Gallery.add`.
        """
        pictures = self._pictures(files, form.boxes)
        if not pictures:
            raise RefusedError("there is no picture to enrol.", 422)
        count, features = len(pictures), self._features(pictures)
        labels = form.typed_labels(self.gallery.description)
        paths: list[str] = []
        try:
            paths += (self.folders.keep(picture) for picture in pictures)
            table = FeatureTable(
                features,
                np.full(count, form.identity),
                np.full(count, form.camera),
                tuple(paths),
                self.extract.fingerprint,
            )
            with self._changing:
                ids = self.gallery.add(
                    table,
                    times=[form.time.strip() or None] * count,
                    tracks=[form.track.strip() or None] * count,
                    labels={name: [value] * count for name, value in labels.items()},
                )
        except BaseException:
            self.folders.forget(paths)
            raise
        return answers.Enrolled(ids=ids.tolist(), entries=len(self.gallery), kept=self.folders.keeping is not None)

    def remove(self, form: RemoveForm) -> answers.Removed:
        """Remove entries, and the pictures of them that `enrol` kept.

        Raises:
            InputError: as `Gallery.remove`.
        """
        chosen = dict(form)
        if sum(value is not None for value in chosen.values()) != 1:
            raise RefusedError("give exactly one of ids, identity and before: say what is to go.", 422)
        with self._changing:
            paths = self._kept_paths(form)
            removed = self.gallery.remove(form.ids, identity=form.identity, before=form.before)
            deleted, left = self.folders.forget(paths)
        with self._remembering:
            self._results.clear()
        return answers.Removed(
            removed=removed,
            entries=len(self.gallery),
            removed_not_compacted=self._removed(),
            pictures_deleted=deleted,
            pictures_left=left,
        )

    def compact(self) -> answers.Compacted:
        """Clear what was removed from the disk.

        Raises:
            InputError: as `Gallery.compact`.
        """
        self.gallery.compact()
        return answers.Compacted(entries=len(self.gallery), removed_not_compacted=self._removed())

    def csv(self, name: str) -> str:
        """A result as CSV, harmless to programs that take texts beginning with = + - @ for formulas.

        Raises:
            RefusedError: it is not among the latest.
        """
        with self._remembering:
            result = self._results.get(name)
        if result is None:
            raise RefusedError("this result is no longer kept; search again, then export.", 404)
        return replace(result, matches=tuple(map(_harmless, result.matches))).csv()

    def _removed(self) -> int | None:
        if self.gallery.description is None:
            return 0
        count: int | None = self.gallery.info().details.get("removed_not_compacted")
        return count

    def _values(self, field: str, own: Description | None) -> list[answers.Count]:
        is_flag = own is not None and field in own.flags
        found = self.gallery.values(field, VALUES)
        return [answers.Count(value=bool(value) if is_flag else value, entries=count) for value, count in found]

    def _found(self, number: int) -> Entry:
        try:
            return self.gallery.entry(number)
        except InputError as error:
            raise RefusedError(f"there is no entry {number}; it may have been removed.", 404) from error

    def _entry(self, entry: Entry) -> answers.Entry:
        return answers.Entry(**self._shown(entry))

    def _match(self, rank: int, match: Match) -> answers.Match:
        names = ("who", "score", "distance", "probability", "known", "reranked")
        return answers.Match(rank=rank, **{name: getattr(match, name) for name in names}, **self._shown(match))

    def _shown(self, entry: Entry | Match) -> dict[str, Any]:
        names = ("id", "identity", "camera", "path", "time", "track")
        return {name: getattr(entry, name) for name in names} | {
            "labels": dict(entry.labels),
            "time_text": shown_time(entry.time),
            "picture": self.folders.find(entry.path) is not None,
        }

    def _pictures(self, files: Sequence[bytes], boxes: Sequence[str]) -> list[Image.Image]:
        if boxes and len(boxes) != len(files):
            raise RefusedError(
                f"there are {len(boxes)} boxes for {len(files)} pictures: give one for each, or none.", 422
            )
        cuts = [read_box(text) for text in boxes] or [None] * len(files)
        many = len(files) > 1
        return [
            read_picture(data, f"picture {number}" if many else "the picture", self.limits, box)
            for number, (data, box) in enumerate(zip(files, cuts, strict=True), start=1)
        ]

    def _features(self, pictures: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        with self._extracting:  # a model uses all cores by itself
            return self.extract(pictures)

    def _remember(self, result: SearchResult) -> str:
        name = secrets.token_hex(16)
        with self._remembering:
            self._results[name] = result
            while len(self._results) > self.limits.results:
                self._results.popitem(last=False)
        return name

    def _kept_paths(self, form: RemoveForm) -> list[str]:
        """The paths of what is to be removed, where some of them may be pictures of our own."""
        if self.folders.keeping is None or self.gallery.description is None:
            return []
        if form.ids is not None:
            return [self._found(number).path for number in form.ids]
        only = Only(identities=form.identity, before=form.before)
        paths, start = [], 0
        while True:
            page = self.gallery.entries(1000, start=start, only=only)
            paths += [entry.path for entry in page]
            if page.following is None:
                return paths
            start = page.following


def _harmless(match: Match) -> Match:
    def plain(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value

    labels = {name: plain(value) for name, value in match.labels.items()}
    return replace(match, path=plain(match.path), track=plain(match.track), labels=labels)


def _short(location: str) -> str:
    """What to call a gallery: the last part of its place, which tells less."""
    return PurePath(location.rstrip("/")).name or location
