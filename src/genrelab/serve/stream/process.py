"""The process of a stream, as the service sees it: talked to while it hears, and ended whatever it does."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

from genrelab.serve.problems import Problem
from genrelab.serve.stream.framing import Order, packed
from genrelab.serve.workers.subprocess import Child, Dead

LONGEST_NEWS = 1 << 18
"""Bytes that a process may say at a time."""

_log = logging.getLogger("genrelab.serve")


class Leash:
    """One process for as long as an `async with` block lasts; it is killed at the end of it.

    Args:
        order: what it is to hear.
        memory: bytes of its own that it may have.
    """

    def __init__(self, order: Order, memory: int) -> None:
        self._order, self._memory = order, memory

    async def __aenter__(self) -> Leash:
        self._child = await Child.begin("genrelab.serve.stream.worker", str(self._memory), longest=LONGEST_NEWS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._child.end()

    async def begin(self) -> None:
        """Tell it what to hear.

        Raises:
            Problem: `crashed`: it has died.
        """
        await self.tell(self._order.to_json())

    async def tell(self, piece: bytes) -> None:
        """Hand over bytes; returns when there is room for more.

        Raises:
            Problem: `crashed`: it has died.
        """
        try:
            await self._child.write(packed(piece))
        except Dead as e:
            raise await self.crashed() from e

    async def news(self) -> dict[str, Any]:
        """What it says next.

        Raises:
            Problem: `crashed`: it has died, or says what no process of ours says.
        """
        try:
            return await self._child.line()
        except Dead as e:
            raise await self.crashed() from e

    async def crashed(self) -> Problem:
        """What is to be said of its end; what it said itself goes into the log."""
        await self._child.end()
        _log.warning("the process of a stream died: %s", self._child.tail)
        return Problem("crashed", "The decoder crashed on what was sent.")
