"""The verbs compare and join: what they print, draw and refuse."""

import json

import pytest
from PIL import Image
from tests.evaluation.made import made_answers, made_result

from strongreid.cli import main

WHOSE = [1, 1, 2, 2, 3, 3]


@pytest.fixture
def files(tmp_path):
    """Three saved results on the same six queries; c has no answers."""
    Image.new("RGB", (32, 64), (40, 90, 130)).save(tmp_path / "picture.png")
    answers = made_answers([str(tmp_path / "picture.png")] * 3, [[True, False, True]] * 6)
    made_result([0.9, 0.8, 0.2, 0.3, 0.1, 0.9], WHOSE, answers=answers).save(tmp_path / "a.json")
    made_result([0.9, 0.9, 0.7, 0.8, 0.2, 0.4], WHOSE, answers=answers).save(tmp_path / "b.json")
    made_result([0.8, 0.7, 0.2, 0.3, 0.1, 0.9], WHOSE).save(tmp_path / "c.json")
    return tmp_path


@pytest.fixture
def run(capsys, files, monkeypatch):
    monkeypatch.chdir(files)

    def call(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


def test_compare_prints_differences_and_what_changed(run):
    code, out, error = run("compare", "a.json", "b.json")
    assert (code, error) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == ["A: a.json", "B: b.json"]
    assert lines[5].split()[:4] == ["mAP", "53.33", "65.00", "+11.67"]
    assert "6 queries of 3 identities" in lines
    assert "first answer right in B only: 2 queries, in A only: 1" in lines
    assert lines[-1].startswith("query/0005.jpg")


def test_compare_prints_json_alone(run):
    code, out, error = run("compare", "a.json", "b.json", "--json", "--level", "0.8", "--draws", "200", "--seed", "4")
    value = json.loads(out)
    assert (code, error) == (0, "")
    assert (value["format"], value["level"], len(value["flips"])) == ("strongreid.comparison", 0.8, 3)
    assert run("compare", "a.json", "b.json", "--json", "--level=0.8", "--draws=200", "--seed=4")[1] == out


def test_compare_draws_the_flips(run, files):
    code, out, error = run("compare", "a.json", "b.json", "--sheet", "flips.png")
    assert (code, error) == (0, "")
    assert out.splitlines()[-1] == "flips: flips.png"
    with Image.open(files / "flips.png") as sheet:
        assert sheet.height > 3 * 2 * 128
    code, out, error = run("compare", "a.json", "a.json", "--sheet", "none.png", "--json")
    assert (code, error) == (0, "no first answer changed: no sheet was drawn\n")
    assert json.loads(out)["flips"] == []
    assert not (files / "none.png").exists()


def test_join_prints_mean_and_spread(run):
    code, out, error = run("join", "a.json", "b.json", "c.json")
    assert (code, error) == (0, "")
    assert out.splitlines()[2].split()[:4] == ["mAP", "56.11", "±", "7.88"]
    assert json.loads(run("join", "a.json", "b.json", "--json", "--level", "0.9")[1])["level"] == 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "a.json"], "b"),
        (["compare", "a.json", "none.json"], "no evaluation result at none.json; evaluate first"),
        (["compare", "a.json", "picture.png"], "picture.png is damaged or no JSON"),
        (["compare", "a.json", "b.json", "--level", "95"], "above 0 and below 1, got 95"),
        (["compare", "a.json", "b.json", "--draws", "5"], "draws is at least 100, got 5"),
        (["compare", "b.json", "c.json", "--sheet", "flips.png"], "B was evaluated without keeping its answers"),
        (["compare", "a.json", "b.json", "--sheets", "x"], "Nearest: --sheet"),
        (["join"], "results"),
        (["join", "a.json", "./a.json"], "a result file is named twice"),
        (["join", "a.json", "none.json"], "no evaluation result at none.json"),
    ],
)
def test_refuses_in_one_or_two_lines(arguments, message, run, files):
    before = sorted(files.iterdir())
    code, out, error = run(*arguments)
    assert (code, out) == (2, "")
    assert message in error
    assert 1 <= len(error.strip().splitlines()) <= 2
    assert sorted(files.iterdir()) == before
