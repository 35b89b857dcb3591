"""Frames of a scene a second, on one core: rendered only, and written as a folder.

    python benchmarks/scenes.py [PEOPLE [FRAMES [WIDTH HEIGHT]]]

By default 8 people in 100 frames of 1280x720. The first frame builds the people and the place, and is timed apart.
"""

import sys
import tempfile
import time
from pathlib import Path

from strongreid.synthetic.mot import write_scene
from strongreid.synthetic.street import SceneSettings, render_scene


def main() -> None:
    people, frames, width, height = (*map(int, sys.argv[1:]), *(8, 100, 1280, 720)[len(sys.argv) - 1 :])
    settings = SceneSettings(cameras=1, people=people, frames=frames, width=width, height=height)
    start = time.perf_counter()
    film = render_scene(settings)
    next(film)
    first = time.perf_counter()
    seen = sum(len(frame.people) for frame in film) / max(1, frames - 1)
    rendered = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write_scene(Path(folder) / "scene", settings)
    written = time.perf_counter()
    print(f"{width}x{height}, {people} people, {seen:.1f} of them in a frame on average")
    print(f"up to the first frame    {first - start:6.2f} s")
    print(f"rendered                 {(frames - 1) / (rendered - first):6.1f} frames/s")
    print(f"with the start, on disk  {frames / (written - rendered):6.1f} frames/s")


if __name__ == "__main__":
    main()
