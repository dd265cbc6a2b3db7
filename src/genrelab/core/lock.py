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

    The lock is on the folder itself: there is no lock file that a kill could leave behind, or that could be removed
    and made a second time. Where folders cannot be locked, `notify` is called, and the block runs all the same.

    Args:
        name: of what is locked, for messages.
        busy: what another process is doing there, such as `is writing here`.
        command: that of both processes, such as `prepare`.

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
        raise PreparedError(f"{name}: another {command} {busy}; wait for it to end") from e
    except OSError as e:  # some network file systems
        notify(f"{name} cannot be locked ({e.strerror}): let no other {command} write to it meanwhile")
    try:
        yield
    finally:
        os.close(lock)
