r"""The gallery against a brute-force search with numpy, in one run: time, memory, disk, what is found, what is lost.

    OMP_NUM_THREADS=1 python benchmarks/gallery.py --sizes 20000 100000
    OMP_NUM_THREADS=1 python benchmarks/gallery.py --sizes 1000000 --folder big --queries 100 --adds 10 --steps build
    OMP_NUM_THREADS=1 python benchmarks/gallery.py --sizes 1000000 --folder big --queries 100 --adds 10 \\
        --steps exact clients
    python benchmarks/gallery.py --sizes --kills 20

With `--folder` what was built stays, and later calls measure it; nothing of the size of the gallery is in memory: the
features to compare with are a file that numpy maps.

Features are made: 512 numbers, 20 entries around one centre for each person, 16 cameras, a time each. Latencies are
of `Gallery.search` as a user calls it, ten matches with all that is known about them; numpy's are of the product and
the ten largest alone. Linux only (/proc).
"""

import argparse
import os
import platform
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from gallery_kills import rounds

from strongreid.features import FeatureTable
from strongreid.gallery import Gallery
from strongreid.gallery.folder import APPROXIMATE_FROM

DIM, PER_PERSON, CAMERAS, STEP = 512, 20, 16, 10_000
MODEL = "0" * 64
STEPS = ["build", "exact", "clients", "graph", "approximate"]


