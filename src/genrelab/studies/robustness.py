"""Accuracy of the models on altered versions of the same tracks, and on excerpts of different lengths.

RUN/robustness.json:
    {"part", "n", "n_scored",
     "models": [{"model",
                 "conditions": [{"name", "label", "accuracy", "low", "high", "difference", "difference_low",
                                 "difference_high", "p_adjusted", "same_answer",
                                 "refused"}],                                         the first one is `clean`
                 "seconds": [{"seconds", "accuracy", "low", "high", "n"}]}],          of the track's middle
     "sentences": [str]}

A difference is paired: the same tracks, altered and clean. One of many differences may be chance, so sentences use
p-values that are adjusted for their number. A track that a model rejects (only silence is left of it) counts as wrong.
The table is written into each model's card, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genrelab.bundle.bundle import replace_card
from genrelab.bundle.manifest import CARD_FILE
from genrelab.core.config import TrainSettings
from genrelab.core.errors import printable
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.evaluation.comparison import ALPHA, compare, holm
from genrelab.evaluation.intervals import share_interval
from genrelab.evaluation.percent import format_number
from genrelab.studies.conditions import CONDITIONS, DESCRIPTION, EXCERPT_SECONDS, Condition, can_encode_mp3, excerpt
from genrelab.studies.reclassify import (
    LENGTH_TOLERANCE,
    ScoredTrack,
    StudyInputs,
    classify_conditions,
    load_inputs,
    run_jobs,
    sample,
)
from genrelab.studies.robustness_card import section, with_section
from genrelab.studies.study_result import accuracy_text, points_text, write_result

if TYPE_CHECKING:
    from genrelab.core.progress import Notify, ProgressBar

Ints = NDArray[np.int64]

FILE = "robustness.json"
MAX_TRACKS = 200

MIN_LONG_SHARE = 0.9
"""Share of the tracks that must be long enough for a length of excerpts to be used."""

REFUSED = -1
"""Genre index of a track that a model rejects."""


def study(
    run: Folder,
    settings: TrainSettings,
    *,
    jobs: int | None,
    notify: Notify,
    bar: ProgressBar,
    at_most: int = MAX_TRACKS,
) -> dict[str, Any]:
    """Classify altered test tracks with every model of a finished RUN; write `robustness.json` and the cards.

    Without audio (a table; files that are not on this disk) a message gives the reason, and nothing is written.

    Args:
        settings: of RUN; its seed draws the sample and the noise.
        jobs: worker processes; None: one per core.
        at_most: number of tracks, a stratified sample.

    Returns:
        Content of `robustness.json`.

    Raises:
        BundleError, PreparedError: the RUN is damaged.
        ModelError: a worker died.
    """
    inputs = load_inputs(run)
    if inputs.why_not:
        return _not_measured(inputs, inputs.why_not, notify)
    tracks = sample(inputs.tracks, at_most, seed=settings.seed)
    conditions = (*_conditions(notify), *map(excerpt, _excerpt_lengths(tracks)))
    n = f"{pluralize(tracks, f'{inputs.part} track')}, {pluralize(inputs.models, 'model')}"
    notify(f"  Robustness: {n}, {len(conditions)} versions of each track")
    classify = partial(classify_conditions, inputs.models, conditions, settings.seed)
    rejected = np.full((len(conditions), len(inputs.models), len(inputs.models[0].genres)), np.nan)
    with bar("Classifying altered tracks", "tracks") as progress:
        results = run_jobs(classify, tracks, jobs=jobs, progress=progress, crashed=rejected)
    answered = predicted_genres(np.stack(results))
    if (answered[:, 0] == REFUSED).all():
        return _not_measured(inputs, f"{pluralize(tracks, 'file')} could not be read", notify)
    found = write_result(run, FILE, robustness_json(inputs, tracks, conditions, answered), notify)
    for model in inputs.models:
        text = (Path(model.bundle) / CARD_FILE).read_text(encoding="utf-8")
        replace_card(Path(model.bundle), with_section(text, section(found, model.name, HEADERS, table(found))))
    return found


def _not_measured(inputs: StudyInputs, why: str, notify: Notify) -> dict[str, Any]:
    notify(f"Robustness: not measured: {why}")
    return {"part": inputs.part, "n": 0, "n_scored": inputs.n_scored, "models": [], "sentences": [why]}


HEADERS = ("model", "audio", "accuracy % [95 % interval]", "points [95 % interval]", "same answer %")


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row per model and condition, as printed under HEADERS."""
    return [
        (
            printable(model["model"]),
            c["label"],
            accuracy_text(c),
            points_text(*(c[k] for k in DIFFERENCE)) if c["name"] != "clean" else "",
            f"{100 * c['same_answer']:.0f}",
        )
        for model in found["models"]
        for c in model["conditions"]
    ]


