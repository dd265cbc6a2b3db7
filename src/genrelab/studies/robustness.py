"""Accuracy of the models on altered versions of the same tracks, and on excerpts of different lengths.

RUN/robustness.json:
    {"part", "n", "n_scored",
     "models": [{"model",
                 "conditions": [{"name", "label", "accuracy", "low", "high", "difference", "difference_low",
                                 "difference_high", "p_adjusted", "same_answer",
                                 "refused"}],                                         the first one is `clean`
                 "seconds": [{"seconds", "accuracy", "low", "high", "n"}]}],          of the track's middle
     "sentences": [str]}

A difference is paired: the same tracks, altered and clean. Among many models and conditions one would seem to differ by
chance, so sentences use p-values that are adjusted for their number, not single intervals. A track that a model rejects
(only silence is left of it) counts as wrong. The table is written into each model's card, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genrelab.bundle.bundle import replace_card
from genrelab.bundle.manifest import CARD_FILE
from genrelab.core.config import TrainSettings
from genrelab.core.errors import printable
from genrelab.core.processes import available_cores
from genrelab.core.storage import Folder
from genrelab.core.text import join_first, pluralize
from genrelab.evaluation.comparison import ALPHA, compare, holm
from genrelab.evaluation.intervals import share_interval
from genrelab.studies.conditions import CONDITIONS, EXCERPT_SECONDS, Condition, can_encode_mp3, excerpt
from genrelab.studies.reclassify import (
    LENGTH_TOLERANCE,
    ConditionJob,
    ScoredTrack,
    StudyInputs,
    classify_conditions,
    load_inputs,
    run_jobs,
    sample,
)
from genrelab.studies.robustness_card import section, with_section

if TYPE_CHECKING:
    from genrelab.core.progress import Notify, ProgressBar
    from genrelab.records.prepared import Prepared

Ints = NDArray[np.int64]

FILE = "robustness.json"
MAX_TRACKS = 200

MIN_LONG_SHARE = 0.9
"""Share of the tracks that must be long enough for a length of excerpts to be used."""

REFUSED = -1
"""Genre index of a track that a model rejects."""


def study(
    prepared: Prepared | None,
    run: Folder,
    settings: TrainSettings,
    *,
    jobs: int | None,
    notify: Notify,
    bar: ProgressBar,
    at_most: int = MAX_TRACKS,
) -> dict[str, Any]:
    """Classify altered scored tracks with every model of a finished RUN; write `robustness.json` and the cards.

    Without audio (a table; files that are not on this disk) a sentence gives the reason, and nothing is written.

    Args:
        prepared: unused; all studies take the same positional arguments.
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
    models = pluralize(inputs.models, "model")
    notify(f"Robustness: {models} of this run hear {pluralize(tracks, 'scored track')} in {len(conditions)} ways")
    condition_jobs = [ConditionJob(inputs.models, track, conditions, settings.seed) for track in tracks]
    with bar("Hearing altered tracks", "tracks") as progress:
        results = run_jobs(classify_conditions, condition_jobs, jobs=jobs or available_cores(), progress=progress)
        probabilities = np.stack(results)
    answered = predicted_genres(probabilities)
    if (answered[:, 0] == REFUSED).all():
        return _not_measured(inputs, f"none of {pluralize(tracks, 'track')} could be read any more", notify)
    found = robustness_json(inputs, tracks, conditions, answered)
    run.write_json(FILE, found)
    for model in inputs.models:
        text = (Path(model.bundle) / CARD_FILE).read_text(encoding="utf-8")
        replace_card(Path(model.bundle), with_section(text, section(found, model.name)))
    for sentence in found["sentences"]:
        notify(f"  {sentence}")
    return found


def _not_measured(inputs: StudyInputs, why: str, notify: Notify) -> dict[str, Any]:
    notify(f"robustness: not measured: {why}")
    return {"part": inputs.part, "n": 0, "n_scored": inputs.n_scored, "models": [], "sentences": [why]}


