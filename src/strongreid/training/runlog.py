"""What people see of a run: the progress bar, one JSON line per event, warnings that say what to do."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from strongreid.distributed import World
from strongreid.files import atomic_file

READ_EVERY = {"cpu": 10}
"""Steps between two readings of the loss values, by device."""
READ_RARELY = 200
"""Elsewhere: each reading waits until the device has done all it was given."""


class NonFiniteLossError(RuntimeError):
    """A loss became NaN or infinite; the message names epoch, step, terms and the last good state."""


class RunLog:
    """Writes `log.jsonl`, draws the progress bar and sums up the loss terms of an epoch.

    Of several processes the first one writes and shows; the means are those of all.
    """

    def __init__(
        self, folder: Path, *, progress: bool = True, world: World | None = None, device: str = "cpu"
    ) -> None:
        self.path = folder / "log.jsonl"
        self.world = World() if world is None else world
        self.progress = progress and self.world.first
        self.events: list[dict[str, Any]] = []
        self.seconds_at_peak: float | None = None
        """What a picture would take at the measured peak of the device."""
        self._read_every = READ_EVERY.get(device, READ_RARELY)
        self._bar: tqdm[Any] | None = None

    def restore(self, events: list[dict[str, Any]]) -> None:
        """Make the file hold exactly these events: what a killed run wrote after its last state is taken back."""
        self.events = list(events)
        if not self.world.first:
            return
        with atomic_file(self.path) as partial:
            partial.write_text("".join(json.dumps(event) + "\n" for event in self.events), encoding="utf-8")

    def write(self, event: str, **values: Any) -> None:
        """Append one event; non-finite numbers become null, so that every line is JSON."""
        entry = {"event": event, "time": round(time.time(), 3)} | {k: _finite(v) for k, v in values.items()}
        self.events.append(entry)
        if not self.world.first:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def say(self, text: str) -> None:
        """Print one line to stderr without tearing the bar."""
        if self.world.first:
            tqdm.write(text, file=sys.stderr)

    def begin_epoch(self, epoch: int, epochs: int, steps: int, pictures: int) -> None:
        """Start one of `epochs` epochs, counted from 1, of `steps` steps of `pictures` pictures."""
        done = epoch - 1
        if self._bar is None:
            self._bar = tqdm(
                initial=done * steps * pictures,
                unit="picture",
                unit_scale=True,
                file=sys.stderr,
                disable=not self.progress,
                smoothing=0.1,
                mininterval=0.2 if sys.stderr.isatty() else 10,  # a log file needs no animation
            )
        self._bar.total = self._bar.n + (epochs - done) * steps * pictures  # epochs differ by a few batches
        self._bar.set_description(f"epoch {epoch}/{epochs}")
        self._epoch, self._pictures, self._started = epoch, pictures, time.perf_counter()
        self._steps, self._added, self._names = 0, 0, []  # type: tuple[int, int, list[str]]
        self._unread: list[Tensor] = []
        self._sums: list[float] = []

    def add(self, terms: dict[str, Tensor]) -> None:
        """Take note of the loss terms of a step, or of a part of one."""
        self._names = list(terms)
        self._unread.append(torch.stack([term.detach().float() for term in terms.values()]))

    def step(self) -> None:
        """A step is done; values are read now and then.

        Raises:
            NonFiniteLossError: a term is NaN or infinite, in any process.
        """
        self._steps += 1
        if self._bar is not None:
            self._bar.update(self._pictures)
        if self._steps % self._read_every == 0:
            self._read()

    def end_epoch(self, lr: float) -> dict[str, float]:
        """Write the epoch's line and return the mean of each term."""
        self._read()
        seconds = time.perf_counter() - self._started
        means = {name: value / self._added for name, value in zip(self._names, self._sums, strict=True)}
        rate = self._steps * self._pictures / seconds
        speed = {"seconds": seconds, "pictures_per_second": rate}
        if self.seconds_at_peak is not None:
            speed["share_of_peak"] = rate / self.world.size * self.seconds_at_peak
        self.write("epoch", epoch=self._epoch, lr=lr, **speed, **means)
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {sum(means.values()):.3f}")
        return means

    def close(self) -> None:
        """Finish the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _read(self) -> None:
        if not self._unread:
            return
        rows = self.world.mean(torch.stack(self._unread)).tolist()
        each = (len(rows) + self._added) // self._steps  # parts of a step
        for number, row in enumerate(rows, self._added):
            if not all(math.isfinite(value) for value in row):
                shown = ", ".join(f"{name} {value:g}" for name, value in zip(self._names, row, strict=True))
                raise NonFiniteLossError(
                    f"the loss is not finite in epoch {self._epoch}, step {number // each + 1}: {shown}"
                )
        self._added += len(rows)
        before = [self._sums] if self._sums else []
        self._sums = [sum(column) for column in zip(*before, *rows, strict=True)]
        self._unread.clear()


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
