"""grouping.py: groups stay whole, genres keep their fractions, and small cases are near the best there is."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from genrelab.splits.grouping import share_out

THREE, NEEDS = (0.64, 0.16, 0.20), (1, 3, 2)


def share(genres: list[str], groups: list[str | None], seed: int = 0) -> list[int]:
    return share_out(genres, groups, THREE, needs=NEEDS, seed=seed)


def deviation(parts: list[int], genres: list[str]) -> float:
    """Sum over genres (and all together) and parts of the squared deviation from the wanted fraction."""
    total = 0.0
    for genre in [*sorted(set(genres)), None]:
        here = [p for p, g in zip(parts, genres, strict=True) if genre in (None, g)]
        total += sum((here.count(k) / len(here) - f) ** 2 for k, f in enumerate(THREE))
    return total


def random_case(seed: int, n_groups: int, n_genres: int, largest: int) -> tuple[list[str], list[str | None]]:
    rng = np.random.default_rng(seed)
    genres, groups = [], []
    for group in range(n_groups):
        home = int(rng.integers(n_genres))
        for _ in range(int(rng.integers(1, largest + 1))):
            genre = home if rng.random() < 0.9 else int(rng.integers(n_genres))
            genres.append(f"g{genre}")
            groups.append(f"a{group}")
    return genres, groups


@pytest.mark.parametrize("seed", range(12))
def test_small_cases_are_close_to_the_optimum(seed: int) -> None:
    genres, groups = random_case(seed, 8, 1, 9)
    names = sorted(set(groups))
    best = min(
        deviation([choice[names.index(g)] for g in groups], genres)
        for choice in itertools.product(range(3), repeat=8)
        if set(choice) == {0, 1, 2}
    )
    assert deviation(share(genres, groups, seed), genres) <= best + 0.012


@pytest.mark.parametrize("seed", range(8))
def test_groups_stay_whole_and_genres_reach_every_part_they_can(seed: int) -> None:
    genres, groups = random_case(seed, 60, 7, 6)
    parts = share(genres, groups, seed)
    of_group = {g: {p for p, h in zip(parts, groups, strict=True) if h == g} for g in set(groups)}
    assert all(len(p) == 1 for p in of_group.values())
    n_groups = Counter(g for g, _ in set(zip(genres, groups, strict=True)))
    for genre, n in n_groups.items():
        here = {p for p, g in zip(parts, genres, strict=True) if g == genre}
        assert here == ({0} if n == 1 else {0, 2} if n == 2 else {0, 1, 2})


def test_many_groups_hit_the_fractions() -> None:
    genres, groups = random_case(1, 400, 8, 5)
    parts = share(genres, groups)
    for genre in set(genres):
        here = [p for p, g in zip(parts, genres, strict=True) if g == genre]
        assert [here.count(k) / len(here) for k in range(3)] == pytest.approx(THREE, abs=0.02)


def test_one_large_group_goes_where_it_fits() -> None:
    groups = ["large"] * 60 + [f"small {i}" for i in range(40)]
    parts = share(["rock"] * 100, groups)
    assert set(parts[:60]) == {0}
    assert [parts.count(k) for k in range(3)] == [64, 16, 20]


def test_tracks_without_group_and_only_groups_stay_in_part_0() -> None:
    genres = ["rock"] * 12 + ["jazz"] * 6
    groups = [None, None, *(f"a{i}" for i in range(10)), *["only"] * 6]
    parts = share(genres, groups)
    assert parts[:2] == [0, 0]
    assert set(parts[12:]) == {0}
    assert 2 in parts[2:12]


def test_a_group_that_two_genres_need_for_training_stays_there() -> None:
    # a is jazz's only artist and half of rock: rock is tested with b.
    parts = share(["jazz", "rock", "rock", "rock"], ["a", "a", "b", "b"])
    assert parts == [0, 0, 2, 2]


def test_tracks_without_any_group_all_go_to_part_0() -> None:
    assert share(["rock", "jazz"], [None, None]) == [0, 0]


def test_result_depends_on_the_seed_and_not_on_the_order() -> None:
    genres, groups = random_case(5, 80, 4, 5)
    first = dict(zip(groups, share(genres, groups, 1), strict=True))
    assert dict(zip(groups[::-1], share(genres[::-1], groups[::-1], 1), strict=True)) == first
    assert dict(zip(groups, share(genres, groups, 2), strict=True)) != first


def test_two_parts_get_their_fractions() -> None:
    genres, groups = random_case(3, 100, 4, 4)
    parts = share_out(genres, groups, (0.8, 0.2), needs=(1, 2), seed=0)
    assert parts.count(1) / len(parts) == pytest.approx(0.2, abs=0.02)
