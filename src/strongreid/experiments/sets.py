"""The data sets of an experiment, read once, and what tells one from another."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from strongreid.data.readers import read_dataset
from strongreid.data.records import ImageRecord, ReIDDataset
from strongreid.errors import InputError
from strongreid.experiments.records import DataSet

_LENGTH = 20


@dataclass(frozen=True)
class ReadSet:
    """A data set of the experiment, with its records."""

    about: DataSet
    dataset: ReIDDataset

    @property
    def identities(self) -> npt.NDArray[np.int64]:
        """(n,) of the training pictures."""
        return np.array([record.identity for record in self.dataset.train], dtype=np.int64)


def read_set(name: str, kind: str, root: str | Path) -> ReadSet:
    """Read a data set and its fingerprints; every file is read, at the speed of the disk.

    Raises:
        InputError: as `read_dataset`, with the name; or a picture can't be opened.
    """
    root = Path(root).expanduser().resolve()
    try:
        dataset = read_dataset(kind, root)
    except InputError as error:
        raise InputError(f"data set {name!r}: {error}") from error
    splits = {"train": dataset.train, "query": dataset.query, "gallery": dataset.gallery}
    counts = {split: len(records) for split, records in splits.items()}
    counts["identities"] = len({record.identity for record in dataset.train})
    train = pictures_fingerprint(dataset.train)
    test = pictures_fingerprint(dataset.query, dataset.gallery)
    return ReadSet(DataSet(name, kind, str(root), train, test, counts), dataset)


def pictures_fingerprint(*splits: Sequence[ImageRecord]) -> str:
    """Of the pictures' names, labels and bytes in their order; not of the folder they lie in.

    Raises:
        InputError: a picture can't be opened.
    """
    whole = hashlib.sha256()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for split in splits:
            whole.update(b"split\n")
            for record, digest in zip(split, pool.map(_digest, split, chunksize=64), strict=True):
                whole.update(f"{record.path.name} {record.identity} {record.camera} {digest}\n".encode())
    return whole.hexdigest()[:_LENGTH]


def _digest(record: ImageRecord) -> str:
    try:
        return hashlib.blake2b(record.path.read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise InputError(f"cannot open the picture {record.path}: {error.strerror}.") from error
