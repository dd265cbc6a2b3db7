"""table: a CSV or Parquet file, either a list of audio files or precomputed features.

What: with a `path` column a manifest (path, genre[, artist, album, split, track_id]); without one a table of
features, one row per track or piece of a track, so that the classical models can be trained without audio.
How much: any number of rows. Who: the user. Licence: the data's own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import PARTS
from genrelab.core.csv_tables import SUFFIXES, TableFile, cell_texts, open_table
from genrelab.core.errors import DatasetError, SettingsError, printable
from genrelab.core.text import join_first, pluralize
from genrelab.datasets.artists import first_artist, tags_of
from genrelab.datasets.base import Dataset, DatasetOptions, FeatureTable, Track, parse_part, sort_tracks
from genrelab.datasets.tables.columns import FeatureColumns, choose_features
from genrelab.datasets.tables.grouping import PIECES, numbers_of_pieces
from genrelab.datasets.tables.paths import find_paths
from genrelab.datasets.tables.recordings import RowNames, name_rows, with_artists_of_rows
from genrelab.datasets.tables.roles import MAX_COLUMNS_SHOWN, ColumnRoles, column_roles, describe_columns
from genrelab.identity.artists import Credit

if TYPE_CHECKING:
    import pandas as pd

NAME = "table"
OPTIONS = (
    "artists", "label", "split_column", "artist_column", "id_column", "drop", "impute", "group_column",
)  # fmt: skip
EXPECTED_LAYOUT = "a .csv, .tsv or .parquet file with a column of genres"

MIN_ROWS_A_GENRE = 5
"""With fewer rows per genre, a feature may have one value per genre by chance."""

TRUE_WORDS = frozenset(("1", "true", "yes", "y", "t", "x", "ja", "oui", "wahr", "vrai"))
"""Cells that mark a compilation."""


def matches(root: Path) -> str | None:
    """Why ROOT fits: its suffix; None for anything else."""
    suffix = root.suffix.lower()
    return f"a {suffix} file" if suffix in SUFFIXES and root.is_file() else None


def load(root: Path, options: DatasetOptions) -> Dataset:
    """Tracks of a manifest, or of a table of features.

    Args:
        root: CSV (`,`, `;`, tab or `|`) or Parquet file.
        options: `label`, `split_column`, `artist_column`, `id_column`, `group_column`, `drop`, `impute`; `artists`, a
            CSV whose artists take precedence over those of the column.

    Raises:
        DatasetError: the table cannot be read, lacks a column, or has rows without an id, unknown splits, or
            missing or infinite numbers.
        SettingsError: an `impute` that is not `median`.
    """
    if options.impute not in (None, "median"):
        raise SettingsError(f"--impute must be median. Received: {options.impute}")
    table = open_table(root)
    roles = column_roles(root, table, options)
    frame = table.read([c for c in table.columns if roles.is_text(c)])
    if frame.empty:
        raise DatasetError(f"{root}: the table has no rows")
    read = _read_manifest if roles.path else _read_features
    dataset, rows, notes = read(root, table, frame, roles, options)
    tracks, more = with_artists_of_rows(dataset.tracks, rows, options.artists)
    return Dataset(NAME, dataset.root, tracks, (*table.notes, *notes, *more), dataset.features)


# === Both kinds ===


def _make_tracks(
    root: Path, frame: pd.DataFrame, roles: ColumnRoles, rows: RowNames, paths: Sequence[str | None]
) -> list[Track]:
    """One track for each row, in the order of the rows."""
    genres, albums = _texts(frame, roles.label), _texts(frame, roles.album)
    artists, credited = _texts(frame, roles.artist), _credits(frame, roles)
    parts = _official_parts(root, frame, roles)
    return [
        Track(i, path, genre, artist, album, part, credit=credit, recording=recording)
        for i, path, genre, artist, album, part, credit, recording in zip(
            rows.ids, paths, genres, artists, albums, parts, credited, rows.recordings, strict=True
        )
    ]


def _texts(frame: pd.DataFrame, column: str | None) -> list[str | None]:
    return [None] * len(frame) if column is None else cell_texts(frame[column])


def _credits(frame: pd.DataFrame, roles: ColumnRoles) -> list[Credit]:
    """The credit of each row; a cell may hold several ids."""
    names, album_names = _texts(frame, roles.artist), _texts(frame, roles.credit.get("album_names"))
    ids, album_ids = (_texts(frame, roles.credit.get(field)) for field in ("ids", "album_ids"))
    marks = _texts(frame, roles.credit.get("compilation"))
    return [
        Credit(
            (name,) if name else (),
            _separate_ids(own),
            (album,) if album else (),
            _separate_ids(other),
            (mark or "").casefold() in TRUE_WORDS,
        )
        for name, own, album, other, mark in zip(names, ids, album_names, album_ids, marks, strict=True)
    ]


def _separate_ids(text: str | None) -> tuple[str, ...]:
    return tuple(part for part in re.split(r"[\s;,/|]+", text or "") if part)


def _official_parts(root: Path, frame: pd.DataFrame, roles: ColumnRoles) -> list[str | None]:
    if roles.split is None:
        return [None] * len(frame)
    words = enumerate(cell_texts(frame[roles.split]), start=1)
    return [parse_part(word or "", where=f"{root}: row {n}, column {printable(roles.split)}") for n, word in words]


def _track_notes(tracks: Sequence[Track], roles: ColumnRoles) -> list[str]:
    genres = Counter(t.genre for t in tracks)
    blank = genres.pop(None, 0)
    sizes = ", ".join(f"{printable(str(g))} {n:,}" for g, n in sorted(genres.items(), key=lambda item: str(item[0])))
    notes = [f"genres from column {printable(roles.label)}: {sizes or 'none'}"]
    if blank:
        notes.append(f"{pluralize(blank, 'row')} without a genre")
    if roles.split:
        parts = Counter(t.official_split for t in tracks)
        notes.append(
            f"official split from column {printable(roles.split)}: "
            + ", ".join(f"{p} {parts[p]:,}" for p in PARTS if parts[p])
        )
    if roles.artist:
        unknown = sum(t.artist is None for t in tracks)
        blank_artists = f"; {pluralize(unknown, 'row')} without one" if unknown else ""
        notes.append(f"artists from column {printable(roles.artist)}{blank_artists}")
    return notes


# === Manifest ===


def _read_manifest(
    root: Path, table: TableFile, frame: pd.DataFrame, roles: ColumnRoles, options: DatasetOptions
) -> tuple[Dataset, RowNames, list[str]]:
    """A list of audio files, whose paths are absolute or relative to the table's folder."""
    written = _texts(frame, roles.path)
    found = find_paths(root, written)
    rows = name_rows(root, frame, roles, [path or f"row {n}" for n, path in enumerate(written, start=1)])
    tracks = [
        t if t.path else replace(t, problem=f"row {n} of the table has no path")
        for n, t in enumerate(_make_tracks(root, frame, roles, rows, found.paths), start=1)
    ]
    notes = [f"a list of audio files (column {roles.path}) below {found.folder}", *found.notes, *rows.notes]
    notes += _track_notes(tracks, roles)
    if roles.artist is None and not roles.credit:
        tracks = [_with_tags(found.folder, t) for t in tracks]
        known = sum(t.artist is not None for t in tracks)
        notes.append(f"artist known for {known:,} of {pluralize(tracks, 'track')}, from tags")
    if blank := [f"row {n}" for n, path in enumerate(found.paths, start=1) if path is None]:
        notes.append(f"{pluralize(blank, 'row')} without a path: {join_first(blank)}")
    twice = {path for path, n in Counter(found.paths).items() if n > 1 and path}
    tracks = [replace(t, recording=t.recording or t.path) if t.path in twice else t for t in tracks]
    if twice:
        notes.append(
            f"{pluralize(twice, 'file')} in several rows, treated as one recording: {join_first(sorted(twice))}"
        )
    if unread := [c for c in frame.columns if c not in roles.named and c not in rows.columns]:
        shown = join_first(unread, most=MAX_COLUMNS_SHOWN)
        notes.append(f"{pluralize(unread, 'column')} ignored, as the audio is used: {shown}")
    return Dataset(NAME, found.folder, sort_tracks(tracks)), rows, notes


