"""People linked across cameras in generated scenes, against simple baselines: IDF1 and V-measure.

    python benchmarks/linking.py runs/mine/last data/mine --scenes 3
    python benchmarks/linking.py --speed 5000 20000

Each scene has several cameras, past which the same people walk one camera after the other; some stay away from a
camera (--present), so that no camera sees everybody. The true boxes are cut out (strongreid crop), tracks are broken
where a person is hidden, and each piece is enrolled as one entry and linked. People and cameras are of other seeds
than the training set. Thresholds come from the calibration on the test set of `data`, or from one further scene,
where the best of a grid is taken; the colour histograms get the same. The best threshold of the scenes themselves is
shown too, as what nobody could have known. Scores are over boxes.
"""

import argparse
import resource
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from measure import machine

from strongreid.data.images import decode
from strongreid.data.readers import read_dataset
from strongreid.evaluation.baselines import colour_histogram
from strongreid.evaluation.calibration_report import calibrate
from strongreid.evaluation.clustering import ClusterScores, cluster_scores
from strongreid.extraction import Extractor, query_and_gallery
from strongreid.features import FeatureTable
from strongreid.frames.boxes import Box, read_boxes
from strongreid.frames.crops import CropSettings, cut
from strongreid.frames.film import find_shots
from strongreid.gallery import Gallery
from strongreid.gallery.linking import Tracks, link, tracks_in, tracks_of
from strongreid.synthetic.mot import write_scene
from strongreid.synthetic.street import SceneSettings

SEEN = 0.3
"""A box of which less is seen is lost to the tracker, and its track breaks."""
GRID = np.round(np.arange(0.02, 1.0, 0.02), 2)


def pieces(boxes: tuple[Box, ...], there: set[int]) -> tuple[list[Box], dict[int, int]]:
    """The boxes of those who are there and seen, a new track wherever one was lost, and the person of each track."""
    found, who, last = [], {}, {}
    for box in boxes:
        if box.track in there and (box.score is None or box.score >= SEEN):
            before = last.get(box.track)
            if before is None or box.frame > before[0] + 1:
                number = len(who) + 1
                who[number] = box.track
            else:
                number = before[1]
            last[box.track] = (box.frame, number)
            found.append(box._replace(track=number))
    return found, who


class Scene:
    """A scene's tracks by the model and by colour, with the truth."""

    def __init__(self, folder: Path, settings: SceneSettings, present: float, extract: Extractor) -> None:
        draw = np.random.default_rng(settings.seed)
        write_scene(folder / "scene", settings)
        films, self.truth, self.boxes = [], {}, {}
        for shot in find_shots(folder / "scene"):
            there = {number for number in range(1, settings.people + 1) if draw.random() < present}
            own, who = pieces(read_boxes(shot.folder / "gt" / "gt.txt"), there)
            films.append((shot, shot.open(), own))
            for number, person in who.items():
                name = f"c{shot.camera}-{number}"
                self.truth[name] = person
                self.boxes[name] = sum(box.track == number for box in own)
        cut(films, folder / "crops", CropSettings(min_height=32, per_track=8))
        rows = [line.split(",") for line in (folder / "crops" / "notes.csv").read_text().splitlines()[1:]]
        paths = [folder / "crops" / row[0] for row in rows]
        times, names = [float(row[2]) for row in rows], [row[3] for row in rows]
        cameras = [int(row[1]) for row in rows]
        nobody = np.full(len(rows), -1)
        began = time.perf_counter()
        table = FeatureTable(extract(paths), nobody, cameras, paths, extract.fingerprint)
        self.seconds = time.perf_counter() - began
        self.crops = len(rows)
        shutil.rmtree(folder / "gallery", ignore_errors=True)  # of an earlier call
        with Gallery(folder / "gallery") as gallery:
            gallery.add(table, times=times, tracks=names, track_as_one=True)
            self.tracks = tracks_in(gallery)
        colours = colour_histogram(decode(path, 128, 64) for path in paths)
        plain = tracks_of(FeatureTable(colours, nobody, cameras, paths), times=times, tracks=names)
        order = [plain.names.index(name) for name in self.tracks.names]
        self.colours = replace(self.tracks, features=plain.features[order])

    def scores(self, people: np.ndarray) -> ClusterScores:
        names = self.tracks.names
        return cluster_scores([self.truth[name] for name in names], people, [self.boxes[name] for name in names])

    def linked(self, tracks: Tracks, threshold: float, *, free: bool = False) -> ClusterScores:
        """Linked; `free` forgets the times, so that nothing is held apart."""
        unknown = np.full(len(tracks), np.nan)
        given = replace(tracks, starts=unknown, ends=unknown) if free else tracks
        return self.scores(link(given, threshold).people)


def best(scenes: list[Scene], which: str) -> float:
    """The threshold of the grid with the highest mean IDF1."""
    means = [np.mean([s.linked(getattr(s, which), value).idf1 for s in scenes]) for value in GRID]
    return float(GRID[int(np.argmax(means))])


