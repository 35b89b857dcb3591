"""Everything before the first step: read, decode, build, place. What the loop needs comes back as one `Run`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel
from torch.utils.flop_counter import FlopCounterMode

from strongreid.config import Config
from strongreid.data.augment import Augmentation
from strongreid.data.batches import Batches, check_batches
from strongreid.data.images import DecodedStore
from strongreid.data.readers import read_dataset
from strongreid.data.records import ImageRecord, ReIDDataset
from strongreid.data.sampler import plan_epoch, usable_pictures
from strongreid.distributed import World
from strongreid.errors import InputError
from strongreid.evaluation import EvalResult, evaluate
from strongreid.extraction import feature_table
from strongreid.extraction.torch_network import forward
from strongreid.features import FeatureTable
from strongreid.losses import BagOfTricksLoss
from strongreid.model.hardware import Placement
from strongreid.model.network import ReIDModel
from strongreid.model.synchronized import synchronize_batch_norm
from strongreid.model.weights import InputSpec, start_from
from strongreid.training.freezing import check_freezing
from strongreid.training.network import TrainingNetwork, enable_checkpointing
from strongreid.training.optimizers import average_weights, create_optimizers
from strongreid.training.schedule import learning_rate

IN_MEMORY = 2 << 30
"""Bytes of decoded pictures up to which a single process writes no store to disk."""


@dataclass
class Run:
    """A run that is ready for its first step."""

    config: Config
    world: World
    placement: Placement
    batches: Batches
    query: DecodedStore
    gallery: DecodedStore
    model: ReIDModel
    network: TrainingNetwork
    """Model and losses as one."""
    optimizers: list[Optimizer]
    averaged: AveragedModel | None
    """Moving average of the model's weights, where there is one."""
    spec: InputSpec
    counts: dict[str, Any]
    """Pictures and identities, for the log."""
    operations: int
    """Of one picture's forward pass: multiplications and additions of the plain convolutions."""

    @property
    def learned(self) -> ReIDModel:
        """What is evaluated and saved: the model, or its average."""
        return self.model if self.averaged is None else cast("ReIDModel", self.averaged.module)

    @property
    def parts(self) -> dict[str, Any]:
        """All that has a state, by name."""
        named: dict[str, Any] = {"model": self.model, "criterion": self.network.criterion, "averaged": self.averaged}
        named |= {f"optimizer_{number}": optimizer for number, optimizer in enumerate(self.optimizers)}
        return {name: part for name, part in named.items() if part is not None}

    def learning_rate(self, epoch: int, step: int) -> float:
        """The rate of a step, epoch and step counted from 0."""
        optim, steps, size = self.config.optim, len(self.batches.plan(epoch)), self.world.size
        scale = {"fixed": 1.0, "linear": float(size), "sqrt": math.sqrt(size)}[optim.lr_rule]
        factor = learning_rate(
            epoch + (step + 1) / steps if optim.per_step else epoch + 1,
            warmup_epochs=optim.warmup_epochs,
            schedule=optim.schedule,
            milestones=optim.milestones,
            epochs=optim.epochs,
            length=1 / steps if optim.per_step else 1.0,
        )
        return optim.lr * factor * scale

    def evaluate(self) -> tuple[EvalResult, list[FeatureTable]]:
        """The evaluation and its feature tables. Every process extracts its share, and the first one evaluates."""
        tables = [self._features(store) for store in (self.query, self.gallery)]
        metric = self.config.eval.metric
        result = self.world.once(lambda: evaluate(tables[0], tables[1], metric=metric))
        return result, tables

    def _features(self, store: DecodedStore) -> FeatureTable:
        spec, world = self.spec, self.world
        shares = np.array_split(np.arange(len(store.pictures)), world.size)
        share = shares[world.rank]
        features = np.zeros((0, self.model.dim), dtype=np.float32)  # of a process without a share
        if len(share):
            batch = self.config.eval.batch
            features = forward(
                self.learned,
                store.pictures[share[0] : share[-1] + 1],
                spec,
                self.placement,
                feature=spec.feature,
                batch=batch,
            )
        parts = world.collect(features)
        return feature_table(np.concatenate(parts), store.records) if parts else feature_table(*_NOTHING)


_NOTHING: tuple[Any, tuple[ImageRecord, ...]] = (np.zeros((0, 1), dtype=np.float32), ())
"""What the processes have that do not evaluate."""


def check_data(config: Config, world: World) -> ReIDDataset:
    """Read the data set and refuse one that can't fill a batch, before anything is decoded or written.

    Raises:
        InputError: it can't be read, or can't fill a batch.
    """
    if not config.data.root:
        raise InputError("no data set was named: pass --data.root FOLDER (strongreid synthesize FOLDER makes one).")
    dataset = read_dataset(config.data.kind, config.data.root)
    check_filling(config, np.array([record.identity for record in dataset.train], dtype=np.int64), world.size)
    return dataset


