"""Free Music Archive: 106,574 tracks of 16,341 artists in 161 genres, with FMA's own metadata and official split.

What: MP3 clips of 30 s (small, medium, large) or whole tracks (full), and CSV tables about them.
How much: small 8,000 clips of 8 balanced genres; medium 25,000 of 16; large and full all 106,574.
Who: Defferrard, Benzi, Vandergheynst, Bresson, "FMA: A Dataset for Music Analysis", ISMIR 2017.
Licence: metadata CC BY 4.0; each track has its artist's own licence (`Track.licence`).
Fetch it with `genrelab download fma-small` and `genrelab download fma-metadata`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.files import LINK
from genrelab.core.config import PARTS
from genrelab.core.errors import DatasetError, SettingsError, printable
from genrelab.core.text import join_first, pluralize
from genrelab.datasets.base import Dataset, DatasetOptions, FeatureTable, Track, UnusedFile, parse_part, sort_tracks
from genrelab.datasets.fma_metadata.tables import EXPECTED_LAYOUT as METADATA
from genrelab.datasets.fma_metadata.tables import find_metadata, has_clips, kind_of_table, open_table, read_tracks
from genrelab.datasets.scan import scan, unused_notes
from genrelab.identity.artists import Credit

NAME = "fma"
OPTIONS = ("subset", "drop")
EXPECTED_LAYOUT = f"{METADATA}, or FMA's own features.csv or echonest.csv"

SUBSETS = ("small", "medium", "large", "full")
"""Ordered: each holds the ones before it."""

KNOWN_PROBLEMS = {
    **dict.fromkeys(map(str, (99134, 108925, 133297)), "too short or undecodable"),
    **dict.fromkeys(
        map(str, (
            1486, 5574, 65753, 80391, 98558, 98559, 98560, 98565, 98566, 98567, 98568, 98569, 98571, 105247, 108924,
            126981, 127336, 143992,
        )), "wrong duration",
    ),
}  # fmt: skip
"""Known problems by track id: undecodable clips of fma_small; tracks whose stated duration is wrong, so that their clip
is short or empty."""

ECHONEST_ASIDE = ("metadata", "ranks")
"""Groups of echonest.csv that are not features: words and places of the artist, ranks that most tracks lack."""

COLUMNS = (
    *("set.subset", "set.split", "track.genre_top", "track.license"),
    *("artist.id", "artist.name", "album.id", "album.title"),
)
"""Columns of tracks.csv that are read."""


def matches(root: Path) -> str | None:
    """Why ROOT is FMA, or None."""
    if root.is_file():
        kind = kind_of_table(root)
        return f"it has the header rows of FMA's {kind}.csv" if kind else None
    metadata = find_metadata(root)
    if metadata is None:
        return None
    if (metadata / "tracks.csv").is_file() and metadata in (root, root.resolve().parent):
        return "tracks.csv" if metadata == root else "tracks.csv beside it"
    name = f"{metadata.name}/" if metadata.is_dir() else metadata.name
    return name if metadata.parent == root else f"{name} beside it"


def load(root: Path, options: DatasetOptions) -> Dataset:
    """FMA's tracks up to a subset: of a folder with clips, or of a table of precomputed features.

    Args:
        root: the folder that holds `fma_metadata` and `fma_small`, one of these two, or a folder of clips with
            tracks.csv; or FMA's features.csv or echonest.csv with tracks.csv beside it.
        options: `subset` (`small` by default); for precomputed features also `drop`.

    Raises:
        DatasetError: metadata missing or not in FMA's layout.
        SettingsError: an unknown subset, or a column to drop that is not there.
    """
    subset = options.subset or "small"
    if subset not in SUBSETS:
        raise SettingsError(f"unknown FMA subset {printable(subset)!r}: use one of {', '.join(SUBSETS)}")
    if not root.is_file():
        return _load_clips(root, subset)
    kind = kind_of_table(root)
    if kind is None:
        raise DatasetError(f"{printable(str(root))} is not one of FMA's tables: give the path of FMA's folder")
    return _load_clips(root.parent, subset) if kind == "tracks" else _load_features(root, subset, options.drop)


# === Clips ===


def _load_clips(root: Path, subset: str) -> Dataset:
    home, folder = _find_clips(root, subset)

    def path_of(track_id: int) -> str:
        return f"{folder}{track_id // 1000:03d}/{track_id:06d}.mp3"

    tracks, notes, ids = _select_tracks(root, subset, path_of)
    on_disk = sum((home / path_of(int(t.track_id))).is_file() for t in tracks)
    missing = f"{len(tracks) - on_disk:,} of {pluralize(tracks, 'track')} missing"
    notes += [f"clips in {folder or home.name}: {missing}"] if on_disk < len(tracks) else []
    unused, unused_words = _files_without_row(home, folder, {path_of(i) for i in ids})
    return Dataset(f"fma-{subset}", home, tracks, (*notes, *unused_words), unused=tuple(unused))


def _find_clips(root: Path, subset: str) -> tuple[Path, str]:
    """The folder that paths are relative to, and the clips' in it: the subset's own, else a larger, else a smaller."""
    if has_clips(root):
        return root, ""
    wanted = SUBSETS.index(subset)
    in_order = (*SUBSETS[wanted:], *reversed(SUBSETS[:wanted]))
    # The clips of a ROOT that is `fma_metadata` itself lie beside it.
    homes = (root, root.resolve().parent) if (root / "tracks.csv").is_file() else (root,)
    found = [(home, f"fma_{s}/") for home in homes for s in in_order if (home / f"fma_{s}").is_dir()]
    return found[0] if found else (root, f"fma_{subset}/")


def _files_without_row(home: Path, folder: str, named: Collection[str]) -> tuple[list[UnusedFile], list[str]]:
    """Files among the clips without a row in tracks.csv, and notes on them. Clips of other subsets have a row."""
    if not (home / folder).is_dir():
        return [], []
    found = scan(home / folder)
    others = [f"{folder}{path}" for path in found.audio if f"{folder}{path.casefold()}" not in named]
    # FMA's own tables may be among the clips; numbered folders that are links are read.
    rest = [u for u in found.unused if u.reason != LINK and not u.path.endswith(".csv")]
    unused = [UnusedFile(path, "not in tracks.csv") for path in others]
    notes = [f"skipped: {pluralize(others, 'audio file')} not in tracks.csv: {join_first(others)}"] if others else []
    return [*unused, *(replace(u, path=f"{folder}{u.path}") for u in rest)], [*notes, *unused_notes(rest)]


# === Tracks ===


def _select_tracks(
    root: Path, subset: str, path_of: Callable[[int], str | None]
) -> tuple[tuple[Track, ...], list[str], set[int]]:
    """The tracks of `subset` and the smaller ones, sorted; notes; the ids of all rows."""
    artists: dict[str, str] = {}
    albums: dict[str, str] = {}
    tracks, ids, total, unlabelled = [], set[int](), 0, 0
    for row in read_tracks(root, columns=COLUMNS):
        total += 1
        track_id = str(row["track_id"])
        ids.add(int(track_id))
        unlabelled += row["track.genre_top"] is None
        if not _in_subset(row["set.subset"], subset, track_id):
            continue
        artist = _id_and_name(artists, row["artist.id"], row.get("artist.name"))
        tracks.append(
            Track(
                track_id=track_id,
                path=path_of(int(track_id)),
                genre=row["track.genre_top"],
                artist=artist,
                credit=Credit((row.get("artist.name") or artist,), (f"fma {row['artist.id']}",))
                if artist
                else Credit(),
                album=_id_and_name(albums, row.get("album.id"), row.get("album.title")),
                official_split=parse_part(row["set.split"] or "", where="tracks.csv"),
                licence=row.get("track.license"),
            )
        )
    return sort_tracks(tracks), _track_notes(tracks, subset, total, unlabelled), ids


def _in_subset(word: str | None, subset: str, track_id: str) -> bool:
    if word not in SUBSETS:
        raise DatasetError(f"tracks.csv, track {track_id}: unknown subset {word!r}: use one of {', '.join(SUBSETS)}")
    return SUBSETS.index(word) <= SUBSETS.index(subset)


def _id_and_name(names: dict[str, str], number: str | None, name: str | None) -> str | None:
    """`<id> <name>`, with the first name found for an id: tracks are grouped by the id alone."""
    if number in (None, "-1"):  # FMA's value for unknown
        return None
    return names.setdefault(number, f"{number} {name or ''}".strip())


def _track_notes(tracks: list[Track], subset: str, total: int, unlabelled: int) -> list[str]:
    parts = Counter(t.official_split for t in tracks)
    split = " / ".join(f"{parts[p]:,} {p}" for p in PARTS if parts[p] or p != "excluded")
    here = sum(t.genre is None for t in tracks)
    notes = [
        f"tracks.csv: {pluralize(total, 'row')}, {len(tracks):,} of them in {subset}; official split: {split}",
        f"without a genre: {pluralize(unlabelled, 'row')}, {here:,} of them in {subset}",
    ]
    for what in dict.fromkeys(KNOWN_PROBLEMS.values()):
        if found := [t.track_id for t in tracks if KNOWN_PROBLEMS.get(t.track_id) == what]:
            notes.append(f"known problem of FMA ({what}): {pluralize(found, 'track')}: {join_first(found)}")
    return notes


# === Precomputed features ===


def _load_features(path: Path, subset: str, drop: tuple[str, ...]) -> Dataset:
    tracks, notes, _ = _select_tracks(path.parent, subset, lambda track_id: None)
    columns, rows = _read_features(path, {t.track_id for t in tracks}, drop)
    with_row = tuple(t for t in tracks if t.track_id in rows)
    left_out = len(tracks) - len(with_row)
    notes.append(
        f"{path.name}: {pluralize(columns, 'feature column')}"
        + (f"; skipped: {pluralize(left_out, 'track')} without a row" if left_out else "")
    )
    values = np.array([rows[t.track_id] for t in with_row], np.float32).reshape(len(with_row), len(columns))
    if empty := [columns[i] for i in np.flatnonzero(~np.isfinite(values).all(axis=0))]:
        raise DatasetError(
            f"{path.name}: empty or infinite cells in {join_first(empty)}: leave these columns out with --drop"
        )
    return Dataset(f"fma-{subset}", path, with_row, tuple(notes), FeatureTable(columns, values))


def _read_features(
    path: Path, wanted: set[str], drop: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, NDArray[np.float32]]]:
    """Names of the columns, and the rows of the wanted tracks; an empty cell is NaN."""
    found: dict[str, NDArray[np.float32]] = {}
    with open_table(path, path.name, header_rows=3) as (header, rows):
        named = {_column_name(c): i for i, c in enumerate(header, start=1) if c[1] not in ECHONEST_ASIDE}
        if unknown := [name for name in drop if name not in named]:
            raise SettingsError(f"--drop: {path.name} has no column {join_first(unknown)}")
        columns = {name: i for name, i in named.items() if name not in drop}
        for row in rows:
            if row[0] in found:
                raise DatasetError(f"{path.name}: track {row[0]} has several rows; ids must be unique")
            if row[0] in wanted:
                found[row[0]] = _parse_numbers(row, columns, path.name)
    return tuple(columns), found


def _column_name(cells: tuple[str, ...]) -> str:
    """`mfcc_kurtosis_01` of features.csv; `acousticness`, `temporal_features_000` of echonest.csv."""
    if cells[0] != "echonest":
        return "_".join(cells)
    return f"{cells[1]}_{cells[2]}" if cells[2].isdecimal() else cells[2]


def _parse_numbers(row: list[str], columns: dict[str, int], where: str) -> NDArray[np.float32]:
    try:
        return np.array([row[i] or "nan" for i in columns.values()], np.float32)
    except ValueError as e:
        raise DatasetError(f"{where}: track {row[0]} has a cell that is not a number") from e
