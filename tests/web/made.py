"""Made people in plain colours, and features without a model: what the page is tested with."""

import io
import itertools

import numpy as np
from PIL import Image

from strongreid.evaluation.baselines import colour_histogram
from strongreid.evaluation.calibration import Calibration
from strongreid.evaluation.pairs import collect_pairs
from strongreid.features import FeatureTable

MODEL = "c" * 64
CAMERAS = (1, 2, 3, 4)
ENROLLED = range(1, 9)
STRANGER = 50
ADDRESS = "http://127.0.0.1:8000"


def person(identity, camera=1, size=(32, 64)):
    """A figure of head, upper and lower part, each of the identity's colour, in front of the camera's wall."""
    width, height = size
    colours = np.random.default_rng(identity).integers(0, 256, (3, 3))
    noise = np.random.default_rng((identity, camera))
    pixels = np.full((height, width, 3), 150 + 10 * camera, np.float64)
    edges = [round(height * share) for share in (0.05, 0.22, 0.55, 0.97)]
    for part, (top, bottom) in enumerate(itertools.pairwise(edges)):
        pixels[top:bottom, width // 5 : width - width // 5] = colours[part]
    pixels += noise.normal(0, 6, pixels.shape) + noise.uniform(-6, 6, 3)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def scene(identities, height=240, width=480):
    """A wide picture with several people; and the box of each."""
    image, boxes = Image.new("RGB", (width, height), (120, 128, 120)), []
    for number, identity in enumerate(identities):
        figure = person(identity, camera=9, size=(60, 120))
        place = (40 + number * 140, 80)
        image.paste(figure, place)
        boxes.append((*place, *figure.size))
    return image, boxes


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


class Histogram:
    """Colours by stripes; called like an Extractor."""

    fingerprint = MODEL

    def __call__(self, pictures):
        return colour_histogram([np.asarray(picture.convert("RGB").resize((32, 64))) for picture in pictures])


def table(identities, cameras=CAMERAS, folder=None):
    """Their features; with a folder, their pictures are written there."""
    rows = [(identity, camera) for identity in identities for camera in cameras]
    pictures = [person(*row) for row in rows]
    paths = [f"{identity:04d}_c{camera}s1_000000_00.png" for identity, camera in rows]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [str(folder / path) for path in paths]
        for picture, path in zip(pictures, paths, strict=True):
            picture.save(path)
    columns = np.array(rows)
    return FeatureTable(Histogram()(pictures), columns[:, 0], columns[:, 1], tuple(paths), MODEL)


def calibration():
    """Fitted on other people than are enrolled."""
    others = range(100, 140)
    return Calibration.fit(collect_pairs(table(others, (1,)), table(others, (2, 3))), fpr=0.01, data="other people")
