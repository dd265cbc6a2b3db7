"""Features of single frames: loudness, centroid, bandwidth, roll-off and contrast of the spectrum, zero crossings.

All take time-major spectra whose rows are padded with zeros to a whole number of chunks (`padded_bins`), so
that the moments of 64 bins are one matrix product and a frame's moments follow from its 17 chunks in float64.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from genrelab.features.spectrogram import decibels

_CHUNK = 64  # bins
_FROM_MIDDLE = np.arange(_CHUNK) - (_CHUNK - 1) / 2
_MOMENT_WEIGHTS = np.stack((np.ones(_CHUNK), _FROM_MIDDLE, _FROM_MIDDLE**2), axis=1).astype(np.float32)
"""1, x and x² of the distance x from the middle of a chunk, (64, 3)."""
_CUMULATIVE_SUM = np.triu(np.ones((_CHUNK, _CHUNK), np.float32))
"""Matrix of cumulative sums within a chunk: several times as fast as `cumsum`, (64, 64)."""
_ROLL_PERCENT = 0.85
_CONTRAST_HZ = 200.0  # upper edge of the lowest band; each further band is an octave
_CONTRAST_BANDS = 7
_CONTRAST_QUANTILE = 0.02
_NOISY_VALLEY = 1e-6
"""Magnitude of a valley of one bin, over the average of its frame, below which float32 is not accurate: the rounding
noise of a float32 transform is 1.2e-7 on average (measured on real clips), several times that near a loud bin."""
_NEAR_LARGEST_DB = 1.0
_TOP_DB = 80.0
_TINY = np.finfo(np.float32).tiny
_ZERO = np.float32(1e-10)  # samples this small count as zero


def padded_bins(n_fft: int) -> int:
    """Bins of a spectrum, rounded up to whole chunks: 1,088 for 2,048 samples."""
    return -(-(1 + n_fft // 2) // _CHUNK) * _CHUNK


def chunk_moments(powers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Moments of the magnitudes in each chunk of 64 bins, around the middle of the chunk.

    Args:
        powers: power spectra, (frames, padded bins), zeros beyond the last bin.

    Returns:
        (frames, chunks, 3): sums of m, m x and m x² for magnitudes m at x bins from the middle.
    """
    # Distances within a chunk are small numbers: float32 loses nothing that matters for the whole frame.
    return (np.sqrt(powers).reshape(-1, _CHUNK) @ _MOMENT_WEIGHTS).reshape(len(powers), -1, 3)


def shape(moments: NDArray[np.float32], powers: NDArray[np.float32], sr: int, n_fft: int) -> NDArray[np.float32]:
    """Centroid, bandwidth and roll-off (85 % of the magnitude lies below it) of frames; 0 in silence.

    Args:
        moments: from `chunk_moments`, (frames, chunks, 3).
        powers: the power spectra that they were computed from, (frames, padded bins).

    Returns:
        (frames, 3) Hz: centroid, bandwidth, roll-off.

    Source: A. Klapuri and M. Davy, Signal processing methods for music transcription, chapter 5 (2007).
    """
    total, first, second = (moments[:, :, k].astype(np.float64) for k in range(3))
    middle = np.arange(moments.shape[1]) * _CHUNK + (_CHUNK - 1) / 2
    whole = total.sum(axis=1)
    divisor = np.where(whole < _TINY, np.inf, whole)
    centroid = (total @ middle + first.sum(axis=1)) / divisor
    distance = middle - centroid[:, None]
    spread = (distance * (total * distance + 2 * first) + second).sum(axis=1) / divisor
    rolloff = _rolloff_bins(total, whole, powers)
    bins = np.stack((centroid, np.sqrt(np.maximum(spread, 0.0)), rolloff), axis=1)
    return (bins * (sr / n_fft)).astype(np.float32)


def _rolloff_bins(
    total: NDArray[np.float64], whole: NDArray[np.float64], powers: NDArray[np.float32]
) -> NDArray[np.int64]:
    """The first bin up to which `_ROLL_PERCENT` of a frame's magnitude lies: its chunk first, then the bin in it."""
    rows, n_chunks = np.arange(len(total)), total.shape[1]
    wanted = _ROLL_PERCENT * whole
    up_to = np.cumsum(total, axis=1)
    chunk = np.minimum((up_to < wanted[:, None]).sum(axis=1), n_chunks - 1)
    wanted -= up_to[rows, chunk] - total[rows, chunk]
    inside = np.sqrt(powers.reshape(-1, n_chunks, _CHUNK)[rows, chunk]) @ _CUMULATIVE_SUM
    position = (inside < wanted[:, None]).sum(axis=1)
    bins: NDArray[np.int64] = chunk * _CHUNK + np.minimum(position, _CHUNK - 1)
    return bins


def mean_square(powers: NDArray[np.float32], n_fft: int) -> NDArray[np.float32]:
    """Mean square of windowed frames from their power spectra (Parseval's theorem).

    Args:
        powers: (frames, padded bins).

    Returns:
        (frames,).
    """
    return powers @ _mean_square_weights(n_fft)


