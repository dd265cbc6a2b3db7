"""Finds columns whose equal cells are pieces of one recording, and columns that number such pieces."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from genrelab.core.csv_tables import cell_texts
from genrelab.core.errors import printable
from genrelab.datasets.tables.columns import words_of
from genrelab.datasets.tables.numbers import MARKS, are_whole, read_numbers
from genrelab.datasets.tables.roles import FILE_NAMES, NEVER_FEATURES, RECORDINGS, TITLES, ColumnRoles, folded

if TYPE_CHECKING:
    import pandas as pd

MIN_PURE, MIN_PURE_IF_NAMED = 0.9, 0.5
"""Share of the repeated cells that must have one genre; the second if the column's name is clear."""

MIN_CELLS, MIN_CELLS_A_GENRE, MIN_CELLS_A_GENRE_UNNAMED = 5, 2, 3
"""Minimum number of repeated cells, and of different cells per genre: fewer may be chance."""

MIN_PIECES = 6
"""Minimum number of rows besides the first of each recording: with fewer, numbers may restart by chance."""

_OTHER_TEXT = (
    "album annotator artist artists band bitrate bpm category channel city class cluster codec composer conductor "
    "count country date day decade device disc disk duration emotion encoding ensemble fold format gender genre genres "
    "instrument instruments key label labels lang language length licence license listener location mode month mood no "
    "nr number performer performers place playlist popularity producer publisher quality rate rating region release "
    "released scale set shard singer size speaker split station style styles subgenre subset tag tags tempo time type "
    "user users version worker writer year"
)
_OTHER = frozenset(_OTHER_TEXT.split())
"""Words in the names of columns whose cells many recordings share."""

_SOURCES = frozenset(("source", "collection", "dataset", "corpus", "archive", "database", "library", "repository"))
"""The same, unless the name also has a word for a track or file: `source_track`."""

_TRACK = re.compile(
    r"(?:.*_)?(?:source|original|orig|parent|full|base|wav|audio|mp3|yt|youtube)?_?"
    r"(?:recording|track|song|file|title|audio|video|wav|mp3|flac|clip|yt|youtube|spotify)_?"
    r"(?:name|title|file|path|stem|id|url|uri|link)?|(?:.*_)?(?:fname|basename|file_?name)|name"
)
_ID = re.compile(r"(?:.*_)?(?:id|url|uri|link|path|isrc|mbid|uuid|guid|md5|sha1|sha256|hash|checksum|fingerprint)")

_PIECE_TEXT = "begin chunk clip end excerpt frame offset part piece seg segment slice snippet start stop window"
_PIECE = frozenset(_PIECE_TEXT.split())
_PLACE_TEXT = "id idx index ms no nr num number pos position s sample sec seconds secs time"
_PLACE = _PIECE.union(_PLACE_TEXT.split())
"""Words in the names of columns with the position of a piece in its recording: `segment`, `chunk_no`, `start_s`."""

PIECES = "position in a recording"

Kind = Literal["sure", "title", "named", "unnamed", "other"]


@dataclass(frozen=True)
class Grouping:
    """The recording of each row by the column that names it, and columns that may name it.

    Attributes:
        column: None if no column certainly names recordings.
        cells: of that column; titles with the artist.
        maybe: columns that may name recordings.
    """

    column: str | None = None
    cells: tuple[str | None, ...] = ()
    maybe: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """Notes on columns that may name recordings."""
        return [f"column {c} may name recordings: if so, use --group-column {c}" for c in map(printable, self.maybe)]


def find_grouping(
    frame: pd.DataFrame, roles: ColumnRoles, taken: Sequence[str], paths: Sequence[str] | None = None
) -> Grouping:
    """The column by which rows are pieces of one recording.

    Args:
        taken: columns that have another role.
        paths: of a manifest: a column with the names of these files adds nothing.
    """
    skipped = {*roles.named, *taken, *roles.dropped}
    kinds = {c: _kind(c) for c in frame.columns if c not in skipped}
    order = [folded(name) for name in RECORDINGS]
    sure = sorted((c for c in kinds if kinds[c] == "sure"), key=lambda c: order.index(folded(c)))
    maybe = []
    for column in (*sure, *(c for c in kinds if kinds[c] not in ("sure", "other"))):
        if not _may_repeat(frame[column], named=kinds[column] != "unnamed"):
            continue
        cells = names_of_rows(frame, column, roles)
        verdict = None if _are_names_of(paths, cells) else _judge(column, cells, frame, roles)
        if verdict == "recordings":
            return Grouping(column, tuple(cells))
        if verdict == "maybe":
            maybe.append(column)
    return Grouping(maybe=tuple(maybe))


