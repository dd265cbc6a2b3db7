"""What is said of all that was heard."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from genrelab.predict.prediction import Decision, Prediction
from genrelab.serve.stream.summary import StreamSummary

BUNDLE: Any = SimpleNamespace(genres=("Blues", "Rock"), name="served", decision=Decision())


def whole(*windows: tuple[float, float, float | None]) -> Prediction | None:
    """Of windows: start, end, and how probable Blues is; None: silence."""
    found = StreamSummary(BUNDLE, 3.0)
    for start_s, end_s, p in windows:
        named = {} if p is None else {"Blues": p, "Rock": 1 - p}
        found.add(start_s, end_s, Prediction("", None, None, named, None, "served", None))
    return found.prediction(windows[-1][1] if windows else 0.0)


@pytest.mark.parametrize(
    ("windows", "blues"),
    [
        ([(0, 1, 0.1)], 0.1),
        ([(0, 1, 0.1), (0, 2, 0.3)], 0.3),  # the last, which holds the first
        ([(0, 2, 0.3), (0, 3, 0.5)], 0.5),
        ([(0, 3, 0.5), (1, 4, 0.9), (2, 5, 0.9)], 0.5),
        ([(0, 3, 0.5), (1, 4, 0.9), (2, 5, 0.9), (3, 6, 0.7)], 0.6),
        ([(0, 3, None), (1, 4, 0.2)], 0.2),
        ([(0, 3, 0.5), (3, 4, 0.9)], 0.5),  # another rate began, and filled no window
    ],
)
def test_summary_averages_non_overlapping_windows(
    windows: list[tuple[float, float, float | None]], blues: float
) -> None:
    said = whole(*windows)
    assert said is not None
    assert said.probabilities == pytest.approx({"Blues": blues, "Rock": 1 - blues})
    assert said.genre == ("Blues" if blues >= 0.5 else "Rock")
    assert said.duration_s == windows[-1][1]


def with_scores(*scores: float, decision: Decision = BUNDLE.decision) -> Prediction | None:
    """Of full windows, one after the other, that sound like music so much and have a tag that is as likely."""
    found = StreamSummary(SimpleNamespace(**vars(BUNDLE) | {"decision": decision}), 3.0)  # type: ignore[arg-type]
    for i, score in enumerate(scores):
        window = Prediction("", "Blues", 0.9, {"Blues": 0.9, "Rock": 0.1}, 3.0, "served", None)
        found.add(3.0 * i, 3.0 * i + 3, replace(window, music_score=score, tags={"sad": score / 10 + 0.5}))
    return found.prediction(3.0 * len(scores))


def test_gate_applies_to_the_mean_over_all_windows() -> None:
    music, speech = with_scores(3.0, -1.0, -1.0), with_scores(3.0, -2.0, -2.0)
    assert music is not None and speech is not None
    assert (music.genre, music.unknown_because) == ("Blues", None)
    assert music.music_score == pytest.approx(1 / 3)
    assert (speech.genre, speech.unknown_because, speech.confidence) == ("unknown", "not_music", 0.9)
    named = with_scores(-2.0, decision=Decision(gate=False))
    assert named is not None and named.genre == "Blues"


def test_summary_has_the_mean_of_the_tags() -> None:
    said = with_scores(3.0, 1.0)
    assert said is not None and said.tags == pytest.approx({"sad": 0.7})
    without = whole((0, 3, 0.5))
    assert without is not None and without.tags is None and without.music_score is None


def test_summary_of_no_usable_window_is_none() -> None:
    assert whole() is None
    assert whole((0, 3, None)) is None
