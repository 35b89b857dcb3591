"""A small generated scene in a folder, and a model that nobody trained."""

import csv

import numpy as np
from PIL import Image

from strongreid.synthetic.mot import write_scene
from strongreid.synthetic.street import SceneSettings


def scene(folder):
    settings = SceneSettings(cameras=2, people=3, frames=12, width=320, height=192, fps=5, false_alarms=0.5)
    write_scene(folder, settings)
    return folder


def colours(folder, count=5, size=(60, 40), names="{:06d}.png"):
    """Frames of one colour each: frame k has the grey value 10 k everywhere."""
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        Image.new("RGB", size, (10 * number,) * 3).save(folder / names.format(number))
    return folder


def notes_of(folder):
    with (folder / "notes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pixels_of(path):
    with Image.open(path) as image:
        return np.array(image)
