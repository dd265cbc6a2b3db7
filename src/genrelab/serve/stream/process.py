"""The process of a stream, as the service sees it: talked to while it hears, and ended whatever it does."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

from genrelab.serve.problems import Problem
from genrelab.serve.stream.framing import StreamJob, pack_piece
from genrelab.serve.workers.subprocess import ProcessDied, Subprocess

MAX_MESSAGE_BYTES = 1 << 18
"""Bytes that a process may say at a time."""

_log = logging.getLogger("genrelab.serve")


class StreamProcess:
    """One process for as long as an `async with` block lasts; it is killed at the end of it.

    Args:
        order: what it is to hear.
        memory: bytes of its own that it may have.
    """

    def __init__(self, order: StreamJob, memory: int) -> None:
        self._job, self._memory = order, memory

    async def __aenter__(self) -> StreamProcess:
        self._process = await Subprocess.start(
            "genrelab.serve.stream.worker", str(self._memory), longest=MAX_MESSAGE_BYTES
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._process.end()

    async def start(self) -> None:
        """Tell it what to hear.

        Raises:
            Problem: `crashed`: it has died.
        """
        await self.send_piece(self._job.to_json())

    async def send_piece(self, piece: bytes) -> None:
        """Hand over bytes; returns when there is room for more.

        Raises:
            Problem: `crashed`: it has died.
        """
        try:
            await self._process.write(pack_piece(piece))
        except ProcessDied as e:
            raise await self.crashed() from e

    async def read_message(self) -> dict[str, Any]:
        """What it says next.

        Raises:
            Problem: `crashed`: it has died, or says what no process of ours says.
        """
        try:
            return await self._process.read_line()
        except ProcessDied as e:
            raise await self.crashed() from e

    async def crashed(self) -> Problem:
        """What is to be said of its end; what it said itself goes into the log."""
        await self._process.end()
        _log.warning("the process of a stream died: %s", self._process.stderr_tail)
        return Problem("crashed", "The decoder crashed on what was sent.")
