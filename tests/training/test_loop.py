"""The main job end to end on a tiny data set."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from strongreid.config import Config, plain_baseline, tiny
from strongreid.data.readers import read_dataset
from strongreid.errors import InputError
from strongreid.evaluation import EvalResult
from strongreid.extraction import Extractor, evaluate_model, extract_folder
from strongreid.features import FeatureTable
from strongreid.model.weights import load_model
from strongreid.training.loop import train
from strongreid.training.runlog import NonFiniteLossError


def configure(root, output, base: Config | None = None, **rooms) -> Config:
    """A run of seconds: 2 x 2 batches of 64 x 32 pictures."""
    base = tiny() if base is None else base
    rooms = {
        "data": {"root": str(root), "height": 64, "width": 32},
        "batch": {"identities": 2, "images": 2},
        "model": {"backbone": "resnet10_w16", "pretrained": False},
        "optim": {"epochs": 2},
        "eval": {"every": 1},
        "run": {"output": str(output), "threads": 1},
    } | rooms
    return dataclasses.replace(base, **{k: dataclasses.replace(getattr(base, k), **v) for k, v in rooms.items()})


@pytest.fixture
def finished(market, tmp_path):
    config = configure(market, tmp_path / "run")
    return config, train(config, progress=False)


def test_a_run_leaves_everything_it_promises(finished, tmp_path):
    _, result = finished
    run = tmp_path / "run"
    present = {path.name for path in run.iterdir()}
    assert present == {
        "best", "config.json", "curves.png", "last", "log.jsonl", "ranks.png", "result.json", "state.pt", "table.txt",
        "untrained.json",
    }  # fmt: skip
    assert EvalResult.load(run / "result.json").mAP == result.mAP
    table = (run / "table.txt").read_text()
    for row in ("this run", "before training", "colour histogram", "colour histogram, grey-world"):
        assert row in table
    assert f"{100 * result.mAP:.2f}" in table
    for picture in ("curves.png", "ranks.png"):
        with Image.open(run / picture) as image:
            assert image.width > 300


def test_the_log_has_a_line_per_event(finished, tmp_path):
    events = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", "evaluation", *["epoch", "evaluation"] * 2]
    assert events[0]["train_pictures"] == 16
    assert events[0]["config"]["batch"]["identities"] == 2
    for event in events[2::2]:
        assert {"identity", "triplet", "center", "lr", "seconds", "pictures_per_second", "share_of_peak"} <= set(
            event
        )
    assert events[2]["lr"] == pytest.approx(2e-3)


def test_the_saved_model_gives_the_run_s_own_figures(finished, market, tmp_path):
    _, result = finished
    again = evaluate_model(Extractor(tmp_path / "run/last", device="cpu"), market)
    assert again.mAP == result.mAP
    np.testing.assert_array_equal(again.per_query.average_precision, result.per_query.average_precision)
    about = load_model(tmp_path / "run/best").training
    assert about["config"]["model"]["backbone"] == "resnet10_w16"


def test_extract_writes_the_features_that_python_gets(finished, market, tmp_path):
    extract = Extractor(tmp_path / "run/best", device="cpu")
    table = extract_folder(extract, market / "query", tmp_path / "query.parquet")
    loaded = FeatureTable.load(tmp_path / "query.parquet")
    np.testing.assert_array_equal(loaded.features, table.features)
    assert loaded.identities.tolist() == [5, 6, 7]
    assert loaded.model == extract.fingerprint
    one = extract(loaded.paths[0])
    np.testing.assert_allclose(one[0], table.features[0], rtol=1e-4, atol=1e-5)
    with Image.open(loaded.paths[0]) as image:
        np.testing.assert_allclose(extract([image, np.asarray(image)]), one[[0, 0]], rtol=1e-4, atol=1e-5)


def test_pictures_of_any_name_can_be_extracted(finished, market, tmp_path):
    extract = Extractor(tmp_path / "run/best", device="cpu")
    folder = tmp_path / "mine/sub"
    folder.mkdir(parents=True)
    for number, path in enumerate(sorted((market / "query").iterdir())):
        path.rename(folder / f"holiday {number}.png")
    with pytest.raises(InputError, match="no pictures directly in this folder"):
        extract_folder(extract, tmp_path / "mine", tmp_path / "a.parquet")
    table = extract_folder(extract, tmp_path / "mine", tmp_path / "a.parquet", unlabelled=True)
    assert (table.identities.tolist(), table.cameras.tolist()) == ([-1] * 3, [0] * 3)


def test_f_t_and_f_i_differ_and_follow_the_request(finished, market, tmp_path):
    records = read_dataset("market1501", market).query
    pooled, neck = (Extractor(tmp_path / "run/last", feature=name).table(records).features for name in ("f_t", "f_i"))
    module = load_model(tmp_path / "run/last").model.neck
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(pooled)).numpy(), neck, rtol=1e-4, atol=1e-5)
    assert not np.allclose(pooled, neck)


def test_it_learns_what_is_easy(market, tmp_path):
    result = train(
        configure(market, tmp_path / "run", optim={"epochs": 12}, augment={"erasing": 0.0}), progress=False
    )
    before = EvalResult.load(tmp_path / "run/untrained.json")
    epochs = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    losses = [event["identity"] for event in epochs if event["event"] == "epoch"]
    assert losses[-1] < 0.9 * losses[0]
    assert result.mAP >= before.mAP


@pytest.mark.parametrize("change", [{}, {"loss": {"triplet_weight": 0.0, "center_weight": 0.0}}])
def test_plain_baseline_and_single_losses_run(market, tmp_path, change):
    base = plain_baseline()
    small = {"model": {"backbone": "resnet10_w16", "pretrained": False}, "optim": {"epochs": 1}} | change
    train(configure(market, tmp_path / "run", base, **small), progress=False)
    assert load_model(tmp_path / "run/last").model.classifier.bias is not None


def test_bf16_runs_and_stays_near_float32(market, tmp_path):
    losses = []
    for precision in ("float32", "bf16"):
        run = {"output": str(tmp_path / precision), "precision": precision, "threads": 1}
        train(configure(market, tmp_path, run=run, optim={"epochs": 1}), progress=False)
        events = [json.loads(line) for line in (tmp_path / precision / "log.jsonl").read_text().splitlines()]
        losses.append(next(event["identity"] for event in events if event["event"] == "epoch"))
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_a_run_can_start_from_another_model(finished, market, tmp_path):
    start = {"backbone": "resnet10_w16", "pretrained": False, "start_from": str(tmp_path / "run/last")}
    train(configure(market, tmp_path / "second", model=start, optim={"epochs": 1}), progress=False)
    before = EvalResult.load(tmp_path / "second/untrained.json")
    assert before.mAP == EvalResult.load(tmp_path / "run/result.json").mAP
    other = {"backbone": "resnet10_w32", "pretrained": False, "start_from": str(tmp_path / "run/last")}
    with pytest.raises(InputError, match="holds another network"):
        train(configure(market, tmp_path / "third", model=other), progress=False)


def test_an_earlier_run_is_not_written_over(finished):
    config, _ = finished
    with pytest.raises(InputError, match="already holds something: pass --resume"):
        train(config, progress=False)


@pytest.mark.parametrize(
    ("rooms", "message"),
    [
        ({"batch": {"identities": 5, "images": 2}}, "4 training identities with 16 pictures can't fill a batch"),
        ({"model": {"backbone": "resnet", "pretrained": False}}, "unknown backbone 'resnet'"),
        ({"run": {"output": "RUN", "device": "cuda:7"}}, "device 'cuda:7' was asked for, but torch sees"),
        ({"run": {"output": "RUN", "device": "tpu"}}, "unknown device 'tpu'"),
    ],
)
def test_bad_settings_leave_nothing_behind(market, tmp_path, rooms, message):
    output = tmp_path / "run"
    if "run" in rooms:
        rooms = {"run": rooms["run"] | {"output": str(output)}}
    with pytest.raises(InputError, match=message):
        train(configure(market, output, **rooms), progress=False)
    assert not output.exists()


def test_unreadable_pictures_are_named_or_left_out(market, tmp_path):
    broken = min((market / "bounding_box_train").iterdir())
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(InputError, match=rf"{broken.name}[\s\S]*--skip-unreadable"):
        train(configure(market, tmp_path / "run"), progress=False)
    assert not (tmp_path / "run").exists()
    data = {"root": str(market), "height": 64, "width": 32, "skip_unreadable": True}
    train(configure(market, tmp_path / "run", data=data, optim={"epochs": 1}), progress=False)
    start = json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[0])
    assert (start["skipped"], start["train_pictures"]) == (1, 15)


def test_a_decoded_store_is_kept_where_asked(market, tmp_path):
    data = {"root": str(market), "height": 64, "width": 32, "store": str(tmp_path / "store")}
    train(configure(market, tmp_path / "run", data=data, optim={"epochs": 1}), progress=False)
    assert np.load(tmp_path / "store/train/pictures.npy", mmap_mode="r").shape == (16, 64, 32, 3)


def test_a_loss_that_is_not_finite_says_where_and_what_to_do(market, tmp_path):
    wild = {"epochs": 3, "lr": 1e30, "warmup_epochs": 0}
    with pytest.raises(NonFiniteLossError, match=r"not finite in epoch \d, step \d+: .*identity.*lower --optim.lr"):
        train(configure(market, tmp_path / "run", optim=wild), progress=False)


def test_a_collapse_is_noticed_and_the_remedy_named(market, tmp_path, capsys, monkeypatch):
    # A backbone that gives every picture the same feature is a collapse by construction.
    from strongreid.model.network import Output, ReIDModel

    def blind(self, images):
        same = images.sum() * 0 + torch.zeros(len(images), self.dim)
        return Output(same, same, self.classifier(same))

    monkeypatch.setattr(ReIDModel, "forward", blind)
    config = configure(
        market, tmp_path / "run", optim={"epochs": 3}, loss={"center_weight": 0.0}, model={"neck": "none"}
    )
    train(config, progress=False)
    said = capsys.readouterr().err
    assert "trivial value" in said
    assert "--model.neck bnneck" in said
    events = [json.loads(line)["event"] for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert events.count("collapse") == 1


def test_a_run_that_learns_is_not_called_collapsed(finished, capsys):
    assert "trivial" not in capsys.readouterr().err
