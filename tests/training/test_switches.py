"""Switches of the training step: each off changes nothing, each on does what it says."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.test_loop import configure

from strongreid.config import BatchConfig, Config
from strongreid.distributed import World
from strongreid.errors import InputError
from strongreid.model.hardware import place
from strongreid.model.weights import load_model
from strongreid.training.loop import train, train_epoch
from strongreid.training.runlog import RunLog
from strongreid.training.setup import prepare


def ready(market, tmp_path, **rooms):
    """A run before its first step, with 4 x 2 batches."""
    rooms = {"batch": {"identities": 4, "images": 2}} | rooms
    config = configure(market, tmp_path / "run", **rooms)
    return prepare(config, World(), place("cpu", "float32", winograd=False), tmp_path / "run", progress=False)


def after_steps(run, steps=2):
    """Weights and statistics after some steps on the same batches."""
    log = RunLog(Path("unused"), progress=False)
    log.begin_epoch(1, 1, steps, 8)
    run.model.train()
    batches = [batch for epoch in range(steps) for batch in run.batches.epoch(epoch)][:steps]
    train_epoch(run, run.network, log, 0, batches)
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


def gradients(run, images, labels):
    terms = run.network(images, labels)
    sum(terms.values()).backward()
    found = {name: p.grad.clone() for name, p in run.network.named_parameters() if p.grad is not None}
    run.network.zero_grad(set_to_none=True)
    return found


def test_recomputing_activations_changes_no_weight_and_no_statistic(market, tmp_path):
    kept, recomputed = (
        after_steps(
            ready(
                market, tmp_path, model={"backbone": "resnet18", "pretrained": False, "checkpointing": checkpointing}
            )
        )
        for checkpointing in (False, True)
    )
    assert all(torch.equal(tensor, recomputed[name]) for name, tensor in kept.items())


def test_recomputing_keeps_fewer_activations(market, tmp_path):
    from strongreid.training.memory import bytes_kept

    images, labels = torch.zeros(8, 3, 64, 32), torch.arange(8) // 2
    model = {"backbone": "resnet18", "pretrained": False}
    kept, recomputed = (
        bytes_kept(run.network.train(), images, labels, run.placement)
        for run in (
            ready(market, tmp_path, model=model),
            ready(market, tmp_path, model=model | {"checkpointing": True}),
        )
    )
    assert recomputed < 0.6 * kept


def test_a_backbone_that_cannot_recompute_is_named(market, tmp_path):
    with pytest.raises(InputError, match=r"'vgg11_bn' can't recompute .* batch.accumulate"):
        ready(
            market,
            tmp_path,
            model={"backbone": "vgg11_bn", "last_stride": 2, "pretrained": False, "checkpointing": True},
        )


def test_accumulation_is_the_mean_of_the_parts_gradients(market, tmp_path):
    batch = {"identities": 4, "images": 2, "accumulate": 2}
    sgd = {"epochs": 2, "algorithm": "sgd", "momentum": 0.0, "weight_decay": 0.0, "warmup_epochs": 0, "lr": 0.1}
    run = ready(market, tmp_path, batch=batch, optim=sgd)
    images, labels = next(run.batches.epoch(0))
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    state = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    run.model.train()
    parts = [gradients(run, images[half], labels[half]) for half in (slice(0, 4), slice(4, 8))]
    run.model.load_state_dict(state)
    after_steps(run, 1)
    moved = 0
    for name, parameter in run.model.named_parameters():
        if parameter.requires_grad:
            mean = (parts[0][f"model.{name}"] + parts[1][f"model.{name}"]) / 2
            torch.testing.assert_close(parameter.detach(), before[name] - 0.1 * mean, rtol=1e-4, atol=1e-6)
            moved += int(not torch.equal(parameter, before[name]))
    assert moved > 10


@pytest.mark.parametrize("parts", [3, 16, 8])
def test_a_batch_that_cannot_be_cut_is_refused(parts):
    with pytest.raises(InputError, match=rf"batch.accumulate is {parts}: .* it can for 1, 2, 4\."):
        Config(batch=BatchConfig(identities=8, images=4, accumulate=parts))


def test_clipping_bounds_the_gradient_and_only_that(market, tmp_path):
    """With plain SGD of rate 1 the whole update is the gradient, so its norm is the bound."""
    optim = {"epochs": 2, "algorithm": "sgd", "momentum": 0.0, "weight_decay": 0.0, "warmup_epochs": 0, "lr": 1.0}
    moves = []
    for clip in (0.0, 0.5, 1e9):
        run = ready(market, tmp_path, optim=optim | {"clip": clip})
        before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
        after_steps(run, 1)
        moves.append(torch.cat([(p.detach() - before[n]).flatten() for n, p in run.model.named_parameters()]))
    free, clipped, loose = moves
    assert clipped.norm().item() == pytest.approx(0.5, rel=1e-3)
    assert torch.equal(free, loose)
    torch.testing.assert_close(clipped, free * 0.5 / free.norm(), rtol=1e-3, atol=1e-6)


def test_the_average_is_what_is_evaluated_and_saved(market, tmp_path):
    plain = configure(market, tmp_path / "plain", optim={"epochs": 2})
    averaged = configure(market, tmp_path / "averaged", optim={"epochs": 2, "average": 0.9})
    train(plain, progress=False)
    train(averaged, progress=False)
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("plain", "averaged")]
    assert all(torch.equal(tensor, states[1]["model"][name]) for name, tensor in states[0]["model"].items())
    saved = load_model(tmp_path / "averaged/last").model.state_dict()
    assert not torch.equal(saved["classifier.weight"], states[1]["model"]["classifier.weight"])
    for name, tensor in saved.items():
        assert torch.equal(tensor, states[1]["averaged"][f"module.{name}"])


def test_every_switch_at_once_resumes_to_the_same_weights(market, tmp_path, monkeypatch):
    from strongreid.training import loop

    optim = {"epochs": 3, "algorithm": "adamw", "per_step": True, "clip": 1.0, "average": 0.9, "freeze": (1, 1, 2)}
    rooms = {"optim": optim, "batch": {"identities": 4, "images": 2, "accumulate": 2}}
    rooms |= {"model": {"backbone": "resnet10_w16", "pretrained": False, "checkpointing": True}}
    train(configure(market, tmp_path / "whole", **rooms), progress=False)
    save = loop.save_state

    def stop(path, state, parts, settings):
        save(path, state, parts, settings)
        if state.epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_state", stop)
    with pytest.raises(KeyboardInterrupt):
        train(configure(market, tmp_path / "broken", **rooms), progress=False)
    monkeypatch.undo()
    train(configure(market, tmp_path / "broken", **rooms), resume=True, progress=False)
    whole, broken = (torch.load(tmp_path / n / "state.pt", weights_only=True) for n in ("whole", "broken"))
    for part in ("model", "criterion", "averaged"):
        assert whole[part].keys() == broken[part].keys()
        assert all(torch.equal(torch.as_tensor(v), torch.as_tensor(broken[part][k])) for k, v in whole[part].items())


def test_the_rate_of_every_step_is_used(market, tmp_path):
    optim = {"epochs": 2, "schedule": "cosine", "warmup_epochs": 1, "lr": 1.0, "per_step": True}
    run = ready(market, tmp_path, optim=optim, batch={"identities": 2, "images": 2})
    steps = len(run.batches.plan(0))
    rates = [run.learning_rate(0, step) for step in range(steps)]
    assert rates == pytest.approx([(step + 1) / steps for step in range(steps)])
    several = dataclasses.replace(run, world=World(0, 4))
    for rule, factor in (("fixed", 1), ("linear", 4), ("sqrt", 2)):
        optim = dataclasses.replace(run.config.optim, lr_rule=rule)
        several.config = dataclasses.replace(run.config, optim=optim)
        assert several.learning_rate(0, 0) == pytest.approx(factor * rates[0])


def test_the_log_has_throughput_and_share_of_the_peak(market, tmp_path):
    run = ready(market, tmp_path)
    # resnet10_w16 by hand would be long; its first convolution alone is a lower bound, the whole is known to timm
    assert run.operations > 2 * 16 * 8 * 16 * 3 * 16
    train(configure(market, tmp_path / "full", optim={"epochs": 1}), progress=False)
    epoch = next(
        event
        for event in map(json.loads, (tmp_path / "full/log.jsonl").read_text().splitlines())
        if event["event"] == "epoch"
    )
    assert 0 < epoch["share_of_peak"] < 2
    assert np.isfinite(epoch["pictures_per_second"])


@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs a C++ compiler")
def test_compiling_gives_the_same_losses(market, tmp_path):
    found = []
    for compiled in (False, True):
        run = {"output": str(tmp_path / str(compiled)), "threads": 1, "compile": compiled, "winograd": False}
        train(configure(market, tmp_path, run=run, optim={"epochs": 1}), progress=False)
        events = map(json.loads, (tmp_path / str(compiled) / "log.jsonl").read_text().splitlines())
        found.append(next(event for event in events if event["event"] == "epoch"))
    for term in ("identity", "triplet", "center"):
        assert found[0][term] == pytest.approx(found[1][term], rel=2e-2)
