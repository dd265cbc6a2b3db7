"""The model card: what a model was trained on, how good it is, what it was not tested on, and its input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from genrelab.core.config import FIRST_CLIP_VIEWS, ClipSettings, EmbeddingView, TableView, View
from genrelab.evaluation import metrics
from genrelab.evaluation.calibration import MIN_TRACKS, Evidence
from genrelab.evaluation.thresholds import LEVEL, Threshold

if TYPE_CHECKING:
    from genrelab.models.base import Model
    from genrelab.records.examples import Examples
    from genrelab.records.task import Task

USAGE_HEADING = "## How it is fed"
"""Heading of the card's last section; the rest of a card is the same in every format."""

PRECISIONS, COVERAGE = (0.5, 0.8, 0.9), 0.9
"""Precisions and coverage that the card reports."""

EMBEDDING_CAVEAT = (
    "Unknown artists are unknown to this model only: the music networks below it were trained on the Million Song "
    "Dataset, which holds songs of many artists, perhaps of these, too."
)
"""What a reader of scores on `embedding` must know."""

MAX_LICENCES = 5  # licences that are named; FMA has some sixty


def card_text(
    model: Model,
    task: Task,
    examples: Examples,
    about: dict[str, Any],
    clips: ClipSettings,
    evidence: Evidence | None = None,
) -> str:
    """The card of a bundle, in Markdown.

    Args:
        about: content of `metrics.json`.
        clips: which stretches of a track it reads.
        evidence: its results on calibration tracks.
    """
    lines = [
        f"# {model.display}",
        "",
        f"Genre classifier made by genrelab {version('genrelab')}: reads `{examples.view.name}`, answers one of "
        f"{len(task.genres)} genres: {', '.join(task.genres)}.",
        "",
        *_data_section(task, about["notes"]),
        *_scores_section(task, about["scores"], examples.view),
        *_per_genre_table(about["scores"]),
        *_calibration_lines(model, about, evidence),
        *_untested_section(task),
        *_licence_section(task),
        *usage_section("onnx", examples.view, clips, len(task.genres)),
        "",
    ]
    return "\n".join(lines)


def _data_section(task: Task, notes: list[str]) -> list[str]:
    split, prepared = task.split, task.prepared
    counts = ", ".join(f"{n} {part}" for part, n in split.counts.items() if n)
    learned = [g for g, part in zip(prepared.tracks["genre"], split.parts, strict=True) if part == "training"]
    by_genre = ", ".join(f"{g} {n}" for g, n in sorted(Counter(learned).items()))
    return [
        "## Data",
        "",
        f"Trained on {split.counts['training']} tracks of {prepared.name} ({by_genre}).",
        f"Split `{split.policy}`: {counts}.",
        *[f"- {note}" for note in (*task.notes, *notes)],
        "",
    ]


def _scores_section(task: Task, s: dict[str, Any], view: View) -> list[str]:
    y, roles = task.labels(chooses=False), np.array(task.split.roles)
    most, genre = metrics.majority(y.y[y.role == "fit"], y.y[roles == "score"])
    return [
        "## Scores",
        "",
        f"On n = {s['n']} tracks of the {task.split.scored_part} part, on which nothing was fitted or chosen; the "
        f"interval counts {s['interval_over']} ({s['n_groups']} of them).",
        "",
        "| score | value | 95 % interval |",
        "|---|---|---|",
        f"| accuracy | {s['accuracy']:.3f} | {s['accuracy_low']:.3f} to {s['accuracy_high']:.3f} |",
        *[f"| {name} | {s[name]:.3f} | |" for name in ("balanced_accuracy", "macro_f1", "top3", "log_loss", "ece")],
        f"| guessing | {metrics.chance(len(task.genres)):.3f} | |",
        f"| always {task.genres[genre]} | {most:.3f} | |",
        "",
        *averaging_lines(view),
    ]


def averaging_lines(view: View) -> list[str]:
    """Where scoring and `predict` differ: of `embedding` one averages what the model reads, the other its answers."""
    if not isinstance(view, EmbeddingView):
        return []
    windows = f"up to {view.max_windows} windows of {view.window_s:.0f} s"
    return [
        f"For these scores the outputs of the frozen networks were averaged over {windows} of each clip or "
        "track. `genrelab predict` lets the model answer on each window, and averages the answers.",
        "",
    ]


def _per_genre_table(s: dict[str, Any]) -> list[str]:
    rows = [_per_genre_row(genre, scores) for genre, scores in s["per_genre"].items()]
    return ["| genre | n | precision | recall | F1 |", "|---|---|---|---|---|", *rows, ""]


