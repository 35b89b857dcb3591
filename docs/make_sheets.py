"""Contact sheets of the generated world, for docs/pictures.md.

    python docs/make_sheets.py [FOLDER]

Writes into FOLDER, by default docs/images: preset_NAME.jpg for each preset (one person a row, two pictures from each
of six cameras), world_large.jpg (the same at 256x128), world_wardrobe.jpg (people in a studio, from four sides) and
world_places.jpg (what the cameras see when nobody is there).
"""

from __future__ import annotations

import math
import sys
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from strongreid.synthetic.body import Body
from strongreid.synthetic.camera import Camera, Pixels
from strongreid.synthetic.dataset import PRESETS, WorldSettings, images, preset
from strongreid.synthetic.dice import Dice
from strongreid.synthetic.raster import Light, Window, shade, splat
from strongreid.synthetic.skeleton import Stance
from strongreid.synthetic.wardrobe import draw_person

MOST_BYTES = 300_000

_STUDIO = Light((0.36, 0.69, 0.62), (0.52, 0.5, 0.46), (0.6, 0.62, 0.65), (0.1, 0.09, 0.08))


def people(rows: int, height: int, name: str = "default") -> Image.Image:
    """One person of a preset a row, two pictures from each of six cameras."""
    settings = preset(
        name, train_identities=rows, test_identities=1, height=height, width=height // 2, cameras=6,
        camera_visibility=1.0, frames_max=2, distractors=0.0, junk=0.0,
    )  # fmt: skip
    shown = [image for image in images(settings) if image.split == "bounding_box_train"]
    lines = [np.hstack([i.pixels for i in shown if i.identity == number + 1]) for number in range(rows)]
    return Image.fromarray(np.vstack(lines))


def wardrobe(count: int, height: int, across: int = 4) -> Image.Image:
    """`count` people, each from four sides, `across` people a row."""
    shown = [np.hstack(list(turned(number, height))) for number in range(count)]
    return Image.fromarray(np.vstack([np.hstack(shown[i : i + across]) for i in range(0, count, across)]))


def turned(number: int, height: int) -> list[Pixels]:
    """A person from four sides."""
    body = Body(draw_person(Dice(77, number), number), 0.92 * height / 256)
    return [
        pose(body, math.radians(degrees), 0.6 + 1.3 * step, height) for step, degrees in enumerate((0, 50, 90, 180))
    ]


def pose(body: Body, yaw: float, phase: float, height: int) -> Pixels:
    """A body in the light of a studio, in a picture `height` pixels high."""
    places, normals = body.pose(Stance(phase, 1.0), yaw, 0.12)
    top, bottom = float(places[1].max()), float(places[1].min())
    tall = (top - bottom) * 1.05
    window = Window(-tall / 4, (top + bottom + tall) / 2, height / tall, height / tall)
    canvas = np.full((height, height // 2, 3), 158, np.float32)
    pixels, surfels = splat(places, normals, window, (height, height // 2), body.spacing)
    colours = shade(surfels, places, normals, body.albedo, _STUDIO, body.person.height)
    canvas.reshape(-1, 3)[pixels] = colours.T
    return np.clip(canvas, 0, 255).astype(np.uint8)


def places(count: int = 8) -> Image.Image:
    """What `count` cameras see when nobody is there, two a row."""
    views = [Camera(WorldSettings(), number + 1).scene.image.resize((512, 288)) for number in range(count)]
    lines = [np.hstack([np.asarray(view) for view in islice(views, i, i + 2)]) for i in range(0, count, 2)]
    return Image.fromarray(np.vstack(lines))


def save(image: Image.Image, path: Path) -> None:
    """As JPEG in the best quality that stays small."""
    for quality in range(90, 30, -5):
        image.save(path, quality=quality, optimize=True)
        if path.stat().st_size < MOST_BYTES:
            return


def main() -> None:
    """Write all sheets."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for name in PRESETS:
        save(people(6, 128, name), folder / f"preset_{name}.jpg")
    save(people(4, 256), folder / "world_large.jpg")
    save(wardrobe(16, 160), folder / "world_wardrobe.jpg")
    save(places(), folder / "world_places.jpg")


if __name__ == "__main__":
    main()
