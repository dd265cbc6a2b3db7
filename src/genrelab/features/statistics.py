"""A clip as numbers: FMA's 518 statistics, 230 more on how the timbre changes, the article's 35 features per frame.

All follow librosa 0.11 with its defaults. The features of a frame are those of `spectra`; here they are summarised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import FramesView
from genrelab.features.chroma import tonnetz
from genrelab.features.spectra import Spectra

Rows = dict[str, NDArray[np.float32]]
"""(frames, size) of each feature."""

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


def statistics(spectra: Spectra) -> NDArray[np.float32]:
    """FMA's 518 statistics of a clip: 7 moments over the frames of 74 rows of 11 features.

    Skewness and kurtosis of a row that is constant within float32 rounding are 0; SciPy returns NaN.

    Returns:
        (518,) in the order of `STATISTICS`.

    Source: M. Defferrard et al., FMA: a dataset for music analysis (2017).
    """
    chroma, cens = spectra.chroma_cqt
    rows = {
        "chroma_stft": spectra.chroma_stft,
        "mfcc": spectra.mfcc(_N_MFCC),
        "rmse": spectra.rms[:, None],
        "spectral_centroid": spectra.shape[:, 0:1],
        "spectral_bandwidth": spectra.shape[:, 1:2],
        "spectral_rolloff": spectra.shape[:, 2:3],
        "spectral_contrast": spectra.contrast,
        "zcr": spectra.zero_crossing_rate[:, None],
    }
    found = _moments(rows) | _moments({"chroma_cqt": chroma, "chroma_cens": cens, "tonnetz": tonnetz(cens)})
    return np.concatenate([found[feature].reshape(-1) for feature in _FEATURES])


def descriptors(spectra: Spectra, n_mfcc: int = _N_MFCC) -> NDArray[np.float32]:
    """The statistics, and how the timbre changes.

    That is the covariances of the MFCC, and for each MFCC the logarithm of the variance of its change over two frames.

    Returns:
        (748,) in the order of `DESCRIPTORS`.
    """
    mfcc = spectra.mfcc(n_mfcc).astype(np.float64)
    covariance = np.cov(mfcc, rowvar=False)[np.triu_indices(n_mfcc)]
    steps = np.log(np.var(mfcc[2:] - mfcc[:-2], axis=0, ddof=1) + _STEP_VARIANCE_FLOOR)
    return np.concatenate((statistics(spectra), covariance, steps), dtype=np.float32)


def frames(spectra: Spectra, view: FramesView) -> NDArray[np.float32]:
    """The article's features of the first frames of a clip.

    A shorter clip's frames are repeated from its start until they fill the matrix.

    Returns:
        `view.shape` (frames, 35) in the order of `FRAMES`.
    """
    centroid, _, rolloff = np.split(spectra.shape, 3, axis=1)
    columns = [
        spectra.chroma_stft, centroid, rolloff, spectra.zero_crossing_rate[:, None],
        spectra.mfcc(view.n_mfcc),
    ]  # fmt: skip
    return np.resize(np.concatenate(columns, axis=1)[: view.n_frames], view.shape)


def _moments(rows: Rows) -> Rows:
    """Statistics over the frames of features, (frames, size), all at once; all have the same number of frames.

    Returns:
        (7, size) of each feature, in the order of `_STATISTICS`.
    """
    x = np.ascontiguousarray(np.concatenate(list(rows.values()), axis=1).T)
    n = x.shape[1]
    middle = (n - 1) // 2, n // 2
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
    median = np.partition(x, middle, axis=1)[:, middle].sum(axis=1) / 2
    table = np.stack((kurtosis, x.max(axis=1), mean, median, x.min(axis=1), skew, np.sqrt(m2)))
    ends = np.cumsum([feature.shape[1] for feature in rows.values()])
    return dict(zip(rows, np.split(table.astype(np.float32), ends[:-1], axis=1), strict=True))
