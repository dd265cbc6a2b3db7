"""A bundle's probabilities for each window of a track, before pooling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.clips import Clip
from genrelab.bundle.bundle import BATCH_SIZE, Bundle
from genrelab.core.config import FIRST_CLIP_VIEWS, LogMelView, SamplesView, View
from genrelab.features.views import compute


class ScoredWindow(NamedTuple):
    """A window from `start_s` to `end_s`; `p` are its probabilities, shape (genres,).

    `embedding` is the window itself, shape (outputs,), where the bundle reads `embedding`: tags and the gate use it.
    """

    start_s: float
    end_s: float
    p: NDArray[np.float64]
    embedding: NDArray[np.float32] | None = None


def score_windows(bundle: Bundle, clips: Iterable[Clip]) -> Iterator[ScoredWindow]:
    """Score the windows of clips, in their order and in batches.

    Windows of `embedding` are scored one by one: its small network takes next to no time, and the caller may stop
    before the next clip is read.
    """
    at_once = 1 if bundle.reads_embedding else BATCH_SIZE
    if bundle.view.name in FIRST_CLIP_VIEWS:
        clips = islice(clips, 1)
    spans: list[tuple[float, float]] = []
    arrays: list[NDArray[Any]] = []
    for clip in clips:
        clip_end_s = clip.start_s + len(clip.y) / clip.sr
        for window in compute(bundle.view, clip.y, clip.sr, start_s=clip.start_s):
            spans.append((window.start_s, min(window.start_s + _window_s(bundle.view), clip_end_s)))
            arrays.append(window.x)
        if len(arrays) >= at_once:
            yield from _score_batch(bundle, spans, arrays)
            spans, arrays = [], []
    yield from _score_batch(bundle, spans, arrays)


def _score_batch(
    bundle: Bundle, spans: list[tuple[float, float]], arrays: list[NDArray[Any]]
) -> Iterator[ScoredWindow]:
    if arrays:
        rows = bundle.probabilities(np.stack(arrays, dtype=np.float32))
        embeddings = arrays if bundle.reads_embedding else [None] * len(arrays)
        yield from (ScoredWindow(*span, *row) for span, *row in zip(spans, rows, embeddings, strict=True))


def _window_s(view: View) -> float:
    """Length of a window in seconds; infinite for views of a whole clip, which end with it."""
    if isinstance(view, LogMelView):
        return view.window_s
    return view.n_samples / view.sr if isinstance(view, SamplesView) else float("inf")
