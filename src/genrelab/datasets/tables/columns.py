"""Finds the features of a table: columns of numbers, except dates, identifiers, constants and booleans."""

from __future__ import annotations

import datetime
import numbers
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.csv_tables import TableFile, cell_texts
from genrelab.core.errors import DatasetError, printable
from genrelab.datasets.tables.numbers import (
    MARKS,
    DecimalMark,
    WrittenNumbers,
    are_whole,
    default_mark,
    notation_notes,
    read_numbers,
)
from genrelab.datasets.tables.roles import NAMES, folded

if TYPE_CHECKING:
    import pandas as pd

DATES, BOOLEANS, EMPTY, TEXT = "dates or times", "true or false", "empty", "text"
IDENTIFIERS, ROW_NUMBERS, CONSTANT = "identifiers", "row numbers", "constant"
OTHER = "neither numbers nor text"

MIN_NUMBERED_ROWS = 10
"""With fewer rows, whole numbers may be consecutive by chance."""

NUMBERED_SPAN = 1.1
"""Unique whole numbers are identifiers if their range is at most this many times the number of rows."""

UNIX_TIMES = ((1e8, 5e9), (1e11, 5e12), (1e14, 5e15), (1e17, 5e18))
"""Seconds, milliseconds, microseconds, nanoseconds of 1973 to 2128."""

_TRUTHS = [
    {"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"}, {"on", "off"}, {"ja", "nein"}, {"wahr", "falsch"},
    {"oui", "non"}, {"vrai", "faux"}, {"sí", "no"}, {"si", "no"}, {"verdadero", "falso"},
]  # fmt: skip

_ID_NAME = re.compile(
    r"(.*_)?(id|ids|isrc|iswc|uuid|guid|mbid|md5|sha1|sha256|hash|checksum|ean|upc|barcode)|id_.*"
    r"|.*(track|song|artist|album|file|user)id|(row|line)(_?(no|nr|num|number|index|id))?|idx|index|serial(_number)?"
)
_ID_TEXT = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE
)
_NAMES = frozenset(map(folded, NAMES))
_OPAQUE_TEXT = re.compile(r"[\w-]{10,}")
_DATE_WORDS = frozenset(
    (
        *("date", "datetime", "timestamp", "epoch", "unixtime", "time", "mtime", "ctime", "atime", "created"),
        *("modified", "updated", "added", "uploaded", "downloaded", "published", "scraped", "played", "released"),
    )
)
_MONTH = r"[^\W\d_]{2,9}\.?"
_TIME = r"\d{1,3}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s*[AP]\.?M\.?)?(?:\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
_DATE = re.compile(
    rf"(?:{_MONTH},?\s+)?"
    rf"(?:\d{{4}}[-/]\d{{1,2}}|\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}|\d{{1,2}}([-/.])\s?\d{{1,2}}\2\s?(?:\d{{4}}|\d{{2}})"
    rf"|\d{{1,2}}[.\s-]+{_MONTH}[\s,-]+(?:\d{{4}}|\d{{2}})|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+\d{{4}})"
    rf"(?:(?:T|,?\s+){_TIME})?|(?:\d{{1,2}}\s?d(?:ays?)?,?\s*)?{_TIME}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class FeatureColumns:
    """The features of a table.

    Attributes:
        names: of the columns, in the order of the table.
        values: shape (rows, columns); NaN where a number is missing.
        left_out: the other candidates, and why they are not features.
        notes: on unusual notations of numbers.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    left_out: dict[str, str]
    notes: tuple[str, ...]


def choose_features(root: Path, table: TableFile, frame: pd.DataFrame, columns: Sequence[str]) -> FeatureColumns:
    """The features among some columns of a table.

    Args:
        root: the table's file, for errors.
        table: the same as a file; if its numbers have a decimal comma, plain columns are read again as texts.
        frame: its rows.
        columns: the candidates.

    Raises:
        DatasetError: a few cells in a column of numbers are not numbers.
    """
    held = {c: _content(c, frame[c]) for c in columns}
    written = {c: column for c, column in held.items() if isinstance(column, WrittenNumbers)}
    plain = {c: column for c, column in held.items() if isinstance(column, np.ndarray)}
    default, reason = _join_notations(table, written, plain)
    marks: dict[str, DecimalMark] = {c: column.mark or default for c, column in written.items()}
    left_out: dict[str, str] = {}
    features: dict[str, NDArray[np.float32]] = {}
    for c in columns:
        content = held[c]
        if c in written:
            content = _checked(root, c, written[c], marks[c])
        assert not isinstance(content, WrittenNumbers)
        why = content if isinstance(content, str) else _no_feature(c, content)
        if why is not None:
            left_out[c] = why
        else:
            with np.errstate(over="ignore"):  # numbers beyond float32 become infinite, which is refused later
                features[c] = np.asarray(content, np.float64).astype(np.float32)
    values = np.stack(list(features.values()), axis=1) if features else np.empty((len(frame), 0), np.float32)
    notes = notation_notes({c: column for c, column in written.items() if c in features}, marks, reason)
    return FeatureColumns(tuple(features), values, left_out, tuple(notes))


def words_of(name: str) -> str:
    """A column's name in lower case with `_` between its words: `Track ID` and `trackId` are both `track_id`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[\W_]+", "_", parted.casefold()).strip("_")


# === What a column holds ===


def _content(name: str, column: pd.Series[Any]) -> NDArray[np.float64] | WrittenNumbers | str:
    """Numbers, texts that may be numbers, or why the column has neither."""
    import pandas as pd

    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        column = column.astype(kind.categories.dtype if not column.isna().any() else object)
        kind = column.dtype
    if column.isna().all():
        return EMPTY
    if pd.api.types.is_bool_dtype(kind):
        return BOOLEANS
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind):
        return column.to_numpy(np.float64, na_value=np.nan)
    if pd.api.types.is_datetime64_any_dtype(kind) or pd.api.types.is_timedelta64_dtype(kind):
        return DATES
    return _content_of_objects(
        name, [None if pd.api.types.is_scalar(v) and pd.isna(v) else v for v in column.astype(object)]
    )


