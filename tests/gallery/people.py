"""Made people: features around one centre each, with all that a gallery can know about them."""

import numpy as np

from strongreid.evaluation.calibration import Calibration
from strongreid.features import FeatureTable

DIM = 16
MODEL = "a" * 64


def people(count=40, per_person=6, seed=0, dim=DIM, model=MODEL):
    """(count * per_person) rows, person after person, of changing length; cameras 1 to 3."""
    draw = np.random.default_rng(seed)
    identities = np.repeat(np.arange(count), per_person)
    features = draw.standard_normal((count, dim))[identities] + 0.3 * draw.standard_normal((len(identities), dim))
    features *= draw.uniform(0.5, 3, (len(identities), 1))
    cameras = 1 + np.arange(len(identities)) % 3
    paths = [f"pictures/{number:05d}.jpg" for number in range(len(identities))]
    return FeatureTable(features.astype(np.float32), identities, cameras, paths, model)


def known(table):
    """Times an hour apart, tracks of two pictures, and a label of each kind, some of them missing."""
    rows = range(len(table))
    return {
        "times": [None if row % 7 == 3 else 1.7e9 + 3600 * row for row in rows],
        "tracks": [None if row % 5 == 4 else f"{table.identities[row]}-{table.cameras[row]}" for row in rows],
        "labels": {
            "site": ["north", "south", "east"] * (len(table) // 3),
            "floor": [None if row % 4 == 0 else row % 3 for row in rows],
            "hat": [row % 2 == 0 for row in rows],
        },
    }


def calibration(metric="cosine", model=MODEL, threshold=0.3):
    """One that says "same" up to `threshold`."""
    return Calibration(
        metric=metric,
        slope=-20.0,
        offset=20.0 * threshold,
        fpr=0.001,
        thresholds=((0.01, threshold + 0.1), (0.001, threshold), (0.0001, None)),
        same_pairs=100,
        different_pairs=10_000,
        leave_out="same_camera",
        data="made",
        model=model,
    )


def unit(features):
    features = np.atleast_2d(features).astype(np.float64)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def nearest(table, query, mask=None, metric="cosine"):
    """Row numbers by distance to one (d,) query, the slow way."""
    if metric == "cosine":
        distances = 1 - unit(table.features) @ unit(query)[0]
    else:
        distances = np.linalg.norm(table.features.astype(np.float64) - query, axis=1)
    order = np.argsort(distances, kind="stable")
    return [int(row) for row in order if mask is None or mask[row]], distances
