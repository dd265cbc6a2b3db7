"""The model card: what a model is, how good it is and on which tracks, its limits, its training data, its input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from genrelab.core.config import FIRST_CLIP_VIEWS, ClipSettings, EmbeddingView, TableView, View
from genrelab.core.text import percent, pluralize
from genrelab.evaluation import metrics
from genrelab.evaluation.calibration import MIN_TRACKS, Evidence
from genrelab.evaluation.percent import format_interval, format_percent
from genrelab.evaluation.thresholds import LEVEL, Threshold

if TYPE_CHECKING:
    from genrelab.models.base import Model
    from genrelab.records.examples import Examples
    from genrelab.records.task import Task

USAGE_HEADING, EARLIER_USAGE_HEADING = "## Input and output", "## How it is fed"
"""Heading of the card's last section, now and in genrelab 0.2; the rest of a card is the same in every format."""

PRECISIONS, COVERAGE = (0.5, 0.8, 0.9), 0.9
"""Precisions and coverage that the card reports."""

EMBEDDING_CAVEAT = (
    "The frozen music networks that this model is built on were trained on the Million Song Dataset, which may contain "
    "songs by the same artists: an artist who is new to this model may have been in their training data."
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
    view, genres = examples.view, task.genres
    use = f"audio (view `{view.name}`). Use it with `genrelab predict FILE --model BUNDLE`."
    return join_paragraphs(
        f"# {model.display}",
        f"A genre classifier for {len(genres)} genres: {', '.join(genres)}. It reads "
        f"{'rows of a table.' if isinstance(view, TableView) else use} Made by genrelab {version('genrelab')}.",
        *_scores_section(task, about["scores"], view),
        *_confidence_section(model, task, about.get("calibration"), evidence),
        *_limits_section(task, about["notes"]),
        *_data_section(task),
        *_licence_section(task),
        *usage_section("onnx", view, clips, len(genres)),
    )


def join_paragraphs(*paragraphs: str) -> str:
    """A text of headings, paragraphs and tables; empty ones are left out."""
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def _scores_section(task: Task, s: dict[str, Any], view: View) -> list[str]:
    y, roles = task.labels(chooses=False), np.array(task.split.roles)
    share, genre = metrics.majority(y.y[y.role == "fit"], y.y[roles == "score"])
    rows = {
        "accuracy": f"{format_percent(s['accuracy'])} | {format_interval(s['accuracy_low'], s['accuracy_high'])} %",
        "balanced accuracy": format_percent(s["balanced_accuracy"]) + " |",
        "macro F1": f"{s['macro_f1']:.3f} |",
        "true genre among the top 3": format_percent(s["top3"]) + " |",
        "log loss": f"{s['log_loss']:.3f} |",
        "expected calibration error (ECE)": f"{s['ece']:.3f} |",
        "chance": format_percent(metrics.chance(len(task.genres))) + " |",
        f"always guessing {task.genres[genre]}": format_percent(share) + " |",
    }
    return [
        "## Scores",
        f"Measured on {pluralize(s['n'], f'{task.split.scored_part} track')}, which were used neither for training "
        f"nor for choosing settings. The interval is computed over {s['interval_over']} (n = {s['n_groups']}).",
        table("score | value | 95 % interval", [f"{name} | {value}" for name, value in rows.items()]),
        averaging_note(view),
        table("genre | n | precision | recall | F1", [_genre_row(*row) for row in s["per_genre"].items()]),
    ]


def table(columns: str, rows: list[str]) -> str:
    """A table in Markdown; the cells of a row are separated by ` | `."""
    line = "|---" * (columns.count("|") + 1) + "|"
    return "\n".join([f"| {columns} |", line, *(f"| {row} |" for row in rows)])


def averaging_note(view: View) -> str:
    """How scoring and `predict` differ for models on `embedding`; empty for others."""
    if not isinstance(view, EmbeddingView):
        return ""
    return (
        f"For these scores the model classified the mean of up to {view.max_windows} windows of {view.window_s:.0f} s. "
        "`genrelab predict` classifies each window and averages the probabilities."
    )


def _genre_row(genre: str, scores: Mapping[str, Any]) -> str:
    if not scores["n"]:
        return f"{genre} | 0 | not measured | not measured | not measured"
    shown = " | ".join("–" if scores[k] is None else f"{scores[k]:.3f}" for k in ("precision", "recall", "f1"))
    return f"{genre} | {scores['n']} | {shown}"


def _confidence_section(
    model: Model, task: Task, found: Mapping[str, Any] | None, evidence: Evidence | None
) -> list[str]:
    if found is None or evidence is None:
        return []
    chose = model.needs_validation and not model.settings.uses_last_epoch
    remark = " The best epoch was chosen on them, too." if chose else ""
    before, after, c, p = (found["scored"][key] for key in ("before", "after", "coverage", "precision"))
    fitted = was_fitted(found)
    changes = [(f"from {before[k]:.3f} to " if fitted else "") + f"{after[k]:.3f}" for k in ("log_loss", "ece")]
    correct = "" if p["precision"] is None else f", and {format_percent(p['precision'])} of these answers are correct"
    answered = format_percent(p["answered"]) if p["answered"] else "none"
    return [
        *calibration_section(found["temperature"] if fitted else None, evidence, found["fitted_on"], remark),
        f"On the {task.split.scored_part} tracks{', calibration changes these scores' * fitted}: log loss "
        f"{changes[0]}, ECE {changes[1]}. `--coverage {COVERAGE:g}` lists {c['set_size']:.1f} genres on average, and "
        f"the true genre is among them for {format_percent(c['covered'])} of the tracks. `--min-precision "
        f"{p['asked']:g}` gives a genre to {answered} of them{correct}.",
    ]


def was_fitted(calibration: Mapping[str, Any]) -> bool:
    """Was a temperature fitted? From the `calibration` of a `metrics.json`; older ones do not record it."""
    return bool(calibration.get("fitted", calibration.get("n", MIN_TRACKS) >= MIN_TRACKS))


def calibration_section(temperature: float | None, evidence: Evidence, fitted_on: str, remark: str = "") -> list[str]:
    """The paragraphs of the card's section on confidence: what the calibration tracks support.

    Args:
        temperature: None where none was fitted.
        fitted_on: which tracks they are, in words.
        remark: a further sentence on them.
    """
    found = [evidence.thresholds(p) for p in PRECISIONS]
    supported = [g for g in evidence.genres if any(of[g].confidence is not None for of in found)]
    never = [g for g in evidence.genres if g not in supported]
    rows = [" | ".join([genre, *(_format_threshold(of[genre]) for of in found)]) for genre in supported]
    tracks = f"{pluralize(evidence.n, 'track')} ({fitted_on})"
    short = f", at least {MIN_TRACKS} are needed" if evidence.n < MIN_TRACKS else ""
    return [
        "## Confidence",
        (f"Not calibrated: {tracks}{short}." if temperature is None else f"Calibrated on {tracks}.")
        + f" They are by {pluralize(evidence.n_artists, 'artist')}; each track by an unknown artist counts as an "
        f"artist of its own.{remark}" + ("" if temperature is None else f" Temperature: {temperature:g}."),
        "`genrelab predict` gives a track a genre if the confidence reaches that genre's minimum, and `unknown` "
        "otherwise. The minimum depends on `--min-precision`, the share of answers that should be correct:",
        table(" | ".join(["genre", *(f"precision {100 * p:g} %" for p in PRECISIONS)]), rows) if rows else "",
        f"Genres that reach none of these precisions: {', '.join(never)}." if never else "",
        "In brackets: of the calibration tracks that got this genre with at least this confidence, how many are "
        "correct, and their number of artists. A minimum reaches its precision with a probability of "
        f"{percent(LEVEL)}. For genres with few tracks, the tracks of the other genres are used too; tracks by one "
        "artist are not treated as independent.",
        f"`--coverage {COVERAGE:g}` lists every genre of probability {evidence.least_likely(COVERAGE):g} or more; "
        f"if there is none, the most probable ones until they add up to {COVERAGE:g}. For tracks like these the true "
        f"genre is among them at least {percent(COVERAGE)} of the time.",
    ]


def _format_threshold(t: Threshold) -> str:
    if t.confidence is None:
        return "never"
    return f"{t.confidence:g} ({t.right} of {t.n} correct, {pluralize(t.n_artists, 'artist')})"


def _limits_section(task: Task, notes: list[str]) -> list[str]:
    leak = {
        "random": " Artists may be in both the training and the test set: expect lower scores for new artists.",
        "article": " Artists are in both the training and the test set: expect far lower scores for new artists.",
    }.get(task.split.policy, "")
    return [
        "## Limits",
        "Not tested on other collections, microphone recordings, speech or music of other genres. The model gives "
        f"probabilities for its own genres only.{leak}",
        "\n".join(f"- {note}" for note in notes),
    ]


def _data_section(task: Task) -> list[str]:
    split, prepared = task.split, task.prepared
    counts = ", ".join(f"{n:,} {part}" for part, n in split.counts.items() if n)
    trained = [g for g, part in zip(prepared.tracks["genre"], split.parts, strict=True) if part == "training"]
    by_genre = ", ".join(f"{g} {n:,}" for g, n in sorted(Counter(trained).items()))
    return [
        "## Training data",
        f"{pluralize(trained, 'track')} of {prepared.name}: {by_genre}. Split `{split.policy}`: {counts}.",
        "\n".join(f"- {note}" for note in task.notes),
    ]


def _licence_section(task: Task) -> list[str]:
    licences = zip(task.prepared.tracks["licence"], task.split.parts, strict=True)
    counts = Counter(licence or "" for licence, part in licences if part == "training")
    unknown = counts.pop("", 0)
    named = counts.most_common(MAX_LICENCES)
    if others := counts.most_common()[MAX_LICENCES:]:
        named.append((pluralize(others, "other licence"), sum(n for _, n in others)))
    named += [("unknown", unknown)] if unknown else []
    text = ", ".join(f"{name} ({pluralize(n, 'track')})" for name, n in named)
    return [
        "## Licence",
        f"Licences of the training tracks: {text}. genrelab grants no rights in that music and claims none in this "
        "model. Whether you may use the model depends on the licences of the music.",
    ]


def split_usage(card: str) -> tuple[str, str]:
    """A card before its last section (`usage_section`), and that section, which may be missing."""
    before, heading, after = card.partition(USAGE_HEADING if USAGE_HEADING in card else EARLIER_USAGE_HEADING)
    return before, heading + after


def usage_section(form: str, view: View, clips: ClipSettings, n_genres: int) -> list[str]:
    """The card's last section: how to use a model in one form (`onnx`, `litert`, `saved-model`, `waveform-onnx`)."""
    file = {
        "onnx": "`model.onnx`, for onnxruntime",
        "litert": "`model.tflite`, for LiteRT, signature `serving_default`",
        "saved-model": "This folder, for `tf.saved_model.load`, signature `serving_default`",
        "waveform-onnx": "`model.onnx`, for onnxruntime on servers, in browsers and on phones",
    }[form]
    numbers = "`bundle.json`" if form == "onnx" else "`settings.json`"
    given = f"`x`, float32 (windows, {', '.join(map(str, view.shape))})"
    result, window = f"(windows, {n_genres})", _window_text(view, numbers)
    if form == "waveform-onnx":
        assert not isinstance(view, TableView)
        networks = isinstance(view, EmbeddingView)
        steps = ", cuts windows and runs the frozen music networks" if networks else " and cuts windows"
        given = (
            f"`samples`, float32 (samples,): a clip of at least {clips.min_s:g} s, mono, full scale 1, {view.sr:,} Hz"
        )
        result, numbers = f"({n_genres},)", f"{numbers} and, with the sample rate, in the graph's metadata"
        window = (
            f"The audio only needs resampling: the graph adjusts its level{steps}. Results for silence mean nothing."
        )
    return [
        USAGE_HEADING,
        f"{file}. Input: {given}. Output: `probabilities`, float32 {result}. The genres are in {numbers}, in the same "
        "order.",
        window,
        _clips_text(view, clips),
    ]


def _window_text(view: View, numbers: str) -> str:
    if isinstance(view, TableView):
        return f"A window is a row of the table: the columns that {numbers} lists, in that order."
    networks = " The frozen music networks are part of genrelab and of this view." * isinstance(view, EmbeddingView)
    return (
        f"A window is the view `{view.name}` of mono audio at {view.sr:,} Hz, with the settings in {numbers}. In "
        f"Python, `genrelab.views.compute` computes it.{networks}"
    )


def _clips_text(view: View, clips: ClipSettings) -> str:
    if isinstance(view, TableView):
        return "The probabilities of a track are the mean over its rows."
    if view.name in FIRST_CLIP_VIEWS:
        return f"Only the beginning of a track is used: its first clip, up to {clips.clip_s:.3g} s."
    numbers = f", and clips number floor((i + 1/2) n / {clips.max_clips}) for i = 1 to {clips.max_clips - 1}"
    early = (
        " `genrelab predict` starts with clips spread over the track and stops when the result is clear, after two at "
        "the earliest; with `--windows all` it uses every clip."
    )
    return (
        f"A track of up to {clips.clip_s * (1 + clips.tolerance):.3g} s is one clip. A longer one is cut into clips of "
        f"{clips.clip_s:.3g} s; if at least half a clip remains, one more ends where the track ends. If a track has "
        f"n > {clips.max_clips} clips, these are used: the first (number 0){numbers if clips.max_clips > 1 else ''}. "
        "Silent clips are skipped. The probabilities of a track are the mean over its clips."
        f"{early if isinstance(view, EmbeddingView) else ''}"
    )
