"""How slowly sound may come."""

from __future__ import annotations

import pytest

from genrelab.serve.stream.session import CHECK_PERIOD_S, MIN_SPEED, SendRate


def problem_after(waited_s: float, audio_s: float) -> str | None:
    pace = SendRate(100.0)
    pace.switch(100.0, waiting_for_client=True)
    pace.switch(100.0 + waited_s, waiting_for_client=True)
    return pace.problem(audio_s)


@pytest.mark.parametrize(
    ("waited_s", "audio_s", "slow"),
    [
        (CHECK_PERIOD_S - 1, 0, False),
        (CHECK_PERIOD_S, CHECK_PERIOD_S * MIN_SPEED, False),
        (CHECK_PERIOD_S, CHECK_PERIOD_S * MIN_SPEED - 1, True),
        (600, 149, True),
    ],
)
def test_audio_must_fill_a_quarter_of_the_waiting_time(waited_s: float, audio_s: float, slow: bool) -> None:
    assert (problem_after(waited_s, audio_s) is not None) == slow


def test_processing_time_does_not_count() -> None:
    pace = SendRate(0.0)
    pace.switch(1_000.0, waiting_for_client=True)
    pace.switch(1_010.0, waiting_for_client=False)
    pace.switch(9_000.0, waiting_for_client=True)
    assert pace.problem(0.0) is None


def test_audio_before_the_time_span_does_not_count() -> None:
    pace = SendRate(0.0)
    pace.switch(0.0, waiting_for_client=True)
    pace.switch(CHECK_PERIOD_S, waiting_for_client=True)
    assert pace.problem(1_000.0) is None
    pace.switch(2 * CHECK_PERIOD_S, waiting_for_client=True)
    assert str(pace.problem(1_003.0)).startswith("Only 3.0 s of sound came in 60 s. ")
