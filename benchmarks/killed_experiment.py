"""Kill an experiment at random moments, finish it, and hold its table and models against an unbroken one.

    python benchmarks/killed_experiment.py FOLDER [--kills 10] [--jobs 1] [--seed 0]

Every part is a process of the command line, killed with SIGKILL at a moment drawn from the time after a run began: of
every second part after it was announced, so while it starts and decodes, of the others after the first line in a log,
so while it trains, evaluates or writes. With `--jobs 2` and more its own processes go with it.
"""

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from strongreid.synthetic.dataset import WorldSettings, synthesize

WORLD = WorldSettings(train_identities=40, test_identities=20, height=64, width=32)


PIPES = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}


def command(data: Path, output: Path, jobs: int) -> list[str]:
    recipe = "--preset tiny --data.height 64 --data.width 32 --optim.epochs 4 --eval.every 2 --run.threads 1 --quiet"
    words = ["experiment", "image-size", "--sizes", "64x32", "32x32", "--seeds", "3", "--sets", f"world={data}"]
    words += [*recipe.split(), "--jobs", str(jobs), "--output", str(output)]
    return [sys.executable, "-m", "strongreid.cli", *words]


def wait_for_work(process: subprocess.Popen, output: Path, logged: bool) -> None:
    """Until it says that a run begins or, with `logged`, until a run's log has grown; or till it ends."""
    before = log_bytes(output)
    for line in process.stderr:
        if line.startswith("["):
            break
    while logged and process.poll() is None and log_bytes(output) == before:
        time.sleep(0.01)


def log_bytes(output: Path) -> int:
    return sum(file.stat().st_size for file in output.glob("runs/*/log.jsonl"))


def content(output: Path) -> dict[str, str]:
    """The tables, results and models, by their names; the page and the logs have times in them."""
    files = [output / "table.txt", *output.glob("runs/*/results/*.json"), *output.glob("runs/*/last/*.safetensors")]
    return {str(file.relative_to(output)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    data, unbroken = arguments.folder / "world", arguments.folder / "whole"
    broken = arguments.folder / "broken"
    if unbroken.exists() or broken.exists():
        sys.exit(f"{arguments.folder} holds an earlier trial, which would leave nothing to kill: give a new folder")
    synthesize(data, WORLD, processes=1)
    whole = subprocess.Popen(command(data, unbroken, arguments.jobs), **PIPES)
    wait_for_work(whole, unbroken, logged=True)
    began = time.perf_counter()
    whole.communicate()
    seconds = time.perf_counter() - began
    if whole.returncode:
        sys.exit(f"the unbroken experiment ended with code {whole.returncode}")
    print(f"unbroken: {seconds:.1f} s of work", flush=True)
    draw = random.Random(arguments.seed)
    for number in range(arguments.kills):
        process = subprocess.Popen(command(data, broken, arguments.jobs), **PIPES)
        wait_for_work(process, broken, logged=number % 2 > 0)
        moment = draw.uniform(0, 2 * seconds / arguments.kills)
        time.sleep(moment)
        if process.poll() is not None:
            print(f"it ended before kill {number + 1}", flush=True)
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        begun, cells = len(list(broken.glob("runs/*/log.jsonl"))), len(list(broken.glob("runs/*/cell.json")))
        print(f"{number + 1}: killed after {moment:.1f} s, with {begun} of 6 runs begun, {cells} done", flush=True)
    subprocess.run(command(data, broken, arguments.jobs), check=True, capture_output=True)
    expected, found = content(unbroken), content(broken)
    differing = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    print(f"{len(expected)} files (table, results, models): " + (f"DIFFERENT: {differing}" if differing else "equal"))
    print((broken / "table.txt").read_text())
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
