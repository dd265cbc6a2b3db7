"""Program: a worker as the service sees it: a process that is begun, asked in JSON, and killed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from genrelab.errors import printable
from genrelab.processes import ONE_THREAD
from genrelab.service.limits import Limits
from genrelab.service.shelf import Model

BEGUN = {"begun": True}
"""What a worker says before it opens a file: from then on a death is the file's fault."""

LONGEST_ANSWER = 1 << 24
"""Bytes; a timeline of all windows of the longest file is far below."""

TAIL_BYTES = 2_000
"""Of what a worker said last on its standard error; it goes into the log when the worker fails."""

KEPT = (
    "DYLD_LIBRARY_PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "LD_PRELOAD", "PATH", "PYTHONHOME", "SYSTEMROOT",
    "TEMP", "TMP", "TMPDIR",
)  # fmt: skip
"""Of our environment; the rest, a token among it, is not for who reads strangers' files."""


class Dead(Exception):  # noqa: N818 - reads as what it is
    """A worker that ended, or that says what no worker of ours says."""


class WorkerProcess:
    """One process, made by `begun`.

    Attributes:
        ended: done when the process is.
        models: what it has loaded; held here, so that their copies stay on disk.
        begun: it began with the file that it was asked about last.
        worked: it began with any.
        since: when it was begun, by `time.monotonic`.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process, self._said = process, b""
        self.ended = asyncio.create_task(self._listen())
        self.models: Sequence[Model] = ()
        self.begun = self.worked = False
        self.since = time.monotonic()

    @property
    def tail(self) -> str:
        """What it said last on its standard error, on one line."""
        return printable(self._said.decode(errors="replace").strip()) or "it says nothing"

    @property
    def last_words(self) -> str:
        """The last line of that."""
        return printable(self._said.decode(errors="replace").strip().rpartition("\n")[2]) or "it says nothing"

    async def ask(self, order: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Its answer to an order (see `worker.py`).

        Raises:
            TimeoutError: it takes longer.
            Dead: there is none.
        """
        self.begun = False
        stdin = self._process.stdin
        assert stdin is not None
        try:
            async with asyncio.timeout(seconds):
                stdin.write(json.dumps(order).encode() + b"\n")
                await stdin.drain()
                while (said := await self._line()) == BEGUN:
                    self.begun = self.worked = True
        except TimeoutError:
            raise
        except (OSError, ValueError, RecursionError) as e:
            raise Dead from e
        return said

    async def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said = json.loads(await self._process.stdout.readline())
        if not isinstance(said, dict):
            raise Dead
        return said

    async def end(self) -> None:
        """Kill it, and wait until nothing is left of it, even if who waits is cancelled meanwhile."""
        ending = asyncio.create_task(self._end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending
            raise

    async def _end(self) -> None:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        stdin.close()
        await self.ended
        while await stdout.read(1 << 16):  # what nobody has read would be waited for without end
            pass
        await self._process.wait()
        with suppress(OSError):
            await stdin.wait_closed()

    async def _listen(self) -> None:
        """Until the end, for then its standard error ends, too."""
        assert self._process.stderr is not None
        while said := await self._process.stderr.read(TAIL_BYTES):
            self._said = (self._said + said)[-TAIL_BYTES:]


async def begun(limits: Limits) -> WorkerProcess:
    """A worker that has begun to begin. Who is cancelled meanwhile leaves none behind.

    Raises:
        OSError: this machine has no room for one more process.
    """
    beginning = asyncio.create_task(_begun(limits))
    try:
        return await asyncio.shield(beginning)
    except asyncio.CancelledError:
        await (await beginning).end()
        raise


async def _begun(limits: Limits) -> WorkerProcess:
    pipe = asyncio.subprocess.PIPE
    arguments = (str(limits.audio_s), str(limits.worker_bytes))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "genrelab.service.worker", *arguments,
        stdin=pipe, stdout=pipe, stderr=pipe, limit=LONGEST_ANSWER, env=environment(),
    )  # fmt: skip
    return WorkerProcess(process)


def environment() -> dict[str, str]:
    """Of a process that reads strangers' files: one thread, the same packages as here, and no secret of ours."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    same = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)  # it must find what we found
    return kept | dict.fromkeys(ONE_THREAD, "1") | {"PYTHONPATH": same}
