"""Tracks that are nearly one recording are found, and held out with each other and with their artists."""

from __future__ import annotations

import numpy as np
import pytest

from genrelab.runs import learn_copies
from genrelab.runs.learn_copies import MAX_DISTANCE, held_out_together, near_copies


def at_distance(row: np.ndarray, distance: float, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    """A row whose distance from another is this share of the other's length; both are of one length."""
    other = np.random.default_rng(seed).standard_normal(len(row))
    other -= row * (other @ row) / (row @ row)
    angle = 2 * np.arcsin(distance / 2)
    return np.asarray(row * np.cos(angle) + other * np.linalg.norm(row) / np.linalg.norm(other) * np.sin(angle))


@pytest.mark.parametrize("block", [1, 3, 1_000])
def test_tracks_below_the_distance_are_pairs(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(learn_copies, "BLOCK", block)
    x = 5 * np.random.default_rng(0).standard_normal((6, 200))
    x[4] = at_distance(x[1], MAX_DISTANCE * 0.95, 1)
    x[2] = at_distance(x[0], MAX_DISTANCE * 1.05, 2)
    x[5] = x[3]
    assert near_copies(x.astype(np.float32)) == [(1, 4), (3, 5)]


def test_loudness_of_an_embedding_does_not_matter_to_what_is_near() -> None:
    row = np.random.default_rng(0).standard_normal(200)
    for size in (0.01, 1.0, 100.0):
        x = size * np.stack([row, at_distance(row, 0.2, 1), at_distance(row, 0.3, 2)])
        assert near_copies(x.astype(np.float32))[0] == (0, 1) and (0, 2) not in near_copies(x.astype(np.float32))


def test_rows_without_a_length_are_no_copies() -> None:
    assert near_copies(np.zeros((3, 10), np.float32)) == []
    assert near_copies(np.ones((1, 10), np.float32)) == []


def test_artists_and_copies_are_chained_into_groups() -> None:
    artists = ["Ann", None, "Bob", "Ann", None, "Cid", None]
    found = held_out_together(artists, [(1, 2), (4, 6)])
    assert found[0] == found[3] and found[1] == found[2] and found[4] == found[6]
    assert len(set(found)) == 4 and found[5] == "Cid"
    chained = held_out_together(artists, [(0, 2), (2, 5), (5, 6)])
    assert len({chained[i] for i in (0, 2, 3, 5, 6)}) == 1 and chained[1] is chained[4] is None


def test_without_copies_and_artists_each_track_is_alone() -> None:
    assert held_out_together([None, None], []) == [None, None]
    assert held_out_together(["Ann", "Bob"], []) == ["Ann", "Bob"]


def test_artist_who_is_called_like_a_group_is_not_in_it() -> None:
    names = held_out_together(["ann", "ann", *(f"group {i}" for i in range(3))], [])
    assert len(set(names)) == 4 and names[0] == names[1]
