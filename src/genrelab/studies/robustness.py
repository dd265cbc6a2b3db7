"""How much of a model's accuracy is left when the same tracks are heard otherwise, and for how many seconds.

RUN/robustness.json:
    {"part", "n", "n_scored",
     "models": [{"model",
                 "conditions": [{"name", "label", "accuracy", "low", "high", "difference", "difference_low",
                                 "difference_high", "p_adjusted", "same_answer",
                                 "refused"}],                                         the first of them is `clean`
                 "seconds": [{"seconds", "accuracy", "low", "high", "n"}]}],          of the track's middle
     "sentences": [str]}

A difference is paired: the same tracks, heard so and as they are. Of so many models and ways one would seem to differ
by chance, so sentences go by p-values that are adjusted for their number, not by single intervals. A track that a model
refuses (nothing but silence is left of it) counts as wrong. The table stands in each model's card, too.
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
from genrelab.studies.hearing import (
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
"""An excerpt's length is tried where so many of the tracks have it."""

REFUSED = -1
"""Stands for the answer of a model that does not answer."""


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
    """Let every model of a finished RUN hear its scored tracks in several ways; write `robustness.json` and the cards.

    Where there is nothing to hear (a table; audio that is not on this disk) a sentence says why, and nothing is
    written.

    Args:
        prepared: not needed; studies are called alike.
        jobs: worker processes; None: one a core.
        at_most: so many tracks, each genre with its share of them.

    Returns:
        What `robustness.json` holds.

    Raises:
        BundleError, PreparedError: the RUN is damaged.
        ModelError: a worker died.
    """
    who = load_inputs(run)
    if who.why_not:
        return _not_measured(who, who.why_not, notify)
    tracks = sample(who.tracks, at_most, seed=settings.seed)
    conditions = (*_conditions(notify), *map(excerpt, _lengths(tracks)))
    models = pluralize(who.models, "model")
    notify(f"Robustness: {models} of this run hear {pluralize(tracks, 'scored track')} in {len(conditions)} ways")
    orders = [ConditionJob(who.models, track, conditions, settings.seed) for track in tracks]
    with bar("Hearing altered tracks", "tracks") as progress:
        heard = np.stack(run_jobs(classify_conditions, orders, jobs=jobs or available_cores(), progress=progress))
    answered = predicted_genres(heard)
    if (answered[:, 0] == REFUSED).all():
        return _not_measured(who, f"none of {pluralize(tracks, 'track')} could be read any more", notify)
    found = robustness_json(who, tracks, conditions, answered)
    run.write_json(FILE, found)
    for ear in who.models:
        text = (Path(ear.bundle) / CARD_FILE).read_text(encoding="utf-8")
        replace_card(Path(ear.bundle), with_section(text, section(found, ear.name)))
    for sentence in found["sentences"]:
        notify(f"  {sentence}")
    return found


def _not_measured(who: StudyInputs, why: str, notify: Notify) -> dict[str, Any]:
    notify(f"robustness: not measured: {why}")
    return {"part": who.part, "n": 0, "n_scored": who.n_scored, "models": [], "sentences": [why]}