def check_filling(config: Config, identities: npt.NDArray[np.int64], processes: int = 1) -> int:
    """Refuse training pictures of these identities (n,) that can't fill a batch; returns the steps of an epoch.

    Raises:
        InputError: they can't, or not for so many processes.
    """
    usable = identities[usable_pictures(identities, config.data.single_picture)]
    p, k = config.batch.identities, config.batch.images
    check_batches(np.unique(usable).size, p, processes)
    return len(plan_epoch(usable, p * processes, k, np.random.default_rng(0)))


def prepare(config: Config, world: World, placement: Placement, folder: Path, *, progress: bool = True) -> Run:
    """Read and decode the data, build the model, losses and optimisers.

    Raises:
        InputError: data or settings are unusable; nothing was written but a store of decoded pictures.
    """
    dataset = world.in_turn(lambda: check_data(config, world))
    model = build_model(config, _identities_of(dataset.train))  # before the pictures, which take longer to refuse
    check_freezing(model, config.optim.freeze)
    stores = world.in_turn(lambda: _decode(config, dataset, folder, world, progress))
    return assemble(config, world, placement, model, stores, junk=dataset.junk)


def assemble(
    config: Config,
    world: World,
    placement: Placement,
    model: ReIDModel,
    stores: tuple[DecodedStore, DecodedStore, DecodedStore],
    *,
    junk: int = 0,
) -> Run:
    """A run of a new model and decoded pictures: training, query, gallery; `junk` is how many were left out.

    Raises:
        InputError: the training pictures can't fill a batch.
    """
    train, query, gallery = stores
    batches = Batches(
        train.pictures,
        np.array([record.identity for record in train.records], dtype=np.int64),
        p=config.batch.identities,
        k=config.batch.images,
        augmentation=Augmentation(**vars(config.augment)),
        single=config.data.single_picture,
        seed=config.run.seed,
        device=placement.device,
        keep_on_device=_fits_on_device(config, train, placement),
        rank=world.rank,
        ranks=world.size,
    )
    if model.settings["identities"] != batches.identities:  # some were left out as unreadable or single
        model = build_model(config, batches.identities)
    operations = _operations(model, config)
    model = placement.prepare(model)
    if config.batch.sync_bn and world.size > 1:
        synchronize_batch_norm(model, placement.device)
    if config.model.checkpointing:
        enable_checkpointing(model)
    gather = world.gather if config.batch.gather and world.size > 1 else None
    criterion = BagOfTricksLoss(batches.identities, model.dim, **vars(config.loss), gather=gather)
    criterion.to(placement.device)
    optim = config.optim
    optimizers = create_optimizers(
        model,
        criterion,
        lr=optim.lr,
        weight_decay=optim.weight_decay,
        center_lr=optim.center_lr,
        algorithm=optim.algorithm,
        momentum=optim.momentum,
    )
    named = {"train": train, "query": query, "gallery": gallery}
    counts = {f"{name}_pictures": len(store.records) for name, store in named.items()}
    counts |= {"train_identities": batches.identities, "junk": junk}
    counts |= {"skipped": sum(len(store.skipped) for store in stores)}
    return Run(
        config=config,
        world=world,
        placement=placement,
        batches=batches,
        query=query,
        gallery=gallery,
        model=model,
        network=TrainingNetwork(model, criterion, compiled=placement.compiled),
        optimizers=optimizers,
        averaged=average_weights(model, optim.average),
        spec=InputSpec(config.data.height, config.data.width, feature=config.eval.feature, metric=config.eval.metric),
        counts=counts,
        operations=operations,
    )


def _identities_of(records: tuple[ImageRecord, ...]) -> int:
    """How many different identities there are."""
    return len({record.identity for record in records})


def _decode(
    config: Config, dataset: ReIDDataset, folder: Path, world: World, progress: bool
) -> tuple[DecodedStore, DecodedStore, DecodedStore]:
    """Decode every picture once; several processes share what is on the disk."""
    data = config.data
    splits = {"train": dataset.train, "query": dataset.query, "gallery": dataset.gallery}
    size = sum(map(len, splits.values())) * data.height * data.width * 3
    large = size > IN_MEMORY or world.size > 1
    keep = Path(data.store) if data.store else folder / "store" if large else None
    train, query, gallery = (
        DecodedStore.build(
            records,
            data.height,
            data.width,
            keep / name if keep else None,
            skip_unreadable=data.skip_unreadable,
            progress=progress and world.first,
        )
        for name, records in splits.items()
    )
    return train, query, gallery


def _fits_on_device(config: Config, train: DecodedStore, placement: Placement) -> bool:
    """Whether the decoded training pictures are to stay in GPU memory."""
    if placement.device.type != "cuda" or config.data.on_device is False:
        return False
    if config.data.on_device is True:
        return True
    free, _ = torch.cuda.mem_get_info(placement.device)
    return train.pictures.nbytes <= free // 2


def build_model(config: Config, identities: int) -> ReIDModel:
    """The model that a run starts from, by its seed.

    Raises:
        InputError: as `ReIDModel`, or there is no such model to start from.
    """
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


@torch.no_grad()
def _operations(model: nn.Module, config: Config) -> int:
    """Multiplications and additions of one picture's forward pass."""
    was_training = model.training
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, 3, config.data.height, config.data.width))
    model.train(was_training)
    return int(counter.get_total_flops())
