"""The generated set: pictures in memory, or a folder in the layout of Market-1501."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from strongreid.errors import InputError
from strongreid.files import atomic_folder, recover_folder
from strongreid.synthetic.camera import Pixels
from strongreid.synthetic.journal import (
    Finished,
    Journal,
    Row,
    TruthKind,
    choose_truth,
    find_set,
    read_manifest,
)
from strongreid.synthetic.passage import World
from strongreid.synthetic.plan import Split, Subject, count_pictures, in_tasks, make_plan, plan_endlessly
from strongreid.synthetic.settings import PRESETS, WorldSettings, preset
from strongreid.synthetic.truth import Truth, label, observe
from strongreid.synthetic.wardrobe import Person
from strongreid.synthetic.workers import count_processes, map_in_order

__all__ = [
    "PRESETS",
    "GeneratedIdentity",
    "GeneratedImage",
    "WorldSettings",
    "identities",
    "images",
    "preset",
    "stream",
    "synthesize",
    "write_set",
]

_JPEG_QUALITY = 92


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
    truth: Truth | None = None
    """Who, from which side, how much of them, in which clothes; None for a false alarm."""


@dataclass(frozen=True)
class GeneratedIdentity:
    """One person and every picture of them."""

    number: int
    """The identity, from 1."""
    person: Person
    images: tuple[GeneratedImage, ...]
    """For a person of the test split junk is among them, with identity -1."""


def images(
    settings: WorldSettings | None = None,
    first: int = 1,
    last: int | None = None,
    *,
    masks: bool = False,
    joints: bool = False,
) -> Iterator[GeneratedImage]:
    """Render the set in memory, a few dozen pictures at a time, in the manifest's order.

    With `first` and `last` only the pictures of identities `first` to `last`, both included, are rendered.
    Distractors follow the last identity: false alarms as one more, then each stranger as one more. With `masks` and
    `joints` each picture's truth has those too.

    Raises:
        InputError: `first` is less than 1, or `last` less than `first`.
    """
    settings = settings or WorldSettings()
    _check_span(first, last)
    world = World(settings)
    plan = make_plan(settings, first, last)
    return render(world, plan, masks=masks, joints=joints)


def identities(
    settings: WorldSettings | None = None, first: int = 1, last: int | None = None
) -> Iterator[GeneratedIdentity]:
    """Render the people of the set in memory, one after another: first those of the training split, then the others.

    With `first` and `last` only identities `first` to `last`, both included, are rendered.

    Raises:
        InputError: `first` is less than 1, or `last` less than `first`.
    """
    settings = settings or WorldSettings()
    _check_span(first, last)
    labelled = settings.train_identities + settings.test_identities
    plan = make_plan(settings, first, labelled if last is None else min(last, labelled))
    return _each_identity(World(settings), plan)


def stream(settings: WorldSettings | None = None, start: int = 1, step: int = 1) -> Iterator[GeneratedIdentity]:
    """New people for ever, to train on: numbers start, start + step, and so on, in constant memory.

    A person and the pictures of them follow from the settings and the number alone. Worker w of n, counted from 1,
    takes `stream(settings, start=w, step=n)`. The cameras are those of the set of these settings; the people are
    others than the set's, and `train_identities`, `test_identities`, `distractors` and `junk` have no effect.

    Raises:
        InputError: `start` or `step` is less than 1.
    """
    settings = settings or WorldSettings()
    for name, value in (("start", start), ("step", step)):
        if value < 1:
            raise InputError(f"{name} is {value}; allowed is 1 or more. Change {name}.")
    return _each_identity(World(settings), plan_endlessly(settings, start, step))


def synthesize(
    root: str | Path,
    settings: WorldSettings | None = None,
    *,
    truth: Sequence[str] = (),
    processes: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """`write_set`, and return the whole manifest, which takes about 1 kB of memory a picture.

    Raises:
        InputError: as `write_set`.
    """
    write_set(root, settings, truth=truth, processes=processes, progress=progress)
    return read_manifest(Path(root))


def write_set(
    root: str | Path,
    settings: WorldSettings | None = None,
    *,
    truth: Sequence[str] = (),
    processes: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Write the set to the folder `root` and return its manifest without the rows; a complete set is kept.

    `truth` names what is told beside the labels: "masks" writes the mask of the visible body for each picture,
    `masks/SPLIT/NAME.png`, one channel, 255 where the person is seen; "joints" adds 2-D joints to the rows of the
    manifest.

    The set grows in `.NAME.partial` beside `root`, and takes its name when it is complete. A run that was killed goes
    on there, to the same bytes; with other settings it begins anew. Memory does not grow with the set, but for the
    people whom look-alikes may copy. The pixels do not depend on `processes` (by default one per core). With more
    than one, a script must call this under `if __name__ == "__main__":`, as for any Python multiprocessing.

    Raises:
        InputError: `root` holds something else, cannot be written, or another process is writing it; there is no
            such truth.
    """
    root, settings, processes = Path(root), settings or WorldSettings(), count_processes(processes)
    told = choose_truth(truth)
    recover_folder(root)
    finished = find_set(root, settings, told)
    if finished is not None:
        return finished
    with atomic_folder(root, durable=False, resumable=True) as folder, Journal(folder, settings, told) as journal:
        tasks = in_tasks(journal.skip_finished(make_plan(settings)))
        total = count_pictures(settings) if progress else None
        done = journal.counts.total()
        bar = tqdm(total=total, initial=done, unit="image", disable=not progress, file=sys.stderr)
        with bar, closing(map_in_order(partial(_develop, settings, told), tasks, processes)) as results:
            for pictures in results:
                journal.add(pictures)
                bar.update(len(pictures))
        world_of.cache_clear()
        return journal.finish()


