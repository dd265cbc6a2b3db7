"""A dataset: tracks with their genres, artists and official parts, and notes on how it was read.

Every source module of `genrelab/datasets/` makes a `Dataset` from a ROOT. Nothing is decoded here, and nothing
is dropped silently: what a source holds but cannot be used is counted in `notes`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.core.errors import DatasetError, printable
from genrelab.core.text import pluralize
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
    credit: Credit = field(default_factory=Credit)  # as written; `artist` is made of it when the dataset is loaded
    artist_credit: str | None = None  # the artist as written, where `artist` is a person or group
    recording: str | None = None  # equal for tracks that are pieces of one recording


@dataclass(frozen=True)
class UnusedFile:
    """A file or folder below ROOT that is not a track."""

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
    """Options for reading a ROOT; each kind of dataset uses some of them."""

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
        notes: remarks and counts from reading it, for the user.
        features: precomputed features instead of audio, or None.
        unused: everything else below ROOT, with the reason.
    """

    name: str
    root: Path
    tracks: tuple[Track, ...]
    notes: tuple[str, ...] = ()
    features: FeatureTable | None = field(default=None, repr=False)
    unused: tuple[UnusedFile, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.tracks:
            raise DatasetError(f"{printable(str(self.root))}: no tracks found (read as {self.name})")
        duplicates = [i for i, n in Counter(t.track_id for t in self.tracks).items() if n > 1]
        if duplicates:
            raise DatasetError(
                f"{printable(str(self.root))}: {pluralize(duplicates, 'track id')} given to several tracks, such "
                f"as {printable(duplicates[0])!r}: ids must be unique"
            )

    @property
    def genres(self) -> tuple[str, ...]:
        """Names of the genres, sorted: the order of every probability that genrelab prints."""
        return tuple(sorted({t.genre for t in self.tracks if t.genre is not None}))

    @property
    def artists(self) -> tuple[str, ...]:
        """Names of the known artists, sorted."""
        return tuple(sorted({t.artist for t in self.tracks if t.artist is not None}))

    @property
    def summary(self) -> str:
        """Counts for a message: `folder, 31 tracks, 4 genres, 25 artists (unknown for 3 tracks)`."""
        unknown = sum(t.artist is None for t in self.tracks)
        more = f" (unknown for {pluralize(unknown, 'track')})" if self.artists and unknown else ""
        artists = f"{pluralize(self.artists, 'artist')}{more}" if self.artists else "artists unknown"
        return f"{self.name}, {pluralize(self.tracks, 'track')}, {pluralize(self.genres, 'genre')}, {artists}"


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
        raise DatasetError(f"{where}: unknown split {word!r}: use one of {known}")
    return part
