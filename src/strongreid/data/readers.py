"""From folders of pictures to records. Only a picture's file name is parsed, never the folders it lies in."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from strongreid.data.records import DISTRACTOR, ImageRecord, ReIDDataset
from strongreid.errors import InputError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
JUNK = -1
"""The identity of a picture that is left out: a bad detection, neither a match nor a distractor."""

SPLITS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}

# 0002_c1s1_000451_03.jpg (Market-1501), 0005_c2_f0046985.jpg (DukeMTMC-reID), 12_c3.png (your own).
# 18 digits at most, so that every number fits 64 bits.
_NAME = re.compile(r"(?P<identity>-1|[0-9]{1,18})_c(?P<camera>[0-9]{1,18})(s[0-9]+)?(_.*)?\.[a-z]+", re.IGNORECASE)
_NO_CAMERA = re.compile(r"(-1|[0-9]{1,18})([_.-].*)?\.[a-z]+", re.IGNORECASE)


def read_dataset(kind: str, root: Path | str) -> ReIDDataset:
    """Read the data set at `root`, laid out as `kind` (a key of `READERS`) says.

    Raises:
        InputError: unknown kind, no such folder, another layout, an empty split, a name that doesn't parse,
            identities both in training and in testing, or queries that can't have a match at all.
    """
    if kind not in READERS:
        near = difflib.get_close_matches(kind.lower(), READERS, n=2, cutoff=0.4)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise InputError(f"unknown kind of data set {kind!r}; valid kinds: {', '.join(READERS)}.{hint}")
    return READERS[kind](Path(root))


def read_market1501(root: Path, name: str = "market1501") -> ReIDDataset:
    """Read the three folders of the Market-1501 layout.

    `-1` is junk in every split. `0000` is a distractor in the gallery, where it stays as identity -1, and
    junk in training and query. Junk is left out and counted. Records are sorted by file name.
    """
    root = root.expanduser()
    _check_layout(root)
    junk = 0
    splits: dict[str, tuple[ImageRecord, ...]] = {}
    for split, folder in SPLITS.items():
        pictures = _pictures_of(root / folder)
        records = _parse(root / folder, pictures)
        if split != "gallery":
            records = [record for record in records if record.identity != DISTRACTOR]
        if not records:
            numbers = "-1" if split == "gallery" else "-1 or 0000"
            raise InputError(
                f"{root / folder}: all {len(pictures)} pictures are junk (identity {numbers}), "
                f"so the {split} split is empty; number real identities from 1."
            )
        junk += len(pictures) - len(records)
        splits[split] = tuple(records)
    dataset = ReIDDataset(name=name, junk=junk, **splits)
    _check_identities(dataset, root)
    return dataset


def read_dukemtmc(root: Path) -> ReIDDataset:
    """Read DukeMTMC-reID, laid out as Market-1501. It was withdrawn in 2019: see docs/responsible-use.md."""
    return read_market1501(root, name="dukemtmc")


READERS: dict[str, Callable[[Path], ReIDDataset]] = {
    "market1501": read_market1501,
    "dukemtmc": read_dukemtmc,
}


def read_folder(folder: Path | str) -> tuple[ImageRecord, ...]:
    """Read one folder of Market-named pictures, sorted by file name.

    Junk (`-1`) is left out; `0000` is kept as a distractor (identity -1), since the folder may be a gallery.

    Raises:
        InputError: no such folder, no pictures in it, only junk, or a name that doesn't parse.
    """
    folder = Path(folder).expanduser()
    _check_folder(folder)
    records = tuple(_parse(folder, _pictures_of(folder)))
    if not records:
        raise InputError(f"{folder}: every picture is junk (identity -1); nothing to read.")
    return records


def read_pictures(folder: Path | str) -> tuple[Path, ...]:
    """Find the pictures without labels in `folder` and its sub-folders, sorted by path, without hidden ones.

    Paths only: who they show and which camera took them is unknown, so nothing can be evaluated on them.

    Raises:
        InputError: no such folder, or no pictures in it.
    """
    folder = Path(folder).expanduser()
    _check_folder(folder)
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in files if _is_picture_name(name)]
    if not found:
        raise InputError(f"{folder}: no pictures here or below; {_wanted_suffixes()}.")
    return tuple(sorted(found))


def cameras_by_identity(gallery: Iterable[ImageRecord]) -> dict[int, set[int]]:
    """Which cameras saw each identity; distractors are left out."""
    cameras: dict[int, set[int]] = {}
    for record in gallery:
        if record.identity != DISTRACTOR:
            cameras.setdefault(record.identity, set()).add(record.camera)
    return cameras


def _parse(folder: Path, names: Sequence[str]) -> list[ImageRecord]:
    """Turn file names into records, without junk; `0000` becomes `DISTRACTOR`."""
    records, wrong = [], []
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            wrong.append(name)
            continue
        identity, camera = int(match["identity"]), int(match["camera"])
        if identity != JUNK:
            records.append(ImageRecord(folder / name, identity or DISTRACTOR, camera))
    if wrong:
        raise InputError(_wrong_names(folder, wrong, len(names)))
    return records


def _wrong_names(folder: Path, wrong: Sequence[str], total: int) -> str:
    count = f"{len(wrong)} of {total} picture names"
    if all(_NO_CAMERA.fullmatch(name) for name in wrong):
        first = wrong[0]
        identity = re.match(r"-1|[0-9]+", first)
        assert identity is not None
        rest = first[identity.end() :].lstrip("_-")
        better = f"{identity[0]}_c1{rest if rest.startswith('.') else f'_{rest}'}"
        return (
            f"{folder}: {count} give an identity but no camera ({_some(wrong)}). "
            f"Cross-camera evaluation needs it: rename {first} to {better} for camera 1, and so on.\n"
            "If the cameras are unknown, give query pictures c1 and gallery pictures c2."
        )
    return (
        f"{folder}: {count} don't parse ({_some(wrong)}). Expected IDENTITY_cCAMERA at the start, "
        "as in 0002_c1s1_000451_03.jpg or 0005_c2_f0046985.jpg; rename or remove them."
    )


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        known = next((parent for parent in folder.parents if parent.is_dir()), Path())
        raise InputError(f"{folder}: no such folder (the part that exists is {known}); check the path.")
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder (unpack an archive first).")


def _check_layout(root: Path) -> None:
    _check_folder(root)
    missing = [name for name in SPLITS.values() if not (root / name).is_dir()]
    if not missing:
        return
    expected = ", ".join(SPLITS.values())
    seen = _listing(root)
    if not seen:
        raise InputError(f"{root}: the folder is empty; expected the folders {expected} in it.")
    message = f"{root}: not the expected layout: no folder {', '.join(missing)} in it (found: {_some(seen, 6)})."
    elsewhere = _find_layout(root)
    if elsewhere is not None:
        raise InputError(f"{message}\nThe layout is in {elsewhere}: pass that path.")
    raise InputError(f"{message}\nPass the folder that holds {expected}.")


def _find_layout(root: Path) -> Path | None:
    """Look for the three folders up to two levels below `root`, and one above."""
    below = (place for pattern in ("*", "*/*") for place in sorted(root.glob(pattern)))
    for place in (*below, root.absolute().parent):
        if all((place / name).is_dir() for name in SPLITS.values()):
            return place
    return None


def _check_identities(dataset: ReIDDataset, root: Path) -> None:
    """Refuse training people in the test, and a test in which no query can have a match."""
    cameras = cameras_by_identity(dataset.gallery)
    tested = cameras.keys() | {record.identity for record in dataset.query}
    shared = sorted(tested & {record.identity for record in dataset.train})
    if shared:
        raise InputError(
            f"{root}: {_plural(len(shared), 'identity', 'identities')} both in training and in query or "
            f"gallery ({_some([str(identity) for identity in shared])}). Results would be worthless: "
            "keep each identity on one side, or renumber if they are different people."
        )
    if any(cameras.get(record.identity, set()) - {record.camera} for record in dataset.query):
        return
    if any(record.identity in cameras for record in dataset.query):
        raise InputError(
            f"{root}: no query can be matched: the gallery shows the query identities only from the same "
            "camera, and such pictures are left out of a query's ranking. "
            "Add gallery pictures from another camera."
        )
    raise InputError(
        f"{root}: no query can be matched: {SPLITS['query']} and {SPLITS['gallery']} share no identity. "
        "Check that both number people the same way."
    )


def _pictures_of(folder: Path) -> list[str]:
    """Names of the pictures directly in `folder`, sorted; never empty."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if _is_picture_name(entry.name) and entry.is_file())
    if names:
        return names
    seen = _listing(folder)
    found = f"found only: {_some(seen, 6)}" if seen else "it is empty"
    raise InputError(f"{folder}: no pictures directly in this folder ({found}); {_wanted_suffixes()}.")


def _is_picture_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES


def _listing(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name + ("/" if entry.is_dir() else "") for entry in entries)


def _wanted_suffixes() -> str:
    return f"expected files ending in {', '.join(sorted(PICTURE_SUFFIXES))}"


def _some(names: Iterable[str], limit: int = 3) -> str:
    names = list(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
