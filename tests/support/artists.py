"""Tracks that come by artists, as in real collections, answered by models whose true accuracy is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZES = {
    "gtzan": {
        1: 140, 2: 19, 3: 6, 4: 5, 5: 2, 6: 4, 7: 4, 8: 4, 9: 3, 10: 1, 11: 3, 12: 2, 14: 1, 15: 1, 17: 1, 18: 1, 19: 1,
    },
    "fma": {
        1: 112, 2: 32, 3: 18, 4: 14, 5: 12, 6: 5, 7: 6, 8: 4, 9: 2, 10: 2, 11: 3, 15: 1, 16: 1, 17: 1, 18: 1, 20: 1,
        21: 1, 29: 1, 41: 1, 47: 1, 55: 1,
    },
}  # fmt: skip
"""Artists by their number of tracks: fault-filtered GTZAN's test and validation parts, fma_small's validation part."""


def draw_groups(rng: np.random.Generator, n_artists: int, like: str) -> list[str]:
    """The artist of every track: so many artists, whose numbers of tracks are drawn from a real collection's."""
    sizes, counts = np.array(list(SIZES[like])), np.array(list(SIZES[like].values()))
    drawn = rng.choice(sizes, n_artists, p=counts / counts.sum())
    return [f"artist {i}" for i in np.repeat(np.arange(n_artists), drawn)]


def draw_correct(rng: np.random.Generator, groups: list[str], accuracy: float, alike: float) -> NDArray[np.bool_]:
    """Answers of a true accuracy, each artist's Beta-distributed about it.

    Args:
        groups: of `draw_groups`, where the tracks of an artist stand together.
        alike: correlation of two tracks of an artist, 0 to below 1.
    """
    new = np.array([a != b for a, b in zip(groups, ["", *groups[:-1]], strict=True)])
    p = np.full(int(new.sum()), accuracy)
    if alike:
        spread = (1 - alike) / alike
        p = rng.beta(p * spread, (1 - p) * spread)
    return np.asarray(rng.random(len(groups)) < p[np.cumsum(new) - 1])
