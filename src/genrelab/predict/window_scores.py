"""A bundle's probabilities for each window of a track, before pooling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.clips import Clip
from genrelab.bundle.bundle import BATCH_SIZE, Bundle
from genrelab.core.config import FIRST_CLIP_VIEWS, LogMelView, SamplesView, View
from genrelab.features.views import compute_many

ScoredWindow = tuple[float, float, NDArray[np.float64]]
"""Start and end of a window in seconds, and its probabilities, shape (genres,)."""


def score_windows(bundle: Bundle, clips: Iterable[Clip]) -> Iterator[ScoredWindow]:
    """Start, end and probabilities of every window; windows of several clips are batched."""
    if bundle.view.name in FIRST_CLIP_VIEWS:
        clips = islice(clips, 1)
    spans: list[tuple[float, float]] = []
    arrays: list[NDArray[Any]] = []
    for clip, windows in compute_many(bundle.view, clips):
        clip_end_s = clip.start_s + len(clip.y) / clip.sr
        for window in windows:
            spans.append((window.start_s, min(window.start_s + _window_s(bundle.view), clip_end_s)))
            arrays.append(window.x)
        if len(arrays) >= BATCH_SIZE:
            yield from _score_batch(bundle, spans, arrays)
            spans, arrays = [], []
    yield from _score_batch(bundle, spans, arrays)


def _score_batch(
    bundle: Bundle, spans: list[tuple[float, float]], arrays: list[NDArray[Any]]
) -> Iterator[ScoredWindow]:
    if arrays:
        rows = bundle.probabilities(np.stack(arrays, dtype=np.float32))
        yield from ((*span, row) for span, row in zip(spans, rows, strict=True))


def _window_s(view: View) -> float:
    """Length of a window in seconds; infinite for views of a whole clip, which end with it."""
    if isinstance(view, LogMelView):
        return view.window_s
    return view.n_samples / view.sr if isinstance(view, SamplesView) else float("inf")
