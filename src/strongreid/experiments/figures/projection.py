"""Many numbers to two: principal components, and t-SNE computed exactly, for up to a few thousand points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError

Floats = npt.NDArray[np.float32]
MOST_POINTS = 3000
"""t-SNE holds a few n x n matrices: 36 MB each at 3000 points."""
_EXAGGERATED, _FACTOR = 250, 12.0
_TINY = 1e-12


def principal_components(features: npt.ArrayLike, dims: int = 2) -> tuple[Floats, npt.NDArray[np.float64]]:
    """The first principal components (n, dims) of features (n, d), and their shares of the variance, (dims,).

    By singular value decomposition of the centred features. A component's sign is free: here its largest weight, by
    size, is positive, so that the same features give the same figure.

    Raises:
        InputError: fewer than 2 rows, or fewer columns than `dims`.
    """
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2 or rows.shape[1] < dims:
        raise InputError(f"{dims} components need at least 2 features of {dims} numbers, got shape {rows.shape}.")
    centred = rows - rows.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    directions = directions[:dims]
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
    projected = np.zeros((len(rows), dims))
    projected[:, : len(directions)] = centred @ directions.T  # of fewer rows than dims there are fewer directions
    shares = np.zeros(dims)
    shares[: len(directions)] = sizes[:dims] ** 2 / max(float((sizes**2).sum()), _TINY)
    return projected.astype(np.float32), shares


def tsne(features: npt.ArrayLike, *, perplexity: float = 30.0, iterations: int = 750) -> Floats:
    """t-SNE of features (n, d) as (n, 2), by Euclidean distance (van der Maaten, Hinton, JMLR 9, 2008).

    Exact: all pairs in every iteration, n * n * iterations steps. It starts from the principal components and draws
    nothing at random. Distances between clusters, and their sizes, mean little in its result.

    Args:
        features: at most `MOST_POINTS` rows.
        perplexity: about how many neighbours a point is to keep; at most a third of the points are used.
        iterations: of gradient descent, the first 250 of them with exaggerated attraction.

    Raises:
        InputError: too few or too many rows, or an argument is out of range.
    """
    rows = np.asarray(features, dtype=np.float32)
    if rows.ndim != 2 or not 4 <= len(rows) <= MOST_POINTS or perplexity < 1 or iterations < 1:
        raise InputError(
            f"t-SNE takes 4 to {MOST_POINTS} points, a perplexity and iterations of at least 1; got shape "
            f"{rows.shape}, {perplexity} and {iterations}. Take fewer points, or principal components."
        )
    wanted = similarities(rows, min(perplexity, (len(rows) - 1) / 3))
    start, _ = principal_components(rows)
    places = start / max(float(start[:, 0].std()), _TINY) * np.float32(1e-4)
    velocity, gains = np.zeros_like(places), np.ones_like(places)
    rate = max(len(rows) / _FACTOR / 4, 50.0)
    for iteration in range(iterations):
        early = iteration < _EXAGGERATED
        gradient = tsne_gradient(places, wanted, _FACTOR if early else 1.0)
        agrees = np.sign(gradient) == np.sign(velocity)
        gains = np.maximum(np.where(agrees, gains * 0.8, gains + 0.2), 0.01).astype(np.float32)
        velocity = (0.5 if early else 0.8) * velocity - rate * gains * gradient
        places = places + velocity
        places -= places.mean(axis=0)
    return places


def similarities(rows: Floats, perplexity: float) -> Floats:
    """P (n, n), symmetric, of sum 1: Gaussians around each point, as wide as gives them the perplexity."""
    far = squared_distances(rows).astype(np.float64)
    np.fill_diagonal(far, np.inf)
    far -= far.min(axis=1, keepdims=True)  # changes no probability, and keeps exp from vanishing
    sharpness, low, high = (np.full(len(rows), value) for value in (1.0, 0.0, np.inf))
    sharpness /= max(float(np.median(far[np.isfinite(far)])), _TINY)
    probability = np.empty_like(far)
    for _ in range(64):
        np.exp(-far * sharpness[:, None], out=probability)
        probability /= probability.sum(axis=1, keepdims=True)
        entropy = -(probability * np.log(np.maximum(probability, _TINY))).sum(axis=1)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, sharpness, low), np.where(wide, high, sharpness)
        sharpness = np.where(np.isinf(high), sharpness * 2, (low + np.where(np.isinf(high), 0, high)) / 2)
    joint = probability + probability.T
    result: Floats = np.maximum(joint / joint.sum(), _TINY).astype(np.float32)
    return result


def tsne_gradient(places: Floats, wanted: Floats, factor: float = 1.0) -> Floats:
    """The gradient (n, 2) of KL(factor * P || Q), where Q are Student's similarities of the places (n, 2)."""
    near = squared_distances(places)
    near += 1
    np.reciprocal(near, out=near)
    np.fill_diagonal(near, 0)
    pull = near / -near.sum(dtype=np.float64).astype(np.float32)
    pull += np.float32(factor) * wanted
    pull *= near
    gradient: Floats = 4 * (pull.sum(axis=1, keepdims=True) * places - pull @ places)
    return gradient


def squared_distances(rows: Floats) -> Floats:
    """(n, n) of (n, d), never below 0."""
    squares = np.einsum("ij,ij->i", rows, rows)
    far: Floats = rows @ rows.T
    far *= -2
    far += squares
    far += squares[:, None]
    np.maximum(far, 0, out=far)
    return far
