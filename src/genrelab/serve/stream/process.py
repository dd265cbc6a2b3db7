"""The service's side of the process of a stream."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

from genrelab.serve.problems import Problem
from genrelab.serve.stream.framing import StreamJob, pack_piece
from genrelab.serve.workers.subprocess import ProcessDied, Subprocess

MAX_MESSAGE_BYTES = 1 << 18
"""Maximum size of a message from a process."""

_log = logging.getLogger("genrelab.serve")


class StreamProcess:
    """One process for the duration of an `async with` block; it is killed at the end.

    Args:
        job: what to process, and how.
        memory: limit in bytes.
    """

    def __init__(self, job: StreamJob, memory: int) -> None:
        self._job, self._memory = job, memory

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
        """Send it the job.

        Raises:
            Problem: `crashed`: it has died.
        """
        await self.send_piece(self._job.to_json())

    async def send_piece(self, piece: bytes) -> None:
        """Send it bytes; returns when there is room for more.

        Raises:
            Problem: `crashed`: it has died.
        """
        try:
            await self._process.write(pack_piece(piece))
        except ProcessDied as e:
            raise await self.crashed() from e

    async def read_message(self) -> dict[str, Any]:
        """Its next message.

        Raises:
            Problem: `crashed`: it has died, or broken the protocol.
        """
        try:
            return await self._process.read_line()
        except ProcessDied as e:
            raise await self.crashed() from e

    async def crashed(self) -> Problem:
        """End it, and return the problem for the client; the end of its standard error is logged."""
        await self._process.end()
        _log.warning("the process of a stream died: %s", self._process.stderr_tail)
        return Problem("crashed", "The decoder crashed on what was sent.")
