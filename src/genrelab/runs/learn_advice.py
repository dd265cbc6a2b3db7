"""Estimates which genres need more tracks, and how many, from the gain by the second half of the tracks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from genrelab.core.text import pluralize
from genrelab.runs.learn_head import Learned

WANTED_RECALL = 0.75
"""Recall that is enough for a genre; tracks by new artists reach it in GTZAN with all its training tracks."""

MIN_TRACKS = 5
"""A genre with fewer tracks is not judged: it needs more first."""

MIN_GAIN = 0.02
"""Minimum gain in recall by the second half of the tracks; with less, more tracks of the same kind do not help."""

MAX_TIMES = 8
"""Maximum factor of the present number of tracks; beyond it an estimate is too uncertain."""


@dataclass(frozen=True)
class GenreAdvice:
    """The recall of one genre, and what it needs.

    Attributes:
        tracks: number of its tracks.
        recall: share of its held-out tracks that are classified correctly; None if none could be held out.
        more: estimated number of further tracks that it needs; None if more of the same kind would not help.
        taken_for: the genre that it is most often confused with, if any.
        advice: the same in words.
    """

    genre: str
    tracks: int
    recall: float | None
    more: int | None
    taken_for: str | None
    advice: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def advice(genres: Sequence[str], of_tracks: Sequence[str], learned: Learned) -> tuple[GenreAdvice, ...]:
    """Advice for each genre, in their order.

    Args:
        of_tracks: the genre of every track.
    """
    counts = Counter(of_tracks)
    if learned.scores is None:
        return tuple(_judge(genre, counts[genre], None, None, None) for genre in genres)
    per_genre, confusion = learned.scores["per_genre"], np.array(learned.scores["confusion"])
    overall = _mean_gain(genres, per_genre, learned.half_recall)
    found = []
    for i, genre in enumerate(genres):
        recall = per_genre[genre]["recall"] if per_genre[genre]["n"] else None
        others = np.where(np.arange(len(genres)) == i, 0, confusion[i])
        taken_for = genres[int(others.argmax())] if others.any() else None
        own = np.nan if recall is None else recall - learned.half_recall[i]
        # the gain of one genre alone is mostly chance
        gain = overall if overall is None or np.isnan(own) else (own + overall) / 2
        found.append(_judge(genre, counts[genre], recall, gain, taken_for))
    return tuple(found)


def _mean_gain(genres: Sequence[str], per_genre: dict[str, Any], half: Any) -> float | None:
    gains = [
        per_genre[g]["recall"] - h for g, h in zip(genres, half, strict=True) if per_genre[g]["n"] and not np.isnan(h)
    ]
    return float(np.mean(gains)) if gains else None


def _judge(genre: str, n: int, recall: float | None, gain: float | None, taken_for: str | None) -> GenreAdvice:
    if recall is None or n < MIN_TRACKS:
        more = max(0, MIN_TRACKS - n)
        text = f"at least {pluralize(more, 'more track')}" if more else "more artists, for a test"
        return GenreAdvice(genre, n, recall, more, taken_for, text)
    if recall >= WANTED_RECALL:
        return GenreAdvice(genre, n, recall, 0, taken_for, "no more tracks")
    if gain is None:
        return GenreAdvice(genre, n, recall, None, taken_for, "more tracks")
    times = 2 ** ((WANTED_RECALL - recall) / gain) if gain >= MIN_GAIN else math.inf
    if times > MAX_TIMES:
        text = "no more such tracks: check its labels"
        text += f", or merge it with {taken_for} (often confused)" if taken_for else ""
        return GenreAdvice(genre, n, recall, None, taken_for, text)
    more = max(5, 5 * round(n * (times - 1) / 5))
    return GenreAdvice(genre, n, recall, more, taken_for, f"about {more:,} more tracks by other artists")
