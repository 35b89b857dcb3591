"""Two tiny data sets, a recipe of a second, and experiments that tests share."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from strongreid.cli import main
from strongreid.experiments.records import load_experiment

RECIPE = {
    "preset": "tiny",
    "data": {"height": 64, "width": 32},
    "batch": {"identities": 3, "images": 2},
    "model": {"backbone": "resnet10_w16"},
    "optim": {"epochs": 1},
    "eval": {"every": 0},
    "run": {"threads": 1, "device": "cpu"},
}


def make_set(root, seed, people=6):
    """Market-1501 layout: noise with a little colour, so that nothing is found by all models."""
    draw = np.random.default_rng(seed)

    def take(folder, identity, camera, number):
        (root / folder).mkdir(parents=True, exist_ok=True)
        colour = np.random.default_rng(1000 * seed + identity).integers(90, 165, 3)
        pixels = np.clip(colour + draw.normal(0, 60, (16, 8, 3)), 0, 255).astype(np.uint8)
        name = f"{identity:04d}_c{camera}s1_{number:06d}_00.png"
        Image.fromarray(pixels).resize((32, 64)).save(root / folder / name)

    for identity in range(1, people + 1):
        for number in range(4):
            take("bounding_box_train", identity, 1 + number % 2, number)
    for identity in range(people + 1, 2 * people + 1):
        take("query", identity, 1, 0)
        for camera in (1, 2, 3):
            take("bounding_box_test", identity, camera, camera)
    return root


@pytest.fixture(scope="session")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    return {name: make_set(root / name, seed) for seed, name in enumerate(("a", "b"), start=1)}


@pytest.fixture(scope="session")
def recipe(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "recipe.json"
    file.write_text(json.dumps(RECIPE))
    return file


@contextmanager
def without_drawing():
    """Runs in this process leave out what takes most of their time: drawing, and measuring the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("strongreid.training.loop.write_report", lambda *_: "")
        patch.setattr("strongreid.training.loop.measured_peak", lambda _: 1e9)
        yield


@pytest.fixture
def plain_runs():
    with without_drawing():
        yield


@pytest.fixture(scope="session")
def call(recipe, sets):
    """An experiment on set a, unless the arguments name others; returns it read back."""

    def run(name, output, *arguments, code=0):
        named = [] if "--sets" in arguments else ["--sets", f"a={sets['a']}"]
        words = ["experiment", *name.split(), "--config", str(recipe), "--output", str(output), "--quiet", *named]
        with without_drawing():
            assert main([*words, *map(str, arguments)]) == code
        return load_experiment(output)

    return run


@pytest.fixture(scope="session")
def ladder(call, sets, tmp_path_factory):
    """The six tricks on a, two seeds, tested on a and b."""
    return call("tricks", tmp_path_factory.mktemp("tricks"), "--seeds", 2, "--also_test", f"b={sets['b']}")


@pytest.fixture(scope="session")
def left_out(call, ladder, tmp_path_factory):
    """The six tricks left out one at a time on a, one seed, in the runs of `ladder`."""
    folder = tmp_path_factory.mktemp("left_out")
    return call("tricks", folder, "--leave_one_out", "--seeds", 1, "--runs", ladder.folder / "runs")
