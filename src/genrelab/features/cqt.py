"""Constant-Q transform: seven octaves of twelve semitones from C1, tuned to the recording.

librosa 0.11's `cqt` goes down the octaves by halving the rate, so that one set of twelve filters serves all.
Here these filters are combined into one real matrix in the time domain: an octave is one matrix product.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import soxr
from numpy.typing import NDArray

from genrelab.core.errors import SettingsError
from genrelab.features.spectrogram import frame

N_BINS = 84
_OCTAVE = 12
_N_OCTAVES = N_BINS // _OCTAVE
_C1_HZ = 440.0 * 2.0 ** (-45 / 12)
_Q = (2 ** (2 / _OCTAVE) + 1) / (2 ** (2 / _OCTAVE) - 1)  # frequency of a filter over its bandwidth
_HANN_BANDWIDTH = 1.50018310546875  # of the Hann window, in bins
_BLOCK = 128  # windows that are copied at once: they stay in cache
_SPARSITY = 0.01  # share of a filter's spectrum that librosa leaves out


def cqt(y: NDArray[np.float32], sr: float, hop_length: int, tuning: float) -> NDArray[np.float32]:
    """Magnitudes of the constant-Q transform of a clip.

    Args:
        y: mono samples, (n,).
        sr: Hz; about 8,500 at least.
        hop_length: samples, a multiple of 64.
        tuning: fraction of a semitone by which the recording is above A = 440 Hz.

    Returns:
        (frames, 84), frames of `hop_length` centred from sample 0.

    Raises:
        SettingsError: the highest filter reaches beyond the Nyquist frequency.

    Source: C. Schörkhuber and A. Klapuri, Constant-Q transform toolbox for music processing (2010).
    """
    factor = _early_factor(sr, hop_length, tuning)
    kernel, scales = _kernel(sr / factor, tuning)
    y, hop_length = _decimate(y, factor), hop_length // factor
    octaves: list[NDArray[np.float32]] = []
    for octave in range(_N_OCTAVES):
        if octave:
            y, hop_length = _decimate(y, 2), hop_length // 2
        response = _filter(frame(y, len(kernel), hop_length), kernel)
        np.square(response, out=response)
        octaves.append(np.sqrt(response[:, :_OCTAVE] + response[:, _OCTAVE:]) / scales)
    n_frames = min(map(len, octaves))
    return np.concatenate([magnitude[:n_frames] for magnitude in reversed(octaves)], axis=1)


def _filter(windows: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """The product of overlapping windows (frames, n_fft) and a kernel (n_fft, 24), (frames, 24)."""
    response = np.empty((len(windows), kernel.shape[1]), np.float32)
    rows = np.empty((_BLOCK, len(kernel)), np.float32)
    for start in range(0, len(windows), _BLOCK):
        block = windows[start : start + _BLOCK]
        # Copied into rows that do not overlap: for overlapping ones `@` does not call BLAS.
        np.copyto(rows[: len(block)], block)
        np.matmul(rows[: len(block)], kernel, out=response[start : start + _BLOCK])
    return response


def _early_factor(sr: float, hop_length: int, tuning: float) -> int:
    """The factor by which the rate may be divided before the highest octave, a power of 2."""
    highest = _C1_HZ * 2.0 ** ((tuning + N_BINS - 1) / _OCTAVE) * (1 + 0.5 * _HANN_BANDWIDTH / _Q)
    if highest > sr / 2:
        raise SettingsError(
            f"the constant-Q transform needs a rate of at least {2 * highest:,.0f} Hz. Received: {sr:g} Hz"
        )
    room = int(np.ceil(np.log2(sr / 2 / highest))) - 2
    twos = (hop_length & -hop_length).bit_length() - 1
    return int(2 ** max(0, min(room, twos - _N_OCTAVES + 1)))


def _decimate(y: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """A signal (n,) at 1/factor of its rate with its energy kept, (ceil(n / factor),).

    Where it is silent the result is rounding noise, which chroma scales up to full scale: to get the
    same noise as librosa, the scaling matches librosa's to the last bit, and precedes the next halving.
    """
    if factor == 1:
        return y
    n_samples = -(-len(y) // factor)
    fewer: NDArray[np.float32] = soxr.resample(y, factor, 1, quality="HQ")[:n_samples]
    fewer /= np.sqrt(1 / factor)
    return np.pad(fewer, (0, n_samples - len(fewer))) if len(fewer) < n_samples else fewer


@lru_cache(maxsize=256)
def _kernel(sr: float, tuning: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The filters of the highest octave in the time domain: (n_fft, 24), real parts then imaginary ones.

    Also the scales that their responses are divided by: square roots of the filters' lengths in samples, (12,).
    """
    hz = _C1_HZ * 2.0 ** ((tuning + np.arange(N_BINS - _OCTAVE, N_BINS)) / _OCTAVE)
    lengths = _Q * sr / hz
    n_fft = int(2 ** np.ceil(np.log2(lengths.max())))
    wavelets = np.zeros((_OCTAVE, n_fft), np.complex64)
    for wavelet, length, f in zip(wavelets, lengths, hz, strict=True):
        steps = np.arange(-length // 2, length // 2)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(len(steps)) / len(steps))
        start = (n_fft - len(steps)) // 2
        wavelet[start : start + len(steps)] = np.exp(2j * np.pi * f / sr * steps) * hann / hann.sum()
    spectra = np.fft.fft(wavelets * (lengths[:, None] / n_fft), axis=1)[:, : 1 + n_fft // 2]
    kernel = np.fft.fft(_sparsify(spectra), n=n_fft, axis=1)
    combined = np.concatenate((kernel.real, kernel.imag)).T.astype(np.float32, order="C")
    combined.setflags(write=False)
    return combined, np.sqrt(lengths.astype(np.float32))


def _sparsify(spectra: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Filters without their smallest bins, `_SPARSITY` of each row's sum, as librosa keeps them."""
    size = np.abs(spectra)
    ordered = np.sort(size, axis=1)
    below = np.cumsum(ordered / ordered.sum(axis=1, keepdims=True), axis=1) < _SPARSITY
    least = ordered[np.arange(len(size)), np.argmin(below, axis=1)]
    return np.where(size >= least[:, None], spectra, 0)