def _with_tags(folder: Path, track: Track) -> Track:
    """The track with the artist and album from its file's tags."""
    if track.path is None:
        return track
    tags = tags_of(folder / track.path)
    return replace(track, artist=first_artist(tags.credit), album=track.album or tags.album, credit=tags.credit)


# === Features ===


def _read_features(
    root: Path, table: TableFile, frame: pd.DataFrame, roles: ColumnRoles, options: DatasetOptions
) -> tuple[Dataset, RowNames, list[str]]:
    """Precomputed features: every column of numbers that is not known to be something else."""
    rows = name_rows(root, frame, roles)
    tracks = _make_tracks(root, frame, roles, rows, [None] * len(frame))
    others = [c for c in table.columns if c not in roles.named and c not in rows.columns]
    reasons = {c: why for c in others if (why := roles.why_no_feature(c)) is not None}
    reasons |= dict.fromkeys(numbers_of_pieces(frame, [c for c in others if c not in reasons], rows.recordings), PIECES)
    chosen = choose_features(root, table, frame, [c for c in others if c not in reasons])
    reasons |= chosen.left_out
    if not chosen.names:
        why = f"; {_left_out_note(reasons)}" if reasons else ""
        raise DatasetError(f"{root}: no column is usable as a feature; {describe_columns(frame)}{why}")
    gaps = _check_numbers(root, chosen.names, chosen.values, rows.ids, impute=options.impute)
    row_of = {track_id: row for row, track_id in enumerate(rows.ids)}
    tracks_sorted = sort_tracks(tracks)
    features = FeatureTable(chosen.names, chosen.values[[row_of[t.track_id] for t in tracks_sorted]])
    rest = [c for c in table.columns if c not in chosen.names and c not in reasons]
    notes = [*rows.notes, *_track_notes(tracks, roles), *_column_notes(chosen, rest, reasons), *gaps]
    notes += _second_label_notes(chosen, [t.genre for t in tracks])
    return Dataset(NAME, root, tracks_sorted, features=features), rows, notes


