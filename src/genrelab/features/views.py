"""Computes the arrays that models read from a clip, for `prepare` and `predict`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.clips import resample
from genrelab.core.config import (
    FIRST_CLIP_VIEWS,
    PARQUET_VIEWS,
    DescriptorsView,
    EmbeddingView,
    FramesView,
    LogMelView,
    MelImageView,
    RhythmView,
    SamplesView,
    StatisticsView,
    TableView,
    View,
)
from genrelab.core.errors import DecodeError, SettingsError
from genrelab.features.description import RHYTHM, rhythm
from genrelab.features.embedding import embedding, embedding_columns
from genrelab.features.spectra import Spectra, compute_spectra
from genrelab.features.spectrogram import log_mel_windows, mel_image
from genrelab.features.statistics import STATISTICS, descriptors, frames, statistics

FMA_SR = 22_050
"""The rate that FMA's recipe assumes for chroma_stft, centroid, bandwidth, contrast and roll-off, whatever it is."""


@dataclass(frozen=True)
class Window:
    """One array of one view. `x` has the view's shape and dtype; `start_s` counts from the start of the track."""

    start_s: float
    x: NDArray[Any]


def table_views(views: Iterable[View]) -> list[View]:
    """The views that are stored in `features.parquet`, in the order of their columns."""
    return sorted((v for v in views if v.name in PARQUET_VIEWS), key=lambda v: PARQUET_VIEWS.index(v.name))


def table_columns(view: View) -> tuple[str, ...]:
    """Names of a view's columns in `features.parquet`; none for a view that is stored in shards."""
    match view:
        case StatisticsView():
            return STATISTICS
        case EmbeddingView():
            return embedding_columns(view)
        case RhythmView():
            return RHYTHM
        case TableView():
            return view.columns
        case _:
            return ()


def compute(view: View, y: NDArray[np.float32], sr: int, *, start_s: float = 0.0) -> list[Window]:
    """The windows of one view of a clip; see `compute_all`."""
    return compute_all((view,), y, sr, start_s=start_s)[view.name]


def compute_all(
    views: Iterable[View], y: NDArray[np.float32], sr: int, *, start_s: float = 0.0
) -> dict[str, list[Window]]:
    """The windows of several views of a clip; the clip is resampled once to each rate that they state.

    `statistics`, `descriptors`, `embedding`, `rhythm` and `mel_image` have one window per clip, `log_mel` one or more;
    `samples` and `frames` use the start of a track and have none for its later clips.

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
    at_rate, spectra, found = {sr: y}, dict[object, Spectra](), {}
    for view in views:
        found[view.name] = list[Window]()
        if start_s > 0 and view.name in FIRST_CLIP_VIEWS:
            continue
        rate = target_rate(view, sr)
        if rate not in at_rate:
            at_rate[rate] = resample(y, sr, rate)
        with np.errstate(over="ignore", invalid="ignore"):  # an overflow is an error below
            arrays = _arrays(view, at_rate[rate], rate, spectra)
        found[view.name] = [Window(start_s + offset, _as_stored(view, x, start_s)) for offset, x in arrays]
    return found


def _arrays(
    view: View, y: NDArray[np.float32], rate: int, spectra: dict[object, Spectra]
) -> list[tuple[float, NDArray[np.float32]]]:
    """Where each window starts in the clip, in seconds, and its array; `spectra` holds those of earlier views."""
    match view:
        case LogMelView():
            return log_mel_windows(y, view)
        case SamplesView():
            x = np.zeros(view.n_samples, np.float32)
            x[: len(y)] = y[: view.n_samples]
        case FramesView():
            x = frames(_spectra_of(view, y, rate, spectra), view)
        case StatisticsView():
            x = statistics(_spectra_of(view, y, rate, spectra))
        case DescriptorsView():
            x = descriptors(_spectra_of(view, y, rate, spectra), view.n_mfcc)
        case RhythmView():
            x = rhythm(_spectra_of(view, y, rate, spectra))
        case EmbeddingView():
            x = embedding(y, view)
        case MelImageView():
            x = mel_image(y, view)
    return [(0.0, x)]


def _spectra_of(
    view: StatisticsView | DescriptorsView | FramesView | RhythmView,
    y: NDArray[np.float32],
    rate: int,
    made: dict[object, Spectra],
) -> Spectra:
    """The spectra that a view is computed from; views with the same numbers share them."""
    stated_sr = FMA_SR if isinstance(view, StatisticsView) and view.fma_exact else rate
    key = (rate, stated_sr, view.n_fft, view.hop_length)
    if key not in made:
        made[key] = compute_spectra(y, rate, n_fft=view.n_fft, hop_length=view.hop_length, stated_sr=stated_sr)
    return made[key]


def target_rate(view: View, sr: int) -> int:
    """The rate that a clip is resampled to; below the view's own FMA's constant-Q transform would exceed Nyquist."""
    if isinstance(view, TableView):
        raise SettingsError("the view table reads columns of a table, not audio")
    return max(sr, view.sr) if isinstance(view, StatisticsView) and view.fma_exact else view.sr


def _as_stored(view: View, x: NDArray[np.float32], start_s: float) -> NDArray[Any]:
    """The array in the view's own little-endian type."""
    stored = np.ascontiguousarray(x, dtype=view.dtype)
    if stored.shape != view.shape:
        raise SettingsError(f"view {view.name}: its shape is {stored.shape}, its settings require {view.shape}")
    if not np.isfinite(stored).all():
        reason = f"the view {view.name} contains NaN or infinity: the samples contain it, or are far above full scale"
        raise DecodeError(f"clip at {start_s:g} s", reason, stage="check")
    return stored
