"""Logistic regression of "same identity" on the distance, from counted pairs."""

from __future__ import annotations

import math

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.distances import Float64
from strongreid.evaluation.pairs import PairDistances

_MOST_STEPS = 1000
_LEAST_DAMPING, _MOST_DAMPING = 1e-12, 1e6  # shares of the curvature


def fit_logistic(pairs: PairDistances) -> tuple[float, float]:
    """Slope and offset of the log-odds by distance, fitted by Newton's method on the counts.

    Both classes have the weight 1/2. The targets are Platt's: (n + 1) / (n + 2) for n pairs of the same identity,
    1 / (n + 2) for n of different ones (Platt, Probabilistic outputs for support vector machines, 1999; Lin, Lin,
    Weng, Machine Learning 68, 2007). So the fit is finite where a threshold separates the classes perfectly, and
    never surer than the number of pairs allows; on many pairs the difference vanishes.

    Raises:
        InputError: there are no pairs of the same or of different identities, or all distances are equal.
    """
    distances, same, different = class_shares(pairs)
    weights = (same + different) / 2
    same_pairs, different_pairs = int(pairs.same.sum()), int(pairs.different.sum())
    aims = same / 2 * (same_pairs + 1) / (same_pairs + 2) + different / 2 / (different_pairs + 2)
    mean = float(weights @ distances)
    spread = math.sqrt(float(weights @ (distances - mean) ** 2))
    if len(distances) < 2:
        raise InputError(
            f"all pairs lie at a distance of about {mean:g}, so a distance says nothing; look at the features."
        )
    found = _minimum(np.stack([(distances - mean) / spread, np.ones(len(distances))]), weights, aims)
    slope = float(found[0]) / spread
    return slope, float(found[1]) - slope * mean


def _minimum(design: Float64, weights: Float64, aims: Float64) -> Float64:
    """The coefficients of the least cross-entropy, by Newton steps with Levenberg's damping.

    Without it steps run away where nearly all predictions are certain, and the curvature with them.

    Args:
        design: (p, k) regressors.
        weights: (k,) weights of the points.
        aims: (k,) weights times targets.

    Returns:
        (p,), as near to the minimum as float64 shows it.
    """
    found, damping = np.zeros(len(design)), _LEAST_DAMPING
    loss = _loss(found @ design, weights, aims)
    for _ in range(_MOST_STEPS):
        predicted, other = logistic(found @ design), logistic(-found @ design)
        gradient = design @ (weights * predicted - aims)
        curvature = (design * (weights * predicted * other)) @ design.T
        while damping <= _MOST_DAMPING:
            damped = curvature + damping * np.trace(curvature) * np.eye(len(found))
            tried = found - np.linalg.solve(damped, gradient)
            reached = _loss(tried @ design, weights, aims)
            if reached < loss:
                break
            damping *= 10
        else:  # no step leads down
            break
        found, loss, damping = tried, reached, max(damping / 100, _LEAST_DAMPING)
    return found


def class_shares(pairs: PairDistances) -> tuple[Float64, Float64, Float64]:
    """(k,) middles of the bins that are not empty, and the share of each class in them, of sum 1 each."""
    pairs.check_both()
    filled = np.flatnonzero(pairs.same + pairs.different)
    middles: Float64 = (filled.astype(np.float64) + 0.5) * (pairs.upper / len(pairs.same))
    return middles, pairs.same[filled] / pairs.same.sum(), pairs.different[filled] / pairs.different.sum()


def _loss(log_odds: Float64, weights: Float64, aims: Float64) -> float:
    """Cross-entropy of targets aims / weights, in units that sum the weights to 1."""
    return float(weights @ np.logaddexp(0, log_odds) - aims @ log_odds)


def logistic(log_odds: Float64) -> Float64:
    """1 / (1 + exp(-x)), exact in both tails and without overflow; of any shape."""
    probability: Float64 = np.exp(-np.logaddexp(0, -log_odds))
    return probability