def _content_of_objects(name: str, cells: list[Any]) -> NDArray[np.float64] | WrittenNumbers | str:
    def all_are(kinds: type | tuple[type, ...]) -> bool:
        return all(isinstance(cell, kinds) for cell in cells if cell is not None)

    if all_are((bool, np.bool_)):
        return BOOLEANS
    if all_are((numbers.Real, Decimal)):
        return np.array([np.nan if cell is None else float(cell) for cell in cells])
    if all_are((datetime.date, datetime.time, datetime.timedelta)):
        return DATES
    return _content_of_texts(name, cells) if all_are(str) else OTHER


def _content_of_texts(name: str, cells: list[str | None]) -> WrittenNumbers | str:
    written = read_numbers(cells)
    known = [text for text in written.texts if text is not None]
    if not known:
        return EMPTY
    if _are_identifiers(name, written, known):
        return IDENTIFIERS
    different = {text.casefold() for text in known}
    if any(different <= pair for pair in _TRUTHS):
        return BOOLEANS
    parsed = (~np.isnan(written.point) | ~np.isnan(written.comma)) & written.known
    others = [str(text) for text, is_number in zip(written.texts, parsed, strict=True) if text and not is_number]
    mostly = 2 * len(others) >= len(known)
    years = bool(((written.point[parsed] > 1000) & (written.point[parsed] < 2200)).all())
    if others and (mostly or years) and all(map(_DATE.fullmatch, others)):
        return DATES
    return TEXT if mostly else written


def _are_identifiers(name: str, written: WrittenNumbers, known: list[str]) -> bool:
    """UUIDs, checksums and the like, or any texts but fractions in a column whose name says so."""
    if _ID_NAME.fullmatch(words_of(name)):
        measured = any(written.fits(mark) and not are_whole(_finite(written.values(mark))) for mark in MARKS)
        return not measured
    if all(map(_ID_TEXT.fullmatch, known)):
        return True
    opaque = len(set(map(len, known))) == 1 and all(map(_OPAQUE_TEXT.fullmatch, known))
    return opaque and not any(written.fits(mark) for mark in MARKS) and not all(map(_DATE.fullmatch, known))


