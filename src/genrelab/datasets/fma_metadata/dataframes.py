"""FMA's tables as pandas DataFrames, with the types that FMA's own `utils.load` gives them.

Source: mdeff/fma, utils.py, which the article's notebooks use. Other than there, a title "None" or "NA" is a text
(only an empty cell is missing), and a table that is cut off or damaged is refused instead of read as a shorter one.
"""

from __future__ import annotations

import ast
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrelab.core.errors import DatasetError, MissingRequirementError, printable
from genrelab.core.text import join_first
from genrelab.datasets.fma_metadata.tables import find_source, location, open_table, remedy_for

if TYPE_CHECKING:
    import pandas as pd

LISTS = (("track", "tags"), ("album", "tags"), ("artist", "tags"), ("track", "genres"), ("track", "genres_all"))
"""Columns of tracks.csv whose cells are lists, written as Python literals."""

DATES = (
    *(("track", "date_created"), ("track", "date_recorded"), ("album", "date_created"), ("album", "date_released")),
    *(("artist", "date_created"), ("artist", "active_year_begin"), ("artist", "active_year_end")),
)
CATEGORIES = (
    *(("track", "genre_top"), ("track", "license"), ("album", "type"), ("album", "information"), ("artist", "bio")),
)
SUBSET = ("set", "subset")
SUBSETS = ("small", "medium", "large", "full")
"""In this order. FMA's tracks.csv has no track with `full`: that is the name of all tracks."""


def read_fma_tracks(root: str | Path) -> pd.DataFrame:
    """tracks.csv: one row per track, 52 columns in the groups `album`, `artist`, `set`, `track`.

    Args:
        root: the folder that has `fma_metadata` or fma_metadata.zip, one of these two, or the table itself.

    Returns:
        A frame with the index `track_id` and pairs such as ("track", "title") as columns. Tags and genres are lists
        (an empty cell is an empty list), dates are datetimes (NaT where unknown), `genre_top`, `license`, the album's
        `type` and `information` and the artist's `bio` are categories. ("set", "subset") is an ordered category, so
        `tracks[tracks["set", "subset"] <= "medium"]` has the tracks of FMA medium.

    Raises:
        DatasetError: the table is missing, cut off, damaged or not FMA's; or a cell is not what its column holds.
        MissingRequirementError: pandas is not installed.
    """
    table = _read(root, "tracks.csv", header_rows=2, texts=(*LISTS, *DATES, *CATEGORIES, SUBSET))
    for columns, convert in ((LISTS, _to_lists), (DATES, _to_dates)):
        for column in columns:
            if column in table:
                table[column] = convert(table[column])
    for column in CATEGORIES:
        if column in table:
            table[column] = table[column].astype("category")
    if SUBSET in table:
        table[SUBSET] = _to_subsets(table[SUBSET])
    return table


def read_fma_genres(root: str | Path) -> pd.DataFrame:
    """genres.csv: one row per genre, index `genre_id`, columns `#tracks`, `parent`, `title`, `top_level`.

    Arguments and errors are those of `read_fma_tracks`.
    """
    return _read(root, "genres.csv", header_rows=0, id_name="genre_id", texts=(("title",),))


def read_fma_features(root: str | Path) -> pd.DataFrame:
    """features.csv: 518 float64 columns, named (feature, statistic, number), such as ("mfcc", "mean", "01").

    Arguments and errors are those of `read_fma_tracks`.
    """
    table = _read(root, "features.csv", header_rows=3, missing=("", "nan", "NaN"))
    if wrong := [".".join(c) for c, kind in zip(table.columns, table.dtypes, strict=True) if kind.kind not in "iuf"]:
        raise DatasetError(
            f"{printable(str(root))}: features.csv has cells that are not numbers in {join_first(wrong)}"
        )
    table.columns = table.columns.set_names(["feature", "statistics", "number"])
    return table.astype("float64")


def read_fma_echonest(root: str | Path) -> pd.DataFrame:
    """echonest.csv: audio, social and temporal features, words and ranks of 13,129 tracks, by Echo Nest (now Spotify).

    The columns have three levels, such as ("echonest", "audio_features", "tempo"). Arguments and errors are those of
    `read_fma_tracks`.
    """
    return _read(root, "echonest.csv", header_rows=3)


# === Reading ===


