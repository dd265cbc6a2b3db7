"""Which genres need more tracks: the rules, on learned models whose scores are made up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest

from genrelab.runs.learn_advice import MAX_TIMES, MIN_GAIN, MIN_TRACKS, WANTED_RECALL, GenreAdvice, advice
from genrelab.runs.learn_head import Learned


@dataclass
class Scored:
    """What `advice` reads of a learned model."""

    scores: dict[str, Any] | None
    half_recall: Any


def judged(
    confusion: list[list[int]], half: list[float], *, tracks: list[int] | None = None
) -> tuple[GenreAdvice, ...]:
    """Advice on genres a, b, c … with these confusions; as many tracks as were scored, unless given."""
    genres = [chr(ord("a") + i) for i in range(len(confusion))]
    sizes = [sum(row) for row in confusion]
    per_genre = {
        g: {"n": n, "recall": row[i] / n if n else None}
        for i, (g, n, row) in enumerate(zip(genres, sizes, confusion, strict=True))
    }
    learned = Scored({"per_genre": per_genre, "confusion": confusion}, np.array(half))
    learned_from = [g for g, n in zip(genres, tracks or sizes, strict=True) for _ in range(n)]
    return advice(genres, learned_from, cast(Learned, learned))


def test_genre_that_is_recognised_has_enough() -> None:
    a, b = judged([[15, 5], [2, 18]], [0.5, 0.7])
    assert (a.recall, a.more, a.advice, a.taken_for) == (0.75, 0, "no more tracks", "b")
    assert a.recall == WANTED_RECALL
    assert (b.more, b.advice, b.tracks) == (0, "no more tracks", 20)


def test_gain_of_the_last_doubling_is_carried_on() -> None:
    """0.15 are missing and doubling brought 0.15: as many again as there are."""
    a, _ = judged([[12, 8], [8, 12]], [0.45, 0.45])
    assert (a.recall, a.more, a.advice) == (0.6, 20, "about 20 more tracks by other artists")
    a, _ = judged([[6, 14], [14, 6]], [0.0, 0.0])  # 0.45 are missing, doubling brought 0.3: times 2 ** 1.5
    assert a.more == 5 * round(20 * (2**1.5 - 1) / 5) == 35


def test_genres_own_gain_counts_half() -> None:
    """A genre's own gain alone is mostly chance: 0.3 of its own and 0.2 on average are taken for 0.25."""
    a, b = judged([[10, 10], [10, 10]], [0.2, 0.4])
    assert a.more == 5 * round(20 * (2 ** (0.25 / 0.25) - 1) / 5) == 20
    assert b.more == 5 * round(20 * (2 ** (0.25 / 0.15) - 1) / 5) == 45


def test_at_least_five_more_are_asked_for() -> None:
    a, _ = judged([[14, 6], [0, 20]], [0.1, 1.0])
    assert a.more == 5


def test_more_of_the_same_is_no_advice_where_doubling_brought_nothing() -> None:
    a, b = judged([[8, 12], [2, 18]], [0.4, 0.9])
    assert (a.more, a.taken_for) == (None, "b")
    assert a.advice == "no more such tracks: check its labels, or merge it with b (often confused)"
    assert b.advice == "no more tracks"


def test_estimate_that_is_too_far_away_is_none() -> None:
    gain = 0.25 / np.log2(MAX_TIMES)
    assert gain > MIN_GAIN
    a, _ = judged([[10, 10], [10, 10]], [0.5 - gain * 0.99] * 2)
    assert a.more is None
    a, _ = judged([[10, 10], [10, 10]], [0.5 - gain * 1.01] * 2)
    assert a.more == 5 * round(20 * (2 ** (0.25 / (gain * 1.01)) - 1) / 5)


@pytest.mark.parametrize("n", [2, 3, MIN_TRACKS - 1])
def test_too_few_tracks_are_not_judged(n: int) -> None:
    a, _ = judged([[n, 0], [0, 20]], [1.0, 1.0])
    text = f"at least {MIN_TRACKS - n} more track{'s' if MIN_TRACKS - n > 1 else ''}"
    assert (a.tracks, a.recall, a.more, a.advice) == (n, 1.0, MIN_TRACKS - n, text)


def test_genre_that_could_not_be_held_out_needs_further_artists() -> None:
    a, b = judged([[0, 0], [5, 15]], [float("nan"), 0.75], tracks=[30, 20])
    assert (a.recall, a.more, a.advice) == (None, 0, "more artists, for a test")
    assert b.taken_for == "a"


def test_genre_whose_half_was_not_measured_takes_the_gain_of_the_others() -> None:
    a, _ = judged([[12, 8], [8, 12]], [float("nan"), 0.45])
    assert a.more == 20


def test_how_many_more_is_not_said_where_no_half_was_measured() -> None:
    a, b = judged([[12, 8], [2, 18]], [float("nan"), float("nan")])
    assert (a.recall, a.more, a.taken_for, a.advice) == (0.6, None, "b", "more tracks")
    assert (b.more, b.advice) == (0, "no more tracks")


def test_nothing_is_judged_where_nothing_was_scored() -> None:
    found = advice(["a", "b"], ["a"] * 3 + ["b"] * 9, cast(Learned, Scored(None, None)))
    assert [(g.genre, g.tracks, g.recall, g.more, g.taken_for, g.advice) for g in found] == [
        ("a", 3, None, 2, None, "at least 2 more tracks"),
        ("b", 9, None, 0, None, "more artists, for a test"),
    ]


def test_advice_is_plain_json() -> None:
    a, _ = judged([[15, 5], [2, 18]], [0.5, 0.7])
    assert a.to_json() == {
        "genre": "a", "tracks": 20, "recall": 0.75, "more": 0, "taken_for": "b", "advice": "no more tracks",
    }  # fmt: skip
