"""Onsets, beat and tempo of a stretch of music, from its level in mel bands.

An onset strength is computed in six bands of frequency. A beat makes peaks in its autocorrelation at the beat's period
and multiples, and in its spectrum at the beat's frequency and multiples; their product is largest at a period of the
music. Which octave of it people would tap is chosen afterwards, by weights on the autocorrelation and the spectrum at
fractions and multiples of each period.

Sources: E. Scheirer, Tempo and beat analysis of acoustic musical signals (1998); G. Peeters, Template-based estimation
of time-varying tempo (2007); D. Ellis, Beat tracking by dynamic programming (2007).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from genrelab.features.spectra import Spectra

Floats = NDArray[np.float64]

MIN_BPM, MAX_BPM = 40.0, 240.0

PERIODS = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 1.0, 3 / 2, 2.0, 3.0, 4.0)
"""Multiples of a beat's period at which the autocorrelation describes a tempo."""

LINES = (1 / 2, 1.0, 2.0, 3.0, 4.0)
"""Multiples of a beat's frequency at which the spectrum describes a tempo."""

OCTAVES = (1 / 3, 1 / 2, 2 / 3, 1.0, 3 / 2, 2.0, 3.0)
"""Tempos that are compared, as multiples of the most salient one."""

WEIGHTS = np.array(
    (-2.25, -0.84, -0.9, -1.73, 2.49, -0.79, 0.65, -2.24, 5.31, 0.45, 1.18, 0.95, -0.24, 1.13, -1.62, -3.73)
)
"""Of the autocorrelation at `PERIODS`, the logarithm of the spectrum at `LINES`, octaves above 110 beats a minute and
their square. `scripts/tempo_weights.py` fitted them as a conditional logit (McFadden 1974) on synthesised music, and on
93 clips of GTZAN with the tempos that G. Tzanetakis annotated."""

_LAG = 2  # frames between compared levels: half the rise of an attack in a frame of four hops
_BANDS = (0, 8, 20, 38, 64, 96, 128)  # mel bands at the edges: 0, 0.2, 0.5, 1, 2, 4.8 and 11 kHz
_STEADY_DB = 1e-3  # a band whose onset strength varies less has no onsets
_CENTRE_BPM, _SPREAD_OCTAVES = 110.0, 0.7  # of the tempos that are searched first
_COMB = 4  # periods whose autocorrelation is averaged
_GRID = np.geomspace(MIN_BPM, MAX_BPM, 521)
_PRIOR = np.exp(-0.5 * (np.log2(_GRID / _CENTRE_BPM) / _SPREAD_OCTAVES) ** 2)
_PHASES = 12  # of a beat
_BEATS = [PERIODS.index(n) for n in (1.0, 2.0, 3.0, 4.0)]
_MIN_EVIDENCE = 1.5
_CONFIDENCE = np.array((-2.72, 1.27, 0.83))  # of 1 and `odds_of`; calibrated by scripts/tempo_weights.py
_NEAR = np.linspace(0.985, 1.015, 5)  # a beat is not exactly regular


@dataclass(frozen=True, eq=False)
class Tempo:
    """The tempo of a stretch of music.

    Attributes:
        bpm: the most likely tempo; 120 where there is no onset.
        confidence: estimated probability that people would tap `bpm`, 0 to 1.
        half, double: share of half and of twice the tempo if only it and `bpm` are compared, 0 to 1.
        evidence: of a beat: mean autocorrelation at 1 to 4 periods, times the root of the number of frames. In noise
            it is below 1 however long the clip; in nearly all music it is above.
        certainty: share of `bpm` among all tempos that were compared, 0 to 1.
        pattern: autocorrelation at `PERIODS` of a beat, (9,).
        lines: logarithm of the spectrum of the onset strength at `LINES` of a beat, (5,).
    """

    bpm: float = 120.0
    confidence: float = 0.0
    half: float = 0.0
    double: float = 0.0
    evidence: float = 0.0
    certainty: float = 0.0
    pattern: Floats = field(default_factory=lambda: np.zeros(len(PERIODS)))
    lines: Floats = field(default_factory=lambda: np.zeros(len(LINES)))

    @property
    def is_beat(self) -> bool:
        """Is there more regularity than in noise?"""
        return self.evidence > _MIN_EVIDENCE


