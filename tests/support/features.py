"""Features of samples as a view's settings say, without resampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import DescriptorsView, FramesView, StatisticsView
from genrelab.features.spectra import Spectra, compute_spectra
from genrelab.features.statistics import statistics
from genrelab.features.views import FMA_SR


def spectra_of(y: NDArray[np.float32], sr: int, view: StatisticsView | DescriptorsView | FramesView) -> Spectra:
    """The first pass over the frames of `y`."""
    exact = isinstance(view, StatisticsView) and view.fma_exact
    stated_sr = FMA_SR if exact else None
    return compute_spectra(y, sr, n_fft=view.n_fft, hop_length=view.hop_length, stated_sr=stated_sr)


def statistics_of(y: NDArray[np.float32], sr: int, view: StatisticsView) -> NDArray[np.float32]:
    """The 518 statistics of `y`."""
    return statistics(spectra_of(y, sr, view))