class _CheckedRows(io.TextIOBase):
    """The text of a table's rows as a stream for pandas; each row is checked before pandas gets it.

    Args:
        rows: of `open_table`, which checks them.
        lines: to which `open_table` adds the lines of every row that is read.
    """

    def __init__(self, rows: Iterator[object], lines: list[str]) -> None:
        self._rows, self._lines, self.n_rows = rows, lines, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> str:
        """The next rows, `size` characters or a little more (all rows for -1 or None); empty at the end."""
        limit = size if size is not None and size >= 0 else sys.maxsize
        text, length = list[str](), 0
        while length < limit and next(self._rows, None) is not None:
            self.n_rows += 1
            text += self._lines
            length += sum(map(len, self._lines))
            self._lines.clear()
        return "".join(text)


def _read(
    root: str | Path,
    name: str,
    *,
    header_rows: int,
    id_name: str = "track_id",
    texts: Sequence[tuple[str, ...]] = (),
    missing: Sequence[str] = ("",),
) -> pd.DataFrame:
    """The table; `texts` are columns that stay texts where their cells look like numbers."""
    try:
        import pandas as pd
    except ModuleNotFoundError as e:
        needs = f"FMA's {name} as a DataFrame needs pandas, which is not installed: pip install 'genrelab[learn]'"
        raise MissingRequirementError(needs) from e
    lines: list[str] = []
    source = find_source(Path(root).expanduser(), name)
    with open_table(source, name, header_rows=header_rows, id_name=id_name, lines=lines, remedy=remedy_for(name)) as (
        header,
        rows,
    ):
        checked = _CheckedRows(rows, lines)
        try:
            table = pd.read_csv(
                checked, header=None, names=range(len(header) + 1), index_col=0, low_memory=False,
                dtype={i: str for i, column in enumerate(header, start=1) if column in texts},
                keep_default_na=False, na_values=list(missing),
            )  # fmt: skip
        except pd.errors.ParserError as e:  # a quote that is not closed
            raise _damaged(source, name) from e
    if table.empty or len(table) != checked.n_rows:
        raise _damaged(source, name)
    table.index.name = id_name
    table.columns = pd.MultiIndex.from_tuples(header) if header_rows else pd.Index([c[0] for c in header])
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise DatasetError(f"{name}: {id_name} {twice} has several rows; ids must be unique")
    return table


def _damaged(source: Path, name: str) -> DatasetError:
    remedy = "download it again with `genrelab download fma-metadata`"
    return DatasetError(f"{location(source, name)} is cut off or damaged: {remedy}")


# === Types ===


def _to_lists(cells: pd.Series[Any]) -> pd.Series[Any]:
    return _convert_cells(cells.fillna("[]"), _parse_list, "a Python list").astype(object)


def _parse_list(cell: str) -> list[Any]:
    found = ast.literal_eval(cell)
    if not isinstance(found, list):
        raise ValueError
    return found


def _to_dates(cells: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    try:
        return pd.to_datetime(cells, format="ISO8601")
    except ValueError:
        return _convert_cells(cells, lambda cell: pd.to_datetime(cell, format="ISO8601"), "a date")


def _convert_cells(cells: pd.Series[Any], parse: Callable[[Any], Any], what: str) -> pd.Series[Any]:
    """The parsed cells; an error names the first that cannot be parsed."""
    import pandas as pd

    parsed = []
    for track_id, cell in cells.items():
        try:
            parsed.append(parse(cell))
        except (ValueError, SyntaxError, MemoryError, RecursionError) as e:  # what literal_eval raises
            column = ".".join(map(str, cells.name)) if isinstance(cells.name, tuple) else cells.name
            raise DatasetError(
                f"tracks.csv, track {track_id}: {column} has {printable(str(cell)[:80])!r}, which is not {what}: "
                "correct it, or download the table again with `genrelab download fma-metadata`"
            ) from e
    return pd.Series(parsed, index=cells.index, dtype=object)


def _to_subsets(cells: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    unknown = cells[~cells.isin(SUBSETS)]
    if len(unknown):
        cell = unknown.iloc[0]
        wrong = "no subset" if pd.isna(cell) else f"unknown subset {printable(str(cell)[:80])!r}"
        raise DatasetError(f"tracks.csv, track {unknown.index[0]}: {wrong}: use one of {', '.join(SUBSETS)}")
    used = SUBSETS if (cells == "full").any() else SUBSETS[:3]
    return cells.astype(pd.CategoricalDtype(list(used), ordered=True))
