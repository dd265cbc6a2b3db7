"""table: a CSV or Parquet file, either a list of audio files or precomputed features.

What: with a `path` column a manifest (path, genre[, artist, album, split, track_id]); without one a table of
features, a row for each track, so that the classical models train with no audio at all.
How much: any number of rows. Who: the user. Licence: the data's own; genrelab does not know it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import PARTS
from genrelab.core.csv_tables import SUFFIXES, TableFile, cell_texts, open_table
from genrelab.core.errors import DatasetError, SettingsError, printable
from genrelab.core.text import join_first, pluralize
from genrelab.datasets.base import Dataset, DatasetOptions, FeatureTable, Track, parse_part, sort_tracks, with_artists

if TYPE_CHECKING:
    import pandas as pd

NAME = "table"
EXPECTED_LAYOUT = "a .csv, .tsv or .parquet file with a column of genres"

LABELS = ("genre", "genre_top", "label")
"""Columns that may hold the label; the first one present is used."""

MAX_COLUMNS_SHOWN = 20
"""Columns listed in an error."""

NOT_FEATURES = frozenset((*LABELS, "track_id", "id", "index", "split", "artist", "album", "subset", "path", "genres"))
"""Columns that are never features: a second label or a row number would give the answer away."""


def matches(root: Path) -> str | None:
    """Why ROOT fits: its suffix; None for anything else."""
    suffix = root.suffix.lower()
    return f"a {suffix} file" if suffix in SUFFIXES and root.is_file() else None


def load(root: Path, options: DatasetOptions) -> Dataset:
    """Tracks of a manifest, or of a table of features.

    Args:
        root: CSV (`,`, `;`, tab or `|`) or Parquet file.
        options: `label`, `split_column`, `artist_column`, `id_column`, `drop`, `impute`; `artists`, a CSV whose
            artists take precedence over those of the column.

    Raises:
        DatasetError: a table that cannot be read, lacks a column, or holds duplicate ids, unknown splits or
            numbers that are missing or infinite.
        SettingsError: an `impute` that is not `median`.
    """
    if options.impute not in (None, "median"):
        raise SettingsError(f"--impute must be median. Received: {options.impute}")
    table = open_table(root)
    roles = _column_roles(root, table, options)
    frame = table.read([c for c in table.columns if c in roles.named or c.casefold() in NOT_FEATURES])
    if frame.empty:
        raise DatasetError(f"{root}: has a header and no rows")
    read = _read_manifest if roles.path else _read_features
    dataset, notes = read(root, frame, roles, options)
    tracks, more = with_artists(dataset.tracks, options.artists)
    return Dataset(NAME, dataset.root, tracks, (*table.notes, *notes, *more), dataset.features)


@dataclass(frozen=True)
class _ColumnRoles:
    """Column of each role; None where there is none."""

    label: str
    path: str | None
    track_id: str | None
    split: str | None
    artist: str | None
    album: str | None
    dropped: tuple[str, ...]

    @property
    def named(self) -> frozenset[str]:
        """Columns that are read as text."""
        columns = (self.label, self.path, self.track_id, self.split, self.artist, self.album)
        return frozenset(c for c in columns if c is not None)

    def is_feature(self, column: str) -> bool:
        """May the column be a feature, if it is numeric?"""
        folded = column.casefold()
        unnamed = folded.startswith("unnamed:")  # the row numbers that pandas saves
        return not (unnamed or folded in NOT_FEATURES or column in self.named or column in self.dropped)


def _column_roles(root: Path, table: TableFile, options: DatasetOptions) -> _ColumnRoles:
    columns = table.columns
    by_name = {c.casefold(): c for c in reversed(columns)}

    def require_column(option: str, column: str | None) -> str | None:
        if column is not None and column not in columns:
            raise DatasetError(f"{root}: no column {printable(column)} ({option}); {_describe_columns(table.read(()))}")
        return column

    label = require_column("--label", options.label) or next((by_name[c] for c in LABELS if c in by_name), None)
    if label is None:
        raise DatasetError(
            f"{root}: no column {' or '.join(LABELS)}; name the column of genres with --label; "
            f"{_describe_columns(table.read(()))}"
        )
    for column in options.drop:
        require_column("--drop", column)
    return _ColumnRoles(
        label,
        path=by_name.get("path"),
        track_id=require_column("--id-column", options.id_column) or by_name.get("track_id"),
        split=require_column("--split-column", options.split_column) or by_name.get("split"),
        artist=require_column("--artist-column", options.artist_column) or by_name.get("artist"),
        album=by_name.get("album"),
        dropped=options.drop,
    )


def _describe_columns(frame: pd.DataFrame) -> str:
    """The columns, for an error; of many, those of words come first, since a label or a split is one of them."""
    columns = list(map(str, frame.columns))
    if len(columns) <= MAX_COLUMNS_SHOWN:
        return f"{pluralize(columns, 'column')}: {join_first(columns, most=MAX_COLUMNS_SHOWN)}"
    numeric = {*map(str, frame.select_dtypes("number").columns)}
    words = [c for c in columns if c not in numeric]
    numbers = join_first([c for c in columns if c in numeric])
    groups = [f"of words {join_first(words, most=MAX_COLUMNS_SHOWN)}"] if words else []
    groups += [f"{len(numeric):,} of numbers ({numbers})"] if numeric else []
    return f"{pluralize(columns, 'column')}: {'; '.join(groups)}"


# === Both kinds ===


def _make_tracks(
    root: Path, frame: pd.DataFrame, roles: _ColumnRoles, ids: Sequence[str], paths: Sequence[str | None]
) -> list[Track]:
    """One track for each row, in the order of the rows."""
    duplicates = [i for i, n in Counter(ids).items() if n > 1]
    if duplicates:
        rows = [str(n) for n, i in enumerate(ids, start=1) if i == duplicates[0]]
        raise DatasetError(
            f"{root}: {pluralize(duplicates, 'id')} in two rows or more, such as {printable(duplicates[0])} in rows "
            f"{join_first(rows)}; ids must be unique (--id-column names another column)"
        )
    blank: list[str | None] = [None] * len(frame)
    artists, albums = (cell_texts(frame[c]) if c else blank for c in (roles.artist, roles.album))
    columns = zip(
        ids, paths, cell_texts(frame[roles.label]), artists, albums, _official_parts(root, frame, roles), strict=True
    )
    return [Track(*row) for row in columns]


def _official_parts(root: Path, frame: pd.DataFrame, roles: _ColumnRoles) -> list[str | None]:
    if roles.split is None:
        return [None] * len(frame)
    words = enumerate(cell_texts(frame[roles.split]), start=1)
    return [parse_part(word or "", where=f"{root}: row {n}, column {roles.split}") for n, word in words]


def _track_ids(root: Path, frame: pd.DataFrame, column: str | None, *, default: list[str]) -> list[str]:
    if column is None:
        return default
    cells = cell_texts(frame[column])
    ids = [i for i in cells if i is not None]
    if len(ids) < len(cells):
        rows = [str(n) for n, i in enumerate(cells, start=1) if i is None]
        raise DatasetError(f"{root}: {pluralize(rows, 'row')} without an id in column {column}: {join_first(rows)}")
    return ids


def _track_notes(tracks: Sequence[Track], roles: _ColumnRoles) -> list[str]:
    genres = Counter(t.genre for t in tracks)
    blank = genres.pop(None, 0)
    sizes = ", ".join(f"{printable(str(g))} {n:,}" for g, n in sorted(genres.items(), key=lambda item: str(item[0])))
    notes = [f"{pluralize(tracks, 'row')}; genres from column {roles.label}: {sizes or 'none'}"]
    if blank:
        notes.append(f"{pluralize(blank, 'row')} without a genre")
    if roles.split:
        parts = Counter(t.official_split for t in tracks)
        notes.append(f"official split from column {roles.split}: {', '.join(f'{p} {parts[p]:,}' for p in PARTS)}")
    if roles.artist:
        known = [t.artist for t in tracks if t.artist is not None]
        unknown = f"; {pluralize(len(tracks) - len(known), 'row')} without" if len(known) < len(tracks) else ""
        notes.append(f"{pluralize(set(known), 'artist')} from column {roles.artist}{unknown}")
    return notes


# === Manifest ===


def _read_manifest(
    root: Path, frame: pd.DataFrame, roles: _ColumnRoles, options: DatasetOptions
) -> tuple[Dataset, list[str]]:
    """A list of audio files, whose paths are absolute or relative to the table's folder."""
    written = cell_texts(frame[str(roles.path)])
    folder, paths = _resolve_paths(root, written)
    ids = [path or f"row {n}" for n, path in enumerate(written, start=1)]
    ids = _track_ids(root, frame, roles.track_id, default=ids)
    tracks = [
        t if t.path else replace(t, problem=f"row {n} of the table gives no path")
        for n, t in enumerate(_make_tracks(root, frame, roles, ids, paths), start=1)
    ]
    notes = [f"list of audio files (column {roles.path}), which lie below {folder}", *_track_notes(tracks, roles)]
    if blank := [f"row {n}" for n, path in enumerate(paths, start=1) if path is None]:
        notes.append(f"{pluralize(blank, 'row')} without a path: {join_first(blank)}")
    if twice := [p for p, n in Counter(paths).items() if n > 1 and p]:
        notes.append(
            f"{pluralize(twice, 'file')} in two rows or more, maybe on both sides of a split: {join_first(twice)}"
        )
    if unread := [c for c in frame.columns if c not in roles.named]:
        notes.append(f"{pluralize(unread, 'column')} not read, for the audio is: {join_first(unread)}")
    return Dataset(NAME, folder, sort_tracks(tracks)), notes


