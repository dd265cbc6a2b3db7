"""Leaf: probabilities of several genres from scores of every two: pairwise coupling with one temperature.

Each pair's score d_ij (above 0: rather i than j) becomes r_ij = 1 / (1 + exp(-beta d_ij)), and p_i is in proportion to
1 / (sum_j 1/r_ij - (k - 2)) = 1 / (1 + sum_j exp(-beta d_ij)) (Price, Knerr, Personnaz and Dreyfus 1995).
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST, MOST = -4.0, 4.0  # of log(beta)
FARTHEST = 300.0
"""Of beta d_ij: scores of a polynomial kernel know no bounds, and exp(710) is no number any more."""


def pairs(k: int) -> tuple[Floats, Floats]:
    """Which genre each pair's first and second one is, as 0 and 1: two arrays (k (k - 1) / 2, k)."""
    first, second = zip(*combinations(range(k), 2), strict=True)
    return np.eye(k)[list(first)], np.eye(k)[list(second)]


def coupled(scores: Floats, k: int, beta: float) -> Floats:
    """Probabilities (n, k) from scores (n, k (k - 1) / 2) in the order of `itertools.combinations`."""
    first, second = pairs(k)
    against = np.exp((-beta * scores).clip(-FARTHEST, FARTHEST))
    p = 1 / (1 + against @ first + (1 / against) @ second)
    return np.asarray(p / p.sum(axis=1, keepdims=True), np.float64)


def best_beta(scores: Floats, y: NDArray[np.int64], k: int, weights: Floats | None) -> float:
    """The beta with the lowest log loss.

    Args:
        scores: of rows that the machine was not fitted on, shape (n, k (k - 1) / 2).
        y: genre number, shape (n,).
        weights: of each row, shape (n,), or None.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_beta: float) -> float:
        right = coupled(scores, k, float(np.exp(log_beta)))[np.arange(len(y)), y]
        return float(np.average(-np.log(np.maximum(right, 1e-15)), weights=weights))

    least = min(LEAST, -float(np.log(max(np.abs(scores).max(), 1.0))))  # for scores in the thousands
    return float(np.exp(minimize_scalar(loss, bounds=(least, MOST), method="bounded").x))


class CoupledSVC:
    """A fitted SVC with probabilities.

    Args:
        svc: with `decision_function_shape="ovo"`.
    """

    def __init__(self, svc: Any, beta: float) -> None:
        self.svc, self.beta = svc, beta

    def predict_proba(self, z: Floats) -> Floats:
        """Probabilities (n, genres) of scaled features (n, columns)."""
        return coupled(pair_scores(self.svc, z), len(self.svc.classes_), self.beta)


def pair_scores(svc: Any, z: Floats) -> Floats:
    """Scores (n, k (k - 1) / 2) of an SVC; of two genres scikit-learn gives one column, for the second one."""
    scores = np.asarray(svc.decision_function(z), np.float64)
    return -scores[:, None] if scores.ndim == 1 else scores
