"""Registry of datasets: one module per kind of source, all with the same interface; the kind of a ROOT is detected.

A module has `NAME`, `OPTIONS` (fields of `DatasetOptions` that it uses), `EXPECTED_LAYOUT` (what a ROOT of this kind
looks like), `matches(root)` (why it fits, or None) and `load(root, options)`. To add one, write its file and put its
name into `DETECTION_ORDER`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from genrelab.core.csv_tables import SUFFIXES
from genrelab.core.errors import DatasetError, SettingsError, printable
from genrelab.core.text import is_printable_line, join_first
from genrelab.datasets.base import Dataset, DatasetOptions, Track
from genrelab.identity.artists import Credit, link_artists
from genrelab.identity.genres import join_genres
from genrelab.identity.recordings import find_recordings

DETECTION_ORDER = ("fma", "gtzan", "table", "folder")
"""Modules in the order in which they are tried on a ROOT: FMA's own CSV files before any table."""

FMA_NAMES = {"fma-small": "small", "fma-medium": "medium", "fma-large": "large", "fma-full": "full"}
"""Dataset names that choose a subset as well."""

NAMES = ("auto", *FMA_NAMES, *DETECTION_ORDER)
"""Values of `--dataset`."""


class DatasetModule(Protocol):
    """Interface of every dataset module."""

    NAME: str
    OPTIONS: tuple[str, ...]
    EXPECTED_LAYOUT: str

    def matches(self, root: Path) -> str | None:
        """Why `root` is such a dataset, in words, or None."""

    def load(self, root: Path, options: DatasetOptions) -> Dataset:
        """The tracks of `root`."""


def load_dataset(root: str | Path, *, name: str = "auto", options: DatasetOptions | None = None) -> Dataset:
    """Tracks, genres, artists and official split of the dataset at ROOT. Nothing is decoded.

    Args:
        root: a folder of music, a folder of FMA or GTZAN, or a table.
        name: one of `NAMES`; `auto` detects the source, and the first note gives the result.
        options: the command line's options for ROOT.

    Returns:
        The dataset; `notes` hold what was counted while reading.

    Raises:
        DatasetError: ROOT is missing or fits nothing, or its tables are inconsistent.
        SettingsError: an unknown name, or options that contradict each other.
    """
    if name not in NAMES:
        raise SettingsError(f"unknown dataset {printable(name)!r}: use one of {', '.join(NAMES)}")
    options = _with_subset(name, options or DatasetOptions())
    root = _existing_path(root)
    found, reason = detect(root) if name == "auto" else ("fma" if name in FMA_NAMES else name, None)
    with _convert_os_errors(root):
        dataset = _load(found, root, options)
    return replace(dataset, notes=(f"read as {found}: {reason}", *dataset.notes)) if reason else dataset


def detect(root: str | Path) -> tuple[str, str]:
    """Name of the module that reads ROOT, and why.

    Raises:
        DatasetError: ROOT is missing, or fits nothing.
    """
    root = _existing_path(root)
    with _convert_os_errors(root):
        for name in DETECTION_ORDER:
            reason = _load_module(name).matches(root)
            if reason is not None:
                return name, reason
    expected = "; ".join(f"{name}: {_load_module(name).EXPECTED_LAYOUT}" for name in DETECTION_ORDER)
    raise DatasetError(
        f"{printable(str(root))} is not a dataset that genrelab can read.{_table_hint(root)} It can read: {expected}"
    )


def _table_hint(root: Path) -> str:
    """Hint for an error: a folder of tables is not a dataset, but one of its tables may have been meant."""
    tables = [p for p in sorted(root.iterdir()) if p.suffix.lower() in SUFFIXES] if root.is_dir() else []
    if not tables:
        return ""
    more = f" (or another of its tables: {join_first([p.name for p in tables[1:]])})" if tables[1:] else ""
    return f" Did you mean {printable(str(tables[0]))}?{more}"


def _load(name: str, root: Path, options: DatasetOptions) -> Dataset:
    """The dataset of one module.

    Raises:
        SettingsError: an option that this kind of dataset does not use.
    """
    module = _load_module(name)
    for field in fields(options):
        used = field.name in (*module.OPTIONS, "keep_spellings") or getattr(options, field.name) == field.default
        if not used:
            users = [kind for kind in DETECTION_ORDER if field.name in _load_module(kind).OPTIONS]
            raise SettingsError(
                f"--{field.name.replace('_', '-')} is for datasets of the kind {' or '.join(users)}, and "
                f"{printable(str(root))} is of the kind {name}: leave the option out"
            )
    return _check_genre_names(_identify(module.load(root, options), options), root)


def _identify(dataset: Dataset, options: DatasetOptions) -> Dataset:
    """The dataset with one name for each genre, artist and recording, however it is spelled."""
    tracks = dataset.tracks
    genres = join_genres([t.genre for t in tracks], keep_spellings=options.keep_spellings)
    credited = [_credit(t) for t in tracks]
    artists = link_artists(credited)
    names = [t.path or t.track_id for t in tracks]
    recordings = find_recordings(names, genres.names, [t.recording for t in tracks], artists.artists)
    found = zip(tracks, credited, genres.names, artists.artists, recordings.of, strict=True)
    same = tuple(
        replace(t, genre=genre, artist=artist, credit=c, artist_credit=c.text, recording=recording)
        for t, c, genre, artist, recording in found
    )
    notes = (*dataset.notes, *genres.notes, *artists.notes, *recordings.notes)
    return replace(dataset, tracks=same, notes=notes)


def _credit(track: Track) -> Credit:
    return track.credit if track.credit.text or track.artist is None else Credit(names=(track.artist,))


def _check_genre_names(dataset: Dataset, root: Path) -> Dataset:
    """The dataset, unless a genre has a name that a bundle cannot hold: refused now, not after an hour of training."""
    for genre in dataset.genres:
        if not is_printable_line(genre):
            raise DatasetError(f"{printable(str(root))}: {genre[:80]!r} cannot be the name of a genre: rename it")
    return dataset


@contextmanager
def _convert_os_errors(root: Path) -> Iterator[None]:
    """Turn an OSError on a folder or table that cannot be read into a DatasetError."""
    try:
        yield
    except OSError as e:
        which = printable(str(e.filename or root))
        raise DatasetError(f"{which} cannot be read: {e.strerror or e}") from e


def _existing_path(root: str | Path) -> Path:
    path = Path(root).expanduser()
    if not path.exists():
        raise DatasetError(f"{printable(str(path))} does not exist: give a folder of music, FMA, GTZAN or a table")
    return path


def _with_subset(name: str, options: DatasetOptions) -> DatasetOptions:
    subset = FMA_NAMES.get(name)
    if subset is None:
        return options
    if options.subset not in (None, subset):
        raise SettingsError(f"{name} and the subset {options.subset} cannot be used together: give one of them")
    return replace(options, subset=subset)


def _load_module(name: str) -> DatasetModule:
    # Imported late, so that a dataset costs only its own imports.
    return cast(DatasetModule, import_module(f"genrelab.datasets.{name}"))
