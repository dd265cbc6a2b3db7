"""FMA's own tables as they are published: their place, their header rows, every cell parsed.

tracks.csv has two header rows, features.csv and echonest.csv have three, and each has one more row that
begins with `track_id`; lists are written in the cells as Python literals. The tables lie in the folder
`fma_metadata`, or in fma_metadata.zip, whose members are bzip2 (method 12) and are read without unpacking.
"""

from __future__ import annotations

import ast
import csv
import io
import re
import shlex
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from genrelab.core.errors import DatasetError, printable

EXPECTED_LAYOUT = "tracks.csv, fma_metadata/ or fma_metadata.zip (in ROOT, or beside a folder of clips)"

Cell = str | int | float | datetime | list[Any] | None
"""A parsed cell of tracks.csv; None where it is empty."""

Header = list[tuple[str, ...]]
"""For each column except the id's, its header cells from top to bottom."""

_CLIP = re.compile(r"(?:(?P<home>.+)/)?(?P<shard>\d{3})/(?P=shard)\d{3}\.[^./]+", re.ASCII)
"""`fma_small/012/012345.mp3`; home is `fma_small`."""

_DATES = {f"{of}.date_created" for of in ("album", "artist", "track")}
_DATES |= {"album.date_released", "track.date_recorded", "artist.active_year_begin", "artist.active_year_end"}
_LISTS = {"album.tags", "artist.tags", "track.tags", "track.genres", "track.genres_all"}
_INTEGERS = {f"{of}.{what}" for of in ("album", "artist", "track") for what in ("comments", "favorites")}
_INTEGERS |= {"album.id", "album.listens", "album.tracks", "artist.id"}
_INTEGERS |= {f"track.{what}" for what in ("bit_rate", "duration", "interest", "listens", "number")}


@dataclass(frozen=True)
class Genre:
    """One row of genres.csv."""

    genre_id: int
    n_tracks: int
    parent: int | None  # None: a root of the tree
    title: str
    top_level: int


# === Location ===


def find_metadata(root: Path) -> Path | None:
    """Folder or zip of the metadata: ROOT itself, in ROOT, or beside a ROOT that is a folder of clips."""
    if (root / "tracks.csv").is_file():
        return root
    homes = (root, root.resolve().parent) if has_clips(root) else (root,)
    if kind_of_table(homes[-1] / "tracks.csv") == "tracks":
        return homes[-1]
    places = [home / name for home in homes for name in ("fma_metadata", "fma_metadata.zip")]
    found = [place for place in places if place.exists()]
    whole = [place for place in found if place.is_file() or (place / "tracks.csv").is_file()]
    return next(iter(whole or found), None)


def has_clips(folder: Path) -> bool:
    """Does it hold FMA's numbered folders `000`, `001`, ...?"""
    return any(len(p.name) == 3 and p.name.isdecimal() and p.is_dir() for p in folder.iterdir())


def refuse_clips_without_metadata(root: Path, audio: Sequence[str]) -> None:
    """Refuse a folder whose audio is mostly FMA's clips: their genres stand in tables, and are not called 000, 001.

    Folders of three digits are its mark, with files of six digits that begin with the same three. Where such folders
    lie in several others, they are FMA's if these say so by name: otherwise it is a collection with genres of its own.

    Args:
        audio: paths of audio files relative to `root`, with forward slashes.

    Raises:
        DatasetError: it is one; the message says what is missing, and how to get it.
    """
    homes = Counter(found["home"] or "" for path in audio if (found := _CLIP.fullmatch(path)))
    tops = {home.partition("/")[0] for home in homes}
    if len(tops) > 1:
        homes = Counter({home: n for home, n in homes.items() if not home or _is_fma(home)})
    if 2 * homes.total() <= len(audio):
        return
    clips = root / homes.most_common(1)[0][0]
    # The metadata belong beside the folder of clips: there `find_metadata` looks, and `genrelab download` puts both.
    place = clips.resolve().parent if clips == root else clips.parent
    home = printable(shlex.quote(str(place)))
    again = "" if place in (root, root.resolve().parent) else f", then give {home} as ROOT"
    raise DatasetError(
        f"{printable(str(clips))} holds FMA's clips ({homes.total():,} files such as 000/000002.mp3), and their genres "
        f"stand in FMA's metadata, which are missing: put tracks.csv, fma_metadata/ or fma_metadata.zip into {home}, "
        f"or fetch them with `genrelab download fma-metadata --out {home}`{again}"
    )


def _is_fma(home: str) -> bool:
    return any(part.casefold().startswith("fma") for part in home.split("/"))


