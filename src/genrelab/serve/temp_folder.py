"""The temporary folder of one service: uploads while they are processed, and copies of its models."""

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
except ImportError:  # Windows: no lock, and no removal of leftovers
    fcntl = None  # type: ignore[assignment]

PREFIX = "genrelab-serve-"


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder that only this user can enter, removed at the end. Leftovers of killed services are removed first.

    It is locked while it is in use: other services, also in another container that shares the folder for temporary
    files, see by this that it is no leftover, and systemd-tmpfiles does not clear it.
    """
    remove_stale(Path(tempfile.gettempdir()))
    made, lock = _make_locked()
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def remove_stale(parent: Path) -> None:
    """Remove this user's folders of services that no longer run."""
    for leftover in parent.glob(f"{PREFIX}*"):
        if re.fullmatch(r"[a-z0-9_]{8}", leftover.name.removeprefix(PREFIX)) and fcntl is not None:
            with suppress(OSError):  # gone meanwhile, a link, or in use
                lock = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    if os.fstat(lock).st_uid == os.getuid():
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        shutil.rmtree(leftover, ignore_errors=True)
                finally:
                    os.close(lock)


def _make_locked() -> tuple[Path, int]:
    """A folder, and the descriptor that holds its lock; made again where another service removed it before the lock."""
    while True:
        made = Path(tempfile.mkdtemp(prefix=PREFIX))
        if fcntl is None:
            return made, os.open(os.devnull, os.O_RDONLY)
        lock = os.open(made, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return made, lock
        os.close(lock)
