"""How fast the generated world is: the whole chain, from the plan to the JPEG on the disk.

    OMP_NUM_THREADS=1 python benchmarks/world.py chain|demo|large|memory [RUNS]

chain: pictures a second at 128x64 and 256x128, by one process and by two. Cameras are built once in each process;
their share is measured alone, so that the rate without them tells what a large set takes. demo: the set of
`make demo`, by one process and by two. large: 1,041 people x 30 pictures (the training split of MSMT17) and
10,000 x 100: a slice out of the middle, rendered, and from it the whole by calculation; the plan of the whole,
walked; an endless stream from its millionth person on. Rates are given by the clock and by the processors' time,
which other work on the machine disturbs less. memory: most resident memory of a process that writes a set, for two
numbers of people.
"""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from strongreid.synthetic.dataset import WorldSettings, identities, stream, write_set
from strongreid.synthetic.passage import World
from strongreid.synthetic.plan import make_plan

SMALL = WorldSettings(train_identities=40, test_identities=12)
SLICE = 10
MSMT17 = WorldSettings(train_identities=1041, cameras=15, camera_visibility=0.5, frames_min=3)
HUGE = WorldSettings(train_identities=10_000, cameras=15, camera_visibility=0.7, frames_min=9, frames_max=10)


ALONE = """
import sys, tempfile
from pathlib import Path
from strongreid.synthetic.dataset import WorldSettings, write_set
with tempfile.TemporaryDirectory() as folder:
    write_set(Path(folder) / "set", eval(sys.argv[1]), processes=1)
rows = Path("/proc/self/status").read_text().splitlines()
print(next(int(row.split()[1]) // 1024 for row in rows if row.startswith("VmHWM:")))
"""


def processor_seconds() -> float:
    """This process's and its ended helpers'."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Timed:
    """Work that counts its pictures, and the processors' seconds of every time that it is done."""

    def __init__(self, work: Callable[..., int], *arguments: Any) -> None:
        self.work, self.arguments = work, arguments
        self.pictures, self.all_seconds = 0, []

    def __call__(self) -> "Timed":
        began = processor_seconds()
        self.pictures = self.work(*self.arguments)
        self.all_seconds.append(processor_seconds() - began)
        return self

    @property
    def seconds(self) -> float:
        return median(self.all_seconds)


def write(folder: str, settings: WorldSettings, processes: int) -> int:
    """Write a set into a new folder inside `folder`; returns the number of pictures.

    It is not deleted before all is measured: for minutes after that, ext4 took up to half a millisecond more for each
    new file (docs/pictures.md).
    """
    summary = write_set(Path(tempfile.mkdtemp(dir=folder)) / "set", settings, processes=processes)
    return sum(summary["counts"].values())


def build_cameras(settings: WorldSettings) -> int:
    world = World(settings)
    for number in range(1, settings.cameras + 1):
        world.camera(number)
    return 0


def walk(settings: WorldSettings) -> int:
    return sum(len(subject.shots) for subject in islice(make_plan(settings), settings.train_identities))


def seek(settings: WorldSettings, first: int) -> int:
    return len(next(make_plan(settings, first, first)).shots)


def cut(settings: WorldSettings, first: int) -> int:
    return sum(len(person.images) for person in identities(settings, first, first + SLICE - 1))


def draw(settings: WorldSettings) -> int:
    return sum(len(person.images) for person in islice(stream(settings, 1_000_000), SLICE))


def report(name: str, side: Any, *apart: Any, processes: int = 1) -> float:
    """Print the rates with and without the work of `apart`; returns pictures a processor-second without it."""
    pictures, alone = side.value.pictures, sum(work.value.seconds for work in apart) * processes
    speed = pictures / (side.value.seconds - alone)
    print(
        f"  {name}: {pictures:,} pictures; {pictures / side.median:,.0f}/s by the clock, "
        f"{pictures / (side.median - sum(work.median for work in apart)):,.0f}/s without what was measured apart; "
        f"{pictures / side.value.seconds:,.0f} and {speed:,.0f} a processor-second"
    )
    return speed


def chain(runs: int, folder: str) -> None:
    for settings in (SMALL, replace(SMALL, height=256, width=128)):
        sides = {"cameras": Timed(build_cameras, settings)}
        for processes in (1, 2):
            sides[f"processes: {processes}"] = Timed(write, folder, settings, processes)
        print(f"{settings.height}x{settings.width}")
        measured = alternate(sides, runs)
        cameras = measured.pop("cameras")
        for name, side in measured.items():
            report(name, side, cameras, processes=int(name[-1]))


def demo(runs: int, folder: str) -> None:
    settings = WorldSettings(seed=7)
    sides = {"cameras": Timed(build_cameras, settings)}
    for processes in (1, 2):
        sides[f"demo, processes: {processes}"] = Timed(write, folder, settings, processes)
    measured = alternate(sides, runs)
    cameras = measured.pop("cameras")
    for name, side in measured.items():
        report(name, side, cameras, processes=int(name[-1]))


def large(runs: int, _: str) -> None:
    for settings in (MSMT17, HUGE):
        print(f"{settings.train_identities:,} people")
        works = {
            "plan of the whole": Timed(walk, settings),
            "plan up to the slice": Timed(seek, settings, settings.train_identities // 2),
            "cameras": Timed(build_cameras, settings),
            "slice of the set": Timed(cut, settings, settings.train_identities // 2),
            "slice of a stream": Timed(draw, settings),
        }
        measured = alternate(works, runs)
        plan, before, cameras = (measured[name] for name in ("plan of the whole", "plan up to the slice", "cameras"))
        pictures = plan.value.pictures
        for name, apart in (("slice of the set", (cameras, before)), ("slice of a stream", (cameras,))):
            speed = report(name, measured[name], *apart)
            hours = (pictures / speed + cameras.value.seconds + plan.value.seconds) / 3600
            print(f"    the whole, {pictures:,} pictures, takes {hours:.2f} processor-hours")


def memory(_: int, __: str) -> None:
    for settings in (SMALL, replace(SMALL, train_identities=160)):
        done = subprocess.run(
            [sys.executable, "-c", ALONE, repr(settings)], capture_output=True, text=True, check=True
        )
        print(f"alone in a process, {settings.train_identities} people: at most {done.stdout.strip()} MB resident")


def main(part: str = "chain", runs: str = "3") -> None:
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        {"chain": chain, "demo": demo, "large": large, "memory": memory}[part](int(runs), folder)


if __name__ == "__main__":
    from measure import alternate, machine  # it imports torch, which helpers need not wait for

    main(*sys.argv[1:])
