"""State of a graceful shutdown, and work that is cancelled when something else happens first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from genrelab.serve.problems import Problem, retry_later

T = TypeVar("T")


@dataclass
class Draining:
    """State of the shutdown.

    Attributes:
        started: every new request is refused.
        in_flight: requests that are being answered, without streams.
    """

    started: bool = False
    in_flight: int = 0


def shutdown_problem() -> Problem:
    """The problem of requests that come while the service is stopping."""
    return retry_later("stopping", "The service is stopping. Try again when it is back.", 5)


async def run_unless(
    end: Coroutine[Any, Any, object], work: Coroutine[Any, Any, T], otherwise: Callable[[], Exception]
) -> T:
    """The result of `work`; where `end` finishes first, `work` is cancelled and `otherwise()` raised."""
    first, result = await run_until_first(work, end)
    if first == 1:
        raise otherwise()
    return cast(T, result)


async def run_until_first(*coroutines: Coroutine[Any, Any, object]) -> tuple[int, object]:
    """Number and result of the coroutine that finishes first; raises what that raised.

    The others are cancelled: none is left running, also where this is cancelled.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    first = next(i for i, task in enumerate(tasks) if task in done)
    return first, tasks[first].result()
