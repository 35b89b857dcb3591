"""Frames of a scene a second, on one core: rendered only, and written as a folder.

    python benchmarks/scenes.py [PEOPLE [FRAMES [WIDTH HEIGHT]]]

By default 8 people in 100 frames of 1280x720. The first frame builds the people and the place, and is timed apart.
Seconds are of the processor, so that others on the machine matter less; those of the clock stand beside them.
"""

import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from strongreid.synthetic.mot import write_scene
from strongreid.synthetic.street import SceneSettings, render_scene


def main() -> None:
    people, frames, width, height = (*map(int, sys.argv[1:]), *(8, 100, 1280, 720)[len(sys.argv) - 1 :])
    settings = SceneSettings(cameras=1, people=people, frames=frames, width=width, height=height)
    ticks = [_clocks()]
    film = render_scene(settings)
    next(film)
    ticks.append(_clocks())
    seen = sum(len(frame.people) for frame in film) / max(1, frames - 1)
    ticks.append(_clocks())
    with tempfile.TemporaryDirectory() as folder:
        write_scene(Path(folder) / "scene", settings)
    ticks.append(_clocks())
    (first, first_wall), (rendered, rendered_wall), (written, written_wall) = (
        (after[0] - before[0], after[1] - before[1]) for before, after in pairwise(ticks)
    )
    print(f"{width}x{height}, {people} people, {seen:.1f} of them in a frame on average")
    print(f"up to the first frame    {first:6.2f} s           (clock {first_wall:.2f})")
    for name, count, seconds, wall in (
        ("rendered", frames - 1, rendered, rendered_wall),
        ("with the start, on disk", frames, written, written_wall),
    ):
        print(f"{name:23}  {count / seconds:6.1f} frames/s    (clock {count / wall:.1f})")


def _clocks() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


if __name__ == "__main__":
    main()
