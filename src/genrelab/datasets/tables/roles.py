"""The roles of a table's columns, by their names or by options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genrelab.core.csv_tables import TableFile
from genrelab.core.errors import DatasetError, printable
from genrelab.core.text import join_first, pluralize
from genrelab.datasets.base import DatasetOptions

if TYPE_CHECKING:
    import pandas as pd

LABELS = ("genre", "genre_top", "label")
"""Columns that may hold the label; the first one present is used."""

ARTISTS = ("artist", "artist_name", "artists", "performer", "künstler", "interpret", "artiste", "artista")
"""Columns that may hold the artist; the first one present is used."""

CREDITS = {
    "ids": ("musicbrainz_artistid", "artist_mbid", "mb_artistid", "artist_id"),
    "album_names": ("album_artist", "album_artist_name"),
    "album_ids": ("musicbrainz_albumartistid", "album_artist_mbid", "mb_albumartistid", "album_artist_id"),
    "compilation": ("compilation", "is_compilation", "itunes_compilation"),
}
"""Field of `Credit` → columns that may hold it; the first one present is used."""

FILE_NAMES = (
    "filename", "file", "filepath", "fname", "audio", "audio_file", "audio_filename", "audio_path", "wav", "wav_file",
)  # fmt: skip
TITLES = ("name", "track", "track_name", "song", "song_name", "title", "track_title", "song_title", "titel", "titre")
NAMES = (*FILE_NAMES, *TITLES, "song_id", "recording", "recording_id", "id")
"""Columns that may name the tracks, in order of preference."""

INDEX = "unnamed: 0"
"""The first column if it has no name: a program's own index, which may hold names of files."""

RECORDINGS = ("recording", "recording_id", "song_id", *FILE_NAMES)
"""Columns whose equal cells are certainly pieces of one recording if another column names the tracks."""

NEVER_FEATURES = frozenset(
    (*LABELS, "track_id", "id", "index", "split", "artist", "album", "subset", "path", "genres", "start_s")
)
"""A second label or a row number would leak the genre; `start_s` is a column of `features.parquet` itself."""

MAX_COLUMNS_SHOWN = 20
"""Columns listed in an error or a note."""


@dataclass(frozen=True)
class ColumnRoles:
    """Column of each role; None where there is none.

    Attributes:
        credit: field of `Credit` → column.
        names: columns that may name the tracks or their recordings.
    """

    label: str
    path: str | None
    track_id: str | None
    split: str | None
    artist: str | None
    album: str | None
    group: str | None
    credit: Mapping[str, str]
    names: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def named(self) -> frozenset[str]:
        """All columns with a role."""
        columns = (self.label, self.path, self.track_id, self.split, self.artist, self.album, self.group)
        return frozenset(c for c in (*columns, *self.credit.values()) if c is not None)

    def is_text(self, column: str) -> bool:
        """Is the column read as text?"""
        return column in self.named or column in self.names or folded(column) in _NEVER

    def why_no_feature(self, column: str) -> str | None:
        """Why a column without a role is not a feature, whatever it holds; None if it may be one."""
        if column in self.dropped:
            return "--drop"
        if column.casefold().startswith("unnamed:"):
            return "without a name"  # the row numbers that pandas saves, or what follows a line's last delimiter
        return "by its name" if folded(column) in _NEVER else None


def folded(name: str) -> str:
    """Normal form of a column's name: `Track ID`, `track_id` and `trackId` are one."""
    return re.sub(r"[\W_]+", "", name).casefold()


_NEVER = frozenset(map(folded, NEVER_FEATURES))


def column_roles(root: Path, table: TableFile, options: DatasetOptions) -> ColumnRoles:
    """The roles of a table's columns.

    Raises:
        DatasetError: no column with the name of an option, or none for the label.
    """
    by_name = {folded(c): c for c in reversed(table.columns)} | {c.casefold(): c for c in reversed(table.columns)}

    def stated(option: str, column: str | None) -> str | None:
        if column is not None and column not in table.columns:
            raise DatasetError(
                f"{root}: there is no column {printable(column)} ({option}); {describe_columns(table.read(()))}"
            )
        return column

    def first(names: Sequence[str]) -> str | None:
        return next((by_name[folded(name)] for name in names if folded(name) in by_name), None)

    label = stated("--label", options.label) or first(LABELS)
    if label is None:
        raise DatasetError(
            f"{root}: there is no column {' or '.join(LABELS)}: give the column with the genres with --label; "
            f"{describe_columns(table.read(()))}"
        )
    for column in options.drop:
        stated("--drop", column)
    credit = {field: found for field, names in CREDITS.items() if (found := first(names)) is not None}
    return ColumnRoles(
        label,
        path=first(["path"]),
        track_id=stated("--id-column", options.id_column) or first(["track_id"]),
        split=stated("--split-column", options.split_column) or first(["split"]),
        artist=stated("--artist-column", options.artist_column) or first(ARTISTS),
        album=first(["album"]),
        group=stated("--group-column", options.group_column),
        credit=credit,
        names=tuple(by_name[folded(name)] for name in (*NAMES, INDEX) if folded(name) in by_name),
        dropped=options.drop,
    )


def describe_columns(frame: pd.DataFrame) -> str:
    """The columns, for an error; if there are many, columns of text come first: the label or split may be one."""
    columns = list(map(str, frame.columns))
    if len(columns) <= MAX_COLUMNS_SHOWN:
        return f"{pluralize(columns, 'column')}: {join_first(columns, most=MAX_COLUMNS_SHOWN)}"
    numeric = {*map(str, frame.select_dtypes("number").columns)}
    words = [c for c in columns if c not in numeric]
    numbers = join_first([c for c in columns if c in numeric])
    groups = [f"of text: {join_first(words, most=MAX_COLUMNS_SHOWN)}"] if words else []
    groups += [f"of numbers: {numbers}"] if numeric else []
    return f"{pluralize(columns, 'column')}: {'; '.join(groups)}"
