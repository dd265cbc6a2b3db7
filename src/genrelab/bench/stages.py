"""Measures the stages of preparing a track: CPU time of one core, in a worker process as in `prepare`."""

from __future__ import annotations

import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from genrelab.audio import clips as audio_clips
from genrelab.audio.content_hash import sha256_of_audio
from genrelab.core.config import FIRST_CLIP_VIEWS, PARQUET_VIEWS, PrepareSettings
from genrelab.core.errors import DecodeError, GenrelabError
from genrelab.core.processes import DECODER_CRASHED
from genrelab.core.worker_pool import map_in_processes
from genrelab.features import views
from genrelab.features.fingerprint import landmarks, pack
from genrelab.prepare import work_unit
from genrelab.records import tfrecord

DECODE, RESAMPLE, FINGERPRINT = "decode", "resample", "hash and fingerprint"
WRITE, READ, PREDICT = "record write", "record read", "predict with the starter model"
"""Stages besides the views, whose stages have the views' names."""

OUTSIDE_PREPARE = (READ, PREDICT)
"""Stages that are not part of `prepare`."""


@dataclass(frozen=True)
class TrackCost:
    """Cost of one track.

    Attributes:
        seconds: CPU seconds by stage.
        n_bytes: size of the stored arrays, by view.
        clips: number of clips taken from the track.
        file_bytes: size of its file.
        error: why nothing was measured; None if it was.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    n_bytes: dict[str, int] = field(default_factory=dict)
    clips: int = 0
    file_bytes: int = 0
    error: str | None = None


def measure_tracks(paths: list[str], settings: PrepareSettings, *, seconds: float) -> Iterator[tuple[str, TrackCost]]:
    """Measure files one after the other until `seconds` are over; at least one is measured.

    The first file is measured twice, and its first result dropped: a worker builds filter banks and kernels once.
    """
    repeated = paths[:1] + paths
    end = time.perf_counter() + seconds
    for index, cost in map_in_processes(partial(measure_track, settings), repeated, jobs=1):
        if index:
            yield repeated[index], cost or TrackCost(error=DECODER_CRASHED)
            if time.perf_counter() > end:
                return


def measure_track(settings: PrepareSettings, path: str) -> TrackCost:
    """Measure every stage of one track. Runs in a worker process."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _measure(Path(path), settings, Path(folder) / "records")
    except DecodeError as e:
        return TrackCost(error=e.reason)
    except (GenrelabError, OSError) as e:
        return TrackCost(error=str(e))


@contextmanager
def _timed(stage: str, spent: dict[str, float]) -> Iterator[None]:
    """Add the CPU time of the block to the `spent` seconds of a stage."""
    start = time.process_time()
    try:
        yield
    finally:
        spent[stage] = spent.get(stage, 0.0) + time.process_time() - start


def _measure(path: Path, settings: PrepareSettings, scratch: Path) -> TrackCost:
    spent, n_clips, n_bytes = dict[str, float](), 0, Counter[str]()
    with _timed(FINGERPRINT, spent):
        work_unit.file_sha256(path), sha256_of_audio(path)
    clips = audio_clips.read_clips(path, settings.clips)
    while True:
        with _timed(DECODE, spent):
            clip = next(clips, None)
        if clip is None:
            break
        n_clips += 1
        for name, payload in _windows(clip, settings, spent):
            n_bytes[name] += len(payload)
            if name not in PARQUET_VIEWS:
                with _timed(WRITE, spent), scratch.open("ab") as f:
                    f.write(tfrecord.encode(tfrecord.Record(0, clip.start_s, payload)))
        with _timed(FINGERPRINT, spent):
            pack(landmarks(clip.y, clip.sr))
    if scratch.exists():
        with _timed(READ, spent):
            deque(tfrecord.read_records(scratch), maxlen=0)
    model = _starter_model()
    with _timed(PREDICT, spent):
        model.predict(path)
    return TrackCost(spent, dict(n_bytes), n_clips, path.stat().st_size)


def _windows(clip: audio_clips.Clip, settings: PrepareSettings, spent: dict[str, float]) -> Iterator[tuple[str, bytes]]:
    """View and payload of each window of a clip; each view is timed separately."""
    at_rate = {clip.sr: clip.y}
    for view in settings.views:
        if clip.start_s > 0 and view.name in FIRST_CLIP_VIEWS:
            continue
        rate = views.target_rate(view, clip.sr)
        if rate not in at_rate:
            with _timed(RESAMPLE, spent):
                at_rate[rate] = audio_clips.resample(clip.y, clip.sr, rate)
        with _timed(view.name, spent):
            windows = views.compute(view, at_rate[rate], rate, start_s=clip.start_s)
        for window in windows:
            yield view.name, window.x.tobytes()


@cache
def _starter_model() -> Any:
    from genrelab.bundle import bundle as bundles
    from genrelab.predict.classifier import load_bundle

    bundles.THREADS = 1
    return load_bundle()
