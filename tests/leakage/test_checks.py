"""leakage/checks.py: what is shared is counted without writing out every pair."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from genrelab.leakage.checks import Check, Sides, shared_key_check


def checked(keys: Sequence[str | None], sides: Sides) -> Check:
    return shared_key_check("same_track", keys, sides, lambda a, b: "same file")


def test_between_two_sides_only_pairs_across_are_counted() -> None:
    keys = ["a", "a", "b", "a", "b", None, None]
    found = checked(keys, Sides({0, 1, 5}, {3, 4, 6}))
    assert [pair[:2] for pair in found.pairs()] == [(0, 3), (1, 3)]
    assert (found.leaking, found.n_pairs) == (1, 2)


def test_within_a_collection_every_pair_is_counted() -> None:
    tracks = {0, 1, 2, 3, 4}
    found = checked(["a", "a", "b", "a", None], Sides(tracks, tracks))
    assert [pair[:2] for pair in found.pairs()] == [(0, 1), (0, 3), (1, 3)]
    assert (found.leaking, found.n_pairs) == (3, 3)


def test_billions_of_pairs_are_counted_without_listing_them() -> None:
    n = 200_000
    found = checked(["x"] * n, Sides(set(range(n // 2)), set(range(n // 2, n))))
    assert found.n_pairs == (n // 2) ** 2
    assert len(list(islice(found.pairs(), 5))) == 5
