"""`prepare` itself, on a sample: what a preparation of any size takes follows from two of different sizes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
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
    """One preparation, by the clock.

    Attributes:
        tracks: how many.
        total_s: from the start of its process to the end.
        done: after each piece, the tracks that were done and the seconds since workers were asked for.
        ending_s: while these became PREPARED and copies were looked for. Where tracks are repeated, and all have
            copies, the search would take long as it never does: then it counts for nothing.
        cpu_s: of all its processes; what systems without that figure say is too low.
        n_bytes: of PREPARED.
        failed: `track_id: why` of what cannot be used.
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
        """Seconds in which workers made its pieces."""
        return self.done[-1][1]


def rehearse(dataset: Dataset, settings: PrepareSettings, jobs: int, *, preload: Iterable[str] = ()) -> Rehearsal:
    """Prepare these tracks into a temporary folder, in a process that starts for it as the command's does.

    Args:
        preload: modules that the command imports before it prepares anything.

    Raises:
        DatasetError: the process dies.
    """
    with tempfile.TemporaryDirectory(prefix="genrelab-bench-") as folder:
        began = time.time()
        try:
            with process_pool(1) as pool:
                found = pool.submit(_timed_prepare, dataset, settings, jobs, folder, began, tuple(preload)).result()
        except BrokenProcessPool as e:
            raise DatasetError(f"{dataset.root}: a preparation of it dies; is there enough memory?") from e
    return found


def _timed_prepare(
    dataset: Dataset, settings: PrepareSettings, jobs: int, folder: str, began: float, preload: tuple[str, ...]
) -> Rehearsal:
    """Runs in a process of its own. `began`: on the clock that processes share."""
    for module in preload:
        import_module(module)
    stamps: list[tuple[int, float]] = []
    out = Path(folder) / "prepared"
    prepared = prepare(dataset, out, settings, jobs=jobs, progress=lambda done, _: stamps.append((done, time.time())))
    end, t = time.time(), prepared.tracks
    if len({track.path for track in dataset.tracks}) < len(dataset.tracks):
        end = (out / "dataset.json").stat().st_mtime  # the search for copies comes after it
    asked, made = stamps[0][1], stamps[-1][1]
    failed = tuple(
        f"{t['path'][i]}: {t['error'][i]}" for i, status in enumerate(t["status"]) if status != "ok"
    )  # fmt: skip
    n_bytes = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    spent = os.times()
    cpu_s = spent.user + spent.system + spent.children_user + spent.children_system
    done = tuple((tracks, at - asked) for tracks, at in stamps[1:])
    return Rehearsal(len(dataset.tracks), end - began, done, end - made, cpu_s, n_bytes, failed)


@dataclass(frozen=True)
class Forecast:
    """What `prepare` takes with so many workers on this machine as busy as it is.

    Attributes:
        jobs: worker processes.
        start_s: before workers begin: the program, and after its tracks what does not grow.
        begin_s: until workers have begun.
        track_s: that a worker takes for a track while all work.
        single_s: what each track adds besides, in one process: looking for it, its place in the tables.
        fixed_bytes, track_bytes: of PREPARED.
        cpu_track_s, cpu_fixed_s: seconds of CPU of all processes.
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
        """By the clock; `scale`: what a track costs, in tracks of the sample."""
        per_track = scale * (max_tracks_per_worker(tracks, self.jobs) * self.track_s + tracks * self.single_s)
        return self.start_s + (self.begin_s if tracks else 0.0) + per_track

    def cpu_s(self, tracks: int) -> float:
        """Seconds of CPU of all processes together."""
        return self.cpu_fixed_s + tracks * self.cpu_track_s

    def n_bytes(self, tracks: int, *, scale: float = 1.0) -> float:
        """Of PREPARED."""
        return self.fixed_bytes + scale * tracks * self.track_bytes


def forecast(small: Rehearsal, large: Rehearsal, jobs: int, *, find_track_s: float = 0.0) -> Forecast:
    """The lines through two preparations; what comes first, and what each track takes, are never below 0.

    Args:
        find_track_s: what each track took when the dataset was looked through.
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
    """Seconds until workers have begun, and of a track, by least squares.

    Beginning takes at most half of the time to the first piece: a machine whose load changes must not make tracks free.

    Args:
        points: tracks that the busiest worker had done, and seconds.
    """
    n, s = np.array(points, float).T
    slope = ((n - n.mean()) * (s - s.mean())).sum() / max(((n - n.mean()) ** 2).sum(), 1e-9)
    begin_s = min(max(s.mean() - slope * n.mean(), 0.0), s.min() / 2)
    return float(begin_s), float(((s - begin_s) * n).sum() / (n * n).sum())


def _fit_line(small: tuple[int, float], large: tuple[int, float]) -> tuple[float, float]:
    """What there is without any track, and what each adds."""
    (n, a), (m, b) = small, large
    each = (b - a) / (m - n) if m > n else b / m
    each = min(max(each, 0.0), b / m)
    return b - m * each, each