def _per_genre_row(genre: str, scores: dict[str, Any]) -> str:
    if not scores["n"]:
        return f"| {genre} | 0 | not measured | not measured | not measured |"
    shown = " | ".join("–" if scores[k] is None else f"{scores[k]:.3f}" for k in ("precision", "recall", "f1"))
    return f"| {genre} | {scores['n']} | {shown} |"


def _calibration_lines(model: Model, about: dict[str, Any], evidence: Evidence | None) -> list[str]:
    found = about.get("calibration")
    if found is None or evidence is None:
        return []
    epochs = ", on which its epoch was chosen, too" if model.needs_validation else ""
    before, after, c, p = (found["scored"][key] for key in ("before", "after", "coverage", "precision"))
    right = "" if p["precision"] is None else f", and {p['precision']:.1%} of these answers are right"
    fitted = was_fitted(found)
    figures = (
        f"the temperature took the log loss from {before['log_loss']:.3f} to {after['log_loss']:.3f} and the ECE from "
        f"{before['ece']:.3f} to {after['ece']:.3f}"
        if fitted
        else f"the log loss is {after['log_loss']:.3f} and the ECE {after['ece']:.3f}"
    )
    return [
        *calibration_section(found["temperature"] if fitted else None, evidence, found["fitted_on"], epochs),
        "",
        f"On the scored tracks {figures}. The sets hold the true genre of {c['covered']:.1%} of them, and "
        f"{c['set_size']:.1f} genres on average. With a precision of {p['asked']:g} asked for, {p['answered']:.1%} of "
        f"them are answered{right}.",
        "",
    ]


def was_fitted(calibration: Mapping[str, Any]) -> bool:
    """Was a temperature fitted? From the `calibration` of a `metrics.json`; older ones do not record it."""
    return bool(calibration.get("fitted", calibration.get("n", MIN_TRACKS) >= MIN_TRACKS))


def calibration_section(temperature: float | None, evidence: Evidence, fitted_on: str, remark: str = "") -> list[str]:
    """The card's section on what calibration tracks support, without what was measured elsewhere.

    Args:
        temperature: None where none was fitted.
        fitted_on: which tracks they are, in words.
        remark: a further remark on them.
    """
    found = [evidence.thresholds(p) for p in PRECISIONS]
    supported = [g for g in evidence.genres if any(of[g].confidence is not None for of in found)]
    never = [g for g in evidence.genres if g not in supported]
    table = [
        f"| answer | {' | '.join(f'precision {p:g}' for p in PRECISIONS)} |",
        f"|---|{'---|' * len(PRECISIONS)}",
        *[f"| {genre} | {' | '.join(_format_threshold(of[genre]) for of in found)} |" for genre in supported],
    ]
    tracks = f"{evidence.n} tracks ({fitted_on}) of {evidence.n_artists} artists or single tracks{remark}"
    rest = [f"Supported at none of {', '.join(f'{p:g}' for p in PRECISIONS)}: {', '.join(never)}."]
    return [
        "## How sure",
        "",
        f"No temperature was fitted: its probabilities are as they came. What follows rests on {tracks}."
        if temperature is None
        else f"Calibrated on {tracks}. Temperature {temperature:g}.",
        "",
        f"`--coverage {COVERAGE:g}` names every genre with a probability of {evidence.least_likely(COVERAGE):g} or "
        f"more, and where none has, the most probable until they add up to {COVERAGE:g}; of tracks like these, a share "
        f"of {COVERAGE:g} or more has its genre among them.",
        "",
        "With `--min-precision` an answer counts from these confidences on, and is `unknown` below. Each is the lowest "
        f"that has the precision with a probability of {LEVEL:.0%}, given the calibration tracks of that genre, the "
        "tracks of one artist being taken for alike, and as a prior those of other genres. In brackets: how many of "
        "that genre's own answers were right, and by how many artists the tracks are.",
        "",
        *(table if supported else rest),
        *(["", *rest] if supported and never else []),
    ]


def _format_threshold(t: Threshold) -> str:
    if t.confidence is None:
        return "never"
    return f"{t.confidence:g} ({t.right} of {t.n}, by {t.n_artists})"


def _untested_section(task: Task) -> list[str]:
    leak = {
        "random": " Artists may stand on both sides of the split: expect less of artists that it has not heard.",
        "article": " The article's split leaks artists: expect far less of artists that it has not heard.",
    }.get(task.split.policy, "")
    return [
        "## Not tested on",
        "",
        "Other collections, recordings by microphone, speech, and music of none of these genres: it answers one of its "
        f"genres whatever it hears.{leak}",
        "",
    ]


