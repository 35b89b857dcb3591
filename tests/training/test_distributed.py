"""Two processes train as one: same losses, same weights; one that dies is named by the other."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.test_loop import configure

from strongreid.distributed import environment_rank
from strongreid.errors import InputError
from strongreid.training.loop import train

SCRIPT = """
import json, sys, time
from strongreid.errors import InputError
from strongreid.distributed import LostProcessError
from strongreid.training import loop
from tests.training.test_loop import configure
root, output, rooms, resume, moment = sys.argv[1:]
if moment != "never":
    save = loop.save_state
    def stop(path, state, parts, settings):
        save(path, state, parts, settings)
        if state.epoch == int(moment):
            print("saved", flush=True)
            time.sleep(60)
    loop.save_state = stop
config = configure(root, output, **json.loads(rooms))
try:
    loop.train(config, resume=resume == "resume", progress=False)
except (InputError, LostProcessError) as error:
    print(type(error).__name__, error, flush=True)
    sys.exit(2)
"""

SGD = {"epochs": 2, "algorithm": "sgd", "lr": 0.01, "warmup_epochs": 0, "per_step": True, "schedule": "cosine"}
GLOBAL = {"gather": True, "sync_bn": True}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(root, output, rooms, *, size=2, resume=False, moments=None):
    """As many processes as `torchrun` would start, and with what it tells them."""
    port, processes = str(free_port()), []
    for rank in range(size):
        moment = str((moments or {}).get(rank, "never"))
        environment = os.environ | {
            "PYTHONPATH": str(Path.cwd()), "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        arguments = [str(root), str(output), json.dumps(rooms), "resume" if resume else "fresh", moment]
        processes.append(
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", SCRIPT, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
        )
    return processes


def finish(processes):
    outputs = [process.communicate(timeout=240) for process in processes]
    return [process.returncode for process in processes], [out for out, _ in outputs], [err for _, err in outputs]


def in_two(root, output, rooms, **options):
    codes, said, errors = finish(start(root, output, rooms, **options))
    assert codes == [0, 0], (said, errors[0][-3000:], errors[1][-3000:])


def state_of(run):
    return torch.load(run / "state.pt", weights_only=True)


def means_of(run):
    events = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return np.array([[e["identity"], e["triplet"], e["center"]] for e in events if e["event"] == "epoch"])


def test_two_processes_equal_one_with_the_same_global_batch(market, tmp_path):
    """Statistics and triplets are global, so that only the order of sums differs."""
    run = {"run": {"output": "", "threads": 1, "winograd": False}, "optim": SGD}
    one = run | {"batch": {"identities": 4, "images": 2}, "run": run["run"] | {"output": str(tmp_path / "one")}}
    two = run | {
        "batch": {"identities": 2, "images": 2} | GLOBAL,
        "run": run["run"] | {"output": str(tmp_path / "two")},
    }
    train(configure(market, tmp_path / "one", **one), progress=False)
    in_two(market, tmp_path / "two", two)
    np.testing.assert_allclose(means_of(tmp_path / "two"), means_of(tmp_path / "one"), rtol=1e-4)
    alone, together = state_of(tmp_path / "one"), state_of(tmp_path / "two")
    for part in ("model", "criterion"):
        for name, tensor in alone[part].items():
            torch.testing.assert_close(together[part][name], tensor, rtol=1e-3, atol=1e-4, msg=name)
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("one", "two")]
    assert results[0]["queries"] == results[1]["queries"]
    present = {path.name for path in (tmp_path / "two").iterdir()}
    assert {"best", "last", "state.pt", "result.json", "table.txt", "curves.png", "ranks.png", "store"} <= present


def test_without_the_switches_statistics_and_triplets_are_each_process_s_own(market, tmp_path):
    rooms = {"batch": {"identities": 2, "images": 2}, "optim": SGD | {"epochs": 1}, "run": {"threads": 1}}
    for name, extra in (("own", {}), ("global", GLOBAL)):
        changed = rooms | {"batch": rooms["batch"] | extra, "run": {"threads": 1, "output": str(tmp_path / name)}}
        in_two(market, tmp_path / name, changed)
    assert not np.allclose(means_of(tmp_path / "own"), means_of(tmp_path / "global"), rtol=1e-3)


def test_two_processes_that_are_killed_resume_to_the_same_weights(market, tmp_path):
    optim = SGD | {"epochs": 3, "algorithm": "adam", "freeze": [1, 2]}  # what is exchanged changes twice
    rooms = {"batch": {"identities": 2, "images": 2} | GLOBAL, "optim": optim}
    rooms["run"] = {"threads": 1, "output": str(tmp_path / "whole")}
    in_two(market, tmp_path / "whole", rooms)
    rooms["run"] = {"threads": 1, "output": str(tmp_path / "broken")}
    processes = start(market, tmp_path / "broken", rooms, moments={0: 1})
    assert processes[0].stdout.readline() == "saved\n"
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    in_two(market, tmp_path / "broken", rooms, resume=True)
    whole, broken = state_of(tmp_path / "whole"), state_of(tmp_path / "broken")
    for part in ("model", "criterion"):
        assert all(torch.equal(tensor, broken[part][name]) for name, tensor in whole[part].items())


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies_is_named_by_the_other(market, tmp_path, victim):
    rooms = {"batch": {"identities": 2, "images": 2}, "optim": {"epochs": 200}, "eval": {"every": 0}}
    rooms["run"] = {"threads": 1, "output": str(tmp_path / "run"), "timeout": 30}
    processes = start(market, tmp_path / "run", rooms)
    log = tmp_path / "run/log.jsonl"
    until = time.monotonic() + 120
    while time.monotonic() < until and not (log.is_file() and '"epoch"' in log.read_text()):
        time.sleep(0.2)
    processes[victim].send_signal(signal.SIGKILL)
    died = time.monotonic()
    out, error = processes[1 - victim].communicate(timeout=60)
    assert time.monotonic() - died < 45
    assert processes[1 - victim].returncode == 2, error[-3000:]
    assert f"LostProcessError lost process {victim}" in out
    processes[victim].communicate()


def test_more_processes_than_the_identities_allow_are_refused_by_all(market, tmp_path):
    rooms = {"batch": {"identities": 3, "images": 2}, "run": {"threads": 1, "output": str(tmp_path / "run")}}
    codes, said, _ = finish(start(market, tmp_path / "run", rooms))
    assert codes == [2, 2]
    for out in said:
        assert "2 processes with 3 identities each need 6 identities" in out
        assert "at most 1 processes, or lower --batch.identities to at most 2" in out
    assert not (tmp_path / "run").exists()


def test_what_torchrun_says_is_understood_and_nonsense_refused(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert environment_rank() == (0, 1, 0)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(InputError, match=r"WORLD_SIZE='4'.* do not fit together: start the processes with torchrun"):
        environment_rank()
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert environment_rank() == (3, 4, 1)
    monkeypatch.setenv("RANK", "4")
    with pytest.raises(InputError, match="RANK='4'"):
        environment_rank()