HEADERS = ("model", "heard", "accuracy % [95 %]", "points [95 %]", "same answer %")


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row a model and way of hearing, as printed under HEADERS."""
    return [
        (
            printable(model["model"]),
            c["label"],
            f"{100 * c['accuracy']:.1f} [{100 * c['low']:.1f}, {100 * c['high']:.1f}]",
            _points(c) if c["name"] != "clean" else "",
            f"{100 * c['same_answer']:.0f}",
        )
        for model in found["models"]
        for c in model["conditions"]
    ]


def _points(c: dict[str, Any]) -> str:
    low, high = 100 * c["difference_low"], 100 * c["difference_high"]
    return f"{100 * c['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"


def _conditions(notify: Notify) -> tuple[Condition, ...]:
    if can_encode_mp3():
        return CONDITIONS
    notify("  MP3 is left out: this build of FFmpeg has no LAME to make one")
    return tuple(c for c in CONDITIONS if not c.name.startswith("mp3"))


def _lengths(tracks: Sequence[ScoredTrack]) -> list[float]:
    """The excerpts that nearly all of these tracks are long enough for, in seconds."""
    return [
        s for s in EXCERPT_SECONDS if np.mean([t.duration_s * LENGTH_TOLERANCE >= s for t in tracks]) >= MIN_LONG_SHARE
    ]


def predicted_genres(heard: NDArray[np.float64]) -> Ints:
    """Index of the genre that a model answers, REFUSED where it does not.

    Args:
        heard: probabilities, shape (tracks, conditions, models, genres), NaN where there is no answer.

    Returns:
        Shape (tracks, conditions, models).
    """
    refused = np.isnan(heard).any(axis=-1)
    found: Ints = np.where(refused, REFUSED, np.nan_to_num(heard).argmax(axis=-1)).astype(np.int64)
    return found


def robustness_json(
    who: StudyInputs, tracks: Sequence[ScoredTrack], conditions: Sequence[Condition], answered: Ints
) -> dict[str, Any]:
    """What `robustness.json` holds.

    Args:
        conditions: the first is clean; those with seconds are excerpts.
        answered: shape (tracks, conditions, models), of `predicted_genres`.
    """
    read = (answered[:, 0] != REFUSED).any(axis=1)  # by one model at least; the others' files are damaged or gone
    tracks, answered = [t for t, ok in zip(tracks, read, strict=True) if ok], answered[read]
    models = [
        {"model": ear.name, **_model_json(tracks, conditions, ear.genres, answered[:, :, m])}
        for m, ear in enumerate(who.models)
    ]
    altered = [c for model in models for c in model["conditions"][1:]]
    for c, p in zip(altered, holm([c["p_adjusted"] for c in altered]), strict=True):
        c["p_adjusted"] = p
    unread = int((~read).sum())
    sentences = [f"{pluralize(unread, 'track')} could not be read any more and counted nowhere"] if unread else []
    return {
        "part": who.part,
        "n": len(tracks),
        "n_scored": who.n_scored,
        "models": models,
        "sentences": [*sentences, *_sentences(models, len(tracks)), *_seconds_sentence(models)],
    }


def _model_json(
    tracks: Sequence[ScoredTrack], conditions: Sequence[Condition], genres: tuple[str, ...], answered: Ints
) -> dict[str, Any]:
    """Its rows; `answered` is of shape (tracks, conditions)."""
    truth = np.array([genres.index(t.genre) for t in tracks])
    artists = [t.artist for t in tracks]
    rows: dict[str, Any] = {"conditions": [], "seconds": []}
    for i, condition in enumerate(conditions):
        answer = answered[:, i]
        if condition.seconds is None:
            rows["conditions"].append(_row(condition, answer, answered[:, 0], truth, artists))
        else:
            long = np.array([t.duration_s * LENGTH_TOLERANCE >= condition.seconds for t in tracks])
            if not long.any():
                continue
            right = (answer == truth)[long]
            low, high = share_interval(right, [a for a, ok in zip(artists, long, strict=True) if ok])
            about = {"accuracy": float(right.mean()), "low": low, "high": high, "n": int(long.sum())}
            rows["seconds"].append({"seconds": condition.seconds, **about})
    return rows


def _row(condition: Condition, answer: Ints, clean: Ints, truth: Ints, artists: Sequence[str | None]) -> dict[str, Any]:
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
        "p_adjusted": paired["p_value"],  # by `robustness_json`, which knows how many there are
        "same_answer": float(((answer == clean) & (answer != REFUSED)).mean()),
        "refused": int((answer == REFUSED).sum()),
    }


# --- for people ---


def _sentences(models: list[dict[str, Any]], n: int) -> list[str]:
    """What costs each model more than chance might; then those of which nothing is known, with the largest loss."""
    told: list[str] = []
    unsure: list[tuple[str, dict[str, Any]]] = []
    for model in models:
        altered = model["conditions"][1:]
        sure = [c for c in altered if c["p_adjusted"] < ALPHA]
        if sure:
            losses = [_change(c) for c in sorted(sure, key=lambda c: c["difference"])]
            told.append(f"{model['model']} {', '.join(losses)}")
        elif any(c["same_answer"] < 1 for c in altered):  # else it answers the same whatever it hears
            unsure += [(model["model"], c) for c in altered]
        told += _refusals(model["model"], altered, n)
    return told + (_unsure_sentence(unsure, n) if unsure else [])


def _unsure_sentence(unsure: list[tuple[str, dict[str, Any]]], n: int) -> list[str]:
    names = list(dict.fromkeys(name for name, _ in unsure))
    name, most = min(unsure, key=lambda u: u[1]["difference"])
    largest = f"; the largest: {name} {_change(most)}" if most["difference"] < 0 else ""
    return [f"{join_first(names, most=10)}: no difference that could not be chance on {pluralize(n, 'track')}{largest}"]


def _refusals(name: str, altered: list[dict[str, Any]], n: int) -> list[str]:
    refused = [c for c in altered if c["refused"]]
    why = "it hears only silence"
    return [f"{name} refuses {c['refused']} of {n} tracks when heard {c['label']}: {why}" for c in refused]


def _change(c: dict[str, Any]) -> str:
    """`loses 21 points [12, 30] when heard through a telephone`; the interval is of the loss, or of the gain."""
    low, high = 100 * c["difference_low"], 100 * c["difference_high"]
    verb, low, high = ("loses", -high, -low) if c["difference"] < 0 else ("gains", low, high)
    points = pluralize(round(100 * abs(c["difference"])), "point")
    return f"{verb} {points} [{low:.0f}, {high:.0f}] when heard {c['label']}"


def _seconds_sentence(models: list[dict[str, Any]]) -> list[str]:
    """How the most accurate model fares with less to hear."""
    best = max(models, key=lambda m: m["conditions"][0]["accuracy"])
    told = [f"{s['accuracy']:.0%} right with {s['seconds']:g} s" for s in best["seconds"]]
    clean = f"{best['conditions'][0]['accuracy']:.0%} with all of it"
    return [f"{best['model']}, from the middle of each track: {', '.join(told)}, {clean}"] if told else []
