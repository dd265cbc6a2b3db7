from __future__ import annotations

import numpy as np

from genrelab.splits.folds import ensure_two_groups, make_folds


def test_groups_are_kept_together_and_every_genre_is_fitted() -> None:
    y = np.repeat([0, 1], 30)
    group = np.repeat(np.arange(12), 5)
    splits, apart = make_folds(y, group, seed=0)
    assert apart and len(splits) == 5
    for fitted, held in splits:
        assert not set(group[fitted]) & set(group[held])
        assert set(y[fitted]) == {0, 1}
    assert sorted(np.concatenate([h for _, h in splits])) == list(range(60))


def test_without_artists_neighbours_stay_together() -> None:
    y = np.repeat([0, 1], 20)
    splits, apart = make_folds(y, np.arange(40), seed=0)
    assert apart
    assert [list(h) for _, h in splits] == [
        [*range(4 * i, 4 * i + 4), *range(20 + 4 * i, 24 + 4 * i)] for i in range(5)
    ]


def test_two_artists_that_share_two_genres_cannot_be_kept_apart() -> None:
    y = np.array([0, 0, 1, 1, 0, 0, 1, 1, 2, 2])
    group = np.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 0])
    rows, group, lone = ensure_two_groups(y, group)
    assert lone == [2]
    splits, _ = make_folds(y[rows], group, seed=0)
    assert all(set(y[rows][fitted]) == {0, 1, 2} for fitted, _ in splits)


def test_only_row_of_a_genre_is_duplicated() -> None:
    y = np.array([0, 0, 0, 1])
    rows, group, lone = ensure_two_groups(y, np.arange(4))
    assert list(rows) == [0, 1, 2, 3, 3]
    assert lone == [1]
    assert len(set(group[y[rows] == 1])) == 2
