"""Measures the speed of this machine: each stage, the slowest one, and estimates for whole datasets.

Stages are measured one by one, in CPU time of one core. The time of a preparation is not their sum: it is estimated
from preparations of two samples (`rehearsal.py`), as large as the time allows.
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
from genrelab.bench.training import EPOCH_RANGE, TrainingCost
from genrelab.core.config import PrepareSettings
from genrelab.core.errors import DatasetError, SettingsError, printable
from genrelab.core.processes import available_cores
from genrelab.core.progress import Notify, ignore
from genrelab.core.text import pluralize
from genrelab.datasets.base import Dataset
from genrelab.doctor.machine import MIN_MEMORY, free_memory
from genrelab.prepare.work_unit import PIECE_TRACKS

SYNTHESISED_TRACKS, MEASURED_TRACKS = 4, 6
MAX_ROUNDS = 5
"""Maximum ratio between the sizes of the larger and the smaller sample."""

TRAINING_SHARE = 0.55
"""Share of the total time for the networks; on a busy machine half of it is spent on starting TensorFlow."""

SLOW_TRACK_S = 1.0
"""Below this cost of a track, whole pieces are made even if that takes longer than the time allowed."""

MIN_SECONDS = 5.0


@dataclass(frozen=True)
class Stage:
    """Cost of a track in one stage; `share` of the CPU time of `prepare`, None for a stage outside it."""

    name: str
    ms: float
    mb_s: float | None
    share: float | None


@dataclass(frozen=True)
class Bench:
    """All measurements and the estimates made from them.

    Attributes:
        source: kind of the dataset, or `synthesised`.
        slowest: slowest stage of `prepare`.
        busy: share of the cores used by other programs meanwhile.
        epochs: fewest and most epochs of a training.
        free_bytes: on the disk of the current folder.
        failed: `path: error` of each file that could not be used; these are left out of all means.
        measured, rehearsed: number of tracks that the stages were measured on, and of the larger sample.
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
    measured: int
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
    preload: tuple[str, ...] = (),
    notify: Notify = ignore,
) -> Bench:
    """Measure for about `seconds` seconds in total.

    Args:
        dataset: tracks to measure on; None: synthesised music in the format of FMA's clips.
        models: the networks among them are measured, too.
        jobs: worker processes of the preparation; None: the recommended number.
        tracks: number of tracks to estimate for, besides FMA's; None: that of the dataset.
        find_s: seconds that listing the dataset took.
        preload: modules that the command `prepare` imports: they are part of its time.

    Raises:
        SettingsError: too little time, or invalid numbers.
        DatasetError: no track can be used.
    """
    if seconds < MIN_SECONDS or (jobs or 1) < 1 or (tracks or 1) < 1:
        raise SettingsError(f"--seconds must be {MIN_SECONDS:g} or more, --jobs and --tracks 1 or more")
    end = time.perf_counter() + seconds
    with tempfile.TemporaryDirectory(prefix="genrelab-bench-") as folder:
        made = bench_sample.synthesise_clips(Path(folder), SYNTHESISED_TRACKS if dataset is None else 2)
        sample = made if dataset is None else bench_sample.usable(dataset)
        notify("  measuring each stage")
        costs, failed = _measure_stages(sample, settings, seconds=0.15 * seconds)
        fma_costs = costs if dataset is None else _measure_stages(made, settings, seconds=0.1 * seconds)[0]
        jobs = jobs or recommended_jobs()
        notify(f"  preparing a sample with {pluralize(jobs, 'worker')}")
        small, large = _rehearse_twice(sample, settings, jobs, costs, end - TRAINING_SHARE * seconds, preload)
    notify("  training the networks")
    trained = bench_training.measure_training(
        models, seconds=max(end - time.perf_counter(), TRAINING_SHARE * seconds), more_s=math.ceil(2 * seconds)
    )
    find_track_s = find_s / len(dataset.tracks) if dataset is not None else 0.0
    forecast = rehearsal.forecast(small, large, jobs, find_track_s=find_track_s)
    n = tracks or (len(sample.tracks) if dataset is not None else None)
    named = None if n is None else (sample.root.name or sample.name, n)
    stages = _mean_stages(costs)
    slowest = max((s for s in stages if s.share is not None), key=lambda s: s.ms)
    cores_used = forecast.cpu_track_s * jobs / (forecast.track_s * min(jobs, available_cores()))
    return Bench(
        sample.name, tuple(v.name for v in settings.views), stages, slowest.name, max(0.0, 1 - cores_used), forecast,
        trained, EPOCH_RANGE, forecast_datasets(named, costs, fma_costs, forecast, trained),
        disk_usage(Path.cwd()).free, tuple(dict.fromkeys([*failed, *small.failed, *large.failed])), len(costs),
        large.tracks,
    )  # fmt: skip


