"""Experiments end to end on tiny data: what is run, what is shared, what is refused."""

import json
import re
import subprocess
import sys
import time

import pytest
import yaml

from strongreid.cli import main
from strongreid.config import tiny
from strongreid.evaluation import EvalResult
from strongreid.experiments import running
from strongreid.experiments.estimate import measure
from strongreid.experiments.jobs import Job, build_stores
from strongreid.experiments.records import load_experiment
from strongreid.experiments.running import _spread, run_jobs, visible_gpus
from strongreid.experiments.sets import read_set
from strongreid.experiments.settings import changed, config_of
from strongreid.experiments.stored import read_cell
from strongreid.extraction import Extractor, evaluate_model
from strongreid.training import loop


def runs_of(experiment):
    return {cell.run.name for row in experiment.rows for cell in row.cells}


def times_of(experiment):
    """When each run began, by its log."""
    return {cell.run.name: cell.log()[0]["time"] for row in experiment.rows for cell in row.cells}


def test_the_ladder_adds_one_trick_at_a_time_to_the_plain_baseline(ladder):
    assert [row.name for row in ladder.rows] == [
        "baseline", "warm-up", "erasing", "smoothing", "stride", "bnneck", "center",
    ]  # fmt: skip
    used = [config_of(json.loads((row.cells[0].run / "config.json").read_text())) for row in ladder.rows]
    switches = [
        (c.optim.warmup_epochs, c.augment.erasing, c.loss.label_smoothing, c.model.last_stride, c.model.neck,
         c.loss.center_weight) for c in used
    ]  # fmt: skip
    off, on = (0, 0, 0, 2, "none", 0), (1, 0.5, 0.1, 1, "bnneck", 0.0005)
    assert switches == [on[:number] + off[number:] for number in range(7)]
    assert ladder.planned == ladder.finished == 7 * 2 * 2
    assert len(runs_of(ladder)) == 14


def test_cells_hold_what_the_saved_models_give(ladder, sets):
    for name in ("a", "b"):
        cell = ladder.row("stride").of(name if name == "a" else "a -> b")[1]
        assert cell.seed == 1
        again = evaluate_model(Extractor(cell.run / "last", device="cpu"), sets[name])
        assert (cell.mAP, cell.rank1, cell.mINP) == (again.mAP, again.rank(1), again.mINP)
        assert cell.result().mAP == cell.mAP
    assert EvalResult.load(ladder.row("stride").of("a")[0].path).answers is not None, "of the first seed"
    assert EvalResult.load(ladder.row("stride").of("a")[1].path).answers is None


def test_a_finished_run_keeps_its_model_and_log_and_nothing_large(ladder):
    cell = ladder.row("center").cells[0]
    left = {path.name for path in cell.run.iterdir()}
    assert {"last", "log.jsonl", "config.json", "cell.json", "results"} <= left
    assert not {"state.pt", "best", "store"} & left
    assert cell.minutes > 0


def test_asking_again_runs_nothing(ladder, call, sets):
    before = times_of(ladder)
    again = call("tricks", ladder.folder, "--seeds", 2, "--also_test", f"b={sets['b']}")
    assert times_of(again) == before
    assert [row.cells for row in again.rows] == [row.cells for row in ladder.rows]


def test_what_two_experiments_share_is_trained_once(ladder, call, tmp_path):
    """Table 2 takes two rows of table 1: without BNNeck, and with it (no center loss)."""
    runs = ladder.folder / "runs"
    before = {path.name for path in runs.iterdir()}
    found = call("features", tmp_path / "features", "--seeds", 2, "--runs", runs)
    assert {path.name for path in runs.iterdir()} == before
    assert len(runs_of(found)) == 4
    assert [row.name for row in found.rows] == [
        "no-bnneck", "f_t-euclidean", "f_t-cosine", "f_i-euclidean", "f_i-cosine",
    ]  # fmt: skip
    assert found.row("f_i-cosine").mean("mAP", "a") == ladder.row("bnneck").mean("mAP", "a")
    cell = found.row("f_t-euclidean").of("a")[0]
    result = cell.result()
    model = Extractor(cell.run / "last", device="cpu", feature="f_t")
    assert result.metric == "euclidean"
    data = found.data["a"]
    assert result.mAP == evaluate_model(model, data.root, metric="euclidean").mAP


