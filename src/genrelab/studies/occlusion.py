"""Occlusion maps: attenuate patches of time x frequency of the hardest tracks and classify them again.

RUN/<model>/occlusion.json, for the three test tracks with the model's most confident mistakes:
    {"tracks": [{"track_id", "path", "truth", "answer", "p", "duration_s", "start_s", "end_s",
                 "mel": [[dB]], "mel_hz": [Hz],                  picture of the clip: bands x frames
                 "t_edges": [s], "f_edges_hz": [Hz],
                 "drop": [[float]],                              bands x times
                 "evidence": "occlusion/1.wav" | null, "evidence_patches": [[band, time]]}],
     "sentence": str | null}                                         if no single patch has a clear effect

The clip is the first one that the model uses of the track, and `p` the probability of its answer there. A drop is how
much `p` falls when a patch is attenuated by 20 dB; if negative, the patch was evidence against the answer. Models are
treated as black boxes, so statistics, pictures and samples are all explained in the same way (Zeiler and Fergus 2014).
The WAV contains the three patches with the largest drops.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.clips import Clip
from genrelab.core.config import ClipSettings, FramesView, SamplesView, View
from genrelab.core.errors import GenrelabError
from genrelab.core.processes import DECODER_CRASHED
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.features.views import compute
from genrelab.records.prepared import read_parquet
from genrelab.studies.conditions import CLEAN, AlteredAudio, open_cached
from genrelab.studies.patches import MIN_SAMPLES, TIMES, Patches, evidence_wav, mel_picture
from genrelab.studies.reclassify import ScoredTrack, StudyInputs, StudyModel, load_bundles, load_inputs, run_jobs

if TYPE_CHECKING:
    from genrelab.core.progress import Notify, ProgressBar

Floats = NDArray[np.float64]
Explanation = list[dict[str, Any]] | str  # of each question on a track; or why the track cannot be explained

FILE, SOUNDS = "occlusion.json", "occlusion"
N_HARDEST = 3
N_PATCHES_KEPT = 3
"""Patches in the WAV file."""

CRASHED: Explanation = DECODER_CRASHED
MIN_DROP = 0.01
"""If the probabilities of a model change less than this, no single patch explains them."""


def study(run: Folder, *, jobs: int | None, notify: Notify, bar: ProgressBar) -> dict[str, Any]:
    """Explain the hardest test tracks of every model of a finished RUN; write RUN/<model>/occlusion.json.

    It never makes a run fail: errors become messages.

    Args:
        jobs: worker processes; None: one per core.

    Returns:
        Content of each model's `occlusion.json`, by the model's folder.
    """
    try:
        return _study(run, jobs, notify, bar)
    except (GenrelabError, OSError) as e:
        notify(f"Occlusion maps: not made: {e}")
        return {}


def _study(run: Folder, jobs: int | None, notify: Notify, bar: ProgressBar) -> dict[str, Any]:
    inputs = load_inputs(run)
    if inputs.why_not:
        notify(f"  Occlusion maps: not made: {inputs.why_not}")
        return {}
    hardest = {model.name: hardest_tracks(run, model, inputs.tracks, N_HARDEST) for model in inputs.models}
    asked = _questions_by_clip(inputs, hardest, notify)
    if not asked:
        return {}
    n_models = pluralize({q.model for _, questions in asked for q in questions}, "model")
    n_tracks = pluralize({track.track_id for (track, _, _), _ in asked}, "hard track")
    notify(f"  Occlusion maps: {n_tracks} of {n_models}")
    with bar("Occlusion maps", "tracks") as progress:
        found = run_jobs(partial(explain, inputs.models), asked, jobs=jobs, progress=progress, crashed=CRASHED)
    explained: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for ((hard, _, _), questions), answer in zip(asked, found, strict=True):
        if isinstance(answer, str):
            notify(f"  {hard.track_id}: no occlusion map: {answer}")
            continue
        for question, track in zip(questions, answer, strict=True):
            explained[inputs.models[question.model].name][question.rank] = track
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


ClipKey = tuple[ScoredTrack, View, ClipSettings]
"""What an explanation depends on besides the models: those with the same view and clips share it."""


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


def _questions_by_clip(
    inputs: StudyInputs, chosen: dict[str, list[tuple[ScoredTrack, int]]], notify: Notify
) -> list[tuple[ClipKey, list[Question]]]:
    """All questions about the same clip and view of a track together; those that take long first."""
    by_clip: dict[ClipKey, list[Question]] = defaultdict(list)
    for i, model in enumerate(inputs.models):
        if not chosen[model.name]:
            notify(f"  {model.name}: no occlusion map: the same answer for every track")
        for rank, (track, answer) in enumerate(chosen[model.name], 1):
            by_clip[track, model.view, model.clips].append(Question(i, answer, rank))
    return sorted(by_clip.items(), key=lambda asked: (asked[0][1].name, asked[0][0].track_id), reverse=True)


def _write_json(run: Folder, name: str, tracks: list[dict[str, Any]]) -> dict[str, Any]:
    run.remove(f"{name}/{SOUNDS}")
    for i, track in enumerate(tracks, 1):
        wav = track.pop("wav")
        track["evidence"] = f"{SOUNDS}/{i}.wav" if wav else None
        if wav:
            run.write_bytes(f"{name}/{SOUNDS}/{i}.wav", wav)
    largest = max(float(np.abs(t["drop"]).max()) for t in tracks)
    no_effect = f"no single patch changes the probability of an answer by more than {100 * largest:.1f} points"
    found = {"tracks": tracks, "sentence": no_effect if largest < MIN_DROP else None}
    run.write_bytes(f"{name}/{FILE}", json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode())
    return found


# --- in worker processes ---


def first_stretch(track: ScoredTrack, view: View, clips: ClipSettings) -> Clip:
    """The first clip of the track, cut to what the view uses.

    Raises:
        DecodeError: the file cannot be read any more, or is unusable.
    """
    with closing(open_cached(track.path)) as source:
        clip = next(AlteredAudio(source, CLEAN, seed=0).clips(clips))
    if not isinstance(view, SamplesView | FramesView):
        return clip
    n = view.n_samples if isinstance(view, SamplesView) else view.n_frames * view.hop_length
    return Clip(clip.start_s, clip.y[: round(n / view.sr * clip.sr)], clip.sr)


def explain(study_models: tuple[StudyModel, ...], asked: tuple[ClipKey, list[Question]]) -> Explanation:
    """The explanations for every question about a clip.

    Raises:
        BundleError: a model cannot be used at all.
    """
    models = load_bundles(study_models)
    (track, view, clips), questions = asked

    def answer_probabilities(y: NDArray[np.float32]) -> Floats:
        """Probability of each question's answer by its model, on `y` in place of the clip, (questions,)."""
        x = np.stack([w.x for w in compute(view, y, clip.sr)]).astype(np.float32)
        return np.array([models[q.model].probabilities(x).mean(axis=0)[q.answer] for q in questions])

    try:
        clip = first_stretch(track, view, clips)
        if len(clip.y) < MIN_SAMPLES:
            return f"the model reads only {pluralize(clip.y, 'sample')}, at least {MIN_SAMPLES} are needed"
        patches = Patches(clip.y, clip.sr)
        unaltered = answer_probabilities(clip.y)
        drop = np.zeros((len(questions), len(patches.f_edges_hz) - 1, TIMES))
        for band, at, where, sound in patches.all():
            drop[:, band, at] = unaltered - answer_probabilities(patches.without(where, sound))
    except GenrelabError as e:
        return str(e)
    about = {"track_id": track.track_id, "path": track.relative, "truth": track.genre, "duration_s": track.duration_s}
    return [
        {**about, "answer": study_models[q.model].genres[q.answer], **_explanation_json(clip, patches, float(p), d)}
        for q, p, d in zip(questions, unaltered, drop, strict=True)
    ]


def _explanation_json(clip: Clip, patches: Patches, p: float, drop: Floats) -> dict[str, Any]:
    ranked = sorted(np.ndindex(drop.shape), key=lambda at: -drop[at])[:N_PATCHES_KEPT]
    kept = [(int(band), int(at)) for band, at in ranked if drop[band, at] > 0]
    mel, mel_hz = mel_picture(clip.y, clip.sr)
    return {
        "p": round(p, 6),
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
