"""Kill a process that enrols and removes, at random moments: is anything it acknowledged lost or torn?

    python benchmarks/gallery_kills.py FOLDER --kills 20

Each round goes on with the same gallery: a process adds batches, now and then removes one or compacts, and prints a
line when a call has returned; it is killed with SIGKILL. Then the gallery is opened and held against those lines.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import strongreid.gallery.folder
from strongreid.features import FeatureTable
from strongreid.gallery import Gallery

DIM, BATCH = 32, 40
MODEL = "f" * 64


def batch(number: int) -> FeatureTable:
    """Batch `number`: its features follow from its number, so that they can be checked without being kept."""
    features = np.random.default_rng(number).standard_normal((BATCH, DIM)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    paths = tuple(f"{number}/{row}.jpg" for row in range(BATCH))
    return FeatureTable(features, np.full(BATCH, number), np.arange(BATCH) % 4, paths, MODEL)


def work(folder: str, first: int) -> None:
    """Add batches from `first` on until killed; batch n has the ids n * BATCH and up."""
    draw = random.Random(first)
    strongreid.gallery.folder.FLUSH_ROWS = 5 * BATCH  # so that some are killed while they flush
    with Gallery(folder) as gallery:
        print("open", flush=True)
        number = first
        while True:
            gallery.add(batch(number), ids=range(number * BATCH, (number + 1) * BATCH), times=[float(number)] * BATCH)
            print("add", number, flush=True)
            if draw.random() < 0.2:
                victim = draw.randint(first, number)
                print("removing", victim, flush=True)
                gallery.remove(identity=victim)
                print("remove", victim, flush=True)
            if draw.random() < 0.1:
                gallery.compact()
                print("compact", flush=True)
            number += 1


def kill_once(folder: Path, first: int, seed: int, present: set[int], longest: float = 0.6) -> tuple[set[int], str]:
    """One round; `present` are the batches that must be there before. Returns those after it, and what happened.

    The process is killed `longest` seconds after it has opened the gallery, or earlier.

    Raises:
        AssertionError: an acknowledged batch is lost or one removed is back, a batch is there in part, or an entry
            has another feature, path or time than it was added with.
    """
    draw = random.Random(seed)
    run = [sys.executable, __file__, str(folder), "--work", str(first)]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(draw.uniform(0.0, longest))
        process.send_signal(signal.SIGKILL)
        lines = [line.split() for line in process.stdout.read().splitlines()]
    assert process.returncode == -signal.SIGKILL
    certain, doubtful = set(present), set()
    for words in lines:
        match words:
            case ["add", number]:
                certain.add(int(number))
            case ["removing", number]:
                if int(number) in certain:
                    doubtful.add(int(number))
            case ["remove", number]:
                certain.discard(int(number))
                doubtful.discard(int(number))
    added = [int(words[1]) for words in lines if words[0] == "add"]
    doubtful.add(added[-1] + 1 if added else first)  # under way when it was killed
    began = time.perf_counter()
    with Gallery(folder) as gallery:
        opened = time.perf_counter() - began
        found = check(gallery, certain, doubtful)
    compactions = f"{lines.count(['compact'])} compactions"
    what = f"killed after {len(lines):3} lines, {compactions}, {len(found):4} batches there, opened in {opened:.2f} s"
    return found, what


def check(gallery: Gallery, certain: set[int], doubtful: set[int]) -> set[int]:
    """The batches that are there: all that are certain, perhaps doubtful ones, each whole and right."""
    found = {number for number in certain | doubtful if gallery.count(identities=number)}
    assert certain - doubtful <= found, f"lost: {sorted(certain - doubtful - found)}"
    assert len(gallery) == len(found) * BATCH, "a batch is there in part, or one that nobody added"
    for number in found:
        table = batch(number)
        ids = range(number * BATCH, (number + 1) * BATCH)
        np.testing.assert_allclose(gallery.features(ids), table.features, rtol=0, atol=1e-6)
        row = number % BATCH
        match = gallery.search(table.features[row], top_k=1)[0]
        assert (match.id, match.path, match.time) == (number * BATCH + row, table.paths[row], float(number))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="where to work; default: a temporary folder")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.work is not None:
        work(parsed.folder, parsed.work)
        return
    with tempfile.TemporaryDirectory() as temporary:
        rounds(Path(parsed.folder or temporary) / "killed.gallery", parsed.kills, parsed.seed)


def rounds(folder: Path, kills: int, seed: int) -> None:
    """`kills` rounds on one gallery."""
    with Gallery(folder) as gallery:
        gallery.add(batch(0), ids=range(BATCH), times=[0.0] * BATCH)
    present = {0}
    for number in range(kills):
        present, what = kill_once(folder, 10_000 * (number + 1), seed + number, present, longest=3.0)
        print(f"kill {number + 1}: {what}", flush=True)
    with Gallery(folder) as gallery:
        check(gallery, present, set())
        gallery.rebuild()
        check(gallery, present, set())
    print(f"{kills} kills: everything acknowledged is there, nothing is torn; {len(present) * BATCH:,} entries")


if __name__ == "__main__":
    main()
