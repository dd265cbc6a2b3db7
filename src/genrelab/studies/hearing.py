"""The finished models of a RUN hear altered audio of its scored tracks, each as `predict` would.

A track is decoded once for all conditions, and a view is computed once for all models that read it with the same
numbers: five of the classical models read `statistics`. What one worker holds does not grow with a track's length.
"""

from __future__ import annotations

import multiprocessing
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.clips import Clip
from genrelab.audio.reader import Audio
from genrelab.bundle import bundle as bundles
from genrelab.bundle.bundle import BATCH_SIZE, Bundle, load_bundle
from genrelab.bundle.manifest import MANIFEST_FILE, read_manifest, stored_clips, stored_view
from genrelab.core.config import ClipSettings, TableView, View
from genrelab.core.errors import BundleError, DecodeError, ModelError
from genrelab.core.processes import process_pool
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.features.views import compute
from genrelab.records.prepared import read_parquet
from genrelab.splits.split import artist_key
from genrelab.studies.conditions import AlteredAudio, CachedTrack, Condition, open_cached

Floats = NDArray[np.float64]
JobT = TypeVar("JobT")
Result = TypeVar("Result")

LENGTH_TOLERANCE = 1.05
"""An excerpt longer than the track divided by this is the track itself: 29.98 s are 30 s."""


@dataclass(frozen=True)
class StudyModel:
    """A model of a RUN that can be shown audio: its folder's name, its bundle, and what that reads."""

    name: str
    bundle: str
    fingerprint: str
    genres: tuple[str, ...]
    view: View
    clips: ClipSettings


@dataclass(frozen=True)
class ScoredTrack:
    """A scored track whose audio is on this disk; `artist` as the split groups them."""

    track_id: str
    relative: str
    path: str
    genre: str
    artist: str | None
    duration_s: float


@dataclass(frozen=True)
class StudyInputs:
    """Who hears what.

    Attributes:
        tracks: those with audio here, in the order of their ids.
        n_scored: of them and those without.
        why_not: why nothing can be heard, in one sentence; None where it can.
    """

    models: tuple[StudyModel, ...]
    tracks: tuple[ScoredTrack, ...]
    part: str
    n_scored: int
    why_not: str | None


def load_inputs(run: Folder) -> StudyInputs:
    """The models of a finished RUN that hear, and the scored tracks that they can hear here.

    Raises:
        BundleError: a bundle of it cannot be read.
        PreparedError: its `split.parquet` cannot be read.
    """
    facts = run.read_json("run.json")
    root = str(facts["dataset"]["root"])
    rows = [r for r in read_parquet(run, "split.parquet").to_pylist() if r["role"] == "score"]
    study_models = _find_models(run) if run.is_local else ()
    tracks = tuple(sorted((t for r in rows if (t := _track(r, root))), key=lambda t: t.track_id))
    why: str | None = None
    if not run.is_local:
        why = f"the models of {run} are not on this disk: copy it here to let them hear"
    elif not study_models:
        why = "no model of this run hears: they read columns of a table, which has no sound"
    elif not tracks:
        why = f"none of the {pluralize(rows, 'scored track')} is on this disk: looked below {root}"
    return StudyInputs(study_models, tracks, str(facts["part"]), len(rows), why)


def _find_models(run: Folder) -> tuple[StudyModel, ...]:
    found = []
    for name in run.names():
        folder = run.local / name / "bundle"
        if not run.exists(f"{name}/metrics.json") or not folder.is_dir():
            continue
        about = read_manifest(folder)
        view, clips = (
            stored_view(about["view"], folder / MANIFEST_FILE),
            stored_clips(about["clips"], folder / MANIFEST_FILE),
        )
        if not isinstance(view, TableView):
            found.append(StudyModel(name, str(folder), about["fingerprint"], tuple(about["genres"]), view, clips))
    return tuple(found)


def _track(row: dict[str, Any], root: str) -> ScoredTrack | None:
    if not row["path"] or not row["duration_s"] or not (path := Path(root, row["path"])).is_file():
        return None
    artist = artist_key(row["artist"])
    return ScoredTrack(row["track_id"], row["path"], str(path), row["genre"], artist, float(row["duration_s"]))


def sample(tracks: Sequence[ScoredTrack], at_most: int, *, seed: int) -> tuple[ScoredTrack, ...]:
    """At most so many tracks, each genre with its share: every k-th of those in a row by genre, shuffled within it."""
    if len(tracks) <= at_most:
        return tuple(tracks)
    shuffled = [tracks[i] for i in np.random.default_rng(seed).permutation(len(tracks))]
    row = sorted(shuffled, key=lambda t: t.genre)
    chosen = [row[i] for i in np.linspace(0, len(row) - 1, at_most).round().astype(int)]
    return tuple(sorted(chosen, key=lambda t: t.track_id))


