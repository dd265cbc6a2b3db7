"""Atomic replacement of a file by a copy with other tags.

The copy has a hidden name beside the file that is not the name of an audio file, and replaces it by a rename. If the
program is killed, `LeftoverRemover` removes the copy later.
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

CHANGED = "changed while it was being read: run the same command again"
AUDIO_WOULD_CHANGE = "writing tags would change its audio (is it damaged?): not changed"
"""Error messages."""

FileStamp = tuple[int, int]
"""Size and mtime; not the inode, which some network file systems renumber."""


def file_stamp(path: Path) -> FileStamp:
    """A stamp that changes when the file is changed.

    Raises:
        TagError: not a regular file, but a pipe, for example, which would block forever.
        OSError: the file does not exist.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise TagError(path, "not a regular file")
    return found.st_size, found.st_mtime_ns


def check_writable(path: Path) -> None:
    """Raise TagError if the file is read-only (which a rename would ignore), OSError if it is gone."""
    if not path.stat().st_mode & 0o222 or not os.access(path, os.W_OK):
        raise TagError(path, "is read-only: allow writing (chmod u+w) and run the same command again")
    if not os.access(path.parent, os.W_OK):
        raise TagError(path, "its folder is read-only: allow writing (chmod u+w) and run the same command again")


def temp_path(folder: Path) -> Path:
    """A unique hidden name in a folder, for a file that will replace another; `LeftoverRemover` recognises it."""
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
            raise TagError(path, "belongs to another user or group: run genrelab as its owner") from e
    shutil.copystat(path, copy)
    os.utime(copy)  # a new mtime: players rescan files that changed
    with copy.open("rb+") as f:
        os.fsync(f.fileno())


def replace_if_unchanged(copy: Path, path: Path, seen: FileStamp) -> None:
    """Replace the file by the copy.

    Raises:
        TagError: the file changed after `seen`.
        OSError: it cannot be replaced.
    """
    if file_stamp(path) != seen:
        raise TagError(path, CHANGED)
    copy.replace(path)


class LeftoverRemover:
    """Removes temporary files of killed runs from the folders of a library, but not those of running ones.

    Args:
        root: the library, which this run has locked.
    """

    def __init__(self, root: Path) -> None:
        self._locked = {root.resolve(): False}
        self._done: set[Path] = set()

    def __call__(self, folder: Path) -> None:
        """Remove leftovers from one folder, not from those below it; a second call does nothing."""
        if folder in self._done:
            return
        self._done.add(folder)
        ours = re.compile(rf"\.[0-9a-f]{{8}}{re.escape(TEMP_SUFFIX)}")
        with suppress(OSError):  # others are harmless and stay
            found = [name for name in os.listdir(folder) if ours.fullmatch(name)]  # noqa: PTH208 - names suffice
            if found and not self._in_use(folder.resolve()):
                for name in found:
                    (folder / name).unlink()

    def _in_use(self, folder: Path) -> bool:
        for one in (folder, *folder.parents):
            if one not in self._locked:
                self._locked[one] = is_locked(one)
            if self._locked[one]:
                return True
        return False


def check_inside(root: Path, relative: str) -> None:
    """Refuse a path outside the library, in case a journal or a plan was manipulated.

    Raises:
        TagError: it is not a path below `root`, or leads through a link.
    """
    path = root / relative
    parts = relative.split("/")
    try:
        os.fsencode(relative)
    except UnicodeEncodeError:
        raise TagError(path, "not a valid file name: refused") from None
    if Path(relative).is_absolute() or Path(relative).drive or "\0" in relative or {"", ".", ".."} & set(parts):
        raise TagError(path, "is outside the library: refused")
    if any(root.joinpath(*parts[:n]).is_symlink() for n in range(1, len(parts) + 1)):
        raise TagError(path, "leads through a link, which `tag` never follows: refused")


def sha256(path: Path) -> str:
    """Checksum of the whole file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
