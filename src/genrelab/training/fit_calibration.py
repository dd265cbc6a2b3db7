"""A trained model's temperature, and what its answers to calibration tracks are kept as.

Calibration tracks are those that the split sets aside to choose on. Where it has none for a model, because validation
is what is scored, each training track is answered by the same model fitted again without it and without its artist.
Tracks that are scored are never calibrated on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.errors import ModelError
from genrelab.core.hyperparameters import with_fast_params
from genrelab.evaluation import metrics
from genrelab.evaluation.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    MIN_TRACKS,
    Calibration,
    Evidence,
    apply_temperature,
    fit_temperature,
    make_evidence,
)
from genrelab.models.base import Model
from genrelab.predict.file import pool
from genrelab.predict.prediction import Decision, Prediction
from genrelab.records.examples import Examples
from genrelab.splits.folds import make_folds, separable_rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REPORTED_TARGET = 0.9
"""Precision and coverage that the card and `metrics.json` tell of."""

MAX_WORSENING = 0.02
"""Expected calibration error, or log loss, that the temperature may add on the scored tracks before that is told."""

VALIDATION, HELD_OUT, OUT_OF_FOLD = "validation", "training, held out", "training, out of fold"


@dataclass(frozen=True)
class _HeldOut:
    """Windows that were not fitted on: track and probabilities of each; and which tracks they are of."""

    track: Ints
    p: Floats
    fitted_on: str
    notes: tuple[str, ...] = ()


def calibrate(model: Model, examples: Examples, p: Floats, *, parts: tuple[str, ...], scratch: Path) -> Calibration:
    """The temperature with which a model's probabilities of calibration tracks have the least log loss.

    Args:
        model: fitted on `examples`.
        p: what it says of all windows, shape (windows, genres).
        parts: of each track of the preparation.
        scratch: a folder for what models write while they are fitted again.
    """
    held, y = _held_out_windows(model, examples, p, parts, scratch), examples.labels.y
    temperature = fit_temperature(held.track, held.p, y)
    listens = bool((p != p[:1]).any())
    probabilities, notes = apply_temperature(p, temperature), held.notes if listens else ()
    if not len(held.track):
        return Calibration(temperature, None, probabilities, None, (*notes, _not_calibrated_note(0)))
    tracks, pooled = pool(held.track, apply_temperature(held.p, temperature))
    artists = examples.labels.group[tracks].tolist()
    evidence = make_evidence(pooled, y[tracks], examples.genres, artists=artists, fitted_on=held.fitted_on)
    assert evidence is not None
    about: dict[str, Any] = {
        "temperature": temperature,
        "fitted": len(tracks) >= MIN_TRACKS and bool((held.p != held.p[:1]).any()),
        "fitted_on": held.fitted_on,
        "n": len(tracks),
        "n_artists": len(set(artists)),
        "before": _calibration_scores(y, *pool(held.track, held.p)),
        "after": _calibration_scores(y, tracks, pooled),
        "scored": _score_calibration(examples, p, probabilities, evidence),
    }
    if len(tracks) < MIN_TRACKS:
        notes = (
            _not_calibrated_note(len(tracks)),
        )  # what is not calibrated is not calibrated on the wrong tracks either
    elif not MIN_TEMPERATURE < temperature < MAX_TEMPERATURE:
        notes = (*notes, f"its temperature stopped at {temperature:g}, as far as it may go")
    notes = (*notes, *_worsening_note(temperature, about["scored"]))
    return Calibration(temperature, evidence, probabilities, about, notes)


def _not_calibrated_note(n: int) -> str:
    return f"its probabilities are as they came: {n} tracks to calibrate with, at least {MIN_TRACKS} are needed"


def _worsening_note(temperature: float, scored: dict[str, Any]) -> tuple[str, ...]:
    """What is said where calibration tracks asked for a temperature that the scored tracks do not bear out."""
    before, after = scored["before"], scored["after"]
    if all(after[what] <= before[what] + MAX_WORSENING for what in after):
        return ()
    moved = [f"{word} {before[k]:.3f} → {after[k]:.3f}" for k, word in (("ece", "ECE"), ("log_loss", "log loss"))]
    return (f"its temperature of {temperature:g} does not fit the scored tracks: {', '.join(moved)}",)


def _held_out_windows(model: Model, examples: Examples, p: Floats, parts: tuple[str, ...], scratch: Path) -> _HeldOut:
    chosen = examples.role == "choose"
    if not chosen.any():
        return _out_of_fold(model, examples, scratch)
    track = examples.track[chosen]
    fitted_on = VALIDATION if all(parts[i] == "validation" for i in np.unique(track)) else HELD_OUT
    learned, asked = (np.unique(examples.track[examples.role == role]) for role in ("fit", "choose"))
    group = examples.labels.group
    shared = bool(np.isin(group[asked], group[learned]).any())
    return _HeldOut(track, p[chosen], fitted_on, _shared_artists_note(group[np.append(learned, asked)], shared))


def _shared_artists_note(group: Ints, shared: bool) -> tuple[str, ...]:
    """What must be said where artists of calibration tracks were, or may have been, learned from.

    Args:
        group: artist of each track that is learned from or asked about; one of its own where it is unknown.
        shared: is an artist known to be on both sides?
    """
    if shared:
        return ("calibrated on tracks whose artists were learned from: it may be surer than it should be",)
    if len(np.unique(group)) == len(group):
        return ("calibrated on tracks whose artists are unknown: if they were learned from, it is too sure",)
    return ()


def _out_of_fold(model: Model, examples: Examples, scratch: Path) -> _HeldOut:
    """Training tracks, each answered by a model that was fitted on tracks of other artists."""
    labels = examples.labels
    tracks = np.unique(examples.track[examples.role == "fit"])
    asked = tracks[separable_rows(labels.y[tracks], labels.group[tracks])]
    held = _HeldOut(np.empty(0, np.int64), np.empty((0, len(examples.genres))), OUT_OF_FOLD)
    if len(asked) < MIN_TRACKS:
        return held
    splits, apart = make_folds(labels.y[asked], labels.group[asked], seed=model.settings.seed)
    notes = _shared_artists_note(labels.group[asked], not apart)
    settings = replace(model.settings, params=with_fast_params(model.settings.params, model.name))
    found: list[tuple[Ints, Floats]] = []
    for _, out in splits:
        away = np.isin(np.arange(len(labels.role)), asked[out])
        rest = replace(examples, labels=replace(labels, role=np.where(away, "choose", labels.role)))
        try:
            again = type(model)(settings, model.genres).fit(rest, scratch)
        except ModelError as e:
            return replace(held, notes=(f"it could not be fitted again to be calibrated: {e}",))
        rows = rest.rows("choose")
        found.append((rows.track, again._proba(rows.x)))
    track, p = (np.concatenate(column) for column in zip(*found, strict=True))
    return replace(held, track=track, p=p, notes=notes)


def _calibration_scores(y: Ints, tracks: Ints, p: Floats) -> dict[str, float]:
    """Of tracks; `y` is the genre number by track."""
    return {"log_loss": metrics.log_loss(y[tracks], p), "ece": metrics.ece(y[tracks], p)}


def _score_calibration(examples: Examples, before: Floats, after: Floats, evidence: Evidence) -> dict[str, Any]:
    """What the calibration is worth on the scored tracks, on which nothing was fitted or chosen."""
    rows, y = examples.role == "score", examples.labels.y
    tracks, p = pool(examples.track[rows], after[rows])
    thresholds = {g: t.confidence for g, t in evidence.thresholds(REPORTED_TARGET).items()}
    decision = Decision(thresholds, evidence.least_likely(REPORTED_TARGET), REPORTED_TARGET)
    truth, said = [examples.genres[i] for i in y[tracks]], [decision(_prediction_of(examples.genres, row)) for row in p]
    sets = [s.genre_set or () for s in said]
    right = [s.genre == genre for s, genre in zip(said, truth, strict=True) if s.genre in thresholds]
    return {
        "before": _calibration_scores(y, *pool(examples.track[rows], before[rows])),
        "after": _calibration_scores(y, tracks, p),
        "coverage": {
            "asked": REPORTED_TARGET,
            "covered": float(np.mean([genre in s for s, genre in zip(sets, truth, strict=True)])),
            "set_size": float(np.mean([len(s) for s in sets])),
        },
        "precision": {
            "asked": REPORTED_TARGET,
            "answered": len(right) / len(truth),
            "precision": float(np.mean(right)) if right else None,
        },
    }


def _prediction_of(genres: tuple[str, ...], row: Floats) -> Prediction:
    best = int(row.argmax())
    named = dict(zip(genres, row.tolist(), strict=True))
    return Prediction("", genres[best], float(row[best]), named, None, "", None)