HEADERS = ("model", "heard", "accuracy % [95 %]", "points [95 %]", "same answer %")


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row per model and condition, as printed under HEADERS."""
    return [
        (
            printable(model["model"]),
            c["label"],
            f"{100 * c['accuracy']:.1f} [{100 * c['low']:.1f}, {100 * c['high']:.1f}]",
            _difference_text(c) if c["name"] != "clean" else "",
            f"{100 * c['same_answer']:.0f}",
        )
        for model in found["models"]
        for c in model["conditions"]
    ]


def _difference_text(c: dict[str, Any]) -> str:
    low, high = 100 * c["difference_low"], 100 * c["difference_high"]
    return f"{100 * c['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"


def _conditions(notify: Notify) -> tuple[Condition, ...]:
    if can_encode_mp3():
        return CONDITIONS
    notify("  MP3 is left out: this build of FFmpeg has no LAME to make one")
    return tuple(c for c in CONDITIONS if not c.name.startswith("mp3"))


def _excerpt_lengths(tracks: Sequence[ScoredTrack]) -> list[float]:
    """Lengths of excerpts, in seconds, that nearly all of these tracks have."""
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
    sentences = [f"{pluralize(unread, 'track')} could not be read any more and counted nowhere"] if unread else []
    return {
        "part": inputs.part,
        "n": len(tracks),
        "n_scored": inputs.n_scored,
        "models": models,
        "sentences": [*sentences, *_sentences(models, len(tracks)), *_seconds_sentence(models)],
    }


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
            right = (answer == truth)[long]
            low, high = share_interval(right, [a for a, ok in zip(artists, long, strict=True) if ok])
            about = {"accuracy": float(right.mean()), "low": low, "high": high, "n": int(long.sum())}
            rows["seconds"].append({"seconds": condition.seconds, **about})
    return rows


def _condition_json(
    condition: Condition, answer: Ints, clean: Ints, truth: Ints, artists: Sequence[str | None]
) -> dict[str, Any]:
    low, high = share_interval(answer == truth, artists)
    paired = compare(answer == truth, clean == truth, artists)
    return {
        "name": condition.name,
        "label": condition.label,
        "accuracy": float((answer == truth).mean()),
        "low": low,
        "high": high,
        "difference": paired["difference"],
        "difference_low": paired["low"],
        "difference_high": paired["high"],
        "p_adjusted": paired["p_value"],  # `robustness_json` adjusts it, as it knows how many there are
        "same_answer": float(((answer == clean) & (answer != REFUSED)).mean()),
        "refused": int((answer == REFUSED).sum()),
    }


# --- sentences ---


def _sentences(models: list[dict[str, Any]], n: int) -> list[str]:
    """The significant losses of each model; then the models without any, with their largest loss."""
    sentences: list[str] = []
    unsure: list[tuple[str, dict[str, Any]]] = []
    for model in models:
        altered = model["conditions"][1:]
        significant = [c for c in altered if c["p_adjusted"] < ALPHA]
        if significant:
            losses = [_change_text(c) for c in sorted(significant, key=lambda c: c["difference"])]
            sentences.append(f"{model['model']} {', '.join(losses)}")
        elif any(c["same_answer"] < 1 for c in altered):  # else its answer is always the same
            unsure += [(model["model"], c) for c in altered]
        sentences += _refusal_sentences(model["model"], altered, n)
    return sentences + (_unsure_sentence(unsure, n) if unsure else [])


def _unsure_sentence(unsure: list[tuple[str, dict[str, Any]]], n: int) -> list[str]:
    names = list(dict.fromkeys(name for name, _ in unsure))
    name, most = min(unsure, key=lambda u: u[1]["difference"])
    largest = f"; the largest: {name} {_change_text(most)}" if most["difference"] < 0 else ""
    return [f"{join_first(names, most=10)}: no difference that could not be chance on {pluralize(n, 'track')}{largest}"]


def _refusal_sentences(name: str, altered: list[dict[str, Any]], n: int) -> list[str]:
    refused = [c for c in altered if c["refused"]]
    why = "it hears only silence"
    return [f"{name} refuses {c['refused']} of {n} tracks when heard {c['label']}: {why}" for c in refused]


def _change_text(c: dict[str, Any]) -> str:
    """`loses 21 points [12, 30] when heard through a telephone`; the interval is of the loss, or of the gain."""
    low, high = 100 * c["difference_low"], 100 * c["difference_high"]
    verb, low, high = ("loses", -high, -low) if c["difference"] < 0 else ("gains", low, high)
    points = pluralize(round(100 * abs(c["difference"])), "point")
    return f"{verb} {points} [{low:.0f}, {high:.0f}] when heard {c['label']}"


def _seconds_sentence(models: list[dict[str, Any]]) -> list[str]:
    """Accuracy of the most accurate model on excerpts."""
    best = max(models, key=lambda m: m["conditions"][0]["accuracy"])
    by_seconds = [f"{s['accuracy']:.0%} right with {s['seconds']:g} s" for s in best["seconds"]]
    clean = f"{best['conditions'][0]['accuracy']:.0%} with all of it"
    return [f"{best['model']}, from the middle of each track: {', '.join(by_seconds)}, {clean}"] if by_seconds else []
