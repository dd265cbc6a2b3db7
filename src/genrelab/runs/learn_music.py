"""Do the owner's tracks sound like music to the gate? Where they do not, the model must do without it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrelab.core.text import join_first, pluralize
from genrelab.features.gate import MIN_MUSIC_SCORE, music_score
from genrelab.runs.learn_labels import LabelledFile

MAX_SHARE = 0.2
"""If the gate takes more of a genre's tracks for no music, it is no music to it: audiobooks, nature, drones."""


@dataclass(frozen=True)
class MusicCheck:
    """Whether the bundle uses the gate, and what its owner must know."""

    gate: bool
    notes: tuple[str, ...]


def check_music(files: Sequence[LabelledFile], x: NDArray[np.float32]) -> MusicCheck:
    """Compare the tracks with the gate.

    Args:
        x: embedding of each file, (files, outputs).
    """
    refused = music_score(x) < MIN_MUSIC_SCORE
    by_genre: dict[str, list[bool]] = defaultdict(list)
    for f, no_music in zip(files, refused.tolist(), strict=True):
        by_genre[f.genre].append(no_music)
    beyond = {g: found for g, found in by_genre.items() if sum(found) > max(1, MAX_SHARE * len(found))}
    if beyond:
        told = [f"{sum(found)} of {pluralize(found, 'track')} of {g}" for g, found in sorted(beyond.items())]
        note = f"{join_first(told)} do not sound like music to genrelab, so this model names a genre for every sound"
        return MusicCheck(False, (note,))
    paths = sorted({f.path for f, no_music in zip(files, refused.tolist(), strict=True) if no_music})
    names = [path.name for path in paths]
    if not names:
        return MusicCheck(True, ())
    tracks = f"{pluralize(names, 'track')} do not sound like music to genrelab: {join_first(names)}"
    note = f"{tracks}. They are learned from, but `predict` and `tag` call such sounds unknown unless --any is given"
    return MusicCheck(True, (note,))
