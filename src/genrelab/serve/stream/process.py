"""The service's side of the process of a stream."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from genrelab.serve.problems import Problem
from genrelab.serve.workers.subprocess import ProcessDied, Subprocess

MAX_MESSAGE_BYTES = 1 << 18
"""Maximum size of a message from a process."""

_log = logging.getLogger("genrelab.serve")


@asynccontextmanager
async def open_process(memory: int) -> AsyncIterator[Subprocess]:
    """One process with `memory` bytes for the duration of the block; it is killed at the end.

    Raises:
        Problem: `crashed`: the block raised ProcessDied; the end of the process's standard error is logged.
    """
    process = await Subprocess.start("genrelab.serve.stream.worker", str(memory), longest=MAX_MESSAGE_BYTES)
    try:
        yield process
    except ProcessDied as e:
        await process.end()
        _log.warning("the process of a stream died: %s", process.stderr_tail)
        raise Problem("crashed", "The decoder crashed on this audio. Send another format, such as pcm16.") from e
    finally:
        await process.end()
