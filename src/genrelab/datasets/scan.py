"""Lists everything below a folder: audio files, and all else with the reason why it is not used.

Folders of systems, hidden entries and links to folders are skipped, as everywhere (`audio/files.py`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from genrelab.audio.files import HIDDEN, LINK, SYSTEM, looks_like_audio, walk
from genrelab.core.errors import printable
from genrelab.core.text import join_first, pluralize
from genrelab.datasets.base import UnusedFile

NO_AUDIO = "its suffix is not that of an audio file"
NOT_A_FILE = "neither a file nor a folder"
MISNAMED = "a name that is not UTF-8: rename it"
UNREADABLE = "no permission to read the folder"

OWN_PREFIX = ".genrelab"
"""Start of genrelab's own names in a collection (journals of tags, marks of downloads), which are not reported."""


@dataclass(frozen=True)
class ScannedFolder:
    """Everything below a folder: relative paths with forward slashes.

    Attributes:
        audio: files with an audio suffix, sorted, and links to missing files.
        folders: the searched folders directly in it.
        unused: all else.
    """

    audio: list[str]
    folders: list[str]
    unused: list[UnusedFile]


def scan(root: Path) -> ScannedFolder:
    """List everything below a folder; no file is opened.

    Raises:
        OSError: the folder itself cannot be read.
    """
    audio: list[str] = []
    unused: list[UnusedFile] = []
    top: list[str] = []

    def relative(path: str) -> str:
        return Path(path).relative_to(root).as_posix()

    def note_error(e: OSError) -> None:
        if e.filename is None or Path(e.filename) == root:
            raise e
        # It counts as audio, since it may hold some.
        unused.append(UnusedFile(_escaped(relative(e.filename)), f"{UNREADABLE}: {e.strerror or e}"))

    def note_skipped(path: str, why: str) -> None:
        if not (path := relative(path)).rpartition("/")[2].startswith(OWN_PREFIX):
            unused.append(UnusedFile(_escaped(path), why, is_audio=False))

    for parent, folders, names in walk(root, note_error, note_skipped):
        folder = relative(parent)
        top = top if folder != "." else list(folders)
        for name in names:
            path = name if folder == "." else f"{folder}/{name}"
            if why := _why_unused(parent, path):
                unused.append(UnusedFile(_escaped(path), why, is_audio=looks_like_audio(name) and why != NOT_A_FILE))
            else:
                audio.append(path)
    return ScannedFolder(sorted(audio), top, sorted(unused, key=lambda u: (not u.is_audio, u.path)))


def _why_unused(parent: str, path: str) -> str | None:
    name = path.rpartition("/")[2]
    if not looks_like_audio(name):
        return NO_AUDIO
    if not path.isascii() and _escaped(path) != path:
        return MISNAMED
    real = os.path.join(parent, name)  # noqa: PTH118 - a Path for each of many files takes long
    # A link to itself is an error for Path; a broken link is a missing file, which `prepare` names as such.
    return NOT_A_FILE if not os.path.isfile(real) and os.path.exists(real) else None  # noqa: PTH110, PTH113


def _escaped(path: str) -> str:
    """The path with backslash escapes for bytes that are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def unused_notes(unused: Sequence[UnusedFile]) -> list[str]:
    """Notes on what is not used, one for each reason."""
    kinds = (
        (UNREADABLE, "folder", "without permission to read"),
        (MISNAMED, "file", "with a name that is not UTF-8 (rename to use)"),
        (NOT_A_FILE, "special file", "(pipe, socket or device)"),
        (SYSTEM, "folder", "of the operating system or a NAS"),
        (LINK, "link", "to a folder (use the folder itself)"),
        (HIDDEN, "hidden file or folder", ""),
    )
    notes = []
    for kind, what, words in kinds:
        if found := [u.path for u in unused if u.reason.startswith(kind)]:
            plural = "hidden files and folders" if kind == HIDDEN else None
            notes.append(f"skipped: {pluralize(found, what, plural)} {words}".rstrip() + f": {join_first(found)}")
    if others := [u.path for u in unused if u.reason == NO_AUDIO]:
        suffixes = Counter(sorted(PurePosixPath(p).suffix.lower() or "no suffix" for p in others))
        each = ", ".join(f"{n:,} {printable(s)}" for s, n in suffixes.most_common(5))
        notes.append(f"skipped: {pluralize(others, 'file')} without an audio suffix ({each})")
    return notes
