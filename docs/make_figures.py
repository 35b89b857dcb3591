"""The example figures of docs/figures.md, from the demo's data set and run.

    python docs/make_figures.py [DATA RUN [FOLDER]]

By default demo/data and demo/run, as `make demo` leaves them, and docs/images. Every picture stays below 200 kB.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from strongreid.cli import main as strongreid

MOST_BYTES = 200_000
MOST_WIDTH = 1100


def commands(data: Path, run: Path) -> dict[str, list[str]]:
    """What is drawn, by kind."""
    model, train, gallery = str(run / "best"), data / "bounding_box_train", data / "bounding_box_test"
    pictures = sorted(train.iterdir())[::600]
    a, b = pair(data)
    return {
        "erasing": [str(data)],
        "schedule": ["bag_of_tricks", "plain_baseline", "tiny"],
        "features-2d": [str(data)],
        "space": [model, str(data), "--method", "tsne"],
        "distances": [model, str(data)],
        "cam": [model, *map(str, pictures[:12]), "--reference", str(gallery)],
        "similarity": [model, str(a), str(b), "--reference", str(gallery)],
        "curves": [str(run)],
    }


def pair(data: Path) -> tuple[Path, Path]:
    """A query, and a gallery picture of the same person by another camera."""
    query = sorted((data / "query").iterdir())[40]
    identity, camera = query.name.split("_")[0], query.name.split("s")[0]
    others = sorted((data / "bounding_box_test").glob(f"{identity}_*"))
    return query, next(other for other in others if not other.name.startswith(camera))


def shrink(drawn: Path, folder: Path) -> Path:
    """A figure small enough for a page: as PNG in 256 colours, or as JPEG where that is too large."""
    with Image.open(drawn) as figure:
        picture = figure.convert("RGB")
    picture.thumbnail((MOST_WIDTH, MOST_WIDTH), Image.Resampling.LANCZOS)
    for old in folder.glob(f"figure_{drawn.stem}.*"):
        old.unlink()
    path = folder / f"figure_{drawn.stem}.png"
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    if drawn.stem in ("erasing", "cam", "similarity"):
        path.unlink()
        path = path.with_suffix(".jpg")
        picture.save(path, quality=88, optimize=True)
    assert path.stat().st_size < MOST_BYTES, f"{path} has {path.stat().st_size} bytes"
    return path


def main() -> None:
    """Draw all figures and shrink them."""
    data, run, folder = (
        Path(word) for word in [*sys.argv[1:], *("demo/data", "demo/run", "docs/images")[len(sys.argv) - 1 :]]
    )
    with tempfile.TemporaryDirectory() as scratch:
        for kind, arguments in commands(data, run).items():
            drawn = Path(scratch) / f"{kind}.png"
            assert strongreid(["figure", kind, *arguments, "--output", str(drawn)]) == 0
            shrink(drawn, folder)


if __name__ == "__main__":
    main()
