"""Atomic replacement of a file by a copy of itself with other tags.

The copy lies beside the file under a hidden name that no player takes for music, and replaces it by a rename. A
kill leaves it behind; `remove_leftovers` removes it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genrelab.core.errors import TagError
from genrelab.tagging.journal import is_locked

TEMP_SUFFIX = ".genrelab-tmp"

FileStamp = tuple[int, int]
"""Size and mtime; not the inode, which some network file systems renumber."""


def file_stamp(path: Path) -> FileStamp:
    """A stamp that changes when the file is changed.

    Raises:
        TagError: not a regular file but, for example, a pipe, on which a read would block forever.
        OSError: there is no such file.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise TagError(path, "is no regular file (a pipe, perhaps): left alone")
    return found.st_size, found.st_mtime_ns


def check_writable(path: Path) -> None:
    """Raises TagError if the file is read-only (which a rename would ignore), OSError if it is gone."""
    if not path.stat().st_mode & 0o222 or not os.access(path, os.W_OK):
        raise TagError(path, "is read-only: allow writing (chmod u+w) and run again")
    if not os.access(path.parent, os.W_OK):
        raise TagError(path, "lies in a folder that is read-only: allow writing (chmod u+w) and run again")


def temp_path(folder: Path) -> Path:
    """A unique hidden name in a folder, for a file that will replace another; `remove_leftovers` recognises it."""
    return folder / f".{uuid.uuid4().hex[:8]}{TEMP_SUFFIX}"


@contextmanager
def temporary_copy(path: Path) -> Iterator[Path]:
    """Yield a path for the copy; a copy still there at the end of the block is removed.

    Raises:
        TagError: the file is read-only.
        OSError: it does not exist.
    """
    check_writable(path)
    copy = temp_path(path.parent)
    try:
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def copy_attributes(copy: Path, path: Path) -> None:
    """Give the copy the owner, permissions and extended attributes of the file, and sync it to disk.

    Raises:
        TagError: the owner cannot be kept.
        OSError: writing fails.
    """
    wanted, actual = path.stat(), copy.stat()
    if os.name == "posix" and (wanted.st_uid, wanted.st_gid) != (actual.st_uid, actual.st_gid):
        try:
            os.chown(copy, wanted.st_uid, wanted.st_gid)
        except PermissionError as e:
            raise TagError(path, "belongs to another user or group, who would lose it: run as its owner") from e
    shutil.copystat(path, copy)
    os.utime(copy)  # a new mtime: players rescan files that changed
    with copy.open("rb+") as f:
        os.fsync(f.fileno())


def replace_if_unchanged(copy: Path, path: Path, seen: FileStamp) -> None:
    """Replace the file by the copy.

    Raises:
        TagError: the file was changed since `seen`.
        OSError: it cannot be replaced.
    """
    if file_stamp(path) != seen:
        raise TagError(path, "was changed while genrelab was at work on it: run again")
    copy.replace(path)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left below a folder that we have locked; not files of runs above or below it."""
    if any(map(is_locked, folder.resolve().parents)):
        return
    ours = re.compile(rf"\.[0-9a-f]{{8}}{re.escape(TEMP_SUFFIX)}")
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_locked(Path(parent, name))]
        for name in filter(ours.fullmatch, names):
            with suppress(OSError):  # if it cannot be removed it stays, and does no harm
                Path(parent, name).unlink()


def sha256(path: Path) -> str:
    """Checksum of the whole file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
