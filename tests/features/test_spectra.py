"""genrelab/features/spectra.py: float32 and float64 where each is enough, and nothing that no view reads."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import scipy.signal
from numpy.typing import NDArray

from genrelab.core.config import StatisticsView
from genrelab.features import spectra, spectral
from genrelab.features.spectrogram import frame, power
from tests.support.features import spectra_of
from tests.support.sounds import music

SR = 22_050


def low_passed(seconds: float = 2.0) -> NDArray[np.float32]:
    """Loud noise below 4 kHz and next to nothing above, as an MP3 of a low bit rate has it."""
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((2, round(seconds * SR)))
    low = scipy.signal.sosfilt(scipy.signal.cheby2(12, 150, 4_000, fs=SR, output="sos"), noise[0])
    return (0.3 * low + 1e-8 * noise[1]).astype(np.float32)


def contrast_in_float64(y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Contrast of spectra that are all transformed in float64, (frames, 7) dB."""
    windows = frame(y, 2048, 512)
    powers = power(windows, np.empty((len(windows), 1025), np.float32), double=True)
    return spectral.contrast(spectral.band_extremes(powers, SR, 2048))


def test_contrast_of_deep_valleys_is_as_accurate_as_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    y = low_passed()
    wanted = contrast_in_float64(y)
    ours = spectra_of(y, SR, StatisticsView()).contrast
    np.testing.assert_allclose(ours, wanted, atol=1e-3)
    monkeypatch.setattr(spectral, "needs_float64", lambda extremes, *_: np.zeros(len(extremes), bool))
    assert np.abs(spectra_of(y, SR, StatisticsView()).contrast - wanted).max() > 0.1  # in float32 alone it is not


def test_contrast_of_music_is_as_accurate_as_in_float64() -> None:
    y = music(SR, 3.0, seed=2)
    np.testing.assert_allclose(spectra_of(y, SR, StatisticsView()).contrast, contrast_in_float64(y), atol=0.05)


def test_only_frames_with_deep_valleys_are_transformed_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    y, frames = np.concatenate((music(SR, 2.0), low_passed(1.0))), Counter[bool]()

    def counted(x: NDArray[np.float32], out: NDArray[np.float32], *, double: bool = False) -> NDArray[np.float32]:
        frames[double] += len(x)
        return power(x, out, double=double)

    monkeypatch.setattr(spectra, "power", counted)
    made = spectra_of(y, SR, StatisticsView())
    assert frames == {False: 1 + len(y) // 512}
    assert made.contrast.shape == (1 + len(y) // 512, 7)
    assert 0.9 * SR // 512 <= frames[True] <= 1.2 * SR // 512


def test_what_no_view_reads_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed, though only contrast and the shape of the spectrum need it")

    for name in ("band_extremes", "chunk_moments", "shape", "contrast", "zero_crossing_rate"):
        monkeypatch.setattr(spectral, name, never)
    made = spectra_of(music(SR, 2.0), SR, StatisticsView())
    n_frames = len(made.powers)
    assert made.level.shape == made.mel.shape == (n_frames, spectra.N_MELS)
    assert made.rms.shape == (n_frames,)
    assert made.chroma_stft.shape == made.chroma_cqt[0].shape == (n_frames, 12)