def onset_strength(spectra: Spectra) -> Floats:
    """How much louder each frame is than two frames before, in six bands of frequency, (frames, 6) dB.

    A level is compared with the largest of its own and the neighbouring mel bands, so that vibrato is no onset.

    Source: S. Böck and G. Widmer, Maximum filter vibrato suppression for onset detection (2013).
    """
    level = spectra.level
    flux = np.zeros_like(level)
    edge = spectra.n_fft // spectra.hop_length // 2  # frames that reach over the start or the end of the clip
    if len(level) > _LAG + 2 * edge:
        before = level[:-_LAG]
        largest = before.copy()
        np.maximum(largest[:, 1:], before[:, :-1], out=largest[:, 1:])
        np.maximum(largest[:, :-1], before[:, 1:], out=largest[:, :-1])
        np.maximum(level[_LAG:] - largest, 0, out=flux[_LAG:])
        flux[: _LAG + edge] = flux[-edge:] = 0
    summed: Floats = np.add.reduceat(flux, _BANDS[:-1], axis=1, dtype=np.float64)
    return summed / np.diff(_BANDS)


def find_tempo(onsets: Floats, rate: float) -> Tempo:
    """The tempo of an onset strength.

    Args:
        onsets: see `onset_strength`, (frames, bands).
        rate: frames per second.
    """
    onsets = onsets[:, onsets.std(axis=0) > _STEADY_DB]
    if not onsets.size:
        return Tempo()
    found = _periodicity(onsets, rate)
    compared, described = _compare(found)
    odds = described @ WEIGHTS
    best = int(odds.argmax())
    bpm, certainty = float(compared[best]), 1 / float(np.exp(odds - odds[best]).sum())
    pattern, lines = np.split(described[best][:-2], [len(PERIODS)])
    evidence = float(pattern[_BEATS].mean()) * np.sqrt(len(onsets))
    half, double = (_logistic(found.describe(bpm * f) @ WEIGHTS - odds[best]) for f in (0.5, 2.0))
    confidence = _logistic(_CONFIDENCE @ np.array((1.0, *odds_of(evidence, certainty))))
    return Tempo(bpm, confidence, half, double, evidence, certainty, pattern, lines)


def compare(onsets: Floats, rate: float) -> tuple[Floats, Floats]:
    """The tempos that are compared for an onset strength, (tempos,), and what `WEIGHTS` weigh of each, (tempos, 16)."""
    return _compare(_periodicity(onsets[:, onsets.std(axis=0) > _STEADY_DB], rate))


def odds_of(evidence: float, certainty: float) -> tuple[float, float]:
    """What the confidence of a tempo is computed from: log evidence of a beat, log odds of the choice."""
    return float(np.log(max(evidence, 0.1))), float(np.log(max(certainty, 1e-6) / (1 - certainty + 1e-6)))


def beat_strength(onsets: Floats, bpm: float, rate: float) -> Floats:
    """Onset strength on the beat over its mean, for each band, (bands,): 1 where there is no beat, at most 12.

    The beat's phase is the twelfth of a period that has most onset strength: pulse correlation.

    Source: E. Scheirer, Tempo and beat analysis of acoustic musical signals (1998).
    """
    phase = (np.arange(len(onsets)) * (bpm / 60 / rate) % 1 * _PHASES).astype(np.int64)
    frames = np.maximum(np.bincount(phase, minlength=_PHASES), 1)
    sums = np.array([np.bincount(phase, band, _PHASES) for band in onsets.T])
    mean = onsets.mean(axis=0)
    on_beat = (sums / frames)[:, (sums.sum(axis=0) / frames).argmax()]
    return np.asarray(np.where(mean > _STEADY_DB, on_beat / np.maximum(mean, _STEADY_DB), 1.0))