def band_extremes(powers: NDArray[np.float32], sr: int, n_fft: int) -> NDArray[np.float32]:
    """The mean magnitude of the weakest and of the strongest 2 % of the bins of each of seven octave bands.

    Args:
        powers: power spectra, (frames, at least 1 + n_fft // 2).

    Returns:
        (frames, 14): the valleys of the seven bands, then their peaks.
    """
    # Non-negative floats sort like their bit patterns, and integers sort a third faster.
    ordered, ends = powers[:, : 1 + n_fft // 2].view(np.int32).copy(), []
    for bins, n_edge in _contrast_bands(sr, n_fft):
        band = ordered[:, bins]
        band.sort(axis=1)
        ends += [band[:, :n_edge], band[:, -n_edge:]]
    magnitudes = np.concatenate(ends, axis=1).view(np.float32)
    return np.sqrt(magnitudes, out=magnitudes) @ _mean_of_ends(sr, n_fft)


def needs_float64(extremes: NDArray[np.float32], rms: NDArray[np.float32], sr: int, n_fft: int) -> NDArray[np.bool_]:
    """The frames whose contrast the rounding noise of a float32 transform changes, (frames,).

    Those have a deep valley, or nearly the largest contrast of a band: the maximum would be where noise is largest.

    Args:
        extremes: from `band_extremes`, of all frames of a clip, (frames, 14).
        rms: root mean square of the windowed frames, (frames,).
    """
    sizes = np.array([n_edge for _, n_edge in _contrast_bands(sr, n_fft)])
    least = (_NOISY_VALLEY * np.sqrt(n_fft / sizes)).astype(np.float32)  # the noise of several bins averages out
    found = contrast(extremes)
    noisy = (extremes[:, :_CONTRAST_BANDS] < least * rms[:, None]) | (found > found.max(axis=0) - _NEAR_LARGEST_DB)
    any_band: NDArray[np.bool_] = noisy.any(axis=1)
    return any_band


def contrast(extremes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Spectral contrast: how far the peaks of each octave band stand above its valleys.

    Args:
        extremes: from `band_extremes`, of all frames of a clip, (frames, 14).

    Returns:
        (frames, 7), dB.

    Source: D.-N. Jiang et al., Music type classification by spectral contrast feature (2002).
    """
    valleys, peaks = np.split(extremes, 2, axis=1)
    return decibels(peaks, ref=1.0, top_db=_TOP_DB) - decibels(valleys, ref=1.0, top_db=_TOP_DB)


def zero_crossing_rate(y: NDArray[np.float32], n_fft: int, hop_length: int) -> NDArray[np.float32]:
    """Share of the samples of each centred frame whose sign differs from the sample before.

    Args:
        y: mono samples, (n,); they are padded with the first and the last sample.
        n_fft: frame length, a multiple of `hop_length`.

    Returns:
        (1 + n // hop_length,).
    """
    negative = np.pad(y < -_ZERO, n_fft // 2, mode="edge")
    crossings = np.diff(negative, prepend=negative[:1])
    n_frames, n_hops = 1 + len(y) // hop_length, n_fft // hop_length
    hops = crossings[: (n_frames + n_hops - 1) * hop_length].reshape(-1, hop_length)
    in_hops = np.add.reduce(hops, axis=1, dtype=np.uint16)
    # A frame's first sample has none before it within the frame.
    within = np.lib.stride_tricks.sliding_window_view(in_hops, n_hops)
    counts: NDArray[np.int64] = within.sum(axis=1, dtype=np.int64) - hops[:n_frames, 0]
    return (counts / n_fft).astype(np.float32)


@lru_cache(maxsize=8)
def _mean_square_weights(n_fft: int) -> NDArray[np.float32]:
    """Weight of each bin in the mean square; 0 Hz and Nyquist have no mirror image, (padded bins,)."""
    weights = np.full(padded_bins(n_fft), 2.0 / n_fft**2, np.float32)
    weights[[0, n_fft // 2]] /= 2
    return weights


@lru_cache(maxsize=8)
def _contrast_bands(sr: int, n_fft: int) -> tuple[tuple[slice, int], ...]:
    """Bins of each band, and the number that makes 2 % of them (rounded as librosa does, at least one)."""
    hz = np.fft.rfftfreq(n_fft, 1 / sr)
    edges = [0.0, *(_CONTRAST_HZ * 2.0 ** np.arange(_CONTRAST_BANDS))]
    bands = []
    for k, (low, high) in enumerate(pairwise(edges)):
        start, stop = int(np.searchsorted(hz, low)), int(np.searchsorted(hz, high, side="right"))
        start -= k > 0  # the bin below the band belongs to it, the one at its top to the next band
        stop = len(hz) if k == _CONTRAST_BANDS - 1 else stop
        n_edge = max(1, int(np.rint(_CONTRAST_QUANTILE * (stop - start))))
        bands.append((slice(start, stop if k == _CONTRAST_BANDS - 1 else stop - 1), n_edge))
    return tuple(bands)


@lru_cache(maxsize=8)
def _mean_of_ends(sr: int, n_fft: int) -> NDArray[np.float32]:
    """Matrix from the weakest and strongest bins of the bands, in order, to their means: (bins, 14)."""
    sizes = [n_edge for _, n_edge in _contrast_bands(sr, n_fft) for _ in range(2)]
    means = np.repeat(np.diag(1 / np.array(sizes)), sizes, axis=0)
    return np.concatenate((means[:, ::2], means[:, 1::2]), axis=1, dtype=np.float32)
