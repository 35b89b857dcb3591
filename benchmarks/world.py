"""How fast the generated world is: the whole chain, from the plan to the JPEG on the disk.

    OMP_NUM_THREADS=1 python benchmarks/world.py chain|demo|large [RUNS]

chain: pictures a second at 128x64 and 256x128, by one process and by two. Cameras are built once in each process;
their share is measured alone, so that the rate without them tells what a large set takes. demo: the set of
`make demo`, on two processes. large: 1,041 people x 30 pictures (the training split of MSMT17) and 10,000 x 100: a
slice out of the middle, rendered and encoded, and from it the whole by calculation; the plan of the whole, walked; an
endless stream from its millionth person on.
"""

import resource
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from measure import Side, alternate, machine

from strongreid.synthetic.dataset import WorldSettings, identities, stream, write_set
from strongreid.synthetic.passage import World
from strongreid.synthetic.plan import make_plan

SLICE = 10
LARGE = {
    "1,041 x 30": (1041, WorldSettings(train_identities=1041, cameras=15, camera_visibility=0.5, frames_min=3)),
    "10,000 x 100": (
        10_000,
        WorldSettings(train_identities=10_000, cameras=15, camera_visibility=0.7, frames_min=9, frames_max=10),
    ),
}


def write(settings: WorldSettings, processes: int) -> int:
    """Write a set into a folder that is deleted again; returns the number of pictures."""
    with tempfile.TemporaryDirectory() as folder:
        summary = write_set(Path(folder) / "set", settings, processes=processes)
    return sum(summary["counts"].values())


def build_cameras(settings: WorldSettings) -> None:
    world = World(settings)
    for number in range(1, settings.cameras + 1):
        world.camera(number)


def rate(pictures: int, seconds: float, processes: int = 1) -> str:
    return f"{pictures:,} pictures, {pictures / seconds:,.0f}/s, {pictures / seconds / processes:,.0f}/s a process"


def chain(runs: int) -> None:
    small = WorldSettings(train_identities=60, test_identities=20)
    for settings in (small, replace(small, height=256, width=128)):
        sides: dict[str, Callable[[], Any]] = {"cameras": lambda chosen=settings: build_cameras(chosen)}
        for processes in (1, 2):
            sides[f"{processes} process"] = lambda chosen=settings, count=processes: write(chosen, count)
        print(f"{settings.height}x{settings.width}")
        measured = alternate(sides, runs)
        cameras = measured.pop("cameras").median
        for name, side in measured.items():
            processes = int(name[0])
            print(f"  {name}: {rate(side.value, side.median, processes)}")
            print(f"  {name}, without the cameras: {rate(side.value, side.median - cameras, processes)}")


def demo(runs: int) -> None:
    side = alternate({"demo, 2 processes": lambda: write(WorldSettings(seed=7), 2)}, runs)["demo, 2 processes"]
    print(f"  {rate(side.value, side.median, 2)}")


def large(runs: int) -> None:
    for name, (people, settings) in LARGE.items():
        first = people // 2

        def walk(chosen: WorldSettings = settings, count: int = people) -> int:
            return sum(len(subject.shots) for subject in islice(make_plan(chosen), count))

        def cut(chosen: WorldSettings = settings, start: int = first) -> int:
            return sum(len(person.images) for person in identities(chosen, start, start + SLICE - 1))

        def draw(chosen: WorldSettings = settings) -> int:
            return sum(len(person.images) for person in islice(stream(chosen, 1_000_000), SLICE))

        print(name)
        measured = alternate(
            {
                "plan of the whole": walk,
                "cameras": lambda chosen=settings: build_cameras(chosen),
                f"{SLICE} people from number {first}": cut,
                f"{SLICE} people of a stream": draw,
            },
            runs,
        )
        plan, cameras, *slices = measured.values()
        for label, side in zip(("set", "stream"), slices, strict=True):
            report(label, side, cameras.median, plan.value)


def report(label: str, side: Side, cameras: float, whole: int) -> None:
    speed = side.value / (side.median - cameras)
    hours = whole / speed / 3600
    print(f"  {label}: {speed:,.0f}/s without the cameras; {whole:,} pictures take {hours:.2f} core-hours")


def main(part: str = "chain", runs: str = "3") -> None:
    print(machine())
    {"chain": chain, "demo": demo, "large": large}[part](int(runs))
    print(f"a helper at most: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:,.0f} MB resident")


if __name__ == "__main__":
    main(*sys.argv[1:])
