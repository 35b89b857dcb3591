"""Several processes on one run: who is who, what they exchange, and which one was lost.

`torchrun` starts the processes and says in the environment who each one is; without it there is one.
"""

from __future__ import annotations

import gc
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from strongreid.processes import environment_rank as environment_rank

Value = TypeVar("Value")
_PULSE = 1.0
"""Seconds between two signs of life of a process."""
_SILENCE = 4.0
"""Seconds without one after which it counts as lost."""


class LostProcessError(RuntimeError):
    """A process of the run stopped; the message names it."""


class World:
    """The processes of a run as one of them sees them. With one process everything here is a plain no-op."""

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank

    @property
    def first(self) -> bool:
        """Whether this process writes and reports for all."""
        return self.rank == 0

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """`network` with gradients averaged over the processes in its backward pass."""
        if self.size == 1:
            return network
        gc.collect()  # an earlier wrapper of the same network, whose hooks would fire too
        devices = [device] if device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices, gradient_as_bucket_view=True)

    @contextmanager
    def exchange(self, network: nn.Module, due: bool) -> Iterator[None]:
        """Where an exchange of gradients is not due yet, the backward pass of a forward pass in here has none."""
        if due or self.size == 1:
            yield
        else:
            with cast("DistributedDataParallel", network).no_sync():
                yield

    def gather(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Features (b, d) and labels (b,) of all processes, in the order of their ranks, with gradient.

        Every process is taken to compute the same loss of them; the gradient is scaled so that the average over the
        processes, which `wrap` takes, is the gradient of that loss.
        """
        if self.size == 1:
            return features, labels
        everyone = [torch.empty_like(labels) for _ in range(self.size)]
        dist.all_gather(everyone, labels)
        gathered: Tensor = _GatherRows.apply(features.float(), self.rank, self.size)
        return gathered, torch.cat(everyone)

    def mean(self, values: Tensor) -> Tensor:
        """The average over the processes."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def collect(self, value: Value) -> list[Value]:
        """Everybody's value in the order of ranks for the first process, nothing for the others."""
        if self.size == 1:
            return [value]
        values: list[Any] | None = [None] * self.size if self.first else None
        dist.gather_object(value, values)
        return values or []

    def once(self, work: Callable[[], Value]) -> Value:
        """What `work` returns in the first process, in all of them; what it raises there, all raise."""
        if self.size == 1:
            return work()
        outcome: list[Any] = [None, None]
        if self.first:
            try:
                outcome = [work(), None]
            except Exception as error:
                outcome = [None, error]
        dist.broadcast_object_list(outcome)
        if outcome[1] is not None:
            raise outcome[1]
        return cast("Value", outcome[0])

    def in_turn(self, work: Callable[[], Value]) -> Value:
        """Do `work` first in one process, then in the first one of each other machine, then in the rest.

        So what the first leaves on a disk, the others find.
        """
        turn = 0 if self.first else 1 if self.local_rank == 0 else 2
        result: list[Value] = []
        for now in range(3 if self.size > 1 else 1):
            failed: Exception | None = None
            if now == turn:
                try:
                    result.append(work())
                except Exception as error:
                    failed = error
            self._agree(failed)
        return result[0]

    def _agree(self, failed: Exception | None) -> None:
        """Raise in every process what one of them ran into."""
        if self.size > 1:
            failures: list[Exception | None] = [None] * self.size
            dist.all_gather_object(failures, failed)
            failed = next((failure for failure in failures if failure is not None), None)
        if failed is not None:
            raise failed


@contextmanager
def join(device: torch.device, timeout: float) -> Iterator[World]:
    """Meet the other processes, if there are any; a call that waits for them gives up after `timeout` seconds.

    Raises:
        LostProcessError: a process of the run died or hangs.
    """
    rank, size, local_rank = environment_rank()
    if size == 1:
        yield World(local_rank=local_rank)
        return
    limit = timedelta(seconds=timeout)
    try:
        store, _, _ = next(rendezvous("env://", timeout=limit))
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=limit)
    except (RuntimeError, ValueError) as error:
        raise LostProcessError(
            f"process {rank} of {size} could not meet the others within {timeout:g} s: "
            f"{str(error).splitlines()[0]}. Start as many as WORLD_SIZE says, with the same MASTER_ADDR and "
            "MASTER_PORT, which torchrun does."
        ) from error
    pulse = _Pulse(store, rank, size)
    try:
        yield World(rank, size, local_rank)
        dist.barrier()  # nobody leaves, and closes the meeting point, before all are done
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        raise LostProcessError(
            f"{pulse.who_is_lost()} (process {rank} of {size} saw: {str(error).splitlines()[0]})"
        ) from error
    finally:
        pulse.stop()
        dist.destroy_process_group()


class _Pulse:
    """A thread that counts in the common store, so that the others can tell a dead process from a slow one."""

    def __init__(self, store: Any, rank: int, size: int) -> None:
        self._store, self._rank, self._size = store, rank, size
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def who_is_lost(self) -> str:
        """Watch the counts for a while and name those that stand still."""
        try:
            before = self._counts()
            time.sleep(_SILENCE)
            lost = [rank for rank, (a, b) in enumerate(zip(before, self._counts(), strict=True)) if a == b]
        except RuntimeError:  # the store went with the process that held it
            return "lost process 0, which held the meeting point"
        if not lost:
            return "a process stopped answering in time, though all are alive: is one of them waiting for its disk?"
        return f"lost process {', '.join(map(str, lost))}"

    def _counts(self) -> list[int]:
        return [self._store.add(f"pulse/{rank}", 0) for rank in range(self._size)]

    def _beat(self) -> None:
        while True:
            try:
                self._store.add(f"pulse/{self._rank}", 1)
            except RuntimeError:  # the run is over or its first process is gone; the main thread sees it too
                return
            if self._end.wait(_PULSE):
                return


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, size: int) -> Tensor:
        ctx.rank, ctx.size, ctx.count = rank, size, len(rows)
        everyone = [torch.empty_like(rows) for _ in range(size)]
        dist.all_gather(everyone, rows.contiguous())
        return torch.cat(everyone)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        # Every process has the same loss, so what the others would send back is what is here already.
        start = ctx.rank * ctx.count
        return grads[0][start : start + ctx.count] * ctx.size, None, None


def _is_lost(error: RuntimeError) -> bool:
    known = isinstance(error, dist.DistError)
    return known or re.search(r"gloo|nccl|timed out|connection (closed|reset)", str(error), re.IGNORECASE) is not None
