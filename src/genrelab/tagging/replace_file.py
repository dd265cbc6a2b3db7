"""One file gives way to a copy of itself with other tags; at no moment is there less than one whole file.

The copy lies beside the file under a hidden name that no player takes for music, and takes its place by a rename. A
kill leaves it behind; `remove_leftovers` takes it away.
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
"""Size and time of change; not the file's number, which some network file systems make up anew."""


def file_stamp(path: Path) -> FileStamp:
    """What tells whether a file was changed.

    Raises:
        TagError: something else has that name, such as a pipe, which would be waited for without end.
        OSError: nothing has.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise TagError(path, "is no regular file (a pipe, perhaps): left alone")
    return found.st_size, found.st_mtime_ns


def check_writable(path: Path) -> None:
    """Raises TagError where the file must not be written (which a rename would not mind), OSError where it is gone."""
    if not path.stat().st_mode & 0o222 or not os.access(path, os.W_OK):
        raise TagError(path, "is read-only: allow writing (chmod u+w) and run again")
    if not os.access(path.parent, os.W_OK):
        raise TagError(path, "lies in a folder that is read-only: allow writing (chmod u+w) and run again")


def temp_path(folder: Path) -> Path:
    """A hidden name in a folder that nobody else has, for what is to take another's place; `remove_leftovers` knows it."""
    return folder / f".{uuid.uuid4().hex[:8]}{TEMP_SUFFIX}"


@contextmanager
def temporary_copy(path: Path) -> Iterator[Path]:
    """A name for the copy; what stands there at the end of the block, because it took no place, is removed.

    Raises:
        TagError: the file must not be written.
        OSError: it is not there.
    """
    check_writable(path)
    copy = temp_path(path.parent)
    try:
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def copy_attributes(copy: Path, path: Path) -> None:
    """Gives the copy the owner, permissions and extended attributes of the file, and sees that it is on the disk.

    Raises:
        TagError: the owner cannot be kept.
        OSError: writing fails.
    """
    there, here = path.stat(), copy.stat()
    if os.name == "posix" and (there.st_uid, there.st_gid) != (here.st_uid, here.st_gid):
        try:
            os.chown(copy, there.st_uid, there.st_gid)
        except PermissionError as e:
            raise TagError(path, "belongs to another user or group, who would lose it: run as its owner") from e
    shutil.copystat(path, copy)
    os.utime(copy)  # it is written now: players look for what is new
    with copy.open("rb+") as f:
        os.fsync(f.fileno())


def replace_if_unchanged(copy: Path, path: Path, seen: FileStamp) -> None:
    """Puts the copy in the file's place.

    Raises:
        TagError: the file is not the one that was seen.
        OSError: it cannot be replaced.
    """
    if file_stamp(path) != seen:
        raise TagError(path, "was changed while genrelab was at work on it: run again")
    copy.replace(path)


def remove_leftovers(folder: Path) -> None:
    """Removes what killed runs left below a folder whose lock is ours; not what a run around or inside it works on."""
    if any(map(is_locked, folder.resolve().parents)):
        return
    ours = re.compile(rf"\.[0-9a-f]{{8}}{re.escape(TEMP_SUFFIX)}")
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_locked(Path(parent, name))]
        for name in filter(ours.fullmatch, names):
            with suppress(OSError):  # where it must not be removed it stays: it is in nobody's way
                Path(parent, name).unlink()


def sha256(path: Path) -> str:
    """Of the whole file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
