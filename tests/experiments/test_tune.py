"""A search: its space, the people held out, and that it goes on as if it had not been stopped."""

import json
import sys

import pytest
import yaml

from strongreid.cli import main
from strongreid.config import tiny
from strongreid.data.readers import read_dataset
from strongreid.errors import InputError
from strongreid.experiments.holdout import hold_out
from strongreid.experiments.records import load_experiment
from strongreid.experiments.sets import read_set
from strongreid.experiments.settings import config_of, value_of
from strongreid.experiments.space import DEFAULT, Dimension, parse_space

SPACE = ["optim.lr=1e-4..1e-2:log", "model.neck=bnneck,none", "optim.warmup_epochs=0..2"]


@pytest.fixture
def tune(recipe, sets, plain_runs):
    def run(output, *arguments):
        words = ["tune", "--config", str(recipe), "--sets", f"a={sets['a']}", "--output", str(output), "--quiet"]
        words += ["--space", *SPACE, "--validation", "0.4", "--batch.identities", "2"]
        return main([*words, *map(str, arguments)])

    return run


def trials_of(found):
    return [(row.label, row.plan.overrides, row.mean("mAP", "validation")) for row in found.rows]


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(tune, tmp_path, capsys, monkeypatch):
    assert tune(tmp_path / "whole", "--trials", 4) == 0
    whole = load_experiment(tmp_path / "whole")
    assert [row.name for row in whole.rows] == ["recipe", "trial-1", "trial-2", "trial-3", "trial-4"]
    assert len({json.dumps(row.plan.overrides) for row in whole.rows}) == 5

    from strongreid.experiments import jobs

    train, begun = jobs._train, []

    def stop(job, progress):
        begun.append(job)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return train(job, progress)

    monkeypatch.setattr(jobs, "_train", stop)
    assert tune(tmp_path / "broken", "--trials", 3) == 130
    assert tune(tmp_path / "broken", "--trials", 3) == 0
    assert tune(tmp_path / "broken", "--trials", 4) == 0, "more trials can be asked for"
    assert len(begun) == 6, "five runs, one of them begun twice"
    assert trials_of(load_experiment(tmp_path / "broken")) == trials_of(whole)


def test_the_best_settings_are_a_configuration_file(tune, tmp_path, sets, capsys):
    assert tune(tmp_path / "out", "--trials", 2) == 0
    found = load_experiment(tmp_path / "out")
    best = max(found.rows, key=lambda row: row.mean("mAP", "validation"))
    config = config_of(yaml.safe_load((tmp_path / "out/best.yaml").read_text()))
    for name, value in best.plan.overrides.items():
        assert value_of(config, name) == value
    assert config.data.root == str(sets["a"].resolve())
    printed = capsys.readouterr().out
    assert "3 settings tried, the recipe among them" in printed
    assert best.label in printed
    words = ["experiment", "seeds", "--config", str(tmp_path / "out/best.yaml"), "--seeds", "1", "--quiet"]
    assert main([*words, "--output", str(tmp_path / "best")]) == 0
    assert [column.name for column in load_experiment(tmp_path / "best").columns] == ["a"]


def test_another_search_in_the_folder_is_refused(tune, tmp_path, capsys):
    assert tune(tmp_path / "out", "--trials", 1) == 0
    assert tune(tmp_path / "out", "--trials", 1, "--measure", "rank1") == 2
    assert "with other settings (search.measure: mAP, now rank1)" in capsys.readouterr().err


def test_the_people_held_out_are_not_trained_on_and_the_test_is_not_touched(sets, tmp_path):
    whole = read_set("a", "market1501", sets["a"])
    folder = hold_out(whole, tmp_path / "out", 0.5, 0)
    dataset = read_dataset("market1501", folder)
    trained, asked = ({r.identity for r in split} for split in (dataset.train, dataset.query))
    assert len(trained) == len(asked) == 3
    assert not trained & asked
    content = {record.path.read_bytes() for split in (dataset.train, dataset.gallery) for record in split}
    assert content == {record.path.read_bytes() for record in whole.dataset.train}
    assert {(r.identity, r.camera) for r in dataset.query} == {(i, c) for i in asked for c in (1, 2)}
    assert len(dataset.query) == 6
    assert len(dataset.gallery) == 12
    before = (folder / "holdout.json").stat().st_mtime_ns
    hold_out(whole, folder, 0.5, 0)
    assert (folder / "holdout.json").stat().st_mtime_ns == before
    hold_out(whole, folder, 0.5, 1)
    assert {r.identity for r in read_dataset("market1501", folder).query} != asked
    with pytest.raises(InputError, match="above 0 and below 1, got 1"):
        hold_out(whole, folder, 1, 0)


def test_a_space_is_lists_and_ranges():
    space = parse_space(
        [*SPACE, "augment.erasing=0..0.7", "loss.margin=0.3,null", "optim.per_step=true,false"], tiny()
    )
    assert space == [
        Dimension("optim.lr", low=1e-4, high=1e-2, log=True),
        Dimension("model.neck", ("bnneck", "none")),
        Dimension("optim.warmup_epochs", low=0, high=2, whole=True),
        Dimension("augment.erasing", low=0, high=0.7),
        Dimension("loss.margin", (0.3, None)),
        Dimension("optim.per_step", (True, False)),
    ]
    assert len(parse_space(DEFAULT, tiny())) == 7


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optim.lr", "--space takes SETTING=A,B,C"),
        ("optim.speed=1,2", r"no setting 'optim\.speed'"),
        ("run.seed=0..9", "says where a run works or how it is tested"),
        ("data.root=a,b", "says where a run works"),
        ("optim.lr=1e-2..1e-4", "is no range"),
        ("optim.lr=0..1e-2:log", "is no range"),
        ("optim.lr=a..b", "is no range"),
        ("model.neck=bnneck,nick", r"model\.neck the value 'nick'; it takes 'bnneck', 'none'"),
        ("model.neck=0..1", "give its values as A,B,C"),
        ("optim.warmup_epochs=0..1.5", "takes int"),
        ("augment.erasing=0..2", r"augment\.erasing is 2: it must be from 0 to 1"),
        ("optim.lr=0.1", "has a single value: give it as a flag, --optim.lr 0.1"),
        ("optim.per_step=1,0", "takes bool"),
    ],
)
def test_what_is_no_space_is_refused(word, message):
    with pytest.raises(InputError, match=message):
        parse_space([word], tiny())


def test_a_setting_named_twice_is_refused():
    with pytest.raises(InputError, match=r"--space names optim\.lr twice"):
        parse_space(["optim.lr=1e-4..1e-2", "optim.lr=1,2"], tiny())


def test_without_optuna_one_line_says_what_to_install(tune, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert tune(tmp_path / "out") == 2
    assert capsys.readouterr().err == "strongreid tune: a search needs optuna: pip install 'strongreid[tune]'\n"
    assert not (tmp_path / "out").exists()
