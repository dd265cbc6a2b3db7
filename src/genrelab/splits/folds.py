"""Folds for calibrating a classifier's probabilities, with the tracks of an artist kept together if possible."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_FOLDS = 5
Numbers = NDArray[np.int64]


def ensure_two_groups(y: Numbers, group: Numbers) -> tuple[Numbers, Numbers, list[int]]:
    """Rows to use and their groups, so that every genre has two groups, one to fit and one to calibrate on.

    Rows of a genre with a single artist are treated as independent; the row of a genre with a single row is doubled.

    Args:
        y: genre number, shape (rows,).
        group: artist number, shape (rows,).

    Returns:
        Row numbers, group numbers of these, and the genres that had fewer than two groups.
    """
    doubled = [np.flatnonzero(y == i) for i in np.unique(y) if (y == i).sum() == 1]
    rows = np.concatenate([np.arange(len(y)), *doubled])
    lone = [int(i) for i in np.unique(y) if len(np.unique(group[y == i])) < 2]
    own = group.max() + 1 + np.arange(len(rows))
    return rows, np.where(np.isin(y[rows], lone), own, group[rows]), lone


def separable_rows(y: Numbers, group: Numbers) -> NDArray[np.bool_]:
    """Rows that can be held out artist by artist: each of their genres still has another artist.

    All rows of the only artist of a genre are excluded, also those of other genres: otherwise the artist would be both
    fitted on and predicted.

    Args:
        y, group: genre and artist number, shape (rows,).

    Returns:
        Shape (rows,).
    """
    free = np.ones(len(y), bool)
    while True:
        of_genre = [np.unique(group[free & (y == genre)]) for genre in np.unique(y[free])]
        lone = [artists[0] for artists in of_genre if len(artists) == 1]
        if not lone:
            return free
        free &= ~np.isin(group, lone)


def make_folds(y: Numbers, group: Numbers, *, seed: int) -> tuple[list[tuple[Numbers, Numbers]], bool]:
    """(fitted, held-out) row numbers of up to 5 folds with every genre among the fitted rows of each.

    If every row is its own group, the artists are unknown: folds are then contiguous runs of each genre's rows, since
    adjacent tracks of a collection are often by one artist.

    Returns:
        The folds, and whether groups were kept together; genres that share too few artists do not allow that.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    genres = np.unique(y)
    n = min(MAX_FOLDS, *(len(np.unique(group[y == i])) for i in genres))
    if len(np.unique(group)) == len(group):
        return list(StratifiedKFold(n).split(y, y)), True
    apart = list(StratifiedGroupKFold(n, shuffle=True, random_state=seed).split(y, y, group))
    if all(len(np.unique(y[fitted])) == len(genres) for fitted, _ in apart):
        return apart, True
    return list(StratifiedKFold(n, shuffle=True, random_state=seed).split(y, y)), False
