"""A dataset: tracks with their genres, artists and official parts, and notes on how it was read.

Every source module of `genrelab/datasets/` makes a `Dataset` from a ROOT. Nothing is decoded here, and nothing
is dropped silently: what a source holds but cannot be used is counted in `notes`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.core.errors import DatasetError, printable
from genrelab.core.text import pluralize
from genrelab.datasets.artists import read_artist_table
from genrelab.identity.artists import Credit

PART_WORDS = {
    "train": "training", "training": "training",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
    "none": "excluded", "excluded": "excluded", "": "excluded",
}  # fmt: skip
"""Words of split columns, and the part that each one means."""


@dataclass(frozen=True)
class Track:
    """One track of a dataset, before anything is decoded."""

    track_id: str
    path: str | None  # relative to ROOT, with forward slashes; None where there is no audio by design
    genre: str | None  # None: no label; counted, never trained on
    artist: str | None = None
    album: str | None = None
    official_split: str | None = None  # one of config.PARTS
    licence: str | None = None
    problem: str | None = None  # why it cannot be used although its file may be there
    credit: Credit = field(
        default_factory=Credit
    )  # who it is credited to, as written; `artist` is made of it when the dataset is loaded
    artist_credit: str | None = None  # the artist as written, where `artist` is a person or group
    recording: str | None = None  # equal for tracks that are pieces of one recording


@dataclass(frozen=True)
class UnusedFile:
    """A file or folder that was met below ROOT and is no track."""

    path: str  # relative to ROOT, with forward slashes
    reason: str
    is_audio: bool = True  # by its name; False for pictures, texts, folders and the like


@dataclass(frozen=True)
class FeatureTable:
    """Precomputed features, one row for each track of the dataset, in the order of its tracks."""

    columns: tuple[str, ...]
    values: NDArray[np.float32]  # shape (tracks, columns)


@dataclass(frozen=True)
class DatasetOptions:
    """Options for reading a ROOT; each dataset uses those that concern it."""

    subset: str | None = None  # fma: small, medium, large, full
    artists: Path | None = None  # gtzan, folder: CSV with the columns id and artist
    split_files: Path | None = None  # gtzan: folder with {train,valid,test}_filtered.txt
    label: str | None = None  # table: column of the genre
    split_column: str | None = None  # table
    artist_column: str | None = None  # table
    id_column: str | None = None  # table: `track_id` by default
    drop: tuple[str, ...] = ()  # table: columns that are not features
    impute: str | None = None  # table: `median`
    group_column: str | None = None  # table: equal cells are pieces of one recording
    keep_spellings: bool = False  # genres stay as they are written


@dataclass(frozen=True)
class Dataset:
    """A source of labelled tracks.

    Attributes:
        name: such as `fma-small` or `gtzan`.
        root: local folder or file that it was read from.
        tracks: sorted by `track_id` (numbers by value), each id once.
        notes: findings and counts of the reading, one sentence each, for the user.
        features: precomputed features instead of audio, or None.
        unused: what else was met below ROOT, and why it is no track.
    """

    name: str
    root: Path
    tracks: tuple[Track, ...]
    notes: tuple[str, ...] = ()
    features: FeatureTable | None = field(default=None, repr=False)
    unused: tuple[UnusedFile, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.tracks:
            raise DatasetError(f"{self.root}: no track found (dataset {self.name})")
        duplicates = [i for i, n in Counter(t.track_id for t in self.tracks).items() if n > 1]
        if duplicates:
            raise DatasetError(
                f"{self.root}: {len(duplicates)} track ids stand for two tracks or more, "
                f"such as {printable(duplicates[0])!r}; ids must be unique"
            )

    @property
    def genres(self) -> tuple[str, ...]:
        """Names of the genres, sorted: the order of every probability that genrelab prints."""
        return tuple(sorted({t.genre for t in self.tracks if t.genre is not None}))

    @property
    def artists(self) -> tuple[str, ...]:
        """Names of the known artists, sorted."""
        return tuple(sorted({t.artist for t in self.tracks if t.artist is not None}))


def sort_tracks(tracks: Iterable[Track]) -> tuple[Track, ...]:
    """Tracks in the order of PREPARED: ids that are numbers by value, then the rest by name."""
    return tuple(sorted(tracks, key=lambda t: _id_sort_key(t.track_id)))


def _id_sort_key(track_id: str) -> tuple[int, int, str]:
    return (0, int(track_id), track_id) if track_id.isdecimal() else (1, 0, track_id)


def parse_part(word: str, *, where: str) -> str:
    """The part that a split column's word means.

    Raises:
        DatasetError: an unknown word.
    """
    part = PART_WORDS.get(word.strip().lower())
    if part is None:
        known = ", ".join(w for w in PART_WORDS if w)
        raise DatasetError(f"{where}: unknown split {word!r}: known are {known}")
    return part


def with_artists(tracks: tuple[Track, ...], table: Path | None) -> tuple[tuple[Track, ...], list[str]]:
    """The tracks with the artists that a CSV gives them, and notes."""
    if table is None:
        return tracks, []
    stated, notes = read_artist_table(table, [t.track_id for t in tracks])
    note = f"artists of {len(stated):,} of {pluralize(tracks, 'track')} from {table.name}"
    credited = {i: Credit(names=(artist,)) for i, artist in stated.items()}
    return tuple(
        replace(t, artist=stated[t.track_id], credit=credited[t.track_id]) if t.track_id in stated else t
        for t in tracks
    ), [note, *notes]
