"""The main job, top to bottom: read, decode, build, train, evaluate, save, report."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from strongreid.config import Config
from strongreid.data.augment import Augmentation
from strongreid.data.batches import Batches
from strongreid.data.images import DecodedStore
from strongreid.data.readers import read_dataset
from strongreid.data.records import ImageRecord, ReIDDataset
from strongreid.data.sampler import plan_epoch, usable_pictures
from strongreid.errors import InputError
from strongreid.evaluation import EvalResult, evaluate
from strongreid.extraction import feature_table, forward
from strongreid.features import FeatureTable
from strongreid.files import write_json
from strongreid.losses import BagOfTricksLoss
from strongreid.model.hardware import Placement, place
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, save_model, start_from
from strongreid.training.checkpoint import State, load_state, restore, save_state
from strongreid.training.collapse import PATIENCE, collapse_warning, is_trivial
from strongreid.training.optimizers import create_optimizers, set_learning_rate
from strongreid.training.report import write_report
from strongreid.training.runlog import NonFiniteLossError, RunLog
from strongreid.training.schedule import learning_rate

IN_MEMORY = 2 << 30
"""Bytes of decoded pictures up to which no store is written to disk."""


@dataclass(frozen=True)
class TestSet:
    """Decoded query and gallery pictures."""

    query: DecodedStore
    gallery: DecodedStore

    def features(self, model: ReIDModel, spec: InputSpec, placement: Placement, batch: int) -> list[FeatureTable]:
        """Feature tables of query and gallery."""
        return [
            feature_table(
                forward(model, store.pictures, spec, placement, feature=spec.feature, batch=batch),
                store.records,
            )
            for store in (self.query, self.gallery)
        ]


def train(config: Config, *, resume: bool = False, progress: bool = True) -> EvalResult:
    """Run the whole recipe and leave a run folder; returns the last evaluation.

    In `config.run.output`: `config.json`, `log.jsonl`, `state.pt` (to resume), the model folders `last` and `best`
    (by mAP), `result.json`, `table.txt`, `curves.png`, `ranks.png`. With `resume`, a run that was killed at any
    moment goes on, and on a CPU ends with the same weights, bit for bit, as if it had not been.

    Raises:
        InputError: data, settings or the folder are unusable; nothing was written.
        NonFiniteLossError: a loss became NaN or infinite.
    """
    folder, settings = Path(config.run.output), config.to_dict()
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    placement = place(config.run.device, config.run.precision)
    saved = _open_run(folder, settings, resume)
    dataset = _read(config)
    model = _model(config, _identities_of(dataset.train))  # before the pictures, which take longer to refuse
    batches, test, counts = _decode(config, dataset, folder, placement, progress)
    if batches.identities != _identities_of(dataset.train):  # some were left out as unreadable or single
        model = _model(config, batches.identities)
    model = placement.prepare(model)
    criterion = BagOfTricksLoss(batches.identities, model.dim, **vars(config.loss)).to(placement.device)
    optim = config.optim
    optimizers = create_optimizers(
        model, criterion, lr=optim.lr, weight_decay=optim.weight_decay, center_lr=optim.center_lr
    )
    spec = InputSpec(config.data.height, config.data.width, feature=config.eval.feature, metric=config.eval.metric)
    folder.mkdir(parents=True, exist_ok=True)
    log = RunLog(folder, progress=progress)
    log.say(f"running on {placement.why}")
    state = State()
    if saved is None:
        write_json(folder / "config.json", settings)
        log.restore([])
        log.write("start", **counts, placement=placement.why, versions=_versions(), config=settings)
        untrained, _ = _evaluate(model, test, spec, placement, config)
        untrained.save(folder / "untrained.json")
        log.write("evaluation", epoch=0, **_scores(untrained))
    else:
        state = restore(saved, model, criterion, optimizers)
        log.restore(state.history)
        log.say(f"resuming after epoch {state.epoch}")

    model.train()
    final = None
    for epoch in range(state.epoch, optim.epochs):
        torch.manual_seed(config.run.seed * 1_000_003 + epoch + 1)  # for backbones with dropout
        lr = optim.lr * learning_rate(
            epoch + 1,
            warmup_epochs=optim.warmup_epochs,
            schedule=optim.schedule,
            milestones=optim.milestones,
            epochs=optim.epochs,
        )
        set_learning_rate(optimizers[0], lr)
        log.begin_epoch(epoch + 1, optim.epochs, len(batches.plan(epoch)), epoch, batches.p * batches.k)
        try:
            for images, labels in batches.epoch(epoch):
                # The training step ------------------------------------------------------------------------------
                with placement.autocast():
                    terms = criterion(model(images), labels)
                for optimizer in optimizers:
                    optimizer.zero_grad(set_to_none=True)
                torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
                for optimizer in optimizers:
                    optimizer.step()
                log.step(terms)
                # ------------------------------------------------------------------------------------------------
            means = log.end_epoch(lr)
        except NonFiniteLossError as error:
            log.close()
            raise NonFiniteLossError(f"{error}. {_advice(folder, state)}") from None
        state.epoch = epoch + 1
        _warn_of_collapse(log, state, means, criterion, batches.identities)

        if state.epoch == optim.epochs or (config.eval.every and state.epoch % config.eval.every == 0):
            final = result, _ = _evaluate(model, test, spec, placement, config)
            log.write("evaluation", epoch=state.epoch, **_scores(result))
            log.say(f"epoch {state.epoch}: mAP {result.mAP:.1%}, Rank-1 {result.rank(1):.1%}")
            about = {"epoch": state.epoch, **_scores(result), "config": settings}
            save_model(folder / "last", model, spec, about)
            if result.mAP > state.best_map:
                state.best_map = result.mAP
                save_model(folder / "best", model, spec, about)
        state.history = log.events
        save_state(folder / "state.pt", state, model, criterion, optimizers, settings)
    log.close()

    result, tables = final or _evaluate(model, test, spec, placement, config)  # none where a finished run is resumed
    result.save(folder / "result.json")
    write_report(folder, result, tables, log.events, (test.query.pictures, test.gallery.pictures))
    return result


def _open_run(folder: Path, settings: dict[str, Any], resume: bool) -> dict[str, Any] | None:
    """The state to go on from, or None for a fresh run; refuses to write over an earlier run."""
    state = folder / "state.pt"
    if resume and state.is_file():
        return load_state(state, settings)
    if not resume and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} already holds something: pass --resume to go on with that run, or choose another --run.output."
        )
    return None


def _read(config: Config) -> ReIDDataset:
    """Read the data set and refuse one that can't fill a batch, before anything is decoded or written."""
    if not config.data.root:
        raise InputError("no data set was named: pass --data.root FOLDER (strongreid synthesize FOLDER makes one).")
    dataset = read_dataset(config.data.kind, config.data.root)
    identities = np.array([record.identity for record in dataset.train], dtype=np.int64)
    usable = identities[usable_pictures(identities, config.data.single_picture)]
    plan_epoch(usable, config.batch.identities, config.batch.images, np.random.default_rng(0))
    return dataset


