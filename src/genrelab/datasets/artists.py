"""Artists in the tags of files, and in a CSV that may name tracks by path, file name or stem."""

from __future__ import annotations

import csv
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from genrelab.audio.file_tags import FileTags, read_file_tags
from genrelab.core.errors import DatasetError, printable
from genrelab.core.text import join_first, pluralize
from genrelab.identity.artist_names import is_no_artist, name_key
from genrelab.identity.artists import Credit

UNKNOWN_ARTISTS = "artists are unknown: name them with --artists FILE (columns id, artist)"
"""Note on a dataset in which no artist is known."""


def tags_of(file: Path) -> FileTags:
    """What the tags of a file say; nothing where it cannot be read."""
    try:
        return read_file_tags(file)
    except (OSError, ValueError):  # ValueError: NUL in a name
        return FileTags(readable=False)


def first_artist(credit: Credit) -> str | None:
    """The first name in a credit that is no `Various Artists`, the track's own before the album's."""
    return next((name for name in (*credit.names, *credit.album_names) if not is_no_artist(name)), None)


def read_artist_table(table: Path, track_ids: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Artists from a CSV with the columns id and artist, and notes on rows that could not be used.

    Raises:
        DatasetError: the CSV cannot be read, lacks a column, or gives one file two artists.
    """
    forms = _id_forms(track_ids)
    stated: dict[str, str] = {}
    unknown: list[str] = []
    ambiguous: list[str] = []
    for name, artist in _read_artists(table):
        hits: list[str] = next((form[_nfc(name)] for form in forms if _nfc(name) in form), [])
        if len(hits) != 1:
            (ambiguous if hits else unknown).append(name)
            continue
        if is_no_artist(artist):
            continue
        if name_key(stated.setdefault(hits[0], artist)) != name_key(artist):
            raise DatasetError(
                f"{table}: two artists for {printable(hits[0])}: {printable(stated[hits[0]])}, {printable(artist)}"
            )
    rows = ((unknown, "naming no file here"), (ambiguous, "fitting two files or more"))
    return stated, [f"{pluralize(r, 'row')} of {table.name} {what}: {join_first(r)}" for r, what in rows if r]


def _id_forms(track_ids: Sequence[str]) -> list[dict[str, list[str]]]:
    """How a table may name files, the strictest first: path, path without suffix, file name, stem."""
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
    try:
        with table.open(encoding="utf-8-sig", newline="") as f:
            rows = csv.DictReader(f)
            if missing := {"id", "artist"} - set(rows.fieldnames or ()):
                raise DatasetError(
                    f"{table}: no column {' and '.join(sorted(missing, reverse=True))}; "
                    f"there are: {', '.join(map(printable, rows.fieldnames or ())) or 'none'}"
                )
            return [((row["id"] or "").strip(), (row["artist"] or "").strip()) for row in rows]
    except (OSError, csv.Error, UnicodeDecodeError) as e:
        raise DatasetError(f"{table}: no artists can be read from it: {e}") from e
