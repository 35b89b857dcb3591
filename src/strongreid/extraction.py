"""From pictures to features with a trained model: the torch side of `features`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from strongreid.data.augment import normalize
from strongreid.data.images import DecodedStore, decode, resize
from strongreid.data.readers import read_dataset, read_folder, read_pictures
from strongreid.data.records import DISTRACTOR, ImageRecord, ReIDDataset
from strongreid.distributed import environment_rank
from strongreid.errors import InputError
from strongreid.evaluation import EvalResult, centring, evaluate
from strongreid.evaluation.calibration_report import CalibrationReport, calibrate
from strongreid.evaluation.distances import Metric
from strongreid.evaluation.figures import draw_result
from strongreid.evaluation.pairs import pairs_needed
from strongreid.evaluation.protocols import Protocol
from strongreid.evaluation.report import BreakdownName, ProtocolReport, checked_rule, protocol_report
from strongreid.evaluation.result import Rerank
from strongreid.features import FeatureTable, shard_path
from strongreid.model.hardware import Placement, PrecisionName, place
from strongreid.model.network import FeatureName, Output
from strongreid.model.weights import InputSpec, LoadedModel, load_model

Picture = str | Path | Image.Image | npt.NDArray[np.uint8]
_CHUNK = 2048  # pictures decoded ahead: 200 MB at 256 x 128


class Extractor:
    """A trained model ready for pictures: `extract(pictures)` and `extract.table(records)`."""

    def __init__(
        self,
        model: str | Path | LoadedModel,
        *,
        device: str = "auto",
        precision: PrecisionName = "float32",
        feature: FeatureName | None = None,
        batch: int = 64,
        flip: bool = False,
    ) -> None:
        """Load a model folder, or take a loaded model.

        Args:
            model: a folder written by training (`runs/x/best`), or what `load_model` returned.
            device: as in `place`.
            precision: float32 by default; bf16 moves mAP by about 0.001.
            feature: "f_i" or "f_t"; None takes what the model was evaluated with. The other one's fingerprint ends in
                its name, since the two can't be compared.
            batch: pictures per forward pass.
            flip: average each feature with that of the mirrored picture, at twice the time; the paper does not.
                Such features only compare with their like: the fingerprint ends in "+flip".

        Raises:
            InputError: no such model or device, or batch below 1.
        """
        if batch < 1:
            raise InputError(f"batch is {batch}: it must be at least 1.")
        loaded = model if isinstance(model, LoadedModel) else load_model(model)
        self.spec, self.batch, self.flip = loaded.spec, batch, flip
        self.feature: FeatureName = feature or loaded.spec.feature
        other = f"+{self.feature}" if self.feature != loaded.spec.feature else ""
        self.fingerprint = loaded.fingerprint + other + ("+flip" if flip else "")
        self.placement = place(device, precision, local_rank=environment_rank()[2])
        self.model = self.placement.prepare(loaded.model)

    def __call__(self, pictures: Picture | Sequence[Picture]) -> npt.NDArray[np.float32]:
        """Features (n, d) of one picture or several: paths, PIL pictures or (h, w, 3) uint8 RGB arrays of any size.

        Raises:
            InputError: a picture can't be read, or an array is not (h, w, 3) uint8.
        """
        single = isinstance(pictures, (str, Path, Image.Image, np.ndarray))
        several: Sequence[Picture] = [pictures] if single else pictures  # type: ignore[list-item, assignment]
        if not len(several):
            return np.empty((0, getattr(self.model, "dim", 0)), dtype=np.float32)
        return self.decoded(np.stack([self._decode(picture) for picture in several]))

    def table(
        self, records: Sequence[ImageRecord], *, skip_unreadable: bool = False, progress: bool = False
    ) -> FeatureTable:
        """Features of the records' pictures, in their order, decoded in chunks so that memory stays bounded.

        Raises:
            InputError: no records, or unreadable pictures and not `skip_unreadable`; they are named.
        """
        if not records:
            raise InputError("there are no pictures to extract features from.")
        parts: list[npt.NDArray[np.float32]] = []
        kept: list[ImageRecord] = []
        with tqdm(total=len(records), desc="extract", unit="picture", file=sys.stderr, disable=not progress) as bar:
            for start in range(0, len(records), _CHUNK):
                chunk = records[start : start + _CHUNK]
                store = DecodedStore.build(
                    chunk, self.spec.height, self.spec.width, None, skip_unreadable=skip_unreadable
                )
                if store.records:
                    parts.append(self.decoded(store.pictures, bar))
                    kept.extend(store.records)
        if not kept:
            raise InputError(f"none of the {len(records)} pictures can be read, the first being {records[0].path}.")
        return feature_table(np.concatenate(parts), kept, self.fingerprint)

    def decoded(self, pictures: npt.NDArray[np.uint8], bar: tqdm[Any] | None = None) -> npt.NDArray[np.float32]:
        """Features (n, d) of pictures (n, h, w, 3) that already have the model's size."""
        return forward(
            self.model,
            pictures,
            self.spec,
            self.placement,
            feature=self.feature,
            batch=self.batch,
            flip=self.flip,
            bar=bar,
        )

    def _decode(self, picture: Picture) -> npt.NDArray[np.uint8]:
        if isinstance(picture, (str, Path)):
            return decode(picture, self.spec.height, self.spec.width)
        if isinstance(picture, np.ndarray):
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                raise InputError(f"a picture array must be (h, w, 3) uint8 RGB, got {picture.dtype} {picture.shape}.")
            picture = Image.fromarray(picture)
        return resize(picture, self.spec.height, self.spec.width)