DIFFERENCE = ("difference", "difference_low", "difference_high")


def _conditions(notify: Notify) -> tuple[Condition, ...]:
    if can_encode_mp3():
        return CONDITIONS
    notify("  without MP3: this build of FFmpeg has no LAME encoder")
    return tuple(c for c in CONDITIONS if not c.name.startswith("mp3"))


def _excerpt_lengths(tracks: Sequence[ScoredTrack]) -> list[float]:
    """Lengths of excerpts, in seconds, for which nearly all of these tracks are long enough."""
    return [
        s for s in EXCERPT_SECONDS if np.mean([t.duration_s * LENGTH_TOLERANCE >= s for t in tracks]) >= MIN_LONG_SHARE
    ]


def predicted_genres(probabilities: NDArray[np.float64]) -> Ints:
    """Index of the predicted genre, REFUSED where a model rejects the track.

    Args:
        probabilities: shape (tracks, conditions, models, genres), NaN where a track is rejected.

    Returns:
        Shape (tracks, conditions, models).
    """
    refused = np.isnan(probabilities).any(axis=-1)
    found: Ints = np.where(refused, REFUSED, np.nan_to_num(probabilities).argmax(axis=-1)).astype(np.int64)
    return found


def robustness_json(
    inputs: StudyInputs, tracks: Sequence[ScoredTrack], conditions: Sequence[Condition], answered: Ints
) -> dict[str, Any]:
    """Content of `robustness.json`.

    Args:
        conditions: the first is clean; those with seconds are excerpts.
        answered: of `predicted_genres`, shape (tracks, conditions, models).
    """
    read = (answered[:, 0] != REFUSED).any(axis=1)  # by at least one model; other files are damaged or gone
    tracks, answered = [t for t, ok in zip(tracks, read, strict=True) if ok], answered[read]
    models = [
        {"model": model.name, **_model_json(tracks, conditions, model.genres, answered[:, :, i])}
        for i, model in enumerate(inputs.models)
    ]
    altered = [c for model in models for c in model["conditions"][1:]]
    for c, p in zip(altered, holm([c["p_adjusted"] for c in altered]), strict=True):
        c["p_adjusted"] = p
    unread = int((~read).sum())
    lost = pluralize(unread, "file could not be read and is", "files could not be read and are")
    sentences = [
        _finding(models, pluralize(tracks, f"{inputs.part} track")),
        *(sentence for model in models for sentence in _sentences(model, len(tracks))),
        *_seconds_sentence(models),
        DESCRIPTION,
        *([f"{lost} not counted"] if unread else []),
    ]
    about = {"part": inputs.part, "n": len(tracks), "n_scored": inputs.n_scored}
    return {**about, "models": models, "sentences": sentences}


