"""One process at a time in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genrelab.core.errors import PreparedError
from genrelab.core.progress import Notify


@contextmanager
def locked_folder(folder: Path, name: str, *, busy: str, command: str, notify: Notify) -> Iterator[None]:
    """Lock a local folder while the block runs.

    The folder itself is locked: a kill leaves no lock file behind. Where folders cannot be locked, `notify` is called,
    and the block runs without a lock.

    Args:
        name: of the locked folder, for messages.
        busy: what another process does there, such as `is writing here`.
        command: of both processes, such as `prepare`.

    Raises:
        PreparedError: another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows: no lock there
        yield
        return
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
        os.close(lock)
        raise PreparedError(f"{name}: another `genrelab {command}` {busy}: wait until it has finished") from e
    except OSError as e:  # some network file systems
        notify(f"{name} cannot be locked ({e.strerror}): do not run another `genrelab {command}` on it meanwhile")
    try:
        yield
    finally:
        os.close(lock)
