"""Columns whose equal cells are pieces of one recording, and columns that number such pieces."""

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
"""Of the cells that several rows have so many must stand under one genre; the second where the name leaves no doubt."""

MIN_CELLS, MIN_CELLS_A_GENRE, MIN_CELLS_A_GENRE_UNNAMED = 5, 2, 3
"""So many cells that several rows have, and so many different cells for each genre, are no chance."""

MIN_PIECES = 6
"""Rows beside the first of their recording from which on numbers that restart in each recording are no chance."""

_OTHER_TEXT = (
    "album annotator artist artists band bitrate bpm category channel city class cluster codec composer conductor "
    "count country date day decade device disc disk duration emotion encoding ensemble fold format gender genre genres "
    "instrument instruments key label labels lang language length licence license listener location mode month mood no "
    "nr number performer performers place playlist popularity producer publisher quality rate rating region release "
    "released scale set shard singer size speaker split station style styles subgenre subset tag tags tempo time type "
    "user users version worker writer year"
)
_OTHER = frozenset(_OTHER_TEXT.split())
"""Words in the names of columns whose cells many recordings have."""

_SOURCES = frozenset(("source", "collection", "dataset", "corpus", "archive", "database", "library", "repository"))
"""The same, unless a track or a file is named beside them: `source_track`."""

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
"""Words in the names of columns that say where in its recording a piece lies: `segment`, `chunk_no`, `start_s`."""

PIECES = "the place of a piece in its recording"

Kind = Literal["sure", "title", "named", "unnamed", "other"]


@dataclass(frozen=True)
class Grouping:
    """The recording of each row by the column that names it, and columns that may be such a one.

    Attributes:
        column: None where no column surely names recordings.
        cells: of that column; of titles with the artist.
    """

    column: str | None = None
    cells: tuple[str | None, ...] = ()
    maybe: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What the user should know of columns that may name recordings."""
        return [
            f"column {c} may say which rows are pieces of one recording: --group-column {c}"
            for c in map(printable, self.maybe)
        ]


def find_grouping(
    frame: pd.DataFrame, roles: ColumnRoles, taken: Sequence[str], paths: Sequence[str] | None = None
) -> Grouping:
    """The column by which rows are pieces of one recording.

    Args:
        taken: columns that have another use.
        paths: of a manifest: a column with the names of these files says nothing more.
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
    """The cells; titles that several artists have, with the artist: `Intro` is many recordings."""
    cells = cell_texts(frame[column])
    numbered = all(cell is None or cell.isdecimal() for cell in cells)  # on an album, perhaps
    if roles.artist is None or numbered or _kind(column) != "title":
        return cells
    artists = cell_texts(frame[roles.artist])
    several = _held(cells, artists)
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
    """Do equal cells mostly stand under one genre? A track's number on its album or a source's name does not.

    Args:
        pure: share of the cells of several rows that must have one genre.
        each: different cells that there must be for each genre.
    """
    genres = {label for label in labels if label is not None}
    return len({*cells} - {None}) >= each * len(genres) and _share_of_one(_repeated(cells), cells, labels) >= pure


def are_fractions(cells: Sequence[str | None]) -> bool:
    """Are they numbers, and not all whole?"""
    numbers = read_numbers(cells)
    return any(numbers.fits(mark) and not are_whole(numbers.values(mark)[numbers.known]) for mark in MARKS)


def numbers_of_pieces(frame: pd.DataFrame, columns: Sequence[str], recordings: Sequence[str | None]) -> list[str]:
    """The columns that number the pieces of recordings: by name, or small whole numbers that begin anew in each."""
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
    """What a column's name says of its cells."""
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
    """Are they texts or whole numbers, of which some are equal? Of unnamed numbers the equal ones stand together."""
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
    """Do equal cells stand for one recording, by a column's name and by the genres and artists beside them?"""
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
        return "maybe" if one and (not _are_numbers(cells) or _stand_together(cells)) else None
    told_apart = kind == "named" or (roles.artist is not None and not _are_numbers(cells))
    if (mostly or told_apart) and are_recordings(cells, labels):
        return "recordings"
    weakly = many and not _are_numbers(cells) and are_recordings(cells, labels, pure=MIN_PURE_IF_NAMED)
    return "maybe" if weakly else None


def _fit_people(cells: Sequence[str | None], frame: pd.DataFrame, roles: ColumnRoles) -> bool:
    """Has each cell one artist and one album, and has an artist or an album several of them?"""
    for column in (roles.artist, roles.album):
        if column is not None:
            others = cell_texts(frame[column])
            one_each = all(len(found) == 1 for found in _held(others, cells).values())
            if one_each or _share_of_one(_repeated(cells), cells, others) < MIN_PURE:
                return False
    return True


def _are_numbers(cells: Sequence[str | None]) -> bool:
    numbers = read_numbers(cells)
    return any(numbers.fits(mark) for mark in MARKS)


def _stand_together(cells: Sequence[str | None]) -> bool:
    known = [cell for cell in cells if cell is not None]
    return 1 + sum(a != b for a, b in pairwise(known)) == len(set(known))


def _repeated(cells: Sequence[str | None]) -> dict[str, int]:
    """Cells of several rows, and of how many."""
    return {cell: n for cell, n in Counter(cells).items() if cell is not None and n > 1}


def _held(cells: Sequence[str | None], others: Sequence[str | None]) -> dict[str, set[str]]:
    """Cell → the other column's cells beside it."""
    found: dict[str, set[str]] = defaultdict(set)
    for cell, other in zip(cells, others, strict=True):
        if cell is not None and other is not None:
            found[cell].add(other)
    return found


def _share_of_one(wanted: Iterable[str], cells: Sequence[str | None], others: Sequence[str | None]) -> float:
    """The share of cells that stand beside one other cell, of those that stand beside any; 1 where none does."""
    held = _held(cells, others)
    sizes = [len(held[cell]) for cell in wanted if cell in held]
    return sum(size == 1 for size in sizes) / len(sizes) if sizes else 1.0
