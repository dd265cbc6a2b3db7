"""Finds duplicates and near-duplicates: they must not be in both the training and the test set.

Fingerprints find copies and excerpts in any encoding; embeddings find tracks that are too short or too plain for
landmarks, and most copies that are 2 or 3 % faster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.features.fingerprint import Fingerprint, unpack
from genrelab.identity.groups import connected_groups
from genrelab.leakage.near_duplicates import find_near_duplicates
from genrelab.runs.embedding_cache import Prints

MAX_DISTANCE = 0.25
"""Relative distance of embeddings below which two tracks are near-duplicates.

Measured on 20 tracks of Emotify: as WAV instead of MP3 at most 0.04; as an MP3 of 64 kbit/s 0.17, and cut to start
0.7 s later 0.24 in the median; no two of 100 different tracks are closer than 0.33.
"""

BLOCK = 1_000
"""Tracks that are compared with all others in one step."""


def near_copies(x: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Pairs of rows (i < j) of `x` (tracks, outputs) that are near-duplicates."""
    squares = (x.astype(np.float64) ** 2).sum(axis=1)
    found: list[tuple[int, int]] = []
    for start in range(0, len(x), BLOCK):
        part = slice(start, start + BLOCK)
        distance = squares[part, None] + squares - 2 * (x[part] @ x.T).astype(np.float64)
        near = distance < MAX_DISTANCE**2 * np.minimum(squares[part, None], squares)
        found += [(start + int(i), int(j)) for i, j in zip(*np.nonzero(near), strict=True) if start + i < j]
    return found


def sharing_audio(paths: Sequence[Path], prints: Sequence[Prints]) -> list[tuple[int, int]]:
    """Pairs of rows (i < j) whose files share a recording, or a stretch of it; see `find_near_duplicates`.

    Args:
        paths: file of each row; if a file has several rows, only the first counts.
        prints: fingerprints of each row's file.
    """
    first = {path: row for row, path in reversed(list(enumerate(paths)))}
    of_rows = [
        Fingerprint(str(row), start_s, unpack(marks))
        for row in sorted(first.values())
        for start_s, marks in prints[row]
    ]
    return [(int(pair.a), int(pair.b)) for pair in find_near_duplicates(of_rows)]


def held_out_together(
    artists: Sequence[str | None], copies: Sequence[tuple[int, int]], recordings: Sequence[str | None] | None = None
) -> list[str | None]:
    """A name for each track, equal for tracks of one artist or recording and for near-duplicates; None for others.

    Args:
        artists: in lower case, unlike the names of groups.
        recordings: equal for pieces of one recording.
    """
    keyings = [[() if key is None else (key,) for key in keys] for keys in (artists, recordings or [])]
    group = connected_groups(len(artists), *keyings, pairs=copies)
    sizes = Counter(group)
    return [artist if sizes[g] == 1 else f"Group {g}" for artist, g in zip(artists, group, strict=True)]
