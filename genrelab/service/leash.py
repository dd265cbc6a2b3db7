"""Program: the process of a stream, seen from the service: begun, talked to, and ended, whatever it does."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from contextlib import suppress
from types import TracebackType
from typing import Any

from genrelab.errors import printable
from genrelab.service.problems import Problem
from genrelab.service.wire import Order, packed
from genrelab.service.worker_process import environment

LONGEST_NEWS = 1 << 18
"""Bytes that a process may say at a time."""

TAIL_BYTES = 2_000
"""Of what it said last on its standard error; written to the log when it dies."""

_log = logging.getLogger("genrelab.serve")


class Leash:
    """One process for as long as an `async with` block lasts; it is killed at the end of it.

    Args:
        order: what it is to hear.
        memory: bytes of its own that it may have.
    """

    def __init__(self, order: Order, memory: int) -> None:
        self._order, self._memory = order, memory
        self._tail = b""

    async def __aenter__(self) -> Leash:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "genrelab.service.listener", str(self._memory)),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            limit=LONGEST_NEWS,
            env=environment(),
        )
        self._ended = asyncio.create_task(self._overhear())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        # To its last word, for a reader that was full would never see the end of the pipe.
        await asyncio.shield(asyncio.create_task(self._buried()))

    async def _buried(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        while await self._process.stdout.read(LONGEST_NEWS):
            pass
        await self._ended
        await self._process.wait()
        self._process.stdin.close()

    async def _overhear(self) -> None:
        assert self._process.stderr is not None
        while said := await self._process.stderr.read(TAIL_BYTES):
            self._tail = (self._tail + said)[-TAIL_BYTES:]

    async def begin(self) -> None:
        """Tell it what to hear."""
        await self.tell(self._order.to_json())

    async def tell(self, piece: bytes) -> None:
        """Hand over bytes; returns when there is room for more.

        Raises:
            Problem: `crashed`: nobody is there to take them.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(packed(piece))
            await self._process.stdin.drain()
        except OSError as e:
            raise await self.crashed() from e

    async def news(self) -> dict[str, Any]:
        """What it says next.

        Raises:
            Problem: `crashed`: it has died, or says what no process of ours says.
        """
        assert self._process.stdout is not None
        try:
            news = json.loads(await self._process.stdout.readline())
        except (OSError, ValueError, RecursionError) as e:
            raise await self.crashed() from e
        if not isinstance(news, dict):
            raise await self.crashed()
        return news

    async def crashed(self) -> Problem:
        """What is to be said of it; what it said itself goes into the log."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._ended
        _log.warning("the process of a stream died: %s", printable(self._tail.decode(errors="replace").strip()))
        return Problem("crashed", "The decoder crashed on what was sent.")
