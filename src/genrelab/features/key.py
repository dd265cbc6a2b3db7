"""Key and mode of a stretch of music, from the pitch classes of its spectral peaks.

Sources: C. Krumhansl, Cognitive foundations of musical pitch (1990), for the correlation with profiles of 24 keys;
E. Gómez, Tonal description of music audio signals (2006), for pitch classes from spectral peaks; J. Albrecht and
D. Shanahan, The use of large corpora to train a new type of key-finding algorithm (2013), for the profiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from genrelab.features.chroma import N_CHROMA, tonnetz
from genrelab.features.spectra import Spectra

Floats = NDArray[np.float64]

MAJOR_KEYS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MINOR_KEYS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")
KEYS = (*(f"{name} major" for name in MAJOR_KEYS), *(f"{name} minor" for name in MINOR_KEYS))
"""Names of the 24 keys: of the two spellings of a key the usual one, which has fewer accidentals."""

MAJOR = (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081)
MINOR = (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052)
"""Shares of the pitch classes, from the tonic, in music of a key. Source: Albrecht and Shanahan (2013), table 1. The
profiles of Krumhansl and Kessler (1982) and of Temperley (1999) find the key of synthesised progressions less often."""

_HIGHEST_HZ = 1_500.0  # above, peaks are harmonics: fifths and thirds of what is played
_LEAST_VARIATION = 0.28  # standard deviation of a profile over its mean; noise is below
_MIN_PEAKS_PER_FRAME = 0.3
_CONFIDENCE = (-7.37, 2.94, 8.55, 0.19)
"""Calibrated by `scripts/tempo_weights.py` on music of known key, and on noise, tones, speech and animals."""


@dataclass(frozen=True, eq=False)
class Key:
    """What the pitch classes of a stretch of music say about its key.

    Attributes:
        profile: share of each pitch class, from C, (12,).
        tuning: fraction of a semitone above A = 440 Hz, -0.5 to 0.5.
        fits: correlation of the profile with that of each key, in the order of `KEYS`, (24,).
        name: the most likely key; None where there is no tonal content.
        confidence: estimated probability that `name` is right, 0 to 1.
    """

    profile: Floats
    tuning: float
    fits: Floats
    name: str | None
    confidence: float

    @property
    def tonic(self) -> int:
        """Semitones above C, of the most likely key."""
        return int(self.fits.argmax()) % N_CHROMA


def find_key(spectra: Spectra) -> Key:
    """The key whose profile correlates best with the pitch classes of the spectral peaks."""
    profile = pitch_classes(spectra)
    away = profile - profile.mean()
    length = float(np.linalg.norm(away))
    fits = _templates() @ away / length if length else np.zeros(len(KEYS))
    name, confidence = None, 0.0
    if length and is_tonal(spectra, profile):
        name = KEYS[int(fits.argmax())]
        confidence = _confidence(fits, profile)
    return Key(profile, spectra.tuning, fits, name, confidence)


def is_tonal(spectra: Spectra, profile: Floats) -> bool:
    """Are there spectral peaks in many frames, and more in some pitch classes than in others?"""
    peaks = spectra.peaks.shape[1] / max(1, len(spectra.mel))
    return peaks > _MIN_PEAKS_PER_FRAME and float(profile.std() / profile.mean()) > _LEAST_VARIATION


def pitch_classes(spectra: Spectra) -> Floats:
    """Share of each pitch class, from C, in the spectral peaks of 150 to 1,500 Hz, (12,); equal where there is none.

    A peak's frequency is refined by a parabola. It counts by the square root of its magnitude relative to its frame's
    loudest bin, and less the farther it is from the nearest semitone of the recording's own tuning.
    """
    bins, below, at, above, loudest = spectra.peaks
    below, at, above = np.sqrt(below), np.sqrt(at), np.sqrt(above)
    curve = below + above - 2 * at
    shift = np.where(curve < 0, (below - above) / np.where(curve < 0, 2 * curve, -1), 0)
    hz = (bins + shift) * (spectra.sr / spectra.n_fft)
    used = (hz < _HIGHEST_HZ) & (loudest > 0)
    pitch = N_CHROMA * np.log2(hz[used] / 440) + 69 - spectra.tuning
    nearest = np.rint(pitch)
    weight = np.sqrt(at[used] / np.sqrt(loudest[used])) * np.cos(np.pi * (pitch - nearest)) ** 2
    found = np.bincount(nearest.astype(np.int64) % N_CHROMA, weight, N_CHROMA)
    total = float(found.sum())
    return found / total if total > 0 else np.full(N_CHROMA, 1 / N_CHROMA)


def evidence(fits: Floats, profile: Floats) -> Floats:
    """What the confidence is computed from, (3,): lead of the best key, its correlation, variation of the profile."""
    ranked = np.sort(fits)
    variation = float(np.log(profile.std() / profile.mean() + 1e-3))
    return np.array((np.sqrt(ranked[-1] - ranked[-2]), ranked[-1], variation))


def harmonic_change(chroma: NDArray[np.float32]) -> Floats:
    """How far the tonal centroid moves from eight frames before to eight frames after, (frames // 8 - 2,).

    One 0 where there are too few frames.

    Args:
        chroma: (frames, 12).

    Source: C. Harte, M. Sandler and M. Gasser, Detecting harmonic change in musical audio (2006); their smoothing is
    a Gaussian, here the mean over 8 frames.
    """
    n = len(chroma) // 8
    if n < 3:
        return np.zeros(1)
    smooth = chroma[: n * 8].reshape(n, 8, N_CHROMA).mean(axis=1)
    centroids = tonnetz(smooth).astype(np.float64)
    return np.asarray(np.linalg.norm(centroids[2:] - centroids[:-2], axis=1))


def _confidence(fits: Floats, profile: Floats) -> float:
    return float(1 / (1 + np.exp(-(np.array(_CONFIDENCE[1:]) @ evidence(fits, profile) + _CONFIDENCE[0]))))


@lru_cache(maxsize=1)
def _templates() -> Floats:
    """The profiles of the 24 keys, centred and of unit length, (24, 12)."""
    rows = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(N_CHROMA)])
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
