"""A clip as numbers: FMA's 518 statistics, 230 more on how the timbre changes, the article's 35 features per frame.

All follow librosa 0.11 with its defaults. The features of a frame are defined in `spectral`, `chroma` and `cqt`; here
they are computed in one pass over the spectrum and summarised. Clips of one length are computed together: for short
ones most of the time would be call overhead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import DescriptorsView, FramesView, StatisticsView
from genrelab.core.errors import SettingsError
from genrelab.features import spectral
from genrelab.features.chroma import chroma_cqt, chroma_stft, peak_bins, spectral_peaks, tonnetz, tunings
from genrelab.features.cqt import cqt
from genrelab.features.spectrogram import BLOCK, decibels, frame, mel_power, power

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
"""Statistics that depend on how a file was encoded rather than how it sounds: the valleys of the highest contrast band
are the edge that a resampler or encoder leaves below half the rate, and extremes and higher moments of a spectrum's
shape come from single frames of near-silence, whose spectrum is rounding noise. The same clip at 22.05 and 44.1 kHz
differs in them by up to several standard deviations."""

_N_MFCC = _FEATURES["mfcc"]
_STEP_VARIANCE_FLOOR = 1e-3  # variance of a step below which a change is not distinguished from none

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


def statistics(y: NDArray[np.float32], sr: int, *, view: StatisticsView) -> NDArray[np.float32]:
    """FMA's 518 statistics of clips: 7 moments over the frames of 74 rows of 11 features.

    Skewness and kurtosis of a row that is constant within float32 rounding are 0; SciPy returns NaN.
    With `view.fma_exact` chroma_stft, centroid, bandwidth, contrast and roll-off assume a rate of
    22,050 Hz whatever it is, as in FMA's published columns.

    Args:
        y: mono samples, (n,) or (clips, n), half a second or more.
        sr: Hz; `view.sr` unless `view.fma_exact`.

    Returns:
        (518,) or (clips, 518) in the order of `STATISTICS`.

    Raises:
        SettingsError: a rate below 12,800 Hz, or a hop that the octaves of the constant-Q transform cannot halve.

    Source: M. Defferrard et al., FMA: a dataset for music analysis (2017).
    """
    clips = np.atleast_2d(y)
    features = _frame_features(clips, sr, view, stated_sr=_FMA_SR if view.fma_exact else sr)
    return _statistics(clips, features, sr, view.hop_length).reshape(*y.shape[:-1], -1)


def descriptors(y: NDArray[np.float32], sr: int, view: DescriptorsView) -> NDArray[np.float32]:
    """The statistics and how the timbre changes: covariances of the MFCC, and the logarithm of the variance of the
    change of each over two frames.

    Args:
        y: mono samples, (n,) or (clips, n), half a second or more.
        sr: Hz.

    Returns:
        `view.shape`, or that of each clip, in the order of `DESCRIPTORS`.

    Raises:
        SettingsError: as `statistics`.
    """
    clips = np.atleast_2d(y)
    features = _frame_features(clips, sr, view, stated_sr=sr)
    mfcc = features.rows["mfcc"].astype(np.float64)
    away = mfcc - mfcc.mean(axis=1, keepdims=True)
    covariance = away.swapaxes(1, 2) @ away / (mfcc.shape[1] - 1)
    steps = np.log(np.var(mfcc[:, 2:] - mfcc[:, :-2], axis=1, ddof=1) + _STEP_VARIANCE_FLOOR)
    moves = np.concatenate((covariance[:, *np.triu_indices(view.n_mfcc)], steps), axis=1).astype(np.float32)
    found = np.concatenate((_statistics(clips, features, sr, view.hop_length), moves), axis=1)
    return found.reshape(*y.shape[:-1], -1)


def _statistics(clips: NDArray[np.float32], features: _FrameFeatures, sr: int, hop_length: int) -> NDArray[np.float32]:
    """(clips, 518)."""
    chroma, cens = chroma_cqt(cqt(clips, sr, hop_length, features.tunings))
    pitch = {"chroma_cqt": chroma, "chroma_cens": cens, "tonnetz": tonnetz(cens)}
    found = _moments(features.rows) | _moments(pitch)
    return np.concatenate([found[feature].reshape(len(clips), -1) for feature in _FEATURES], axis=1)


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
    rows = _frame_features(y[None], sr, view, stated_sr=sr).rows
    columns = [rows[f][0] for f in ("chroma_stft", "spectral_centroid", "spectral_rolloff", "zcr", "mfcc")]
    return np.resize(np.concatenate(columns, axis=1)[: view.n_frames], view.shape)


@dataclass(frozen=True)
class _FrameFeatures:
    """The result of one pass over the spectra of clips."""

    rows: dict[str, NDArray[np.float32]]  # (clips, frames, size) of each feature
    tunings: list[float]  # of each clip, for the constant-Q transform: from magnitudes, at the true rate


@dataclass(frozen=True)
class _Spectra:
    """Power spectra of all frames, clip by clip, and what is cheaper to compute from a block while it is in cache."""

    powers: NDArray[np.float32]  # (frames, padded bins)
    moments: NDArray[np.float32]  # of chunks of bins, (frames, chunks, 3)
    mel: NDArray[np.float32]  # (frames, mel bands)
    mean_square: NDArray[np.float32]  # (frames,)
    edges: NDArray[np.float32]  # of the contrast bands, (frames, edges)
    peaks: list[NDArray[np.float32]]  # of each clip, (5, peaks)


def _frame_features(
    clips: NDArray[np.float32], sr: int, view: StatisticsView | DescriptorsView | FramesView, *, stated_sr: int
) -> _FrameFeatures:
    """The features that come from the short-time spectrum and from the samples themselves."""
    if view.hop_length not in _HOPS or view.n_fft % view.hop_length or min(sr, stated_sr) < _MIN_SR:
        raise SettingsError(
            f"{view.name} needs a hop_length of {', '.join(map(str, _HOPS))} that divides n_fft, and a rate of"
            f" {_MIN_SR} Hz or more. Received: hop_length={view.hop_length}, n_fft={view.n_fft}, sr={sr}"
        )
    n_fft, s = view.n_fft, _compute_spectra(clips, sr, view, stated_sr)
    pitches = tunings(s.peaks, stated_sr, n_fft, squared=True)
    powers, edges, mel = (x.reshape(len(clips), -1, x.shape[1]) for x in (s.powers, s.edges, s.mel))
    shape = spectral.shape(s.moments, s.powers, stated_sr, n_fft).reshape(len(clips), -1, 3)
    rows = {
        "chroma_stft": np.stack([chroma_stft(p, stated_sr, n_fft, t) for p, t in zip(powers, pitches, strict=True)]),
        "mfcc": _mfcc(mel, view.n_mfcc),
        "rmse": np.sqrt(s.mean_square).reshape(len(clips), -1, 1),
        "spectral_centroid": shape[:, :, 0:1],
        "spectral_bandwidth": shape[:, :, 1:2],
        "spectral_rolloff": shape[:, :, 2:3],
        "spectral_contrast": spectral.contrast(edges, stated_sr, n_fft),
        "zcr": spectral.zero_crossing_rate(clips, n_fft, view.hop_length)[:, :, None],
    }
    return _FrameFeatures(rows, tunings(s.peaks, sr, n_fft, squared=False))


def _compute_spectra(
    clips: NDArray[np.float32], sr: int, view: StatisticsView | DescriptorsView | FramesView, stated_sr: int
) -> _Spectra:
    n_fft, windows = view.n_fft, frame(clips, view.n_fft, view.hop_length)
    powers = np.empty((*windows.shape[:2], spectral.padded_bins(n_fft)), np.float32)
    powers[:, :, 1 + n_fft // 2 :] = 0
    mel = np.empty((*windows.shape[:2], _N_MELS), np.float32)
    lows, highs = zip(peak_bins(sr, n_fft), peak_bins(stated_sr, n_fft), strict=True)
    moments, mean_square, edges = [], [], []
    peaks: list[list[NDArray[np.float32]]] = [[] for _ in clips]
    for clip, start in product(range(len(clips)), range(0, windows.shape[1], BLOCK)):
        rows = clip, slice(start, start + BLOCK)
        block = powers[rows]
        # float64: contrast measures valleys (above an MP3's low-pass) where a float32 FFT is noise.
        power(windows[rows], out=block[:, : 1 + n_fft // 2], double=True)
        mel_power(block, sr, n_fft, _N_MELS, out=mel[rows])
        moments.append(spectral.chunk_moments(block))
        mean_square.append(spectral.mean_square(block, n_fft))
        edges.append(spectral.contrast_edges(block, stated_sr, n_fft))
        loudest = edges[-1].max(axis=1)  # of all bins: every bin belongs to one of the bands
        peaks[clip].append(spectral_peaks(block, loudest, (min(lows), max(highs))))
    return _Spectra(
        powers.reshape(-1, powers.shape[-1]),
        np.concatenate(moments),
        mel.reshape(-1, _N_MELS),
        np.concatenate(mean_square),
        np.concatenate(edges),
        [np.concatenate(of_clip, axis=1) for of_clip in peaks],
    )


def _mfcc(mel: NDArray[np.float32], n_mfcc: int) -> NDArray[np.float32]:
    """Cosine transform of the level in mel bands (clips, frames, bands): (clips, frames, n_mfcc)."""
    level = decibels(mel, top_db=_TOP_DB, ref=1.0)
    # The floor is the same in all bands and so affects the first coefficient only: subtracted before the
    # product, its rounding does not leak into the others, and silence has coefficients of exactly 0.
    floor = level.min(axis=(1, 2), keepdims=True)
    coefficients: NDArray[np.float32] = (level - floor) @ _dct(mel.shape[2], n_mfcc)
    coefficients[:, :, 0] += floor[:, 0] * np.float32(np.sqrt(mel.shape[2]))
    return coefficients


def _moments(rows: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Statistics over the frames of features, (clips, frames, size), all at once; all have the same number of frames.

    Returns:
        (clips, 7, size) of each feature, in the order of `_STATISTICS`.
    """
    x = np.ascontiguousarray(np.concatenate(list(rows.values()), axis=2).swapaxes(1, 2))
    ordered, n = np.sort(x, axis=2), x.shape[2]
    mean = x.mean(axis=2, dtype=np.float64)
    away = x - mean[:, :, None]
    squares = away * away
    m2 = squares.mean(axis=2)
    m3 = np.einsum("ijk,ijk->ij", squares, away) / n
    m4 = np.einsum("ijk,ijk->ij", squares, squares) / n
    constant = m2 <= (np.finfo(np.float32).eps * mean) ** 2  # no more than rounding
    m2_ = np.where(constant, 1.0, m2)
    skew = np.where(constant, 0.0, m3 / m2_**1.5)
    kurtosis = np.where(constant, 0.0, m4 / m2_**2 - 3.0)
    median = (ordered[:, :, (n - 1) // 2] + ordered[:, :, n // 2]) / 2
    table = np.stack((kurtosis, ordered[:, :, -1], mean, median, ordered[:, :, 0], skew, np.sqrt(m2)), axis=1)
    ends = np.cumsum([feature.shape[2] for feature in rows.values()])
    return dict(zip(rows, np.split(table.astype(np.float32), ends[:-1], axis=2), strict=True))


@lru_cache(maxsize=4)
def _dct(n_mels: int, n_mfcc: int) -> NDArray[np.float32]:
    """Orthonormal type-II cosine transform as a matrix, (n_mels, n_mfcc)."""
    matrix = np.sqrt(2 / n_mels) * np.cos(np.pi / n_mels * np.outer(np.arange(n_mels) + 0.5, np.arange(n_mfcc)))
    matrix[:, 0] /= np.sqrt(2)
    return np.ascontiguousarray(matrix, np.float32)
