"""What decided? Patches of time x frequency of the hardest tracks are turned down, and the models asked again.

RUN/<model>/occlusion.json, for the three scored tracks that the model is most surely wrong about:
    {"tracks": [{"track_id", "path", "truth", "answer", "p", "duration_s", "start_s", "end_s",
                 "mel": [[dB]], "mel_hz": [Hz],                  a picture of what it heard: bands x frames
                 "t_edges": [s], "f_edges_hz": [Hz],
                 "drop": [[float]],                              bands x times
                 "evidence": "occlusion/1.wav" | null, "evidence_patches": [[band, time]]}],
     "sentence": str | null}                                         where no patch by itself decided

The stretch is the first one that the model hears of the track, and `p` the probability of its answer there. A drop is
how much `p` falls when a patch is turned down by 20 dB; below zero, the patch spoke against the answer. No model needs
to be looked into for this, so that statistics, pictures and samples are all explained in one way (Zeiler and Fergus
2014). The WAV holds the three patches that mattered most, to listen to.
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
from genrelab.studies.hearing import ScoredTrack, StudyInputs, StudyModel, load_bundles, load_inputs, run_jobs
from genrelab.studies.patches import BAND_EDGES_HZ, TIMES, Patches, evidence_wav, mel_picture

if TYPE_CHECKING:
    from genrelab.core.progress import Notify, ProgressBar
    from genrelab.records.prepared import Prepared

Floats = NDArray[np.float64]

FILE, SOUNDS = "occlusion.json", "occlusion"
N_HARDEST = 3
RUNS_PER_TRACK = 1 + TIMES * len(BAND_EDGES_HZ)
N_PATCHES_KEPT = 3
"""Patches that are kept to listen to."""

MIN_DROP = 0.01
"""A model whose probabilities move less than this is too sure, or too unsure, for any patch to explain it."""


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

    A run never fails by it: what cannot be explained is a sentence.

    Args:
        prepared, settings: not needed; studies are called alike.
        jobs: worker processes; None: one a core.
        at_most: so many tracks of each model.

    Returns:
        What each model's `occlusion.json` holds, by the model's folder.
    """
    try:
        return _study(run, at_most, jobs or available_cores(), notify, bar)
    except (GenrelabError, OSError) as e:
        notify(f"what decided: not looked for: {e}")
        return {}


def _study(run: Folder, at_most: int, jobs: int, notify: Notify, bar: ProgressBar) -> dict[str, Any]:
    who = load_inputs(run)
    if who.why_not:
        notify(f"what decided: not looked for: {who.why_not}")
        return {}
    orders = _make_jobs(who, {e.name: hardest_tracks(run, e, who.tracks, at_most) for e in who.models}, notify)
    if not orders:
        return {}
    notify(f"{_scope(orders)}, {_cost(orders, jobs)}")
    with bar("Looking for what decided", "tracks") as progress:
        found = run_jobs(explain, orders, jobs=jobs, progress=progress)
    explained: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for order, answer in zip(orders, found, strict=True):
        if isinstance(answer, str):
            notify(f"  {order.track.track_id}: not explained: {answer}")
            continue
        for question, track in zip(order.questions, answer, strict=True):
            explained[order.models[question.model].name][question.rank] = track
    told = {name: _write(run, name, [ranked[r] for r in sorted(ranked)]) for name, ranked in explained.items()}
    for name, model in told.items():
        if model["sentence"]:
            notify(f"  {name}: {model['sentence']}")
    return told


@dataclass(frozen=True)
class Question:
    """Why did a model (its place among the ears) answer a genre (its index)? `rank` among its hardest, from 1."""

    model: int
    answer: int
    rank: int


@dataclass(frozen=True)
class OcclusionJob:
    """A track, and all questions about it of models that read the same of it; crosses process borders."""

    models: tuple[StudyModel, ...]
    track: ScoredTrack
    questions: tuple[Question, ...]

    @property
    def view(self) -> View:
        """What these models read."""
        return self.models[self.questions[0].model].view

    @property
    def clips(self) -> ClipSettings:
        """The stretches that they hear."""
        return self.models[self.questions[0].model].clips


def hardest_tracks(
    run: Folder, ear: StudyModel, tracks: Sequence[ScoredTrack], at_most: int
) -> list[tuple[ScoredTrack, int]]:
    """The tracks that a model is most surely wrong about, with what it answers; then those it is least surely right on.

    Empty where it answers the same whatever it hears: then nothing decided.
    """
    table = read_parquet(run, f"{ear.name}/predictions.parquet")
    p = np.column_stack([table.column(f"p_{g}").to_numpy() for g in ear.genres])
    row = {t: i for i, t in enumerate(table.column("track_id").to_pylist())}
    known = [t for t in tracks if t.track_id in row]
    p = p[[row[t.track_id] for t in known]]
    if not known or np.ptp(p, axis=0).max() == 0:
        return []
    answer, confidence = p.argmax(axis=1), p.max(axis=1)
    right = np.array([ear.genres[a] == t.genre for t, a in zip(known, answer, strict=True)])
    order = np.lexsort((np.where(right, confidence, -confidence), right))[:at_most]
    return [(known[i], int(answer[i])) for i in order]


