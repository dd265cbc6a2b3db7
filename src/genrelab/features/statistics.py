"""A clip as numbers: FMA's 518 statistics, 230 more on how the timbre changes, the article's 35 features per frame.

All follow librosa 0.11 with its defaults. The features of a frame are defined in `spectral`, `chroma` and `cqt`; here
they are computed in one pass over the spectrum and summarised.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import DescriptorsView, FramesView, StatisticsView
from genrelab.core.errors import SettingsError
from genrelab.features import spectral
from genrelab.features.chroma import chroma_cqt, chroma_stft, estimate_tuning, peak_bins, spectral_peaks, tonnetz
from genrelab.features.cqt import cqt
from genrelab.features.spectrogram import BLOCK, decibels, frame, mel_power, power

Rows = dict[str, NDArray[np.float32]]
"""(frames, size) of each feature."""

_TOP_DB = 80.0
_N_MELS = 128
_HOPS = (64, 128, 256, 512, 1024)  # halved once per octave
_MIN_SR = 12_800  # the highest contrast band starts at 6,400 Hz
_FMA_SR = 22_050  # the rate that librosa assumes where FMA's recipe does not state it

_FEATURES = {  # with the number of rows of each
    "chroma_cens": 12,
    "chroma_cqt": 12,
    "chroma_stft": 12,
    "mfcc": 20,
    "rmse": 1,
    "spectral_bandwidth": 1,
    "spectral_centroid": 1,
    "spectral_contrast": 7,
    "spectral_rolloff": 1,
    "tonnetz": 6,
    "zcr": 1,
}
_STATISTICS = ("kurtosis", "max", "mean", "median", "min", "skew", "std")

STATISTICS: tuple[str, ...] = tuple(
    f"{feature}_{statistic}_{number:02d}"
    for feature, size in _FEATURES.items()
    for statistic in _STATISTICS
    for number in range(1, size + 1)
)
"""Names of the 518 statistics, in the order of FMA's `features.csv`."""

ENCODING_DEPENDENT: tuple[str, ...] = tuple(
    name
    for name in STATISTICS
    if (name.startswith("spectral_contrast_") and name.endswith("_07"))
    or (name.startswith(("spectral_", "zcr_")) and name.split("_")[-2] in ("kurtosis", "max", "min", "skew"))
)
"""Statistics that depend on the encoding of a file rather than its sound: the valleys of the highest contrast band are
the edge that a resampler or encoder leaves below half the rate, and extremes and higher moments of the spectral shape
come from single frames of near-silence, whose spectrum is rounding noise. The same clip at 22.05 and 44.1 kHz
differs in them by up to several standard deviations."""

_N_MFCC = _FEATURES["mfcc"]
_STEP_VARIANCE_FLOOR = 1e-3  # added to the variance of a step, so that silence has a finite logarithm

DESCRIPTORS: tuple[str, ...] = (
    *STATISTICS,
    *(f"mfcc_covariance_{i:02d}_{j:02d}" for i in range(1, _N_MFCC + 1) for j in range(i, _N_MFCC + 1)),
    *(f"mfcc_step_{i:02d}" for i in range(1, _N_MFCC + 1)),
)
"""Names of the descriptors, in order."""

FRAMES: tuple[str, ...] = (
    *(f"chroma_stft_{number:02d}" for number in range(1, 13)),
    "spectral_centroid",
    "spectral_rolloff",
    "zcr",
    *(f"mfcc_{number:02d}" for number in range(1, 21)),
)
"""Names of the features of a frame, in the article's order."""


def statistics(y: NDArray[np.float32], sr: int, view: StatisticsView) -> NDArray[np.float32]:
    """FMA's 518 statistics of a clip: 7 moments over the frames of 74 rows of 11 features.

    Skewness and kurtosis of a row that is constant within float32 rounding are 0; SciPy returns NaN.
    With `view.fma_exact` chroma_stft, centroid, bandwidth, contrast and roll-off assume a rate of
    22,050 Hz whatever it is, as in FMA's published columns.

    Args:
        y: mono samples, (n,), half a second or more.
        sr: Hz; `view.sr` unless `view.fma_exact`.

    Returns:
        (518,) in the order of `STATISTICS`.

    Raises:
        SettingsError: a rate below 12,800 Hz, or a hop that the octaves of the constant-Q transform cannot halve.

    Source: M. Defferrard et al., FMA: a dataset for music analysis (2017).
    """
    rows, tuning = _frame_features(y, sr, view, stated_sr=_FMA_SR if view.fma_exact else sr)
    return _statistics(y, rows, tuning, sr, view.hop_length)


