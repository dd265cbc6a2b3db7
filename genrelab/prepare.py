"""Program: dataset → records. Parallel, resumable after a kill at any moment, the same bytes at every run."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genrelab import assemble, decode, earlier, pieces, views, workers
from genrelab.config import PrepareSettings, TableView
from genrelab.dataset import Dataset
from genrelab.errors import DecodeError, PreparedError, SettingsError
from genrelab.pieces import Item, Outcome, Piece
from genrelab.prepared import Prepared, open_prepared
from genrelab.storage import Folder

PIECE_TRACKS = 10
"""Tracks a piece: what a kill can cost each worker."""

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


def _nothing(*_: object) -> None:
    """For callers that want no news."""


def prepare(
    dataset: Dataset,
    out: str | Path | Folder,
    settings: PrepareSettings | None = None,
    *,
    jobs: int | None = None,
    say: Say = _nothing,
    progress: Progress = _nothing,
) -> Prepared:
    """Decode every track once and write all views to PREPARED.

    Args:
        out: folder or fsspec address. One that holds the same settings is completed or brought up to date.
        jobs: worker processes; None takes the machine's cores.
        say: gets sentences for the user.
        progress: gets (tracks done, tracks in all) after every piece.

    Raises:
        PreparedError: `out` holds other settings, another dataset, or other files.
    """
    folder = out if isinstance(out, Folder) else Folder(out)
    settings = settings or PrepareSettings()
    n_jobs = _cores() if jobs is None else jobs
    if n_jobs < 1:
        raise SettingsError(f"--jobs must be 1 or more. Received: {n_jobs}")
    if dataset.features is not None:
        return _prepare_table(dataset, folder, say)
    old = earlier.look(folder, dataset, settings)
    work = _work_folder(folder)
    with _alone(work):
        items = _items(dataset, old, say)
        if old is not None and earlier.only_labels_differ(dataset, old, items):
            return _relabel(dataset, folder, settings, old, say)
        order = pieces.plan(items, work, settings, tracks=PIECE_TRACKS)
        todo = _todo(order, work, settings, say)
        _announce(todo, settings, n_jobs, folder, say)
        _make(order, todo, n_jobs, progress)
        assemble.assemble(folder, dataset, settings, order)
    shutil.rmtree(work)
    return open_prepared(folder)


def _prepare_table(dataset: Dataset, folder: Folder, say: Say) -> Prepared:
    assert dataset.features is not None
    settings = PrepareSettings(views=(TableView(columns=dataset.features.columns),))
    old = earlier.look(folder, dataset, settings)
    outcomes = [
        Outcome(i, "failed", "label", t.problem or "no genre label")
        if t.genre is None or t.problem
        else Outcome(i, "ok", sha256=hashlib.sha256(row.tobytes()).hexdigest())
        for i, (t, row) in enumerate(zip(dataset.tracks, dataset.features.values, strict=True))
    ]
    if old is not None and old.about == assemble.about(dataset, settings, outcomes):
        same = old.tracks == assemble.tracks_table(dataset.tracks, outcomes).to_pydict()
        if same:
            say(f"{folder} is up to date: {len(dataset.tracks)} tracks")
            return old
    folder.remove("dataset.json")
    assemble.write_feature_table(folder, dataset)
    assemble.write_tables(folder, dataset, settings, outcomes)
    return open_prepared(folder)


def _work_folder(folder: Folder) -> Path:
    """Where pieces grow: inside a local PREPARED, else in the user's cache, under a name that a resume finds again."""
    if folder.is_local:
        return folder.local / ".work"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "genrelab" / "work" / hashlib.sha256(str(folder).encode()).hexdigest()[:16]


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Two preparations of one folder at a time would undo each other's work."""
    try:
        import fcntl
    except ImportError:  # Windows: no lock there
        yield
        return
    work.parent.mkdir(parents=True, exist_ok=True)
    with (work.parent / f".{work.name.lstrip('.')}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            raise PreparedError(f"{work.parent}: another prepare is writing here; wait for it to end") from e
        yield
    Path(lock.name).unlink(missing_ok=True)


def _items(dataset: Dataset, old: Prepared | None, say: Say) -> list[Item]:
    kept = (
        earlier.kept(dataset, old, cache=_work_folder(old.folder) / "old", threads=_cores()) if old is not None else {}
    )
    if old is not None:
        say(f"{len(kept)} of {len(dataset.tracks)} tracks have not changed since they were prepared")
    return [
        Item(
            index,
            str(dataset.root / track.path) if track.path is not None else "",
            track.problem or ("no genre label" if track.genre is None else None),
            kept.get(track.track_id),
        )
        for index, track in enumerate(dataset.tracks)
    ]


def _relabel(dataset: Dataset, folder: Folder, settings: PrepareSettings, old: Prepared, say: Say) -> Prepared:
    outcomes = earlier.outcomes_of(old)
    if old.tracks == assemble.tracks_table(dataset.tracks, outcomes).to_pydict() and (
        old.about == assemble.about(dataset, settings, outcomes)
    ):
        say(f"{folder} is up to date: {len(old)} tracks")
        return old
    say(f"{folder}: the audio has not changed; only the table of tracks is written again")
    assemble.write_tables(folder, dataset, settings, outcomes)
    return open_prepared(folder)


def _todo(order: list[Piece], work: Path, settings: PrepareSettings, say: Say) -> list[Piece]:
    work.mkdir(parents=True, exist_ok=True)
    Folder(work).write_json("settings.json", settings.to_json())
    for half in work.glob(".piece-*.tmp"):
        shutil.rmtree(half)
    todo = [p for p in order if not pieces.is_done(p)]
    if len(todo) < len(order):
        say(f"going on where it stopped: {n_tracks(order) - n_tracks(todo)} tracks are done")
    return todo


def n_tracks(some: list[Piece]) -> int:
    """Tracks of some pieces."""
    return sum(len(p.items) for p in some)


@dataclass(frozen=True)
class Estimate:
    """What one track costs on this machine, from a few of them: seconds on one core, bytes on disk."""

    seconds: float
    n_bytes: float


def estimate(todo: list[Piece], settings: PrepareSettings, *, sample: int = 3) -> Estimate | None:
    """Measured on up to `sample` tracks spread over what is to be done; None where none can be read."""
    paths = [
        Path(i.path) for p in todo for i in p.items if i.kept is None and i.problem is None and Path(i.path).is_file()
    ]
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, min(sample, len(paths))).astype(int)] if paths else []
    costs = []
    for path in chosen[:1] + chosen:  # the first one also builds filter banks and kernels, so it is taken twice
        began, n_bytes = time.process_time(), 0
        try:
            for clip in decode.clips(path, settings.clips):
                made = views.compute_all(settings.views, clip.y, clip.sr, start_s=clip.start_s)
                n_bytes += sum(w.x.nbytes for ws in made.values() for w in ws)
        except DecodeError:
            continue
        costs.append((time.process_time() - began, n_bytes))
    costs = costs[1:] or costs
    return Estimate(*(float(np.mean(c)) for c in zip(*costs, strict=True))) if costs else None


