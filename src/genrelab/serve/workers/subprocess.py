"""A process that reads strangers' bytes, as the service sees it: it is told no secret and can be killed.

It runs as the service's own user, so what that user may read it may read, too.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from genrelab.core.errors import printable
from genrelab.core.processes import THREAD_VARIABLES

STDERR_TAIL_BYTES = 2_000
"""Of what a process said last on its standard error; it goes into the log when the process fails."""

KEPT_VARIABLES = (
    "DYLD_LIBRARY_PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "LD_PRELOAD", "PATH", "PYTHONHOME", "SYSTEMROOT",
    "TEMP", "TMP", "TMPDIR",
)  # fmt: skip
"""Of our environment; the rest, a token among it, is not handed on to who reads strangers' files."""


class ProcessDied(Exception):  # noqa: N818 - reads as what it is
    """A process that ended, or that says what no process of ours says."""


class Subprocess:
    """One process, made by `begin`.

    Attributes:
        ended: done when the process is.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process, self._stderr = process, b""
        self.ended = asyncio.create_task(self._collect_stderr())

    @classmethod
    async def start(cls, module: str, *arguments: str, longest: int) -> Self:
        """A process that has begun to begin. Who is cancelled meanwhile leaves none behind.

        Args:
            module: what it runs.
            longest: bytes of a line that it may say.

        Raises:
            OSError: this machine has no room for one more process.
        """
        beginning = asyncio.create_task(cls._start(module, arguments, longest))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            await (await beginning).end()
            raise

    @classmethod
    async def _start(cls, module: str, arguments: Sequence[str], longest: int) -> Self:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", module, *arguments,
            stdin=pipe, stdout=pipe, stderr=pipe, limit=longest, env=environment(),
        )  # fmt: skip
        return cls(process)

    @property
    def stderr_tail(self) -> str:
        """What it said last on its standard error, on one line."""
        return printable(self._stderr.decode(errors="replace").strip()) or "it says nothing"

    @property
    def last_stderr_line(self) -> str:
        """The last line of that."""
        return printable(self._stderr.decode(errors="replace").strip().rpartition("\n")[2]) or "it says nothing"

    async def write(self, data: bytes) -> None:
        """Hand over bytes; returns when there is room for more.

        Raises:
            Dead: nobody is there to take them.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except OSError as e:
            raise ProcessDied from e

    async def read_line(self) -> dict[str, Any]:
        """What it says next.

        Raises:
            Dead: nothing, or no line with a JSON object.
        """
        assert self._process.stdout is not None
        try:
            said = json.loads(await self._process.stdout.readline())
        except (OSError, ValueError, RecursionError) as e:
            raise ProcessDied from e
        if not isinstance(said, dict):
            raise ProcessDied
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

    async def _collect_stderr(self) -> None:
        """Until the end, for then its standard error ends, too."""
        assert self._process.stderr is not None
        while said := await self._process.stderr.read(STDERR_TAIL_BYTES):
            self._stderr = (self._stderr + said)[-STDERR_TAIL_BYTES:]


def environment() -> dict[str, str]:
    """Of a process that reads strangers' bytes: one thread, the same packages as here, and of ours only `KEPT_VARIABLES`."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    same = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)  # it must find what we found
    return kept | dict.fromkeys(THREAD_VARIABLES, "1") | {"PYTHONPATH": same}