def _make_jobs(
    who: StudyInputs, chosen: dict[str, list[tuple[ScoredTrack, int]]], notify: Notify
) -> list[OcclusionJob]:
    """The questions, those about the same stretch and view of a track together; long work first."""
    together: dict[tuple[ScoredTrack, View, ClipSettings], list[Question]] = defaultdict(list)
    for i, ear in enumerate(who.models):
        if not chosen[ear.name]:
            notify(f"what decided: {ear.name} answers the same whatever it hears")
        for rank, (track, answer) in enumerate(chosen[ear.name], 1):
            together[track, ear.view, ear.clips].append(Question(i, answer, rank))
    orders = [OcclusionJob(who.models, track, tuple(asked)) for (track, _, _), asked in together.items()]
    return sorted(orders, key=lambda o: (o.view.name, o.track.track_id), reverse=True)


def _scope(orders: list[OcclusionJob]) -> str:
    models = {q.model for o in orders for q in o.questions}
    tracks = {o.track.track_id for o in orders}
    return (
        f"What decided: {pluralize(models, 'model')} and the tracks hardest for them, {len(tracks)} in all, are heard "
        f"{RUNS_PER_TRACK} times each"
    )


def _cost(orders: list[OcclusionJob], jobs: int) -> str:
    """About how long it takes, from one hearing for each view."""
    seconds = 0.0
    for view in {o.view for o in orders}:
        mine = [o for o in orders if o.view == view]
        seconds += _seconds_per_run(mine) * RUNS_PER_TRACK * len(mine)
    return f"about {max(seconds / min(jobs, len(orders)), 1):.0f} s"


def _seconds_per_run(orders: list[OcclusionJob]) -> float:
    """Of the first track that can be read, the second time: the first one also loads what it needs."""
    for order in orders:
        try:
            clip = first_stretch(order)
            compute(order.view, clip.y, clip.sr)
            began = time.perf_counter()
            compute(order.view, clip.y, clip.sr)
            return time.perf_counter() - began
        except DecodeError:
            continue
    return 0.0


def _write(run: Folder, name: str, tracks: list[dict[str, Any]]) -> dict[str, Any]:
    run.remove(f"{name}/{SOUNDS}")
    for i, track in enumerate(tracks, 1):
        wav = track.pop("wav")
        track["evidence"] = f"{SOUNDS}/{i}.wav" if wav else None
        if wav:
            run.write_bytes(f"{name}/{SOUNDS}/{i}.wav", wav)
    most = max(float(np.abs(t["drop"]).max()) for t in tracks)
    sure = f"no patch by itself moves the probability of its answers by more than {most:.1%}"
    found = {"tracks": tracks, "sentence": sure if most < MIN_DROP else None}
    run.write_bytes(f"{name}/{FILE}", json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode())
    return found


# --- in worker processes ---


def first_stretch(order: OcclusionJob) -> Clip:
    """The first stretch of the track that these models hear, no longer than their view looks.

    Raises:
        DecodeError: the file cannot be read any more, or nothing of it can be used.
    """
    with closing(open_cached(order.track.path)) as source:
        clip = next(AlteredAudio(source, CLEAN, seed=0).clips(order.clips))
    view = order.view
    if isinstance(view, SamplesView):
        return Clip(clip.start_s, clip.y[: round(view.n_samples / view.sr * clip.sr)], clip.sr)
    if isinstance(view, FramesView):
        return Clip(clip.start_s, clip.y[: round(view.n_frames * view.hop_length / view.sr * clip.sr)], clip.sr)
    return clip


def explain(order: OcclusionJob) -> list[dict[str, Any]] | str:
    """What decided, for every question of an order; or why that cannot be said of this track.

    Raises:
        BundleError: a model that cannot be used at all.
    """
    models = load_bundles(order.models)
    try:
        clip = first_stretch(order)
        patches = Patches(clip.y, clip.sr)
        whole = _answer_probabilities(order, models, clip.y, clip.sr)
        n_bands = len(patches.f_edges_hz) - 1
        drop = np.zeros((len(order.questions), n_bands, TIMES))
        for band, at, where, sound in patches.all():
            drop[:, band, at] = whole - _answer_probabilities(order, models, patches.without(where, sound), clip.sr)
    except GenrelabError as e:
        return str(e)
    return [
        _explanation_json(order, q, clip, patches, p, d) for q, p, d in zip(order.questions, whole, drop, strict=True)
    ]


def _answer_probabilities(order: OcclusionJob, models: Sequence[Bundle], y: NDArray[np.float32], sr: int) -> Floats:
    """Probability that each question's model gives its answer, on a stretch taken for a track, (questions,)."""
    x = np.stack([w.x for w in compute(order.view, y, sr)]).astype(np.float32)
    return np.array([models[q.model].probabilities(x).mean(axis=0)[q.answer] for q in order.questions])


def _explanation_json(
    order: OcclusionJob, q: Question, clip: Clip, patches: Patches, p: float, drop: Floats
) -> dict[str, Any]:
    track = order.track
    best = sorted(np.ndindex(drop.shape), key=lambda at: -drop[at])[:N_PATCHES_KEPT]
    kept = [(int(band), int(at)) for band, at in best if drop[band, at] > 0]
    mel, mel_hz = mel_picture(clip.y, clip.sr)
    return {
        "track_id": track.track_id,
        "path": track.relative,
        "truth": track.genre,
        "answer": order.models[q.model].genres[q.answer],
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
