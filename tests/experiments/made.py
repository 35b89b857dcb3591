"""An experiment folder made up from the average precisions of its cells, without any training."""

import json

import numpy as np
from tests.evaluation.made import made_result

from strongreid.config import tiny
from strongreid.experiments.records import Column, DataSet, Experiment, Row, RowPlan, load_experiment, save_experiment
from strongreid.files import write_json

MARKET = {"train": 12_936, "query": 3_368, "gallery": 15_913, "identities": 751}
DUKE = {"train": 16_522, "query": 2_228, "gallery": 17_661, "identities": 702}
OWN = {"train": 100, "query": 12, "gallery": 40, "identities": 10}
PEOPLE = np.repeat(np.arange(6), 2)


def precisions(mean, seed=0):
    """(12,) of 6 people, of exactly this mean."""
    noise = np.random.default_rng(seed).uniform(-0.1, 0.1, len(PEOPLE))
    return mean + noise - noise.mean()


def made_experiment(folder, values, *, name="tricks", columns=("a",), counts=None, references=None, config=None):
    """Rows with the mAP of every seed: {"baseline": {"a": [0.7, 0.8]}}; None for a cell that is not finished."""
    names = sorted({part for column in columns for part in column.split(" -> ")})
    counts = counts or {}
    data = {n: DataSet(n, "market1501", f"/data/{n}", f"train-{n}", f"test-{n}", counts.get(n, OWN)) for n in names}
    made = [Column(column, column.split(" -> ")[0], column.split(" -> ")[-1]) for column in columns]
    seeds = tuple(range(max(len(each) for row in values.values() for each in row.values())))
    references = references or {}
    rows = [RowPlan(row, f"+ {row}", {}, tuple(columns), references.get(row, "")) for row in values]
    experiment = Experiment(
        folder, name, "strongreid experiment tricks", {"strongreid": "0"}, "a computer", data,
        (config or tiny()).to_dict(), tuple(made), seeds, tuple(Row(row, ()) for row in rows),
    )  # fmt: skip
    cells = []
    for row, by_column in values.items():
        for column, means in by_column.items():
            for seed, mean in enumerate(means):
                run, result = f"{row}-{seed}-{column.split(' -> ')[0]}", f"test-{column.split(' -> ')[-1]}"
                cells.append((row, seed, column, run, result))
                if mean is not None:
                    _write(folder / "runs" / run, result, mean, seed)
    save_experiment(folder, experiment, folder / "runs", cells)
    return load_experiment(folder)


def _write(run, name, mean, seed):
    # noise of the query is the same in every row, as between models on the same pictures
    paths = [f"/data/{name}/query/{number:04d}.jpg" for number in range(len(PEOPLE))]
    result = made_result(precisions(mean, seed=7), PEOPLE, paths=paths)
    result.save(run / "results" / f"{name}.json")
    file = run / "cell.json"
    note = json.loads(file.read_text()) if file.is_file() else {"results": {}}
    values = {"mAP": result.mAP, "mINP": result.mINP}
    values |= {f"rank{k}": result.rank(k) for k in (1, 5, 10)}
    note["results"][name] = values
    write_json(file, note | {"trained": True, "minutes": 1.5, "collapsed": False, "seed": seed})
