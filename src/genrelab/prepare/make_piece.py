"""Makes one piece of a preparation in a worker: decodes a few tracks once each and computes every view."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.audio.content_hash import sha256_of_audio
from genrelab.audio.files import why_unreadable
from genrelab.core.config import PARQUET_VIEWS, PrepareSettings, View
from genrelab.core.errors import DecodeError, SettingsError
from genrelab.core.processes import DECODER_CRASHED
from genrelab.features import views
from genrelab.features.fingerprint import landmarks, pack
from genrelab.prepare.work_unit import (
    PACKED_FINGERPRINTS_FILE,
    ROWS_FILE,
    Item,
    PackedFingerprint,
    Piece,
    ReusableTrack,
    TrackOutcome,
    file_sha256,
    file_sizes,
    file_stamp,
    records_file,
)
from genrelab.records import tfrecord


@dataclass
class TrackOutput:
    """Data made of one track: encoded records by view, rows of `features.parquet`, fingerprints."""

    records: list[tuple[str, bytes]] = field(default_factory=list)
    rows: list[tuple[float, NDArray[np.float32]]] = field(default_factory=list)
    fingerprints: list[PackedFingerprint] = field(default_factory=list)


def make_piece(piece: Piece) -> float:
    """Make a piece, and return the seconds that it took. Runs in a worker process."""
    started = time.perf_counter()
    piece.marker.unlink(missing_ok=True)  # left where a worker was killed
    temporary = Path(piece.work) / f".{piece.name}.{uuid.uuid4().hex[:8]}.tmp"
    temporary.mkdir(parents=True)
    outcomes: list[TrackOutcome] = []
    rows: list[tuple[int, float, NDArray[np.float32]]] = []
    fingerprints: list[tuple[int, PackedFingerprint]] = []
    in_shards = [v.name for v in piece.settings.views if v.name not in PARQUET_VIEWS]
    with ExitStack() as stack:
        files = {name: stack.enter_context((temporary / records_file(name)).open("wb")) for name in in_shards}
        for item in piece.items:
            piece.marker.write_text(str(item.index))
            outcome, output = _process_track(item, piece)
            outcomes.append(outcome)
            rows += [(item.index, start, values) for start, values in output.rows]
            fingerprints += [(item.index, mark) for mark in output.fingerprints]
            for name, content in output.records:
                files[name].write(content)
    np.save(temporary / ROWS_FILE, np.array([v for _, _, v in rows], np.float32))
    (temporary / PACKED_FINGERPRINTS_FILE).write_bytes(b"".join(marks for _, (_, _, marks) in fingerprints))
    about = {
        "outcomes": [asdict(o) for o in outcomes],
        "rows": [[i, s] for i, s, _ in rows],
        "prints": [[i, start, sha, len(marks)] for i, (start, sha, marks) in fingerprints],
        "files": file_sizes(temporary),
    }
    (temporary / "piece.json").write_text(json.dumps(about))
    if piece.folder.exists():
        shutil.rmtree(piece.folder)
    temporary.rename(piece.folder)
    piece.marker.unlink(missing_ok=True)
    return time.perf_counter() - started


def _process_track(item: Item, piece: Piece) -> tuple[TrackOutcome, TrackOutput]:
    path = Path(item.path)
    outcome = TrackOutcome(item.index, "ok", stamp=file_stamp(path))
    try:
        if not path.exists():
            outcome.status, outcome.stage, outcome.error = "missing", "find", why_unreadable(path)
        elif item.problem is not None:
            outcome.status, outcome.stage, outcome.error = "failed", "label", item.problem
        else:
            outcome.sha256 = file_sha256(path)
            if item.index in piece.crashed:
                raise DecodeError(path, DECODER_CRASHED)
            return outcome, _reuse_or_make(item, piece.settings, outcome)
    except DecodeError as e:
        outcome.status, outcome.stage, outcome.error = "failed", e.stage, e.reason
    except SettingsError as e:  # a view that is impossible for this clip, such as FMA's statistics at 8 kHz
        outcome.status, outcome.stage, outcome.error = "failed", "view", str(e)
    return outcome, TrackOutput()


def _reuse_or_make(item: Item, settings: PrepareSettings, outcome: TrackOutcome) -> TrackOutput:
    if item.kept is not None and item.kept.sha256 == outcome.sha256:
        output = _reuse(item, item.kept, settings)
        outcome.duration_s = item.kept.duration_s
    else:
        outcome.duration_s = round(audio_clips.probe(item.path).duration_s, 6)
        output = _make_track(item, settings)
    for name in (v.name for v in settings.views if v.name not in PARQUET_VIEWS):
        sizes = [len(content) for view, content in output.records if view == name]
        outcome.n_records[name], outcome.n_bytes[name] = len(sizes), sum(sizes)
    return output


def _reuse(item: Item, kept: ReusableTrack, settings: PrepareSettings) -> TrackOutput:
    encoded = [(name, _renumber_record(span, item.index)) for name, spans in kept.spans.items() for span in spans]
    prints = _make_track(item, settings, of=()).fingerprints if kept.fingerprints is None else kept.fingerprints
    return TrackOutput(encoded, kept.rows, prints)


def _make_track(item: Item, settings: PrepareSettings, of: tuple[View, ...] | None = None) -> TrackOutput:
    """Decode the clips of a track once and compute its views; `of`: only these."""
    path, output, sha256 = Path(item.path), TrackOutput(), _audio_sha256(Path(item.path))
    for clip in audio_clips.read_clips(path, settings.clips):
        wanted = settings.views if of is None else of
        found = views.compute_all(wanted, clip.y, clip.sr, start_s=clip.start_s)
        if parts := [found.pop(view.name) for view in views.table_views(wanted)]:  # each is one window: the clip
            output.rows.append((clip.start_s, np.concatenate([part[0].x for part in parts])))
        for name, window in ((name, w) for name, windows in found.items() for w in windows):
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


def _audio_sha256(path: Path) -> str:
    try:
        return sha256_of_audio(path)
    except OSError as e:
        raise DecodeError(path, e.strerror or str(e), stage="read") from e
