"""Work on several processes whose results come in the order of the tasks."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

from strongreid.errors import InputError
from strongreid.kept_memory import keep_memory, memory_kept

Task = TypeVar("Task")
Result = TypeVar("Result")

_AHEAD = 4  # tasks per process that are under way or waiting to be fetched


def count_processes(processes: int | None) -> int:
    """The number of processes: one per core for None.

    Raises:
        InputError: it is less than 1.
    """
    if processes is not None and processes < 1:
        raise InputError(f"processes is {processes}; allowed is 1 or more, or None for one per core.")
    return processes or os.cpu_count() or 1


def map_in_order(
    work: Callable[[Task], Result], tasks: Iterable[Task], processes: int
) -> Generator[Result, None, None]:
    """`work` of each task, on `processes` helpers or, with 1 or for a single task, in this process.

    Tasks are taken as they are needed, so that there may be any number of them. Helpers end with this process,
    however it ends. Whoever works keeps the memory that a task frees for the next; this process, until all is done.

    Raises:
        InputError: a helper died.
    """
    tasks = iter(tasks)
    first = list(islice(tasks, 2))
    tasks = chain(first, tasks)
    if processes == 1 or len(first) < 2:
        with memory_kept():
            yield from map(work, tasks)
        return
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_follow_parent)
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) >= _AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise InputError(
            'a helper process died. In a script, make the call under `if __name__ == "__main__":`; '
            "otherwise memory may have run out: pass processes=1."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """In a helper: leave interrupts to the parent, and end when it ends, even by a kill that lets it tell nobody.

    One thread each: numpy is loaded only with the first task, and helpers that share cores would wait for each other.
    """
    for library in ("OPENBLAS", "MKL", "OMP"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    keep_memory()  # what one picture frees, the next one needs
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()
