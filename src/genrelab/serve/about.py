"""The description of a model: its object in `GET /v1/models`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from genrelab.core.config import FIRST_CLIP_VIEWS, FramesView, LogMelView, SamplesView
from genrelab.evaluation.calibration import PROBABILITY_SCALE, Evidence
from genrelab.predict.classifier import Classifier

SCORES = (
    "n", "accuracy", "accuracy_low", "accuracy_high", "interval_over", "n_groups", "balanced_accuracy", "macro_f1",
    "top3", "log_loss", "ece",
)  # fmt: skip
"""Metrics of a bundle that clients get, besides the bins of its reliability diagram."""

BIN, MAX_BINS = ("low", "high", "n", "accuracy"), 20
"""Fields of such a bin, and the maximum number of bins."""

NUMBER_LIMIT, MAX_TEXT_CHARS = 1e15, 200
"""Limits on metrics that clients get: the absolute value of numbers, exclusive, and the length of texts."""

CONFIDENCE_STEPS = 20
"""Calibration tracks are counted in this many equal steps of confidence."""


def describe(name: str, bundle: Classifier, min_precision: float | None) -> dict[str, Any]:
    """The object of a model.

    Args:
        name: by which clients choose it.
        min_precision: see `Classifier.with_min_precision`.
    """
    return {
        "name": name,
        "genres": list(bundle.genres),
        "view": bundle.view.name,
        "dataset": bundle.dataset,
        "split": bundle.split,
        "licence": bundle.licence,
        "created_by": bundle.created_by,
        "fingerprint": bundle.fingerprint,
        "window_s": window_s(bundle),
        "max_windows": 1 if bundle.view.name in FIRST_CLIP_VIEWS else bundle.clips.max_clips,
        "stops_early": bundle.stops_early,
        "gate": bundle.reads_embedding and bundle.gate,
        "metrics": _valid_metrics(bundle.metrics),
        "min_precision": min_precision,
        "evidence": None if bundle.calibration is None else evidence_by_genre(bundle.calibration),
    }


def evidence_by_genre(evidence: Evidence) -> dict[str, dict[str, list[int]]]:
    """For each genre the calibration tracks that got it, by step of confidence: their number and how many are right."""
    answer, right, confidence = (np.array(c) for c in (evidence.answer, evidence.right, evidence.confidence))
    step = np.minimum(confidence * CONFIDENCE_STEPS // PROBABILITY_SCALE, CONFIDENCE_STEPS - 1)
    found = {}
    for i, genre in enumerate(evidence.genres):
        rows = {"n": answer == i, "right": (answer == i) & (right == 1)}
        found[genre] = {
            name: np.bincount(step[chosen], minlength=CONFIDENCE_STEPS).tolist() for name, chosen in rows.items()
        }
    return found


def _valid_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The valid metrics of a bundle, so that a malformed bundle cannot break the response about all models."""
    found = {key: metrics[key] for key in SCORES if _is_number(metrics.get(key)) or _is_text(metrics.get(key))}
    bins = metrics.get("reliability")
    if not isinstance(bins, list) or not 0 < len(bins) <= MAX_BINS:
        return found
    if not all(isinstance(b, dict) and all(_is_number(b.get(key)) for key in BIN) for b in bins):
        return found
    return found | {"reliability": [{key: b[key] for key in BIN} for b in bins]}


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -NUMBER_LIMIT < value < NUMBER_LIMIT


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT_CHARS


def window_s(bundle: Classifier) -> float:
    """Length of a full window of the model, in seconds."""
    match bundle.view:
        case LogMelView(window_s=seconds):
            return seconds
        case SamplesView(n_samples=n_samples, sr=sr):
            return n_samples / sr
        case FramesView(n_frames=n_frames, hop_length=hop_length, sr=sr):
            return n_frames * hop_length / sr
    return bundle.clips.clip_s
