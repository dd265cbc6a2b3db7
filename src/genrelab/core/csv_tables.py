"""Reads CSV and Parquet files as pandas frames; reports defects that pandas would repair silently."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrelab.core.encodings import detect_encoding
from genrelab.core.errors import DatasetError, printable
from genrelab.core.text import pluralize

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SUFFIXES = (".csv", ".tsv", ".parquet")

DELIMITERS = ",;\t|"

MISSING_VALUES = [
    "", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "null", "NULL", "None", "<NA>", "#N/A", "#NV", "?", "-",
]  # fmt: skip
"""Cells of a CSV that mean a missing number."""

_SAMPLE_CHARS = 1 << 16
_SAMPLE_ROWS = 50

_SEPARATOR_LINE = re.compile(r'\s*"?sep=([^\w\s"]|\t)"?[ ]*(?=[\r\n]|$)', re.IGNORECASE)
"""A first line that tells Excel the delimiter."""


@dataclass(frozen=True)
class TableFile:
    """A table whose rows are not read yet.

    Attributes:
        columns: unique names of the columns; one without a name is called `unnamed: <position>`.
        read: given names of columns, returns all rows that are not blank: these columns as texts, the others as
            numbers where all their cells are plain numbers.
        notes: for the user.
        delimiter: of a CSV; None for Parquet.
    """

    columns: tuple[str, ...]
    read: Callable[[Sequence[str]], pd.DataFrame]
    notes: tuple[str, ...] = ()
    delimiter: str | None = None


def open_table(path: Path) -> TableFile:
    """A CSV (`,`, `;`, tab or `|`) or, by its suffix, a Parquet file.

    Raises:
        DatasetError: not such a file, rows of unequal length, or two columns of the same name.
    """
    table = _open_parquet(path) if path.suffix.lower() == ".parquet" else _open_csv(path)
    if duplicates := [c for c, n in Counter(table.columns).items() if n > 1]:
        raise DatasetError(f"{path}: two columns are called {printable(duplicates[0])}: rename one of them")
    return table


def cell_texts(column: pd.Series[Any]) -> list[str | None]:
    """Cells as texts: blanks are None, and integers lose the `.0` that pandas gives them where a cell is missing.

    Several values in one cell of a Parquet file are separated by `; `.
    """
    texts = [_cell_text(value) for value in column.astype(object)]
    blank = column.isna()
    return [None if b or w.lower() in ("", "nan", "<na>") else w for w, b in zip(texts, blank, strict=True)]


def _cell_text(value: object) -> str:
    if isinstance(value, list | tuple | np.ndarray):
        return "; ".join(text for text in map(_cell_text, value) if text)
    if value is None:
        return ""
    return re.sub(r"^(-?\d+)\.0+$", r"\1", str(value).strip())


# === CSV ===


@dataclass(frozen=True)
class _Layout:
    """Where the rows of a CSV are: after `header_lines` lines; `blank` are those with empty cells only."""

    delimiter: str
    columns: tuple[str, ...]
    header_lines: int
    n_rows: int
    blank: tuple[int, ...]


def _open_csv(path: Path) -> TableFile:
    encoding, note = detect_encoding(path)
    try:
        with path.open(encoding=encoding, newline="") as f:
            sample = f.read(_SAMPLE_CHARS)
            f.seek(0)
            layout = _read_layout(path, f, _detect_delimiter(path, sample))
    except (OSError, csv.Error, UnicodeError) as e:
        raise DatasetError(f"{path} cannot be read as CSV: {_reason(e)}") from e
    blank = [f"{pluralize(layout.blank, 'blank row')} left out"] if layout.blank else []
    notes = (*([note] if note else []), *blank)
    return TableFile(layout.columns, lambda texts: _read_rows(path, encoding, layout, texts), notes, layout.delimiter)


def _reason(error: Exception) -> str:
    """The error in one line, without pandas' prefix."""
    return printable(getattr(error, "strerror", None) or str(error).removeprefix("Error tokenizing data. C error: "))


