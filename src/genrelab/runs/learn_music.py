"""Checks whether the owner's tracks pass the music gate; if a genre does not, its model works without the gate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genrelab.core.text import join_first, pluralize
from genrelab.features.gate import MIN_MUSIC_SCORE, music_score
from genrelab.runs.learn_labels import LabelledFile

MAX_SHARE = 0.2
"""If the gate refuses a larger share of a genre, it is not used: for audiobooks, nature sounds, drones."""


def check_music(files: Sequence[LabelledFile], x: NDArray[np.float32]) -> tuple[bool, list[str]]:
    """Compare the tracks with the gate.

    Args:
        x: embedding of each file, (files, outputs).

    Returns:
        Whether the bundle uses the gate, and notes for its owner.
    """
    refused = music_score(x) < MIN_MUSIC_SCORE
    by_genre: dict[str, list[bool]] = defaultdict(list)
    for f, no_music in zip(files, refused.tolist(), strict=True):
        by_genre[f.genre].append(no_music)
    beyond = {g: found for g, found in by_genre.items() if sum(found) > max(1, MAX_SHARE * len(found))}
    if beyond:
        counts = join_first([f"{g} ({sum(found):,} of {len(found):,})" for g, found in sorted(beyond.items())])
        return False, [f"tracks that do not sound like music: {counts}; so this model names a genre for every sound"]
    paths = sorted({f.path for f, no_music in zip(files, refused.tolist(), strict=True) if no_music})
    if not paths:
        return True, []
    verb = "does" if len(paths) == 1 else "do"
    tracks = f"{pluralize(paths, 'track')} {verb} not sound like music ({join_first([path.name for path in paths])})"
    return True, [f"{tracks}: used for training, but `predict` and `tag` answer unknown for such sounds without --any"]
