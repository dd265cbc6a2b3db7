"""Calibrates a trained model: its temperature, and the evidence of its answers on calibration tracks.

Calibration tracks are the validation tracks of the split. If validation is the scored part, so that a model has none,
each training track is classified by the same model trained again without it and its artist. Scored tracks are never
used for calibration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.errors import ModelError
from genrelab.core.hyperparameters import with_fast_params
from genrelab.evaluation.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    MIN_TRACKS,
    Calibration,
    apply_temperature,
    fit_temperature,
    make_evidence,
)
from genrelab.models.base import Model
from genrelab.predict.pooling import pool
from genrelab.records.examples import Examples
from genrelab.splits.folds import make_folds, separable_rows
from genrelab.training.calibration_notes import not_calibrated_note, shared_artists_note, worsening_note
from genrelab.training.calibration_scores import calibration_scores, score_calibration

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VALIDATION, HELD_OUT, OUT_OF_FOLD = "validation", "training, held out", "training, out of fold"


@dataclass(frozen=True)
class HeldOut:
    """Windows outside the training set: their tracks and probabilities, and the name of the set.

    `fold` is the number of the fold of each window, if they were held out in folds.
    """

    track: Ints
    p: Floats
    fitted_on: str
    notes: tuple[str, ...] = ()
    fold: Ints | None = None


def calibrate(
    model: Model, examples: Examples, p: Floats, *, parts: tuple[str, ...], scratch: Path, part: str = "test"
) -> Calibration:
    """Find the temperature with the lowest log loss on calibration tracks.

    Args:
        model: trained on `examples`.
        p: its probabilities of all windows, shape (windows, genres).
        parts: of each track of the preparation.
        scratch: a folder for models that are trained again.
        part: the scored part, `test` or `validation`.
    """
    held, y = _held_out_windows(model, examples, p, parts, scratch), examples.labels.y
    temperature = fit_temperature(held.track, held.p, y)
    varies = bool((p != p[:1]).any())
    probabilities, notes = apply_temperature(p, temperature), held.notes if varies else ()
    if not len(held.track):
        return Calibration(temperature, None, probabilities, None, (*notes, not_calibrated_note(0, held.fitted_on)))
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
        "before": calibration_scores(y, *pool(held.track, held.p)),
        "after": calibration_scores(y, tracks, pooled),
        "scored": score_calibration(examples, p, probabilities, evidence),
    }
    if len(tracks) < MIN_TRACKS:
        notes = (not_calibrated_note(len(tracks), held.fitted_on),)  # others would be about a calibration
    elif not MIN_TEMPERATURE < temperature < MAX_TEMPERATURE:
        notes = (*notes, f"calibration is uncertain: the temperature is at its limit of {temperature:g}")
    notes = (*notes, *worsening_note(part, about["scored"]))
    return Calibration(temperature, evidence, probabilities, about, notes)


def _held_out_windows(model: Model, examples: Examples, p: Floats, parts: tuple[str, ...], scratch: Path) -> HeldOut:
    chosen = examples.role == "choose"
    if not chosen.any():
        return out_of_fold(model, examples, scratch)
    track = examples.track[chosen]
    fitted_on = VALIDATION if all(parts[i] == "validation" for i in np.unique(track)) else HELD_OUT
    training, held_out = (np.unique(examples.track[examples.role == role]) for role in ("fit", "choose"))
    group = examples.labels.group
    shared = bool(np.isin(group[held_out], group[training]).any())
    return HeldOut(track, p[chosen], fitted_on, shared_artists_note(group[np.append(training, held_out)], shared))


def out_of_fold(
    model: Model,
    examples: Examples,
    scratch: Path,
    *,
    never: NDArray[np.bool_] | None = None,
    strata: Ints | None = None,
) -> HeldOut:
    """Training tracks, each classified by a model that was trained on tracks by other artists.

    Args:
        model: its class, settings and genres are used; a new one is trained for each fold.
        scratch: a folder for models that are trained again.
        never: marks tracks of `examples.labels` (tracks,) that are never held out.
        strata: of each track (tracks,), spread evenly over the folds; by default the genres.
    """
    labels = examples.labels
    tracks = np.unique(examples.track[examples.role == "fit"])
    if never is not None:
        tracks = tracks[~never[tracks]]
    tracks = tracks[separable_rows(labels.y[tracks], labels.group[tracks])]
    held = HeldOut(np.empty(0, np.int64), np.empty((0, len(examples.genres))), OUT_OF_FOLD)
    if len(tracks) < MIN_TRACKS:
        return held
    spread = labels.y if strata is None else strata
    splits, apart = make_folds(spread[tracks], labels.group[tracks], seed=model.settings.seed)
    notes = shared_artists_note(labels.group[tracks], not apart)
    settings = replace(model.settings, params=with_fast_params(model.settings.params, model.name))
    found: list[tuple[Ints, Floats, Ints]] = []
    for number, (_, out) in enumerate(splits):
        away = np.isin(np.arange(len(labels.role)), tracks[out])
        rest = replace(examples, labels=replace(labels, role=np.where(away, "choose", labels.role)))
        try:
            again = type(model)(settings, model.genres).fit(rest, scratch)
        except ModelError as e:
            return replace(held, notes=(f"not calibrated: it could not be trained on a part of the tracks: {e}",))
        rows = rest.rows("choose")
        found.append((rows.track, again._proba(rows.x), np.full(len(rows.track), number)))
    track, p, fold = (np.concatenate(column) for column in zip(*found, strict=True))
    return replace(held, track=track, p=p, notes=notes, fold=fold)
