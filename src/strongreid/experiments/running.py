"""Performing jobs: one after another here, or several at a time in processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import IO

from strongreid.errors import InputError
from strongreid.experiments.jobs import Job, attempt, build_stores, record_failure, standing
from strongreid.experiments.prepare import cores
from strongreid.experiments.settings import changed

Say = Callable[[str], None]
ANY_GPU = ("auto", "cuda")
"""Settings of `run.device` that leave open which GPU it is."""


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    try:
        import torch
    except ModuleNotFoundError:
        return []
    found = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (named or [str(number) for number in range(found)])[:found]


def default_workers(device: str) -> int:
    """One a GPU where runs are to work on any of several, else one."""
    return max(1, len(visible_gpus())) if device in ANY_GPU else 1


def run_jobs(jobs: Sequence[Job], workers: int, say: Say, *, progress: bool = True) -> dict[str, str]:
    """Perform the jobs that are not finished; a job that fails does not stop the others. Returns why, by fingerprint.

    Args:
        jobs: each run once.
        workers: 1 works in this process; more start so many, which share the cores, and the GPUs in turn.
        say: takes a line for every job begun and ended.
        progress: progress bars, with one worker.

    Raises:
        InputError: workers is below 1, or this is one process of a `torchrun`.
    """
    check_workers(workers)
    left = [job for job in jobs if standing(job) != "finished"]
    total = len(left)
    if workers == 1 or total <= 1:
        return _one_by_one(left, say, progress)
    build_stores(left, progress=progress)
    return _spread(left, min(workers, total), say)


def check_workers(workers: int) -> None:
    """Refuse what is no number of processes.

    Raises:
        InputError: it is below 1, or this is one process of a `torchrun`.
    """
    if workers < 1:
        raise InputError(f"--jobs is how many runs work at a time and at least 1, got {workers}.")
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise InputError("an experiment starts its own processes: call it without torchrun, with --jobs N.")


def _one_by_one(jobs: Sequence[Job], say: Say, progress: bool) -> dict[str, str]:
    failed = {}
    for number, job in enumerate(jobs, start=1):
        say(f"[{number}/{len(jobs)}] {_words(job)}")
        if error := attempt(job, progress=progress):
            failed[job.fingerprint] = error
            say(f"failed: {_words(job)}: {error}")
    return failed


def _spread(jobs: Sequence[Job], workers: int, say: Say) -> dict[str, str]:
    """Each of so many threads looks after one process."""
    todo: queue.SimpleQueue[tuple[int, Job]] = queue.SimpleQueue()
    for number, job in enumerate(jobs, start=1):
        todo.put((number, job))
    failed: dict[str, str] = {}
    stop = threading.Event()
    processes: dict[int, subprocess.Popen[str]] = {}
    gpus = visible_gpus() if all(job.config.run.device in ANY_GPU for job in jobs) else []

    def look_after(place: int) -> None:
        while not stop.is_set():
            try:
                number, job = todo.get_nowait()
            except queue.Empty:
                break
            if place in processes and processes[place].poll() is not None:
                _end(processes.pop(place))
            if place not in processes:
                processes[place] = _start(place, workers, gpus)
            say(f"[{number}/{len(jobs)}] {_words(job)}")
            error = _ask(processes[place], _with_threads(job, workers))
            if stop.is_set():
                break
            if error is not None:
                if processes[place].poll() is not None:
                    record_failure(job, error)
                failed[job.fingerprint] = error
                say(f"failed: {_words(job)}: {error}")

    threads = [threading.Thread(target=look_after, args=(place,), daemon=True) for place in range(workers)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # so that an interrupt is noticed
                thread.join(0.2)
    finally:
        stop.set()
        for process in processes.values():
            _end(process)
    return failed


def _start(place: int, workers: int, gpus: Sequence[str]) -> subprocess.Popen[str]:
    environment = dict(os.environ)
    threads = str(max(1, cores() // workers))
    environment |= {name: environment.get(name, threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
    return subprocess.Popen(
        [sys.executable, "-m", "strongreid.experiments.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        encoding="utf-8",
    )


def _with_threads(job: Job, workers: int) -> Job:
    """With a share of the cores, where the settings leave that open."""
    if job.config.run.threads:
        return job
    config = changed(job.config, {"run.threads": max(1, cores() // workers)})
    return Job(job.fingerprint, job.runs, config, job.tests, job.cells)


def _ask(process: subprocess.Popen[str], job: Job) -> str | None:
    """Have a process perform a job; why it failed, or None."""
    answer = ""
    try:
        _pipe(process.stdin).write(json.dumps(job.to_dict()) + "\n")
        _pipe(process.stdin).flush()
        answer = _pipe(process.stdout).readline()
    except OSError:
        pass
    if not answer:
        output = job.folder / "output.txt"
        return f"its process ended with code {process.wait()}: killed, or out of memory (see {output})"
    error: str | None = json.loads(answer)["error"]
    return error


def _end(process: subprocess.Popen[str]) -> None:
    """End a process that we started: an idle one by itself, one that works at once."""
    with contextlib.suppress(OSError):  # of one that is gone already
        _pipe(process.stdin).close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _pipe(process.stdout).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _words(job: Job) -> str:
    """What a run is for, and where it is."""
    more = f" (and {len(job.cells) - 1} more cells)" if len(job.cells) > 1 else ""
    return f"{job.cells[0] if job.cells else 'run'}{more}, run {job.fingerprint}"
