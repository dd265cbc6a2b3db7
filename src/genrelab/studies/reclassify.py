"""Classify altered audio of the scored tracks of a RUN with its finished models, each as in `predict`, but that those
on `embedding` use all clips of their bundle, whether or not the answer is clear before.

A track is decoded once for all conditions, and a view is computed once for all models that use it with the same
settings: five of the classical models use `statistics`. The memory of a worker does not grow with the track's length.
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
from genrelab.core.progress import Progress
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.features.views import compute
from genrelab.records.prepared import read_parquet
from genrelab.records.task import split_groups
from genrelab.studies.conditions import AlteredAudio, CachedTrack, Condition, open_cached

Floats = NDArray[np.float64]
JobT = TypeVar("JobT")
Result = TypeVar("Result")

LENGTH_TOLERANCE = 1.05
"""An excerpt longer than the track divided by this is the whole track, so that 29.98 s count as 30 s."""


@dataclass(frozen=True)
class StudyModel:
    """A model of a RUN that classifies audio: name of its folder, its bundle, and the view and clips it reads."""

    name: str
    bundle: str
    fingerprint: str
    genres: tuple[str, ...]
    view: View
    clips: ClipSettings


@dataclass(frozen=True)
class ScoredTrack:
    """A scored track whose audio is on this disk; `artist`: key by which the split groups."""

    track_id: str
    relative: str
    path: str
    genre: str
    artist: str | None
    duration_s: float


@dataclass(frozen=True)
class StudyInputs:
    """The models and tracks of a study.

    Attributes:
        tracks: scored tracks with audio on this disk, in the order of their ids.
        n_scored: number of scored tracks, with or without audio.
        why_not: why the study is impossible, in one sentence; None if it is possible.
    """

    models: tuple[StudyModel, ...]
    tracks: tuple[ScoredTrack, ...]
    part: str
    n_scored: int
    why_not: str | None


def load_inputs(run: Folder) -> StudyInputs:
    """Find the models of a finished RUN that read audio, and its scored tracks whose audio is on this disk.

    Raises:
        BundleError: one of its bundles cannot be read.
        PreparedError: its `split.parquet` cannot be read.
    """
    facts = run.read_json("run.json")
    root = str(facts["dataset"]["root"])
    rows = [r for r in read_parquet(run, "split.parquet").to_pylist() if r["role"] == "score"]
    study_models = _find_models(run) if run.is_local else ()
    tracks = tuple(sorted((t for r in rows if (t := _scored_track(r, root))), key=lambda t: t.track_id))
    why_not: str | None = None
    if not run.is_local:
        why_not = f"the models of {run} are not on this disk: copy it here to let them hear"
    elif not study_models:
        why_not = "no model of this run hears: they read columns of a table, which has no sound"
    elif not tracks:
        why_not = f"none of the {pluralize(rows, 'scored track')} is on this disk: looked below {root}"
    return StudyInputs(study_models, tracks, str(facts["part"]), len(rows), why_not)


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


def _scored_track(row: dict[str, Any], root: str) -> ScoredTrack | None:
    if not row["path"] or not row["duration_s"] or not (path := Path(root, row["path"])).is_file():
        return None
    (group,) = split_groups({name: [cell] for name, cell in row.items()})
    return ScoredTrack(row["track_id"], row["path"], str(path), row["genre"], group, float(row["duration_s"]))


def sample(tracks: Sequence[ScoredTrack], at_most: int, *, seed: int) -> tuple[ScoredTrack, ...]:
    """A stratified sample: every k-th track of a list that is sorted by genre and shuffled within each genre."""
    if len(tracks) <= at_most:
        return tuple(tracks)
    shuffled = [tracks[i] for i in np.random.default_rng(seed).permutation(len(tracks))]
    by_genre = sorted(shuffled, key=lambda t: t.genre)
    chosen = [by_genre[i] for i in np.linspace(0, len(by_genre) - 1, at_most).round().astype(int)]
    return tuple(sorted(chosen, key=lambda t: t.track_id))


@dataclass(frozen=True)
class ConditionJob:
    """One track under several conditions, the first of them clean; sent to worker processes."""

    models: tuple[StudyModel, ...]
    track: ScoredTrack
    conditions: tuple[Condition, ...]
    seed: int


def classify_conditions(job: ConditionJob) -> Floats:
    """Probabilities of the models for one track, shape (conditions, models, genres).

    Rows are NaN where a model rejects the altered track (it is silent, or too short), where the track is shorter than
    the condition's seconds, and all of them where the file cannot be read.
    """
    models, track = load_bundles(job.models), job.track
    probabilities = np.full((len(job.conditions), len(models), len(job.models[0].genres)), np.nan)
    seed = zlib.crc32(track.track_id.encode()) ^ job.seed
    try:
        with closing(open_cached(track.path)) as source:
            for i, condition in enumerate(job.conditions):
                wanted_s = condition.seconds or 0.0
                if wanted_s * LENGTH_TOLERANCE < track.duration_s:
                    probabilities[i] = classify_track(job.models, models, source, condition, seed=seed)
                elif wanted_s <= track.duration_s * LENGTH_TOLERANCE:
                    probabilities[i] = probabilities[0]
    except DecodeError:
        probabilities[:] = np.nan
    return probabilities


def classify_track(
    study_models: Sequence[StudyModel],
    models: Sequence[Bundle],
    source: Audio | CachedTrack,
    condition: Condition,
    *,
    seed: int,
) -> Floats:
    """Probabilities of models for a track under a condition, shape (models, genres); NaN where a model rejects it."""
    total = np.zeros((len(models), len(models[0].genres)))
    for clips in dict.fromkeys(m.clips for m in study_models):
        with_clips = [i for i, m in enumerate(study_models) if m.clips == clips]
        views = {
            v: [i for i in with_clips if study_models[i].view == v]
            for v in dict.fromkeys(study_models[i].view for i in with_clips)
        }
        classifiers = [_ViewClassifier(view, rows, models, total) for view, rows in views.items()]
        try:
            for clip in AlteredAudio(source, condition, seed=seed).clips(clips):
                for classifier in classifiers:
                    classifier.add_clip(clip)
            for classifier in classifiers:
                classifier.classify_windows()
        except DecodeError:
            total[with_clips] = np.nan
    total[(total == 0).all(axis=1)] = np.nan
    probabilities: Floats = total / total.sum(axis=1, keepdims=True)
    return probabilities


class _ViewClassifier:
    """Models that read one view of one track: adds their probabilities for its windows to their rows of `total`."""

    def __init__(self, view: View, rows: list[int], models: Sequence[Bundle], total: Floats) -> None:
        self._view, self._rows, self._models, self._total = view, rows, models, total
        self._windows: list[NDArray[Any]] = []

    def add_clip(self, clip: Clip) -> None:
        """Add the windows of one more clip; if its view cannot be computed, these models reject the track (NaN)."""
        try:
            self._windows += [w.x for w in compute(self._view, clip.y, clip.sr, start_s=clip.start_s)]
        except DecodeError:
            self._total[self._rows] = np.nan
        if len(self._windows) >= BATCH_SIZE:
            self.classify_windows()

    def classify_windows(self) -> None:
        """Classify the windows that were added since the last call."""
        for i in self._rows if self._windows else ():
            try:
                self._total[i] += self._models[i].probabilities(np.stack(self._windows).astype(np.float32)).sum(axis=0)
            except BundleError:
                self._total[i] = np.nan
        self._windows.clear()


@lru_cache(maxsize=1)
def load_bundles(study_models: tuple[StudyModel, ...]) -> tuple[Bundle, ...]:
    """The models, loaded once per process.

    Raises:
        BundleError: one cannot be used, or has changed since `load_inputs`.
    """
    if multiprocessing.parent_process() is not None:
        bundles.THREADS = 1  # of onnxruntime: the workers share the cores
    found = tuple(load_bundle(m.bundle) for m in study_models)
    changed = [m.bundle for m, model in zip(study_models, found, strict=True) if m.fingerprint != model.fingerprint]
    if changed:
        raise BundleError(f"{changed[0]} was changed while it was in use: begin again")
    return found


def run_jobs(work: Callable[[JobT], Result], inputs: Sequence[JobT], *, jobs: int, progress: Progress) -> list[Result]:
    """Results of `work` for every job, in their order, from worker processes where there are several.

    Args:
        progress: called with (done, total).

    Raises:
        ModelError: a worker died.
    """
    found: dict[int, Result] = {}
    if min(jobs, len(inputs)) <= 1:
        for i, item in enumerate(inputs):
            found[i] = work(item)
            progress(len(found), len(inputs))
        return list(found.values())
    try:
        with process_pool(min(jobs, len(inputs))) as pool:
            futures = {pool.submit(work, item): i for i, item in enumerate(inputs)}
            for future in as_completed(futures):
                found[futures[future]] = future.result()
                progress(len(found), len(inputs))
    except BrokenProcessPool as e:
        raise ModelError("a worker process died while it heard the scored tracks: is there enough memory?") from e
    return [found[i] for i in range(len(inputs))]
