"""The service's side of a process that reads untrusted bytes: it gets no secrets, and can be killed.

It runs as the service's own user, so it can read what that user can read.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from genrelab.core.errors import printable
from genrelab.core.processes import THREAD_VARIABLES

STDERR_TAIL_BYTES = 2_000
"""Bytes of the end of a process's standard error that are kept, for the log when it fails."""

KEPT_VARIABLES = (
    "DYLD_LIBRARY_PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "LD_PRELOAD", "PATH", "PYTHONHOME", "SYSTEMROOT",
    "TEMP", "TMP", "TMPDIR",
)  # fmt: skip
"""Environment variables that a process inherits; the others, the token among them, are withheld."""

T = TypeVar("T")


class ProcessDied(Exception):  # noqa: N818 - reads as what it is
    """A process ended, or broke the protocol."""


class Subprocess:
    """One process, made by `start`.

    Attributes:
        ended: done when the process has ended.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process, self._stderr = process, b""
        self.ended = asyncio.create_task(self._collect_stderr())

    @classmethod
    async def start(cls, module: str, *arguments: str, longest: int) -> Self:
        """A process that is still starting. Where this is cancelled meanwhile no process is left.

        Args:
            module: that it runs.
            longest: maximum size of an output line in bytes.

        Raises:
            OSError: the process cannot be created.
        """
        starting = asyncio.create_task(cls._start(module, arguments, longest))
        try:
            return await _finish(starting)
        except asyncio.CancelledError:
            with suppress(OSError):  # there is no process to end
                await starting.result().end()
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
        """The end of its standard error, on one line."""
        return printable(self._stderr.decode(errors="replace").strip()) or "no output"

    async def write(self, data: bytes) -> None:
        """Write to its standard input; returns when there is room for more.

        Raises:
            ProcessDied: it has closed its standard input.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except OSError as e:
            raise ProcessDied from e

    async def read_line(self) -> dict[str, Any]:
        """The JSON object of its next output line.

        Raises:
            ProcessDied: no line, or one without a JSON object.
        """
        assert self._process.stdout is not None
        try:
            message = json.loads(await self._process.stdout.readline())
        except (OSError, ValueError, RecursionError) as e:
            raise ProcessDied from e
        if not isinstance(message, dict):
            raise ProcessDied
        return message

    async def end(self) -> None:
        """Kill it, and wait for its end; finishes even if this is cancelled meanwhile."""
        await _finish(asyncio.create_task(self._end()))

    async def _end(self) -> None:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        stdin.close()
        await self.ended
        while await stdout.read(1 << 16):  # unread output would block `wait` for ever
            pass
        await self._process.wait()
        with suppress(OSError):
            await stdin.wait_closed()

    async def _collect_stderr(self) -> None:
        """Read its standard error to the end, which is the end of the process."""
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(STDERR_TAIL_BYTES):
            self._stderr = (self._stderr + chunk)[-STDERR_TAIL_BYTES:]


async def _finish(task: asyncio.Task[T]) -> T:
    """The task's result. A cancellation, or several, is raised only when the task is done."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return task.result()


def environment() -> dict[str, str]:
    """For a process that reads untrusted bytes: `KEPT_VARIABLES`, one thread, and the module path of this process."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    module_path = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)  # it must find the same packages
    return kept | dict.fromkeys(THREAD_VARIABLES, "1") | {"PYTHONPATH": module_path}
