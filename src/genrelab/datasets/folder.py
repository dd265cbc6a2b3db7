"""folder: a user's own collection, one folder per genre.

What: audio of any format at any depth below ROOT/<genre>/; the track id is the path below ROOT.
How much: any number of files. Who: artist and album come from the tags (ID3, Vorbis, MP4, ASF, APE), or
the artist from a CSV. Licence: the files' own.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from genrelab.audio.file_tags import FileTags
from genrelab.core.errors import DatasetError, printable
from genrelab.core.text import join_first, pluralize
from genrelab.datasets.artists import UNKNOWN_ARTISTS, first_artist, read_artist_table, tags_of
from genrelab.datasets.base import Dataset, DatasetOptions, Track, UnusedFile, sort_tracks
from genrelab.datasets.fma_metadata.tables import refuse_clips_without_metadata
from genrelab.datasets.scan import UNREADABLE, ScannedFolder, scan, unused_notes
from genrelab.identity.artists import Credit

NAME = "folder"
OPTIONS = ("artists",)
EXPECTED_LAYOUT = "one folder per genre, with audio in each (rock/song.mp3)"

STRAY = "not in a genre folder"


def matches(root: Path) -> str | None:
    """Why ROOT fits: the number of folders with audio; None where there is none."""
    genres = {_genre(p) for p in scan(root).audio if "/" in p} if root.is_dir() else set()
    return f"{pluralize(genres, 'folder')} with audio" if genres else None


def load(root: Path, options: DatasetOptions) -> Dataset:
    """Tracks of a folder of genres.

    Args:
        root: folder with one folder per genre.
        options: `artists`, a CSV whose artists take precedence over those of the tags.

    Raises:
        DatasetError: no genre folder with audio, FMA's clips without their metadata, or an artist table that cannot be
            read.
    """
    found = scan(root)
    track_ids = [p for p in found.audio if "/" in p]
    if not track_ids:
        stray = f"{pluralize(found.audio, 'audio file')}, {STRAY}" if found.audio else "no audio files"
        parts = [f"{printable(str(root))}: {stray}", *unused_notes(found.unused), f"needed: {EXPECTED_LAYOUT}"]
        raise DatasetError("; ".join(parts))
    refuse_clips_without_metadata(root, found.audio)
    tags = {i: tags_of(root / i) for i in track_ids}
    stated, notes = read_artist_table(options.artists, track_ids) if options.artists else ({}, [])
    credited = {i: Credit(names=(stated[i],)) if i in stated else tags[i].credit for i in track_ids}
    artists = {i: first_artist(credit) for i, credit in credited.items()}
    tracks = sort_tracks(
        Track(i, path=i, genre=_genre(i), artist=artists[i], album=tags[i].album, credit=credited[i]) for i in track_ids
    )
    notes = [*_file_notes(found), *_artist_notes(artists, tags, stated), *notes]
    without_genre = (UnusedFile(p, STRAY) for p in found.audio if "/" not in p)
    return Dataset(NAME, root, tracks, tuple(notes), unused=(*without_genre, *found.unused))


def _genre(track_id: str) -> str:
    return track_id.split("/", 1)[0]


def _file_notes(found: ScannedFolder) -> list[str]:
    sizes = Counter(_genre(p) for p in found.audio if "/" in p)
    known = {*sizes, *(u.path for u in found.unused if u.reason.startswith(UNREADABLE))}
    notes = ["tracks: " + ", ".join(f"{printable(g)} {n:,}" for g, n in sorted(sizes.items()))]
    stray = [p for p in found.audio if "/" not in p]
    empty = [g for g in found.folders if g not in known]
    kinds = ((stray, "audio file", STRAY), (empty, "genre folder", "without audio"))
    notes += [f"skipped: {pluralize(names, what)} {why}: {join_first(names)}" for names, what, why in kinds if names]
    return [*notes, *unused_notes(found.unused)]


def _artist_notes(artists: dict[str, str | None], tags: dict[str, FileTags], stated: dict[str, str]) -> list[str]:
    known = sum(a is not None for a in artists.values())
    source = f"for {len(stated):,} of them from the table of artists" if stated else "from tags"
    notes = [f"artist known for {known:,} of {pluralize(artists, 'track')}, {source}" if known else UNKNOWN_ARTISTS]
    unreadable = [i for i, t in tags.items() if not t.readable]
    if unreadable:
        notes.append(f"{pluralize(unreadable, 'file')} with unreadable tags: {join_first(unreadable)}")
    return notes
