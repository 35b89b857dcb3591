"""A training run with its tests: one unit of work, done once, whichever experiments have it as a cell."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from strongreid.config import Config
from strongreid.errors import InputError
from strongreid.experiments.records import MEASURES, DataSet
from strongreid.experiments.settings import changed, config_of
from strongreid.experiments.stored import read_cell
from strongreid.files import write_json

FORMAT = "strongreid.cell"
VERSION = 1
ANSWERS = 10
"""Nearest pictures kept of every query, for ranked sheets."""


@dataclass(frozen=True)
class Test:
    """One evaluation of a trained model."""

    __test__ = False  # no test of ours, though its name begins so

    data: DataSet
    feature: Literal["f_i", "f_t"]
    metric: Literal["cosine", "euclidean"]
    rerank: Literal["k_reciprocal"] | None = None
    answers: int = 0

    @property
    def name(self) -> str:
        """Of the result in the run's folder: of the pictures and of how they are compared."""
        rerank = f"-{self.rerank}" if self.rerank else ""
        return f"{self.data.test_fingerprint}-{self.feature}-{self.metric}{rerank}"


@dataclass(frozen=True)
class Job:
    """A training run, where it is, and all that is to be tested."""

    fingerprint: str
    runs: Path
    """Folder of all runs."""
    config: Config
    tests: tuple[Test, ...]
    cells: tuple[str, ...] = ()
    """What it is for, in words."""

    @property
    def folder(self) -> Path:
        """Of this run."""
        return self.runs / self.fingerprint

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for another process."""
        return asdict(self) | {"runs": str(self.runs), "config": self.config.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Job:
        """What `to_dict` gave."""
        tests = tuple(Test(**test | {"data": DataSet(**test["data"])}) for test in values["tests"])
        return cls(values["fingerprint"], Path(values["runs"]), config_of(values["config"]), tests)


def missing_tests(job: Job) -> list[Test]:
    """The tests without a result.

    Raises:
        InputError: the run's `cell.json` is damaged.
    """
    results = read_cell(job.folder).get("results", {})
    return [test for test in job.tests if test.name not in results]


def standing(job: Job) -> Literal["finished", "trained", "begun", "new"]:
    """How far the run is.

    Raises:
        InputError: the run's `cell.json` is damaged.
    """
    note = read_cell(job.folder)
    if note.get("trained"):
        return "trained" if missing_tests(job) else "finished"
    return "begun" if (job.folder / "state.pt").is_file() else "new"


def perform(job: Job, *, progress: bool = True) -> None:
    """Train, unless that is done, and make the missing results; killed at any moment, it can be called again.

    Another process that has the same run in hand is waited for.

    Raises:
        InputError: settings or data are unusable, memory ran out, or the disk refuses.
        NonFiniteLossError: a loss became NaN or infinite.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    with _alone(job.folder):
        note = read_cell(job.folder)
        if not note.get("trained"):
            note = _train(job, progress)
        note.pop("failed", None)
        _discard(job.folder)
        for test in missing_tests(job):
            note["results"][test.name] = _evaluate(job, test)
            write_json(job.folder / "cell.json", note)


def attempt(job: Job, *, progress: bool = True) -> str | None:
    """Perform a job; where it fails for a reason that is the settings' or the data's, say which and write it down.

    The next call tries again.
    """
    from strongreid.distributed import LostProcessError
    from strongreid.training.runlog import NonFiniteLossError

    try:
        perform(job, progress=progress)
    except (InputError, NonFiniteLossError, LostProcessError, ModuleNotFoundError) as error:
        record_failure(job, str(error))
        return str(error)
    return None


def record_failure(job: Job, reason: str) -> None:
    """Write down why a run did not finish."""
    note = read_cell(job.folder)
    write_json(job.folder / "cell.json", _empty(job) | note | {"failed": reason})


def _empty(job: Job) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": job.fingerprint,
        "seed": job.config.run.seed,
        "trained": False,
        "results": {},
    }