def _licence_section(task: Task) -> list[str]:
    t = task.prepared.tracks
    counts = Counter(x for x, part in zip(t["licence"], task.split.parts, strict=True) if part == "training")
    unknown = counts.pop(None, 0) + counts.pop("", 0)
    named = [f"{name} ({n} tracks)" for name, n in counts.most_common(MAX_LICENCES)]
    others = sum(counts.values()) - sum(n for _, n in counts.most_common(MAX_LICENCES))
    named += [f"{len(counts) - MAX_LICENCES} other licences ({others} tracks)"] if others else []
    named += [f"no licence known ({unknown} tracks)"] if unknown else []
    return [
        "## Licence",
        "",
        f"What it was trained on: {', '.join(named)}. genrelab grants no rights in that music and claims none in this "
        "model: whether it may be used for a purpose follows from the licences of the music.",
        "",
    ]


def usage_section(form: str, view: View, clips: ClipSettings, n_genres: int) -> list[str]:
    """The card's last section: how to use a model in one form (`onnx`, `litert`, `saved-model`, `waveform-onnx`)."""
    shape = ", ".join(str(n) for n in view.shape)
    ends = f"`x`, float32 (windows, {shape}), goes in; `probabilities`, float32 (windows, {n_genres}), comes out"
    if form == "waveform-onnx":
        assert not isinstance(view, TableView)
        ends = (
            f"`samples`, float32 (samples,), mono, full scale 1, at {view.sr:,} Hz, of one clip, goes in "
            f"({clips.min_s:g} s or longer: what it says of less, or of silence, means nothing); "
            f"`probabilities`, float32 ({n_genres},), comes out"
        )
    first = {
        "onnx": f"`model.onnx`, for onnxruntime: {ends}.",
        "litert": f"`model.tflite`, for LiteRT, signature `serving_default`: {ends}.",
        "saved-model": f"This folder, for `tf.saved_model.load`, signature `serving_default`: {ends}.",
        "waveform-onnx": f"`model.onnx`, for onnxruntime on servers, in browsers and on phones: {ends}.",
    }[form]
    numbers = "bundle.json" if form == "onnx" else "settings.json"
    also = " and in the graph's metadata, beside its rate" if form == "waveform-onnx" else ""
    genres = f"The genres, in the order of the probabilities, stand in `{numbers}`{also}."
    return [USAGE_HEADING, "", first, genres, "", _window_text(form, view), "", _clips_text(view, clips)]


def _window_text(form: str, view: View) -> str:
    numbers = "bundle.json" if form == "onnx" else "settings.json"
    networks = isinstance(view, EmbeddingView)
    if form == "waveform-onnx":
        inside = "levels, windows and the frozen networks" if networks else "levels and windows"
        return f"Nothing else is computed before or behind it but the resampling; {inside} are its own matter."
    if isinstance(view, TableView):
        return f"A window is a row of the columns that `{numbers}` names, in that order."
    return (
        f"A window is what the view `{view.name}` makes of mono samples at {view.sr:,} Hz, with the numbers in "
        f"`{numbers}`: in Python `genrelab.views.compute` does it, and `genrelab predict` all of this."
        + (" It runs the frozen networks that come with genrelab; this model is what follows them." if networks else "")
    )


def _clips_text(view: View, clips: ClipSettings) -> str:
    if isinstance(view, TableView):
        return "The probabilities of a track are the mean over its rows."
    if view.name in FIRST_CLIP_VIEWS:
        return f"Of a track only the beginning is heard: its first clip, of up to {clips.clip_s:g} s."
    numbers = f"floor((i + 1/2) n / {clips.max_clips}) for i from 1 to {clips.max_clips - 1}"
    others = f" and, counted from 0, those with the numbers {numbers}" if clips.max_clips > 1 else ""
    return (
        f"A track of up to {clips.clip_s * (1 + clips.tolerance):g} s is one clip. A longer one is cut into clips of "
        f"{clips.clip_s:g} s, and one more that ends where the track ends if at least half a clip is left. Of n "
        f"clips, more than {clips.max_clips}, the first is heard{others}; silent ones are left out. The probabilities "
        f"of a track are the mean over its clips.{_early_stop_text(view)}"
    )


def _early_stop_text(view: View) -> str:
    if not isinstance(view, EmbeddingView):
        return ""
    return (
        " `genrelab predict` takes clips spread over the track and stops as soon as the answer is clear, after two at "
        "the earliest; with `--windows all` it takes every clip."
    )
