"""Every command and snippet of the README runs, at a small size."""

import re
import runpy
import shlex
import subprocess
from pathlib import Path

import pytest

from strongreid import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SMALLER = {
    "synthesize": ["--train_identities", "16", "--test_identities", "12", "--processes", "1", "--quiet"],
    "inspect": [],
    "train": ["--optim.epochs", "1", "--run.threads", "1", "--quiet"],
    "evaluate": ["--quiet"],
    "extract": ["--quiet"],
    "compare": ["--draws", "200"],
    "calibrate": ["--quiet", "--fpr", "0.1"],
    "experiment": ["--run.threads", "1"],
}


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands():
    lines = [line.split(" #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line]


def test_commands_and_snippets_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ours = [shlex.split(line)[1:] for line in commands() if line.startswith("strongreid ")]
    assert [words[0] for words in ours] == [
        *("synthesize", "inspect", "train", "evaluate", "extract", "evaluate", "evaluate", "compare", "calibrate"),
        *("train", "experiment"),
    ]
    *ours, market, experiment = ours
    for words in [*ours, experiment]:
        assert cli.main([*words, *SMALLER[words[0]]]) == 0, words
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    assert "Rank-1" in capsys.readouterr().out
    # One command needs Market-1501; its folder is absent here, and that is what it says.
    assert cli.main(market) == 2
    assert "data/Market-1501" in capsys.readouterr().err


def test_make_targets_exist_and_other_commands_are_known():
    for line in commands():
        words = shlex.split(line)
        if words[0] == "make":
            done = subprocess.run(["make", "-n", words[1]], cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        else:
            assert words[0] in ("strongreid", "git", "pip"), line


def test_the_trick_table_names_real_places_and_switches():
    rows = re.findall(
        r"^\| [\w -]+ \| `([\w/]+\.py)` `(\w+)` \| `([\w.]+)=(\w[\w.]*)` \| (\w+) \|$", README, flags=re.MULTILINE
    )
    assert len(rows) == 6
    from strongreid.config import bag_of_tricks, plain_baseline

    for file, name, switch, on, off in rows:
        assert re.search(
            rf"^(?:def|class) {name}\b", (ROOT / "src/strongreid" / file).read_text(), flags=re.MULTILINE
        )
        room, key = switch.split(".")
        assert str(bag_of_tricks().to_dict()[room][key]) == on
        assert str(plain_baseline().to_dict()[room][key]) == off


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), target


def test_examples_run(tmp_path, monkeypatch, capsys):
    runpy.run_path(str(ROOT / "examples/parts_alone.py"), run_name="__main__")
    example = runpy.run_path(str(ROOT / "examples/train_and_rank.py"))
    example["main"](str(tmp_path / "example"), train_identities=16, epochs=1)
    out = capsys.readouterr().out
    assert "learning rate by epoch: [3.5e-05, 0.00035, 0.00035, 3.5e-05, 3.5e-06]" in out
    assert out.count(".jpg") == 5
    for script in (ROOT / "examples").glob("*.py"):
        assert len(script.read_text().splitlines()) <= 40
