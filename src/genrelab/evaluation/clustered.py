"""How far a mean of any values of tracks may be from the truth, artists counted as wholes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from genrelab.evaluation.intervals import group_index


def mean_interval(
    values: NDArray[Any], groups: Sequence[str | None] | None = None, *, level: float = 0.95
) -> tuple[float, float]:
    """Student's interval of a mean, its variance from leaving out one group after the other (Bell and McCaffrey 2002).

    Degrees of freedom are those of `intervals`: fewer than groups - 1 where a few groups hold most tracks. It is for
    what `intervals` does not cover: means over several trainings, which are neither right nor wrong.

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
    share = np.bincount(index) / len(y)
    moved = np.bincount(index, weights=y - y.mean()) / (len(y) * (1 - share))  # by each group, when it is left out
    variance = (n_groups - 1) / n_groups * float((moved**2).sum())
    degrees = max(1.0, math.sqrt(n_groups / float((share**2).sum())) - 1)
    half = float(stdtrit(degrees, (1 + level) / 2)) * math.sqrt(variance)
    return float(y.mean()) - half, float(y.mean()) + half