def names_of_rows(frame: pd.DataFrame, column: str, roles: ColumnRoles) -> list[str | None]:
    """The cells; titles of several artists with the artist added: `Intro` is many recordings."""
    cells = cell_texts(frame[column])
    numbered = all(cell is None or cell.isdecimal() for cell in cells)  # on an album, perhaps
    if roles.artist is None or numbered or _kind(column) != "title":
        return cells
    artists = cell_texts(frame[roles.artist])
    several = _cells_beside(cells, artists)
    return [
        f"{c} ({a})" if c is not None and a and len(several[c]) > 1 else c for c, a in zip(cells, artists, strict=True)
    ]


def are_recordings(
    cells: Sequence[str | None],
    labels: Sequence[str | None],
    *,
    pure: float = MIN_PURE,
    each: int = MIN_CELLS_A_GENRE,
) -> bool:
    """Do equal cells mostly have one genre? A track's number on its album or a source's name has many.

    Args:
        pure: share of the repeated cells that must have one genre.
        each: minimum number of different cells per genre.
    """
    genres = {label for label in labels if label is not None}
    return len({*cells} - {None}) >= each * len(genres) and _share_of_one(_repeated(cells), cells, labels) >= pure


def are_fractions(cells: Sequence[str | None]) -> bool:
    """Are they numbers, and not all whole?"""
    numbers = read_numbers(cells)
    return any(numbers.fits(mark) and not are_whole(numbers.values(mark)[numbers.known]) for mark in MARKS)


def numbers_of_pieces(frame: pd.DataFrame, columns: Sequence[str], recordings: Sequence[str | None]) -> list[str]:
    """The columns that number the pieces of recordings: by name, or small whole numbers that restart in each."""
    named = [c for c in columns if (words := set(words_of(c).split("_"))) & _PIECE and words <= _PLACE]
    rows: dict[str, list[int]] = defaultdict(list)
    for row, recording in enumerate(recordings):
        if recording is not None:
            rows[recording].append(row)
    several = [own for own in rows.values() if len(own) > 1]
    if len(several) < 2 or sum(len(own) - 1 for own in several) < MIN_PIECES:
        return named
    largest = max(map(len, several))

    def number_pieces(column: str) -> bool:
        values = _numbers(frame[column])
        if values is None or not are_whole(values) or values.min() < 0 or values.max() > 2 * largest:
            return False
        restarting = sum(values[own].min() <= 1 for own in several)
        return 10 * restarting >= 9 * len(several) and all(len(set(values[own])) == len(own) for own in several)

    return [column for column in columns if column in named or number_pieces(column)]


def _kind(column: str) -> Kind:
    """The kind of a column's cells, by its name."""
    name = words_of(column)
    words = set(name.split("_"))
    if folded(column) in map(folded, RECORDINGS):
        return "sure"
    if folded(column) in map(folded, TITLES):
        return "title"
    is_track = _TRACK.fullmatch(name) is not None
    never = set(map(folded, NEVER_FEATURES)) - {"id", "trackid"}
    if not name or name.startswith("unnamed") or words & _OTHER or (words & _SOURCES and not is_track):
        return "other"
    if is_track or _ID.fullmatch(name):
        return "named"
    return "other" if folded(column) in never else "unnamed"


