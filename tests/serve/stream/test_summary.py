"""What is said of all that was heard."""

from __future__ import annotations

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


def test_summary_of_no_usable_window_is_none() -> None:
    assert whole() is None
    assert whole((0, 3, None)) is None