def descriptors(y: NDArray[np.float32], sr: int, view: DescriptorsView) -> NDArray[np.float32]:
    """The statistics, and how the timbre changes.

    That is the covariances of the MFCC, and for each MFCC the logarithm of the variance of its change over two frames.

    Args:
        y: mono samples, (n,), half a second or more.
        sr: Hz.

    Returns:
        `view.shape`, in the order of `DESCRIPTORS`.

    Raises:
        SettingsError: as `statistics`.
    """
    rows, tuning = _frame_features(y, sr, view, stated_sr=sr)
    mfcc = rows["mfcc"].astype(np.float64)
    covariance = np.cov(mfcc, rowvar=False)[np.triu_indices(view.n_mfcc)]
    steps = np.log(np.var(mfcc[2:] - mfcc[:-2], axis=0, ddof=1) + _STEP_VARIANCE_FLOOR)
    return np.concatenate((_statistics(y, rows, tuning, sr, view.hop_length), covariance, steps), dtype=np.float32)


def _statistics(y: NDArray[np.float32], rows: Rows, tuning: float, sr: int, hop_length: int) -> NDArray[np.float32]:
    """(518,)."""
    chroma, cens = chroma_cqt(cqt(y, sr, hop_length, tuning))
    found = _moments(rows) | _moments({"chroma_cqt": chroma, "chroma_cens": cens, "tonnetz": tonnetz(cens)})
    return np.concatenate([found[feature].reshape(-1) for feature in _FEATURES])


def frames(y: NDArray[np.float32], sr: int, view: FramesView) -> NDArray[np.float32]:
    """The article's features of the first `n_frames` frames of a clip.

    A shorter clip's frames are repeated from its start until they fill the matrix.

    Args:
        y: mono samples, (n,).
        sr: Hz.

    Returns:
        `view.shape` (frames, 35) in the order of `FRAMES`.

    Raises:
        SettingsError: as `statistics`.
    """
    rows, _ = _frame_features(y, sr, view, stated_sr=sr)
    columns = [rows[f] for f in ("chroma_stft", "spectral_centroid", "spectral_rolloff", "zcr", "mfcc")]
    return np.resize(np.concatenate(columns, axis=1)[: view.n_frames], view.shape)


def _frame_features(
    y: NDArray[np.float32], sr: int, view: StatisticsView | DescriptorsView | FramesView, *, stated_sr: int
) -> tuple[Rows, float]:
    """The features from the short-time spectrum and the samples.

    Also the tuning for the constant-Q transform: from magnitudes, at the true rate.
    """
    if view.hop_length not in _HOPS or view.n_fft % view.hop_length or min(sr, stated_sr) < _MIN_SR:
        raise SettingsError(
            f"the view {view.name} needs a hop_length of {', '.join(map(str, _HOPS))} that divides n_fft, and at least "
            f"{_MIN_SR:,} Hz. Received: hop_length={view.hop_length}, n_fft={view.n_fft}, sr={sr}"
        )
    n_fft = view.n_fft
    powers, mel, peaks, moments, mean_square, edges = _compute_spectra(y, sr, view, stated_sr)
    tuning = estimate_tuning(peaks, stated_sr, n_fft, squared=True)
    shape = spectral.shape(moments, powers, stated_sr, n_fft)
    rows = {
        "chroma_stft": chroma_stft(powers, stated_sr, n_fft, tuning),
        "mfcc": _mfcc(mel, view.n_mfcc),
        "rmse": np.sqrt(mean_square)[:, None],
        "spectral_centroid": shape[:, 0:1],
        "spectral_bandwidth": shape[:, 1:2],
        "spectral_rolloff": shape[:, 2:3],
        "spectral_contrast": spectral.contrast(edges, stated_sr, n_fft),
        "zcr": spectral.zero_crossing_rate(y, n_fft, view.hop_length)[:, None],
    }
    return rows, estimate_tuning(peaks, sr, n_fft, squared=False)


