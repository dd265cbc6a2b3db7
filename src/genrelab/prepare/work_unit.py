"""One piece of a preparation: its description, and its result (`make_piece.py` makes it).

A piece is a worker's unit of work, and survives a kill: a folder that gets its name only when it is complete. Its
content depends only on its tracks and the settings, not on the worker.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import PrepareSettings
from genrelab.core.errors import DecodeError
from genrelab.core.file_stamp import stamp_of

PIECE_TRACKS = 5
"""Tracks per piece: the most work that a kill can cost each worker."""

PackedFingerprint = tuple[float, str, bytes]
"""start_s of a clip, SHA-256 of its track's audio without tags, the clip's landmarks from `fingerprint.pack`."""


@dataclass(frozen=True)
class ReusableTrack:
    """Data of an earlier preparation for a track whose file has not changed.

    Attributes:
        spans: for each view in shards, (file, offset, length) of the track's records.
        rows: (start_s, values) of its rows in `features.parquet`.
        fingerprints: its rows in `fingerprints.parquet`; None where that is missing: earlier versions wrote none.
    """

    sha256: str
    duration_s: float
    spans: dict[str, list[tuple[str, int, int]]] = field(repr=False)
    rows: list[tuple[float, NDArray[np.float32]]] = field(repr=False)
    fingerprints: list[PackedFingerprint] | None = field(repr=False)


@dataclass(frozen=True)
class Item:
    """One track of a piece."""

    index: int
    path: str  # of the file on this machine
    problem: str | None = None
    kept: ReusableTrack | None = None


@dataclass(frozen=True)
class Piece:
    """Description of a piece as sent to a worker process.

    Attributes:
        work: folder that gets the piece's own folder.
        crashed: indices of tracks that crashed a worker; they are counted as failures.
    """

    number: int
    work: str
    items: tuple[Item, ...]
    settings: PrepareSettings
    crashed: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"piece-{self.number:06d}"

    @property
    def folder(self) -> Path:
        """Its folder once it is complete."""
        return Path(self.work) / self.name

    @property
    def marker(self) -> Path:
        """File with the index of the current track, so that a crash can be attributed to the right one."""
        return Path(self.work) / f"{self.name}.current"


PACKED_FINGERPRINTS_FILE = "prints.bin"

ROWS_FILE = "features.npy"
"""The rows of `features.parquet`."""

FileStamp = tuple[str, str]
"""Path and stamp of a file (`core/file_stamp.py`) in hexadecimal digits, none where it cannot be read."""


@dataclass
class TrackOutcome:
    """Outcome of one track; `n_records` of each view, and the `n_bytes` that they take, framing included."""

    index: int
    status: str  # ok | failed | missing
    stage: str = ""
    error: str | None = None
    sha256: str | None = None
    duration_s: float | None = None
    stamp: FileStamp | None = None
    n_records: dict[str, int] = field(default_factory=dict)
    n_bytes: dict[str, int] = field(default_factory=dict)


def records_file(view: str) -> str:
    """Name of the file with the records of a view that is stored in shards."""
    return f"{view}.tfrecord"


def read(piece: Piece) -> tuple[list[TrackOutcome], list[tuple[int, float]], NDArray[np.float32]]:
    """Outcomes of a complete piece, (index, start_s) of its rows of `features.parquet`, and those rows."""
    about = json.loads((piece.folder / "piece.json").read_text())
    outcomes = [TrackOutcome(**o) for o in about["outcomes"]]
    return outcomes, [(i, s) for i, s in about["rows"]], np.load(piece.folder / ROWS_FILE)


def read_fingerprints(piece: Piece) -> list[tuple[int, PackedFingerprint]]:
    """Fingerprints of a complete piece: the track's index and the clip's fingerprint, in order."""
    about = json.loads((piece.folder / "piece.json").read_text())
    content, at, found = (piece.folder / PACKED_FINGERPRINTS_FILE).read_bytes(), 0, []
    for index, start, sha, length in about["prints"]:
        found.append((index, (start, sha, content[at : at + length])))
        at += length
    return found


def is_done(piece: Piece) -> bool:
    """Is the piece complete, and are its files unchanged?"""
    try:
        about = json.loads((piece.folder / "piece.json").read_text())
    except (FileNotFoundError, ValueError):
        return False
    sizes = file_sizes(piece.folder)
    if about.get("files") != sizes or "prints" not in about or ROWS_FILE not in sizes:  # an earlier version's
        return False
    if any("n_bytes" not in o for o in about["outcomes"]):  # also an earlier version's
        return False
    outcomes = [TrackOutcome(**o) for o in about["outcomes"]]
    return [o.index for o in outcomes] == [i.index for i in piece.items] and all(
        tuple(o.stamp or ()) == file_stamp(Path(i.path))
        and (o.stage == "find" or (o.error if o.stage == "label" else None) == i.problem)
        for o, i in zip(outcomes, piece.items, strict=True)
    )


def n_bytes(piece: Piece) -> int:
    """Bytes of a complete piece."""
    return sum(file_sizes(piece.folder).values())


def file_sizes(folder: Path) -> dict[str, int]:
    """By name, bytes of the files of a piece, without its own `piece.json`."""
    return {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.name != "piece.json"}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content.

    Raises:
        DecodeError: the file cannot be read.
    """
    try:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as e:
        raise DecodeError(path, e.strerror or str(e), stage="read") from e


def file_stamp(path: Path) -> FileStamp:
    """Path and stamp, to find out later whether the file has changed."""
    stamp = stamp_of(path)
    return str(path), "" if stamp is None else stamp.digest.hex()


def plan(items: list[Item], work: Path, settings: PrepareSettings, *, tracks: int) -> list[Piece]:
    """Pieces of `tracks` consecutive tracks; none crosses the border of a row group of the tables."""
    borders = range(0, len(items), settings.shard_tracks)
    chunks = [items[i : min(i + tracks, b + settings.shard_tracks)] for b in borders for i in
              range(b, min(b + settings.shard_tracks, len(items)), tracks)]  # fmt: skip
    return [Piece(n, str(work), tuple(c), settings) for n, c in enumerate(chunks)]


def record_counts(outcomes: list[TrackOutcome]) -> dict[str, int]:
    """Number of records of each view of these tracks."""
    counts = Counter[str]()
    for outcome in outcomes:
        counts.update(outcome.n_records)
    return dict(counts)
