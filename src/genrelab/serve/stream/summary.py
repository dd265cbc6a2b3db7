"""The prediction for a whole stream, pooled from those for its windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genrelab.predict.classifier import Classifier
from genrelab.predict.pooling import pool
from genrelab.predict.prediction import Prediction

ROUNDING_S = 1e-6
"""Tolerance in seconds when times are compared."""


class StreamSummary:
    """Keeps the probabilities of full windows that do not overlap; before the first full one, those of the last window.

    Args:
        bundle: the classifier.
        window_s: seconds of a full window.
    """

    def __init__(self, bundle: Classifier, window_s: float) -> None:
        self._bundle, self._window_s = bundle, window_s
        self._rows: list[NDArray[np.float64]] = []
        self._full, self._end_s = False, 0.0

    def add(self, start_s: float, end_s: float, prediction: Prediction) -> None:
        """Add the prediction for a window; in the order of their ends."""
        if not prediction.probabilities:  # silence
            return
        full = end_s - start_s >= self._window_s - ROUNDING_S
        row = np.array([prediction.probabilities[genre] for genre in self._bundle.genres])
        if not full:
            self._rows = self._rows if self._full else [row]
        elif not self._full or start_s >= self._end_s - ROUNDING_S:
            self._rows = [*self._rows, row] if self._full else [row]
            self._full, self._end_s = True, end_s

    def prediction(self, audio_s: float) -> Prediction | None:
        """The prediction for the stream of `audio_s` seconds; None where no window had one."""
        if not self._rows:
            return None
        _, pooled = pool(np.zeros(len(self._rows), np.int64), np.stack(self._rows))
        probabilities = dict(zip(self._bundle.genres, pooled[0].tolist(), strict=True))
        best = max(probabilities, key=lambda genre: probabilities[genre])
        prediction = Prediction("", best, probabilities[best], probabilities, audio_s, self._bundle.name, None)
        return self._bundle.decision(prediction)
