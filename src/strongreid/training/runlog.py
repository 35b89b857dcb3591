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

from strongreid.files import atomic_file

READ_EVERY = 10
"""Steps between two readings of the loss values: on a GPU each reading waits for the device."""


class NonFiniteLossError(RuntimeError):
    """A loss became NaN or infinite; the message names epoch, step, terms and the last good state."""


class RunLog:
    """Writes `log.jsonl`, draws the progress bar and sums up the loss terms of an epoch."""

    def __init__(self, folder: Path, *, progress: bool = True) -> None:
        self.path = folder / "log.jsonl"
        self.progress = progress
        self.events: list[dict[str, Any]] = []
        self._bar: tqdm[Any] | None = None

    def restore(self, events: list[dict[str, Any]]) -> None:
        """Make the file hold exactly these events: what a killed run wrote after its last state is taken back."""
        self.events = list(events)
        with atomic_file(self.path) as partial:
            partial.write_text("".join(json.dumps(event) + "\n" for event in self.events), encoding="utf-8")

    def write(self, event: str, **values: Any) -> None:
        """Append one event; non-finite numbers become null, so that every line is JSON."""
        entry = {"event": event, "time": round(time.time(), 3)} | {k: _finite(v) for k, v in values.items()}
        self.events.append(entry)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def say(self, text: str) -> None:
        """Print one line to stderr without tearing the bar."""
        tqdm.write(text, file=sys.stderr)

    def begin_epoch(self, epoch: int, epochs: int, steps: int, done: int, pictures: int) -> None:
        """Start an epoch counted from 1, of `steps` steps of `pictures` pictures, `done` epochs being behind."""
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
        self._steps, self._sums, self._unread = 0, {}, []  # type: tuple[int, dict[str, float], list[dict[str, Tensor]]]

    def step(self, terms: dict[str, Tensor]) -> None:
        """Take note of one step's terms; values are read every `READ_EVERY` steps.

        Raises:
            NonFiniteLossError: a term is NaN or infinite.
        """
        self._unread.append({name: term.detach() for name, term in terms.items()})
        self._steps += 1
        if self._bar is not None:
            self._bar.update(self._pictures)
        if self._steps % READ_EVERY == 0:
            self._read()

    def end_epoch(self, lr: float) -> dict[str, float]:
        """Write the epoch's line and return the mean of each term."""
        self._read()
        seconds = time.perf_counter() - self._started
        means = {name: value / self._steps for name, value in self._sums.items()}
        rate = self._steps * self._pictures / seconds
        self.write("epoch", epoch=self._epoch, lr=lr, seconds=seconds, pictures_per_second=rate, **means)
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
        names = list(self._unread[0])
        table = torch.stack([torch.stack([step[name].float() for name in names]) for step in self._unread]).tolist()
        first = self._steps - len(table) + 1
        for offset, values in enumerate(table):
            if not all(math.isfinite(value) for value in values):
                shown = ", ".join(f"{name} {value:g}" for name, value in zip(names, values, strict=True))
                raise NonFiniteLossError(
                    f"the loss is not finite in epoch {self._epoch}, step {first + offset}: {shown}"
                )
            for name, value in zip(names, values, strict=True):
                self._sums[name] = self._sums.get(name, 0.0) + value
        self._unread.clear()


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
