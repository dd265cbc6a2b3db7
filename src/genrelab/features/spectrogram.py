"""Waveform → power spectra → log-mel spectrograms, the input of convolutional networks.

Frames are centred and zero-padded, windowed by a periodic Hann window, and transformed in float32 in blocks
small enough to stay in cache; the reference is librosa 0.11 (`stft`, `filters.mel`, `power_to_db`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import LogMelView, MelImageView

BLOCK = 96
"""Frames transformed at once: 96 spectra of 2,048 samples are less than a megabyte."""

AMIN = 1e-10
"""Lower limit of the power before the logarithm (librosa's `amin`)."""

_BANDS = 16  # mel bands multiplied at once: a group reads only the bins that its bands cover
_DB = np.float32(10.0 / np.log(10.0))  # 10 log10(x) = _DB ln(x); NumPy has a vectorised float32 ln


def frame(y: NDArray[np.float32], n_fft: int, hop_length: int) -> NDArray[np.float32]:
    """Centred frames of a zero-padded signal, as a view.

    Args:
        y: mono samples, (n,).

    Returns:
        (1 + n // hop_length, n_fft), overlapping: read only.
    """
    padded = np.pad(y, n_fft // 2).astype(np.float32, copy=False)
    return np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]


def power(frames: NDArray[np.float32], out: NDArray[np.float32], *, double: bool = False) -> NDArray[np.float32]:
    """Power spectra of frames.

    Args:
        frames: (n, n_fft).
        out: where to write, (n, 1 + n_fft // 2).
        double: transform in float64: where levels 140 dB below the loudest bin matter, and for few frames, where
            importing SciPy would take longer than NumPy's transform.

    Returns:
        `out`, squared magnitudes.
    """
    if double:
        spectra = np.fft.rfft(frames * _hann(frames.shape[1], np.float64), axis=1)
    else:
        import scipy.fft  # in float32 seven times as fast as NumPy; late: the import takes longer than a song

        spectra = scipy.fft.rfft(frames * _hann(frames.shape[1], np.float32), axis=1)
    parts = spectra.astype(np.complex64, copy=False).view(np.float32)
    np.square(parts, out=parts)
    np.add(parts[:, ::2], parts[:, 1::2], out=out)
    return out


def power_blocks(
    y: NDArray[np.float32], n_fft: int, hop_length: int, *, double: bool = False
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The power spectra of a signal in order, `BLOCK` frames at a time.

    Yields:
        which frames, and their power (frames, 1 + n_fft // 2); a block is overwritten by the next.
    """
    frames = frame(y, n_fft, hop_length)
    buffer = np.empty((BLOCK, 1 + n_fft // 2), np.float32)
    for start in range(0, len(frames), BLOCK):
        block = frames[start : start + BLOCK]
        yield slice(start, start + len(block)), power(block, buffer[: len(block)], double=double)


@lru_cache(maxsize=8)
def mel_filters(sr: int, n_fft: int, n_mels: int) -> NDArray[np.float32]:
    """Triangular filters, evenly spaced on Slaney's mel scale, each of unit area in Hz.

    Args:
        sr: Hz.

    Returns:
        (n_mels, 1 + n_fft // 2), as `librosa.filters.mel`; cached, read only.

    Source: M. Slaney, Auditory Toolbox (1998); linear below 1 kHz, 27 steps per factor of 6.4 above.
    """
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(sr / 2), n_mels + 2))
    rise = np.diff(edges)
    ramps = edges[:, None] - np.fft.rfftfreq(n_fft, 1 / sr)
    lower, upper = -ramps[:-2] / rise[:-1, None], ramps[2:] / rise[1:, None]
    filters = np.maximum(0, np.minimum(lower, upper)).astype(np.float32)
    filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    filters.setflags(write=False)
    return filters


def mel_power(
    powers: NDArray[np.float32], sr: int, n_fft: int, n_mels: int, out: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Power in mel bands.

    Args:
        powers: power spectra, (frames, at least 1 + n_fft // 2).
        out: where to write, (frames, n_mels).

    Returns:
        `out`.
    """
    for bands, bins, weights in _mel_groups(sr, n_fft, n_mels):
        np.matmul(powers[:, bins], weights, out=out[:, bands])
    return out


def decibels(powers: NDArray[np.float32], *, top_db: float, ref: float | None = None) -> NDArray[np.float32]:
    """Power in dB, no lower than `top_db` below the loudest value of a spectrogram (`librosa.power_to_db`).

    Where nothing reaches `AMIN` and the reference is the loudest value, all is `-top_db`: in silence the loudest
    value is no reference (librosa returns 0 dB).

    Args:
        powers: one spectrogram, or several with levels of their own: (..., frames, bands).
        ref: power of 0 dB; the loudest value unless given.

    Returns:
        float32 dB, same shape.
    """
    level = np.maximum(powers, np.float32(AMIN))
    np.log(level, out=level)
    level *= _DB
    if ref is None:
        loudest = powers.max(axis=(-2, -1), keepdims=True)
        level -= (10.0 * np.log10(np.maximum(AMIN, loudest, dtype=np.float64))).astype(np.float32)
    else:
        level -= np.float32(10.0 * np.log10(max(AMIN, ref)))
    np.maximum(level, level.max(axis=(-2, -1), keepdims=True) - np.float32(top_db), out=level)
    if ref is None and (loudest <= AMIN).any():
        np.copyto(level, np.float32(-top_db), where=loudest <= AMIN)
    return level


def log_mel(
    y: NDArray[np.float32], sr: int, *, n_fft: int, hop_length: int, n_mels: int, top_db: float, double: bool = False
) -> NDArray[np.float32]:
    """Log-mel spectrogram in dB below the loudest bin of the whole signal.

    Args:
        y: mono samples, (n,).
        sr: Hz.
        double: see `power`.

    Returns:
        (1 + n // hop_length, n_mels), dB from -top_db to 0.
    """
    mel = np.empty((1 + len(y) // hop_length, n_mels), np.float32)
    for rows, powers in power_blocks(y, n_fft, hop_length, double=double):
        mel_power(powers, sr, n_fft, n_mels, mel[rows])
    return decibels(mel, top_db=top_db)


def mel_image(y: NDArray[np.float32], view: MelImageView) -> NDArray[np.float32]:
    """Log-mel spectrogram of a whole clip as one image; the clip's own length fills it.

    Levels are relative to all frames of the clip, then the first `size` frames are kept (30 s give 225 at
    hop 2,953: averaging frames into 224 would cost up to 34 dB). A clip too short for `size` frames at
    `min_hop` is padded with silence.

    Args:
        y: mono samples at `view.sr`, (n,).

    Returns:
        `view.shape` (frames, n_mels), dB from -top_db to 0.
    """
    hop_length = view.hop_length(len(y))
    levels = log_mel(
        y, view.sr, n_fft=view.n_fft, hop_length=hop_length, n_mels=view.size, top_db=view.top_db, double=True
    )
    image = np.full(view.shape, -view.top_db, np.float32)
    image[: len(levels)] = levels[: view.size]
    return image


def log_mel_windows(y: NDArray[np.float32], view: LogMelView) -> list[tuple[float, NDArray[np.float32]]]:
    """Log-mel spectrograms of the windows of a clip, each in dB below its own loudest bin.

    A clip shorter than a window is repeated until it fills one. A remainder of at least half a window becomes
    one more window, moved back to end with the clip.

    Args:
        y: mono samples at `view.sr`, (n,).

    Returns:
        start in seconds and `view.shape` (frames, n_mels) for each window.
    """
    n_window = int(view.window_s * view.sr)
    if len(y) < n_window:
        y = np.resize(y, n_window)
    windows = []
    for start in _window_starts(len(y), n_window, max(1, int(view.hop_s * view.sr))):
        levels = log_mel(
            y[start : start + n_window],
            view.sr,
            n_fft=view.n_fft,
            hop_length=view.hop_length,
            n_mels=view.n_mels,
            top_db=view.top_db,
        )
        windows.append((start / view.sr, levels[: view.n_frames]))
    return windows


def _window_starts(n_samples: int, n_window: int, hop: int) -> list[int]:
    starts = list(range(0, n_samples - n_window + 1, hop))
    left = n_samples - (starts[-1] + n_window)
    if left >= n_window / 2:
        starts.append(n_samples - n_window)
    return starts


@lru_cache(maxsize=8)
def _hann(n_fft: int, dtype: type[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Periodic Hann window, (n_fft,)."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(dtype)
    window.setflags(write=False)
    return window


@lru_cache(maxsize=8)
def _mel_groups(sr: int, n_fft: int, n_mels: int) -> tuple[tuple[slice, slice, NDArray[np.float32]], ...]:
    """The filter bank as narrow blocks: (bands, bins, weights (bins, bands)) of `_BANDS` bands each."""
    filters = mel_filters(sr, n_fft, n_mels)
    groups = []
    for first in range(0, n_mels, _BANDS):
        bands = slice(first, min(first + _BANDS, n_mels))
        used = np.flatnonzero(filters[bands].any(axis=0))
        bins = slice(used[0], used[-1] + 1) if len(used) else slice(0, 1)
        groups.append((bands, bins, np.ascontiguousarray(filters[bands, bins].T)))
    return tuple(groups)


_LINEAR_STEP = 200.0 / 3  # Hz per mel below 1 kHz
_LOG_HZ, _LOG_MEL = 1000.0, 15.0  # where the logarithmic part starts
_LOG_STEP = float(np.log(6.4)) / 27.0


def _hz_to_mel(hz: float) -> float:
    if hz < _LOG_HZ:
        return hz / _LINEAR_STEP
    return _LOG_MEL + float(np.log(hz / _LOG_HZ)) / _LOG_STEP


def _mel_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _LOG_HZ * np.exp(_LOG_STEP * (mels - _LOG_MEL))
    return np.where(mels >= _LOG_MEL, above, mels * _LINEAR_STEP)
