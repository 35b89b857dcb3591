"""A model on a labelled data set: evaluated, calibrated, or several side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from strongreid.data.readers import read_dataset
from strongreid.data.records import ReIDDataset
from strongreid.errors import InputError
from strongreid.evaluation import EvalResult, centring, evaluate
from strongreid.evaluation.calibration_report import CalibrationReport, calibrate
from strongreid.evaluation.distances import Metric
from strongreid.evaluation.figures import draw_result
from strongreid.evaluation.pairs import pairs_needed
from strongreid.evaluation.protocols import Protocol
from strongreid.evaluation.report import BreakdownName, ProtocolReport, checked_rule, protocol_report
from strongreid.evaluation.result import Rerank
from strongreid.extraction.extractor import Extractor
from strongreid.features import FeatureTable


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
