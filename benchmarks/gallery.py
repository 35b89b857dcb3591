"""The gallery against a brute-force search with numpy, in one run: time, memory, disk, what is found, what is lost.

    OMP_NUM_THREADS=1 python benchmarks/gallery.py --sizes 20000 100000 1000000
    python benchmarks/gallery.py --sizes --kills 20

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


def made(size: int) -> FeatureTable:
    """Features of length 1."""
    draw = np.random.default_rng(0)
    identities = draw.permutation(np.arange(size) // PER_PERSON)
    centres = draw.standard_normal((size // PER_PERSON + 1, DIM), dtype=np.float32)
    features = np.empty((size, DIM), dtype=np.float32)
    for start in range(0, size, STEP):
        rows = slice(start, start + STEP)
        features[rows] = centres[identities[rows]]
        features[rows] += draw.standard_normal((len(identities[rows]), DIM), dtype=np.float32)
        features[rows] /= np.linalg.norm(features[rows], axis=1, keepdims=True)
    paths = tuple(f"camera/{row % CAMERAS}/{row:08d}.jpg" for row in range(size))
    return FeatureTable(features, identities, np.arange(size) % CAMERAS, paths, MODEL)


def queries_of(table: FeatureTable, count: int) -> np.ndarray:
    """Further views of people who are there."""
    draw = np.random.default_rng(1)
    rows = draw.integers(len(table), size=count)
    return table.features[rows] + 0.02 * draw.standard_normal((count, DIM)).astype(np.float32)


def brute(features: np.ndarray, query: np.ndarray, mask: np.ndarray | None = None) -> list[int]:
    """The ten nearest rows with numpy."""
    scores = features @ (query / np.linalg.norm(query))
    if mask is not None:
        scores[~mask] = -np.inf
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


def one_size(folder: Path, size: int, count: int, *, graph: bool) -> None:
    print(f"\n{size:,} x {DIM}", flush=True)
    table = made(size)
    times = np.arange(size, dtype=np.float64)
    queries = queries_of(table, count)
    before = resident()
    began = time.perf_counter()
    with Gallery(folder) as gallery:
        for start in range(0, size, STEP):
            rows = np.arange(start, min(start + STEP, size))
            gallery.add(table.select(rows), times=times[rows])
    built = time.perf_counter() - began
    began = time.perf_counter()
    gallery = Gallery(folder)
    opened = time.perf_counter() - began
    details = gallery.info().details
    gallery.search(queries[0])
    print(f"  enrolled in {built:.1f} s ({size / built:,.0f} a second), opened in {opened:.2f} s")
    print(f"  disk: {details['parts_bytes'] / 1e6:,.0f} MB of parts, {details['index_bytes'] / 1e6:,.0f} MB of index")
    print(f"  memory above the features: {resident() - before:,.0f} MB", flush=True)
    exactly(gallery, table, times, queries)
    while_enrolling(gallery, table, queries)
    if graph and size >= APPROXIMATE_FROM:
        began = time.perf_counter()
        gallery.rebuild(approximate=True)
        took = time.perf_counter() - began
        approximately(gallery, table, queries)
        info = gallery.info().details["approximate"]
        size_now = gallery.info().details["index_bytes"]
        print(f"  graph built in {took:.0f} s, index {size_now / 1e6:,.0f} MB; info says {info}")
    gallery.close()


def exactly(gallery: Gallery, table: FeatureTable, times: np.ndarray, queries: np.ndarray) -> None:
    """Exact search, plain and filtered, against numpy; the two take turns."""
    right, numpy_took, found, took = [], [], [], []
    for query in queries:
        for work, results, milliseconds in (
            (lambda q: brute(table.features, q), right, numpy_took),
            (lambda q: ids_of(gallery.search(q)), found, took),
        ):
            (answer,), spent = timed(work, [query])
            results.append(answer)
            milliseconds.append(spent[0])
    shown("numpy, brute force", np.array(numpy_took))
    shown("gallery, exact", np.array(took), f"same ten as numpy: {share(right, found)}")
    size = len(table)
    for name, options, mask in (
        ("2 of 16 cameras", {"cameras": [2, 3]}, np.isin(table.cameras, [2, 3])),
        (
            "1 % of the time",
            {"since": 0.5 * size, "before": 0.51 * size},
            (times >= size // 2) & (times < 0.51 * size),
        ),
        (
            "1 camera, 10 % of the time",
            {"cameras": 5, "before": 0.1 * size},
            (table.cameras == 5) & (times < 0.1 * size),
        ),
    ):
        found, took = timed(lambda q, options=options: ids_of(gallery.search(q, **options)), queries)
        right = [brute(table.features, query, mask) for query in queries]
        shown(f"filtered: {name}", took, f"same ten as numpy: {share(right, found)}")


def approximately(gallery: Gallery, table: FeatureTable, queries: np.ndarray) -> None:
    found, took = timed(lambda q: ids_of(gallery.search(q, approximate=True)), queries)
    right = [ids_of(gallery.search(query)) for query in queries]
    hits = sum(len(set(a) & set(b)) for a, b in zip(right, found, strict=True))
    shown("approximate", took, f"recall@10 {hits / (10 * len(queries)):.4f}")
    mask = np.isin(table.cameras, [2, 3])
    found, took = timed(lambda q: ids_of(gallery.search(q, approximate=True, cameras=[2, 3])), queries)
    right = [brute(table.features, query, mask) for query in queries]
    hits = sum(len(set(a) & set(b)) for a, b in zip(right, found, strict=True))
    shown("the same mode, 2 of 16 cameras", took, f"recall@10 {hits / (10 * len(queries)):.4f}")


def share(right: list[list[int]], found: list[list[int]]) -> str:
    """How many answers hold the very same ten; ties at float32's last bits may change places."""
    same = sum(set(a) == set(b) for a, b in zip(right, found, strict=True))
    return f"{same} of {len(right)}"


def while_enrolling(gallery: Gallery, table: FeatureTable, queries: np.ndarray, adds: int = 40) -> None:
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
        rows = table.select(np.arange(50) + 50 * number)
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
    parser.add_argument("--no_graph", action="store_true", help="leave the approximate index out")
    parser.add_argument("--kills", type=int, default=0, help="also kill an enrolling process this often")
    parser.add_argument("--folder", help="where to work; default: a temporary folder")
    parsed = parser.parse_args()
    names = [
        row.split(":")[1].strip() for row in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in row
    ]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(
        f"{names[0]}, {len(names)} cores, numpy threads: {threads}, Python {platform.python_version()}, "
        f"numpy {np.__version__}"
    )
    with tempfile.TemporaryDirectory(dir=parsed.folder) as temporary:
        for size in parsed.sizes:
            one_size(Path(temporary) / f"{size}.gallery", size, parsed.queries, graph=not parsed.no_graph)
        if parsed.kills:
            rounds(Path(temporary) / "killed.gallery", parsed.kills, seed=0)


if __name__ == "__main__":
    main()
