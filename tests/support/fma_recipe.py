"""FMA's feature recipe (mdeff/fma, `features.py`) on librosa 0.11: what `features.statistics` is held against."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray
from scipy import stats

MOMENTS: dict[str, Callable[..., Any]] = {
    "kurtosis": stats.kurtosis,
    "max": np.max,
    "mean": np.mean,
    "median": np.median,
    "min": np.min,
    "skew": stats.skew,
    "std": np.std,
}


def fma_recipe(y: NDArray[np.float32], sr: int) -> NDArray[np.float64]:
    """The 518 statistics, (518,), columns sorted as in FMA's `features.csv`; NaN where a row is constant.

    As published: the features that are given a spectrum are not told the rate, and take it to be 22,050 Hz.
    """
    rows = {"zcr": librosa.feature.zero_crossing_rate(y, frame_length=2048, hop_length=512)}
    # FMA's transform has 12 bins an octave: librosa's default of 36 for chroma would silently be wrong.
    octave = {"n_chroma": 12, "n_octaves": 7, "bins_per_octave": 12}
    cqt = np.abs(librosa.cqt(y, sr=sr, hop_length=512, bins_per_octave=12, n_bins=7 * 12, tuning=None))
    rows["chroma_cqt"] = librosa.feature.chroma_cqt(C=cqt, **octave)
    rows["chroma_cens"] = librosa.feature.chroma_cens(C=cqt, **octave)
    rows["tonnetz"] = librosa.feature.tonnetz(chroma=rows["chroma_cens"])
    stft = np.abs(librosa.stft(y, n_fft=2048, hop_length=512))
    rows["chroma_stft"] = librosa.feature.chroma_stft(S=stft**2, n_chroma=12)
    rows["rmse"] = librosa.feature.rms(S=stft)
    rows["spectral_centroid"] = librosa.feature.spectral_centroid(S=stft)
    rows["spectral_bandwidth"] = librosa.feature.spectral_bandwidth(S=stft)
    rows["spectral_contrast"] = librosa.feature.spectral_contrast(S=stft, n_bands=6)
    rows["spectral_rolloff"] = librosa.feature.spectral_rolloff(S=stft)
    mel = librosa.feature.melspectrogram(sr=sr, S=stft**2)
    rows["mfcc"] = librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # SciPy's, where a row is constant
        found = [moment(rows[name], axis=1) for name in sorted(rows) for moment in MOMENTS.values()]
    return np.concatenate(found)


def correlations(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each column over the clips, (columns,); where a column is constant, 1 if both sides agree, else 0.

    Args:
        ours, theirs: (clips, columns).
    """
    a, b = ours - ours.mean(axis=0), theirs - theirs.mean(axis=0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    constant = scale < 1e-12
    agree = np.isclose(ours, theirs, rtol=1e-4, atol=1e-6).all(axis=0)
    return np.where(constant, agree, (a * b).sum(axis=0) / np.where(constant, 1.0, scale))