def _checked(root: Path, name: str, column: WrittenNumbers, mark: DecimalMark) -> NDArray[np.float64] | str:
    """The numbers of a column, or why it has none.

    Raises:
        DatasetError: a few cells are not numbers, or have another decimal mark than the others.
    """
    values = column.values(mark)
    wrong = np.isnan(values) & column.known
    if not wrong.any():
        return values
    row = int(np.argmax(wrong))
    cell = printable(str(column.texts[row]))
    if 2 * wrong.sum() >= column.known.sum():
        return f"no single decimal mark: {cell!r} in row {row + 1}"
    raise DatasetError(
        f"{root}: row {row + 1}, column {printable(name)}: {cell!r} is not a number with a decimal {mark}, as most "
        "others are: correct it, or leave the column out with --drop"
    )


# === Which decimal mark ===


def _join_notations(
    table: TableFile, written: dict[str, WrittenNumbers], plain: dict[str, NDArray[np.float64]]
) -> tuple[DecimalMark, str]:
    """The decimal mark of ambiguous columns, and why; plain columns of thousands are added to `written`."""
    votes = {column.mark for column in written.values() if column.mark and column.fits(column.mark)}
    if votes == {"comma"} and table.delimiter is not None:
        written |= _grouped_thousands(table, plain)
    elif not all(are_whole(_finite(values)) for values in plain.values()):
        votes.add("point")
    return default_mark(votes, table.delimiter)


def _grouped_thousands(table: TableFile, plain: dict[str, NDArray[np.float64]]) -> dict[str, WrittenNumbers]:
    """Columns such as `1.234` in a table with decimal commas, where they mean thousands."""
    fractions = [c for c, values in plain.items() if not are_whole(_finite(values))]
    frame = table.read([*fractions])
    again = {c: read_numbers(cell_texts(frame[c])) for c in fractions}
    return {c: column for c, column in again.items() if column.is_ambiguous and column.fits("comma")}


# === Numbers that are not features ===


def _no_feature(name: str, values: NDArray[np.float64]) -> str | None:
    """Why a column of numbers is not a feature; None if it is one."""
    known = values[~np.isnan(values)]
    if not len(known):
        return EMPTY
    with np.errstate(over="ignore"):  # numbers beyond float32 are refused later
        kept = known.astype(np.float32)
    if len(values) > 1 and np.isfinite(kept).all() and kept.min() == kept.max():
        return CONSTANT
    return _dates_by_name(name, known) or _dates_by_value(known) or _identifiers(name, known)


def _dates_by_name(name: str, known: NDArray[np.float64]) -> str | None:
    """Unix times or Excel's day numbers, in a column whose name says so."""
    words = _DATE_WORDS & set(words_of(name).split("_"))
    unix = any(((low < known) & (known < high)).all() for low, high in UNIX_TIMES)
    days = bool(words & {"date", "datetime", "timestamp"}) and bool(((known > 1e3) & (known < 8e4)).all())
    return DATES if words and (unix or days) else None


def _dates_by_value(known: NDArray[np.float64]) -> str | None:
    """`20201231`: whole numbers of eight digits that are all days."""
    import pandas as pd

    if not are_whole(known) or not ((known > 19000100) & (known < 21001232)).all():
        return None
    days = pd.to_datetime(pd.Series(known.astype(np.int64)).astype(str), format="%Y%m%d", errors="coerce")
    return DATES if days.notna().all() else None


def _identifiers(name: str, known: NDArray[np.float64]) -> str | None:
    """Whole numbers in a column named like ids, or unique and consecutive, or that count runs: 0, 0, 1, 1, 2."""
    if not are_whole(known):
        return None
    n, span = len(known), known.max() - known.min() + 1
    different = len(np.unique(known))
    if n >= MIN_NUMBERED_ROWS and span <= NUMBERED_SPAN * n and different == n:
        return ROW_NUMBERS if (np.diff(known) == 1).all() else IDENTIFIERS
    counts_runs = different >= MIN_NUMBERED_ROWS and np.isin(np.diff(known), (0, 1)).all()
    named = _ID_NAME.fullmatch(words_of(name)) or folded(name) in _NAMES
    return IDENTIFIERS if counts_runs or named else None


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]
