"""folder: a user's own collection, one folder per genre.

What: audio of any format at any depth below ROOT/<genre>/; the track id is the path below ROOT.
How much: any number of files. Who: artist and album come from the tags (ID3, Vorbis, MP4, ASF, APE), or
the artist from a CSV. Licence: the files' own; genrelab does not know it.
"""

from __future__ import annotations

import os
import struct
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import mutagen

from genrelab.audio.files import AUDIO_SUFFIXES
from genrelab.core.errors import DatasetError, printable
from genrelab.core.text import join_first, pluralize
from genrelab.datasets.artists import NO_ARTIST, UNKNOWN_ARTISTS, fold_name, read_artist_table
from genrelab.datasets.base import Dataset, DatasetOptions, Track, sort_tracks

NAME = "folder"
EXPECTED_LAYOUT = "a folder with one folder per genre and audio below each (rock/song.mp3)"

ARTIST_TAGS = (
    "artist", "Author", "TPE1", "albumartist", "album artist", "album_artist", "WM/AlbumArtist", "TPE2", "performer",
)  # fmt: skip
ALBUM_TAGS = ("album", "WM/AlbumTitle", "TALB")
"""Keys in the order of trust: mutagen's easy names, then those of formats that have no easy names."""

TAG_ERRORS = (
    mutagen.MutagenError, ValueError, LookupError, RecursionError, struct.error,
    ArithmeticError, AttributeError, TypeError, EOFError,
)  # fmt: skip
"""What damaged tags raise: mutagen's own error, what fuzzing showed that its parsers let through (first line),
and others of that kind (second line)."""


def matches(root: Path) -> str | None:
    """Why ROOT fits: the folders that hold audio; None where there is none."""
    genres = sorted({_genre(p) for p in _scan(root).audio if "/" in p}) if root.is_dir() else []
    return f"{pluralize(genres, 'folder')} with audio: {join_first(genres)}" if genres else None


def load(root: Path, options: DatasetOptions) -> Dataset:
    """Tracks of a folder of genres.

    Args:
        root: folder with one folder per genre.
        options: `artists`, a CSV whose artists take precedence over those of the tags.

    Raises:
        DatasetError: no genre folder with audio, or an artist table that cannot be read.
    """
    found = _scan(root)
    track_ids = [p for p in found.audio if "/" in p]
    if not track_ids:
        stray = f"{pluralize(found.audio, 'audio file')} directly in it" if found.audio else "no audio in it"
        raise DatasetError(f"{root}: {stray}; looked for {EXPECTED_LAYOUT}")
    tags = {i: _read_tags(root / i) for i in track_ids}
    stated, notes = read_artist_table(options.artists, track_ids) if options.artists else ({}, [])
    artists = _unify_spellings({i: stated.get(i) or tags[i].artist for i in track_ids})
    tracks = sort_tracks(
        Track(track_id=i, path=i, genre=_genre(i), artist=artists[i], album=tags[i].album) for i in track_ids
    )
    notes = [*_file_notes(found), *_artist_notes(artists, tags, stated), *notes]
    return Dataset(NAME, root, tracks, tuple(notes))


@dataclass
class _ScannedFiles:
    """Files and folders below ROOT: relative paths with forward slashes."""

    audio: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)  # files without an audio suffix
    genres: list[str] = field(default_factory=list)  # folders directly in ROOT
    unreadable: list[str] = field(default_factory=list)  # folders that may not be read
    again: list[str] = field(default_factory=list)  # links to folders that were read already
    misnamed: list[str] = field(default_factory=list)  # names that are not UTF-8, which no table can hold


def _scan(root: Path) -> _ScannedFiles:
    """Everything below ROOT except what is hidden.

    Links to folders are followed after all real folders, and no folder is read twice: a loop ends, and a
    song belongs to the genre where it really lies.
    """
    found, pending, seen = _ScannedFiles(), deque([""]), set()
    while pending:
        folder = pending.popleft()
        try:
            status = (root / folder).stat()
            entries = sorted(os.scandir(root / folder), key=lambda e: e.name)
        except OSError:
            found.unreadable.append(folder)
            continue
        if (status.st_dev, status.st_ino) in seen:
            found.again.append(folder)
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            if entry.name.startswith("."):  # .genrelab, .DS_Store, ._song.mp3
                continue
            if subfolder := _sort_entry(found, entry, f"{folder}/{entry.name}".lstrip("/")):
                (pending.append if entry.is_symlink() else pending.appendleft)(subfolder)
    found.audio.sort()
    return found


