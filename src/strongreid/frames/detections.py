"""Boxes of a whole film by a detector, kept frame by frame, so that a kill costs one frame."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from strongreid.data.images import Pictures
from strongreid.errors import InputError
from strongreid.files import atomic_file
from strongreid.frames.boxes import Box, read_boxes
from strongreid.frames.film import Film

Detect = Callable[[Pictures], Iterable[Any]]
"""From (height, width, 3) RGB to rows of left, top, width, height, score; `PersonDetector` is one."""


def detect_film(
    film: Film, detect: Detect, output: str | Path, *, named: str, every: int = 1, progress: bool = False
) -> tuple[Box, ...]:
    """The boxes of every n-th frame, written to `output` as lines of JSON, which `read_boxes` reads.

    A finished file is used again. What was found before a kill lies beside it as `.NAME.begun` and is gone on with.

    Args:
        film: to look through.
        detect: the detector.
        output: the file, ending in .jsonl.
        named: which detector that is: what another one found is not gone on with.
        every: frames 1, 1 + n, 1 + 2n, ... only.
        progress: show a bar.

    Raises:
        InputError: a frame can't be read, nobody is found, or the file can't be written.
    """
    output = Path(output)
    if output.is_file():
        _check_detector(output, named, every)
        return read_boxes(output)
    wanted = [number for number in film.numbers if (number - 1) % every == 0]
    head = json.dumps({"film": film.name, "detector": named, "every": every})
    begun = output.with_name(f".{output.name}.begun")
    found = _begun(begun, head)
    todo = [number for number in wanted if number not in found]
    begun.parent.mkdir(parents=True, exist_ok=True)
    with begun.open("w", encoding="utf-8", newline="\n") as file:
        file.write(head + "\n")
        file.writelines(json.dumps([number, rows]) + "\n" for number, rows in found.items())
        file.flush()
        bar = tqdm(total=len(wanted), desc="detect", unit="frame", file=sys.stderr, disable=not progress)
        with bar:
            bar.update(len(found))
            for frame in film.frames(todo) if todo else ():
                found[frame.number] = [list(map(float, row)) for row in detect(frame.pixels)]
                file.write(json.dumps([frame.number, found[frame.number]]) + "\n")
                file.flush()
                bar.update()
    if not any(found.values()):
        begun.unlink()
        raise InputError(f"{film.name}: the detector found nobody in {len(wanted)} frames; look at the film.")
    with atomic_file(output) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for number, rows in sorted(found.items()):
            for left, top, width, height, score in rows:
                box = {"left": left, "top": top, "width": width, "height": height, "score": score}
                file.write(json.dumps({"frame": number, **box, "detector": named, "every": every}) + "\n")
    begun.unlink()
    return read_boxes(output)


def _check_detector(path: Path, named: str, every: int) -> None:
    """Refuse what another detector found."""
    with path.open(encoding="utf-8") as file:
        line = file.readline()
    if not line.endswith("\n") or (json.loads(line).get("detector"), json.loads(line).get("every")) != (named, every):
        raise InputError(
            f"{path} was found by another detector, or in other frames; delete it, or choose another folder."
        )


def _begun(path: Path, head: str) -> dict[int, list[list[float]]]:
    """What was found before a kill; the last line may be cut off."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = text.split("\n")[:-1]
    if not lines or lines[0] != head:
        return {}
    return {int(number): rows for number, rows in map(json.loads, lines[1:])}
