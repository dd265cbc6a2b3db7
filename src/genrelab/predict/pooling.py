"""Pools the windows of a track into one answer; no other module does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pool(track: NDArray[np.int64], probabilities: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pool the probabilities of windows into those of their tracks: the mean.

    Args:
        track: the track of each window, shape (windows,), in any order.
        probabilities: shape (windows, genres).

    Returns:
        The unique tracks, sorted, and their probabilities, shape (tracks, genres); every row sums to 1.
    """
    tracks, row, count = np.unique(track, return_inverse=True, return_counts=True)
    total = np.zeros((len(tracks), probabilities.shape[1]))
    np.add.at(total, row, probabilities)
    mean = total / count[:, None]
    return tracks, mean / mean.sum(axis=1, keepdims=True)
