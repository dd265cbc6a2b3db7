"""Artists in the tags of files, and in a CSV that names tracks by path or file name, with or without suffix."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from genrelab.audio.file_tags import FileTags, read_file_tags
from genrelab.core.errors import DatasetError, printable
from genrelab.core.text import join_first, pluralize
from genrelab.identity.artist_names import is_no_artist, name_key
from genrelab.identity.artists import Credit

UNKNOWN_ARTISTS = "artists are unknown: give them with --artists FILE (a CSV with the columns id and artist)"
"""Note on a dataset in which no artist is known."""


def tags_of(file: Path) -> FileTags:
    """The tags of a file; no tags if it cannot be read."""
    try:
        return read_file_tags(file)
    except (OSError, ValueError):  # ValueError: NUL in a name
        return FileTags(readable=False)


def first_artist(credit: Credit) -> str | None:
    """The first name in a credit that is not `Various Artists` or the like, the track's own before the album's."""
    return next((name for name in (*credit.names, *credit.album_names) if not is_no_artist(name)), None)


ID_COLUMNS = ("id", "track_id", "file", "filename", "path")
"""Accepted names of the id column in a table of artists; the first one present is used."""


def read_artist_table(
    table: Path, track_ids: Sequence[str], id_of: Callable[[str], str | None] = str
) -> tuple[dict[str, str], list[str]]:
    """Artists from a CSV with the columns id and artist, and notes on rows that could not be used.

    Args:
        id_of: the track id that a cell means; None for none.

    Raises:
        DatasetError: the CSV cannot be read, lacks a column, or gives one file two artists.
    """
    forms = _id_forms(track_ids)
    stated: dict[str, str] = {}
    unknown: list[str] = []
    ambiguous: list[str] = []
    for name, artist in _read_artists(table):
        key = _nfc(id_of(name) or "")
        hits: list[str] = next((form[key] for form in forms if key in form), [])
        if len(hits) != 1:
            (ambiguous if hits else unknown).append(name)
            continue
        if is_no_artist(artist):
            continue
        if name_key(stated.setdefault(hits[0], artist)) != name_key(artist):
            raise DatasetError(
                f"{table}: two artists for {printable(hits[0])}: {printable(stated[hits[0]])} and {printable(artist)}"
            )
    rows = ((unknown, "without a matching file"), (ambiguous, "with several matching files"))
    return stated, [f"{pluralize(r, 'row')} of {table.name} {what}: {join_first(r)}" for r, what in rows if r]


def _id_forms(track_ids: Sequence[str]) -> list[dict[str, list[str]]]:
    """The ways in which a table may name files, the strictest first: path, path without suffix, file name, stem."""
    forms: list[dict[str, list[str]]] = [defaultdict(list) for _ in range(4)]
    for track_id in track_ids:
        path = PurePosixPath(_nfc(track_id))
        for form, key in zip(forms, (path, path.with_suffix(""), path.name, path.stem), strict=True):
            form[str(key)].append(track_id)
    return forms


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)  # macOS stores names decomposed, tables mostly hold them composed


def _read_artists(table: Path) -> list[tuple[str, str]]:
    """(id, artist) of each row."""
    header, rows = read_rows(table)
    id_column = next((name for name in ID_COLUMNS if name in header), None)
    if id_column is None or "artist" not in header:
        raise DatasetError(
            f"{table}: the columns id and artist are needed. Found: {', '.join(map(printable, header)) or 'none'}"
        )
    return [(row.get(id_column, ""), row.get("artist", "")) for row in rows if row]


def read_rows(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The names of a CSV's columns in lower case, and its rows; `;` or tab may separate, as spreadsheets write.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise DatasetError(f"{file} cannot be read: {getattr(e, 'strerror', None) or 'it is not UTF-8'}") from e
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header, *rows = [[cell.strip() for cell in line] for line in lines] or [[]]
    except csv.Error as e:
        quotes = 'a quotation mark is not closed, or not doubled within a cell ("""Weird"" Al")'
        raise DatasetError(f"{file}, line {lines.line_num}: {quotes}") from e
    names = [name.casefold() for name in header]
    return names, [dict(zip(names, row, strict=False)) for row in rows]
