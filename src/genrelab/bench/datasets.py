"""Estimates of `bench` for a dataset: time by its parts, disk, training; and which part of FMA fits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from genrelab.bench.rehearsal import Forecast
from genrelab.bench.stages import OUTSIDE_PREPARE, TrackCost
from genrelab.bench.training import EPOCH_RANGE, TrainingCost
from genrelab.core.config import FIRST_CLIP_VIEWS
from genrelab.core.processes import available_cores
from genrelab.datasets.download import CATALOGUE
from genrelab.datasets.fma import SUBSETS
from genrelab.prepare.estimate import max_tracks_per_worker

FMA_TRACKS = dict(zip(SUBSETS, (8_000, 25_000, 106_574, 106_574), strict=True))
FMA_CLIPS = {"full": 9}
"""Clips of 30 s per track: whole tracks last 270 s on average (Defferrard et al. 2017); in the other parts it is 1."""

NIGHT_S = 8 * 3_600.0

START, STAGES = "start: the program, workers", "workers: the stages above, CPU time"
WAITING, ENDING = "workers: waiting for a core or the disk", "one process: write tables, find copies"


@dataclass(frozen=True)
class DatasetForecast:
    """Estimate for a number of tracks.

    Attributes:
        seconds: wall-clock time of `prepare`, with `jobs` workers.
        parts: the summands of these seconds, by name.
        n_bytes: size of PREPARED; meanwhile twice as much is on disk.
        download_bytes: size of the archive; None where nothing is downloaded.
        peak_bytes: maximum on disk at a time, without the files of ROOT.
        networks_s: seconds of training each network for the fewest and the most epochs.
    """

    name: str
    tracks: int
    seconds: float
    parts: dict[str, float]
    n_bytes: float
    download_bytes: int | None
    peak_bytes: float
    networks_s: dict[str, tuple[float, float]]


def forecast_datasets(
    named: tuple[str, int] | None, costs: list[TrackCost], like_fma: list[TrackCost], forecast: Forecast,
    trained: TrainingCost,
) -> tuple[DatasetForecast, ...]:  # fmt: skip
    """One for `named` (name, number of tracks like those of `costs`) if given, then one for each part of FMA."""
    alone_s, alone_bytes, forecasts = fmean(map(prepare_s, costs)), fmean(map(_stored_bytes, costs)), []
    if named is not None:
        clips = fmean(c.clips for c in costs)
        forecasts.append(_forecast_dataset(*named, (1.0, 1.0), alone_s, clips, forecast, trained))
    for subset, n in FMA_TRACKS.items():
        clips = FMA_CLIPS.get(subset, 1)
        cpu_s = fmean(prepare_s(c) * clips - (clips - 1) * _first_clip_only(c.seconds) for c in like_fma)
        n_bytes = fmean(_stored_bytes(c) * clips - (clips - 1) * _first_clip_only(c.n_bytes) for c in like_fma)
        scales = cpu_s / alone_s, n_bytes / alone_bytes
        forecasts.append(_forecast_dataset(f"fma-{subset}", n, scales, cpu_s, clips, forecast, trained))
    return tuple(forecasts)


def largest_fitting(forecasts: Iterable[DatasetForecast], free_bytes: float) -> DatasetForecast | None:
    """The largest part of FMA that can be prepared in a night and on this disk; the first one of equal size."""
    fma = [a for a in forecasts if a.download_bytes is not None]
    fit = [a for a in fma if a.peak_bytes <= free_bytes and a.seconds <= NIGHT_S]
    return max(fit, key=lambda a: a.tracks, default=None)


def prepare_s(cost: TrackCost) -> float:
    """CPU seconds of the stages of `prepare`."""
    return sum(s for name, s in cost.seconds.items() if name not in OUTSIDE_PREPARE)


def _first_clip_only(values: dict[str, float] | dict[str, int]) -> float:
    """Sum over the views that are computed for the first clip of a track only."""
    return sum(values.get(name, 0) for name in FIRST_CLIP_VIEWS)


def _stored_bytes(cost: TrackCost) -> float:
    return max(1, sum(cost.n_bytes.values()))


def _forecast_dataset(
    name: str, tracks: int, scales: tuple[float, float], cpu_s: float, clips: float, forecast: Forecast,
    trained: TrainingCost,
) -> DatasetForecast:  # fmt: skip
    """`scales`: time and bytes of a track, relative to the sample. `clips`: per track; `raw_cnn` uses the first."""
    networks_s = {}
    for network in trained.networks:
        windows = tracks if network.name == "raw_cnn" else round(tracks * clips)
        fewest, most = (trained.start_s + network.seconds(windows, epochs) for epochs in EPOCH_RANGE)
        networks_s[network.name] = (fewest, most)
    n_bytes, archive = forecast.n_bytes(tracks, scale=scales[1]), CATALOGUE.get(name)
    peak, download = 2 * n_bytes, None
    if archive is not None:  # the archive is deleted when it is unpacked
        peak, download = archive.unpacked + max(archive.size, peak), archive.size
    parts = _parts(tracks, forecast, scales[0], cpu_s)
    return DatasetForecast(name, tracks, sum(parts.values()), parts, n_bytes, download, peak, networks_s)


def _parts(tracks: int, forecast: Forecast, scale: float, cpu_s: float) -> dict[str, float]:
    """Wall-clock seconds of `prepare`. Worker time beyond the CPU time of the stages counts as waiting."""
    most = max_tracks_per_worker(tracks, forecast.jobs)
    making_s, ending_s = scale * most * forecast.track_s, scale * tracks * forecast.single_s
    working_s = min(making_s, most * cpu_s * max(1.0, forecast.jobs / available_cores()))
    begin_s = forecast.seconds(tracks, scale=scale) - making_s - ending_s
    return {START: begin_s, STAGES: working_s, WAITING: making_s - working_s, ENDING: ending_s}
