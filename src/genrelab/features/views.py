"""Computes the arrays that models read from a clip, for `prepare` and `predict` alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.clips import Clip, resample
from genrelab.core.config import (
    PARQUET_VIEWS,
    DescriptorsView,
    EmbeddingView,
    FramesView,
    LogMelView,
    MelImageView,
    SamplesView,
    StatisticsView,
    TableView,
    View,
)
from genrelab.core.errors import DecodeError, SettingsError
from genrelab.features.embedding import embedding, embedding_columns
from genrelab.features.spectrogram import log_mel_windows, mel_image
from genrelab.features.statistics import STATISTICS, descriptors, frames, statistics


@dataclass(frozen=True)
class Window:
    """One array of one view. `x` has the view's shape and dtype; `start_s` counts from the start of the track."""

    start_s: float
    x: NDArray[Any]


def table_views(views: Iterable[View]) -> list[View]:
    """Those of the views that are stored in `features.parquet`, in the order of their columns there."""
    return sorted((v for v in views if v.name in PARQUET_VIEWS), key=lambda v: PARQUET_VIEWS.index(v.name))


def table_columns(view: View) -> tuple[str, ...]:
    """Names of a view's columns in `features.parquet`; none of a view that is stored in shards."""
    match view:
        case StatisticsView():
            return STATISTICS
        case EmbeddingView():
            return embedding_columns(view)
        case TableView():
            return view.columns
        case _:
            return ()


BATCH_S = 30.0
"""Seconds of audio computed together: short clips share the overhead of a call, and memory stays that of a long one."""


def compute(view: View, y: NDArray[np.float32], sr: int, *, start_s: float = 0.0) -> list[Window]:
    """The windows of one view of a clip; see `compute_all`."""
    return compute_all((view,), y, sr, start_s=start_s)[view.name]


def compute_many(view: View, clips: Iterable[Clip]) -> Iterator[tuple[Clip, list[Window]]]:
    """Clips of a track, each with its windows of one view: as `compute` gives, faster where clips are short.

    `statistics` and `descriptors` of clips of one length are computed together, up to `BATCH_S` at once.

    Raises:
        SettingsError, DecodeError: as `compute_all`.
    """
    if not isinstance(view, StatisticsView | DescriptorsView):
        yield from ((clip, compute(view, clip.y, clip.sr, start_s=clip.start_s)) for clip in clips)
        return
    for batch in _batches_of_equal_length(clips):
        sr, rate = batch[0].sr, _target_rate(view, batch[0].sr)
        y = resample(np.stack([clip.y for clip in batch]), sr, rate)
        with np.errstate(over="ignore", invalid="ignore"):  # as in `_windows`
            rows = _statistics_or_descriptors(view, y, rate)
        for clip, x in zip(batch, rows, strict=True):
            yield clip, [Window(clip.start_s, _as_stored(view, x, clip.start_s))]


def _batches_of_equal_length(clips: Iterable[Clip]) -> Iterator[list[Clip]]:
    """Consecutive clips of one length and rate, up to `BATCH_S` in total; at least one."""
    for (n_samples, sr), run in groupby(clips, key=lambda clip: (len(clip.y), clip.sr)):
        at_once = max(1, round(BATCH_S * sr / n_samples))
        while batch := list(islice(run, at_once)):
            yield batch


def compute_all(
    views: Iterable[View], y: NDArray[np.float32], sr: int, *, start_s: float = 0.0
) -> dict[str, list[Window]]:
    """The windows of several views of a clip; the clip is resampled once to each rate that they state.

    `statistics`, `descriptors`, `embedding` and `mel_image` give one window per clip, `log_mel` one or more; `samples`
    and `frames` use the start of a track and give none for its later clips.

    Args:
        y: mono samples of the clip, (n,).
        sr: their rate in Hz.
        start_s: where in the track the clip starts.

    Returns:
        the windows of each view by its name, in order of time.

    Raises:
        SettingsError: the view `table`, which is not made from audio.
        DecodeError: samples that are not finite, or so loud that the results overflow float32.
    """
    at_rate: dict[int, NDArray[np.float32]] = {sr: y}

    def samples_at(rate: int) -> NDArray[np.float32]:
        if rate not in at_rate:
            at_rate[rate] = resample(y, sr, rate)
        return at_rate[rate]

    return {view.name: _windows(view, samples_at, sr, start_s) for view in views}


def _windows(view: View, samples_at: Callable[[int], NDArray[np.float32]], sr: int, start_s: float) -> list[Window]:
    found: list[tuple[float, NDArray[np.float32]]]
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow is refused below, naming the view
        match view:
            case TableView():
                raise SettingsError("the view table reads columns of a table: it cannot be made from audio")
            case SamplesView() | FramesView() if start_s > 0:
                found = []
            case SamplesView():
                found = [(0.0, _first_samples(samples_at(view.sr), view.n_samples))]
            case FramesView():
                found = [(0.0, frames(samples_at(view.sr), view.sr, view))]
            case StatisticsView() | DescriptorsView():
                rate = _target_rate(view, sr)
                found = [(0.0, _statistics_or_descriptors(view, samples_at(rate), rate))]
            case EmbeddingView():
                found = [(0.0, embedding(samples_at(view.sr), view))]
            case MelImageView():
                found = [(0.0, mel_image(samples_at(view.sr), view))]
            case LogMelView():
                found = log_mel_windows(samples_at(view.sr), view)
    return [Window(start_s + offset, _as_stored(view, x, start_s)) for offset, x in found]


def _target_rate(view: StatisticsView | DescriptorsView, sr: int) -> int:
    """The rate that a clip is resampled to; below the view's own FMA's constant-Q transform would exceed Nyquist."""
    return max(sr, view.sr) if isinstance(view, StatisticsView) and view.fma_exact else view.sr


def _statistics_or_descriptors(
    view: StatisticsView | DescriptorsView, y: NDArray[np.float32], sr: int
) -> NDArray[np.float32]:
    """(n,) or (clips, n) samples at the rate `_target_rate`: `view.shape`, or (clips, *view.shape)."""
    return statistics(y, sr, view=view) if isinstance(view, StatisticsView) else descriptors(y, sr, view)


def _first_samples(y: NDArray[np.float32], n_samples: int) -> NDArray[np.float32]:
    first = np.zeros(n_samples, np.float32)
    first[: len(y)] = y[:n_samples]
    return first


def _as_stored(view: View, x: NDArray[np.float32], start_s: float) -> NDArray[Any]:
    """The array in the view's own little-endian type."""
    stored = np.ascontiguousarray(x, dtype=view.dtype)
    if stored.shape != view.shape:
        raise SettingsError(f"view {view.name}: computed {stored.shape}, its settings say {view.shape}")
    if not np.isfinite(stored).all():
        reason = f"the view {view.name} is not finite: the samples are not, or are far louder than full scale"
        raise DecodeError(f"clip at {start_s:g} s", reason, stage="check")
    return stored