def _read_rows(path: Path, encoding: str, layout: _Layout, texts: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    if layout.n_rows == len(layout.blank):
        return pd.DataFrame(columns=list(layout.columns))
    try:
        with path.open(encoding=encoding, newline="") as f:
            for _ in range(layout.header_lines):  # pandas counts lines that end with a carriage return otherwise
                f.readline()
            frame = pd.read_csv(
                f, sep=layout.delimiter, header=None, names=list(layout.columns), index_col=False, low_memory=False,
                dtype=dict.fromkeys(texts, "str"), keep_default_na=False,
                na_values={c: MISSING_VALUES for c in layout.columns if c not in texts},
            )  # fmt: skip
    except (OSError, ValueError, OverflowError) as e:  # pandas' own errors are ValueErrors
        raise DatasetError(f"{path} cannot be read as CSV: {_reason(e)}; a closing quote may be missing") from e
    if len(frame) != layout.n_rows:
        raise DatasetError(
            f"{path} is ambiguous because of its quotes or blank lines, with {pluralize(len(frame), 'row')} or "
            f"{layout.n_rows:,}: save it again with another program"
        )
    return frame.drop(index=list(layout.blank)).reset_index(drop=True)


def _read_layout(path: Path, f: io.TextIOBase, delimiter: str) -> _Layout:
    """The columns of an open CSV, and how many rows it has.

    pandas would pad short rows, and use the first column of long ones as an index.
    """
    rows = csv.reader(f, delimiter=delimiter)
    named = (row for row in rows if any(cell.strip() for cell in row))
    header = next(named, [])
    if _SEPARATOR_LINE.fullmatch(delimiter.join(header)):
        header = next(named, [])
    header_lines = rows.line_num
    columns = [c.strip() or f"unnamed: {i}" for i, c in enumerate(header)]
    first_line: dict[int, int] = {}  # number of fields → the first line with it
    n_rows, blank, ends_blank = 0, list[int](), True
    for row in rows:
        if len(row) < 2 and len(columns) > 1 and not "".join(row).strip():
            continue  # a blank line, which pandas skips, too
        if row:
            if not row[0].strip() and not "".join(row).strip():
                blank.append(n_rows)
            n_rows += 1
            first_line.setdefault(len(row), rows.line_num)
            ends_blank &= not row[-1].strip()
    if set(first_line) == {len(columns) + 1} and ends_blank:
        columns.append(f"unnamed: {len(columns)}")  # rows that end with a delimiter
    elif set(first_line) == {len(columns) - 1} and not header[-1].strip():
        columns.pop()  # a header that ends with a delimiter
    elif ragged := [line for length, line in first_line.items() if length != len(columns)]:
        fields = f"{pluralize(columns, 'field')} separated by {delimiter!r}"
        raise DatasetError(f"{path}, line {min(ragged):,} does not match the header of {fields}: correct or delete it")
    return _Layout(delimiter, tuple(columns), header_lines, n_rows, tuple(blank))


def _detect_delimiter(path: Path, sample: str) -> str:
    """The delimiter given in Excel's first line, else the one that splits the header into the most fields.

    One that splits all rows into the same number of fields is preferred.

    Raises:
        DatasetError: there is a title above the header.
    """
    if stated := _SEPARATOR_LINE.match(sample):
        return stated[1]
    read = {d: _first_rows(sample, d) for d in DELIMITERS}

    def suits(delimiter: str) -> tuple[bool, int]:
        header, *rows = read[delimiter] or [[]]
        return len(header) > 1 and all(len(row) == len(header) for row in rows), len(header)

    best = max(DELIMITERS, key=suits)
    header, *rows = read[best] or [[]]
    named = [cell.strip() for cell in header if cell.strip()]
    below = [rows] if len(header) > 2 else [found[1:] for found in read.values()]
    widths = [(*Counter(map(len, found)).most_common(1)[0], len(found)) for found in below if found]
    width, n, of = max(widths, default=(0, 0, 0))
    if len(named) == 1 and width > 1 and n > 1 and 10 * n >= 9 * of:
        raise DatasetError(
            f"{path}: the first line ({printable(named[0])}) is not the header of the {width:,} columns: delete the "
            "lines above the header"
        )
    return best


def _first_rows(sample: str, delimiter: str) -> list[list[str]]:
    """The first rows that are not blank, without one that the sample may have cut."""
    rows = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    found = list(itertools.islice((row for row in rows if any(cell.strip() for cell in row)), _SAMPLE_ROWS))
    return found[:-1] if len(sample) == _SAMPLE_CHARS and 1 < len(found) < _SAMPLE_ROWS else found


# === Parquet ===


def _open_parquet(path: Path) -> TableFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Without threads, for the reason given in `prepared.read_parquet`.
        table = _with_texts(pq.ParquetFile(path, pre_buffer=False).read(use_threads=False))
        # Integers with gaps stay integers: as float64 two long ids could become one.
        frame = table.to_pandas(use_threads=False, integer_object_nulls=True)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as e:  # the last three: of pandas' metadata
        raise DatasetError(f"{path} cannot be read as a Parquet file: it is damaged or has another format") from e
    # A named index is usually the track id; one without a name only numbers the rows.
    names = [name for name in frame.index.names if name is not None]
    frame = frame.reset_index(names, allow_duplicates=True).reset_index(drop=True)
    frame.columns = [str(c).strip() or f"unnamed: {i}" for i, c in enumerate(frame.columns)]
    blank = frame.isna().all(axis=1)
    notes = (f"{pluralize(int(blank.sum()), 'blank row')} left out",) if blank.any() else ()
    frame = frame[~blank].reset_index(drop=True) if blank.any() else frame
    return TableFile(tuple(frame.columns), lambda texts: frame, notes)


def _with_texts(table: pa.Table) -> pa.Table:
    """The table with columns of bytes as texts where they are UTF-8: some programs mark no column as text."""
    import pyarrow as pa

    for i, column in enumerate(table.schema):
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            try:
                table = table.set_column(i, column.name, table.column(i).cast(pa.string()))
            except pa.ArrowInvalid:
                continue  # not text
    return table
