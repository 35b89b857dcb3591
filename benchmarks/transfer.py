"""How far training on generated people alone carries: mAP and Rank-1 on real sets, no real picture in training.

    python benchmarks/transfer.py OUT NAME=FOLDER [NAME=FOLDER ...]                     # one long run
    python benchmarks/transfer.py OUT NAME=FOLDER [NAME=FOLDER ...] --laws [--seeds 3]  # which law moved it

The folders are real sets in the layout of Market-1501, of which query and gallery are read. With --laws, a smaller
world is rendered anew with one law changed at a time, for each seed, and a small network is trained on it; the
differences to the unchanged world have 95 % intervals: with one seed over the people of the test set (a bootstrap),
with more over seeds, paired (Student's t). OUT keeps finished runs, so that a stopped command goes on, and
results for `strongreid compare`. One thread; CPU seconds are of this process.
"""

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import machine

from strongreid.config import Config, ModelConfig, tiny
from strongreid.data.readers import read_dataset
from strongreid.evaluation import EvalResult, centre_cameras, compare_results, evaluate
from strongreid.extraction import Extractor, query_and_gallery
from strongreid.features import FeatureTable
from strongreid.synthetic.dataset import WorldSettings, synthesize
from strongreid.training.loop import train

T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}
"""Student's t for 95 % intervals, by number of seeds."""
LONG = WorldSettings(
    seed=22, train_identities=4000, test_identities=10, cameras=8, camera_visibility=0.6, frames_min=3,
    occlusion=0.0, bad_boxes=0.0, distractors=0.0, junk=0.0,
)  # fmt: skip
"""Nothing in front and exact boxes, as --laws suggests."""
SHORT = WorldSettings(
    train_identities=500,
    test_identities=10,
    cameras=16,
    camera_visibility=0.5,
    frames_max=3,
    distractors=0.0,
    junk=0.0,
)
LAWS: dict[str, dict[str, Any]] = {
    "unchanged": {},
    "4 cameras instead of 16": {"cameras": 4, "camera_visibility": 1.0, "frames_min": 4, "frames_max": 6},
    "one light: no lighting, no colour shift": {"lighting": 0.0, "colour_shift": 0.0},
    "plain clothes": {"clothing": 0.0},
    "nothing in front, exact boxes": {"occlusion": 0.0, "bad_boxes": 0.0},
    "no look-alikes": {"look_alikes": 0.0},
}


TESTS = ("as it is", "cameras centred", "mirrored too", "mirrored too, cameras centred")
OTHERS = ", gallery of the other cameras"
"""The rule of sets with two views, such as CUHK01: pictures of the query's own camera are not searched at all."""


@dataclass(frozen=True)
class Job:
    """A world, a network and how long it is trained."""

    name: str
    world: WorldSettings
    backbone: str
    epochs: int
    seed: int


def jobs(arguments: argparse.Namespace) -> Iterator[Job]:
    if not arguments.laws:
        world = replace(LONG, train_identities=arguments.identities or LONG.train_identities)
        yield Job("long", world, arguments.backbone or "resnet10_w32", arguments.epochs or 4, 0)
        return
    small = replace(SHORT, train_identities=arguments.identities or SHORT.train_identities)
    for seed in range(arguments.seeds):
        for number, changes in enumerate(LAWS.values()):
            world = replace(small, seed=100 + seed, **changes)
            backbone = arguments.backbone or "resnet10_w16"
            yield Job(f"law{number}-seed{seed}", world, backbone, arguments.epochs or 6, seed)


def done(job: Job, out: Path, real: dict[str, Path]) -> dict[str, Any]:
    """What the job gave; from an earlier call where it was trained or tested before."""
    folder, report = out / job.name, out / f"{job.name}.json"
    scores = json.loads(report.read_text()) if report.exists() else run(job, folder)
    report.write_text(json.dumps(scores, indent=1))
    for name, root in real.items():
        if f"{name}, {TESTS[0]}" not in scores:
            scores |= test(folder, name, root)
            report.write_text(json.dumps(scores, indent=1))
    shutil.rmtree(folder / "data", ignore_errors=True)
    return dict(scores)


def run(job: Job, folder: Path) -> dict[str, Any]:
    began = time.process_time()
    pictures = synthesize(folder / "data", job.world, processes=1, progress=False)["counts"]["bounding_box_train"]
    rendered = time.process_time()
    shutil.rmtree(folder / "run", ignore_errors=True)
    train(config_of(job, folder), progress=False)
    trained = time.process_time()
    return {"pictures": pictures, "render_seconds": rendered - began, "train_seconds": trained - rendered}


