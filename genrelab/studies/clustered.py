"""Leaf: how far a mean of any values of tracks may be from the truth, artists counted as wholes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from genrelab.intervals import group_index


def mean_interval(
    values: NDArray[Any], groups: Sequence[str | None] | None = None, *, level: float = 0.95
) -> tuple[float, float]:
    """Student's interval of a mean, its variance taken over groups (Liang and Zeger 1986), with groups - 1 degrees.

    For what `intervals` does not cover: means over several trainings, which are neither right nor wrong.

    Args:
        values: one a track, shape (tracks,), at least one.
        groups: the artist of each track, None where unknown (a group by itself).
        level: how often the interval holds the truth.

    Returns:
        Where all values are alike their spread is not known: the mean -+ 3 / groups (Hanley and Lippman-Hand 1983, of
        events that were not seen). Minus and plus infinity where there is one track only.
    """
    y = np.asarray(values, np.float64)
    index = group_index(groups, len(y))
    if index.max() == 0:  # one artist says nothing about others
        index = group_index(None, len(y))
    n_groups = int(index.max()) + 1
    if n_groups < 2:
        return -math.inf, math.inf
    if not np.ptp(y):
        return float(y[0]) - 3 / n_groups, float(y[0]) + 3 / n_groups
    residuals = np.bincount(index, weights=y - y.mean())
    variance = n_groups / (n_groups - 1) * float((residuals**2).sum()) / len(y) ** 2
    half = float(stdtrit(n_groups - 1, (1 + level) / 2)) * math.sqrt(variance)
    return float(y.mean()) - half, float(y.mean()) + half
