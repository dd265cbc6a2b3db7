"""Classify altered audio of the test tracks of a RUN with its finished models, each as in `predict`.

Models on `embedding` use all clips of their bundle here, even where `predict` would stop early.

A track is decoded once for all conditions, and a view is computed once for all models that use it with the same
settings: five of the classical models use `statistics`. The memory of a worker does not grow with the track's length.
"""

from __future__ import annotations

import multiprocessing
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.clips import AudioInMemory, Clip
from genrelab.audio.reader import Audio
from genrelab.bundle import bundle as bundles
from genrelab.bundle.bundle import Bundle, load_bundle
from genrelab.bundle.manifest import MANIFEST_FILE, read_manifest, stored_clips, stored_view
from genrelab.core.config import ClipSettings, TableView, View
from genrelab.core.errors import BundleError, DecodeError
from genrelab.core.processes import available_cores
from genrelab.core.progress import Progress
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.core.worker_pool import map_in_processes
from genrelab.features.views import compute
from genrelab.records.prepared import read_parquet
from genrelab.records.task import split_groups
from genrelab.studies.conditions import AlteredAudio, Condition, open_cached

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
    """A test track whose audio is on this disk; `artist`: key by which the split groups."""

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
        tracks: test tracks with audio on this disk, in the order of their ids.
        n_scored: number of test tracks, with or without audio.
        why_not: why the study is impossible, in one sentence; None if it is possible.
    """

    models: tuple[StudyModel, ...]
    tracks: tuple[ScoredTrack, ...]
    part: str
    n_scored: int
    why_not: str | None


def load_inputs(run: Folder) -> StudyInputs:
    """Find the models of a finished RUN that read audio, and its test tracks whose audio is on this disk.

    Raises:
        BundleError: one of its bundles cannot be read.
        PreparedError: its `split.parquet` cannot be read.
    """
    facts = run.read_json("run.json")
    root = str(facts["dataset"]["root"])
    rows = [r for r in read_parquet(run, "split.parquet").to_pylist() if r["role"] == "score"]
    study_models = _find_models(run) if run.is_local else ()
    tracks = tuple(sorted((t for r in rows if (t := _scored_track(r, root))), key=lambda t: t.track_id))
    part, why_not = str(facts["part"]), None
    if not run.is_local:
        why_not = f"{run} is not on this disk: copy it here first"
    elif not study_models:
        why_not = "no model of this run reads audio, only columns of a table"
    elif not tracks:
        why_not = f"the audio of {pluralize(rows, f'{part} track')} is no longer in {root}"
    return StudyInputs(study_models, tracks, part, len(rows), why_not)


def _find_models(run: Folder) -> tuple[StudyModel, ...]:
    found = []
    for name in run.names():
        folder = run.local / name / "bundle"
        if not run.exists(f"{name}/metrics.json") or not folder.is_dir():
            continue
        about, file = read_manifest(folder), folder / MANIFEST_FILE
        view, clips = stored_view(about["view"], file), stored_clips(about["clips"], file)
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


def classify_conditions(
    study_models: tuple[StudyModel, ...], conditions: Sequence[Condition], seed: int, track: ScoredTrack
) -> Floats:
    """Probabilities of models for a track under conditions, the first clean; shape (conditions, models, genres).

    Rows are NaN where a model rejects the altered track (it is silent, or too short), where the track is shorter than
    the condition's seconds, and all of them where the file cannot be read.
    """
    models, seed = load_bundles(study_models), zlib.crc32(track.track_id.encode()) ^ seed
    probabilities = np.full((len(conditions), len(models), len(models[0].genres)), np.nan)
    try:
        with closing(open_cached(track.path)) as source:
            for i, condition in enumerate(conditions):
                wanted_s = condition.seconds or 0.0
                if wanted_s * LENGTH_TOLERANCE < track.duration_s:
                    probabilities[i] = classify_track(study_models, models, source, condition, seed=seed)
                elif wanted_s <= track.duration_s * LENGTH_TOLERANCE:
                    probabilities[i] = probabilities[0]
    except DecodeError:
        probabilities[:] = np.nan
    return probabilities


def classify_track(
    study_models: Sequence[StudyModel],
    models: Sequence[Bundle],
    source: Audio | AudioInMemory,
    condition: Condition,
    *,
    seed: int,
) -> Floats:
    """Probabilities of models for a track under a condition, shape (models, genres); NaN where a model rejects it."""
    total = np.zeros((len(models), len(models[0].genres)))
    by_clips: dict[ClipSettings, dict[View, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, model in enumerate(study_models):
        by_clips[model.clips][model.view].append(i)
    for clips, views in by_clips.items():
        try:
            for clip in AlteredAudio(source, condition, seed=seed).clips(clips):
                for view, rows in views.items():
                    _classify_clip(clip, view, rows, models, total)
        except DecodeError:
            total[[i for rows in views.values() for i in rows]] = np.nan
    total[(total == 0).all(axis=1)] = np.nan
    probabilities: Floats = total / total.sum(axis=1, keepdims=True)
    return probabilities


def _classify_clip(clip: Clip, view: View, rows: Sequence[int], models: Sequence[Bundle], total: Floats) -> None:
    """Add the probabilities of the models that read a view to their rows of `total`; NaN if they reject the clip."""
    try:
        windows = [w.x for w in compute(view, clip.y, clip.sr, start_s=clip.start_s)]
    except DecodeError:
        total[rows] = np.nan
        return
    for i in rows if windows else ():
        try:
            total[i] += models[i].probabilities(np.stack(windows).astype(np.float32)).sum(axis=0)
        except BundleError:
            total[i] = np.nan


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
        raise BundleError(f"{changed[0]} changed while it was in use: run the same command again")
    return found


def run_jobs(
    work: Callable[[JobT], Result], inputs: Sequence[JobT], *, jobs: int | None, progress: Progress, crashed: Result
) -> list[Result]:
    """Results of `work` for every job, in their order, from worker processes where there are several.

    Args:
        jobs: worker processes; None: one per core.
        progress: called with (done, total).
        crashed: result of a job that crashes its worker.
    """
    found: dict[int, Result] = {}
    jobs = min(jobs or available_cores(), len(inputs))
    for i, result in map_in_processes(work, inputs, jobs=jobs) if jobs > 1 else enumerate(map(work, inputs)):
        found[i] = crashed if result is None else result
        progress(len(found), len(inputs))
    return [found[i] for i in range(len(inputs))]