def test_leave_one_out_compares_with_all_six(left_out, ladder):
    assert left_out.name == "leave-one-out"
    assert [row.label for row in left_out.rows][:3] == ["all six", "without warm-up", "without random erasing"]
    shared = left_out.row("full").of("a")[0], left_out.row("no-center").of("a")[0]
    assert [cell.run.name for cell in shared] == [ladder.row(n).of("a")[0].run.name for n in ("center", "bnneck")]
    assert {row.plan.reference for row in left_out.rows} == {"", "full"}


def test_more_seeds_go_on_from_what_is_there(ladder, call, tmp_path):
    runs = ladder.folder / "runs"
    assert call("seeds", tmp_path / "out", "--seeds", 1, "--runs", runs).seeds == (0,)
    found = call("seeds", tmp_path / "out", "--seeds", 2, "--runs", runs)
    assert found.seeds == (0, 1)
    assert found.rows[0].spread("mAP", "a") == ladder.row("center").spread("mAP", "a")


def test_cross_domain_tests_on_other_sets_only(left_out, ladder, call, sets, tmp_path):
    more = ("--also_test", f"b={sets['b']}", "--runs", ladder.folder / "runs", "--seeds", 1)
    found = call("cross-domain", tmp_path / "out", *more)
    assert [column.name for column in found.columns] == ["a -> b"]
    assert found.rows[-1].label == "all but random erasing"
    assert found.rows[-1].plan.overrides == {"augment.erasing": 0.0}
    assert found.rows[-1].cells[0].run.name == left_out.row("no-erasing").cells[0].run.name
    assert found.row("bnneck").mean("mAP", "a -> b") == ladder.row("bnneck").of("a -> b")[0].mAP


@pytest.mark.slow
def test_a_process_of_its_own_gives_what_this_one_gives(call, recipe, sets, tmp_path, monkeypatch):
    """One process, since importing torch takes most of the time; `--jobs 2` starts two of them."""
    monkeypatch.setattr(running, "run_jobs", lambda jobs, _workers, say, **_: _spread(jobs, 1, say))
    found = call("batch-size", tmp_path / "there", "--batches", "2x2", "3x2", "--seeds", 1)
    monkeypatch.undo()
    monkeypatch.setattr(loop, "write_report", lambda *_: "")
    here = call("batch-size", tmp_path / "here", "--batches", "2x2", "3x2", "--seeds", 1)
    for row in ("2x2", "3x2"):
        assert found.row(row).of("a")[0].result().json() == here.row(row).of("a")[0].result().json()
    assert (found.row("2x2").cells[0].run / "output.txt").read_text().startswith("running on cpu, 1 threads")


WORKER = """
import json, os, sys, time
for line in sys.stdin:
    job = json.loads(line)
    seed = job["config"]["run"]["seed"]
    if seed == 3:
        os._exit(9)
    time.sleep(0.1)
    place = os.environ["CUDA_VISIBLE_DEVICES"], os.environ["OMP_NUM_THREADS"], job["config"]["run"]["threads"]
    print(json.dumps({"run": job["fingerprint"], "error": f"{os.getpid()} {place}" if seed else None}), flush=True)
"""


