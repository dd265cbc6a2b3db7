"""CSV and Parquet files as pandas frames; defects are reported before pandas repairs them silently."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrelab.core.errors import DatasetError, printable
from genrelab.core.text import pluralize

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".tsv", ".parquet")

MISSING_VALUES = ["", "NA", "N/A", "NaN", "nan", "-nan", "null", "NULL", "None", "<NA>"]
"""Cells of a CSV that mean a missing number."""


@dataclass(frozen=True)
class TableFile:
    """A table whose rows are not read yet.

    Attributes:
        columns: unique names of the columns; one without a name is called `unnamed: <position>`.
        read: given names of columns, returns all rows: these columns as texts, the others as numbers where all
            their cells are numbers.
        notes: what the user should know about the file.
    """

    columns: tuple[str, ...]
    read: Callable[[Sequence[str]], pd.DataFrame]
    notes: tuple[str, ...] = ()


def open_table(path: Path) -> TableFile:
    """A CSV (`,`, `;`, tab or `|`) or, by its suffix, a Parquet file.

    Raises:
        DatasetError: not such a file, rows of unequal length, or two columns of the same name.
    """
    table = _open_parquet(path) if path.suffix.lower() == ".parquet" else _open_csv(path)
    if duplicates := [c for c, n in Counter(table.columns).items() if n > 1]:
        raise DatasetError(f"{path}: two columns are named {printable(duplicates[0])}")
    return table


def cell_texts(column: pd.Series[Any]) -> list[str | None]:
    """Cells as texts: blanks are None, and integers lose the `.0` that pandas gives them where a cell is missing."""
    texts = [re.sub(r"^(-?\d+)\.0+$", r"\1", str(v).strip()) for v in column.astype(object)]
    blank = column.isna()
    return [None if b or w.lower() in ("", "nan", "<na>") else w for w, b in zip(texts, blank, strict=True)]


def _open_csv(path: Path) -> TableFile:
    import pandas as pd

    encoding = _detect_encoding(path)
    try:
        with path.open(encoding=encoding, newline="") as f:
            delimiter = _detect_delimiter(f.readline())
            f.seek(0)
            rows = csv.reader(f, delimiter=delimiter)
            columns = [c.strip() or f"unnamed: {i}" for i, c in enumerate(next(rows, []))]
            # pandas would pad short rows, and use the first column of long ones as an index.
            ragged = next((rows.line_num for row in rows if row and len(row) != len(columns)), None)
    except (OSError, csv.Error, UnicodeError) as e:
        raise DatasetError(f"{path}: is no CSV that can be read: {e}") from e
    if ragged:
        header = f"{pluralize(columns, 'field')} parted by {delimiter!r}"
        raise DatasetError(f"{path}: line {ragged} does not fit the header, which has {header}")

    def read(texts: Sequence[str]) -> pd.DataFrame:
        return pd.read_csv(
            path, sep=delimiter, encoding=encoding, header=0, names=columns, index_col=False, low_memory=False,
            dtype=dict.fromkeys(texts, "str"), keep_default_na=False,
            na_values={c: MISSING_VALUES for c in columns if c not in texts},
        )  # fmt: skip

    notes = ("the table is not UTF-8 and was read as Latin-1",) if encoding == "latin-1" else ()
    return TableFile(tuple(columns), read, notes)


def _detect_encoding(path: Path) -> str:
    """UTF-8 with or without a byte order mark, UTF-16 with one, else Latin-1, which can decode anything."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as f:
            block = f.read(1 << 20)
            if not block.strip():
                raise DatasetError(f"{path}: is empty")
            if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                return "utf-16"
            if b"\0" in block:
                raise DatasetError(f"{path}: is no text, so no CSV")
            while block:
                decoder.decode(block)
                block = f.read(1 << 20)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "latin-1"
    except OSError as e:
        raise DatasetError(f"{path}: cannot be read: {e.strerror}") from e
    return "utf-8-sig"


def _detect_delimiter(header: str) -> str:
    """The delimiter that splits the header into the most fields."""
    return max(",;\t|", key=lambda d: len(next(csv.reader([header], delimiter=d), [])))


def _open_parquet(path: Path) -> TableFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Without threads, for the reason given in `prepared.read_parquet`.
        frame = pq.ParquetFile(path, pre_buffer=False).read(use_threads=False).to_pandas(use_threads=False)
    except (pa.ArrowException, OSError) as e:
        raise DatasetError(f"{path}: is no Parquet file that can be read: {e}") from e
    # A named index is usually the track id; one without a name only numbers the rows.
    names = [name for name in frame.index.names if name is not None]
    frame = frame.reset_index(names, allow_duplicates=True).reset_index(drop=True)
    frame.columns = [str(c) for c in frame.columns]
    return TableFile(tuple(frame.columns), lambda texts: frame)
