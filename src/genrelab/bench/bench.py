"""Measure what genrelab costs on this machine: each stage, the slowest one, and predictions for whole data sets.

Stages are measured one by one, in CPU time of one core. The time of a preparation is not their sum: it is rehearsed
(`rehearsal.py`), with its workers, on as many tracks as the time allows.
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
"""Largest ratio between the sizes of the larger and the smaller rehearsal."""

TRAINING_SHARE = 0.55
"""Share of the total time kept for the networks: on a busy machine half of that goes to starting TensorFlow."""

SLOW_TRACK_S = 1.0
"""Below this cost of a track, whole pieces are made even if the time runs out before they are done."""

MIN_SECONDS = 5.0


@dataclass(frozen=True)
class Stage:
    """Cost of a track in one stage; `share`: of the CPU time of `prepare`, None for a stage outside it."""

    name: str
    ms: float
    mb_s: float | None
    share: float | None


@dataclass(frozen=True)
class Bench:
    """All measurements and the predictions from them.

    Attributes:
        source: kind of the dataset, or `synthesised`.
        slowest: slowest stage of `prepare`.
        busy: share of the cores that other programs took from the rehearsals.
        epochs: fewest and most epochs of a training.
        free_bytes: on the disk of the current folder.
        failed: `path: why` of each file that could not be used; these are left out of all means.
        heard, rehearsed: number of tracks that the stages, and the larger rehearsal, were measured on.
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
    preload: tuple[str, ...] = (),
    notify: Notify = ignore,
) -> Bench:
    """Measure for about `seconds` seconds in total.

    Args:
        dataset: tracks to measure on; None: synthesised music in the format of FMA's clips.
        models: the networks among them are measured, too.
        jobs: worker processes of the preparation; None: the recommended number.
        tracks: a number of tracks to predict for besides FMA's; None: that of the dataset.
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
        sample = (
            _synthesise_sample(Path(folder), SYNTHESISED_TRACKS, notify)
            if dataset is None
            else bench_sample.usable(dataset)
        )
        notify("each stage by itself")
        costs, failed = fma_costs, _ = _measure_stages(sample, settings, seconds=0.15 * seconds)
        if dataset is not None:
            fma_costs, _ = _measure_stages(_synthesise_sample(Path(folder), 2, notify), settings, seconds=0.1 * seconds)
        jobs = jobs or recommended_jobs()
        notify(f"prepare, rehearsed with {jobs} workers")
        small, large = _rehearse_twice(sample, settings, jobs, costs, end - TRAINING_SHARE * seconds, preload)
    notify("training of the networks")
    trained = bench_training.measure_training(
        models, seconds=max(end - time.perf_counter(), TRAINING_SHARE * seconds), more_s=math.ceil(2 * seconds)
    )
    forecast = rehearsal.forecast(
        small, large, jobs, find_track_s=find_s / len(dataset.tracks) if dataset is not None else 0.0
    )
    n = tracks or (len(sample.tracks) if dataset is not None else None)
    failed += [*small.failed, *large.failed]
    return _summarise(sample, settings, costs, fma_costs, forecast, trained, large, n, failed)


def _synthesise_sample(folder: Path, n: int, notify: Notify) -> Dataset:
    notify("synthesising clips as FMA has them")
    return bench_sample.synthesise_clips(folder, n)


def recommended_jobs() -> int:
    """One worker per core, as far as the memory allows."""
    memory = free_memory()
    return available_cores() if memory is None else max(1, min(available_cores(), memory // MIN_MEMORY))


def _measure_stages(
    dataset: Dataset, settings: PrepareSettings, *, seconds: float
) -> tuple[list[TrackCost], list[str]]:
    """Costs of sampled tracks, and `path: why` of those that cannot be used."""
    chosen = bench_sample.sample_evenly(dataset, min(MEASURED_TRACKS, len(dataset.tracks)))
    paths = [str(dataset.root / str(t.path)) for t in chosen.tracks]
    measured = list(measure_tracks(paths, settings, seconds=seconds))
    costs = [cost for _, cost in measured if cost.error is None]
    failed = [f"{path}: {cost.error}" for path, cost in measured if cost.error is not None]
    if not costs:
        raise DatasetError(f"none of {len(failed)} tracks can be used; {printable(failed[0])}")
    return costs, failed


def _rehearse_twice(
    sample: Dataset, settings: PrepareSettings, jobs: int, costs: list[TrackCost], end: float, preload: tuple[str, ...]
) -> tuple[Rehearsal, Rehearsal]:
    """Two rehearsals: in the first each worker makes two pieces or fewer, in the second as many as the time allows."""
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


def _summarise(
    sample: Dataset, settings: PrepareSettings, costs: list[TrackCost], fma_costs: list[TrackCost], forecast: Forecast,
    trained: TrainingCost, large: Rehearsal, tracks: int | None, failed: list[str],
) -> Bench:  # fmt: skip
    stages = _mean_stages(costs)
    in_prepare = [s for s in stages if s.share is not None]
    training = TrainSettings()
    epochs = (training.patience + 1, training.epochs)
    named = None if tracks is None else (sample.root.name or sample.name, tracks)
    forecasts = forecast_datasets(named, costs, fma_costs, forecast, trained, epochs)
    cores_used = forecast.cpu_track_s * forecast.jobs / (forecast.track_s * min(forecast.jobs, available_cores()))
    return Bench(
        sample.name, tuple(v.name for v in settings.views), stages, max(in_prepare, key=lambda s: s.ms).name,
        max(0.0, 1 - cores_used), forecast, trained, epochs, forecasts, disk_usage(Path.cwd()).free,
        tuple(dict.fromkeys(failed)), len(costs), large.tracks,
    )  # fmt: skip


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
