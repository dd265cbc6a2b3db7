"""Assigns tracks to folds, so that each is classified once by a model that was not trained on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genrelab.core.errors import SplitError
from genrelab.evaluation.intervals import group_index
from genrelab.splits.folds import separable_rows
from genrelab.splits.grouping import share_out
from genrelab.splits.split import CHOOSE_FRACTION

N_FOLDS = 5
ALWAYS_FITTED = -1  # in no fold: always used for training, never tested
NOT_IN_STUDY = -2  # not used

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def folds_by_artist(y: Ints, artists: Sequence[str | None], among: Mask, *, seed: int) -> Ints:
    """The fold in which each track is held out; artists stay together, genres are spread evenly.

    Tracks by unknown artists are always used for training, as in the artist split; so are all tracks by the only artist
    of a genre, which otherwise would have no training tracks.

    Args:
        y: genre number of each track, shape (tracks,).
        artists: of each track.
        among: the tracks that are used, shape (tracks,).
        seed: breaks ties.

    Returns:
        0 to 4, ALWAYS_FITTED or NOT_IN_STUDY, shape (tracks,).

    Raises:
        SplitError: fewer than two genres have two known artists.
    """
    free = np.array([a is not None for a in artists]) & among
    free[free] = separable_rows(y[free], group_index(artists, len(y))[free])
    _require_two_genres(y, free, "known artists")
    rows = np.flatnonzero(free).tolist()
    genres, groups = [f"{y[i]:06d}" for i in rows], [artists[i] for i in rows]
    fractions, needs = [1 / N_FOLDS] * N_FOLDS, range(1, N_FOLDS + 1)
    fold = np.where(among, ALWAYS_FITTED, NOT_IN_STUDY).astype(np.int64)
    fold[rows] = share_out(genres, groups, fractions, needs=list(needs), seed=seed)
    return fold


def random_folds(y: Ints, among: Mask, *, seed: int) -> Ints:
    """The same without artists: the tracks, or windows, of each genre are shuffled and distributed.

    Raises:
        SplitError: fewer than two genres have two tracks.
    """
    rng = np.random.default_rng(seed)
    fold = np.where(among, ALWAYS_FITTED, NOT_IN_STUDY).astype(np.int64)
    n_assigned = 0
    for genre in np.unique(y[among]):
        rows = rng.permutation(np.flatnonzero(among & (y == genre)))
        if len(rows) < 2:
            continue  # held out, it would have no training tracks
        fold[rows] = (n_assigned + np.arange(len(rows))) % N_FOLDS
        n_assigned += len(rows)
    _require_two_genres(y, fold >= 0, "tracks")
    return fold


def with_whole_recordings(fold: Ints, recordings: Sequence[object | None]) -> Ints:
    """The same folds, shape (tracks,), with all tracks of a recording in the fold of its first one.

    Args:
        recordings: equal for tracks of one recording; None for other tracks.
    """
    first: dict[object, int] = {}
    whole = fold.copy()
    for i in np.flatnonzero(fold != NOT_IN_STUDY).tolist():
        if recordings[i] is not None:
            whole[i] = whole[first.setdefault(recordings[i], i)]
    return whole


def roles_for_fold(fold: Ints, held: int, chooses: Mask | None = None) -> NDArray[np.str_]:
    """The role of each track while one fold is held out: `score` in it, `fit` or `choose` in others, else `none`.

    Args:
        fold: of each track, shape (tracks,).
        held: number of the fold that is held out.
        chooses: tracks that choose epochs, shape (tracks,); None if the model needs no validation.
    """
    role = np.where(fold == held, "score", np.where(fold == NOT_IN_STUDY, "none", "fit")).astype("<U6")
    if chooses is not None:
        role[chooses & (role == "fit")] = "choose"
    return role


def choosing_mask(y: Ints, groups: Sequence[str | None] | None, training: Mask, *, seed: int) -> Mask:
    """Select a fifth of the training tracks to choose epochs; the only group of a genre stays in the fit.

    Args:
        y: genre number of each track, shape (tracks,).
        groups: the artist of each track, if artists are kept together; tracks without an artist stay in the fit.
        training: tracks to select from, shape (tracks,).
        seed: breaks ties.
    """
    rows = np.flatnonzero(training).tolist()
    genres = [f"{y[i]:06d}" for i in rows]
    group_of_row = [f"{i:09d}" if groups is None else groups[i] for i in rows]
    placed = share_out(genres, group_of_row, (1 - CHOOSE_FRACTION, CHOOSE_FRACTION), needs=(1, 2), seed=seed)
    chosen = np.zeros(len(y), bool)
    chosen[[i for i, part in zip(rows, placed, strict=True) if part == 1]] = True
    return chosen


def _require_two_genres(y: Ints, free: Mask, things: str) -> None:
    if len(np.unique(y[free])) < 2:
        raise SplitError(f"only one genre, or none, can be tested: the others have fewer than two {things}")