def test(folder: Path, name: str, root: Path) -> dict[str, list[float]]:
    dataset, scores = read_dataset("market1501", root), {}
    for flip in (False, True):
        extract = Extractor(folder / "run" / "last", device="cpu", flip=flip, backend="torch")
        plain = query_and_gallery(extract, dataset)
        for centred, tables in enumerate((plain, centre_cameras(*plain))):
            for rule, results in {"": [evaluate(*tables, device="cpu")], OTHERS: by_camera(*tables)}.items():
                what = f"{name}, {TESTS[2 * flip + centred]}{rule}"
                queries = sum(one.queries for one in results)
                scores[what] = [
                    100 * sum(one.mAP * one.queries for one in results) / queries,
                    100 * sum(one.rank(1) * one.queries for one in results) / queries,
                ]
                if not rule:
                    results[0].save(result_of(folder, what))
    return scores


def by_camera(query: FeatureTable, gallery: FeatureTable) -> list[EvalResult]:
    """The queries of each camera, searched among the pictures of all others."""
    return [
        evaluate(query.select(query.cameras == camera), gallery.select(gallery.cameras != camera), device="cpu")
        for camera in np.unique(query.cameras)
    ]


def result_of(folder: Path, test: str) -> Path:
    return folder / f"{test.replace(', ', '-').replace(' ', '_')}.json"


def config_of(job: Job, folder: Path) -> Config:
    base = tiny()
    return replace(
        base,
        data=replace(base.data, root=str(folder / "data")),
        model=ModelConfig(backbone=job.backbone, pretrained=False),
        optim=replace(base.optim, epochs=job.epochs),
        eval=replace(base.eval, every=0),
        run=replace(base.run, output=str(folder / "run"), seed=job.seed, threads=1, device="cpu"),
    )


def print_scores(scores: dict[str, Any]) -> None:
    print(
        f"{scores['pictures']:,} pictures rendered in {scores['render_seconds']:,.0f} CPU s, trained for "
        f"{scores['train_seconds']:,.0f} CPU s\n\n| test set, features | mAP | Rank-1 |\n|---|---|---|"
    )
    for name, value in scores.items():
        if isinstance(value, list):
            print(f"| {name} | {value[0]:.1f} | {value[1]:.1f} |")


def print_laws(results: list[list[dict[str, Any]]], out: Path) -> None:
    """`results[seed][law]`."""
    seeds, over = len(results), "seeds" if len(results) > 1 else "people of the test set"
    tests = [name for name, value in results[0][0].items() if isinstance(value, list) and name.endswith(TESTS[:2])]
    tests = [name for name in tests if "mirrored" not in name]
    print(f"\nmAP, seeds: {seeds}, and the difference to the unchanged world with its 95 % interval over {over}\n")
    print("| law | " + " | ".join(tests) + " |\n|---|" + "---|" * len(tests))
    for number, law in enumerate(LAWS):
        cells = []
        for test in tests:
            values = [one[number][test][0] for one in results]
            cell = f"{statistics.mean(values):.1f}"
            if number and seeds > 1:
                moved = [value - one[0][test][0] for value, one in zip(values, results, strict=True)]
                reach = T_95[seeds] * statistics.stdev(moved) / seeds**0.5
                cell += f" ({statistics.mean(moved):+.1f} ± {reach:.1f})"
            elif number:
                before, after = (EvalResult.load(result_of(out / f"law{n}-seed0", test)) for n in (0, number))
                found = compare_results(before, after).measures["mAP"]
                cell += f" ({100 * found.difference:+.1f}: {100 * found.low:+.1f} to {100 * found.high:+.1f})"
            cells.append(cell)
        print(f"| {law} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Training on generated people, tested on real ones.")
    parser.add_argument("out", type=Path, help="folder that keeps what is finished")
    parser.add_argument("real", nargs="+", help="NAME=FOLDER of each real set")
    parser.add_argument("--laws", action="store_true", help="change one law of the world at a time")
    parser.add_argument("--seeds", type=int, default=3, choices=range(1, 9))
    parser.add_argument("--identities", type=int, help="people in training; default: 4000, with --laws 500")
    parser.add_argument("--epochs", type=int, help="default: 4, with --laws 6")
    parser.add_argument("--backbone", help="default: resnet10_w32, with --laws resnet10_w16")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    real = {name: Path(folder) for name, folder in (one.split("=", 1) for one in arguments.real)}
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(machine(), flush=True)
    finished: dict[str, dict[str, Any]] = {}
    for job in jobs(arguments):
        finished[job.name] = done(job, arguments.out, real)
        first = next(value[0] for value in finished[job.name].values() if isinstance(value, list))
        print(f"{job.name}: {first:.1f} mAP", flush=True)
    if not arguments.laws:
        print_scores(finished["long"])
        return
    seeds = range(arguments.seeds)
    print_laws([[finished[f"law{law}-seed{seed}"] for law in range(len(LAWS))] for seed in seeds], arguments.out)


if __name__ == "__main__":
    main()