def kind_of_table(path: Path) -> str | None:
    """`tracks`, `features` or `echonest` by the header rows of a file, or None where it is none of them."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return None
    with path.open("rb") as file:
        # Two cells suffice; FMA's longest header row has 5,000 characters.
        starts = [file.readline(1 << 16).rstrip().split(b",", 2)[:2] for _ in range(3)]
    if [cells[0] for cells in starts] == [b"feature", b"statistics", b"number"]:
        return "features"
    if starts[0] == [b"", b"echonest"]:
        return "echonest"
    return "tracks" if [cells[0] for cells in starts] == [b"", b"", b"track_id"] else None


# === Reading ===


def read_tracks(root: Path, *, columns: Collection[str] | None = None) -> Iterator[dict[str, Cell]]:
    """Rows of tracks.csv, every cell parsed: numbers, dates, lists of genres and tags.

    Args:
        root: a folder that holds the metadata or is it, a folder of clips beside it, or the zip.
        columns: which to parse, such as `track.genre_top`; all by default.

    Yields:
        One row: `track_id` and the columns, named `<first header row>.<second>`; None for an empty cell.

    Raises:
        DatasetError: tracks.csv is missing, cut, or holds a cell that its column does not allow.
    """
    with open_table(_require_metadata(root), "tracks.csv", header_rows=2) as (header, rows):
        names = [".".join(cells) for cells in header]
        missing = {"set.split", "set.subset", "track.genre_top", "artist.id"}.difference(names)
        if missing:
            raise DatasetError(f"{root}: tracks.csv lacks the columns {', '.join(sorted(missing))}")
        chosen = [(i, name) for i, name in enumerate(names, start=1) if columns is None or name in columns]
        for row in rows:
            yield {"track_id": int(row[0]), **{name: _parse_cell(name, row[i], row[0]) for i, name in chosen}}


def read_genres(root: Path) -> dict[int, Genre]:
    """The genre tree of genres.csv by id, in the order of the file.

    Raises:
        DatasetError: genres.csv is missing or not in FMA's layout.
    """
    source = _require_metadata(root)
    with _open_text(source, "genres.csv") as file:
        try:
            genres = [
                Genre(int(r["genre_id"]), int(r["#tracks"]), int(r["parent"]) or None, r["title"], int(r["top_level"]))
                for r in csv.DictReader(file)
            ]  # fmt: skip
        except (KeyError, ValueError, TypeError) as e:
            wanted = "genre_id, #tracks, parent, title, top_level"
            raise DatasetError(f"{_location(source, 'genres.csv')} is not FMA's ({wanted}): {e}") from e
    return {genre.genre_id: genre for genre in genres}


@contextmanager
def open_table(source: Path, name: str, *, header_rows: int) -> Iterator[tuple[Header, Iterator[list[str]]]]:
    """Columns and data rows (the track id is the first cell) of one of FMA's tables.

    Args:
        source: the metadata's folder or zip, or the table itself.
        name: such as `tracks.csv`.
        header_rows: 2 for tracks.csv, 3 for features.csv and echonest.csv.

    Raises:
        DatasetError: the table is missing, cut, or not in FMA's layout.
    """
    with _open_text(source, name) as file:
        reader = csv.reader(file)
        header = [next(reader, []) for _ in range(header_rows)]
        ids = next(reader, [])
        if ids[:1] != ["track_id"] or any(len(row) != len(ids) for row in header):
            raise DatasetError(
                f"{_location(source, name)}: not FMA's layout of {header_rows} header rows and a row `track_id,,`; "
                "a table of your own is read with `--dataset table`"
            )
        columns: Header = list(zip(*(row[1:] for row in header), strict=True))
        yield columns, _checked_rows(reader, len(ids), _location(source, name))


def _require_metadata(root: Path) -> Path:
    metadata = root if root.suffix == ".zip" else find_metadata(root)
    if metadata is None:
        raise DatasetError(
            f"{printable(str(root))} is no FMA folder. Looked for {EXPECTED_LAYOUT}; "
            "`genrelab download fma-metadata` fetches them"
        )
    return metadata


def _checked_rows(reader: Iterable[list[str]], n_cells: int, where: str) -> Iterator[list[str]]:
    for n, row in enumerate(reader, start=1):
        if len(row) != n_cells or not row[0].isdecimal():
            raise DatasetError(
                f"{where}: data row {n} has {len(row)} cells of {n_cells} or no track id: the file is cut or "
                "damaged; fetch it again with `genrelab download fma-metadata`"
            )
        yield row


@contextmanager
def _open_text(source: Path, name: str) -> Iterator[TextIO]:
    """The table as text. An error while it is read becomes a DatasetError that names it."""
    # FMA's longest biographies pass the csv module's limit of 131,072 characters a cell.
    csv.field_size_limit(max(csv.field_size_limit(), 1 << 24))
    try:
        if source.suffix == ".zip":
            with zipfile.ZipFile(source) as archive:
                member = next((m for m in archive.namelist() if PurePosixPath(m).name == name), None)
                if member is None:
                    raise FileNotFoundError(f"no {name} in the archive")
                with archive.open(member) as stream:
                    yield io.TextIOWrapper(stream, encoding="utf-8", newline="")
        else:
            with (source / name if source.is_dir() else source).open(encoding="utf-8", newline="") as file:
                yield file
    except FileNotFoundError as e:
        remedy = "fetch it with `genrelab download fma-metadata`"
        raise DatasetError(f"{_location(source, name)} not found: {remedy}") from e
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zipfile.BadZipFile) as e:
        raise DatasetError(f"{_location(source, name)} cannot be read: {e}") from e


def _location(source: Path, name: str) -> str:
    return printable(str(source if source.name == name else source / name))


def _parse_cell(column: str, cell: str, track_id: str) -> Cell:
    if not cell:
        return None
    try:
        return _PARSERS.get(column, str)(cell)
    except (ValueError, SyntaxError) as e:
        raise DatasetError(
            f"tracks.csv, track {track_id}: {column} holds {printable(cell[:60])}: {printable(str(e))}"
        ) from e


def _parse_list(cell: str) -> list[Any]:
    value = ast.literal_eval(cell)
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


_PARSERS: dict[str, Callable[[str], Cell]] = {
    **dict.fromkeys(_INTEGERS, int),
    **dict.fromkeys(_LISTS, _parse_list),
    **dict.fromkeys(_DATES, datetime.fromisoformat),
    **dict.fromkeys(("artist.latitude", "artist.longitude"), float),
}
