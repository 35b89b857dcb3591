"""How hard the generated world is for cheap features, beside real sets: mAP and Rank-1 in percent.

    python benchmarks/calibration_of_world.py [SEED ...] [--test IDENTITIES]

For each seed (7 by default) the test split of the default world is rendered in memory, with distractors, and
searched by random features, by HSV part histograms, by the same on grey-world pictures and, where torch is installed,
by an untrained ResNet-18. A world in which histograms do much better than on real sets teaches nothing; one in which
they do much worse asks for what no real set asks for.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec

import numpy as np

from strongreid.evaluation import EvalResult, colour_histogram, evaluate
from strongreid.features import FeatureTable
from strongreid.synthetic.dataset import GeneratedImage, WorldSettings, images

REAL = {
    "HSV histogram": "16 to 29",
    "grey-world histogram": "18 to 32",
}
"""mAP measured on real sets with the same features, where it is known."""

Describe = Callable[[np.ndarray], np.ndarray]


def split_of(settings: WorldSettings) -> tuple[list[GeneratedImage], list[GeneratedImage]]:
    """Query and gallery, without junk."""
    shown = [image for image in images(settings) if image.split != "bounding_box_train" and image.identity >= 0]
    return [i for i in shown if i.split == "query"], [i for i in shown if i.split == "bounding_box_test"]


def table(pictures: list[GeneratedImage], describe: Describe) -> FeatureTable:
    return FeatureTable(
        describe(np.stack([picture.pixels for picture in pictures])),
        np.array([picture.identity or -1 for picture in pictures]),
        np.array([picture.camera for picture in pictures]),
        tuple(picture.name for picture in pictures),
    )


def score(split: tuple[list[GeneratedImage], list[GeneratedImage]], describe: Describe) -> EvalResult:
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
    parser.add_argument("--test", type=int, default=WorldSettings().test_identities, help="identities to search")
    arguments = parser.parse_args()
    print("| features | seed | mAP | Rank-1 | mAP on real sets |\n|---|---|---|---|---|")
    for seed in arguments.seeds:
        settings = replace(WorldSettings(), seed=seed, train_identities=1, test_identities=arguments.test)
        split = split_of(settings)
        for name, describe in features():
            result = score(split, describe)
            print(
                f"| {name} | {seed} | {100 * result.mAP:.1f} | {100 * result.cmc[0]:.1f} | {REAL.get(name, '-')} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