@torch.no_grad()
def forward(
    model: nn.Module,
    pictures: npt.NDArray[np.uint8],
    spec: InputSpec,
    placement: Placement,
    *,
    feature: FeatureName = "f_i",
    batch: int = 64,
    flip: bool = False,
    bar: tqdm[Any] | None = None,
) -> npt.NDArray[np.float32]:
    """Features (n, d) float32 of decoded pictures (n, h, w, 3), in evaluation mode; the model's mode is put back.

    With `flip`, the mean of the features of the picture and of its mirror image.
    """
    was_training = model.training
    model.eval()
    parts: list[Tensor] = []
    try:
        for start in range(0, len(pictures), batch):
            block = torch.from_numpy(np.array(pictures[start : start + batch]))
            block = block.to(placement.device, non_blocking=True)
            with placement.autocast():
                images = placement.arrange(normalize(block, spec.mean, spec.std))
                outputs: list[Output] = [model(view) for view in ((images, images.flip(-1)) if flip else (images,))]
            views = [(output.feature if feature == "f_i" else output.pooled).float() for output in outputs]
            parts.append(torch.stack(views).mean(dim=0))  # fetched at the end: a GPU need not be waited for here
            if bar is not None:
                bar.update(len(block))
    finally:
        model.train(was_training)
    return torch.cat(parts).cpu().numpy()


def feature_table(
    features: npt.NDArray[np.float32], records: Sequence[ImageRecord], fingerprint: str = ""
) -> FeatureTable:
    """The features (n, d) with what their n records say."""
    return FeatureTable(
        features=features,
        identities=np.array([record.identity for record in records], dtype=np.int64),
        cameras=np.array([record.camera for record in records], dtype=np.int64),
        paths=tuple(str(record.path) for record in records),
        model=fingerprint,
    )


def query_and_gallery(
    extract: Extractor, dataset: ReIDDataset, *, skip_unreadable: bool = False, progress: bool = False
) -> tuple[FeatureTable, FeatureTable]:
    """Features of a data set's query and gallery pictures.

    Raises:
        InputError: as `Extractor.table`.
    """
    query, gallery = (
        extract.table(records, skip_unreadable=skip_unreadable, progress=progress)
        for records in (dataset.query, dataset.gallery)
    )
    return query, gallery


def evaluate_model(
    extract: Extractor,
    data: str | Path,
    *,
    kind: str = "market1501",
    metric: Metric | None = None,
    rerank: Rerank | None = None,
    centre_cameras: bool = False,
    answers: int = 0,
    figures: str | Path | None = None,
    skip_unreadable: bool = False,
    progress: bool = False,
) -> EvalResult:
    """Read a data set, extract query and gallery, evaluate.

    Args:
        extract: the model.
        data: folder of the data set.
        kind: its layout.
        metric: None takes the one of training.
        rerank: as in `evaluate`.
        centre_cameras: subtract each camera's mean feature first: `evaluation.centre_cameras`.
        answers: as in `evaluate`.
        figures: a folder for the pictures of `draw_result`; the result then has its pairs.
        skip_unreadable: as in `Extractor.table`.
        progress: the same.

    Raises:
        InputError: the data set or a picture can't be read, no query has a possible match, or a figure can't be
            written.
    """
    dataset = read_dataset(kind, data)
    query, gallery = query_and_gallery(extract, dataset, skip_unreadable=skip_unreadable, progress=progress)
    if centre_cameras:
        query, gallery = centring.centre_cameras(query, gallery)
    result = evaluate(
        query,
        gallery,
        metric=metric or extract.spec.metric,
        rerank=rerank,
        answers=answers,
        pairs=figures is not None,
    )
    if figures is not None:
        draw_result(result, query, gallery, figures)
    return result


