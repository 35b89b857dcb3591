"""The generated set: pictures in memory, or a folder in the layout of Market-1501."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from strongreid.errors import InputError
from strongreid.files import atomic_folder, recover_folder, write_json
from strongreid.synthetic.body import Body
from strongreid.synthetic.camera import Pixels
from strongreid.synthetic.dice import GENERATOR_VERSION
from strongreid.synthetic.passage import World
from strongreid.synthetic.plan import SPLITS, Split, Subject, make_plan
from strongreid.synthetic.settings import WorldSettings
from strongreid.synthetic.take import take

__all__ = ["GeneratedImage", "WorldSettings", "images", "synthesize"]

GENERATOR_NAME = "strongreid.synthetic"
MANIFEST = "manifest.json"

_JPEG_QUALITY = 92
_SUBJECTS_PER_TASK = 6


@dataclass(frozen=True)
class GeneratedImage:
    """One picture and what it shows."""

    split: Split
    """The folder it belongs to."""
    identity: int
    """-1 is junk, 0 a distractor."""
    camera: int
    """From 1."""
    frame: int
    name: str
    pixels: Pixels
    """(height, width, 3)."""


def images(settings: WorldSettings | None = None) -> Iterator[GeneratedImage]:
    """Render the set in memory, picture after picture, in the manifest's order."""
    settings = settings or WorldSettings()
    world = World(settings)
    for subject in make_plan(settings):
        yield from _render(world, subject)


def synthesize(
    root: str | Path,
    settings: WorldSettings | None = None,
    *,
    processes: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Write the set to the folder `root` and return its manifest; a complete set of these settings is kept.

    The pixels do not depend on `processes` (by default one per core). With more than one, a script must call
    this under `if __name__ == "__main__":`, as for any Python multiprocessing.

    Raises:
        InputError: `root` holds something else, or cannot be written.
    """
    root, settings = Path(root), settings or WorldSettings()
    if processes is not None and processes < 1:
        raise InputError(f"processes is {processes}; allowed is 1 or more, or None for one per core.")
    recover_folder(root)
    subjects = make_plan(settings)
    finished = _read_finished(root, settings, subjects)
    if finished is not None:
        return finished
    with atomic_folder(root, durable=False) as folder:
        for split in SPLITS:
            (folder / split).mkdir()
        rows = _write_images(folder, settings, subjects, processes or os.cpu_count() or 1, progress)
        manifest = _describe(settings, rows)
        write_json(folder / MANIFEST, manifest)
    return manifest


def _read_finished(root: Path, settings: WorldSettings, subjects: list[Subject]) -> dict[str, Any] | None:
    """The manifest of the complete set in `root`; None where a set may be written.

    Files that others added do no harm to a complete set; a set with gaps is only replaced if there are none.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        manifest: dict[str, Any] = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        same = (manifest["version"], manifest["settings"]) == (GENERATOR_VERSION, asdict(settings))
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    wanted = {MANIFEST, *(shot.file for subject in subjects for shot in subject.shots)}
    present = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    if same and wanted <= present:
        return manifest
    if not same or present - wanted:
        raise InputError(
            f"{root} already holds something other than the set asked for: other settings, another generator "
            "version, or other files. Nothing was touched; choose another folder, or delete this one first."
        )
    return None


def _write_images(
    folder: Path, settings: WorldSettings, subjects: list[Subject], processes: int, progress: bool
) -> list[dict[str, Any]]:
    """Render and write every picture; returns the manifest's rows in the order of the plan."""
    tasks = [subjects[i : i + _SUBJECTS_PER_TASK] for i in range(0, len(subjects), _SUBJECTS_PER_TASK)]
    processes = min(processes, len(tasks))
    total = sum(len(subject.shots) for subject in subjects)
    with tqdm(total=total, unit="image", disable=not progress, file=sys.stderr) as bar:
        if processes == 1:
            world = World(settings)
            return _collect((_write_subjects(folder, world, task) for task in tasks), bar)
        try:
            with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
                count = len(tasks)
                return _collect(pool.map(_help, [folder] * count, [settings] * count, tasks), bar)
        except BrokenProcessPool as error:
            raise InputError(
                'a helper process died. In a script, call synthesize under `if __name__ == "__main__":`; '
                "otherwise memory may have run out: pass processes=1."
            ) from error


def _collect(results: Iterable[list[dict[str, Any]]], bar: tqdm[Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for result in results:
        rows += result
        bar.update(len(result))
    return rows


@lru_cache(maxsize=1)
def _world(settings: WorldSettings) -> World:
    """The world of a helper process, which lives across its tasks."""
    return World(settings)


def _help(folder: Path, settings: WorldSettings, subjects: list[Subject]) -> list[dict[str, Any]]:
    """One task of a helper process."""
    return _write_subjects(folder, _world(settings), subjects)


def _write_subjects(folder: Path, world: World, subjects: list[Subject]) -> list[dict[str, Any]]:
    rows = []
    for subject in subjects:
        for image in _render(world, subject):
            file = f"{image.split}/{image.name}"
            Image.fromarray(image.pixels).save(folder / file, quality=_JPEG_QUALITY)
            rows.append(
                {
                    "file": file,
                    "identity": image.identity,
                    "camera": image.camera,
                    "frame": image.frame,
                    "sha256": hashlib.sha256(image.pixels.tobytes()).hexdigest(),
                }
            )
    return rows


def _render(world: World, subject: Subject) -> Iterator[GeneratedImage]:
    body = Body(subject.person, world.density) if subject.person else None
    for shot in subject.shots:
        pixels = take(world, subject, body, shot)
        yield GeneratedImage(shot.split, shot.identity, shot.camera, shot.frame, shot.name, pixels)


def _describe(settings: WorldSettings, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The manifest: what was generated, with which settings, and a fingerprint of the pixels before JPEG."""
    whole = hashlib.sha256("".join(f"{row['sha256']}  {row['file']}\n" for row in rows).encode())
    counts = Counter(row["file"].partition("/")[0] for row in rows)
    return {
        "generator": GENERATOR_NAME,
        "version": GENERATOR_VERSION,
        "settings": asdict(settings),
        "counts": {split: counts[split] for split in SPLITS},
        "sha256": whole.hexdigest(),
        "images": rows,
    }
