"""People of the training set held out, so that a search never sees those of the test."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from strongreid.data.readers import SPLITS
from strongreid.data.records import ImageRecord
from strongreid.errors import InputError
from strongreid.experiments.sets import ReadSet
from strongreid.files import atomic_folder, write_json


def hold_out(whole: ReadSet, folder: Path, share: float, seed: int) -> Path:
    """Divide the training people of a data set: some to train on, the others to validate on. Returns the folder.

    It is a data set in the layout of Market-1501 made of links (copies where there can be none) to the training
    pictures. Each held-out person asks with one picture of each camera; all their pictures are the gallery. What was
    divided before in the same way is kept.

    Args:
        whole: the data set; its query and gallery are not touched.
        folder: to write.
        share: of the people that two cameras saw, above 0 and below 1; at least 2 of them.
        seed: of the choice.

    Raises:
        InputError: the share is out of range, two cameras saw too few people, or the folder can't be written.
    """
    if not 0 < share < 1:
        raise InputError(
            f"--validation is the share of training people to hold out, above 0 and below 1, got {share}."
        )
    about = {"of": whole.about.train_fingerprint, "share": share, "seed": seed}
    if _known(folder) == about:
        return folder
    held = _choose(whole, share, seed)
    numbers = {name: number for number, name in enumerate(np.unique(whole.identities).tolist(), start=1)}
    rest = [record for record in whole.dataset.train if record.identity not in held]
    gallery = [record for record in whole.dataset.train if record.identity in held]
    first = {(record.identity, record.camera): record for record in reversed(gallery)}
    with atomic_folder(folder, durable=False) as partial:
        for split, records in (("train", rest), ("query", list(first.values())), ("gallery", gallery)):
            _link(records, partial / SPLITS[split], numbers)
        write_json(partial / "holdout.json", about)
    return folder


def _known(folder: Path) -> object:
    """What the folder says of itself."""
    try:
        return json.loads((folder / "holdout.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _choose(whole: ReadSet, share: float, seed: int) -> set[int]:
    cameras: dict[int, set[int]] = defaultdict(set)
    for record in whole.dataset.train:
        cameras[record.identity].add(record.camera)
    able = sorted(identity for identity, seen in cameras.items() if len(seen) > 1)
    count = max(2, round(share * len(able)))
    if count > len(able):
        raise InputError(
            f"{whole.about.root}: two cameras saw {len(able)} of the training people, and validation needs 2 or more."
        )
    return set(np.random.default_rng(seed).choice(able, count, replace=False).tolist())


def _link(records: Sequence[ImageRecord], folder: Path, numbers: dict[int, int]) -> None:
    folder.mkdir(parents=True)
    for number, record in enumerate(records):
        suffix = record.path.suffix
        name = f"{numbers[record.identity]:04d}_c{record.camera}s1_{number:06d}_00{suffix}"
        try:
            os.symlink(record.path.resolve(), folder / name)  # noqa: PTH211
        except OSError:
            shutil.copyfile(record.path, folder / name)