class Made:
    """Features of length 1, in a file; what else is known follows from the row number."""

    def __init__(self, folder: Path, size: int) -> None:
        self.size, path = size, folder / f"{size}.npy"
        draw = np.random.default_rng(0)
        self.identities = draw.permutation(np.arange(size) // PER_PERSON)
        self.cameras, self.times = np.arange(size) % CAMERAS, np.arange(size, dtype=np.float64)
        if not path.exists():
            centres = draw.standard_normal((size // PER_PERSON + 1, DIM), dtype=np.float32)
            partial = path.with_suffix(".partial")
            features = np.lib.format.open_memmap(partial, "w+", np.float32, (size, DIM))
            for start in range(0, size, STEP):
                own = self.identities[start : start + STEP]
                block = centres[own] + draw.standard_normal((len(own), DIM), dtype=np.float32)
                features[start : start + STEP] = block / np.linalg.norm(block, axis=1, keepdims=True)
            features.flush()
            partial.rename(path)
        self.features = np.load(path, mmap_mode="r")

    def rows(self, start: int, count: int) -> FeatureTable:
        numbers = range(start, min(start + count, self.size))
        rows = slice(start, numbers.stop)
        paths = tuple(f"camera/{row % CAMERAS}/{row:08d}.jpg" for row in numbers)
        return FeatureTable(np.array(self.features[rows]), self.identities[rows], self.cameras[rows], paths, MODEL)


def queries_of(made: Made, count: int) -> np.ndarray:
    """Further views of people who are there."""
    draw = np.random.default_rng(1)
    rows = draw.integers(made.size, size=count)
    return made.features[rows] + 0.02 * draw.standard_normal((count, DIM)).astype(np.float32)


def scores_of(features: np.ndarray, query: np.ndarray) -> np.ndarray:
    return features @ (query / np.linalg.norm(query))


def ten_of(scores: np.ndarray) -> list[int]:
    """The ten nearest rows with numpy."""
    ten = np.argpartition(-scores, 10)[:10]
    return ten[np.lexsort((ten, -scores[ten]))].tolist()


def timed(work, queries) -> tuple[list, np.ndarray]:
    """What `work` returns for each query, and milliseconds."""
    found, took = [], []
    for query in queries:
        began = time.perf_counter()
        found.append(work(query))
        took.append(1000 * (time.perf_counter() - began))
    return found, np.array(took)


def shown(name: str, took: np.ndarray, more: str = "") -> None:
    p50, p99 = np.percentile(took, [50, 99])
    print(f"  {name:<34} p50 {p50:8.2f} ms   p99 {p99:8.2f} ms   {more}", flush=True)


def resident() -> float:
    """MB of memory that no file backs: the index's mapped files can be dropped and read again at any time."""
    rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(rows["RssAnon"].split()[0]) / 1024


def ids_of(result) -> list[int]:
    return [match.id for match in result]


def one_size(folder: Path, size: int, count: int, adds: int, steps: list[str]) -> None:
    print(f"\n{size:,} x {DIM}, {count} queries", flush=True)
    made, where = Made(folder, size), folder / f"{size}.gallery"
    queries = queries_of(made, count)
    if "build" in steps:
        build(where, made)
    began = time.perf_counter()
    with Gallery(where) as gallery:
        assert len(gallery) == size, f"{where} has {len(gallery)} entries: build it first, in a new folder"
        opened = time.perf_counter() - began
        details = gallery.info().details
        disk = f"{details['parts_bytes'] / 1e6:,.0f} MB of parts, {details['index_bytes'] / 1e6:,.0f} MB of index"
        print(f"  opened in {opened:.2f} s; disk: {disk}", flush=True)
        if "exact" in steps:
            exactly(gallery, made, queries)
        if "clients" in steps:
            while_enrolling(gallery, made, queries, adds)
        if "graph" in steps and size >= APPROXIMATE_FROM:
            began = time.perf_counter()
            gallery.rebuild(approximate=True)
            print(f"  graph built in {time.perf_counter() - began:.0f} s", flush=True)
        if "approximate" in steps and (info := gallery.info().details["approximate"]):
            index = gallery.info().details["index_bytes"] / 1e6
            print(f"  index with the graph: {index:,.0f} MB; info says {info}", flush=True)
            approximately(gallery, made, queries)
        print(f"  memory that no file backs: {resident():,.0f} MB", flush=True)


def build(where: Path, made: Made) -> None:
    """Enrol all, `STEP` at a time."""
    most, began = 0.0, time.perf_counter()
    with Gallery(where) as gallery:
        assert not len(gallery), f"{where} is there already: leave the step build out, or delete it"
        for start in range(0, made.size, STEP):
            gallery.add(made.rows(start, STEP), times=made.times[start : start + STEP])
            most = max(most, resident())
            if start and start % (10 * STEP) == 0:
                print(f"    {start:,} after {time.perf_counter() - began:.0f} s", flush=True)
    built = time.perf_counter() - began
    print(
        f"  enrolled in {built:.1f} s ({made.size / built:,.0f} a second), at most {most:,.0f} MB that no file backs"
    )


def exactly(gallery: Gallery, made: Made, queries: np.ndarray) -> None:
    """Exact search, plain and filtered, against numpy; they take turns."""
    size = made.size
    filters = {
        "gallery, exact": ({}, np.ones(size, dtype=bool)),
        "filtered: 2 of 16 cameras": ({"cameras": [2, 3]}, np.isin(made.cameras, [2, 3])),
        "filtered: 1 % of the time": (
            {"since": 0.5 * size, "before": 0.51 * size},
            (made.times >= 0.5 * size) & (made.times < 0.51 * size),
        ),
        "filtered: 1 camera, 10 % of the time": (
            {"cameras": 5, "before": 0.1 * size},
            (made.cameras == 5) & (made.times < 0.1 * size),
        ),
    }
    numpy_took: list[float] = []
    right: dict[str, list] = {name: [] for name in filters}
    found: dict[str, list] = {name: [] for name in filters}
    took: dict[str, list] = {name: [] for name in filters}
    scores_of(made.features, queries[0])  # so that the files are in memory, for both
    gallery.search(queries[0])
    for query in queries:
        began = time.perf_counter()
        scores = scores_of(made.features, query)
        ten_of(scores)
        numpy_took.append(1000 * (time.perf_counter() - began))
        for name, (options, mask) in filters.items():
            began = time.perf_counter()
            answer = gallery.search(query, **options)
            took[name].append(1000 * (time.perf_counter() - began))
            found[name].append(ids_of(answer))
            right[name].append(ten_of(np.where(mask, scores, -np.inf)))
    shown("numpy, brute force", np.array(numpy_took))
    for name in filters:
        shown(name, np.array(took[name]), f"same ten as numpy: {share(right[name], found[name])}")


def approximately(gallery: Gallery, made: Made, queries: np.ndarray) -> None:
    for name, cameras in (("approximate", None), ("the same mode, 2 of 16 cameras", [2, 3])):
        mask = np.ones(made.size, dtype=bool) if cameras is None else np.isin(made.cameras, cameras)
        found, took = timed(lambda q, c=cameras: ids_of(gallery.search(q, approximate=True, cameras=c)), queries)
        right = [ten_of(np.where(mask, scores_of(made.features, query), -np.inf)) for query in queries]
        hits = sum(len(set(a) & set(b)) for a, b in zip(right, found, strict=True))
        shown(name, took, f"recall@10 {hits / (10 * len(queries)):.4f}")


def share(right: list[list[int]], found: list[list[int]]) -> str:
    """How many answers hold the very same ten; ties at float32's last bits may change places."""
    same = sum(set(a) == set(b) for a, b in zip(right, found, strict=True))
    return f"{same} of {len(right)}"


def while_enrolling(gallery: Gallery, made: Made, queries: np.ndarray, adds: int) -> None:
    """Eight threads search while one enrols batches of 50."""
    stop, took, errors = threading.Event(), [[] for _ in range(8)], []

    def look(number: int) -> None:
        draw = np.random.default_rng(number)
        while not stop.is_set():
            query = queries[draw.integers(len(queries))]
            began = time.perf_counter()
            try:
                if len(gallery.search(query)) != 10:
                    errors.append("fewer than ten")
            except Exception as error:
                errors.append(repr(error))
            took[number].append(1000 * (time.perf_counter() - began))

    size, enrolled = len(gallery), []
    threads = [threading.Thread(target=look, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    spent = []
    for number in range(adds):
        rows = made.rows(50 * number, 50)
        start = time.perf_counter()
        enrolled += gallery.add(rows).tolist()
        spent.append(1000 * (time.perf_counter() - start))
    seconds = time.perf_counter() - began
    stop.set()
    for thread in threads:
        thread.join()
    every = np.concatenate([np.array(own) for own in took])
    shown(
        "8 threads, while one enrols", every, f"{len(every) / seconds:,.0f} searches a second, errors: {len(errors)}"
    )
    shown("  one add of 50", np.array(spent), f"{50 * adds / seconds:,.0f} entries a second")
    lost = [number for number in enrolled if number not in gallery]
    assert len(gallery) == size + 50 * adds, "entries were lost"
    assert not lost, lost
    assert gallery.remove(ids=enrolled) == 50 * adds
    print(f"  of {50 * adds:,} entries that were added meanwhile, lost: {len(lost)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[20_000, 100_000])
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--adds", type=int, default=40, help="of 50 entries each, while eight threads search")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS, help="what to do")
    parser.add_argument("--kills", type=int, default=0, help="also kill an enrolling process this often")
    parser.add_argument("--folder", help="where to work and to leave what was built; default: a temporary folder")
    parsed = parser.parse_args()
    names = [
        row.split(":")[1].strip() for row in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in row
    ]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(
        f"{names[0]}, {len(names)} cores, numpy threads: {threads}, Python {platform.python_version()}, "
        f"numpy {np.__version__}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(parsed.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for size in parsed.sizes:
            one_size(folder, size, parsed.queries, parsed.adds, parsed.steps)
        if parsed.kills:
            rounds(Path(temporary) / "killed.gallery", parsed.kills, seed=0)


if __name__ == "__main__":
    main()
