"""Tempo, key and dynamics of a stretch of music: for people (`describe`), and for models (the view `rhythm`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.clips import resample
from genrelab.core.config import RhythmView
from genrelab.features.chroma import N_CHROMA
from genrelab.features.key import evidence, find_key, harmonic_change
from genrelab.features.rhythm import (
    LINES,
    PERIODS,
    beat_strength,
    find_tempo,
    onset_rate,
    onset_strength,
)
from genrelab.features.spectra import Spectra, compute_spectra

Floats = NDArray[np.float64]

RHYTHM: tuple[str, ...] = (
    "tempo_bpm", "tempo_octaves", "tempo_confidence", "tempo_half", "tempo_double",
    *(f"beat_period_{number:02d}" for number in range(1, len(PERIODS) + 1)),
    *(f"beat_line_{number:02d}" for number in range(1, len(LINES) + 1)),
    "beat_regularity", "beat_strength", "beat_strength_low", "beat_strength_high",
    "onset_rate", "onset_variation", "onset_low", "onset_middle", "onset_high",
    *(f"key_profile_{number:02d}" for number in range(1, N_CHROMA + 1)),
    "key_major", "key_minor", "key_mode", "key_strength", "key_lead", "key_confidence", "key_variation",
    "key_fifths_cosine", "key_fifths_sine", "tuning", "harmonic_change_mean", "harmonic_change_std",
    "level_05", "level_25", "level_50", "level_75", "level_95", "loudness_range", "crest",
    "steadiness_short", "steadiness_long",
)  # fmt: skip
"""Names of the columns of the view `rhythm`, in order."""

_FLOOR = 1e-10  # mean square of -100 dB, below which all is silence
_LOUDNESS_S, _GATE_DB = 3.0, 20.0
_SCALES_S = (0.3, 0.45, 0.7, 1.0, 1.5, 2.2, 3.3, 5.0)  # of the fluctuation analysis; the first four are short


@dataclass(frozen=True)
class MusicDescription:
    """Tempo and key of a stretch of music.

    Attributes:
        tempo_bpm: beats a minute; None where there is no beat (silence, noise, a sustained tone).
        tempo_confidence: estimated probability that the tempo is right, 0 to 1.
        key: "C major", "F# minor", spelled as in `key.KEYS` (the spelling with fewer accidentals: Db major, C# minor);
            None where there is no tonal content.
        key_confidence: estimated probability that the key is right, 0 to 1.
        problem: why the stretch could not be used; None if it was.
    """

    tempo_bpm: float | None
    tempo_confidence: float
    key: str | None
    key_confidence: float
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: tempo and key, each with its confidence."""
        fields = asdict(self)
        del fields["problem"]
        return fields


def describe(y: NDArray[np.float32], sr: int) -> MusicDescription:
    """Tempo and key of a stretch of music; the tempo to a hundredth, the confidences to a thousandth.

    Args:
        y: mono samples, (n,), half a second or more.
        sr: Hz.
    """
    view = RhythmView()
    at_rate = y if sr == view.sr else resample(y, sr, view.sr)
    spectra = compute_spectra(at_rate, view.sr, n_fft=view.n_fft, hop_length=view.hop_length)
    tempo, key = find_tempo(onset_strength(spectra), view.sr / view.hop_length), find_key(spectra)
    bpm, confidence = (round(tempo.bpm, 2), round(tempo.confidence, 3)) if tempo.is_beat else (None, 0.0)
    return MusicDescription(bpm, confidence, key.name, round(key.confidence, 3))


def rhythm(spectra: Spectra) -> NDArray[np.float32]:
    """The view `rhythm` of a clip, (columns,) in the order of `RHYTHM`; finite for every sound."""
    rate = spectra.sr / spectra.hop_length
    columns = (_of_tempo(onset_strength(spectra), rate), _of_key(spectra), _of_level(spectra.mean_square, rate))
    return np.concatenate(columns, dtype=np.float32)


def _of_tempo(onsets: Floats, rate: float) -> Floats:
    """Columns up to `onset_high`. Where there is no beat the tempo is the most likely one all the same."""
    tempo = find_tempo(onsets, rate)
    strength = beat_strength(onsets, tempo.bpm, rate)
    total, low, middle, high = onsets.mean(axis=1), onsets[:, 0], onsets[:, 1:5], onsets[:, 5]
    return np.array((
        tempo.bpm, np.log2(tempo.bpm / 120), tempo.confidence, tempo.half, tempo.double, *tempo.pattern, *tempo.lines,
        tempo.evidence / np.sqrt(len(onsets)), strength.mean(), strength[0], strength[5],
        onset_rate(onsets, rate), total.std() / (total.mean() + 1e-3), low.mean(), middle.mean(), high.mean(),
    ))  # fmt: skip


def _of_key(spectra: Spectra) -> Floats:
    """Columns from `key_profile_01`, which is the tonic, to `harmonic_change_std`."""
    key = find_key(spectra)
    major, minor = key.fits[:N_CHROMA].max(), key.fits[N_CHROMA:].max()
    lead, strength, variation = evidence(key.fits, key.profile)
    # The relative major's place on the circle of fifths: keys with nearly the same notes are neighbours.
    fifths = 7 * (key.tonic + 3 * (minor > major)) * 2 * np.pi / N_CHROMA
    change = harmonic_change(spectra.chroma_stft)
    return np.array((
        *np.roll(key.profile, -key.tonic), major, minor, major - minor, strength, lead, key.confidence, variation,
        strength * np.cos(fifths), strength * np.sin(fifths), key.tuning, change.mean(), change.std(),
    ))  # fmt: skip


def _of_level(mean_square: NDArray[np.float32], rate: float) -> Floats:
    """Columns from `level_05`: dynamics in dB, and how steady the loudness is.

    The loudness range is that of EBU Tech 3342 (2016) without its filter: from the 10th to the 95th percentile of the
    level of windows of 3 s, of those at most 20 dB below their mean.
    """
    power = np.maximum(mean_square.astype(np.float64), _FLOOR)
    level = 10 * np.log10(power)
    n = min(len(power), round(_LOUDNESS_S * rate))
    sums = np.concatenate(([0.0], np.cumsum(power)))
    windows = (sums[n:] - sums[:-n]) / n
    loud = 10 * np.log10(windows[windows >= windows.mean() / 10 ** (_GATE_DB / 10)])
    low, high = np.percentile(loud, (10, 95))
    crest = level.max() - 10 * np.log10(power.mean())
    return np.array(
        (*np.percentile(level, (5, 25, 50, 75, 95)), high - low, crest, *_fluctuation(np.sqrt(power), rate))
    )


def _fluctuation(rms: Floats, rate: float) -> tuple[float, float]:
    """Exponents of the detrended fluctuation of the RMS, over scales of 0.3 to 1 s and of 1 to 5 s.

    Music to dance to has a low exponent at long scales: its loudness returns with every beat. 0 where the clip is too
    short or its loudness constant.

    Source: S. Streich and P. Herrera, Detrended fluctuation analysis of music signals: danceability estimation and
    further semantic characterization (2005).
    """
    profile = np.cumsum(rms / rms.mean() - 1)
    sizes = [round(scale * rate) for scale in _SCALES_S]
    found = [(np.log(size), np.log(_detrended(profile, size))) for size in sizes if 2 * size <= len(profile)]
    short, long = found[:4], found[3:]
    return _slope(short), _slope(long)


def _detrended(profile: Floats, size: int) -> float:
    """Root mean square of what straight lines leave of segments of `size` frames, at least 1e-6."""
    n = len(profile) // size
    segments = profile[: n * size].reshape(n, size)
    segments = segments - segments.mean(axis=1, keepdims=True)
    line = np.arange(size) - (size - 1) / 2
    line /= np.linalg.norm(line)
    left = np.mean(segments**2) - np.mean((segments @ line) ** 2) / size
    return float(np.sqrt(max(left, 1e-12)))


def _slope(points: list[tuple[float, float]]) -> float:
    """Of a straight line through points; 0 with fewer than three."""
    if len(points) < 3:
        return 0.0
    x, y = np.array(points).T
    x = x - x.mean()
    return float(x @ (y - y.mean()) / (x @ x))
