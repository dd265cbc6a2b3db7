"""Whether sound is sent nearly as fast as it sounds: no place is held with a byte at a time."""

from __future__ import annotations

CHECK_PERIOD_S = 60.0
"""Seconds of waiting for a client, after each of which it is looked at what has come."""

MIN_SPEED = 0.25
"""Seconds of sound that must come in a second of waiting."""


class SendRate:
    """Counts the time in which the client is waited for: what hearing takes is not its fault.

    Args:
        now: seconds on any clock.
    """

    def __init__(self, now: float) -> None:
        self._since, self._theirs = now, False
        self._waited_s = self._heard_s = 0.0

    def switch(self, now: float, *, theirs: bool) -> None:
        """From now on the client is waited for, or is not."""
        if self._theirs:
            self._waited_s += now - self._since
        self._since, self._theirs = now, theirs

    def problem(self, audio_s: float) -> str | None:
        """What is to be said of a stream of which so many seconds have been heard; None: it is fast enough."""
        if self._waited_s < CHECK_PERIOD_S:
            return None
        came_s, waited_s = audio_s - self._heard_s, self._waited_s
        self._waited_s, self._heard_s = 0.0, audio_s
        if came_s >= MIN_SPEED * waited_s:
            return None
        return (
            f"Only {came_s:.1f} s of sound came in {waited_s:.0f} s. Send it at {MIN_SPEED:g} of the speed at which it "
            "sounds at least, or send `stop`, and begin another stream when there is more."
        )
