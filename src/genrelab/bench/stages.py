"""What each stage of a track's way costs: CPU time of one core, in a worker process as `prepare` has them."""

from __future__ import annotations

import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from genrelab.audio import clips as audio_clips
from genrelab.audio.content_hash import sha256_of_audio
from genrelab.core.config import FIRST_CLIP_VIEWS, PARQUET_VIEWS, PrepareSettings, StatisticsView, View
from genrelab.core.errors import DecodeError, GenrelabError
from genrelab.core.processes import DECODER_CRASHED
from genrelab.core.worker_pool import map_in_processes
from genrelab.features import views
from genrelab.features.fingerprint import landmarks, pack
from genrelab.prepare import work_unit
from genrelab.records import tfrecord

DECODE, RESAMPLE, FINGERPRINT = "decode", "resample", "hash and fingerprint"
WRITE, READ, PREDICT = "record write", "record read", "predict with the starter model"
"""Stages besides the views, which go by their names."""

OUTSIDE_PREPARE = (READ, PREDICT)
"""Stages that are no part of `prepare`."""


@dataclass(frozen=True)
class StageJob:
    """A track to be measured; crosses process borders."""

    path: str
    settings: PrepareSettings


@dataclass(frozen=True)
class TrackCost:
    """What one track costs.

    Attributes:
        seconds: of CPU, by stage.
        n_bytes: of the arrays that are kept of it, by view.
        clips: stretches of the track that are looked at.
        file_bytes: of its file.
        error: why nothing is measured.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    n_bytes: dict[str, int] = field(default_factory=dict)
    clips: int = 0
    file_bytes: int = 0
    error: str | None = None


def measure_tracks(paths: list[str], settings: PrepareSettings, *, seconds: float) -> Iterator[tuple[str, TrackCost]]:
    """Measure files, one after the other, until they are done or the time is over; at least one is measured.

    The first one is heard twice: filter banks and kernels are built once in a worker's life.
    """
    orders = [StageJob(path, settings) for path in paths[:1] + paths]
    end = time.perf_counter() + seconds
    for place, heard in map_in_processes(measure_track, orders, jobs=1):
        if place:
            yield orders[place].path, heard or TrackCost(error=DECODER_CRASHED)
            if time.perf_counter() > end:
                return


def measure_track(order: StageJob) -> TrackCost:
    """Take one track through every stage. Runs in a worker process."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _measure(Path(order.path), order.settings, Path(folder) / "records")
    except DecodeError as e:
        return TrackCost(error=e.reason)
    except (GenrelabError, OSError) as e:
        return TrackCost(error=str(e))


class Clock:
    """CPU seconds of this process, by stage."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        """What happens in the block counts for this stage."""
        began = time.process_time()
        try:
            yield
        finally:
            self.spent[stage] = self.spent.get(stage, 0.0) + time.process_time() - began


def _measure(path: Path, settings: PrepareSettings, scratch: Path) -> TrackCost:
    clock, n_clips, n_bytes = Clock(), 0, Counter[str]()
    with clock.on(FINGERPRINT):
        work_unit.file_sha256(path), sha256_of_audio(path)
    stretches = audio_clips.read_clips(path, settings.clips)
    while True:
        with clock.on(DECODE):
            clip = next(stretches, None)
        if clip is None:
            break
        n_clips += 1
        for name, payload in _windows(clip, settings, clock):
            n_bytes[name] += len(payload)
            if name not in PARQUET_VIEWS:
                with clock.on(WRITE), scratch.open("ab") as f:
                    f.write(tfrecord.encode(tfrecord.Record(0, clip.start_s, payload)))
        with clock.on(FINGERPRINT):
            pack(landmarks(clip.y, clip.sr))
    if scratch.exists():
        with clock.on(READ):
            deque(tfrecord.read_records(scratch), maxlen=0)
    model = _model()
    with clock.on(PREDICT):
        model.predict(path)
    return TrackCost(clock.spent, dict(n_bytes), n_clips, path.stat().st_size)


def _windows(clip: audio_clips.Clip, settings: PrepareSettings, clock: Clock) -> Iterator[tuple[str, bytes]]:
    """View and payload of each window of a clip, each view's time by itself."""
    at_rate = {clip.sr: clip.y}
    for view in settings.views:
        if clip.start_s > 0 and view.name in FIRST_CLIP_VIEWS:
            continue
        rate = _rate(view, clip.sr)
        if rate not in at_rate:
            with clock.on(RESAMPLE):
                at_rate[rate] = audio_clips.resample(clip.y, clip.sr, rate)
        with clock.on(view.name):
            found = views.compute(view, at_rate[rate], rate, start_s=clip.start_s)
        for window in found:
            yield view.name, window.x.tobytes()


def _rate(view: View, sr: int) -> int:
    """At which a view is computed of a clip at `sr`."""
    if isinstance(view, StatisticsView) and view.fma_exact:
        return max(sr, view.sr)
    return int(getattr(view, "sr", sr))


@cache
def _model() -> Any:
    from genrelab.bundle import bundle as bundles
    from genrelab.predict.classifier import load_bundle

    bundles.THREADS = 1
    return load_bundle()
