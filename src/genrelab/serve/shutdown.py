"""Whether the service is stopping, and what is given up because of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from genrelab.serve.problems import Problem, retry_later

T = TypeVar("T")


class Draining:
    """How far the service is with stopping, and how many requests are still under way (streams not counted).

    Attributes:
        started: every new request is refused.
        over: set when bodies that still come are waited for no longer.
    """

    def __init__(self) -> None:
        self.started = False
        self.at_end = asyncio.Event()
        self.in_flight = 0

    def start(self) -> None:
        """From now on every new request is refused."""
        self.started = True

    def end(self) -> None:
        """From now on also those whose body is not here yet."""
        self.start()
        self.at_end.set()

    def enter(self) -> None:
        self.in_flight += 1

    def leave(self) -> None:
        self.in_flight -= 1

    async def run_unless_over(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives; it is called off when nothing is waited for any longer.

        Raises:
            Problem: stopping.
        """
        return await run_unless(self.at_end.wait(), work, shutdown_problem)


def shutdown_problem() -> Problem:
    return retry_later("stopping", "The service is being stopped. Ask again when it is back.", 5)


# --- Work that is called off when something else happens first ---


async def run_unless(
    end: Coroutine[Any, Any, object], work: Coroutine[Any, Any, T], otherwise: Callable[[], Exception]
) -> T:
    """What the work gives; called off, and `otherwise` raised, where the end comes before it.

    What is cancelled, or fails, leaves neither of them running.
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