def _announce(todo: list[Piece], settings: PrepareSettings, jobs: int, folder: Folder, say: Say) -> None:
    n = n_tracks(todo)
    cost = estimate(todo, settings)
    names = ", ".join(v.name for v in settings.views)
    if not n or cost is None:
        say(f"{n} tracks to prepare into {folder} ({names})")
        return
    fresh = sum(i.kept is None and Path(i.path).is_file() for p in todo for i in p.items)
    seconds, size = fresh * cost.seconds / jobs, fresh * cost.n_bytes
    say(
        f"{n} tracks to prepare into {folder} ({names}): about {seconds:.0f} s with {jobs} workers, {size / 1e6:.0f} MB"
    )
    if folder.is_local:
        free = shutil.disk_usage(folder.local if folder.local.exists() else _work_folder(folder)).free
        if free < 2 * size:  # pieces and shards stand side by side at the end
            raise PreparedError(f"{folder}: about {2 * size / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free")


def _make(order: list[Piece], todo: list[Piece], jobs: int, progress: Progress) -> None:
    total, done = n_tracks(order), n_tracks(order) - n_tracks(todo)

    def report(tracks: int) -> None:
        nonlocal done
        done += tracks
        progress(done, total)

    progress(done, total)
    if todo:
        workers.make_all(todo, jobs=min(jobs, len(todo)), done=report)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
