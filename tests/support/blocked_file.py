"""A program that stops for ever at one file: it is in the middle of its work, for certain, when the test interrupts it.

The program and its workers open audio files through a hook that Python loads when it starts.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.guards import HANG_S

HOOK = """
import socket
import genrelab.audio.reader
from pathlib import Path

open_audio = genrelab.audio.reader.Audio.__init__

def block(self, path, **options):
    if Path(path).name == {name!r}:
        with socket.create_connection(("127.0.0.1", {port})) as test:
            test.recv(1)  # nothing comes, until the test ends
    open_audio(self, path, **options)

genrelab.audio.reader.Audio.__init__ = block
"""


class BlockedFile:
    """How to start the program, and when it has come to the file."""

    def __init__(self, hooks: Path, listener: socket.socket) -> None:
        self.environment = {**os.environ, "PYTHONPATH": str(hooks)}
        self._listener = listener
        self._connection: socket.socket | None = None

    def wait(self) -> None:
        """Return when the program opens the file, and stands still there."""
        self._connection, _ = self._listener.accept()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


@contextmanager
def blocked_file(tmp: Path, name: str) -> Iterator[BlockedFile]:
    """Programs with its `environment` block where they open an audio file of that name."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(HANG_S)
        hooks = tmp / "hooks"
        hooks.mkdir()
        (hooks / "sitecustomize.py").write_text(HOOK.format(name=name, port=listener.getsockname()[1]))
        blocked = BlockedFile(hooks, listener)
        try:
            yield blocked
        finally:
            blocked.close()


def interruptible() -> None:
    """For `preexec_fn`: where tests run in the background of a shell, SIGINT is ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
