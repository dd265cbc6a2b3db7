"""The journal of one run of `tag`, FOLDER/.genrelab/tags-TIME.jsonl: one line per file, written before it is replaced.

A line holds the patch that restores the earlier file byte for byte (see `binary_patch.py`), so that no copy of the
library is needed. Paths are relative to FOLDER, which may be moved.
"""

from __future__ import annotations

import base64
import dataclasses
import errno
import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from genrelab.audio.file_tags import field_of
from genrelab.core.errors import TagError
from genrelab.tagging.formats import KEY, TEMPO

FOLDER = ".genrelab"
VERSION = 3
"""In version 1 `after` was one genre, in version 2 it is a list; an entry with tempo or key has version 3."""


@dataclass(frozen=True)
class FieldChange:
    """What happens to the tempo or the key of a file.

    Attributes:
        before: the earlier values.
        after: what is written; empty: the field stays as it is.
        confidence: of the value that was found, also if it is not written; None if there is none.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    confidence: float | None


@dataclass(frozen=True)
class WrittenMusic:
    """The tempo or the key that was written into a file.

    Attributes:
        fields: the keys of the tag that were written, such as `BPM`, and their earlier values.
        after: the new value of each.
        confidence: of the new value.
    """

    fields: Mapping[str, tuple[str, ...]]
    after: tuple[str, ...]
    confidence: float | None


@dataclass(frozen=True)
class Entry:
    """One file that was tagged.

    Attributes:
        path: relative to FOLDER, with forward slashes.
        field: the field that was written; None: the genre field.
        before, provenance_before: earlier values of that field, and of the field with the origin.
        after, provenance: the genres and the origin that were written; empty if only tempo or key were.
        confidence: of the model; None if it classified nothing.
        payload_sha256: of the audio, which does not change.
        size_before, sha256_before: of the whole file before.
        sha256_after: of the whole file after.
        undo: the patch from the later file to the earlier one.
        music: the written tempo and key.
    """

    path: str
    field: str | None
    before: tuple[str, ...]
    after: tuple[str, ...]
    confidence: float | None
    provenance: str
    provenance_before: tuple[str, ...]
    payload_sha256: str
    size_before: int
    sha256_before: str
    sha256_after: str
    undo: bytes
    music: Mapping[str, WrittenMusic] = dataclasses.field(default_factory=dict)

    def to_line(self) -> bytes:
        """JSON, ASCII only, so that names that are not UTF-8 survive the round trip."""
        fields = dataclasses.asdict(self) | {"version": VERSION, "undo": base64.b64encode(self.undo).decode()}
        if not self.music:  # earlier versions of genrelab can undo it
            del fields["music"]
            fields["version"] = 2
        return json.dumps(fields).encode() + b"\n"


@dataclass(frozen=True)
class UnreadableLine:
    """An invalid line of a journal; `torn`: the last one, incomplete since `tag` was killed."""

    line: int
    reason: str
    torn: bool


class TagJournal:
    """Appends entries; the file is created with the first one.

    Args:
        folder: FOLDER.
    """

    def __init__(self, folder: Path) -> None:
        self.path: Path | None = None
        self._folder = folder / FOLDER
        self._file: FileIO | None = None

    def append(self, entry: Entry) -> None:
        """Write one line, and wait until it is on disk.

        Raises:
            OSError: it cannot be written; the journal is unchanged.
        """
        f = self._file or self._open()
        self._file, end, line = f, f.seek(0, 2), entry.to_line()
        try:
            if f.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(f.fileno())
        except OSError:
            f.truncate(end)
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
    """Make a new name in a folder survive a power cut; on Windows it does without this."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_newest_first(journal: Path) -> Iterator[Entry | UnreadableLine]:
    """Yield the entries of a journal, the last one first; one line is in memory at a time.

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
                yield _parse_line(f.readline(), number, number == len(starts))
    except OSError as e:
        raise TagError(journal, f"cannot be read ({e.strerror}): give FOLDER/{FOLDER}/tags-TIME.jsonl") from e


def _parse_line(line: bytes, number: int, last: bool) -> Entry | UnreadableLine:
    try:
        fields = json.loads(line)
        version = fields.pop("version", None) if isinstance(fields, dict) else None
        if version not in (1, 2, VERSION) or isinstance(version, bool):
            reason = f"has an unknown version (known: 1 to {VERSION}): use the version of genrelab that wrote it"
            return UnreadableLine(number, reason, False)
        if version == 1:
            fields["after"] = [fields["after"]]
        for name in ("before", "after", "provenance_before"):
            fields[name] = text_tuple(fields[name], name)
        fields["music"] = _parse_music(fields["music"]) if version == VERSION else {}
        entry = Entry(**{**fields, "undo": base64.b64decode(fields["undo"], validate=True)})
        _check_types(entry)
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        if last and not line.endswith(b"\n"):
            return UnreadableLine(number, "incomplete: `tag` was stopped before it changed the file", True)
        return UnreadableLine(number, f"is damaged ({' '.join(str(e).split())})", False)
    return entry


def text_tuple(values: object, name: str) -> tuple[str, ...]:
    """The values of a JSON list; raises ValueError with `name` if they are not strings."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name} must be a list of strings")
    return tuple(values)


def _parse_music(changes: object) -> dict[str, WrittenMusic]:
    if not isinstance(changes, dict) or not set(changes) <= {TEMPO, KEY}:
        raise ValueError("music has other fields than tempo and key")
    found = {}
    for name, change in changes.items():
        fields = {key: text_tuple(values, name) for key, values in dict(change["fields"]).items()}
        if not fields or any(field_of(key) != name for key in fields):
            raise ValueError(f"{name} has a field of something else")
        found[name] = WrittenMusic(fields, text_tuple(change["after"], name), change["confidence"])
    return found


def _check_types(entry: Entry) -> None:
    texts = (entry.path, entry.provenance, entry.payload_sha256, entry.sha256_before, entry.sha256_after)
    if not all(isinstance(text, str) for text in (*texts, entry.field or "")):
        raise ValueError("a value is not a string")
    confidences = (entry.confidence, *(change.confidence for change in entry.music.values()))
    if not isinstance(entry.size_before, int) or not all(isinstance(c, int | float | None) for c in confidences):
        raise ValueError("a value is not a number")


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lock FOLDER/.genrelab for one run at a time; the lock ends with the process.

    Raises:
        TagError: another run holds it, or the folder is not writable.
    """
    try:
        (folder / FOLDER).mkdir(exist_ok=True)
        f = (folder / FOLDER / "lock").open("ab")
    except OSError as e:
        raise TagError(folder, f"cannot write a journal here ({e.strerror}): nothing was changed") from e
    with f:
        try:
            lock_descriptor(f.fileno())
        except (BlockingIOError, PermissionError) as e:
            raise TagError(
                folder, "another genrelab is writing tags here: wait until it ends, then run the same command again"
            ) from e
        except OSError:
            pass  # a file system without locks: two runs would hinder each other, but lose nothing
        yield


def is_locked(folder: Path) -> bool:
    """Has another run locked that folder?"""
    try:
        with (folder / FOLDER / "lock").open("rb+") as f:
            lock_descriptor(f.fileno())
    except OSError as e:  # others: no run so far, or a file system without locks
        return isinstance(e, BlockingIOError | PermissionError)
    return False


def lock_descriptor(descriptor: int) -> None:
    """Lock an open file until it is closed; raises OSError if another process has locked it, or locks are missing."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
