"""Do calibrated thresholds keep what they promise on other people? Promised against measured rates, several splits.

    python benchmarks/calibration.py MODEL OUT NAME=FOLDER[,FOLDER] [NAME=FOLDER ...]

The folders hold pictures with names in the manner of Market-1501, of people whom the model has not seen in training;
a folder with `query` and `bounding_box_test` is both of these. All pictures of a name are put in one table, extracted
once into OUT/NAME.parquet. For each split half of the people calibrate (`Calibration.fit` on all their pairs but
those of one person and one camera), and the other half are measured on: the false match rate (promised: the FPR aimed
at) and the miss rate (promised: that of the first half). Intervals are 95 %, by a bootstrap over people, for pairs of
different people by both. Then thresholds of one name are measured on the others.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measure import machine

from strongreid.data.readers import read_folder
from strongreid.data.records import DISTRACTOR
from strongreid.evaluation.calibration import Calibration, expected_calibration_error, reliability
from strongreid.evaluation.pairs import collect_pairs
from strongreid.extraction import Extractor
from strongreid.features import FeatureTable

FPRS = (1e-2, 1e-3, 1e-4)
DRAWS = 1000


@dataclass
class Counts:
    """Of pairs within a threshold and of all, by people: (n, n) of different ones, (n,) of the same."""

    false: np.ndarray
    different: np.ndarray
    missed: np.ndarray
    same: np.ndarray

    def rates(self) -> tuple[float, float]:
        return float(self.false.sum() / self.different.sum()), float(self.missed.sum() / self.same.sum())

    def intervals(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """95 % of both rates; a person drawn twice is no pair of different people with themselves."""
        draw = np.random.default_rng(seed)
        count = len(self.same)
        weights = draw.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)
        false = ((weights @ self.false) * weights).sum(axis=1) / ((weights @ self.different) * weights).sum(axis=1)
        missed = (weights @ self.missed) / (weights @ self.same)
        return np.quantile(false, [0.025, 0.975]), np.quantile(missed, [0.025, 0.975])


def counts_at(table: FeatureTable, thresholds: list[float]) -> list[Counts]:
    """Of all pairs but those of one person and one camera, each counted from both sides."""
    order = np.argsort(table.identities, kind="stable")
    features = table.features[order] / np.linalg.norm(table.features[order], axis=1, keepdims=True)
    identities, starts = np.unique(table.identities[order], return_index=True)
    cameras, own = table.cameras[order], table.identities[order]
    found = [np.zeros((len(identities), len(identities))) for _ in thresholds]
    total = np.zeros((len(identities), len(identities)))
    ends = [*starts[1:], len(order)]
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        distances = 1 - features[start:end] @ features.T
        counted = (own[start:end, None] != own) | (cameras[start:end, None] != cameras)
        total[row] = np.add.reduceat(counted.sum(axis=0, dtype=np.int64), starts)
        for number, threshold in enumerate(thresholds):
            near = ((distances <= threshold) & counted).sum(axis=0, dtype=np.int64)
            found[number][row] = np.add.reduceat(near, starts)
    apart = total * (1 - np.eye(len(identities)))
    return [
        Counts(near * (1 - np.eye(len(identities))), apart, np.diag(total) - np.diag(near), np.diag(total))
        for near in found
    ]


def halves(table: FeatureTable, seed: int) -> tuple[FeatureTable, FeatureTable]:
    people = np.random.default_rng(seed).permutation(np.unique(table.identities))
    first = np.isin(table.identities, people[: len(people) // 2])
    return table.select(first), table.select(~first)


def keeps(name: str, table: FeatureTable, splits: int) -> None:
    """Rows of one name: what the splits promise and what they measure."""
    promised = {fpr: [] for fpr in FPRS}
    measured = {fpr: [] for fpr in FPRS}
    covered = {fpr: [] for fpr in FPRS}
    widths = {fpr: [] for fpr in FPRS}
    errors = []
    for seed in range(splits):
        fit, report = halves(table, seed)
        calibration = Calibration.fit(collect_pairs(fit, fit), fpr=FPRS[1])
        errors.append(expected_calibration_error(reliability(collect_pairs(report, report), calibration)))
        thresholds = [calibration.threshold(fpr) for fpr in FPRS]
        promises = [own.rates()[1] for own in counts_at(fit, thresholds)]
        for fpr, promise, own in zip(FPRS, promises, counts_at(report, thresholds), strict=True):
            rates, (false, missed) = own.rates(), own.intervals(seed)
            promised[fpr].append((fpr, promise))
            measured[fpr].append(rates)
            covered[fpr].append((false[0] <= fpr <= false[1], missed[0] <= promise <= missed[1]))
            widths[fpr].append((*false, *missed))
    people = len(np.unique(table.identities))
    error = f"{100 * np.mean(errors):.1f} % ({100 * min(errors):.1f} to {100 * max(errors):.1f})"
    print(f"\n{name}: {len(table):,} pictures of {people} people, {splits} splits; calibration error {error}")
    print("| promised FPR | measured: mean (least to most) | 95 % interval of one split | splits that hold it |"
          " promised misses | measured | 95 % interval of one split | splits that hold it |")  # fmt: skip
    print("|-|-|-|-|-|-|-|-|")
    for fpr in FPRS:
        rates, own, hold = np.array(measured[fpr]), np.array(widths[fpr]), np.mean(covered[fpr], axis=0)
        false = f"{rates[:, 0].mean():.2e} ({rates[:, 0].min():.1e} to {rates[:, 0].max():.1e})"
        miss = f"{rates[:, 1].mean():.3f} ({rates[:, 1].min():.3f} to {rates[:, 1].max():.3f})"
        promise = np.mean([pair[1] for pair in promised[fpr]])
        between = np.median(own, axis=0)
        print(
            f"| {fpr:g} | {false} | {between[0]:.1e} to {between[1]:.1e} | {100 * hold[0]:.0f} % | {promise:.3f} | "
            f"{miss} | {between[2]:.3f} to {between[3]:.3f} | {100 * hold[1]:.0f} % |",
            flush=True,
        )


def travels(tables: dict[str, FeatureTable]) -> None:
    """Thresholds of all people of one name, on all of another."""
    head = [
        "calibrated on",
        "measured on",
        "FPR promised",
        "FPR measured (95 %)",
        "misses promised",
        "measured (95 %)",
    ]
    print("\n| " + " | ".join(head) + " |")
    print("|-|-|-|-|-|-|")
    for name, table in tables.items():
        calibration = Calibration.fit(collect_pairs(table, table), fpr=FPRS[1])
        thresholds = [calibration.threshold(fpr) for fpr in FPRS]
        promises = [own.rates()[1] for own in counts_at(table, thresholds)]
        for other, target in tables.items():
            if other == name:
                continue
            for fpr, promise, own in zip(FPRS, promises, counts_at(target, thresholds), strict=True):
                rates, (false, missed) = own.rates(), own.intervals(0)
                print(
                    f"| {name} | {other} | {fpr:g} | {rates[0]:.1e} ({false[0]:.1e} to {false[1]:.1e}) | "
                    f"{promise:.3f} | {rates[1]:.3f} ({missed[0]:.3f} to {missed[1]:.3f}) |",
                    flush=True,
                )


def table_of(name: str, folders: list[str], model: str, output: Path) -> FeatureTable:
    """Features of the known people, from OUT where they are there."""
    path = output / f"{name}.parquet"
    extract = Extractor(model, device="cpu")
    if not path.exists():
        parts = []
        for folder in map(Path, folders):
            whole = (folder / "query").is_dir()
            parts += [folder / "query", folder / "bounding_box_test"] if whole else [folder]
        records = [record for folder in parts for record in read_folder(folder) if record.identity != DISTRACTOR]
        extract.table(records, progress=True).save(path)
    table = FeatureTable.load(path)
    assert table.model == extract.fingerprint, f"{path} is of another model: delete it"
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("output")
    parser.add_argument("data", nargs="+", metavar="NAME=FOLDER[,FOLDER]")
    parser.add_argument("--splits", type=int, default=20)
    parsed = parser.parse_args()
    print(machine())
    output = Path(parsed.output)
    output.mkdir(parents=True, exist_ok=True)
    given = dict(text.split("=", 1) for text in parsed.data)
    tables = {name: table_of(name, folders.split(","), parsed.model, output) for name, folders in given.items()}
    for name, table in tables.items():
        keeps(name, table, parsed.splits)
    if len(tables) > 1:
        travels(tables)


if __name__ == "__main__":
    main()