def _resolve_paths(root: Path, written: Sequence[str | None]) -> tuple[Path, list[str | None]]:
    """The folder that all paths are relative to, and the paths from there.

    It is the table's own folder, or where paths leave that, the deepest folder that holds it and them.
    """
    base = os.path.abspath(root.parent)  # noqa: PTH100 - links stay as the user wrote them
    full = [w and os.path.normpath(os.path.join(base, w)) for w in written]  # noqa: PTH118 - normpath is not in Path
    try:
        folder = Path(os.path.commonpath([base, *(os.path.dirname(f) for f in full if f)]))  # noqa: PTH120
    except ValueError as e:  # two drives
        raise DatasetError(f"{root}: its paths have no folder in common: {e}") from e
    return folder, [f and Path(f).relative_to(folder).as_posix() for f in full]


# === Features ===


def _read_features(
    root: Path, frame: pd.DataFrame, roles: _ColumnRoles, options: DatasetOptions
) -> tuple[Dataset, list[str]]:
    """Precomputed features: every numeric column that is not known to be something else."""
    ids = _track_ids(root, frame, roles.track_id, default=[str(n) for n in range(1, len(frame) + 1)])
    notes = [] if roles.track_id else ["no column track_id (--id-column): tracks are numbered by their rows, from 1"]
    tracks = _make_tracks(root, frame, roles, ids, [None] * len(frame))
    columns, values, chosen = _feature_columns(root, frame, roles)
    gaps = _check_numbers(root, columns, values, ids, impute=options.impute)
    row_of = {track_id: row for row, track_id in enumerate(ids)}
    tracks_sorted = sort_tracks(tracks)
    table = FeatureTable(columns, values[[row_of[t.track_id] for t in tracks_sorted]])
    return Dataset(NAME, root, tracks_sorted, features=table), [*notes, *_track_notes(tracks, roles), *chosen, *gaps]


