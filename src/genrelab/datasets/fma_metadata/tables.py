"""FMA's own tables as they are published: where they are, their header rows, their cells.

tracks.csv has two header rows, features.csv and echonest.csv have three, and each has one more row that starts with
`track_id`. The tables are in the folder `fma_metadata`, or in fma_metadata.zip, whose members are compressed by bzip2
and are read without unpacking.
"""

from __future__ import annotations

import csv
import io
import re
import shlex
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TextIO

from genrelab.core.errors import DatasetError, printable

EXPECTED_LAYOUT = "tracks.csv, fma_metadata/ or fma_metadata.zip (in ROOT, or beside a folder of clips)"

Header = list[tuple[str, ...]]
"""For each column except the id's, its header cells from top to bottom."""

_CLIP = re.compile(r"(?:(?P<home>.+)/)?(?P<shard>\d{3})/(?P=shard)\d{3}\.[^./]+", re.ASCII)
"""`fma_small/012/012345.mp3`; home is `fma_small`."""


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
    """Refuse a folder whose audio is mostly FMA's clips: their genres are in tables, and are not called 000, 001.

    Its clips are files with six digits in folders named by the first three. If several folders hold such folders, only
    those whose path starts with `fma` count: otherwise it is a collection with its own genres.

    Args:
        audio: paths of audio files relative to `root`, with forward slashes.

    Raises:
        DatasetError: it is such a folder; the message explains how to get the metadata.
    """
    homes = Counter(found["home"] or "" for path in audio if (found := _CLIP.fullmatch(path)))
    tops = {home.partition("/")[0] for home in homes}
    if len(tops) > 1:
        homes = Counter({home: n for home, n in homes.items() if not home or _is_fma(home)})
    if 2 * homes.total() <= len(audio):
        return
    clips = root / homes.most_common(1)[0][0]
    # The metadata belong beside the folder of clips, where `find_metadata` searches and `genrelab download` writes.
    place = clips.resolve().parent if clips == root else clips.parent
    home = printable(shlex.quote(str(place)))
    again = "" if place in (root, root.resolve().parent) else f", then use {home} as ROOT"
    raise DatasetError(
        f"{printable(str(clips))} contains FMA's clips ({homes.total():,} files such as 000/000002.mp3), but not FMA's "
        f"metadata, which has their genres: put tracks.csv, fma_metadata/ or fma_metadata.zip into {home}, or "
        f"download it with `genrelab download fma-metadata --out {home}`{again}"
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


def read_tracks(root: Path, *, columns: Collection[str]) -> Iterator[dict[str, str | None]]:
    """Rows of tracks.csv.

    Args:
        root: a folder that holds the metadata or is it, a folder of clips beside it, or the zip.
        columns: which to read, such as `track.genre_top`.

    Yields:
        One row: `track_id` and the columns, named `<first header row>.<second>`; None for an empty cell.

    Raises:
        DatasetError: tracks.csv is missing, cut off, or lacks a column.
    """
    with open_table(_require_metadata(root), "tracks.csv", header_rows=2) as (header, rows):
        names = [".".join(cells) for cells in header]
        missing = {"set.split", "set.subset", "track.genre_top", "artist.id"}.difference(names)
        if missing:
            raise DatasetError(f"{root}: tracks.csv lacks the columns {', '.join(sorted(missing))}")
        chosen = [(i, name) for i, name in enumerate(names, start=1) if name in columns]
        for row in rows:
            yield {"track_id": str(int(row[0])), **{name: row[i] or None for i, name in chosen}}


@contextmanager
def open_table(
    source: Path, name: str, *, header_rows: int, id_name: str = "track_id", lines: list[str] | None = None,
    remedy: str = "read your own tables with --dataset table",
) -> Iterator[tuple[Header, Iterator[list[str]]]]:  # fmt: skip
    """Columns and data rows (the id is the first cell) of one of FMA's tables.

    Args:
        source: the metadata's folder or zip, or the table itself.
        name: such as `tracks.csv`.
        header_rows: 2 for tracks.csv, 3 for features.csv and echonest.csv, 0 for genres.csv, whose columns are named in
            the row that starts with the id's name.
        id_name: the id's name, in the row after the header rows.
        lines: where the lines of each data row that is read are added.
        remedy: what to do if the table does not have FMA's header rows.

    Raises:
        DatasetError: the table is missing, cut off, or not in FMA's layout.
    """
    with _open_text(source, name) as file:
        reader = csv.reader(file if lines is None else _added_to(lines, file))
        header = [next(reader, []) for _ in range(header_rows)]
        ids = next(reader, [])
        if ids[:1] != [id_name] or any(len(row) != len(ids) for row in header):
            rows = f"{header_rows} header rows and a row `{id_name},,`" if header_rows else f"row `{id_name},…`"
            raise DatasetError(f"{location(source, name)} does not have FMA's {rows}; {remedy}")
        columns: Header = list(zip(*(row[1:] for row in header or [ids]), strict=True))
        if lines is not None:
            lines.clear()
        yield columns, _checked_rows(reader, len(ids), location(source, name))


def find_source(root: Path, name: str) -> Path:
    """What `open_table` opens: ROOT itself if it is a table or holds it, otherwise the metadata's folder or zip.

    Raises:
        DatasetError: there is none.
    """
    if not (root.is_dir() or root.is_file()):
        wrong = "is neither a folder nor a file" if root.exists() else "does not exist"
        raise DatasetError(f"{printable(str(root))} {wrong}: {remedy_for(name)}")
    return root if root.is_file() or (root / name).is_file() else _require_metadata(root)


def _require_metadata(root: Path) -> Path:
    metadata = root if root.suffix == ".zip" else find_metadata(root)
    if metadata is None:
        raise DatasetError(
            f"{printable(str(root))} is not a folder of FMA, which has {EXPECTED_LAYOUT}; "
            "`genrelab download fma-metadata` downloads them"
        )
    return metadata


def _added_to(lines: list[str], file: Iterable[str]) -> Iterator[str]:
    for line in file:
        lines.append(line)
        yield line


def _checked_rows(reader: Iterable[list[str]], n_cells: int, where: str) -> Iterator[list[str]]:
    for n, row in enumerate(reader, start=1):
        if len(row) != n_cells or not row[0].isdecimal():
            raise DatasetError(
                f"{where}: data row {n} has {len(row)} of {n_cells} cells, or no id: the file is damaged; "
                "download it again with `genrelab download fma-metadata`"
            )
        yield row


@contextmanager
def _open_text(source: Path, name: str) -> Iterator[TextIO]:
    """The table as text. An error during reading becomes a DatasetError that names the table."""
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
        remedy = "download it with `genrelab download fma-metadata`"
        raise DatasetError(f"{location(source, name)} not found: {remedy}") from e
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zipfile.BadZipFile) as e:
        why = getattr(e, "strerror", None) or "the file is damaged"
        raise DatasetError(f"{location(source, name)} cannot be read: {why}") from e


def location(source: Path, name: str) -> str:
    """Where `open_table` reads the table, for messages: the file itself, or its place in the folder or zip."""
    in_source = source.suffix == ".zip" or source.is_dir()
    return printable(str(source / name if in_source else source))


def remedy_for(name: str) -> str:
    """What to give a function that reads the table `name`."""
    return f"give FMA's folder, fma_metadata.zip or {name}"