def calibrate_model(
    extract: Extractor,
    data: str | Path,
    folder: str | Path,
    *,
    kind: str = "market1501",
    metric: Metric | None = None,
    fpr: float = 1e-3,
    seed: int = 0,
    skip_unreadable: bool = False,
    progress: bool = False,
) -> CalibrationReport:
    """Calibrate on the query and gallery pictures of a data set, and store the calibration in the model's `folder`.

    It is fitted on half of the people and reported on the other half, as `calibrate`; `metric=None` takes the one of
    training.

    Raises:
        InputError: the data set or a picture can't be read, it is too small for `fpr`, or the folder holds another
            model.
    """
    pairs_needed(fpr)  # refuses what is no rate, before the pictures are read
    dataset = read_dataset(kind, data)
    query, gallery = query_and_gallery(extract, dataset, skip_unreadable=skip_unreadable, progress=progress)
    name = f"{dataset.name}: {Path(data).resolve().name}"  # not the whole path: model folders are given away
    report = calibrate(query, gallery, metric or extract.spec.metric, fpr=fpr, data=name, seed=seed)
    report.calibration.save(folder)
    return report


def report_model(
    extract: Extractor,
    data: str | Path,
    protocol: str | Protocol,
    *,
    breakdown: BreakdownName | None = None,
    seed: int = 0,
    kind: str = "market1501",
    metric: Metric | None = None,
    rerank: Rerank | None = None,
    centre_cameras: bool = False,
    skip_unreadable: bool = False,
    progress: bool = False,
) -> ProtocolReport:
    """As `evaluate_model`, under any protocol and with a breakdown: `protocol_report`.

    Raises:
        InputError: the data set or a picture can't be read, or as `protocol_report`.
    """
    rule = checked_rule(protocol, breakdown, rerank)  # before the pictures are read
    query, gallery = query_and_gallery(
        extract, read_dataset(kind, data), skip_unreadable=skip_unreadable, progress=progress
    )
    if centre_cameras:
        query, gallery = centring.centre_cameras(query, gallery)
    own = metric or extract.spec.metric
    return protocol_report(query, gallery, rule, own, breakdown=breakdown, seed=seed, rerank=rerank)


def evaluate_models(
    models: Mapping[str, Extractor],
    datasets: Mapping[str, ReIDDataset],
    *,
    metric: Metric | None = None,
    skip_unreadable: bool = False,
    progress: bool = False,
) -> dict[tuple[str, str], EvalResult]:
    """Evaluate every model on every data set: the results by (model, data set), for `cross_domain_table`.

    `metric=None` takes each model's own, the one of its training.

    Raises:
        InputError: there are no models or no data sets, a picture can't be read, or no query has a possible match.
    """
    for what, given in (("models", models), ("data sets", datasets)):
        if not given:
            raise InputError(f"there are no {what} to evaluate; give at least one, by name.")
    results: dict[tuple[str, str], EvalResult] = {}
    for name, extract in models.items():
        for test, dataset in datasets.items():
            query, gallery = query_and_gallery(extract, dataset, skip_unreadable=skip_unreadable, progress=progress)
            results[name, test] = evaluate(query, gallery, metric=metric or extract.spec.metric)
    return results


def extract_folder(
    extract: Extractor,
    folder: str | Path,
    output: str | Path,
    *,
    unlabelled: bool = False,
    skip_unreadable: bool = False,
    progress: bool = False,
) -> FeatureTable:
    """Extract every picture of a folder and save the table as Parquet.

    Identity and camera come from Market-1501 names; with `unlabelled`, pictures of any name are taken from the folder
    and all below it, as identity -1 and camera 0.

    Started by `torchrun`, each process takes its share of the pictures and writes a shard of the table beside
    `output` (`shard_path`); `FeatureTable.load(output)` reads them as one. They need not talk to each other.

    Raises:
        InputError: the folder holds no pictures or fewer than there are processes, one can't be read, or the file
            can't be written.
    """
    if unlabelled:
        records = tuple(ImageRecord(path, DISTRACTOR, 0) for path in read_pictures(folder))
    else:
        records = read_folder(folder)
    rank, size, _ = environment_rank()
    if size > 1:
        if size > len(records):
            raise InputError(f"{folder} has {len(records)} pictures for {size} processes: start fewer.")
        edges = [len(records) * number // size for number in (rank, rank + 1)]
        records, output = records[slice(*edges)], shard_path(output, rank, size)
    table = extract.table(records, skip_unreadable=skip_unreadable, progress=progress and rank == 0)
    table.save(output)
    return table
