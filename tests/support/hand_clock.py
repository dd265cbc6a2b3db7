"""A server whose time stands still until a test moves it: what is over after seconds or hours is over at once.

So what is in time on a fast machine is in time on a slow one, too, and nothing is over before the test says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from genrelab.serve.limits import Limits
from tests.support.guards import HANG_S, one_turn
from tests.support.live_service import running_server

LOOP = "tests.support.hand_clock:HandClockLoop"


class HandClockLoop(asyncio.SelectorEventLoop):
    """An event loop, for uvicorn's `loop`.

    Attributes:
        latest: the last one that was made.
    """

    latest: ClassVar[HandClockLoop]

    def __init__(self) -> None:
        self.now, self.ahead_s = time.monotonic(), 0.0
        self.held = True
        super().__init__()
        HandClockLoop.latest = self

    def time(self) -> float:
        return self.now if self.held else time.monotonic() + self.ahead_s


class HandClock:
    """Moves the time of a loop that runs in another thread.

    Attributes:
        moved_s: seconds by which it was moved.
    """

    def __init__(self, loop: HandClockLoop) -> None:
        self._loop, self.moved_s = loop, 0.0

    def advance(self, seconds: float) -> None:
        """Let so much time pass; returns when what was due has been done."""
        self.moved_s += seconds
        self.settle(seconds)

    def settle(self, seconds: float = 0.0, turns: int = 20) -> None:
        """Let the loop do what it can do at once, then let time pass, and let it do what is due."""

        async def move() -> None:
            for step_s in (0.0, seconds):
                self._loop.now += step_s
                for _ in range(turns):
                    await one_turn()

        asyncio.run_coroutine_threadsafe(move(), self._loop).result(HANG_S)

    def release(self) -> None:
        """From now on time passes by itself."""

        async def release() -> None:
            self._loop.ahead_s, self._loop.held = self._loop.now - time.monotonic(), False

        asyncio.run_coroutine_threadsafe(release(), self._loop).result(HANG_S)


@contextmanager
def held_server(app: Any, limits: Limits, **settings: Any) -> Iterator[tuple[int, HandClock]]:
    """The port where `app` answers, and the clock of the server; at the end time passes again."""
    with running_server(app, limits, loop=LOOP, **settings) as port:
        clock = HandClock(HandClockLoop.latest)
        try:
            yield port, clock
        finally:
            clock.release()