def _feature_columns(
    root: Path, frame: pd.DataFrame, roles: _ColumnRoles
) -> tuple[tuple[str, ...], NDArray[np.float32], list[str]]:
    """Names of the feature columns, their values of shape (rows, columns), and notes on what was chosen."""
    import pandas as pd

    parsed = {str(c): _parse_numbers(root, frame[c]) for c in frame.columns if roles.is_feature(c)}
    numbers = {c: column for c, column in parsed.items() if column is not None}
    words = [c for c, column in parsed.items() if column is None]
    if not numbers:
        example = f", such as {printable(str(frame[words[0]].iloc[0]))!r} in {words[0]}" if words else ""
        raise DatasetError(f"{root}: no numeric column is left for a feature{example}; {_describe_columns(frame)}")
    apart = [c for c in frame.columns if not roles.is_feature(c)]
    names = list(numbers)
    shown = join_first(names, most=10) if len(names) <= 10 else printable(f"{names[0]}, {names[1]}, ... {names[-1]}")
    notes = [f"{pluralize(numbers, 'feature column')}: {shown}"]
    notes += [f"{pluralize(apart, 'column')} not taken for a feature: {join_first(apart, most=20)}"]
    if words:
        notes.append(f"{pluralize(words, 'column')} left out as not numeric: {join_first(words, most=20)}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as that
        values = pd.DataFrame(numbers).to_numpy(np.float64, na_value=np.nan).astype(np.float32)
    return tuple(numbers), values, notes


def _parse_numbers(root: Path, column: pd.Series[Any]) -> pd.Series[Any] | None:
    """The column as numbers; None for a column of words; an error for numbers with a few words among them."""
    import pandas as pd

    parsed = pd.to_numeric(column, errors="coerce")
    wrong = parsed.isna() & column.notna()
    if wrong.any() and 2 * wrong.sum() < column.notna().sum():
        row = int(np.argmax(wrong))
        raise DatasetError(
            f"{root}: row {row + 1}, column {printable(str(column.name))}: {printable(str(column.iloc[row]))!r} is no "
            "number; mend it, or leave the column out with --drop"
        )
    return None if wrong.any() else parsed


def _check_numbers(
    root: Path, columns: Sequence[str], values: NDArray[np.float32], ids: Sequence[str], *, impute: str | None
) -> list[str]:
    """Refuse infinite numbers, and missing ones unless they are to be imputed; a note on those.

    A model learns medians from its training rows alone, so here the gaps stay.
    """

    def refuse(wrong: NDArray[np.bool_], what: str) -> None:
        hit = [int(i) for i in np.flatnonzero(wrong.any(axis=0))]
        first = [(columns[i], int(wrong[:, i].sum()), int(wrong[:, i].argmax())) for i in hit]
        named = [f"{c} ({pluralize(n, 'row')}, first row {row + 1}, id {ids[row]})" for c, n, row in first]
        if named:
            raise DatasetError(f"{root}: {what} in {pluralize(named, 'feature column')}: {join_first(named)}")

    gaps = np.isnan(values)
    refuse(np.isinf(values), "numbers that are infinite or too large for float32 (--drop leaves a column out)")
    if impute is None:
        refuse(gaps, "NaN (--impute median fills it, --drop leaves a column out)")
    refuse(gaps & gaps.all(axis=0), "no number at all (--drop leaves a column out)")
    if not gaps.any():
        return []
    gappy = [columns[int(i)] for i in np.flatnonzero(gaps.any(axis=0))]
    return [
        f"{pluralize(int(gaps.sum()), 'number')} missing in {pluralize(gappy, 'feature column')} "
        f"({join_first(gappy)}), kept as NaN: each model fills them with the medians of its training rows "
        "(--impute median)"
    ]