def _sort_entry(found: _ScannedFiles, entry: os.DirEntry[str], path: str) -> str | None:
    """Add one entry to its list; returns its path if it is a folder to be read."""
    if any(0xD800 <= ord(c) <= 0xDFFF for c in entry.name):
        found.misnamed.append(path)
    elif os.path.isdir(entry):  # noqa: PTH112 - a link to itself is an error for Path and DirEntry, here it is no folder
        if "/" not in path:
            found.genres.append(path)
        return path
    elif os.path.isfile(entry) or not os.path.exists(entry):  # noqa: PTH110, PTH113 - a broken link is a missing file
        kind = found.audio if PurePosixPath(path).suffix.lower() in AUDIO_SUFFIXES else found.other
        kind.append(path)
    return None


def _genre(track_id: str) -> str:
    return track_id.split("/", 1)[0]


@dataclass(frozen=True)
class _Tags:
    """Artist and album in the tags of one file."""

    artist: str | None = None
    album: str | None = None
    readable: bool = True
    collective: bool = False  # an artist is given, but it is "Various Artists" or the like


def _read_tags(file: Path) -> _Tags:
    try:
        tags = getattr(mutagen.File(file, easy=True), "tags", None)
        if tags is None:
            return _Tags()
        artists = [a for key in ARTIST_TAGS for a in _tag_texts(tags, key)]
        albums = [a for key in ALBUM_TAGS for a in _tag_texts(tags, key)]
    except TAG_ERRORS:
        return _Tags(readable=False)
    people = [a for a in artists if fold_name(a) not in NO_ARTIST]
    return _Tags(next(iter(people), None), next(iter(albums), None), collective=bool(artists and not people))


def _tag_texts(tags: Any, key: str) -> list[str]:
    """The non-blank texts of one tag; formats wrap them as lists, frames or attributes."""
    value = tags.get(key)
    value = getattr(value, "text", value)
    texts = [] if value is None else [value] if isinstance(value, str) else [str(v) for v in value]
    return [" ".join(t.split()) for t in texts if t.strip()]


def _unify_spellings(artists: dict[str, str | None]) -> dict[str, str | None]:
    """The same artists, each in its first spelling, so that a split keeps them together."""
    first: dict[str, str] = {}
    return {i: a and first.setdefault(fold_name(a), a) for i, a in artists.items()}


def _file_notes(found: _ScannedFiles) -> list[str]:
    sizes = Counter(_genre(p) for p in found.audio if "/" in p)
    known = {*sizes, *found.again, *found.unreadable}
    suffixes = Counter(sorted(PurePosixPath(p).suffix.lower() or "no suffix" for p in found.other))
    each = ", ".join(f"{printable(g)} {n}" for g, n in sorted(sizes.items()))
    notes = [f"{pluralize(sizes.total(), 'audio file')} in {pluralize(sizes, 'genre')}: {each}"]
    stray = [p for p in found.audio if "/" not in p]
    kinds: tuple[tuple[list[str], str, str], ...] = (
        (stray, "audio file", "directly in ROOT, in no genre folder: left out"),
        ([g for g in found.genres if g not in known], "genre folder", "without audio"),
        (found.unreadable, "folder", "that may not be read"),
        (found.again, "link", "to a folder that was read already: left out"),
        (found.misnamed, "name", "that is not UTF-8: left out, rename to use"),
    )
    notes += [f"{pluralize(names, what)} {why}: {join_first(names)}" for names, what, why in kinds if names]
    if found.other:
        each = ", ".join(f"{printable(s)} {n}" for s, n in suffixes.most_common(5))
        notes.append(f"{pluralize(found.other, 'file')} left out as no audio by the name ({each})")
    return notes


def _artist_notes(artists: dict[str, str | None], tags: dict[str, _Tags], stated: dict[str, str]) -> list[str]:
    names = [a for a in artists.values() if a is not None]
    source = f"tags, for {len(stated)} the artist table" if stated else "tags"
    notes = [f"{pluralize(set(names), 'artist')} known for {len(names)} of {pluralize(artists, 'file')}, from {source}"]
    if not names:
        notes.append(UNKNOWN_ARTISTS)
    unreadable = [i for i, t in tags.items() if not t.readable]
    collective = [i for i, t in tags.items() if t.collective and i not in stated]
    if unreadable:
        notes.append(f"{pluralize(unreadable, 'file')} with tags that cannot be read: {join_first(unreadable)}")
    if collective:
        notes.append(
            f"{pluralize(collective, 'file')} tagged Various Artists or the like, taken as unknown: "
            f"{join_first(collective)}"
        )
    return notes
