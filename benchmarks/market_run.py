"""The whole recipe on a generated set of Market-1501's size: 751 identities, about 12,936 training pictures.

    python benchmarks/market_run.py DATA RUNS [--small] [--float32] [--tricks SEEDS]

Makes the set in DATA (once), trains the paper's recipe (ResNet-50, 256 x 128, 120 epochs, evaluation every 10) into
RUNS, and prints time, accuracy curve, pictures a second and share of the measured peak. It is meant for a GPU;
`--small` is the same run at a size that a CPU finishes in minutes. `--float32` runs in that precision. `--tricks`
adds the seven rows of the paper's table 1, with so many seeds each. Weights start at random: no photographs here.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

from strongreid.config import Config, bag_of_tricks, plain_baseline
from strongreid.model.hardware import place
from strongreid.synthetic.dataset import WorldSettings, synthesize
from strongreid.training.loop import train

FULL = WorldSettings(train_identities=751, test_identities=750, height=256, width=128, frames_max=6)
SMALL = WorldSettings(train_identities=40, test_identities=20, height=64, width=32)
TRICKS = [
    ("standard baseline", {}),
    ("+ warm-up", {"optim": {"warmup_epochs": 10}}),
    ("+ random erasing", {"augment": {"erasing": 0.5}}),
    ("+ label smoothing", {"loss": {"label_smoothing": 0.1}}),
    ("+ last stride 1", {"model": {"last_stride": 1}}),
    ("+ BNNeck", {"model": {"neck": "bnneck"}}),
    ("+ center loss", {"loss": {"center_weight": 0.0005}}),
]
"""The rows of table 1, each with what it adds to those before."""


def change(config: Config, rooms: dict) -> Config:
    return dataclasses.replace(
        config, **{room: dataclasses.replace(getattr(config, room), **values) for room, values in rooms.items()}
    )


def measured(config: Config) -> dict:
    """Run it and sum it up."""
    began = time.perf_counter()
    result = train(config, progress=False)
    seconds = time.perf_counter() - began
    lines = Path(config.run.output, "log.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    epochs = [event for event in events if event["event"] == "epoch"]
    rates = sorted(event["pictures_per_second"] for event in epochs)
    shares = sorted(event["share_of_peak"] for event in epochs)
    curve = [(event["epoch"], event["mAP"]) for event in events if event["event"] == "evaluation"]
    return {
        "seconds": seconds,
        "training": sum(event["seconds"] for event in epochs),
        "rate": rates[len(rates) // 2],
        "share": shares[len(shares) // 2],
        "mAP": result.mAP,
        "rank1": result.rank(1),
        "curve": "  ".join(f"{epoch}: {100 * score:.1f}" for epoch, score in curve),
    }


def show(name: str, found: dict) -> None:
    print(
        f"{name:<22} {found['seconds']:7.0f} s, {found['training']:.0f} s in steps  {found['rate']:8.1f} pictures/s  "
        f"{found['share']:6.1%} of peak   mAP {100 * found['mAP']:.2f}  Rank-1 {100 * found['rank1']:.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--tricks", type=int, default=0)
    given = parser.parse_args()
    world = SMALL if given.small else FULL
    if not given.data.exists():
        synthesize(given.data, world)
    rooms = {
        "data": {"root": str(given.data), "height": world.height, "width": world.width},
        "model": {"pretrained": False},
    }
    if given.small:
        rooms["model"] |= {"backbone": "resnet10_w16"}
        rooms |= {"optim": {"epochs": 12, "warmup_epochs": 1, "milestones": (4, 7)}, "eval": {"every": 4}}
    full = change(bag_of_tricks(), rooms)
    print(f"{place().why}; {'small' if given.small else 'full'} size")
    precision = "float32" if given.float32 else "auto"
    output = {"output": str(given.runs / f"recipe-{precision}"), "precision": precision}
    found = measured(change(full, {"run": output}))
    show(f"recipe, {precision}", found)
    print(f"mAP by epoch: {found['curve']}")
    for seed in range(given.tricks):
        config = change(plain_baseline(), rooms)
        for name, added in TRICKS:
            config = change(config, added)
            run = {"output": str(given.runs / f"{name.strip('+ ').replace(' ', '-')}-{seed}"), "seed": seed}
            show(f"{name}, seed {seed}", measured(change(config, {"run": run})))


if __name__ == "__main__":
    main()
