"""Extended M3U8 playlists in one folder: entries, valid file names, and which files may be replaced."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genrelab import __version__
from genrelab.core.errors import SettingsError, printable
from genrelab.tagging import tags
from genrelab.tagging.new_file import new_file

MARK = "# Written by genrelab"
"""Only a playlist with this line is replaced. The line ends in an `origin_of`, except in old playlists."""

FORBIDDEN_CHARACTERS = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
"""Characters that some file systems refuse in names."""

RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows reserves for devices."""


@dataclass(frozen=True)
class PlaylistItem:
    """A track of a playlist.

    Attributes:
        confidence: the sort key of a playlist.
        path: the track.
        lines: its lines in the M3U8.
    """

    confidence: float
    path: Path
    lines: str


def make_folder(out: Path) -> None:
    """Create the folder and check that it is writable, before the music is classified."""
    what = "created"
    try:
        out.mkdir(parents=True, exist_ok=True)
        what = "written to"
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as e:
        raise SettingsError(f"{out}: cannot be {what} ({e.strerror}): choose another --out") from e


def entry(path: Path, out: Path, duration_s: float | None) -> str:
    """The lines of a track.

    Raises:
        ValueError: why it cannot be in a playlist.
    """
    base = Path(os.path.realpath(out))
    relative = Path(os.path.relpath(Path(os.path.realpath(path.parent), path.name), base)).as_posix()
    if "\n" in relative or "\r" in relative:
        raise ValueError("its name has a line break, which is impossible in a playlist: rename the file")
    try:
        relative.encode()
    except UnicodeEncodeError:
        raise ValueError("its name is not UTF-8, which is impossible in a playlist: rename the file") from None
    if relative.startswith(("#", " ")):  # a comment, or stripped by players
        relative = f"./{relative}"
    seconds = -1 if duration_s is None else round(duration_s)
    return f"#EXTINF:{seconds},{_title(path)}\n{relative}\n"


def _title(path: Path) -> str:
    try:
        artist, title = tags.artist_and_title(path)
    except OSError:  # a missing title is no error
        artist, title = "", ""
    name = " - ".join(part for part in (artist, title) if part) if title else path.stem
    return " ".join(printable(" ".join(name.split())).split())


def file_names(titles: Iterable[str], *, reserved: str) -> dict[str, str]:
    """A name for each title that is valid on any file system, and differs from all others by more than case.

    Args:
        reserved: a name that no title may get.
    """
    names: dict[str, str] = {}
    taken = {reserved.casefold()}
    for title in sorted(set(titles)):
        name = FORBIDDEN_CHARACTERS.sub("_", title)
        name = name.encode("utf-8", "replace")[:200].decode("utf-8", "ignore").strip(" .") or "_"
        if RESERVED.fullmatch(name):
            name = f"_{name}"
        chosen, n = name, 1
        while chosen.casefold() in taken:
            n += 1
            chosen = f"{name} ({n})"
        names[title] = chosen
        taken.add(chosen.casefold())
    return names


def origin_of(folder: Path, out: Path, kind: str) -> str:
    """The end of the MARK line, the same for all playlists of one kind and library.

    Args:
        folder: the library; its path is relative to `out`, so that both may move together.
        out: folder of the playlists.
        kind: `genre` or `tag`.
    """
    library = Path(os.path.relpath(os.path.realpath(folder), os.path.realpath(out))).as_posix()
    return f"; by {kind}, of {json.dumps(library)}"


def write(file: Path, title: str, items: list[PlaylistItem], origin: str) -> None:
    """Write a playlist, the most confident tracks first.

    Args:
        origin: see `origin_of`.

    Raises:
        SettingsError: it cannot be written; an earlier one is still there.
    """
    items = sorted(items, key=lambda item: (-item.confidence, str(item.path)))
    head = f"#EXTM3U\n{MARK} {__version__}, which replaces this file{origin}\n#PLAYLIST:{printable(title)}\n"
    try:
        with new_file(file) as out:
            out.write((head + "".join(item.lines for item in items)).encode())
    except OSError as e:
        raise SettingsError(f"{file}: cannot be written ({e.strerror}): choose another --out") from e


def remove_stale(out: Path, current: Iterable[Path], origin: str) -> tuple[Path, ...]:
    """Remove and return playlists of this origin that were not written again."""
    current = list(current)
    ours = [file for file in sorted(out.glob("*.m3u8")) if (_mark(file) or "").endswith(origin)]
    stale = [file for file in ours if not any(map(file.samefile, current))]
    for file in stale:
        file.unlink()
    return tuple(stale)


def check_replaceable(files: Iterable[Path]) -> None:
    """Raise SettingsError if one of them exists and was not written by genrelab."""
    for file in files:
        if file.exists() and _mark(file) is None:
            raise SettingsError(f"{file} exists, and genrelab did not write it: choose another --out")


def _mark(file: Path) -> str | None:
    """The MARK line; None if genrelab did not write this file, or it cannot be read."""
    try:
        if not file.is_file():
            return None
        with file.open("rb") as f:
            lines = [f.readline(100_000).decode("utf-8", "replace").rstrip("\r\n") for _ in range(3)]
    except OSError:
        return None
    return next((line for line in lines if line.startswith(MARK)), None)
