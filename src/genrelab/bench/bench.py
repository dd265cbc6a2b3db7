"""What genrelab takes on this machine: each stage, the slowest, and what follows for whole data sets.

Stages are measured one by one, in CPU time of one core. What a preparation takes is not their sum: it is rehearsed
(`bench_rehearsal.py`), with its workers, on as many tracks as the time allows.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from statistics import fmean

from genrelab.bench import rehearsal
from genrelab.bench import sample as bench_sample
from genrelab.bench import training as bench_training
from genrelab.bench.datasets import DatasetForecast, forecast_datasets, prepare_s
from genrelab.bench.rehearsal import Forecast, Rehearsal
from genrelab.bench.stages import DECODE, OUTSIDE_PREPARE, READ, WRITE, TrackCost, measure_tracks
from genrelab.bench.training import TrainingCost
from genrelab.core.config import PrepareSettings, TrainSettings
from genrelab.core.errors import DatasetError, SettingsError, printable
from genrelab.core.processes import available_cores
from genrelab.core.progress import Notify, ignore
from genrelab.datasets.base import Dataset
from genrelab.doctor.machine import MIN_MEMORY, free_memory
from genrelab.prepare.work_unit import PIECE_TRACKS

SYNTHESISED_TRACKS, MEASURED_TRACKS = 4, 6
MAX_ROUNDS = 5
"""How many times as large the larger rehearsal may be."""

TRAINING_SHARE = 0.55
"""Of the time in all, kept for the networks: half of that TensorFlow takes to start on a busy machine."""

SLOW_TRACK_S = 1.0
"""Below it a track is cheap enough for whole pieces, even if the time is over before they are made."""

MIN_SECONDS = 5.0


@dataclass(frozen=True)
class Stage:
    """What a track costs in one stage; `share`: of the CPU time of `prepare`, None for what is no part of it."""

    name: str
    ms: float
    mb_s: float | None
    share: float | None


@dataclass(frozen=True)
class Bench:
    """All that was measured, and what follows.

    Attributes:
        source: kind of the dataset, or `synthesised`.
        slowest: stage of `prepare`.
        busy: share of the cores that other programs took from the rehearsals.
        epochs: fewest and most of a training.
        free_bytes: on the disk of the current folder.
        failed: `path: why` of what could not be used; left out of all means.
        heard, rehearsed: tracks behind the stages, and behind the larger rehearsal.
    """

    source: str
    views: tuple[str, ...]
    stages: tuple[Stage, ...]
    slowest: str
    busy: float
    forecast: Forecast
    trained: TrainingCost
    epochs: tuple[int, int]
    amounts: tuple[DatasetForecast, ...]
    free_bytes: int
    failed: tuple[str, ...]
    heard: int
    rehearsed: int


def bench(
    dataset: Dataset | None,
    settings: PrepareSettings,
    *,
    models: Iterable[str],
    jobs: int | None = None,
    tracks: int | None = None,
    seconds: float = 60.0,
    find_s: float = 0.0,
    preload: Iterable[str] = (),
    notify: Notify = ignore,
) -> Bench:
    """Measure for about so many seconds in all.

    Args:
        dataset: tracks to measure on; None: music that is synthesised as FMA's clips are.
        models: those whose networks are measured, too.
        jobs: worker processes of the preparation; None: as many as recommended.
        tracks: a number to predict for besides FMA's; None: that of the dataset.
        find_s: what it took to look the dataset through.
        preload: modules that the command `prepare` imports: they are part of the time that it takes.

    Raises:
        SettingsError: too little time, or numbers that cannot be.
        DatasetError: no track can be used.
    """
    if seconds < MIN_SECONDS or (jobs or 1) < 1 or (tracks or 1) < 1:
        raise SettingsError(f"--seconds must be {MIN_SECONDS:g} or more, --jobs and --tracks 1 or more")
    end = time.perf_counter() + seconds
    with tempfile.TemporaryDirectory(prefix="genrelab-bench-") as folder:
        sample = (
            _synthesised(Path(folder), SYNTHESISED_TRACKS, notify) if dataset is None else bench_sample.usable(dataset)
        )
        notify("each stage by itself")
        heard, failed = like_fma, _ = _measure_stages(sample, settings, seconds=0.15 * seconds)
        if dataset is not None:
            like_fma, _ = _measure_stages(_synthesised(Path(folder), 2, notify), settings, seconds=0.1 * seconds)
        jobs = jobs or recommended_jobs()
        notify(f"prepare, rehearsed with {jobs} workers")
        small, large = _rehearse_twice(sample, settings, jobs, heard, end - TRAINING_SHARE * seconds, tuple(preload))
    notify("training of the networks")
    trained = bench_training.measure_training(
        models, seconds=max(end - time.perf_counter(), TRAINING_SHARE * seconds), more_s=math.ceil(2 * seconds)
    )
    forecast = rehearsal.forecast(
        small, large, jobs, find_track_s=find_s / len(dataset.tracks) if dataset is not None else 0.0
    )
    n = tracks or (len(sample.tracks) if dataset is not None else None)
    failed += [*small.failed, *large.failed]
    return _summarise(sample, settings, heard, like_fma, forecast, trained, large, n, failed)


def _synthesised(folder: Path, n: int, notify: Notify) -> Dataset:
    notify("synthesising clips as FMA has them")
    return bench_sample.synthesise_clips(folder, n)


def recommended_jobs() -> int:
    """A worker a core, as far as the memory goes."""
    memory = free_memory()
    return available_cores() if memory is None else max(1, min(available_cores(), memory // MIN_MEMORY))


def _measure_stages(
    dataset: Dataset, settings: PrepareSettings, *, seconds: float
) -> tuple[list[TrackCost], list[str]]:
    """What tracks cost, and `path: why` of those that cannot be used."""
    chosen = bench_sample.sample_evenly(dataset, min(MEASURED_TRACKS, len(dataset.tracks)))
    paths = [str(dataset.root / str(t.path)) for t in chosen.tracks]
    found = list(measure_tracks(paths, settings, seconds=seconds))
    good = [heard for _, heard in found if heard.error is None]
    failed = [f"{path}: {heard.error}" for path, heard in found if heard.error is not None]
    if not good:
        raise DatasetError(f"none of {len(failed)} tracks can be used; {printable(failed[0])}")
    return good, failed


def _rehearse_twice(
    sample: Dataset, settings: PrepareSettings, jobs: int, heard: list[TrackCost], end: float, preload: tuple[str, ...]
) -> tuple[Rehearsal, Rehearsal]:
    """One in which each worker makes two pieces or less, and one in which it makes as many as the time allows."""
    track_s = fmean(prepare_s(h) for h in heard) * max(1.0, jobs / available_cores())
    most = int((end - time.perf_counter()) / track_s / 2)
    n = 2 * PIECE_TRACKS * jobs if most >= 2 * PIECE_TRACKS or track_s < SLOW_TRACK_S else max(2, most)
    small = rehearsal.rehearse(bench_sample.sample_evenly(sample, n), settings, jobs, preload=preload)
    left = end - time.perf_counter() - (small.total_s - small.making_s)
    rounds = min(MAX_ROUNDS, max(2, int(left / max(small.making_s, 1e-3))))
    first = frozenset(t.track_id for t in bench_sample.sample_evenly(sample, n).tracks)
    return small, rehearsal.rehearse(
        bench_sample.sample_evenly(sample, rounds * n, but=first), settings, jobs, preload=preload
    )


def _summarise(
    sample: Dataset, settings: PrepareSettings, heard: list[TrackCost], like_fma: list[TrackCost], forecast: Forecast,
    trained: TrainingCost, large: Rehearsal, tracks: int | None, failed: list[str],
) -> Bench:  # fmt: skip
    stages = _stages(heard)
    in_prepare = [s for s in stages if s.share is not None]
    training = TrainSettings()
    epochs = (training.patience + 1, training.epochs)
    named = None if tracks is None else (sample.root.name or sample.name, tracks)
    found = forecast_datasets(named, heard, like_fma, forecast, trained, epochs)
    had = forecast.cpu_track_s * forecast.jobs / (forecast.track_s * min(forecast.jobs, available_cores()))
    return Bench(
        sample.name, tuple(v.name for v in settings.views), stages, max(in_prepare, key=lambda s: s.ms).name,
        max(0.0, 1 - had), forecast, trained, epochs, found, disk_usage(Path.cwd()).free,
        tuple(dict.fromkeys(failed)), len(heard), large.tracks,
    )  # fmt: skip


def _stages(heard: list[TrackCost]) -> tuple[Stage, ...]:
    """Means over the tracks, in the order of a track's way."""
    names = list(dict.fromkeys(name for h in heard for name in h.seconds))
    names.sort(key=lambda name: (name in OUTSIDE_PREPARE, name == WRITE))
    in_all, found = sum(map(prepare_s, heard)), []
    for name in names:
        spent = sum(h.seconds.get(name, 0.0) for h in heard)
        n_bytes = {DECODE: sum(h.file_bytes for h in heard)}
        n_bytes |= dict.fromkeys((WRITE, READ), sum(sum(h.n_bytes.values()) for h in heard))
        mb_s = n_bytes[name] / spent / 1e6 if name in n_bytes and spent else None
        found.append(Stage(name, 1000 * spent / len(heard), mb_s, None if name in OUTSIDE_PREPARE else spent / in_all))
    return tuple(found)