def _may_repeat(column: pd.Series[Any], *, named: bool) -> bool:
    """Are they texts or whole numbers, some of them equal? Equal numbers without a known name must be adjacent."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype):
        return False
    numbers = _numbers(column)
    if numbers is not None:
        known = numbers[~np.isnan(numbers)]
        if not are_whole(known):
            return False
        n, runs = len(np.unique(known)), 1 + int((np.diff(known) != 0).sum())
        return 1 < n < len(known) and (named or runs == n)
    cells = column.dropna()
    if not all(isinstance(cell, str | int) for cell in cells.astype(object)):
        return False
    return 1 < cells.nunique() < len(cells)


def _numbers(column: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    import pandas as pd

    plain = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype)
    return column.to_numpy(np.float64, na_value=np.nan) if plain else None


def _are_names_of(paths: Sequence[str] | None, cells: Sequence[str | None]) -> bool:
    """Are these the paths of the rows, or a part of them?"""
    if paths is None:
        return False
    same = sum(
        cell is not None and PurePosixPath(cell.replace("\\", "/")).stem == PurePosixPath(path.replace("\\", "/")).stem
        for cell, path in zip(cells, paths, strict=True)
    )
    return 2 * same >= len(cells)


def _judge(
    column: str, cells: Sequence[str | None], frame: pd.DataFrame, roles: ColumnRoles
) -> Literal["recordings", "maybe"] | None:
    """Do equal cells mean one recording, by the column's name and the genres and artists of their rows?"""
    kind, labels, repeated = _kind(column), cell_texts(frame[roles.label]), _repeated(cells)
    if not repeated or are_fractions(cells):
        return None
    mostly = 2 * sum(repeated.values()) >= sum(cell is not None for cell in cells)
    many = mostly and len(repeated) >= MIN_CELLS
    if kind == "sure":
        each = MIN_CELLS_A_GENRE if folded(column) in map(folded, FILE_NAMES) else 1
        return "recordings" if are_recordings(cells, labels, pure=MIN_PURE_IF_NAMED, each=each) else None
    if kind == "unnamed":
        one = (
            many and are_recordings(cells, labels, each=MIN_CELLS_A_GENRE_UNNAMED) and _fit_people(cells, frame, roles)
        )
        return "maybe" if one and (not _are_numbers(cells) or _are_adjacent(cells)) else None
    distinct = kind == "named" or (roles.artist is not None and not _are_numbers(cells))
    if (mostly or distinct) and are_recordings(cells, labels):
        return "recordings"
    weakly = many and not _are_numbers(cells) and are_recordings(cells, labels, pure=MIN_PURE_IF_NAMED)
    return "maybe" if weakly else None


def _fit_people(cells: Sequence[str | None], frame: pd.DataFrame, roles: ColumnRoles) -> bool:
    """Does each cell have one artist and one album, and an artist or album several cells?"""
    for column in (roles.artist, roles.album):
        if column is not None:
            others = cell_texts(frame[column])
            one_each = all(len(found) == 1 for found in _cells_beside(others, cells).values())
            if one_each or _share_of_one(_repeated(cells), cells, others) < MIN_PURE:
                return False
    return True


def _are_numbers(cells: Sequence[str | None]) -> bool:
    numbers = read_numbers(cells)
    return any(numbers.fits(mark) for mark in MARKS)


def _are_adjacent(cells: Sequence[str | None]) -> bool:
    known = [cell for cell in cells if cell is not None]
    return 1 + sum(a != b for a, b in pairwise(known)) == len(set(known))


def _repeated(cells: Sequence[str | None]) -> dict[str, int]:
    """The repeated cells, and their numbers of rows."""
    return {cell: n for cell, n in Counter(cells).items() if cell is not None and n > 1}


def _cells_beside(cells: Sequence[str | None], others: Sequence[str | None]) -> dict[str, set[str]]:
    """Cell → the other column's cells in the same rows."""
    found: dict[str, set[str]] = defaultdict(set)
    for cell, other in zip(cells, others, strict=True):
        if cell is not None and other is not None:
            found[cell].add(other)
    return found


def _share_of_one(wanted: Iterable[str], cells: Sequence[str | None], others: Sequence[str | None]) -> float:
    """Share of the cells with one cell of the other column in their rows, among those with any; 1 if none has one."""
    found = _cells_beside(cells, others)
    sizes = [len(found[cell]) for cell in wanted if cell in found]
    return sum(size == 1 for size in sizes) / len(sizes) if sizes else 1.0
