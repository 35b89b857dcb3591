"""The verb serve: what it prints, what it refuses, and that it ends well."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
import torch
from tests.web.made import person

from strongreid.cli import main
from strongreid.gallery import Gallery
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, save_model


@pytest.fixture(scope="module")
def model(in_memory_folder):
    torch.manual_seed(0)
    folder = in_memory_folder / "model"
    save_model(
        folder, ReIDModel("resnet10_w16", identities=3, pretrained=False, image_size=(64, 32)), InputSpec(64, 32)
    )
    return folder


@pytest.fixture(scope="module")
def filled(in_memory_folder, model):
    folder = in_memory_folder / "served.gallery"
    (in_memory_folder / "served").mkdir()
    person(1).save(in_memory_folder / "served" / "0001_c1.png")
    assert (
        main(["gallery", "add", str(folder), str(in_memory_folder / "served"), "--model", str(model), "--quiet"]) == 0
    )
    return folder


def refused(capsys, *arguments):
    assert main(["serve", *map(str, arguments)]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    return error


def test_from_start_to_end(filled, model, in_memory_folder, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("STRONGREID_TOKEN", "a token of the environment")
    command = [sys.executable, "-m", "strongreid.cli", "serve", str(filled), "--model", str(model)]
    options = ["--device", "cpu", "--port", "0", "--pictures", str(in_memory_folder / "served"), "--quiet"]
    server = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = server.stdout.readline()
        address = line.split()[1]
        assert line == f"open {address} (1 entries; Ctrl-C ends it)\n"
        assert server.stdout.readline() == "token: a token of the environment\n"
        request = urllib.request.Request(
            f"{address}/api/info", headers={"Authorization": "Bearer a token of the environment"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert json.load(answer)["entries"] == 1
            assert "server" not in answer.headers
        with pytest.raises(urllib.error.HTTPError, match="401") as without:
            urllib.request.urlopen(f"{address}/api/info", timeout=20)
        without.value.close()
        monkeypatch.delenv("STRONGREID_TOKEN")
        error = refused(capsys, filled, "--model", model, "--port", 0, "--device", "cpu")
        assert f"is open in process {server.pid}, and one process at a time may use it" in error
        port = address.rpartition(":")[2]
        assert "Address already in use" in refused(capsys, filled, "--model", model, "--port", port)
    finally:
        server.send_signal(signal.SIGTERM)
        out, error = server.communicate(timeout=60)
    assert (server.returncode, out, error) == (0, "stopped\n", ""), "no token, and nothing else, in a log"
    with Gallery(filled) as opened:
        assert len(opened) == 1


def test_what_is_wrong_is_said_in_a_line(capsys, tmp_path, filled, model, monkeypatch):
    monkeypatch.delenv("STRONGREID_TOKEN", raising=False)
    ask = [filled, "--model", model, "--device", "cpu", "--port", 0]
    for options, message in (
        (["--pictures", tmp_path / "none"], "there is no folder"),
        (["--token", "short"], "a token has 16 or more"),
        (["--host", "no.such.host.invalid"], "cannot listen on port 0 of no.such.host.invalid"),
        (["--host", "192.0.2.1"], "cannot listen"),
        (["--port", 70000], "cannot listen on port 70000"),
        (["--feature", "f_t"], "the gallery holds features of the model"),
        (["--model", tmp_path], "is not a model folder"),
    ):
        assert message in refused(capsys, *ask, *options)


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn"])
def test_a_missing_extra_is_one_line(capsys, monkeypatch, filled, model, missing):
    for name in [name for name in sys.modules if name.startswith("strongreid.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    error = refused(capsys, filled, "--model", model)
    assert error == f"strongreid serve needs {missing}: pip install 'strongreid[web]'\n"


def test_an_address_beyond_loopback_prints_a_token(monkeypatch, filled, model, capsys):
    from strongreid.cli import web

    ran = []
    monkeypatch.setattr(web, "_run", lambda *given: ran.append(given[2].getsockname()))
    monkeypatch.delenv("STRONGREID_TOKEN", raising=False)
    base = ["serve", str(filled), "--model", str(model), "--port", "0", "--device", "cpu"]
    assert main([*base, "--host", "0.0.0.0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"open http://{socket.gethostname()}:{ran[0][1]} ")
    assert len(lines[1].removeprefix("token: ")) >= 40
    assert lines[2].startswith("no pictures are shown")
    assert main(base) == 0
    assert "token" not in capsys.readouterr().out
