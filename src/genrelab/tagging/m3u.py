"""Extended M3U8 playlists in one folder: entries, names that any file system takes, and what may be replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genrelab import __version__
from genrelab.core.errors import SettingsError, TagError, printable
from genrelab.tagging import tags
from genrelab.tagging.replace_file import temp_path

MARK = "# Written by genrelab"
"""A playlist with this line may be replaced; any other is left alone."""

FORBIDDEN_CHARACTERS = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
"""Characters that some file systems refuse in names."""

RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows reserves for devices."""


@dataclass(frozen=True)
class PlaylistItem:
    """A track of a playlist.

    Attributes:
        confidence: by which a playlist is sorted.
        path: the track.
        lines: of the M3U8.
    """

    confidence: float
    path: Path
    lines: str


def make_folder(out: Path) -> None:
    """Create the folder and check that it is writable, before the music is classified."""
    what = "made a folder"
    try:
        out.mkdir(parents=True, exist_ok=True)
        what = "written to"
        temporary = temp_path(out)
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as e:
        raise SettingsError(f"{out}: cannot be {what} ({e.strerror}): choose another --out") from e


def entry(path: Path, out: Path, duration_s: float | None) -> str:
    """The lines of a track.

    Raises:
        ValueError: it can be in no playlist; the text says why.
    """
    base = Path(os.path.realpath(out))
    relative = Path(os.path.relpath(Path(os.path.realpath(path.parent), path.name), base)).as_posix()
    if "\n" in relative or "\r" in relative:
        raise ValueError("its name has a line break, which no playlist can hold: rename it")
    try:
        relative.encode()
    except UnicodeEncodeError:
        raise ValueError("its name is not UTF-8, which a playlist has to be: rename it") from None
    if relative.startswith(("#", " ")):  # a comment, or what players strip
        relative = f"./{relative}"
    seconds = -1 if duration_s is None else round(duration_s)
    return f"#EXTINF:{seconds},{_title(path)}\n{relative}\n"


def _title(path: Path) -> str:
    try:
        artist, title = tags.artist_and_title(path)
    except (TagError, OSError):  # it was classified: missing titles are no error
        artist, title = "", ""
    name = " - ".join(part for part in (artist, title) if part) if title else path.stem
    return " ".join(printable(" ".join(name.split())).split())


def file_names(titles: Iterable[str], *, reserved: str) -> dict[str, str]:
    """For each title a name that is valid on any file system and differs from all others by more than case.

    Args:
        reserved: a name that none of them may have.
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


def write(file: Path, title: str, items: list[PlaylistItem]) -> None:
    """Write a playlist, the surest tracks first.

    Raises:
        SettingsError: it cannot be written; the earlier one is still there.
    """
    items = sorted(items, key=lambda item: (-item.confidence, str(item.path)))
    head = f"#EXTM3U\n{MARK} {__version__}, which replaces this file\n#PLAYLIST:{printable(title)}\n"
    temporary = temp_path(file.parent)
    try:
        temporary.write_text(head + "".join(item.lines for item in items), "utf-8", newline="\n")
        temporary.replace(file)
    except OSError as e:
        raise SettingsError(f"{file}: cannot be written ({e.strerror}): choose another --out") from e
    finally:
        temporary.unlink(missing_ok=True)


def remove_stale(out: Path, current: Iterable[Path]) -> tuple[Path, ...]:
    """Remove playlists of an earlier run that were not written again; return them."""
    current = list(current)
    stale = [file for file in sorted(out.glob("*.m3u8")) if _is_ours(file) and not any(map(file.samefile, current))]
    for file in stale:
        file.unlink()
    return tuple(stale)


def check_replaceable(files: Iterable[Path]) -> None:
    """Raises SettingsError if one of them is there and was not written by genrelab."""
    for file in files:
        if file.exists() and not _is_ours(file):
            raise SettingsError(f"{file}: a playlist that genrelab did not write is in the way: choose another --out")


def _is_ours(file: Path) -> bool:
    try:
        if not file.is_file():
            return False
        with file.open("rb") as f:
            return any(line.startswith(MARK.encode()) for line in f.read(400).splitlines()[:3])
    except OSError:  # what cannot be read is not ours to replace
        return False
