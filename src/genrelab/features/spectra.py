"""One pass over the frames of a clip, for every view that is computed from them.

Those are statistics, descriptors, frames and rhythm.

The first pass computes the power spectra, their mel bands and their peaks. The rest is computed when a view reads it,
and only once for all views (`views.compute_all`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from genrelab.core.errors import SettingsError
from genrelab.features import spectral
from genrelab.features.chroma import chroma_cqt, chroma_stft, estimate_tuning, peak_bins, spectral_peaks
from genrelab.features.cqt import cqt
from genrelab.features.spectrogram import BLOCK, decibels, frame, mel_power, power

N_MELS = 128
_TOP_DB = 80.0
_HOPS = (64, 128, 256, 512, 1024)  # halved once per octave
_MIN_SR = 12_800  # the highest contrast band starts at 6,400 Hz


@dataclass(frozen=True, eq=False)
class Spectra:
    """The frames of a clip.

    Attributes:
        y: mono samples, (n,).
        sr: Hz.
        stated_sr: the rate that chroma_stft, centroid, bandwidth, contrast and roll-off assume; `sr` unless FMA's
            columns are wanted.
        powers: power spectra, (frames, padded bins).
        mel: power in mel bands, (frames, 128).
        mean_square: of the windowed frames, (frames,).
        peaks: spectral peaks, see `chroma.spectral_peaks`, (5, peaks).
    """

    y: NDArray[np.float32]
    sr: int
    stated_sr: int
    n_fft: int
    hop_length: int
    powers: NDArray[np.float32]
    mel: NDArray[np.float32]
    mean_square: NDArray[np.float32]
    peaks: NDArray[np.float32]

    @cached_property
    def tuning(self) -> float:
        """Of the constant-Q transform, from magnitudes at the true rate: fraction of a semitone."""
        return estimate_tuning(self.peaks, self.sr, self.n_fft, squared=False)

    @cached_property
    def chroma_stft(self) -> NDArray[np.float32]:
        """(frames, 12), tuned by the peaks of the power."""
        tuning = estimate_tuning(self.peaks, self.stated_sr, self.n_fft, squared=True)
        return chroma_stft(self.powers, self.stated_sr, self.n_fft, tuning)

    @cached_property
    def chroma_cqt(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Chroma of the constant-Q transform and CENS, (frames, 12) each."""
        return chroma_cqt(cqt(self.y, self.sr, self.hop_length, self.tuning))

    @cached_property
    def level(self) -> NDArray[np.float32]:
        """Level in mel bands, (frames, 128): dB of power 1, at most 80 below the loudest."""
        return decibels(self.mel, top_db=_TOP_DB, ref=1.0)

    @cached_property
    def shape(self) -> NDArray[np.float32]:
        """Centroid, bandwidth and roll-off, (frames, 3) Hz."""
        return spectral.shape(self._moments_and_extremes[0], self.powers, self.stated_sr, self.n_fft)

    @cached_property
    def contrast(self) -> NDArray[np.float32]:
        """Spectral contrast, (frames, 7) dB."""
        extremes = self._moments_and_extremes[1]
        deep = np.flatnonzero(spectral.needs_float64(extremes, self.rms, self.stated_sr, self.n_fft))
        windows = frame(self.y, self.n_fft, self.hop_length)
        buffer = np.empty((BLOCK, 1 + self.n_fft // 2), np.float32)
        for start in range(0, len(deep), BLOCK):
            rows = deep[start : start + BLOCK]
            exact = power(windows[rows], buffer[: len(rows)], double=True)
            extremes[rows] = spectral.band_extremes(exact, self.stated_sr, self.n_fft)
        return spectral.contrast(extremes)

    @cached_property
    def _moments_and_extremes(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`spectral.chunk_moments` and `spectral.band_extremes` of all frames, while a block of them is in cache."""
        found = [
            (spectral.chunk_moments(block), spectral.band_extremes(block, self.stated_sr, self.n_fft))
            for block in (self.powers[start : start + BLOCK] for start in range(0, len(self.powers), BLOCK))
        ]
        moments, extremes = map(np.concatenate, zip(*found, strict=True))
        return moments, extremes

    @cached_property
    def zero_crossing_rate(self) -> NDArray[np.float32]:
        """(frames,)."""
        return spectral.zero_crossing_rate(self.y, self.n_fft, self.hop_length)

    @cached_property
    def rms(self) -> NDArray[np.float32]:
        """Root mean square of the windowed frames, (frames,)."""
        return np.sqrt(self.mean_square)

    def mfcc(self, n_mfcc: int) -> NDArray[np.float32]:
        """Cosine transform of the level in mel bands: (frames, n_mfcc)."""
        # The floor is the same in all bands and so affects the first coefficient only: subtracted before the
        # product, its rounding does not leak into the others, and silence has coefficients of exactly 0.
        floor = self.level.min()
        coefficients: NDArray[np.float32] = (self.level - floor) @ _dct(N_MELS, n_mfcc)
        coefficients[:, 0] += floor * np.float32(np.sqrt(N_MELS))
        return coefficients


def compute_spectra(
    y: NDArray[np.float32], sr: int, *, n_fft: int, hop_length: int, stated_sr: int | None = None
) -> Spectra:
    """The first pass over the frames of a clip.

    Args:
        y: mono samples, (n,), half a second or more.
        sr: Hz.
        stated_sr: see `Spectra`; None: `sr`.

    Raises:
        SettingsError: a rate below 12,800 Hz, or a hop that the octaves of the constant-Q transform cannot halve.
    """
    stated_sr = sr if stated_sr is None else stated_sr
    if hop_length not in _HOPS or n_fft % hop_length or min(sr, stated_sr) < _MIN_SR:
        raise SettingsError(
            f"features of frames need a hop_length of {', '.join(map(str, _HOPS))} that divides n_fft, and at least "
            f"{_MIN_SR:,} Hz. Received: hop_length={hop_length}, n_fft={n_fft}, sr={sr}"
        )
    windows = frame(y, n_fft, hop_length)
    powers = np.empty((len(windows), spectral.padded_bins(n_fft)), np.float32)
    powers[:, 1 + n_fft // 2 :] = 0
    mel = np.empty((len(windows), N_MELS), np.float32)
    mean_square = np.empty(len(windows), np.float32)
    lows, highs = zip(peak_bins(sr, n_fft), peak_bins(stated_sr, n_fft), strict=True)
    peaks = []
    for start in range(0, len(windows), BLOCK):
        rows = slice(start, start + BLOCK)
        block = powers[rows]
        power(windows[rows], out=block[:, : 1 + n_fft // 2])
        mel_power(block, sr, n_fft, N_MELS, out=mel[rows])
        mean_square[rows] = spectral.mean_square(block, n_fft)
        peaks.append(spectral_peaks(block, block.max(axis=1), (min(lows), max(highs))))
    return Spectra(y, sr, stated_sr, n_fft, hop_length, powers, mel, mean_square, np.concatenate(peaks, axis=1))


@lru_cache(maxsize=4)
def _dct(n_mels: int, n_mfcc: int) -> NDArray[np.float32]:
    """Orthonormal type-II cosine transform as a matrix, (n_mels, n_mfcc)."""
    matrix = np.sqrt(2 / n_mels) * np.cos(np.pi / n_mels * np.outer(np.arange(n_mels) + 0.5, np.arange(n_mfcc)))
    matrix[:, 0] /= np.sqrt(2)
    return np.ascontiguousarray(matrix, np.float32)