def onset_rate(onsets: Floats, rate: float) -> float:
    """Onsets a second: maxima of the strength of all bands among 5 frames, above mean and half a standard deviation."""
    x = onsets.mean(axis=1)
    if len(x) < 5 or x.std() < _STEADY_DB:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(x, 5)
    peaks = (x[2:-2] == windows.max(axis=1)) & (x[2:-2] > x.mean() + x.std() / 2)
    return float(peaks.sum() * rate / len(x))


def _logistic(x: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(x, -30, 30))))


@dataclass(frozen=True, eq=False)
class _Periodicity:
    """Autocorrelation (lags,) and spectrum (bins,) of an onset strength; `hz` of a bin, frames per second."""

    autocorrelation: Floats
    spectrum: Floats
    hz: float
    rate: float

    def at_lags(self, lags: Floats) -> Floats:
        return np.interp(lags, np.arange(len(self.autocorrelation)), self.autocorrelation, right=0.0)

    def at_hz(self, hz: Floats) -> Floats:
        return np.interp(hz / self.hz, np.arange(len(self.spectrum)), self.spectrum, right=0.0)

    def most_salient(self) -> float:
        """Beats a minute, refined by a parabola: a comb of the autocorrelation times two lines of the spectrum."""
        comb = self.at_lags(np.outer(np.arange(1, _COMB + 1), 60 / _GRID * self.rate)).mean(axis=0)
        lines = self.at_hz(np.outer((1, 2), _GRID / 60)).sum(axis=0)
        salience = np.maximum(comb, 0) * np.sqrt(lines) * _PRIOR
        best = int(np.clip(salience.argmax(), 1, len(_GRID) - 2))
        left, top, right = salience[best - 1 : best + 2]
        curve = left + right - 2 * top
        shift = np.clip((left - right) / (2 * curve), -0.5, 0.5) if curve < 0 else 0.0
        return float(_GRID[best] * (MAX_BPM / MIN_BPM) ** (shift / (len(_GRID) - 1)))

    def describe(self, bpm: float) -> Floats:
        """What `WEIGHTS` weigh, (16,)."""
        near = np.multiply.outer(PERIODS, _NEAR) * (60 / bpm * self.rate)
        pattern = self.at_lags(near).max(axis=1)
        lines = np.log(self.at_hz(np.array(LINES) * bpm / 60) / np.sqrt(np.mean(self.spectrum**2) + 1e-20) + 0.1)
        octaves = np.log2(bpm / _CENTRE_BPM)
        return np.concatenate((pattern, lines, (octaves, octaves**2)))


def _compare(found: _Periodicity) -> tuple[Floats, Floats]:
    tempos = found.most_salient() * np.array(OCTAVES)
    tempos = tempos[(tempos >= MIN_BPM) & (tempos <= MAX_BPM)]
    return tempos, np.array([found.describe(bpm) for bpm in tempos])


def _periodicity(onsets: Floats, rate: float) -> _Periodicity:
    """Of the onset strengths of bands, (frames, bands), each of which counts the same."""
    x = (onsets - onsets.mean(axis=0)) / onsets.std(axis=0)
    return _Periodicity(_autocorrelation(x), *_spectrum(x.sum(axis=1), rate), rate)


def _autocorrelation(x: Floats) -> Floats:
    """Mean over the bands of the autocorrelation at each lag, (frames,), corrected for the shorter overlap."""
    n = len(x)
    size = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(x, size, axis=0)) ** 2
    found = np.fft.irfft(power.sum(axis=1))[:n]
    return np.asarray(found / found[0] * (n / np.maximum(n - np.arange(n), n / 4)))


def _spectrum(x: Floats, rate: float) -> tuple[Floats, float]:
    """Magnitudes of a windowed sum of onset strengths, (bins,), and the Hz of a bin."""
    size = 1 << (2 * len(x) - 1).bit_length() + 2
    return np.abs(np.fft.rfft(x * np.hanning(len(x)), size)), rate / size