def build_stores(jobs: Sequence[Job], *, progress: bool = True) -> None:
    """Decode the pictures of runs that share a store, before several processes open it; a whole one is kept.

    Raises:
        InputError: a picture can't be read, or the disk refuses.
    """
    from strongreid.data.images import DecodedStore
    from strongreid.data.readers import read_dataset

    for config in {job.config.data.store: job.config.data for job in jobs if job.config.data.store}.values():
        dataset = read_dataset(config.kind, config.root)
        for name in ("train", "query", "gallery"):
            DecodedStore.build(
                getattr(dataset, name),
                config.height,
                config.width,
                Path(config.store, name),
                skip_unreadable=config.skip_unreadable,
                progress=progress,
            )


def _train(job: Job, progress: bool) -> dict[str, Any]:
    from strongreid.training.loop import train

    train(_as_begun(job), resume=True, progress=progress)
    events = _events(job.folder)
    start = next(event for event in events if event["event"] == "start")
    epochs = [event for event in events if event["event"] == "epoch"]
    note = _empty(job) | {
        "trained": True,
        "minutes": sum(event["seconds"] for event in epochs) / 60,
        "epochs": len(epochs),
        "placement": start["placement"],
        "versions": start["versions"],
        "collapsed": any(event["event"] == "collapse" for event in events),
    }
    write_json(job.folder / "cell.json", note)
    return note


def _as_begun(job: Job) -> Config:
    """The configuration that the run was begun with, if it was, in the places of now.

    How it is tested while it trains is no part of the fingerprint, so another experiment may have begun it otherwise.
    """
    config = changed(job.config, {"run.output": str(job.folder)})
    file = job.folder / "config.json"
    if not file.is_file():
        return config
    begun = config_of(json.loads(file.read_text(encoding="utf-8")))
    return changed(config, {f"eval.{name}": value for name, value in vars(begun.eval).items()})


def _events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def _discard(folder: Path) -> None:
    """What a trained run needs no more: hundreds of megabytes, and `best`, which was chosen on the test set."""
    torn = [*folder.glob(".*.partial"), *folder.glob(".*.old")]  # of writes that were killed
    for path in (folder / "state.pt", folder / "best", folder / "store", *torn):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _evaluate(job: Job, test: Test) -> dict[str, Any]:
    """Test the model as the last epoch left it, in float32; returns what `cell.json` keeps."""
    from strongreid.data.readers import read_dataset
    from strongreid.evaluation import evaluate
    from strongreid.extraction import Extractor, query_and_gallery

    config = job.config
    extract = Extractor(
        job.folder / "last",
        device=config.run.device,
        feature=test.feature,
        batch=config.eval.batch,
        backend="torch",  # as training evaluates, to the bit
    )
    dataset = read_dataset(test.data.kind, test.data.root)
    query, gallery = query_and_gallery(extract, dataset, skip_unreadable=config.data.skip_unreadable)
    result = evaluate(query, gallery, test.metric, test.rerank, answers=test.answers)
    result.save(job.folder / "results" / f"{test.name}.json")
    values = {
        name: result.rank(measure) if isinstance(measure, int) else getattr(result, measure)
        for name, measure in MEASURES.items()
    }
    return values | {
        "test_fingerprint": test.data.test_fingerprint,
        "feature": test.feature,
        "metric": test.metric,
        "rerank": test.rerank,
        "queries": result.queries,
        "skipped": result.skipped,
        "gallery": result.gallery,
    }


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the run's lock, which the system takes back when the process ends, however it ends."""
    with (folder / ".lock").open("a+b") as file:
        try:
            import fcntl
        except ImportError:  # Windows
            import msvcrt
            import time

            file.seek(0)
            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
                    break
                except OSError:
                    time.sleep(1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def unique(jobs: Sequence[Job]) -> list[Job]:
    """Each run once, with the tests and cells of all, in the order of their first appearance."""
    joined: dict[str, Job] = {}
    for job in jobs:
        known = joined.get(job.fingerprint)
        if known is None:
            joined[job.fingerprint] = job
            continue
        tests = {test.name: test for test in (*known.tests, *job.tests)}
        joined[job.fingerprint] = Job(
            known.fingerprint, known.runs, known.config, tuple(tests.values()), (*known.cells, *job.cells)
        )
    return list(joined.values())
