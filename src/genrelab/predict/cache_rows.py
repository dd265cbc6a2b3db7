"""A prediction as a row of the prediction cache, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrelab.features.description import MusicDescription
from genrelab.features.key import KEYS
from genrelab.features.rhythm import MAX_BPM, MIN_BPM
from genrelab.features.tags import TAGS
from genrelab.predict.prediction import Prediction

if TYPE_CHECKING:
    from genrelab.predict.file import BundleInUse

AnswerRow = tuple[bytes, float | None, bytes | None, str]
"""Probabilities (float64, in the order of the model's genres), duration in seconds, music score and tags (float64; None
of a model that has none), and a JSON list of notes."""


def row_from_prediction(prediction: Prediction) -> AnswerRow:
    """The row of a prediction without an error."""
    p, tags = np.array(list(prediction.probabilities.values()), "<f8").tobytes(), None
    if prediction.tags is not None:
        tags = np.array([prediction.music_score, *prediction.tags.values()], "<f8").tobytes()
    return p, prediction.duration_s, tags, json.dumps(prediction.notes)


def prediction_from_row(bundle: BundleInUse, path: str | Path, row: tuple[Any, ...]) -> Prediction | None:
    """The prediction in a row; None where the row is invalid, so that the file is classified again."""
    blob, duration_s, tags_blob, notes_json = row
    if not (isinstance(blob, bytes) and len(blob) == 8 * len(bundle.genres) and isinstance(duration_s, float)):
        return None
    p, notes = np.frombuffer(blob, "<f8"), _notes_from_json(notes_json)
    if not abs(p.sum() - 1) < 1e-6 or notes is None:
        return None
    best = int(p.argmax())
    probabilities = dict(zip(bundle.genres, p.tolist(), strict=True))
    genre, confidence = bundle.genres[best], float(p[best])
    prediction = Prediction(str(path), genre, confidence, probabilities, duration_s, bundle.name, None, notes=notes)
    if not bundle.reads_embedding:
        return prediction
    if not (isinstance(tags_blob, bytes) and len(tags_blob) == 8 * (1 + len(TAGS))):
        return None
    score, *tags = np.frombuffer(tags_blob, "<f8").tolist()
    return replace(prediction, music_score=score, tags=dict(zip(TAGS, tags, strict=True)))


def description_from_row(text: Any) -> MusicDescription | None:
    """The description in a row (JSON); None where it is invalid, so that the file is described again."""
    try:
        found = MusicDescription(**json.loads(text))
    except (TypeError, ValueError):
        return None
    if not all(isinstance(c, float) and 0 <= c <= 1 for c in (found.tempo_confidence, found.key_confidence)):
        return None
    bpm = found.tempo_bpm
    is_tempo = bpm is None or (isinstance(bpm, float) and MIN_BPM <= bpm <= MAX_BPM)
    return found if is_tempo and found.key in (None, *KEYS) and found.problem is None else None


def _notes_from_json(text: Any) -> tuple[str, ...] | None:
    try:
        notes = json.loads(text)
    except (TypeError, ValueError):
        return None
    return tuple(notes) if isinstance(notes, list) and all(isinstance(note, str) for note in notes) else None
