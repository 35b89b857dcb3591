"""A run killed at any moment goes on and ends as if it had not been killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.training.test_loop import configure

from strongreid.errors import InputError
from strongreid.model.weights import load_model
from strongreid.training import loop
from strongreid.training.checkpoint import load_state

SCRIPT = """
import sys, time
from strongreid.training import loop, checkpoint
from tests.training.test_loop import configure
root, output, slow = sys.argv[1:]
if slow == "saving":  # die inside the write of the state: the temporary file exists, the rename has not happened
    whole = checkpoint.torch.save
    def torn(content, path):
        whole(content, path)
        if content["state"]["epoch"] == 2:
            path.write_bytes(path.read_bytes()[:1000])
            print("now", flush=True)
            time.sleep(60)
    checkpoint.torch.save = torn
if slow == "training":  # die in the middle of an epoch, with the models of the epoch before written
    step = loop.RunLog.step
    def pause(self):
        step(self)
        if self._epoch == 3:
            print("now", flush=True)
            time.sleep(60)
    loop.RunLog.step = pause
if slow == "model":  # die between the two renames of a model folder
    from pathlib import Path
    rename = Path.replace
    def half(self, target):
        result = rename(self, target)
        if Path(target).name == ".last.old":
            print("now", flush=True)
            time.sleep(60)
        return result
    Path.replace = half
config = configure(root, output, optim={"epochs": 4})
loop.train(config, resume=True, progress=False)
"""


def weights(run):
    state = torch.load(run / "state.pt", weights_only=True)
    return state["model"] | {f"criterion.{k}": v for k, v in state["criterion"].items()}


@pytest.mark.parametrize("moment", ["training", "saving", "model"])
def test_kill_9_and_resume_end_with_bit_identical_weights(market, tmp_path, moment):
    loop.train(configure(market, tmp_path / "whole", optim={"epochs": 4}), progress=False)
    broken = tmp_path / "broken"
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(market), str(broken), moment],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    assert process.stdout.readline() == b"now\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    result = loop.train(configure(market, broken, optim={"epochs": 4}), resume=True, progress=False)
    expected = weights(tmp_path / "whole")
    found = weights(broken)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    kept = {"epoch", "identity", "triplet", "center", "lr", "mAP"}
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if k in kept}
            for line in (run / "log.jsonl").read_text().splitlines()
        ]
        for run in (tmp_path / "whole", broken)
    ]
    assert logs[0] == logs[1]
    assert result.mAP == logs[0][-1]["mAP"]
    assert not [path for path in broken.iterdir() if path.name.startswith(".")]


def test_resuming_a_finished_run_changes_nothing(market, tmp_path):
    config = configure(market, tmp_path / "run")
    first = loop.train(config, progress=False)
    before = weights(tmp_path / "run")
    again = loop.train(config, resume=True, progress=False)
    assert again.mAP == first.mAP
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(tmp_path / "run").items())


def test_other_settings_are_refused_and_named(market, tmp_path):
    loop.train(configure(market, tmp_path / "run", optim={"epochs": 1}), progress=False)
    with pytest.raises(InputError, match=r"optim.lr: 0.002, now 0.1"):
        loop.train(configure(market, tmp_path / "run", optim={"epochs": 1, "lr": 0.1}), resume=True, progress=False)


def test_a_torn_state_is_refused_and_the_models_still_load(market, tmp_path):
    config = configure(market, tmp_path / "run", optim={"epochs": 1})
    loop.train(config, progress=False)
    state = tmp_path / "run/state.pt"
    state.write_bytes(state.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"state\.pt is corrupt or not a training state"):
        load_state(state, config.to_dict())
    assert load_model(tmp_path / "run/last").training["epoch"] == 1


def test_a_full_disk_while_saving_keeps_the_state_before(market, tmp_path, monkeypatch):
    from strongreid.training import checkpoint

    config = configure(market, tmp_path / "run", optim={"epochs": 3})
    save = torch.save

    def full(content, path):
        if content["state"]["epoch"] == 2:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(content, path)

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(InputError, match=r"No space left on device\. What was there before is intact"):
        loop.train(config, progress=False)
    assert load_state(tmp_path / "run/state.pt", config.to_dict())["state"]["epoch"] == 1
    monkeypatch.undo()
    loop.train(config, resume=True, progress=False)
    loop.train(configure(market, tmp_path / "whole", optim={"epochs": 3}), progress=False)
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(tensor, weights(tmp_path / "run")[name]), name