def _column_notes(chosen: FeatureColumns, others: Sequence[str], reasons: dict[str, str]) -> list[str]:
    names = chosen.names
    shown = join_first(names, most=10) if len(names) <= 10 else printable(f"{names[0]}, {names[1]}, ... {names[-1]}")
    notes = [f"{pluralize(names, 'feature column')}: {shown}", *chosen.notes]
    notes.append(f"{pluralize(others, 'other column')}: {join_first(others, most=MAX_COLUMNS_SHOWN)}")
    return [*notes, _left_out_note(reasons)] if reasons else notes


def _second_label_notes(chosen: FeatureColumns, genres: Sequence[str | None]) -> list[str]:
    """A note on features with one whole number per genre: probably a second label."""
    known = np.array([genre is not None for genre in genres])
    _, codes = np.unique([genre for genre in genres if genre is not None], return_inverse=True)
    n, suspected = len(set(codes)), []
    for name, values in zip(chosen.names, chosen.values[known].T, strict=True):
        if n > 1 and len(codes) >= MIN_ROWS_A_GENRE * n and (values % 1 == 0).all() and len(set(values)) == n:
            suspected += [name] if len(set(zip(values, codes, strict=True))) == n else []
    if not suspected:
        return []
    names = join_first(suspected, most=20)
    what = f"{pluralize(suspected, 'feature')} with one value per genre, which gives the genre away"
    return [f"{what} (leave out with --drop): {names}"]


def _left_out_note(reasons: dict[str, str]) -> str:
    named = [f"{c} ({why})" for c, why in reasons.items()]
    return f"{pluralize(named, 'column')} left out: {join_first(named, most=MAX_COLUMNS_SHOWN)}"


def _check_numbers(
    root: Path, columns: Sequence[str], values: NDArray[np.float32], ids: Sequence[str], *, impute: str | None
) -> list[str]:
    """Refuse infinite numbers, and missing ones unless they are to be imputed; a note on those.

    Each model fills gaps with the medians of its training rows, so they stay here.
    """

    def refuse(wrong: NDArray[np.bool_], what: str) -> None:
        hit = [int(i) for i in np.flatnonzero(wrong.any(axis=0))]
        first = [(columns[i], int(wrong[:, i].sum()), int(wrong[:, i].argmax())) for i in hit]
        named = [f"{c} ({pluralize(n, 'row')}, first row {row + 1}, id {ids[row]})" for c, n, row in first]
        if named:
            raise DatasetError(f"{root}: {what} in {pluralize(named, 'feature column')}: {join_first(named)}")

    gaps = np.isnan(values)
    refuse(np.isinf(values), "infinite numbers or numbers too large for float32 (--drop leaves a column out)")
    if impute is None:
        refuse(gaps, "missing numbers (--impute median fills them, --drop leaves a column out)")
    if not gaps.any():
        return []
    gappy = [columns[int(i)] for i in np.flatnonzero(gaps.any(axis=0))]
    return [
        f"{pluralize(int(gaps.sum()), 'number')} missing in {pluralize(gappy, 'feature column')} "
        f"({join_first(gappy)}): filled with the medians of the training rows"
    ]
