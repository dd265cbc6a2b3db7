"""One piece of a preparation: a few tracks, each decoded once, become records of every view.

A piece is a worker's unit of work, and what survives a kill: a folder that gets its name only when it is complete.
Its content depends on its tracks and the settings alone, never on the worker.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.audio.content_hash import sha256_of_audio
from genrelab.core.config import PARQUET_VIEWS, PrepareSettings, View
from genrelab.core.errors import DecodeError, SettingsError
from genrelab.core.processes import DECODER_CRASHED
from genrelab.features import views
from genrelab.features.fingerprint import landmarks, pack
from genrelab.records import tfrecord

PIECE_TRACKS = 5
"""Tracks per piece: the most work that a kill can cost each worker."""

PackedFingerprint = tuple[float, str, bytes]
"""Of a clip: start_s, SHA-256 of its track's audio without tags, its landmarks as `fingerprint.pack` packs them."""


@dataclass(frozen=True)
class ReusableTrack:
    """Content of an earlier preparation for a track whose file has not changed.

    Attributes:
        spans: for each view in shards, (file, offset, length) of the track's records.
        rows: (start_s, values) of its rows in `features.parquet`.
        fingerprints: its rows in `fingerprints.parquet`; None where there is none, as earlier versions wrote.
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

FileStamp = tuple[str, int, int, int, int]
"""Path, size, mtime, ctime (ns) and inode of a file: copies often share size and mtime."""


@dataclass
class TrackOutcome:
    """Outcome of one track."""

    index: int
    status: str  # ok | failed | missing
    stage: str = ""
    error: str | None = None
    sha256: str | None = None
    duration_s: float | None = None
    stamp: FileStamp | None = None
    n_records: dict[str, int] = field(default_factory=dict)


@dataclass
class TrackOutput:
    """Data made of one track: encoded records by view, rows of statistics, fingerprints."""

    records: list[tuple[str, bytes]] = field(default_factory=list)
    rows: list[tuple[float, NDArray[np.float32]]] = field(default_factory=list)
    fingerprints: list[PackedFingerprint] = field(default_factory=list)


def make_piece(piece: Piece) -> float:
    """Make a piece, and return the seconds that it took. Runs in a worker process."""
    started = time.perf_counter()
    temporary = Path(piece.work) / f".{piece.name}.{uuid.uuid4().hex[:8]}.tmp"
    temporary.mkdir(parents=True)
    outcomes: list[TrackOutcome] = []
    rows: list[tuple[int, float, NDArray[np.float32]]] = []
    fingerprints: list[tuple[int, PackedFingerprint]] = []
    in_shards = [v.name for v in piece.settings.views if v.name not in PARQUET_VIEWS]
    files = {name: (temporary / f"{name}.tfrecord").open("wb") for name in in_shards}
    try:
        for item in piece.items:
            piece.marker.write_text(str(item.index))
            outcome, output = _process_track(item, piece)
            outcomes.append(outcome)
            rows += [(item.index, start, values) for start, values in output.rows]
            fingerprints += [(item.index, mark) for mark in output.fingerprints]
            for name, content in output.records:
                files[name].write(content)
    finally:
        for file in files.values():
            file.close()
    np.save(temporary / "statistics.npy", np.array([v for _, _, v in rows], np.float32))
    (temporary / PACKED_FINGERPRINTS_FILE).write_bytes(b"".join(marks for _, (_, _, marks) in fingerprints))
    about = {
        "outcomes": [asdict(o) for o in outcomes],
        "rows": [[i, s] for i, s, _ in rows],
        "prints": [[i, start, sha, len(marks)] for i, (start, sha, marks) in fingerprints],
        "files": _file_sizes(temporary),
    }
    (temporary / "piece.json").write_text(json.dumps(about))
    _replace_folder(temporary, piece.folder)
    piece.marker.unlink(missing_ok=True)
    return time.perf_counter() - started


def read(piece: Piece) -> tuple[list[TrackOutcome], list[tuple[int, float]], NDArray[np.float32]]:
    """Outcomes of a complete piece, (index, start_s) of its rows of statistics, and those rows."""
    about = json.loads((piece.folder / "piece.json").read_text())
    outcomes = [TrackOutcome(**o) for o in about["outcomes"]]
    return outcomes, [(i, s) for i, s in about["rows"]], np.load(piece.folder / "statistics.npy")


def read_fingerprints(piece: Piece) -> list[tuple[int, PackedFingerprint]]:
    """Fingerprints of a complete piece: the track's index and the clip's fingerprint, in order."""
    about = json.loads((piece.folder / "piece.json").read_text())
    content, at, found = (piece.folder / PACKED_FINGERPRINTS_FILE).read_bytes(), 0, []
    for index, start, sha, length in about["prints"]:
        found.append((index, (start, sha, content[at : at + length])))
        at += length
    return found


def is_done(piece: Piece) -> bool:
    """Is the piece complete, and made of the files as they are now?"""
    try:
        about = json.loads((piece.folder / "piece.json").read_text())
    except (FileNotFoundError, ValueError):
        return False
    if about.get("files") != _file_sizes(piece.folder) or "prints" not in about:
        return False
    outcomes = [TrackOutcome(**o) for o in about["outcomes"]]
    return [o.index for o in outcomes] == [i.index for i in piece.items] and all(
        tuple(o.stamp or ()) == _file_stamp(Path(i.path))
        and (o.stage == "find" or (o.error if o.stage == "label" else None) == i.problem)
        for o, i in zip(outcomes, piece.items, strict=True)
    )


def n_bytes(piece: Piece) -> int:
    """Bytes of a complete piece."""
    return sum(_file_sizes(piece.folder).values())


def _file_sizes(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.name != "piece.json"}


def _process_track(item: Item, piece: Piece) -> tuple[TrackOutcome, TrackOutput]:
    path = Path(item.path)
    outcome = TrackOutcome(item.index, "ok", stamp=_file_stamp(path))
    try:
        if not path.exists():
            outcome.status, outcome.stage, outcome.error = "missing", "find", "no such file"
        elif item.problem is not None:
            outcome.status, outcome.stage, outcome.error = "failed", "label", item.problem
        else:
            outcome.sha256 = file_sha256(path)
            if item.index in piece.crashed:
                raise DecodeError(path, DECODER_CRASHED)
            return outcome, _reuse_or_make(item, piece.settings, outcome)
    except DecodeError as e:
        outcome.status, outcome.stage, outcome.error = "failed", e.stage, e.reason
    except SettingsError as e:  # a view that this clip cannot have, such as FMA's own statistics at 8 kHz
        outcome.status, outcome.stage, outcome.error = "failed", "view", str(e)
    return outcome, TrackOutput()


def _reuse_or_make(item: Item, settings: PrepareSettings, outcome: TrackOutcome) -> TrackOutput:
    if item.kept is not None and item.kept.sha256 == outcome.sha256:
        output = _reuse(item, item.kept, settings)
        outcome.duration_s = item.kept.duration_s
    else:
        outcome.duration_s = round(audio_clips.probe(item.path).duration_s, 6)
        output = _make_track(item, settings)
    names = [name for name, _ in output.records]
    outcome.n_records = {v.name: names.count(v.name) for v in settings.views if v.name not in PARQUET_VIEWS}
    return output


def _reuse(item: Item, kept: ReusableTrack, settings: PrepareSettings) -> TrackOutput:
    encoded = [(name, _renumber_record(span, item.index)) for name, spans in kept.spans.items() for span in spans]
    prints = _make_track(item, settings, of=()).fingerprints if kept.fingerprints is None else kept.fingerprints
    return TrackOutput(encoded, kept.rows, prints)


def _make_track(item: Item, settings: PrepareSettings, of: tuple[View, ...] | None = None) -> TrackOutput:
    """Everything that is made of a track, whose clips are decoded once; `of`: only these views."""
    path, output, sha256 = Path(item.path), TrackOutput(), _audio_sha256(Path(item.path))
    for clip in audio_clips.read_clips(path, settings.clips):
        found = views.compute_all(settings.views if of is None else of, clip.y, clip.sr, start_s=clip.start_s)
        for name, window in ((name, w) for name, windows in found.items() for w in windows):
            if name in PARQUET_VIEWS:
                output.rows.append((window.start_s, window.x))
            else:
                record = tfrecord.Record(item.index, window.start_s, window.x.tobytes())
                output.records.append((name, tfrecord.encode(record)))
        output.fingerprints.append((clip.start_s, sha256, pack(landmarks(clip.y, clip.sr))))
    return output


def _renumber_record(span: tuple[str, int, int], index: int) -> bytes:
    """The record at (file, offset, length) with its track's new index."""
    name, offset, length = span
    with Path(name).open("rb") as f:
        f.seek(offset)
        record = tfrecord.decode(f.read(length)[12:-4])
    return tfrecord.encode(tfrecord.Record(index, record.start_s, record.x))


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


def _audio_sha256(path: Path) -> str:
    try:
        return sha256_of_audio(path)
    except OSError as e:
        raise DecodeError(path, e.strerror or str(e), stage="read") from e


def _file_stamp(path: Path) -> FileStamp:
    try:
        s = path.stat()
    except OSError:
        return (str(path), 0, 0, 0, 0)
    return (str(path), s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)


def _replace_folder(temporary: Path, final: Path) -> None:
    if final.exists():
        shutil.rmtree(final)
    temporary.rename(final)


def plan(items: list[Item], work: Path, settings: PrepareSettings, *, tracks: int) -> list[Piece]:
    """Pieces of `tracks` tracks, never across the border of a shard."""
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
