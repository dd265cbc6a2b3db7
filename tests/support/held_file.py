"""Files in whose middle a process of ours stops, for certain and for as long as a test likes."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from tests.support.guards import HANG_S

_HOOK = """
import contextlib, os, socket, sys

been = set()

def stop(event, arguments):
    if event != "open" or not isinstance(arguments[0], str) or arguments[2] & (os.O_WRONLY | os.O_RDWR):
        return
    if {where!r} in arguments[0] and arguments[0] not in been:
        been.add(arguments[0])
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", {port})) as connection:
            connection.recv(1)

sys.addaudithook(stop)
"""


class HeldFiles:
    """Makes processes stop where they first open certain files to read them, until the test lets them go on.

    Those processes must find `folder` on the path of their modules when they begin.

    Args:
        folder: gets the `sitecustomize` that does it; nothing else lies there.
        where: what the paths of those files contain.
    """

    def __init__(self, folder: Path, where: str) -> None:
        self.folder = folder
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.settimeout(HANG_S)
        self._held: list[socket.socket] = []
        folder.mkdir(exist_ok=True)
        hook = _HOOK.format(where=where, port=self._door.getsockname()[1])
        (folder / "sitecustomize.py").write_text(hook)

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
