"""genrelab/features/spectral.py against librosa."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from genrelab.features import spectral
from tests.support.sounds import awkward, music


def padded(y: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Power padded as `spectral` takes it, (frames, padded bins), and librosa's magnitudes, (1025, frames)."""
    magnitudes = np.abs(librosa.stft(y, n_fft=2048, hop_length=512))
    powers = np.zeros((magnitudes.shape[1], spectral.padded_bins(2048)), np.float32)
    powers[:, :1025] = magnitudes.T**2
    return powers, magnitudes


def test_padded_bins_are_whole_chunks() -> None:
    assert spectral.padded_bins(2048) == 1088
    assert spectral.padded_bins(126) == 64


@pytest.mark.parametrize("sound", ["music", "noise", "tone", "silence", "silence, then noise"])
def test_centroid_bandwidth_and_rolloff_match_librosa(sound: str) -> None:
    y = music(22_050) if sound == "music" else awkward(22_050, 1.0)[sound]
    powers, magnitudes = padded(y)
    ours = spectral.shape(spectral.chunk_moments(powers), powers, 22_050, 2048)
    np.testing.assert_allclose(ours[:, 0], librosa.feature.spectral_centroid(S=magnitudes)[0], atol=0.01)
    np.testing.assert_allclose(ours[:, 1], librosa.feature.spectral_bandwidth(S=magnitudes)[0], atol=0.1)
    bin_hz = 22_050 / 2048
    away = np.abs(ours[:, 2] - librosa.feature.spectral_rolloff(S=magnitudes)[0])
    assert away.max() < 1.01 * bin_hz  # a tie may fall to the next bin,
    assert (away > 0.01).mean() < 0.02  # and seldom does


def test_bandwidth_of_a_pure_line_is_not_lost_in_rounding() -> None:
    powers = np.zeros((1, spectral.padded_bins(2048)), np.float32)
    powers[0, [999, 1001]] = 1.0
    centroid, bandwidth, rolloff = spectral.shape(spectral.chunk_moments(powers), powers, 2048, 2048)[0]
    assert (centroid, rolloff) == (1000.0, 1001.0)
    assert bandwidth == pytest.approx(1.0, abs=1e-3)


def test_root_mean_square_matches_librosa_and_the_samples() -> None:
    y = awkward(22_050, 1.0)["noise"]
    powers, magnitudes = padded(y)
    ours = np.sqrt(spectral.mean_square(powers, 2048))
    np.testing.assert_allclose(ours, librosa.feature.rms(S=magnitudes)[0], rtol=1e-5)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    samples = y[10 * 512 - 1024 : 10 * 512 + 1024] * window
    assert ours[10] == pytest.approx(np.sqrt((samples**2).mean()), rel=1e-4)


@pytest.mark.parametrize("sr", [22_050, 44_100])
def test_contrast_matches_librosa(sr: int) -> None:
    powers, magnitudes = padded(music(22_050))
    ours = spectral.contrast(spectral.band_extremes(powers, sr, 2048))
    theirs = librosa.feature.spectral_contrast(S=magnitudes, sr=sr, n_bands=6).T
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_every_bin_belongs_to_a_band() -> None:
    for loud in range(1025):
        powers = np.zeros((1, spectral.padded_bins(2048)), np.float32)
        powers[:, loud] = 1.0
        peaks = spectral.band_extremes(powers, 22_050, 2048)[0, 7:]
        assert np.count_nonzero(peaks) == 1, loud


@pytest.mark.parametrize("n_samples", [1, 100, 2048, 22_050, 22_527, 22_528])
def test_zero_crossings_match_librosa(n_samples: int) -> None:
    rng = np.random.default_rng(n_samples)
    y = rng.standard_normal(n_samples).astype(np.float32)
    y[rng.integers(0, n_samples, n_samples // 5)] = 0.0
    y[rng.integers(0, n_samples, n_samples // 5)] = -1e-11  # so small that it counts as zero
    theirs = librosa.feature.zero_crossing_rate(y, frame_length=2048, hop_length=512)[0]
    np.testing.assert_allclose(spectral.zero_crossing_rate(y, 2048, 512), theirs, atol=1e-6)


def test_every_sample_may_cross_zero() -> None:
    y = np.where(np.arange(8192) % 2, 1.0, -1.0).astype(np.float32)
    assert spectral.zero_crossing_rate(y, 2048, 1024)[4] == pytest.approx(2047 / 2048)
