"""Run `prepare` on two samples of different sizes and extrapolate to a preparation of any size."""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from genrelab.core.config import PrepareSettings
from genrelab.core.errors import DatasetError
from genrelab.core.processes import process_pool
from genrelab.datasets.base import Dataset
from genrelab.prepare.estimate import max_tracks_per_worker
from genrelab.prepare.pipeline import prepare


@dataclass(frozen=True)
class Rehearsal:
    """Wall-clock times of preparing a sample.

    Attributes:
        tracks: number of tracks.
        total_s: from the start of its process to the end.
        done: after each piece, the number of finished tracks and the seconds since workers were requested.
        ending_s: of assembling PREPARED and searching for duplicates. Where the sample repeats tracks the search is
            not counted: with this many duplicates it takes far longer than usual.
        cpu_s: CPU time of all its processes; too low on systems that do not report it for children.
        n_bytes: size of PREPARED.
        failed: `path: error` of each file that cannot be used.
    """

    tracks: int
    total_s: float
    done: tuple[tuple[int, float], ...]
    ending_s: float
    cpu_s: float
    n_bytes: int
    failed: tuple[str, ...] = ()

    @property
    def making_s(self) -> float:
        """Seconds in which the workers made the pieces."""
        return self.done[-1][1]


def rehearse(dataset: Dataset, settings: PrepareSettings, jobs: int, *, preload: tuple[str, ...] = ()) -> Rehearsal:
    """Prepare these tracks into a temporary folder, in a new process, as the command does.

    Args:
        preload: modules that the command imports before it prepares anything.

    Raises:
        DatasetError: the process dies.
    """
    with tempfile.TemporaryDirectory(prefix="genrelab-bench-") as folder:
        start = time.time()
        try:
            with process_pool(1) as pool:
                return pool.submit(_timed_prepare, dataset, settings, jobs, folder, start, preload).result()
        except BrokenProcessPool as e:
            raise DatasetError(
                f"{dataset.root}: the process that prepared a sample was killed, probably for lack of memory: close "
                "other programs"
            ) from e


def _timed_prepare(
    dataset: Dataset, settings: PrepareSettings, jobs: int, folder: str, start: float, preload: tuple[str, ...]
) -> Rehearsal:
    """Runs in a process of its own. `start`: of `rehearse`, on the clock that processes share."""
    for module in preload:
        import_module(module)
    stamps: list[tuple[int, float]] = []
    out = Path(folder) / "prepared"
    prepared = prepare(dataset, out, settings, jobs=jobs, progress=lambda done, _: stamps.append((done, time.time())))
    end, t = time.time(), prepared.tracks
    if len({track.path for track in dataset.tracks}) < len(dataset.tracks):
        end = (out / "dataset.json").stat().st_mtime  # the search for copies comes after it
    requested, made = stamps[0][1], stamps[-1][1]
    failed = tuple(
        f"{t['path'][i]}: {t['error'][i]}" for i, status in enumerate(t["status"]) if status != "ok"
    )  # fmt: skip
    n_bytes = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    times = os.times()
    cpu_s = times.user + times.system + times.children_user + times.children_system
    done = tuple((tracks, at - requested) for tracks, at in stamps[1:])
    return Rehearsal(len(dataset.tracks), end - start, done, end - made, cpu_s, n_bytes, failed)


@dataclass(frozen=True)
class Forecast:
    """Time and size of `prepare` with `jobs` workers on this machine at its current load.

    Attributes:
        jobs: worker processes.
        start_s: fixed time: starting the program, and the constant part of the work after the tracks.
        begin_s: time until the workers have started.
        track_s: time of a worker for one track while all of them work.
        single_s: further time per track in one process: finding it, writing its rows.
        fixed_bytes, track_bytes: size of PREPARED without tracks, and per track.
        cpu_track_s, cpu_fixed_s: CPU seconds of all processes, per track and fixed.
    """

    jobs: int
    start_s: float
    begin_s: float
    track_s: float
    single_s: float
    fixed_bytes: float
    track_bytes: float
    cpu_fixed_s: float
    cpu_track_s: float

    def seconds(self, tracks: int, *, scale: float = 1.0) -> float:
        """Wall-clock seconds; `scale`: cost of a track relative to the sample."""
        per_track = scale * (max_tracks_per_worker(tracks, self.jobs) * self.track_s + tracks * self.single_s)
        return self.start_s + (self.begin_s if tracks else 0.0) + per_track

    def n_bytes(self, tracks: int, *, scale: float = 1.0) -> float:
        """Size of PREPARED; `scale`: bytes of a track relative to the sample."""
        return self.fixed_bytes + scale * tracks * self.track_bytes


def forecast(small: Rehearsal, large: Rehearsal, jobs: int, *, find_track_s: float = 0.0) -> Forecast:
    """Straight lines through two preparations; neither the fixed part nor the part per track is ever below 0.

    Args:
        find_track_s: seconds per track that listing the dataset took.
    """
    begin_s, track_s = _fit_track_time(
        [(min(n, max_tracks_per_worker(n, jobs)), s) for r in (small, large) for n, s in r.done]
    )
    ending_s, single_s = _fit_line((small.tracks, small.ending_s), (large.tracks, large.ending_s))
    start_s = sum(r.total_s - r.making_s - r.ending_s for r in (small, large)) / 2
    fixed, per_track = _fit_line((small.tracks, small.n_bytes), (large.tracks, large.n_bytes))
    cpu_fixed_s, cpu_track_s = _fit_line((small.tracks, small.cpu_s), (large.tracks, large.cpu_s))
    return Forecast(
        jobs, start_s + ending_s, begin_s, track_s, single_s + find_track_s, fixed, per_track, cpu_fixed_s, cpu_track_s
    )  # fmt: skip


def _fit_track_time(points: list[tuple[int, float]]) -> tuple[float, float]:
    """Seconds until the workers have started, and per track, by least squares.

    The start is at most half of the time to the first piece; otherwise a changing load could make tracks cost nothing.

    Args:
        points: number of tracks that the busiest worker had done, and seconds.
    """
    n, s = np.array(points, float).T
    slope = ((n - n.mean()) * (s - s.mean())).sum() / max(((n - n.mean()) ** 2).sum(), 1e-9)
    begin_s = min(max(s.mean() - slope * n.mean(), 0.0), s.min() / 2)
    return float(begin_s), float(((s - begin_s) * n).sum() / (n * n).sum())


def _fit_line(small: tuple[int, float], large: tuple[int, float]) -> tuple[float, float]:
    """The value at zero tracks, and the slope per track."""
    (n, a), (m, b) = small, large
    slope = (b - a) / (m - n) if m > n else b / m
    slope = min(max(slope, 0.0), b / m)
    return b - m * slope, slope
