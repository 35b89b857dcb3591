"""Features without what the camera put into them: a step for models in places that they were not trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.features import FeatureTable

Float32 = npt.NDArray[np.float32]


def centre_cameras(
    query: FeatureTable, gallery: FeatureTable, *, pull: float = 10.0
) -> tuple[FeatureTable, FeatureTable]:
    """Subtract from each feature the mean of the gallery's features from the same camera.

    Light, background and viewpoint of a camera move all its features the same way, most of all those of a model that
    never saw the place: pictures of one camera then look more alike than pictures of one person. The means need no
    identities, but they are of the test's own pictures, so say so beside the figures.

    Args:
        query: q features with their cameras.
        gallery: g features with their cameras.
        pull: a camera's mean counts as many pictures of the whole gallery's mean too, so that the mean of a camera
            with few pictures is not those few people; 0 for none.

    Raises:
        InputError: the gallery is empty, or the features differ in length, or `pull` is negative or not finite.
    """
    if not len(gallery):
        raise InputError("the gallery is empty: without pictures a camera has no mean to subtract.")
    if query.dim != gallery.dim:
        raise InputError(f"query features have {query.dim} numbers, gallery features {gallery.dim}: make both alike.")
    if not (np.isfinite(pull) and pull >= 0):
        raise InputError(f"pull is {pull!r}; allowed is a finite number of 0 or more.")
    everyone = gallery.features.mean(axis=0, dtype=np.float64)
    means = {}
    for camera in np.unique(np.concatenate([query.cameras, gallery.cameras])):
        there = gallery.features[gallery.cameras == camera]
        weight = len(there) / (len(there) + pull) if len(there) else 0.0
        own = there.mean(axis=0, dtype=np.float64) if len(there) else everyone
        means[int(camera)] = (weight * own + (1 - weight) * everyone).astype(np.float32)
    return _less(query, means), _less(gallery, means)


def _less(table: FeatureTable, means: dict[int, Float32]) -> FeatureTable:
    features = table.features.copy()
    for camera, mean in means.items():
        features[table.cameras == camera] -= mean
    return replace(table, features=features, model=f"{table.model}+centred" if table.model else "")
