"""Scores of the calibration tracks, and of the test (or validation) tracks, before and after calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.evaluation import metrics
from genrelab.evaluation.calibration import Evidence
from genrelab.predict.pooling import pool
from genrelab.predict.prediction import Decision, Prediction
from genrelab.records.examples import Examples

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REPORTED_TARGET = 0.9
"""Precision and coverage in the card and in `metrics.json`."""


def calibration_scores(y: Ints, tracks: Ints, p: Floats) -> dict[str, float]:
    """Log loss and ECE of tracks; `y` is the genre number of each track."""
    return {"log_loss": metrics.log_loss(y[tracks], p), "ece": metrics.ece(y[tracks], p)}


def score_calibration(examples: Examples, before: Floats, after: Floats, evidence: Evidence) -> dict[str, Any]:
    """The effect of calibration on the test (or validation) tracks, which were not used to train or choose anything."""
    rows, y = examples.role == "score", examples.labels.y
    tracks, p = pool(examples.track[rows], after[rows])
    thresholds = {g: t.confidence for g, t in evidence.thresholds(REPORTED_TARGET).items()}
    decision = Decision(thresholds, evidence.least_likely(REPORTED_TARGET), REPORTED_TARGET)
    truth = [examples.genres[i] for i in y[tracks]]
    predictions = [decision(_prediction_of(examples.genres, row)) for row in p]
    sets = [s.genre_set or () for s in predictions]
    right = [s.genre == genre for s, genre in zip(predictions, truth, strict=True) if s.genre in thresholds]
    return {
        "before": calibration_scores(y, *pool(examples.track[rows], before[rows])),
        "after": calibration_scores(y, tracks, p),
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
