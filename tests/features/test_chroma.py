"""genrelab/features/chroma.py against librosa."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from genrelab.features.chroma import (
    chroma_cqt,
    chroma_filters,
    chroma_stft,
    estimate_tuning,
    peak_bins,
    spectral_peaks,
    tonnetz,
)
from tests.support.sounds import music


def spectrum(y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Magnitudes, (frames, 1025)."""
    return np.ascontiguousarray(np.abs(librosa.stft(y, n_fft=2048, hop_length=512)).T)


@pytest.mark.parametrize(("sr", "tuned"), [(22_050, 0.0), (22_050, -0.5), (44_100, 0.23)])
def test_filters_are_those_of_librosa(sr: int, tuned: float) -> None:
    wanted = librosa.filters.chroma(sr=sr, n_fft=2048, tuning=tuned)
    np.testing.assert_allclose(chroma_filters(sr, 2048, tuned), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("sr", [16_000, 22_050, 44_100])
@pytest.mark.parametrize("seed", range(4))
def test_tuning_matches_librosa(sr: int, seed: int) -> None:
    magnitudes = spectrum(music(22_050, 2.0, seed=seed))  # stated rates other than the true one: FMA's quirk
    peaks = spectral_peaks(magnitudes**2, (magnitudes**2).max(axis=1), peak_bins(sr, 2048))
    for squared, spectra in ((False, magnitudes), (True, magnitudes**2)):
        wanted = librosa.estimate_tuning(S=spectra.T, sr=sr)
        assert estimate_tuning(peaks, sr, 2048, squared=squared) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("cents", [-40, -7, 0, 13, 45])
def test_tuning_of_a_detuned_scale_is_estimated(cents: int) -> None:
    t = np.arange(22_050) / 22_050
    scale = [np.sin(2 * np.pi * 440 * 2 ** ((k + cents / 100) / 12) * t) for k in range(0, 12, 2)]
    powers = spectrum(np.concatenate(scale).astype(np.float32)) ** 2
    peaks = spectral_peaks(powers, powers.max(axis=1), peak_bins(22_050, 2048))
    assert estimate_tuning(peaks, 22_050, 2048, squared=False) == pytest.approx(cents / 100, abs=0.03)


def test_tuning_of_silence_is_concert_pitch() -> None:
    silence = np.zeros((10, 1025), np.float32)
    peaks = spectral_peaks(silence, np.zeros(10, np.float32), peak_bins(22_050, 2048))
    assert peaks.shape == (5, 0)
    assert estimate_tuning(peaks, 22_050, 2048, squared=True) == 0.0


def test_chroma_of_a_spectrum_matches_librosa() -> None:
    powers = spectrum(music(22_050)) ** 2
    powers[:3] = 0
    wanted = librosa.feature.chroma_stft(S=powers.T, sr=22_050, tuning=0.12).T
    np.testing.assert_allclose(chroma_stft(powers, 22_050, 2048, 0.12), wanted, atol=1e-5)


def test_chroma_cens_and_tonnetz_match_librosa() -> None:
    cqt = np.abs(librosa.cqt(music(22_050), sr=22_050, tuning=0.0)).T
    cqt[:50] = 0  # silence for longer than CENS smooths
    octave = {"C": cqt.T, "bins_per_octave": 12}
    ours, cens = chroma_cqt(cqt)
    np.testing.assert_allclose(ours, librosa.feature.chroma_cqt(**octave).T, atol=1e-5)
    np.testing.assert_allclose(cens, librosa.feature.chroma_cens(**octave).T, atol=1e-5)
    np.testing.assert_allclose(tonnetz(cens), librosa.feature.tonnetz(chroma=cens.T).T, atol=1e-6)
    assert (cens[:20] == 0).all()
    assert (tonnetz(cens)[:20] == 0).all()


def test_chord_is_loudest_in_its_pitch_classes() -> None:
    t = np.arange(22_050) / 22_050
    triad = sum(np.sin(2 * np.pi * hz * t) for hz in (261.63, 329.63, 392.0)).astype(np.float32)  # C E G
    mean = chroma_stft(spectrum(triad) ** 2, 22_050, 2048, 0.0).mean(axis=0)
    assert set(np.argsort(mean)[-3:]) == {0, 4, 7}
