"""Work that is called off when something else happens first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


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