@lru_cache(maxsize=1)
def world_of(settings: WorldSettings) -> World:
    """The world of this process, kept from one task to the next; who rendered in a process of their own clears it."""
    return World(settings)


def _develop(settings: WorldSettings, truth: Sequence[TruthKind], subjects: list[Subject]) -> list[Finished]:
    """One task: every picture of some subjects, as its files' bytes."""
    world, masks, joints = world_of(settings), "masks" in truth, "joints" in truth
    # All of them before one is encoded: see `finish`.
    pictures = list(render(world, subjects, masks=masks, joints=joints))
    return [_finish(image, masks) for image in pictures]


def _finish(image: GeneratedImage, masks: bool = False) -> Finished:
    jpeg = _encode(image.pixels, "JPEG", quality=_JPEG_QUALITY)
    row = {**describe(image, masks), "jpeg_sha256": hashlib.sha256(jpeg).hexdigest()}
    if not masks:
        return Finished(row, jpeg)
    png = _encode(_mask_of(image), "PNG")
    return Finished({**row, "png_sha256": hashlib.sha256(png).hexdigest()}, jpeg, png)


def _encode(pixels: Pixels, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _mask_of(image: GeneratedImage) -> Pixels:
    """(height, width): 255 where the person is seen, else 0; a false alarm shows no one."""
    if image.truth is None or image.truth.mask is None:
        return np.zeros(image.pixels.shape[:2], np.uint8)
    return np.where(image.truth.mask, 255, 0).astype(np.uint8)


def describe(image: GeneratedImage, masks: bool = False) -> Row:
    """What the manifest says of a picture, but for its files' bytes, which may differ from encoder to encoder."""
    row = {
        "file": f"{image.split}/{image.name}",
        "identity": image.identity,
        "camera": image.camera,
        "frame": image.frame,
        **label(image.truth),
        "sha256": hashlib.sha256(image.pixels.tobytes()).hexdigest(),
    }
    return {**row, "mask_sha256": hashlib.sha256(_mask_of(image).tobytes()).hexdigest()} if masks else row


def _check_span(first: int, last: int | None) -> None:
    if first < 1 or (last is not None and last < first):
        raise InputError(f"identities {first} to {last}; allowed is first from 1 on, and last from first on.")


def _each_identity(world: World, plan: Iterator[Subject]) -> Iterator[GeneratedIdentity]:
    for subject in plan:
        if subject.person is not None:
            number = next(shot.identity for shot in subject.shots if shot.identity > 0)
            yield GeneratedIdentity(number, subject.person, tuple(render(world, [subject])))


def render(
    world: World, subjects: Iterable[Subject], *, masks: bool = False, joints: bool = False
) -> Iterator[GeneratedImage]:
    """Every picture of some subjects; some are made side by side, ahead of the first."""
    for image in observe(world, subjects, masks=masks, joints=joints):
        shot = image.shot
        yield GeneratedImage(shot.split, shot.identity, shot.camera, shot.frame, shot.name, image.pixels, image.truth)
