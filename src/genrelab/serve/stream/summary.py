"""The prediction for a whole stream, pooled from those for its windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from genrelab.predict.classifier import Classifier
from genrelab.predict.pooling import pool
from genrelab.predict.prediction import Prediction

ROUNDING_S = 1e-6
"""Tolerance in seconds when times are compared."""


class StreamSummary:
    """Keeps the predictions of full windows that do not overlap; before the first full one, that of the last window.

    Args:
        bundle: the classifier.
        window_s: seconds of a full window.
    """

    def __init__(self, bundle: Classifier, window_s: float) -> None:
        self._bundle, self._window_s = bundle, window_s
        self._kept: list[Prediction] = []
        self._full, self._end_s = False, 0.0

    def add(self, start_s: float, end_s: float, prediction: Prediction) -> None:
        """Add the prediction for a window; in the order of their ends."""
        if not prediction.probabilities:  # silence
            return
        prediction = replace(prediction, timeline=())
        if end_s - start_s < self._window_s - ROUNDING_S:
            self._kept = self._kept if self._full else [prediction]
        elif not self._full or start_s >= self._end_s - ROUNDING_S:
            self._kept = [*self._kept, prediction] if self._full else [prediction]
            self._full, self._end_s = True, end_s

    def prediction(self, audio_s: float) -> Prediction | None:
        """The prediction for the stream of `audio_s` seconds; None where no window had one."""
        if not self._kept:
            return None
        rows = np.array([[p.probabilities[genre] for genre in self._bundle.genres] for p in self._kept])
        _, pooled = pool(np.zeros(len(rows), np.int64), rows)
        probabilities = dict(zip(self._bundle.genres, pooled[0].tolist(), strict=True))
        best = max(probabilities, key=lambda genre: probabilities[genre])
        prediction = Prediction("", best, probabilities[best], probabilities, audio_s, self._bundle.name, None)
        return self._bundle.decision(replace(prediction, tags=self._tags(), music_score=self._music_score()))

    def _music_score(self) -> float | None:
        """The mean over the kept windows; None of a model without a gate."""
        scores = [p.music_score for p in self._kept if p.music_score is not None]
        return float(np.mean(scores)) if scores else None

    def _tags(self) -> dict[str, float] | None:
        """The means over the kept windows; None of a model without tags."""
        rows = [p.tags for p in self._kept if p.tags is not None]
        return {tag: float(np.mean([row[tag] for row in rows])) for tag in rows[0]} if rows else None
