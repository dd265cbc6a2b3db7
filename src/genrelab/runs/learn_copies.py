"""Tracks that are nearly the same recording: they must not be learned from and scored at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genrelab.identity.groups import connected_groups

MAX_DISTANCE = 0.25
"""Relative distance of embeddings below which two tracks are taken for one recording.

Measured on 20 tracks of Emotify: as WAV instead of MP3 at most 0.04; as an MP3 of 64 kbit/s 0.17, and cut to start
0.7 s later 0.24 in the median; no two of 100 different tracks are nearer than 0.33.
"""

BLOCK = 1_000
"""Tracks that are compared with all others at once."""


def near_copies(x: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Pairs of rows (i < j) of `x` (tracks, outputs) that are nearly alike."""
    squares = (x.astype(np.float64) ** 2).sum(axis=1)
    found: list[tuple[int, int]] = []
    for start in range(0, len(x), BLOCK):
        part = slice(start, start + BLOCK)
        distance = squares[part, None] + squares - 2 * (x[part] @ x.T).astype(np.float64)
        near = distance < MAX_DISTANCE**2 * np.minimum(squares[part, None], squares)
        found += [(start + int(i), int(j)) for i, j in zip(*np.nonzero(near), strict=True) if start + i < j]
    return found


def held_out_together(
    artists: Sequence[str | None], copies: Sequence[tuple[int, int]], recordings: Sequence[str | None] | None = None
) -> list[str | None]:
    """A name for each track, equal for those of one artist or recording and for near copies; None for one by itself.

    Args:
        artists: in lower case, so that none is called like a group.
        recordings: equal for pieces of one recording.
    """
    keyings = [[() if key is None else (key,) for key in keys] for keys in (artists, recordings or [])]
    group = connected_groups(len(artists), *keyings, pairs=copies)
    sizes = Counter(group)
    return [artist if sizes[g] == 1 else f"Group {g}" for artist, g in zip(artists, group, strict=True)]
