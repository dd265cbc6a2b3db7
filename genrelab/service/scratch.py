"""Leaf: the folder of one service for what it keeps on disk: uploads while they are heard, copies of its models."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "genrelab-serve-"


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder that only this user can enter, gone at the end; what killed services have left goes first."""
    sweep(Path(tempfile.gettempdir()))
    made = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def sweep(where: Path) -> list[Path]:
    """Removes this user's folders of services whose process is gone; gives what it has removed."""
    removed = []
    for left in where.glob(f"{PREFIX}*"):
        match = re.fullmatch(rf"{re.escape(PREFIX)}(\d+)-.*", left.name)
        if match and not left.is_symlink() and _is_ours(left) and not _lives(int(match[1])):
            shutil.rmtree(left, ignore_errors=True)
            removed.append(left)
    return removed


def _is_ours(path: Path) -> bool:
    try:
        return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
    except OSError:  # gone meanwhile
        return False


def _lives(pid: int) -> bool:
    if not hasattr(os, "getuid"):  # on Windows signal 0 would end it
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
