"""Occlusion maps: attenuate patches of time x frequency of the hardest tracks and classify them again.

RUN/<model>/occlusion.json, for the three scored tracks that the model is most confidently wrong about:
    {"tracks": [{"track_id", "path", "truth", "answer", "p", "duration_s", "start_s", "end_s",
                 "mel": [[dB]], "mel_hz": [Hz],                  picture of the clip: bands x frames
                 "t_edges": [s], "f_edges_hz": [Hz],
                 "drop": [[float]],                              bands x times
                 "evidence": "occlusion/1.wav" | null, "evidence_patches": [[band, time]]}],
     "sentence": str | null}                                         if no single patch is decisive

The clip is the first one that the model uses of the track, and `p` the probability of its answer there. A drop is how
much `p` falls when a patch is attenuated by 20 dB; if negative, the patch was evidence against the answer. Models are
treated as black boxes, so that statistics, pictures and samples are all explained in the same way (Zeiler and Fergus
2014). The WAV contains the three patches with the largest drops.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.clips import Clip
from genrelab.bundle.bundle import Bundle
from genrelab.core.config import ClipSettings, FramesView, SamplesView, TrainSettings, View
from genrelab.core.errors import DecodeError, GenrelabError
from genrelab.core.processes import available_cores
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.features.views import compute
from genrelab.records.prepared import read_parquet
from genrelab.studies.conditions import CLEAN, AlteredAudio, open_cached
from genrelab.studies.patches import BAND_EDGES_HZ, TIMES, Patches, evidence_wav, mel_picture
from genrelab.studies.reclassify import ScoredTrack, StudyInputs, StudyModel, load_bundles, load_inputs, run_jobs

if TYPE_CHECKING:
    from genrelab.core.progress import Notify, ProgressBar
    from genrelab.records.prepared import Prepared

Floats = NDArray[np.float64]

FILE, SOUNDS = "occlusion.json", "occlusion"
N_HARDEST = 3
RUNS_PER_TRACK = 1 + TIMES * len(BAND_EDGES_HZ)
N_PATCHES_KEPT = 3
"""Patches in the WAV file."""

MIN_DROP = 0.01
"""A model whose probabilities change less than this is too confident, or too unsure, to be explained by one patch."""


def study(
    prepared: Prepared | None,
    run: Folder,
    settings: TrainSettings,
    *,
    jobs: int | None,
    notify: Notify,
    bar: ProgressBar,
    at_most: int = N_HARDEST,
) -> dict[str, Any]:
    """Explain the hardest scored tracks of every model of a finished RUN; write RUN/<model>/occlusion.json.

    It never makes a run fail: errors become sentences of `notify`.

    Args:
        prepared, settings: unused; all studies take the same positional arguments.
        jobs: worker processes; None: one per core.
        at_most: number of tracks per model.

    Returns:
        Content of each model's `occlusion.json`, by the model's folder.
    """
    try:
        return _study(run, at_most, jobs or available_cores(), notify, bar)
    except (GenrelabError, OSError) as e:
        notify(f"what decided: not looked for: {e}")
        return {}


def _study(run: Folder, at_most: int, jobs: int, notify: Notify, bar: ProgressBar) -> dict[str, Any]:
    inputs = load_inputs(run)
    if inputs.why_not:
        notify(f"what decided: not looked for: {inputs.why_not}")
        return {}
    hardest = {model.name: hardest_tracks(run, model, inputs.tracks, at_most) for model in inputs.models}
    occlusion_jobs = _make_jobs(inputs, hardest, notify)
    if not occlusion_jobs:
        return {}
    notify(f"{_announcement(occlusion_jobs)}, {_time_estimate(occlusion_jobs, jobs)}")
    with bar("Looking for what decided", "tracks") as progress:
        found = run_jobs(explain, occlusion_jobs, jobs=jobs, progress=progress)
    explained: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for job, answer in zip(occlusion_jobs, found, strict=True):
        if isinstance(answer, str):
            notify(f"  {job.track.track_id}: not explained: {answer}")
            continue
        for question, track in zip(job.questions, answer, strict=True):
            explained[job.models[question.model].name][question.rank] = track
    written = {name: _write_json(run, name, [ranked[r] for r in sorted(ranked)]) for name, ranked in explained.items()}
    for name, content in written.items():
        if content["sentence"]:
            notify(f"  {name}: {content['sentence']}")
    return written


@dataclass(frozen=True)
class Question:
    """A prediction to explain: index of the model, index of the predicted genre, `rank` among its hardest, from 1."""

    model: int
    answer: int
    rank: int


@dataclass(frozen=True)
class OcclusionJob:
    """A track, and all questions about it of models with the same view and clips; sent to worker processes."""

    models: tuple[StudyModel, ...]
    track: ScoredTrack
    questions: tuple[Question, ...]

    @property
    def view(self) -> View:
        """The view of these models."""
        return self.models[self.questions[0].model].view

    @property
    def clips(self) -> ClipSettings:
        """The clip settings of these models."""
        return self.models[self.questions[0].model].clips


def hardest_tracks(
    run: Folder, model: StudyModel, tracks: Sequence[ScoredTrack], at_most: int
) -> list[tuple[ScoredTrack, int]]:
    """Tracks with predictions: the most confident mistakes first, then the least confident correct ones.

    Empty if the probabilities are the same for every track: then there is nothing to explain.
    """
    table = read_parquet(run, f"{model.name}/predictions.parquet")
    p = np.column_stack([table.column(f"p_{g}").to_numpy() for g in model.genres])
    row = {t: i for i, t in enumerate(table.column("track_id").to_pylist())}
    known = [t for t in tracks if t.track_id in row]
    p = p[[row[t.track_id] for t in known]]
    if not known or np.ptp(p, axis=0).max() == 0:
        return []
    answer, confidence = p.argmax(axis=1), p.max(axis=1)
    right = np.array([model.genres[a] == t.genre for t, a in zip(known, answer, strict=True)])
    order = np.lexsort((np.where(right, confidence, -confidence), right))[:at_most]
    return [(known[i], int(answer[i])) for i in order]


def _make_jobs(
    inputs: StudyInputs, chosen: dict[str, list[tuple[ScoredTrack, int]]], notify: Notify
) -> list[OcclusionJob]:
    """One job for all questions about the same clip and view of a track; long jobs first."""
    by_clip: dict[tuple[ScoredTrack, View, ClipSettings], list[Question]] = defaultdict(list)
    for i, model in enumerate(inputs.models):
        if not chosen[model.name]:
            notify(f"what decided: {model.name} answers the same whatever it hears")
        for rank, (track, answer) in enumerate(chosen[model.name], 1):
            by_clip[track, model.view, model.clips].append(Question(i, answer, rank))
    jobs = [OcclusionJob(inputs.models, track, tuple(questions)) for (track, _, _), questions in by_clip.items()]
    return sorted(jobs, key=lambda job: (job.view.name, job.track.track_id), reverse=True)


def _announcement(occlusion_jobs: list[OcclusionJob]) -> str:
    models = {q.model for job in occlusion_jobs for q in job.questions}
    tracks = {job.track.track_id for job in occlusion_jobs}
    return (
        f"What decided: {pluralize(models, 'model')} and the tracks hardest for them, {len(tracks)} in all, are heard "
        f"{RUNS_PER_TRACK} times each"
    )


def _time_estimate(occlusion_jobs: list[OcclusionJob], jobs: int) -> str:
    """Estimated time, from one measurement per view."""
    seconds = 0.0
    for view in {job.view for job in occlusion_jobs}:
        with_view = [job for job in occlusion_jobs if job.view == view]
        seconds += _seconds_per_run(with_view) * RUNS_PER_TRACK * len(with_view)
    return f"about {max(seconds / min(jobs, len(occlusion_jobs)), 1):.0f} s"


def _seconds_per_run(occlusion_jobs: list[OcclusionJob]) -> float:
    """Time of computing the view of the first readable track, the second time: the first one loads modules."""
    for job in occlusion_jobs:
        try:
            clip = first_stretch(job)
            compute(job.view, clip.y, clip.sr)
            start = time.perf_counter()
            compute(job.view, clip.y, clip.sr)
            return time.perf_counter() - start
        except DecodeError:
            continue
    return 0.0


def _write_json(run: Folder, name: str, tracks: list[dict[str, Any]]) -> dict[str, Any]:
    run.remove(f"{name}/{SOUNDS}")
    for i, track in enumerate(tracks, 1):
        wav = track.pop("wav")
        track["evidence"] = f"{SOUNDS}/{i}.wav" if wav else None
        if wav:
            run.write_bytes(f"{name}/{SOUNDS}/{i}.wav", wav)
    largest = max(float(np.abs(t["drop"]).max()) for t in tracks)
    no_decisive_patch = f"no patch by itself moves the probability of its answers by more than {largest:.1%}"
    found = {"tracks": tracks, "sentence": no_decisive_patch if largest < MIN_DROP else None}
    run.write_bytes(f"{name}/{FILE}", json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode())
    return found


# --- in worker processes ---


def first_stretch(job: OcclusionJob) -> Clip:
    """The first clip of the track for these models, cut to what their view uses.

    Raises:
        DecodeError: the file cannot be read any more, or is unusable.
    """
    with closing(open_cached(job.track.path)) as source:
        clip = next(AlteredAudio(source, CLEAN, seed=0).clips(job.clips))
    view = job.view
    if isinstance(view, SamplesView):
        return Clip(clip.start_s, clip.y[: round(view.n_samples / view.sr * clip.sr)], clip.sr)
    if isinstance(view, FramesView):
        return Clip(clip.start_s, clip.y[: round(view.n_frames * view.hop_length / view.sr * clip.sr)], clip.sr)
    return clip


def explain(job: OcclusionJob) -> list[dict[str, Any]] | str:
    """The explanations for every question of a job; or the reason why this track cannot be explained.

    Raises:
        BundleError: a model that cannot be used at all.
    """
    models = load_bundles(job.models)
    try:
        clip = first_stretch(job)
        patches = Patches(clip.y, clip.sr)
        unaltered = _answer_probabilities(job, models, clip.y, clip.sr)
        n_bands = len(patches.f_edges_hz) - 1
        drop = np.zeros((len(job.questions), n_bands, TIMES))
        for band, at, where, sound in patches.all():
            drop[:, band, at] = unaltered - _answer_probabilities(job, models, patches.without(where, sound), clip.sr)
    except GenrelabError as e:
        return str(e)
    return [
        _explanation_json(job, q, clip, patches, p, d) for q, p, d in zip(job.questions, unaltered, drop, strict=True)
    ]


def _answer_probabilities(job: OcclusionJob, models: Sequence[Bundle], y: NDArray[np.float32], sr: int) -> Floats:
    """Probability of each question's answer by its model, on `y` in place of the track, (questions,)."""
    x = np.stack([w.x for w in compute(job.view, y, sr)]).astype(np.float32)
    return np.array([models[q.model].probabilities(x).mean(axis=0)[q.answer] for q in job.questions])


def _explanation_json(
    job: OcclusionJob, q: Question, clip: Clip, patches: Patches, p: float, drop: Floats
) -> dict[str, Any]:
    track = job.track
    ranked = sorted(np.ndindex(drop.shape), key=lambda at: -drop[at])[:N_PATCHES_KEPT]
    kept = [(int(band), int(at)) for band, at in ranked if drop[band, at] > 0]
    mel, mel_hz = mel_picture(clip.y, clip.sr)
    return {
        "track_id": track.track_id,
        "path": track.relative,
        "truth": track.genre,
        "answer": job.models[q.model].genres[q.answer],
        "p": round(float(p), 6),
        "duration_s": track.duration_s,
        "start_s": clip.start_s,
        "end_s": clip.start_s + len(clip.y) / clip.sr,
        "mel": mel,
        "mel_hz": mel_hz,
        "t_edges": [round(clip.start_s + t, 4) for t in patches.t_edges_s],
        "f_edges_hz": patches.f_edges_hz,
        "drop": drop.round(6).tolist(),
        "evidence_patches": kept,
        "wav": evidence_wav(patches, kept) if kept else None,
    }
