"""The folder of one service for what it keeps on disk: uploads while they are heard, copies of its models."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there, and nothing swept
    fcntl = None  # type: ignore[assignment]

PREFIX = "genrelab-serve-"


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder that only this user can enter, gone at the end; what killed services have left goes first.

    It is locked for as long as it is used: that tells other services, also those of another container that shares the
    folder for temporary files, that it is no leftover, and keeps systemd-tmpfiles from clearing it.
    """
    remove_stale(Path(tempfile.gettempdir()))
    made, lock = _make_locked()
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def remove_stale(where: Path) -> list[Path]:
    """Removes this user's folders of services that are no more; gives what it has removed."""
    removed = []
    for left in where.glob(f"{PREFIX}*"):
        if re.fullmatch(r"[a-z0-9_]{8}", left.name.removeprefix(PREFIX)) and fcntl is not None:
            with suppress(OSError):  # gone meanwhile, a link, or in use
                lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    if os.fstat(lock).st_uid == os.getuid():
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        shutil.rmtree(left, ignore_errors=True)
                        removed.append(left)
                finally:
                    os.close(lock)
    return removed


def _make_locked() -> tuple[Path, int]:
    """A folder, and what holds its lock; made again where another service has swept it before it was locked."""
    while True:
        made = Path(tempfile.mkdtemp(prefix=PREFIX))
        if fcntl is None:
            return made, os.open(os.devnull, os.O_RDONLY)
        lock = os.open(made, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return made, lock
        os.close(lock)