def test_runs_are_spread_and_one_that_dies_is_replaced(tmp_path, monkeypatch):
    """Workers that train nothing: each answers with who it is, and dies of one job."""
    start = subprocess.Popen
    monkeypatch.setattr(running.subprocess, "Popen", lambda _, **more: start([sys.executable, "-c", WORKER], **more))
    monkeypatch.setattr(running, "visible_gpus", lambda: ["4", "7"])
    monkeypatch.setattr(running, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    jobs = [
        Job(f"run{seed}", tmp_path, changed(tiny(), {"run.seed": seed}), (), (f"cell {seed}",)) for seed in range(9)
    ]
    said = []
    failed = run_jobs(jobs, 2, said.append)
    assert sorted(failed) == [f"run{seed}" for seed in range(1, 9)], "seed 0 went well"
    assert "ended with code 9: killed, or out of memory" in failed["run3"]
    assert read_cell(tmp_path / "run3")["failed"] == failed["run3"]
    answers = {text for name, text in failed.items() if name != "run3"}
    assert {text.split(" ", 1)[1] for text in answers} == {"('4', '4', 4)", "('7', '4', 4)"}
    assert len({text.split()[0] for text in answers}) >= 2
    assert sum(line.startswith("[") for line in said) == 9


def test_a_named_store_has_a_folder_for_each_set_and_size(call, sets, tmp_path):
    store = tmp_path / "store"
    arguments = ("--sizes", "64x32", "32x32", "--seeds", 1, "--data.store", store)
    found = call("image-size", tmp_path / "out", *arguments)
    kept = sorted(store.iterdir())
    assert [path.name.rsplit("-", 1)[1] for path in kept] == ["32x32", "64x32"]
    assert {path.name for path in kept[0].iterdir()} == {"train", "query", "gallery"}
    config = config_of(json.loads((found.row("32x32").cells[0].run / "config.json").read_text()))
    before = (kept[0] / "train/pictures.npy").stat().st_mtime_ns
    build_stores([Job("x", tmp_path, config, ())], progress=False)
    assert (kept[0] / "train/pictures.npy").stat().st_mtime_ns == before


def test_a_run_that_fails_is_named_and_the_others_go_on(call, tmp_path, capsys, monkeypatch):
    train_epoch = loop.train_epoch

    def fail(run, *rest):
        if run.config.data.width == 48:
            raise loop.NonFiniteLossError("the loss is not finite")
        return train_epoch(run, *rest)

    monkeypatch.setattr(loop, "train_epoch", fail)
    arguments = ("--sizes", "64x48", "64x32", "--seeds", 1)
    found = call("image-size", tmp_path / "out", *arguments, code=2)
    assert "failed: 64 x 48, a, seed 0: the loss is not finite" in capsys.readouterr().err
    assert (found.finished, found.planned) == (1, 2)
    assert "the loss is not finite" in next(iter(found.failed.values()))
    monkeypatch.undo()
    monkeypatch.setattr(loop, "write_report", lambda *_: "")
    found = call("image-size", tmp_path / "out", *arguments)
    assert (found.finished, found.failed) == (2, {})


def test_the_plan_estimates_and_writes_nothing(recipe, sets, tmp_path, capsys):
    words = ["experiment", "tricks", "--config", str(recipe), "--sets", f"a={sets['a']}", "--seeds", "2", "--plan"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "7 rows, 2 seeds, 1 columns: 14 cells from 14 training runs" in text
    assert "14 to run" in text
    assert len(re.findall(r"measured, \d+ steps", text)) == 2, "last stride 2 and 1"
    assert not (tmp_path / "out").exists()


def test_the_plan_of_what_was_run_before_comes_from_its_log(ladder, recipe, sets, tmp_path, capsys):
    words = ["experiment", "tricks", "--config", str(recipe), "--sets", f"a={sets['a']}", "--seeds", "3", "--plan"]
    assert main([*words, "--output", str(tmp_path / "out"), "--runs", str(ladder.folder / "runs")]) == 0
    text = capsys.readouterr().out
    assert "14 runs finished, 0 begun, 0 trained and to be tested, 7 to run" in text
    assert text.count("from the logs of earlier runs") == 2


def test_the_estimate_is_near_what_it_takes(recipe, sets, tmp_path, capsys, call):
    """Steps of 3 x 2 pictures take milliseconds, so only the order of magnitude can be held."""
    found = call("seeds", tmp_path / "out", "--seeds", 1, "--optim.epochs", 8)
    cell = found.rows[0].cells[0]
    epochs = [event for event in cell.log() if event["event"] == "epoch"]
    taken = sorted(6 / event["pictures_per_second"] for event in epochs)[4]
    config = config_of(json.loads((cell.run / "config.json").read_text()))
    began = time.perf_counter()
    speed = measure(config, read_set("a", "market1501", sets["a"]), {})
    assert taken / 5 < speed.step < 5 * taken
    assert time.perf_counter() - began < 5


REFUSED = [
    (["cross-domain"], "there is only 'a': name two or more"),
    (["batch-size", "--batches", "3x2", "32x4"],
     r"cell \(row '32 x 4', trained on 'a'\) can't run: 6 training identities .* 32 identities x 4 pictures"),
    (["batch-size", "--batches", "32"], "--batches takes identities x pictures of each, such as 16x4, got '32'"),
    (["backbones", "--backbones", "resnet10_w16", "resnet19"],
     r"cell \(row 'resnet19', trained on 'a'\) can't run: unknown backbone 'resnet19'.*resnet18"),
    (["backbones", "--backbones", "resnet10_w16", "--model.pretrained", "true"],
     r"cell \(row 'resnet10_w16', trained on 'a'\) can't run: .* has no ImageNet weights"),
    (["image-size", "--sizes", "64x32", "64x5000"], r"cell \(row '64 x 5000', .*data.width is 5000"),
    (["tricks", "--augment.erasing", "0"], r"row 'random erasing' would be equal .*augment.erasing \(0.*\)"),
    (["features", "--model.neck", "none"], "row 'BNNeck' would be equal"),
    (["tricks", "--leave_one_out", "--rerank"], "--rerank is a row of the ladder"),
    (["seeds", "--seeds", "0"], "--seeds is how many seeds"),
    (["seeds", "--jobs", "0"], "--jobs is how many runs"),
    (["seeds", "--run.output", "elsewhere"], "give --output instead"),
    (["seeds", "--optim.freeze", "[1,1,1,1,1,1,1]"], r"cell \(row 'the recipe'.*optim.freeze names 7 stages"),
    (["nonsense"], "unknown experiment 'nonsense'; there are tricks"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_cannot_run_is_refused_before_anything_starts(words, message, recipe, sets, tmp_path, capsys):
    name, *rest = words
    output = tmp_path / "out"
    common = ["--config", str(recipe), "--sets", f"a={sets['a']}", "--output", str(output)]
    assert main(["experiment", name, *common, *rest]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert re.search(message, error), error
    assert not output.exists()


def test_another_experiment_in_the_folder_is_refused(ladder, recipe, sets, capsys):
    before = (ladder.folder / "experiment.json").read_bytes()
    common = ["--config", str(recipe), "--sets", f"a={sets['a']}", "--output", str(ladder.folder)]
    assert main(["experiment", "seeds", *common]) == 2
    assert "holds the experiment 'tricks': choose another --output" in capsys.readouterr().err
    assert main(["experiment", "tricks", *common, "--optim.lr", "0.1"]) == 2
    assert "other settings (optim.lr: 0.002, now 0.1)" in capsys.readouterr().err
    other = ["--config", str(recipe), "--sets", f"a={sets['b']}", "--output", str(ladder.folder)]
    assert main(["experiment", "tricks", *other]) == 2
    assert "with other pictures in 'a'" in capsys.readouterr().err
    assert (ladder.folder / "experiment.json").read_bytes() == before


def test_a_yaml_file_may_say_all(sets, tmp_path, plain_runs):
    settings = {
        "preset": "tiny",
        "data": {"height": 64, "width": 32, "root": str(sets["a"])},
        "batch": {"identities": 3, "images": 2},
        "optim": {"epochs": 1},
        "run": {"threads": 1, "device": "cpu", "seed": 7},
        "seeds": 1,
        "output": str(tmp_path / "out"),
    }
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(settings))
    assert main(["experiment", "seeds", "--config", str(tmp_path / "all.yaml"), "--quiet"]) == 0
    found = load_experiment(tmp_path / "out")
    assert found.seeds == (7,)
    assert [column.name for column in found.columns] == ["a"]


def test_gpus_are_named_as_the_environment_names_them(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert visible_gpus() == ["3", "5"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert visible_gpus() == ["0", "1"]