def recommended_jobs() -> int:
    """One worker per core, or fewer if there is little memory."""
    memory = free_memory()
    return available_cores() if memory is None else max(1, min(available_cores(), memory // MIN_MEMORY))


def _measure_stages(
    dataset: Dataset, settings: PrepareSettings, *, seconds: float
) -> tuple[list[TrackCost], list[str]]:
    """Costs of sampled tracks, and `path: error` of those that cannot be used."""
    chosen = bench_sample.sample_evenly(dataset, min(MEASURED_TRACKS, len(dataset.tracks)))
    paths = [str(dataset.root / str(t.path)) for t in chosen.tracks]
    measured = list(measure_tracks(paths, settings, seconds=seconds))
    costs = [cost for _, cost in measured if cost.error is None]
    failed = [f"{path}: {cost.error}" for path, cost in measured if cost.error is not None]
    if not costs:
        raise DatasetError(f"none of the tracks can be used; the first error: {printable(failed[0])}")
    return costs, failed


def _rehearse_twice(
    sample: Dataset, settings: PrepareSettings, jobs: int, costs: list[TrackCost], end: float, preload: tuple[str, ...]
) -> tuple[Rehearsal, Rehearsal]:
    """Prepare two samples: at most two pieces a worker, then as many as the time allows."""
    track_s = fmean(prepare_s(cost) for cost in costs) * max(1.0, jobs / available_cores())
    most = int((end - time.perf_counter()) / track_s / 2)
    n = 2 * PIECE_TRACKS * jobs if most >= 2 * PIECE_TRACKS or track_s < SLOW_TRACK_S else max(2, most)
    small = rehearsal.rehearse(bench_sample.sample_evenly(sample, n), settings, jobs, preload=preload)
    left = end - time.perf_counter() - (small.total_s - small.making_s)
    rounds = min(MAX_ROUNDS, max(2, int(left / max(small.making_s, 1e-3))))
    first = frozenset(t.track_id for t in bench_sample.sample_evenly(sample, n).tracks)
    return small, rehearsal.rehearse(
        bench_sample.sample_evenly(sample, rounds * n, but=first), settings, jobs, preload=preload
    )


def _mean_stages(costs: list[TrackCost]) -> tuple[Stage, ...]:
    """Means over the tracks, in the order in which a track passes the stages."""
    names = list(dict.fromkeys(name for cost in costs for name in cost.seconds))
    names.sort(key=lambda name: (name in OUTSIDE_PREPARE, name == WRITE))
    total_s, stages = sum(map(prepare_s, costs)), []
    for name in names:
        spent = sum(cost.seconds.get(name, 0.0) for cost in costs)
        n_bytes = {DECODE: sum(cost.file_bytes for cost in costs)}
        n_bytes |= dict.fromkeys((WRITE, READ), sum(sum(cost.n_bytes.values()) for cost in costs))
        mb_s = n_bytes[name] / spent / 1e6 if name in n_bytes and spent else None
        stages.append(
            Stage(name, 1000 * spent / len(costs), mb_s, None if name in OUTSIDE_PREPARE else spent / total_s)
        )
    return tuple(stages)
