"""State of a graceful shutdown, and work that is cancelled when something else happens first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from genrelab.serve.problems import Problem, retry_later

T = TypeVar("T")


class Draining:
    """State of the shutdown.

    Attributes:
        started: every new request is refused.
        at_end: set when requests whose body is incomplete are refused, too.
        in_flight: requests that are being answered, without streams.
    """

    def __init__(self) -> None:
        self.started = False
        self.at_end = asyncio.Event()
        self.in_flight = 0

    def start(self) -> None:
        """From now on refuse every new request."""
        self.started = True

    def end(self) -> None:
        """From now on also refuse requests whose body is incomplete."""
        self.start()
        self.at_end.set()

    def enter(self) -> None:
        self.in_flight += 1

    def leave(self) -> None:
        self.in_flight -= 1

    async def run_unless_over(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled when `at_end` is set.

        Raises:
            Problem: `stopping`, where it was cancelled.
        """
        return await run_unless(self.at_end.wait(), work, shutdown_problem)


def shutdown_problem() -> Problem:
    return retry_later("stopping", "The service is being stopped. Ask again when it is back.", 5)


async def run_unless(
    end: Coroutine[Any, Any, object], work: Coroutine[Any, Any, T], otherwise: Callable[[], Exception]
) -> T:
    """The result of `work`; where `end` finishes first, `work` is cancelled and `otherwise()` raised.

    Neither of them is left running, also where this is cancelled or one of them fails.
    """
    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(end)
    try:
        await asyncio.wait((working, ending), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise otherwise()
        return working.result()
    finally:
        working.cancel()
        ending.cancel()
        await asyncio.gather(working, ending, return_exceptions=True)