def _model_json(
    tracks: Sequence[ScoredTrack], conditions: Sequence[Condition], genres: tuple[str, ...], answered: Ints
) -> dict[str, Any]:
    """Rows of one model by condition and by length of excerpts; `answered`: shape (tracks, conditions)."""
    truth = np.array([genres.index(t.genre) for t in tracks])
    artists = [t.artist for t in tracks]
    rows: dict[str, Any] = {"conditions": [], "seconds": []}
    for i, condition in enumerate(conditions):
        answer = answered[:, i]
        if condition.seconds is None:
            rows["conditions"].append(_condition_json(condition, answer, answered[:, 0], truth, artists))
        else:
            long = np.array([t.duration_s * LENGTH_TOLERANCE >= condition.seconds for t in tracks])
            if not long.any():
                continue
            found = _accuracy_json((answer == truth)[long], [a for a, ok in zip(artists, long, strict=True) if ok])
            rows["seconds"].append({"seconds": condition.seconds, **found, "n": int(long.sum())})
    return rows


def _condition_json(
    condition: Condition, answer: Ints, clean: Ints, truth: Ints, artists: Sequence[str | None]
) -> dict[str, Any]:
    paired = compare(answer == truth, clean == truth, artists)
    return {
        "name": condition.name,
        "label": condition.label,
        **_accuracy_json(answer == truth, artists),
        "difference": paired["difference"],
        "difference_low": paired["low"],
        "difference_high": paired["high"],
        "p_adjusted": paired["p_value"],  # `robustness_json` adjusts it, as it knows how many there are
        "same_answer": float(((answer == clean) & (answer != REFUSED)).mean()),
        "refused": int((answer == REFUSED).sum()),
    }


def _accuracy_json(correct: NDArray[np.bool_], artists: Sequence[str | None]) -> dict[str, float]:
    low, high = share_interval(correct, artists)
    return {"accuracy": float(correct.mean()), "low": low, "high": high}


# --- sentences ---


def _finding(models: list[dict[str, Any]], tracks: str) -> str:
    """The largest loss of all models, and how many losses are significant."""
    altered = [(model["model"], c) for model in models for c in model["conditions"]]
    losses = [(name, c) for name, c in altered if c["p_adjusted"] < ALPHA and c["difference"] < 0]
    name, worst = min(losses or altered, key=lambda a: a[1]["difference"])
    if worst["difference"] >= 0:
        return f"No model loses accuracy on altered audio ({tracks})"
    largest = f"{name}, {_change_text(worst)}"
    if losses:
        models_lose = pluralize({name for name, _ in losses}, "model loses", "models lose")
        return f"{models_lose} accuracy on altered audio ({tracks}); the largest significant loss: {largest}"
    return f"No loss on altered audio ({tracks}) is significant after Holm's correction; the largest: {largest}"


def _sentences(model: dict[str, Any], n: int) -> list[str]:
    """The significant changes of a model, and the tracks that it rejects."""
    altered = sorted(model["conditions"][1:], key=lambda c: c["difference"])
    significant = [_change_text(c) for c in altered if c["p_adjusted"] < ALPHA]
    return [
        *([f"{model['model']}: {'; '.join(significant)}"] if significant else []),
        *(
            f"{model['model']} rejects {c['refused']} of {pluralize(n, 'track')} ({c['label']}): only silence"
            for c in altered
            if c["refused"]
        ),
    ]


def _change_text(c: dict[str, Any]) -> str:
    """`telephone −21 points [−30, −12]`."""
    difference, low, high = (format_number(100 * c[k], 0, signed=True) for k in DIFFERENCE)
    return f"{c['label']} {difference} points [{low}, {high}]"


def _seconds_sentence(models: list[dict[str, Any]]) -> list[str]:
    """Accuracy of the most accurate model on excerpts."""
    best = max(models, key=lambda m: m["conditions"][0]["accuracy"])
    by_seconds = [f"{100 * s['accuracy']:.0f} % with {s['seconds']:g} s" for s in best["seconds"]]
    whole = f"{100 * best['conditions'][0]['accuracy']:.0f} % with the whole track"
    return [f"{best['model']}, middle of each track: {', '.join(by_seconds)}, {whole}"] if by_seconds else []
