"""Which genres need more tracks, and about how many: what the second half of the tracks was worth, carried on."""

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
"""Share of a genre's tracks that should be recognised; what unseen artists of GTZAN reach with all its tracks."""

FEW = 5
"""Below this many tracks a genre is not judged: five are worth more than any other advice."""

MIN_GAIN = 0.02
"""Recall that doubling must have brought, else more tracks of the same kind are no help."""

MAX_TIMES = 8
"""More than this many times the present tracks is no longer an estimate."""


@dataclass(frozen=True)
class GenreAdvice:
    """What is known of one genre.

    Attributes:
        tracks: learned from.
        recall: share of its held-out tracks that are recognised; None where none could be held out.
        more: about how many further tracks it needs, 0 if none; None where more of the same would not help.
        taken_for: the genre that it is taken for most often, if any.
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


def advice(genres: Sequence[str], learned_from: Sequence[str], learned: Learned) -> tuple[GenreAdvice, ...]:
    """Advice for each genre, in their order.

    Args:
        learned_from: the genre of every track.
    """
    counts = Counter(learned_from)
    if learned.scores is None:
        return tuple(_too_few(g, counts[g]) for g in genres)
    per_genre, confusion = learned.scores["per_genre"], np.array(learned.scores["confusion"])
    overall = _mean_gain(genres, per_genre, learned.half_recall)
    found = []
    for i, genre in enumerate(genres):
        recall = per_genre[genre]["recall"] if per_genre[genre]["n"] else None
        others = np.where(np.arange(len(genres)) == i, 0, confusion[i])
        taken_for = genres[int(others.argmax())] if others.any() else None
        own = np.nan if recall is None else recall - learned.half_recall[i]
        # a genre's own gain alone is mostly chance
        gain = overall if overall is None or np.isnan(own) else (own + overall) / 2
        found.append(_judge(genre, counts[genre], recall, gain, taken_for))
    return tuple(found)


def _mean_gain(genres: Sequence[str], per_genre: dict[str, Any], half: Any) -> float | None:
    gains = [
        per_genre[g]["recall"] - h for g, h in zip(genres, half, strict=True) if per_genre[g]["n"] and not np.isnan(h)
    ]
    return float(np.mean(gains)) if gains else None


def _too_few(genre: str, n: int) -> GenreAdvice:
    more = max(0, FEW - n)
    text = f"{pluralize(more, 'more track')}, to begin with" if more else "more tracks or artists, to be scored"
    return GenreAdvice(genre, n, None, more, None, text)


def _judge(genre: str, n: int, recall: float | None, gain: float | None, taken_for: str | None) -> GenreAdvice:
    if recall is None or n < FEW:
        few = _too_few(genre, n)
        return GenreAdvice(genre, n, recall, few.more, taken_for, few.advice)
    if recall >= WANTED_RECALL:
        return GenreAdvice(genre, n, recall, 0, taken_for, "enough")
    if gain is None:
        return GenreAdvice(genre, n, recall, None, taken_for, "more tracks, how many was not measured")
    times = 2 ** ((WANTED_RECALL - recall) / gain) if gain >= MIN_GAIN else math.inf
    if times > MAX_TIMES:
        text = "more tracks like these would hardly help: check its labels"
        text += f", or join it with {taken_for}, which it is often taken for" if taken_for else ""
        return GenreAdvice(genre, n, recall, None, taken_for, text)
    more = max(5, 5 * round(n * (times - 1) / 5))
    return GenreAdvice(genre, n, recall, more, taken_for, f"about {more} more, by other artists")
