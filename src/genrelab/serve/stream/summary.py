"""What is said at the end of a stream of all that was heard."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genrelab.predict.classifier import Classifier
from genrelab.predict.file import pool
from genrelab.predict.prediction import Prediction

ROUNDING_S = 1e-6


class StreamSummary:
    """Keeps what was said of full windows that do not overlap; where there is none yet, of the last one.

    Args:
        bundle: who says it.
        window_s: seconds of a full window.
    """

    def __init__(self, bundle: Classifier, window_s: float) -> None:
        self._bundle, self._window_s = bundle, window_s
        self._rows: list[NDArray[np.float64]] = []
        self._full, self._end_s = False, 0.0

    def add(self, start_s: float, end_s: float, said: Prediction) -> None:
        """What was said of a window; in the order of their ends."""
        if not said.probabilities:  # it was silent
            return
        full = end_s - start_s >= self._window_s - ROUNDING_S
        row = np.array([said.probabilities[genre] for genre in self._bundle.genres])
        if not full:
            self._rows = self._rows if self._full else [row]
        elif not self._full or start_s >= self._end_s - ROUNDING_S:
            self._rows = [*self._rows, row] if self._full else [row]
            self._full, self._end_s = True, end_s

    def prediction(self, audio_s: float) -> Prediction | None:
        """Of a stream that lasted so many seconds; None where nothing was said of any of it."""
        if not self._rows:
            return None
        _, pooled = pool(np.zeros(len(self._rows), np.int64), np.stack(self._rows))
        named = dict(zip(self._bundle.genres, pooled[0].tolist(), strict=True))
        best = max(named, key=lambda genre: named[genre])
        return self._bundle.decision(Prediction("", best, named[best], named, audio_s, self._bundle.name, None))
