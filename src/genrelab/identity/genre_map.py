"""The user's own names for the genres of a model, from a CSV.

from,to
hiphop,Rap
metal,Rock       two rows of one genre: both names are written
metal,Metal
disco,           no name: the genre is left out
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from genrelab.core.errors import SettingsError, printable
from genrelab.core.text import is_printable_line
from genrelab.identity.genre_names import spelling_key

HEADER = ["from", "to"]


def _key(genre: str) -> str:
    return genre.strip().casefold()


@dataclass(frozen=True)
class GenreMap:
    """Names for genres; a genre that has no row keeps its name.

    Attributes:
        rows: genre in lower case → its names; empty: it is left out.
    """

    rows: Mapping[str, tuple[str, ...]]

    def __call__(self, genres: Iterable[str], *, otherwise: Callable[[str], str] = str) -> list[str]:
        """The names of genres, in their order, each once.

        Args:
            otherwise: gives the name of a genre that has no row.
        """
        names: dict[str, None] = {}
        for genre in genres:
            found = self._names(genre)
            names |= dict.fromkeys((otherwise(genre),) if found is None else found)
        return list(names)

    def unused(self, genres: Iterable[str]) -> list[str]:
        """First cells of the rows for none of these genres: perhaps they are misspelled."""
        known = {key for genre in genres for key in (_key(genre), spelling_key(genre))}
        return [key for key in self.rows if not {key, spelling_key(key)} & known]

    def _names(self, genre: str) -> tuple[str, ...] | None:
        if _key(genre) in self.rows:
            return self.rows[_key(genre)]
        other_spellings = (names for key, names in self.rows.items() if spelling_key(key) == spelling_key(genre))
        return next(other_spellings, None)


def read_genre_map(path: Path) -> GenreMap:
    """Read a CSV with the columns `from` and `to`.

    Raises:
        SettingsError: no such file, not UTF-8, another header, or an unclear row; it names the line.
    """
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    rows: dict[str, tuple[str, ...]] = {}
    try:
        header = next(reader, [])
        if [_key(column) for column in header] != HEADER:
            raise _error(path, 1, f"must be the header `from,to`. Received: {','.join(header)}")
        for row in reader:
            if row:
                _add_row(path, reader.line_num, row, rows)
    except csv.Error as e:
        raise _error(path, reader.line_num, "is not valid CSV: is a quote missing?") from e
    return GenreMap(rows)


def _add_row(path: Path, line: int, row: list[str], rows: dict[str, tuple[str, ...]]) -> None:
    if len(row) != len(HEADER):
        what = "one column" if len(row) == 1 else f"{len(row)} columns"
        raise _error(path, line, f"has {what} and needs two, such as `hiphop,Rap`; put names with a comma in quotes")
    key, name = _key(row[0]), row[1].strip()
    if not key:
        raise _error(path, line, "has no genre before the comma: add one of the model's, or delete the line")
    if not is_printable_line(name):
        raise _error(path, line, "has a name that is too long or contains control characters: shorten or retype it")
    before = rows.get(key)
    if before is not None and bool(before) != bool(name):
        raise _error(path, line, f"contradicts an earlier line: only one of them leaves out {row[0].strip()}")
    rows[key] = tuple(dict.fromkeys((*(before or ()), *([name] if name else ()))))


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError as e:
        raise SettingsError(f"{printable(str(path))}: no such file: give a CSV with the header from,to") from e
    except OSError as e:
        raise SettingsError(f"{printable(str(path))}: cannot be read ({e.strerror})") from e
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise _error(path, content.count(b"\n", 0, e.start) + 1, "is not UTF-8: save the file as UTF-8") from e


def _error(path: Path, line: int, problem: str) -> SettingsError:
    return SettingsError(f"{printable(str(path))}, line {line}: {printable(problem)}")