def _compute_spectra(
    y: NDArray[np.float32], sr: int, view: StatisticsView | DescriptorsView | FramesView, stated_sr: int
) -> tuple[NDArray[np.float32], ...]:
    """Power spectra of all frames, and what is computed from a block of them while it is in cache.

    Returns:
        power (frames, padded bins), power in mel bands (frames, bands), spectral peaks (5, peaks), moments of chunks
        of bins (frames, chunks, 3), mean square (frames,), edges of the contrast bands (frames, edges).
    """
    n_fft, windows = view.n_fft, frame(y, view.n_fft, view.hop_length)
    powers = np.empty((len(windows), spectral.padded_bins(n_fft)), np.float32)
    powers[:, 1 + n_fft // 2 :] = 0
    mel = np.empty((len(windows), _N_MELS), np.float32)
    lows, highs = zip(peak_bins(sr, n_fft), peak_bins(stated_sr, n_fft), strict=True)
    parts, peaks = [], []
    for start in range(0, len(windows), BLOCK):
        rows = slice(start, start + BLOCK)
        block = powers[rows]
        # float64: contrast measures valleys (above an MP3's low-pass) where a float32 FFT is noise.
        power(windows[rows], out=block[:, : 1 + n_fft // 2], double=True)
        mel_power(block, sr, n_fft, _N_MELS, out=mel[rows])
        edges = spectral.contrast_edges(block, stated_sr, n_fft)
        parts.append((spectral.chunk_moments(block), spectral.mean_square(block, n_fft), edges))
        loudest = edges.max(axis=1)  # of all bins: every bin belongs to one of the bands
        peaks.append(spectral_peaks(block, loudest, (min(lows), max(highs))))
    return powers, mel, np.concatenate(peaks, axis=1), *map(np.concatenate, zip(*parts, strict=True))


def _mfcc(mel: NDArray[np.float32], n_mfcc: int) -> NDArray[np.float32]:
    """Cosine transform of the level in mel bands (frames, bands): (frames, n_mfcc)."""
    level = decibels(mel, top_db=_TOP_DB, ref=1.0)
    # The floor is the same in all bands and so affects the first coefficient only: subtracted before the
    # product, its rounding does not leak into the others, and silence has coefficients of exactly 0.
    floor = level.min()
    coefficients: NDArray[np.float32] = (level - floor) @ _dct(mel.shape[1], n_mfcc)
    coefficients[:, 0] += floor * np.float32(np.sqrt(mel.shape[1]))
    return coefficients


def _moments(rows: Rows) -> Rows:
    """Statistics over the frames of features, (frames, size), all at once; all have the same number of frames.

    Returns:
        (7, size) of each feature, in the order of `_STATISTICS`.
    """
    x = np.ascontiguousarray(np.concatenate(list(rows.values()), axis=1).T)
    ordered, n = np.sort(x, axis=1), x.shape[1]
    mean = x.mean(axis=1, dtype=np.float64)
    away = x - mean[:, None]
    squares = away * away
    m2 = squares.mean(axis=1)
    m3 = np.einsum("ij,ij->i", squares, away) / n
    m4 = np.einsum("ij,ij->i", squares, squares) / n
    constant = m2 <= (np.finfo(np.float32).eps * mean) ** 2  # no more than rounding
    m2_ = np.where(constant, 1.0, m2)
    skew = np.where(constant, 0.0, m3 / m2_**1.5)
    kurtosis = np.where(constant, 0.0, m4 / m2_**2 - 3.0)
    median = (ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2
    table = np.stack((kurtosis, ordered[:, -1], mean, median, ordered[:, 0], skew, np.sqrt(m2)))
    ends = np.cumsum([feature.shape[1] for feature in rows.values()])
    return dict(zip(rows, np.split(table.astype(np.float32), ends[:-1], axis=1), strict=True))


@lru_cache(maxsize=4)
def _dct(n_mels: int, n_mfcc: int) -> NDArray[np.float32]:
    """Orthonormal type-II cosine transform as a matrix, (n_mels, n_mfcc)."""
    matrix = np.sqrt(2 / n_mels) * np.cos(np.pi / n_mels * np.outer(np.arange(n_mels) + 0.5, np.arange(n_mfcc)))
    matrix[:, 0] /= np.sqrt(2)
    return np.ascontiguousarray(matrix, np.float32)
