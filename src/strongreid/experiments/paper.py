"""The figures that the paper printed, as typed literals.

Source: Luo, Gu, Liao, Lai, Jiang, "Bag of Tricks and A Strong Baseline for Deep Person Re-identification", CVPRW
2019, arXiv 1903.07071v3, tables 1, 2, 3, 5 and 6; backbones: the table in the authors' repository.
"""

from __future__ import annotations

from typing import NamedTuple

from strongreid.experiments.records import Column, DataSet

MARKET, DUKE = "market", "duke"


class Printed(NamedTuple):
    """As printed, in percent."""

    rank1: float
    mAP: float  # noqa: N815 - the field's own spelling


COUNTS: dict[tuple[int, int, int], str] = {
    (12_936, 3_368, 15_913): MARKET,
    (16_522, 2_228, 17_661): DUKE,
}
"""Pictures of training, query and gallery (without junk), by which the paper's data sets are known."""

_Figures = dict[str, dict[tuple[str, str], Printed]]


def _both(market: tuple[float, float], duke: tuple[float, float]) -> dict[tuple[str, str], Printed]:
    return {(MARKET, MARKET): Printed(*market), (DUKE, DUKE): Printed(*duke)}


def _across(to_duke: tuple[float, float], to_market: tuple[float, float]) -> dict[tuple[str, str], Printed]:
    return {(MARKET, DUKE): Printed(*to_duke), (DUKE, MARKET): Printed(*to_market)}


TABLE_1: _Figures = {
    "baseline": _both((87.7, 74.0), (79.7, 63.7)),
    "warm-up": _both((88.7, 75.2), (80.6, 65.1)),
    "erasing": _both((91.3, 79.3), (81.5, 68.3)),
    "smoothing": _both((91.4, 80.3), (82.4, 69.3)),
    "stride": _both((92.0, 81.7), (82.6, 70.6)),
    "bnneck": _both((94.1, 85.7), (86.2, 75.9)),
    "center": _both((94.5, 85.9), (86.4, 76.4)),
    "rerank": _both((95.4, 94.2), (90.3, 89.1)),
}
TABLE_2: _Figures = {
    "no-bnneck": _both((92.0, 81.7), (82.6, 70.6)),
    "f_t-euclidean": _both((94.2, 85.5), (85.7, 74.4)),
    "f_t-cosine": _both((94.2, 85.7), (85.5, 74.6)),
    "f_i-euclidean": _both((93.8, 83.7), (86.6, 73.0)),
    "f_i-cosine": _both((94.1, 85.7), (86.2, 75.9)),
}
TABLE_3: _Figures = {
    "baseline": _across((24.4, 12.9), (34.2, 14.5)),
    "warm-up": _across((26.3, 14.1), (39.7, 17.4)),
    "erasing": _across((21.5, 10.2), (32.5, 13.5)),
    "smoothing": _across((23.2, 11.3), (36.5, 14.9)),
    "stride": _across((23.1, 11.8), (37.1, 15.4)),
    "bnneck": _across((26.7, 15.2), (47.7, 21.6)),
    "center": _across((27.5, 15.0), (47.4, 21.4)),
    "no-erasing": _across((41.4, 25.7), (54.3, 25.5)),
}
TABLE_5: _Figures = {
    "8x3": _both((92.6, 79.2), (84.4, 68.1)),
    "8x4": _both((92.9, 80.0), (84.7, 69.4)),
    "8x6": _both((93.5, 81.6), (85.1, 70.7)),
    "8x8": _both((93.9, 82.0), (85.8, 71.5)),
    "16x3": _both((93.8, 83.1), (86.8, 72.1)),
    "16x4": _both((93.8, 83.7), (86.6, 73.0)),
    "16x6": _both((94.0, 82.8), (85.1, 69.9)),
    "16x8": _both((93.1, 81.6), (86.7, 72.1)),
    "32x3": _both((94.5, 84.1), (86.0, 71.4)),
    "32x4": _both((93.2, 82.8), (86.5, 73.1)),
}
TABLE_6: _Figures = {
    "256x128": _both((93.8, 83.7), (86.6, 73.0)),
    "224x224": _both((94.2, 83.3), (86.1, 72.2)),
    "384x128": _both((94.0, 82.7), (86.4, 73.2)),
    "384x192": _both((93.8, 83.1), (87.1, 72.9)),
}
BACKBONES: _Figures = {
    "resnet18": _both((91.7, 77.8), (82.5, 68.8)),
    "resnet34": _both((92.7, 82.7), (86.4, 73.6)),
    "resnet50": _both((94.5, 85.9), (86.4, 76.4)),
    "resnet101": _both((94.5, 87.1), (87.6, 77.6)),
    "resnet152": _both((80.9, 59.0), (87.5, 78.0)),
    "legacy_seresnet50": _both((94.4, 86.3), (86.4, 76.5)),
    "legacy_seresnet101": _both((94.6, 87.3), (87.5, 78.0)),
    "legacy_seresnext50_32x4d": _both((94.9, 87.6), (88.0, 78.3)),
    "legacy_seresnext101_32x4d": _both((95.0, 88.0), (88.4, 79.0)),
    "ibn_net50_a": _both((95.0, 88.2), (90.1, 79.1)),
}
"""By timm's names; the last has none. ResNet-152 on Market-1501 is an outlier, as printed."""

TABLES: dict[str, tuple[str, _Figures]] = {
    "tricks": ("Table 1", TABLE_1),
    "features": ("Table 2", TABLE_2),
    "cross-domain": ("Table 3", TABLE_3),
    "batch-size": ("Table 5", TABLE_5),
    "image-size": ("Table 6", TABLE_6),
    "backbones": ("the authors' repository", BACKBONES),
    "seeds": ("Table 1", {"full": TABLE_1["center"]}),
    "leave-one-out": ("Table 1", {"full": TABLE_1["center"], "no-center": TABLE_1["bnneck"]}),
}
"""By experiment: where the figures were printed, and the figures by row."""


def paper_set(dataset: DataSet) -> str | None:
    """Which of the paper's data sets this is, known by its counts; None for any other."""
    counts = dataset.counts
    return COUNTS.get((counts["train"], counts["query"], counts["gallery"]))


def printed(experiment: str, row: str, column: Column, data: dict[str, DataSet]) -> Printed | None:
    """What the paper has for a cell; None where it has nothing, or the data sets are not the paper's."""
    pair = (paper_set(data[column.train]), paper_set(data[column.test]))
    if experiment not in TABLES or pair[0] is None or pair[1] is None:
        return None
    return TABLES[experiment][1].get(row, {}).get((pair[0], pair[1]))
