from __future__ import annotations

import numpy as np
import pytest

from genrelab.core.errors import SplitError
from genrelab.training import holdout_folds

Y = np.arange(200) % 4
ARTISTS = [f"a{i // 4 * 4 % 80 + i % 4}" for i in range(200)]  # 80 artists, each of one genre, 2 or 3 tracks each
ALL = np.ones(200, bool)


def test_artists_are_held_out_as_wholes_and_genres_evenly() -> None:
    fold = holdout_folds.folds_by_artist(Y, ARTISTS, ALL, seed=1)
    assert set(fold.tolist()) == set(range(5))
    assert all(len({fold[i] for i in range(200) if ARTISTS[i] == a}) == 1 for a in set(ARTISTS))
    counts = np.array([np.bincount(Y[fold == k], minlength=4) for k in range(5)])
    assert counts.min() >= 8 and counts.max() <= 12
    assert (fold == holdout_folds.folds_by_artist(Y, ARTISTS, ALL, seed=1)).all()
    assert (fold != holdout_folds.folds_by_artist(Y, ARTISTS, ALL, seed=2)).any()


def test_unknown_artists_and_lone_ones_are_always_learned_from() -> None:
    artists: list[str | None] = list(ARTISTS)
    artists[0] = None
    y = Y.copy()
    y[[4, 8]] = 4  # a fifth genre, of one artist, who has other tracks too
    artists[4] = artists[8] = artists[1] = "lone"
    among = ALL.copy()
    among[100] = False
    fold = holdout_folds.folds_by_artist(y, artists, among, seed=0)
    assert [fold[i] for i in (0, 1, 4, 8)] == [holdout_folds.ALWAYS_FITTED] * 4
    assert fold[100] == holdout_folds.NOT_IN_STUDY and (fold >= 0).sum() == 195


def test_each_genre_can_be_learned_whatever_is_held_out() -> None:
    y = np.array([0] * 20 + [1] * 20 + [2] * 4)
    artists = [f"a{i}" for i in range(40)] + ["x", "x", "x", "y"]  # genre 2 has two artists
    for seed in range(5):
        fold = holdout_folds.folds_by_artist(y, artists, np.ones(44, bool), seed=seed)
        assert all(set(y[fold != k].tolist()) == {0, 1, 2} for k in range(5))


def test_too_few_artists_are_refused() -> None:
    with pytest.raises(
        SplitError, match="only one genre, or none, can be tested: the others have fewer than two known artists"
    ):
        holdout_folds.folds_by_artist(np.array([0, 0, 0, 1]), ["a", "b", "c", "d"], np.ones(4, bool), seed=0)
    with pytest.raises(SplitError, match="fewer than two tracks"):
        holdout_folds.random_folds(np.array([0, 0, 1]), np.ones(3, bool), seed=0)


def test_at_random_every_genre_is_dealt_out_evenly() -> None:
    y = np.array([0] * 50 + [1] * 7 + [2])
    fold = holdout_folds.random_folds(y, np.ones(58, bool), seed=3)
    assert fold[-1] == holdout_folds.ALWAYS_FITTED
    assert np.bincount(fold[:50]).tolist() == [10] * 5
    assert sorted(np.bincount(fold[50:57], minlength=5)) == [1, 1, 1, 2, 2]
    assert max(np.bincount(fold[:57])) - min(np.bincount(fold[:57])) <= 1


def test_roles_of_a_fold() -> None:
    fold = np.array([0, 1, holdout_folds.ALWAYS_FITTED, holdout_folds.NOT_IN_STUDY])
    assert holdout_folds.roles_for_fold(fold, 0).tolist() == ["score", "fit", "fit", "none"]
    chooses = np.array([True, True, False, False])
    assert holdout_folds.roles_for_fold(fold, 0, chooses).tolist() == ["score", "choose", "fit", "none"]


def test_validation_share_is_a_fifth_and_can_keep_artists_whole() -> None:
    learned = np.arange(200) < 160
    alone = holdout_folds.choosing_mask(Y, None, learned, seed=0)
    assert alone.sum() == 32 and not alone[~learned].any()
    whole = holdout_folds.choosing_mask(Y, ARTISTS, learned, seed=0)
    assert 28 <= whole.sum() <= 36
    chosen = {ARTISTS[i] for i in np.flatnonzero(whole)}
    assert not any(ARTISTS[i] in chosen for i in np.flatnonzero(learned & ~whole))
