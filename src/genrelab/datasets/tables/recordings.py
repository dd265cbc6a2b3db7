"""Ids of a table's rows, and rows that are pieces of one recording."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from genrelab.core.csv_tables import cell_texts
from genrelab.core.errors import DatasetError, printable
from genrelab.core.text import join_first, pluralize
from genrelab.datasets.artists import read_artist_table
from genrelab.datasets.base import Track
from genrelab.datasets.tables.grouping import (
    MIN_PURE_IF_NAMED,
    Grouping,
    are_fractions,
    are_recordings,
    find_grouping,
    names_of_rows,
)
from genrelab.datasets.tables.numbers import read_numbers
from genrelab.datasets.tables.roles import INDEX, ColumnRoles, folded
from genrelab.identity.artists import Credit

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RowNames:
    """The ids of the rows.

    Attributes:
        written: the id of each row in the table.
        ids: the same, made unique.
        recordings: equal for rows that are pieces of one recording; None for other rows.
        columns: the columns used for this, which have no other role.
        notes: remarks for the user.
    """

    written: tuple[str, ...]
    ids: tuple[str, ...]
    recordings: tuple[str | None, ...]
    columns: tuple[str, ...]
    notes: tuple[str, ...]


def name_rows(root: Path, frame: pd.DataFrame, roles: ColumnRoles, paths: Sequence[str] | None = None) -> RowNames:
    """Ids and recordings of the rows.

    Ids come from the column of ids, else from the paths of a manifest, else from the first column that names files,
    tracks or songs; otherwise they are numbers. Rows with the same id are pieces of one recording.

    Args:
        paths: of a manifest, as written.

    Raises:
        DatasetError: empty cells in the column of ids.
    """
    column, notes = roles.track_id, list[str]()
    if column is not None:
        written = _stated_ids(root, frame, column)
    elif paths is not None:
        column, written = roles.path, list(paths)
    else:
        column = next((c for c in roles.names if c not in roles.named and _may_name(frame, c, roles)), None)
        names = names_of_rows(frame, column, roles) if column else range(1, len(frame) + 1)
        written = [str(name) for name in names]
        source = f"from column {printable(column)}" if column else "are row numbers, as there is no column track_id"
        notes.append(f"ids {source} (change it with --id-column)")
    ids = _unique(written)
    sizes = Counter(written)
    recordings: list[str | None] = [i if sizes[i] > 1 else None for i in written]
    if any(recordings):
        notes += _repeated_notes(frame, roles, column, written, ids)
    columns = [column] if column else []
    if roles.group is not None:
        found = Grouping(roles.group, tuple(cell_texts(frame[roles.group])))
    else:
        found = Grouping() if any(recordings) else find_grouping(frame, roles, columns, paths)
    notes += found.notes
    if found.column is not None:
        recordings = [own or other for own, other in zip(found.cells, recordings, strict=True)]
        blank = f"; {pluralize(found.cells.count(None), 'row')} without one" if None in found.cells else ""
        n = pluralize({*found.cells} - {None}, "recording")
        notes.append(f"{n} from column {printable(found.column)}{blank}")
        columns.append(found.column)
    return RowNames(tuple(written), ids, tuple(recordings), tuple(columns), tuple(notes))


def with_artists_of_rows(
    tracks: Sequence[Track], rows: RowNames, table: Path | None
) -> tuple[tuple[Track, ...], list[str]]:
    """The tracks with the artists from a CSV, whose ids may be recordings of several rows."""
    if table is None:
        return tuple(tracks), []
    written = dict(zip(rows.ids, rows.written, strict=True))
    stated, notes = read_artist_table(table, list(dict.fromkeys(rows.written)))
    note = f"artist known for {len(stated):,} of {pluralize(set(rows.written), 'track')}, from {table.name}"
    return tuple(
        replace(t, artist=artist, credit=Credit(names=(artist,))) if (artist := stated.get(written[t.track_id])) else t
        for t in tracks
    ), [note, *notes]


def _stated_ids(root: Path, frame: pd.DataFrame, column: str) -> list[str]:
    cells = cell_texts(frame[column])
    if blank := [str(n) for n, i in enumerate(cells, start=1) if i is None]:
        raise DatasetError(
            f"{root}: {pluralize(blank, 'row')} without an id in column {printable(column)} ({join_first(blank)}): "
            "fill them in, or choose another column with --id-column"
        )
    return [str(i) for i in cells]


def _unique(written: Sequence[str]) -> tuple[str, ...]:
    """The ids; those of several rows get a number: `a#1`, `a#2`."""
    sizes, mark = Counter(written), "#"
    while True:
        seen: Counter[str] = Counter()
        ids = []
        for i in written:
            seen[i] += 1
            ids.append(i if sizes[i] == 1 else f"{i}{mark}{seen[i]}")
        if len(set(ids)) == len(ids):
            return tuple(ids)
        mark += "#"  # another id looks the same


def _may_name(frame: pd.DataFrame, column: str, roles: ColumnRoles) -> bool:
    """Can the cells be names of tracks or recordings? Columns with empty cells or fractions cannot."""
    if None in cell_texts(frame[column]):
        return False
    cells = names_of_rows(frame, column, roles)
    names = set(cells)
    if (
        len(names) < 2
        or are_fractions(cells)
        or (folded(column) == folded(INDEX) and read_numbers(cells).fits("point"))
    ):
        return False
    if len(names) == len(cells) or folded(column).endswith("id"):
        return True
    return are_recordings(cells, cell_texts(frame[roles.label]), pure=MIN_PURE_IF_NAMED)


def _repeated_notes(
    frame: pd.DataFrame, roles: ColumnRoles, column: str | None, written: Sequence[str], ids: Sequence[str]
) -> list[str]:
    sizes = Counter(written)
    repeated = [i for i, n in sizes.items() if n > 1]
    n_rows = sum(sizes[i] for i in repeated)
    example = [own for own, i in zip(ids, written, strict=True) if i == repeated[0]]
    notes = [
        f"{pluralize(n_rows, 'row')} share {pluralize(repeated, 'id')} of column {printable(str(column))}: rows with "
        f"the same id are pieces of one recording, such as {join_first(example, most=2)}"
    ]
    genres: dict[str, set[str | None]] = defaultdict(set)
    for i, genre in zip(written, cell_texts(frame[roles.label]), strict=True):
        genres[i].add(genre)
    if mixed := [i for i in repeated if len(genres[i]) > 1]:
        notes.append(f"{pluralize(mixed, 'recording')} with several genres: {join_first(mixed)}")
    return notes
