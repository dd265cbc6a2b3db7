"""Energy by pitch class: the tuning of a recording, chroma from a spectrum or a constant-Q transform, tonnetz.

Follows librosa 0.11 operation by operation: normalised chroma of near-silent frames is rounding noise, and
only the same order of operations gives the same noise.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_CHROMA = 12
"""Pitch classes, from C."""

_A0_HZ = 440.0 / 16  # octaves are counted from here
_PEAK_HZ = (150.0, 4000.0)  # range searched for peaks
_PEAK_THRESHOLD = np.float32(0.1)  # of the loudest bin of the frame
_TUNING_STEPS = 100  # per semitone
_TINY = np.finfo(np.float32).tiny
_CENS_STEPS = (0.4, 0.2, 0.1, 0.05)  # each threshold exceeded adds a quarter
_CENS_SMOOTH = 41  # frames


def peak_bins(sr: int, n_fft: int) -> tuple[int, int]:
    """The bins searched for peaks, 150 to 4,000 Hz: first, and one past the last."""
    low, high = np.searchsorted(np.fft.rfftfreq(n_fft, 1 / sr), (_PEAK_HZ[0], min(_PEAK_HZ[1], sr / 2)))
    return int(low), int(high)


def spectral_peaks(
    powers: NDArray[np.float32], loudest: NDArray[np.float32], bins: tuple[int, int]
) -> NDArray[np.float32]:
    """The local maxima of power spectra above a hundredth of their frame's loudest bin.

    Args:
        powers: (frames, more bins than the last of `bins`).
        loudest: the loudest bin of each frame, (frames,).
        bins: the range to search: first, and one past the last.

    Returns:
        (5, peaks): the bin, the power below it, in it and above it, and the loudest power of its frame.
    """
    low, high = bins
    rises = powers[:, low : high + 1] > powers[:, low - 1 : high]
    is_peak = rises[:, :-1] & ~rises[:, 1:]
    is_peak &= powers[:, low:high] > (_PEAK_THRESHOLD**2 * loudest)[:, None]
    found = np.flatnonzero(is_peak)
    rows = found // (high - low)
    columns = found - rows * (high - low) + low
    places, flat = rows * powers.shape[1] + columns, powers.reshape(-1)
    return np.stack((columns.astype(np.float32), flat[places - 1], flat[places], flat[places + 1], loudest[rows]))


def estimate_tuning(peaks: NDArray[np.float32], sr: int, n_fft: int, *, squared: bool) -> float:
    """How far a recording is from A = 440 Hz, from its spectral peaks, each refined by a parabola.

    Args:
        peaks: from `spectral_peaks` of all frames, (5, peaks).
        squared: whether peaks are those of the power (librosa's `chroma_stft`) or of the magnitude (its
            `cqt`): the threshold of a tenth of the loudest bin selects other peaks, and the parabola differs.

    Returns:
        fraction of a semitone, -0.5 to 0.5 in steps of 0.01; 0 where there is no peak.

    Source: J. O. Smith, Spectral Audio Signal Processing (2011); `librosa.estimate_tuning`.
    """
    low, high = peak_bins(sr, n_fft)
    least = _PEAK_THRESHOLD if squared else _PEAK_THRESHOLD**2
    bins, _, at, _, loudest = peaks
    counted = (bins >= low) & (bins < high) & (at > least * loudest)
    bins, below, at, above = peaks[:4].compress(counted, axis=1)
    if not squared:
        below, at, above = np.sqrt((below, at, above))
    curve, slope = below + above - 2 * at, (above - below) / 2
    flat = np.abs(slope) >= np.abs(curve)
    shift = np.where(flat, np.float32(0), -slope / np.where(flat, np.float32(1), curve))
    hz = ((bins + shift) * (float(sr) / n_fft)).astype(np.float32)
    return _most_common_deviation(hz, at + np.float32(0.5) * slope * shift)


def _most_common_deviation(hz: NDArray[np.float32], heights: NDArray[np.float32]) -> float:
    """The most frequent fraction of a semitone among the louder half of the peaks."""
    if not len(hz):
        return 0.0
    middle = len(heights) // 2
    semitones = N_CHROMA * np.log2(hz[heights >= np.partition(heights, middle)[middle]] / np.float32(_A0_HZ))
    part = semitones - np.floor(semitones)
    part = np.where(part >= 0.5, part - 1, part).astype(np.float64)
    step = ((part + 0.5) * _TUNING_STEPS).astype(np.int64)
    return float(np.linspace(-0.5, 0.5, _TUNING_STEPS + 1)[np.bincount(step).argmax()])


@lru_cache(maxsize=256)
def chroma_filters(sr: int, n_fft: int, tuning: float) -> NDArray[np.float32]:
    """Weights from the bins of a spectrum to pitch classes.

    Args:
        sr: Hz.
        tuning: fraction of a semitone.

    Returns:
        (12, 1 + n_fft // 2), as `librosa.filters.chroma`; cached, read only.

    Source: D. Ellis, Chroma feature analysis and synthesis (2007).
    """
    hz = np.linspace(0, sr, n_fft, endpoint=False)[1:]
    pitch = N_CHROMA * np.log2(hz / (_A0_HZ * 2.0 ** (tuning / N_CHROMA)))
    pitch = np.concatenate(([pitch[0] - 1.5 * N_CHROMA], pitch))  # 0 Hz: 1.5 octaves below the first bin
    width = np.concatenate((np.maximum(np.diff(pitch), 1.0), [1.0]))
    away = pitch - np.arange(N_CHROMA)[:, None]
    away = np.remainder(away + 10.5 * N_CHROMA, N_CHROMA) - N_CHROMA / 2
    weights = np.exp(-0.5 * (2 * away / width) ** 2)
    weights /= np.sqrt((weights**2).sum(axis=0))
    weights *= np.exp(-0.5 * ((pitch / N_CHROMA - 5.0) / 2.0) ** 2)  # centred on octave 5, two octaves wide
    filters: NDArray[np.float32] = np.roll(weights, -3, axis=0)[:, : 1 + n_fft // 2].astype(np.float32)  # from A to C
    filters.setflags(write=False)
    return filters


def chroma_stft(powers: NDArray[np.float32], sr: int, n_fft: int, tuning: float) -> NDArray[np.float32]:
    """Chroma of power spectra, scaled so that the strongest class of a frame is 1.

    Args:
        powers: (frames, at least 1 + n_fft // 2).
        tuning: fraction of a semitone.

    Returns:
        (frames, 12).
    """
    chroma: NDArray[np.float32] = powers[:, : 1 + n_fft // 2] @ chroma_filters(sr, n_fft, tuning).T
    return _normalize(chroma, chroma.max(axis=1, keepdims=True))


def chroma_cqt(cqt: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Chroma of a constant-Q transform, and its smoothed and quantised form (CENS).

    Args:
        cqt: magnitudes, (frames, octaves * 12), 12 bins per octave from C.

    Returns:
        chroma (frames, 12), the strongest class of a frame is 1; CENS (frames, 12), of unit length.

    Source: M. Müller and S. Ewert, Chroma Toolbox (2011).
    """
    raw = cqt @ np.tile(np.eye(N_CHROMA, dtype=np.float32), (cqt.shape[1] // N_CHROMA, 1))
    share = _normalize(raw, raw.sum(axis=-1, keepdims=True, dtype=np.float64))
    steps = np.zeros_like(raw)
    for step in _CENS_STEPS:
        steps += (share > np.float32(step)) * np.float32(0.25)
    cens = _smooth(steps)
    length = np.sqrt((cens.astype(np.float64) ** 2).sum(axis=-1, keepdims=True))
    return _normalize(raw, raw.max(axis=-1, keepdims=True)), _normalize(cens, length)


def _smooth(steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """(frames, 12) averaged over `_CENS_SMOOTH` frames: all rows are one signal, separated by zeros."""
    kernel = np.hanning(_CENS_SMOOTH + 2)
    padded = np.pad(steps.T.astype(np.float64), ((0, 0), (0, len(kernel))))
    smoothed = np.convolve(padded.reshape(-1), kernel / kernel.sum(), mode="same").reshape(padded.shape)
    return smoothed[:, : len(steps)].T.astype(np.float32, order="C")


def tonnetz(chroma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Tonal centroids of chroma: coordinates on the circles of fifths, minor and major thirds.

    Args:
        chroma: (frames, 12).

    Returns:
        (frames, 6).

    Source: C. Harte, M. Sandler and M. Gasser, Detecting harmonic change in musical audio (2006).
    """
    turns = np.outer([7 / 6, 7 / 6, 3 / 2, 3 / 2, 2 / 3, 2 / 3], np.arange(float(N_CHROMA)))
    turns[::2] -= 0.5  # a cosine half a turn back is the sine
    radius = np.array([1, 1, 1, 1, 0.5, 0.5])[:, None]
    share = _normalize(chroma, np.abs(chroma).sum(axis=-1, keepdims=True, dtype=np.float64))
    centroids: NDArray[np.float64] = share @ (radius * np.cos(np.pi * turns)).T
    return centroids.astype(np.float32)


def _normalize(values: NDArray[np.float32], length: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Rows divided by their length; rows of length 0 are left as they are."""
    divided: NDArray[np.floating[Any]] = values / np.where(length < _TINY, 1.0, length)
    return divided.astype(np.float32)
