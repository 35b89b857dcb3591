"""How hard the generated world is for cheap features, beside real sets: mAP and Rank-1 in percent.

    python benchmarks/calibration_of_world.py [SEED ...] [--presets easy,default] [--test IDENTITIES]
    python benchmarks/calibration_of_world.py --real MARKET1501_LAYOUT

For each preset (all four by default) and seed (7 by default) the test split is rendered in memory, with distractors,
and searched by random features, by HSV part histograms, by the same on grey-world pictures and, where torch is
installed, by an untrained ResNet-18. With --real a folder of real pictures is searched the same way, at 128 x 64. A
world in which histograms do much better than on real sets teaches nothing; one in which they do much worse asks for
what no real set asks for.
"""

import argparse
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from PIL import Image

from strongreid.data.readers import read_dataset
from strongreid.evaluation import EvalResult, colour_histogram, evaluate
from strongreid.features import FeatureTable
from strongreid.synthetic.dataset import PRESETS, WorldSettings, images, preset

REAL = {
    "HSV histogram": "16 to 29",
    "grey-world histogram": "18 to 32",
}
"""mAP measured on real sets with the same features, where it is known."""

Describe = Callable[[np.ndarray], np.ndarray]


@dataclass
class Picture:
    pixels: np.ndarray
    identity: int
    """-1 is a distractor."""
    camera: int
    name: str


Split = tuple[list[Picture], list[Picture]]
"""Query and gallery, without junk."""


def split_of(settings: WorldSettings) -> Split:
    query, gallery = [], []
    for image in images(settings):
        if image.split != "bounding_box_train" and image.identity >= 0:
            picture = Picture(image.pixels, image.identity or -1, image.camera, image.name)
            (query if image.split == "query" else gallery).append(picture)
    return query, gallery


def read_split(root: str) -> Split:
    def read(record) -> Picture:
        with Image.open(record.path) as image:
            pixels = np.asarray(image.convert("RGB").resize((64, 128), Image.Resampling.BILINEAR))
        return Picture(pixels, record.identity, record.camera, str(record.path))

    dataset = read_dataset("market1501", root)
    return [read(record) for record in dataset.query], [read(record) for record in dataset.gallery]


def table(pictures: list[Picture], describe: Describe) -> FeatureTable:
    return FeatureTable(
        describe(np.stack([picture.pixels for picture in pictures])),
        np.array([picture.identity for picture in pictures]),
        np.array([picture.camera for picture in pictures]),
        tuple(picture.name for picture in pictures),
    )


def score(split: Split, describe: Describe) -> EvalResult:
    query, gallery = split
    return evaluate(table(query, describe), table(gallery, describe), device="cpu")


def features() -> Iterator[tuple[str, Describe]]:
    draw = np.random.default_rng(0)
    yield "random", lambda pictures: draw.standard_normal((len(pictures), 64), dtype=np.float32)
    yield "HSV histogram", colour_histogram
    yield "grey-world histogram", lambda pictures: colour_histogram(pictures, grey_world=True)
    if find_spec("torch") and find_spec("timm"):
        yield "untrained network", untrained


def untrained(pictures: np.ndarray) -> np.ndarray:
    """(n, 512) float32: pooled maps of a ResNet-18 with its initial weights, normalised over each batch."""
    import timm
    import torch

    torch.manual_seed(0)
    network = timm.create_model("resnet18", pretrained=False, num_classes=0).train()
    blocks = []
    with torch.inference_mode():
        for start in range(0, len(pictures), 64):
            block = torch.from_numpy(pictures[start : start + 64].astype(np.float32) / 255 - 0.45)
            blocks.append(network(block.permute(0, 3, 1, 2) / 0.225).numpy())
    return np.concatenate(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(description="Cheap features on the generated world, beside real sets.")
    parser.add_argument("seeds", type=int, nargs="*", default=[7])
    parser.add_argument("--presets", default=",".join(PRESETS), help="names, with commas between them")
    parser.add_argument("--test", type=int, default=WorldSettings().test_identities, help="identities to search")
    parser.add_argument("--real", help="search this folder instead")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {arguments.test} identities\n")
    print("| set | seed | features | mAP | Rank-1 | mAP on real sets |\n|---|---|---|---|---|---|")
    if arguments.real:
        report("real", "-", read_split(arguments.real))
        return
    for name in arguments.presets.split(","):
        for seed in arguments.seeds:
            settings = preset(name, seed=seed, train_identities=1, test_identities=arguments.test)
            report(f"`{name}`", str(seed), split_of(settings))


def report(name: str, seed: str, split: Split) -> None:
    for feature, describe in features():
        result = score(split, describe)
        scores = f"{100 * result.mAP:.1f} | {100 * result.cmc[0]:.1f}"
        print(f"| {name} | {seed} | {feature} | {scores} | {REAL.get(feature, '-')} |", flush=True)


if __name__ == "__main__":
    main()
