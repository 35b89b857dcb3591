"""What is in a data set, as a table of counts."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from strongreid.data.readers import cameras_by_identity
from strongreid.data.records import DISTRACTOR, ImageRecord, ReIDDataset

_COLUMNS = ("split", "identities", "pictures", "cameras", "min", "median", "max", "distractors")
_K = (2, 4, 8, 16)


def summarize(dataset: ReIDDataset) -> str:
    """Count what matters before training: a table and a few lines, without a newline at the end.

    min, median and max are pictures per identity; distractors count among the pictures, not the identities.
    """
    splits = {"train": dataset.train, "query": dataset.query, "gallery": dataset.gallery}
    rows = [_COLUMNS, *((name, *_counts(records)) for name, records in splits.items())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = [f"{dataset.name} (min, median, max: pictures per identity)"]
    lines += ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    lines.append(f"junk left out: {dataset.junk}")
    matched, total = count_matchable(dataset.query, dataset.gallery), len(dataset.query)
    lines.append(f"queries with a possible match from another camera: {matched} of {total}")
    return "\n".join([*lines, *_batch_lines(dataset.train)])


def count_matchable(query: Iterable[ImageRecord], gallery: Iterable[ImageRecord]) -> int:
    """Count the queries whose identity another camera saw in the gallery; evaluation skips the others."""
    cameras = cameras_by_identity(gallery)
    return sum(bool(cameras.get(record.identity, set()) - {record.camera}) for record in query)


def _counts(records: Sequence[ImageRecord]) -> tuple[str, ...]:
    people = Counter(record.identity for record in records)
    distractors = people.pop(DISTRACTOR, 0)
    each = list(people.values()) or [0]
    cameras = len({record.camera for record in records})
    median = f"{statistics.median(each):.1f}".removesuffix(".0")
    numbers = (len(people), len(records), cameras, min(each), median, max(each), distractors)
    return tuple(map(str, numbers))


def _batch_lines(train: Sequence[ImageRecord]) -> list[str]:
    """Say how large P (identities) and K (pictures of each) of a training batch may be."""
    people = Counter(record.identity for record in train)
    singles = sum(count == 1 for count in people.values())
    limits = [(k, sum(count >= k for count in people.values())) for k in _K]
    usable = ", ".join(f"{p} x {k}" for k, p in limits if p >= 2) or "none (needs 2 identities of 2 pictures)"
    return [
        f"training identities with a single picture: {singles}",
        f"largest P x K batch without repeating a picture: {usable}",
    ]
