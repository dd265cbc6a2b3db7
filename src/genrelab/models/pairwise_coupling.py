"""Probabilities of genres from the scores of genre pairs: pairwise coupling with one temperature.

The score d_ij of each pair (above 0: i rather than j) becomes r_ij = 1 / (1 + exp(-beta d_ij)), and p_i is proportional
to 1 / (sum_j 1/r_ij - (k - 2)) = 1 / (1 + sum_j exp(-beta d_ij)) (Price, Knerr, Personnaz and Dreyfus 1995).
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MIN_LOG_BETA, MAX_LOG_BETA = -4.0, 4.0  # of log(beta)
MAX_EXPONENT = 300.0
"""Limit of beta d_ij: scores of a polynomial kernel are unbounded, and exp(710) overflows."""
KERNEL_VALUES = 1 << 22
"""Kernel values (row, support vector) in memory at a time: 32 MB."""


def pairs(k: int) -> tuple[Floats, Floats]:
    """The first and the second genre of each pair, one-hot: two arrays (k (k - 1) / 2, k)."""
    first, second = zip(*combinations(range(k), 2), strict=True)
    return np.eye(k)[list(first)], np.eye(k)[list(second)]


def coupled(scores: Floats, k: int, beta: float) -> Floats:
    """Probabilities (n, k) from scores (n, k (k - 1) / 2) in the order of `itertools.combinations`."""
    first, second = pairs(k)
    against = np.exp((-beta * scores).clip(-MAX_EXPONENT, MAX_EXPONENT))
    p = 1 / (1 + against @ first + (1 / against) @ second)
    return np.asarray(p / p.sum(axis=1, keepdims=True), np.float64)


def best_beta(scores: Floats, y: NDArray[np.int64], k: int, weights: Floats | None) -> float:
    """The beta with the lowest log loss.

    Args:
        scores: of rows that the SVM was not fitted on, shape (n, k (k - 1) / 2).
        y: genre number, shape (n,).
        weights: of each row, shape (n,), or None.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_beta: float) -> float:
        right = coupled(scores, k, float(np.exp(log_beta)))[np.arange(len(y)), y]
        return float(np.average(-np.log(np.maximum(right, 1e-15)), weights=weights))

    least = min(MIN_LOG_BETA, -float(np.log(max(np.abs(scores).max(), 1.0))))  # for scores in the thousands
    return float(np.exp(minimize_scalar(loss, bounds=(least, MAX_LOG_BETA), method="bounded").x))


class CoupledSVC:
    """A fitted SVC with probabilities.

    Args:
        svc: fitted with a number as `gamma`, and `decision_function_shape="ovo"`.
    """

    def __init__(self, svc: Any, beta: float) -> None:
        self.svc, self.beta = svc, beta

    def predict_proba(self, z: Floats) -> Floats:
        """Probabilities (n, genres) of scaled features (n, columns)."""
        return coupled(pair_scores(self.svc, z), len(self.svc.classes_), self.beta)


def pair_scores(svc: Any, z: Floats) -> Floats:
    """Scores (n, k (k - 1) / 2) of an SVC of rows `z` (n, columns), as its `decision_function` with `ovo` has them.

    LIBSVM computes the kernel for one row and one support vector at a time; matrix products are ten times as fast.
    """
    from sklearn.metrics.pairwise import pairwise_kernels

    of = {"metric": svc.kernel, "filter_params": True, "gamma": svc.gamma, "degree": svc.degree, "coef0": svc.coef0}
    weights, bias = pair_weights(svc)
    step = max(1, KERNEL_VALUES // len(svc.support_vectors_))
    blocks = [pairwise_kernels(z[i : i + step], svc.support_vectors_, **of) @ weights for i in range(0, len(z), step)]
    return np.asarray(np.concatenate([np.empty((0, weights.shape[1])), *blocks]) + bias, np.float64)


def pair_weights(svc: Any) -> tuple[Floats, Floats]:
    """Weight (support vectors, pairs) of each support vector in each pair's score, and the bias of each pair (pairs,).

    The weight is 0 for pairs of other genres. For two genres scikit-learn's score is that of the second one; ours is
    that of the first.
    """
    k, ends = len(svc.classes_), np.concatenate([[0], np.cumsum(svc.n_support_)])
    weights = np.zeros((int(ends[-1]), k * (k - 1) // 2))
    for pair, (i, j) in enumerate(combinations(range(k), 2)):
        first, second = slice(ends[i], ends[i + 1]), slice(ends[j], ends[j + 1])
        weights[first, pair], weights[second, pair] = svc.dual_coef_[j - 1, first], svc.dual_coef_[i, second]
    sign = -1 if k == 2 else 1
    return sign * weights, np.asarray(sign * svc.intercept_, np.float64)