def _identities_of(records: tuple[ImageRecord, ...]) -> int:
    """How many different identities there are."""
    return len({record.identity for record in records})


def _decode(
    config: Config, dataset: ReIDDataset, folder: Path, placement: Placement, progress: bool
) -> tuple[Batches, TestSet, dict[str, Any]]:
    """Decode every picture once, and make the batches and the test set of them."""
    data = config.data
    splits: dict[str, tuple[ImageRecord, ...]] = {
        "train": dataset.train,
        "query": dataset.query,
        "gallery": dataset.gallery,
    }
    size = sum(map(len, splits.values())) * data.height * data.width * 3
    keep = Path(data.store) if data.store else folder / "store" if size > IN_MEMORY else None
    stores = {
        name: DecodedStore.build(
            records,
            data.height,
            data.width,
            keep / name if keep else None,
            skip_unreadable=data.skip_unreadable,
            progress=progress,
        )
        for name, records in splits.items()
    }
    train_store = stores["train"]
    batches = Batches(
        train_store.pictures,
        np.array([record.identity for record in train_store.records], dtype=np.int64),
        p=config.batch.identities,
        k=config.batch.images,
        augmentation=Augmentation(**vars(config.augment)),
        single=data.single_picture,
        seed=config.run.seed,
        device=placement.device,
    )
    counts = {f"{name}_pictures": len(store.records) for name, store in stores.items()}
    counts |= {"train_identities": batches.identities, "junk": dataset.junk}
    counts |= {"skipped": sum(len(store.skipped) for store in stores.values())}
    return batches, TestSet(stores["query"], stores["gallery"]), counts


def _model(config: Config, identities: int) -> ReIDModel:
    torch.manual_seed(config.run.seed)
    model, data = config.model, config.data
    built = ReIDModel(
        model.backbone,
        identities,
        last_stride=model.last_stride,
        neck=model.neck,
        pretrained=model.pretrained,
        stem_relu=model.stem_relu,
        image_size=(data.height, data.width),
    )
    if model.start_from:
        start_from(built, model.start_from)
    return built


def _evaluate(
    model: ReIDModel, test: TestSet, spec: InputSpec, placement: Placement, config: Config
) -> tuple[EvalResult, list[FeatureTable]]:
    tables = test.features(model, spec, placement, config.eval.batch)
    query, gallery = tables
    return evaluate(query, gallery, metric=config.eval.metric), tables


def _scores(result: EvalResult) -> dict[str, float]:
    return {"mAP": result.mAP, "mINP": result.mINP, "rank1": result.rank(1), "rank5": result.rank(5)}


def _warn_of_collapse(
    log: RunLog, state: State, means: dict[str, float], criterion: BagOfTricksLoss, identities: int
) -> None:
    """Say so when the loss sits where a network that sees nothing has it; once, and again every ten epochs."""
    at_trivial = is_trivial(means, criterion.trivial(identities))
    state.trivial_epochs = state.trivial_epochs + 1 if at_trivial else 0
    if state.trivial_epochs % 10 == PATIENCE:
        warning = collapse_warning(means, criterion.trivial(identities), state.trivial_epochs)
        log.write("collapse", epoch=state.epoch, message=warning)
        log.say(warning)


def _advice(folder: Path, state: State) -> str:
    if state.epoch:
        return (
            f"The last good state is after epoch {state.epoch}, in {folder / 'state.pt'}; start again with a lower "
            "--optim.lr, a longer --optim.warmup_epochs or --run.precision float32."
        )
    return "No epoch was finished: lower --optim.lr, or set --run.precision float32."


def _versions() -> dict[str, str]:
    import platform

    import timm

    import strongreid

    return {
        "strongreid": strongreid.__version__,
        "python": sys.version.split()[0],
        "torch": str(torch.__version__),
        "timm": timm.__version__,
        "machine": platform.platform(),
    }
