"""Files in whose middle a process of ours stops, for certain and for as long as a test likes."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Self

from tests.support.guards import HANG_S

_STOP = """
import contextlib, os, socket, sys

been = set()

def stop(path):
    if {where!r} in path and path not in been:
        been.add(path)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", {port})) as connection:
            connection.recv(1)
"""

OPENED = """
def opened(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
        stop(arguments[0])

sys.addaudithook(opened)
"""
"""Stops where a file is first opened to be read, whatever for."""

DECODED = """
import genrelab.audio.reader

open_audio = genrelab.audio.reader.Audio.__init__

def decoded(self, path, **options):
    stop(str(path))
    open_audio(self, path, **options)

genrelab.audio.reader.Audio.__init__ = decoded
"""
"""Stops where a file is first decoded: its tags may have been read before."""


class HeldFiles:
    """Makes processes stop in the middle of certain files, until the test lets them go on.

    Those processes must find `folder` on the path of their modules when they begin; with `environment` they do.

    Args:
        folder: gets the `sitecustomize` that does it; nothing else lies there.
        where: what the paths of those files contain.
        hook: `OPENED` or `DECODED`.
    """

    def __init__(self, folder: Path, where: str, *, hook: str = OPENED) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": str(folder)}
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.settimeout(HANG_S)
        self._held: list[socket.socket] = []
        folder.mkdir(exist_ok=True)
        stop = _STOP.format(where=where, port=self._door.getsockname()[1])
        (folder / "sitecustomize.py").write_text(stop + hook)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self) -> None:
        """Return when one more process is in the middle of such a file; it stays there."""
        self._held.append(self._door.accept()[0])

    async def wait_async(self) -> None:
        """The same on an event loop, which goes on meanwhile."""
        await asyncio.to_thread(self.wait)

    def release(self) -> None:
        """Let all that were waited for go on."""
        while self._held:
            self._held.pop().close()

    def close(self) -> None:
        """Let everybody go on, now and from now on."""
        self.release()
        self._door.close()