@dataclass(frozen=True)
class ConditionJob:
    """One track under several conditions, the first of them clean; crosses process borders."""

    models: tuple[StudyModel, ...]
    track: ScoredTrack
    conditions: tuple[Condition, ...]
    seed: int


def classify_conditions(order: ConditionJob) -> Floats:
    """What the models say of one track, shape (conditions, models, genres).

    Rows are NaN where a model refuses what is left of the track (it is silent, or too short), where the track is
    shorter than the condition's seconds, and everywhere where the file cannot be read.
    """
    models, track = load_bundles(order.models), order.track
    answers = np.full((len(order.conditions), len(models), len(order.models[0].genres)), np.nan)
    seed = zlib.crc32(track.track_id.encode()) ^ order.seed
    try:
        with closing(open_cached(track.path)) as source:
            for i, condition in enumerate(order.conditions):
                wanted_s = condition.seconds or 0.0
                if wanted_s * LENGTH_TOLERANCE < track.duration_s:
                    answers[i] = classify_track(order.models, models, source, condition, seed=seed)
                elif wanted_s <= track.duration_s * LENGTH_TOLERANCE:
                    answers[i] = answers[0]
    except DecodeError:
        answers[:] = np.nan
    return answers


def classify_track(
    study_models: Sequence[StudyModel],
    models: Sequence[Bundle],
    source: Audio | CachedTrack,
    condition: Condition,
    *,
    seed: int,
) -> Floats:
    """What models say of a track under a condition, shape (models, genres); NaN where they refuse it."""
    total = np.zeros((len(models), len(models[0].genres)))
    for clips in dict.fromkeys(e.clips for e in study_models):
        mine = [i for i, e in enumerate(study_models) if e.clips == clips]
        views = {
            v: [i for i in mine if study_models[i].view == v] for v in dict.fromkeys(study_models[i].view for i in mine)
        }
        listening = [_ViewClassifier(view, rows, models, total) for view, rows in views.items()]
        try:
            for clip in AlteredAudio(source, condition, seed=seed).clips(clips):
                for one in listening:
                    one.to(clip)
            for one in listening:
                one.ask()
        except DecodeError:
            total[mine] = np.nan
    total[(total == 0).all(axis=1)] = np.nan
    answers: Floats = total / total.sum(axis=1, keepdims=True)
    return answers


class _ViewClassifier:
    """Models that read one view of one track: adds what they say of its windows to their rows of `total`."""

    def __init__(self, view: View, rows: list[int], models: Sequence[Bundle], total: Floats) -> None:
        self._view, self._rows, self._models, self._total = view, rows, models, total
        self._windows: list[NDArray[Any]] = []

    def to(self, clip: Clip) -> None:
        """Listen to one more stretch; a view that cannot be computed of it makes these models refuse the track."""
        try:
            self._windows += [w.x for w in compute(self._view, clip.y, clip.sr, start_s=clip.start_s)]
        except DecodeError:
            self._total[self._rows] = np.nan
        if len(self._windows) >= BATCH_SIZE:
            self.ask()

    def ask(self) -> None:
        """What they say of the windows since the last time."""
        for i in self._rows if self._windows else ():
            try:
                self._total[i] += self._models[i].probabilities(np.stack(self._windows).astype(np.float32)).sum(axis=0)
            except BundleError:
                self._total[i] = np.nan
        self._windows.clear()


@lru_cache(maxsize=1)
def load_bundles(study_models: tuple[StudyModel, ...]) -> tuple[Bundle, ...]:
    """The models, loaded once in each process.

    Raises:
        BundleError: one cannot be used, or changed since it was looked at.
    """
    if multiprocessing.parent_process() is not None:
        bundles.THREADS = 1  # of onnxruntime's: the workers share the cores
    found = tuple(load_bundle(e.bundle) for e in study_models)
    changed = [e.bundle for e, model in zip(study_models, found, strict=True) if e.fingerprint != model.fingerprint]
    if changed:
        raise BundleError(f"{changed[0]} was changed while it was in use: begin again")
    return found


def run_jobs(
    work: Callable[[JobT], Result], orders: Sequence[JobT], *, jobs: int, progress: Callable[[int, int], None]
) -> list[Result]:
    """What `work` makes of every order, in their order, by worker processes where there are several.

    Args:
        progress: called with (done, in all).

    Raises:
        ModelError: a worker died.
    """
    found: dict[int, Result] = {}
    if min(jobs, len(orders)) <= 1:
        for i, order in enumerate(orders):
            found[i] = work(order)
            progress(len(found), len(orders))
        return list(found.values())
    try:
        with process_pool(min(jobs, len(orders))) as pool:
            out = {pool.submit(work, order): i for i, order in enumerate(orders)}
            for future in as_completed(out):
                found[out[future]] = future.result()
                progress(len(found), len(orders))
    except BrokenProcessPool as e:
        raise ModelError("a worker process died while it heard the scored tracks: is there enough memory?") from e
    return [found[i] for i in range(len(orders))]