def shown(name: str, threshold: float | None, scores: list[ClusterScores]) -> None:
    idf1 = [own.idf1 for own in scores]
    mean = {field: np.mean([getattr(own, field) for own in scores]) for field in ("v_measure", "homogeneity")}
    whole = np.mean([own.completeness for own in scores])
    at = "" if threshold is None else f"{threshold:.3f}"
    each = " ".join(f"{value:.3f}" for value in idf1)
    groups = np.mean([own.groups for own in scores])
    print(
        f"| {name} | {at} | {np.mean(idf1):.3f} ({each}) | {mean['v_measure']:.3f} | {mean['homogeneity']:.3f} | "
        f"{whole:.3f} | {groups:.1f} |",
        flush=True,
    )


def compare(parsed: argparse.Namespace, folder: Path) -> None:
    extract = Extractor(parsed.model, device="cpu")
    query, gallery = query_and_gallery(extract, read_dataset("market1501", parsed.data))
    calibration = calibrate(query, gallery, "cosine", fpr=1e-3).calibration
    settings = SceneSettings(
        cameras=parsed.cameras, people=parsed.people, frames=parsed.frames, width=960, height=540, fps=parsed.fps
    )
    scenes = []
    for number in range(parsed.scenes + 1):
        scenes.append(Scene(folder / str(number), replace(settings, seed=100 + number), parsed.present, extract))
        own = scenes[-1]
        counts = f"{len(own.tracks)} tracks, {own.crops} crops, features in {own.seconds:.1f} s"
        print(f"scene {number}, seed {100 + number}: {len(set(own.truth.values()))} people, {counts}", flush=True)
    tuning, scenes = scenes[0], scenes[1:]
    print("\n| | distance | IDF1 (each scene) | V | homogeneity | completeness | groups |\n|-|-|-|-|-|-|-|")
    shown("every track its own", None, [s.scores(np.arange(len(s.tracks))) for s in scenes])
    shown("all one", None, [s.scores(np.zeros(len(s.tracks), dtype=np.int64)) for s in scenes])
    rows = [
        ("model, calibrated, FPR 0.01", "tracks", calibration.threshold(1e-2)),
        ("model, calibrated, FPR 0.001", "tracks", calibration.threshold(1e-3)),
        ("model, chosen on scene 0", "tracks", best([tuning], "tracks")),
        ("model, best of these scenes", "tracks", best(scenes, "tracks")),
        ("colours, chosen on scene 0", "colours", best([tuning], "colours")),
        ("colours, best of these scenes", "colours", best(scenes, "colours")),
    ]
    for name, which, threshold in rows:
        shown(name, threshold, [s.linked(getattr(s, which), threshold) for s in scenes])
    chosen = rows[2][2]
    shown("model, times forgotten", chosen, [s.linked(s.tracks, chosen, free=True) for s in scenes])
    print(f"\nscene 0, where the threshold was chosen: {tuning.linked(tuning.tracks, chosen).table()}")


def speed(count: int) -> None:
    """Made tracks: five of each person, 16 cameras, as near as the people of a trained model."""
    draw = np.random.default_rng(0)
    people = draw.permutation(np.arange(count) // 5)
    features = draw.standard_normal((count // 5 + 1, 512))[people] + 0.8 * draw.standard_normal((count, 512))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    starts = draw.uniform(0, 36_000, count)
    cameras, ids = draw.integers(1, 17, count), np.arange(count)
    names = tuple(str(row) for row in range(count))
    tracks = Tracks(features, cameras, people, starts, starts + draw.uniform(5, 60, count), names, names, ids, ids)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for threshold in (0.3, 0.6, 0.9):
        began, cpu = time.perf_counter(), time.process_time()
        links = link(tracks, threshold)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{count:,} tracks x 512, up to {threshold}: {took:.1f} s ({cpu:.1f} s of CPU), at most "
            f"{most - before:,.0f} MB more; {links.scores().table()}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="model folder")
    parser.add_argument("data", nargs="?", help="the data set whose test people it is calibrated on")
    parser.add_argument("--scenes", type=int, default=3)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--fps", type=int, default=5)
    parser.add_argument("--present", type=float, default=0.6, help="chance that a person passes a camera")
    parser.add_argument("--folder", help="where to work and leave the scenes; default: a temporary folder")
    parser.add_argument("--speed", type=int, nargs="+", help="how long so many made tracks take, instead")
    parsed = parser.parse_args()
    print(machine())
    if parsed.speed:
        for count in parsed.speed:
            speed(count)
        return
    if not parsed.data:
        parser.error("give a model and a data set, or --speed")
    with tempfile.TemporaryDirectory() as temporary:
        compare(parsed, Path(parsed.folder or temporary))


if __name__ == "__main__":
    main()
