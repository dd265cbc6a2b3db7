"""The journal of one tagging, DIR/.genrelab/tags-<UTC time>.jsonl: one line for each file, before it is replaced.

A line holds what makes the earlier file again, byte for byte (see `patch.py`), so that a library is restored without a
copy of it. Paths are relative to DIR, which may be moved.
"""

from __future__ import annotations

import base64
import dataclasses
import errno
import itertools
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from genrelab.core.errors import TagError

FOLDER = ".genrelab"
VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One file that was tagged.

    Attributes:
        path: relative to DIR, with forward slashes.
        field: the field that was written; None: the genre's own.
        before, provenance_before: what stood in the field and in our own.
        after, provenance: what was written there.
        confidence: of the model.
        payload_sha256: of the audio, which stays.
        size_before, sha256_before: of the whole file as it was.
        sha256_after: of the whole file as it was left.
        undo: the patch from the later file to the earlier one.
    """

    path: str
    field: str | None
    before: tuple[str, ...]
    after: str
    confidence: float
    provenance: str
    provenance_before: tuple[str, ...]
    payload_sha256: str
    size_before: int
    sha256_before: str
    sha256_after: str
    undo: bytes

    def to_line(self) -> bytes:
        """JSON, ASCII only, so that names that are not UTF-8 come back as they were."""
        known = dataclasses.asdict(self) | {"version": VERSION, "undo": base64.b64encode(self.undo).decode()}
        return json.dumps(known).encode() + b"\n"


@dataclass(frozen=True)
class UnreadableLine:
    """A line of a journal that is no entry; `torn`: the last one, cut off by a kill before its file was touched."""

    line: int
    reason: str
    torn: bool


class TagJournal:
    """Takes entries; the file is made with the first one.

    Args:
        folder: DIR.
    """

    def __init__(self, folder: Path) -> None:
        self.path: Path | None = None
        self._folder = folder / FOLDER
        self._file: FileIO | None = None

    def append(self, entry: Entry) -> None:
        """Writes one line and waits until it is on the disk.

        Raises:
            OSError: it cannot be written; the journal is as it was.
        """
        f = self._file or self._open()
        self._file, at, line = f, f.seek(0, 2), entry.to_line()
        try:
            if f.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(f.fileno())
        except OSError:
            f.truncate(at)
            raise

    def __enter__(self) -> TagJournal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> FileIO:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        names = (f"tags-{now}{f'-{n}' if n > 1 else ''}.jsonl" for n in itertools.count(1))
        self.path = next(p for p in map(self._folder.joinpath, names) if not p.exists())
        opened = FileIO(self.path, "x")
        for folder in (self._folder, self._folder.parent):
            _sync_folder(folder)
        return opened


def _sync_folder(folder: Path) -> None:
    """Sees that a new name in a folder outlives a power cut; Windows does so by itself."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_newest_first(journal: Path) -> Iterator[Entry | UnreadableLine]:
    """Entries of a journal, the last one first; one line is in memory at a time.

    Raises:
        TagError: it cannot be read.
    """
    try:
        with journal.open("rb") as f:
            starts = []
            while line := f.readline():
                starts.append(f.tell() - len(line))
            for number in range(len(starts), 0, -1):
                f.seek(starts[number - 1])
                yield _entry(f.readline(), number, number == len(starts))
    except OSError as e:
        raise TagError(journal, f"cannot be read ({e.strerror}): name a tags-….jsonl of DIR/{FOLDER}") from e


def _entry(line: bytes, number: int, last: bool) -> Entry | UnreadableLine:
    try:
        known = json.loads(line)
        if not isinstance(known, dict) or known.pop("version", None) != VERSION:
            return UnreadableLine(
                number, f"is not of version {VERSION} of the journal: use the genrelab that wrote it", False
            )
        for name in ("before", "provenance_before"):
            known[name] = tuple(known[name])
        entry = Entry(**{**known, "undo": base64.b64decode(known["undo"], validate=True)})
        _check(entry)
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        torn = last and not line.endswith(b"\n")
        return UnreadableLine(number, "was cut off" if torn else f"is damaged ({' '.join(str(e).split())})", torn)
    return entry


def _check(entry: Entry) -> None:
    words = (entry.path, entry.after, entry.provenance, entry.payload_sha256, entry.sha256_before, entry.sha256_after)
    if not all(isinstance(w, str) for w in (*words, *entry.before, *entry.provenance_before, entry.field or "")):
        raise ValueError("what should be text is not")
    if not isinstance(entry.size_before, int) or not isinstance(entry.confidence, (int, float)):
        raise ValueError("what should be a number is not")


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """DIR/.genrelab, for one run at a time; the lock goes with the process, however that ends.

    Raises:
        TagError: another run has it, or nothing may be written there.
    """
    try:
        (folder / FOLDER).mkdir(exist_ok=True)
        f = (folder / FOLDER / "lock").open("ab")
    except OSError as e:
        raise TagError(folder, f"no journal can be kept here ({e.strerror}): nothing was changed") from e
    with f:
        try:
            _lock_descriptor(f.fileno())
        except (BlockingIOError, PermissionError) as e:
            raise TagError(folder, "another genrelab is at work on the tags here: wait for it, and run again") from e
        except OSError:
            pass  # a file system without locks: two runs would get in each other's way, but lose nothing
        yield


def is_locked(folder: Path) -> bool:
    """Is another run at work in that folder?"""
    try:
        with (folder / FOLDER / "lock").open("rb+") as f:
            _lock_descriptor(f.fileno())
    except (BlockingIOError, PermissionError):
        return True
    except OSError:  # no run was ever there, or a file system without locks
        return False
    return False


def _lock_descriptor(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
