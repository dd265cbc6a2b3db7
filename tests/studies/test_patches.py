"""Patches are the whole sound, each only its own time and band."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from genrelab.studies.patches import TIMES, Patches, evidence_wav, mel_picture
from tests.support.sounds import music


@pytest.mark.parametrize(("sr", "n"), [(22_050, 44_177), (44_100, 10_000), (44_100, 441_000), (8_000, 4_001)])
def test_all_patches_together_are_the_sound(sr: int, n: int) -> None:
    y = np.random.default_rng(0).standard_normal(n).astype(np.float32)
    total = np.zeros(n)
    for _, _, where, sound in Patches(y, sr).all():
        total[where] += sound
    assert np.allclose(total, y, atol=1e-5)


def test_the_bands_fit_the_rate() -> None:
    y = np.zeros(40_000, np.float32)
    assert Patches(y, 44_100).f_edges_hz == [0, 250, 1_000, 4_000, 22_050]
    assert Patches(y, 8_000).f_edges_hz == [0, 250, 1_000, 4_000]


def test_a_tone_lies_in_its_band_and_a_click_in_its_time() -> None:
    sr = 22_050
    y = (0.5 * np.sin(2 * np.pi * 500 * np.arange(4 * sr) / sr)).astype(np.float32)
    y[round(2.2 * sr)] += 2.0  # in the fifth of eight times
    power = np.zeros((4, TIMES))
    high = np.zeros(TIMES)
    for band, time, _, sound in Patches(y, sr).all():
        power[band, time] = np.mean(sound**2)
        high[time] += np.sum(sound**2) if band == 3 else 0
    assert (power[1] > 0.1).all()
    assert (power[[0, 2, 3]] < 0.01 * power[1]).all()
    assert high.argmax() == 4


def test_a_patch_is_turned_down_by_20_db() -> None:
    y = music(22_050, 2.0)
    patches = Patches(y, 22_050)
    _, _, where, sound = next(p for p in patches.all() if p[:2] == (1, 3))
    left = patches.without(where, sound)
    assert np.allclose(left[where] + 0.9 * sound, y[where], atol=1e-6)
    assert np.array_equal(
        np.delete(left, np.arange(where.start, where.stop)), np.delete(y, np.arange(where.start, where.stop))
    )


def test_spectrogram_shows_the_tone_where_it_sounds() -> None:
    sr = 44_100
    t = np.arange(3 * sr) / sr
    mel, hz = mel_picture(np.sin(2 * np.pi * 2_000 * t).astype(np.float32) * (t > 1.5), sr)
    levels = np.array(mel)
    assert levels.shape == (48, 96)
    assert all(isinstance(v, int) for row in mel for v in row)
    assert levels.max() == 0
    assert levels.min() == -80
    assert abs(hz[int(levels[:, 80].argmax())] - 2_000) < 100
    assert levels[:, :44].max() < -60
    assert hz == sorted(hz)


def test_spectrogram_of_a_very_short_sound() -> None:
    levels = np.array(mel_picture(np.random.default_rng(0).standard_normal(5_000).astype(np.float32), 22_050)[0])
    assert levels.shape[0] == 48
    assert 60 < levels.shape[1] <= 96


def wav(y: NDArray[np.float32], sr: int, kept: list[tuple[int, int]]) -> tuple[bytes, NDArray[np.float64], int]:
    content = evidence_wav(Patches(y, sr), kept)
    return content, *soundfile.read(io.BytesIO(content))


@pytest.mark.parametrize(("sr", "seconds"), [(44_100, 30.0), (44_100, 31.4), (8_000, 120.0), (22_050, 2.0)])
def test_evidence_is_small(sr: int, seconds: float) -> None:
    y = np.random.default_rng(0).standard_normal(round(sr * seconds)).astype(np.float32)
    content, _, rate = wav(y, sr, [(1, 0), (0, 3), (2, 7)])
    assert len(content) < 500_000
    assert 8_000 <= rate <= min(sr, 22_050)
    assert soundfile.info(io.BytesIO(content)).subtype == "PCM_16"


def test_evidence_is_what_was_kept_in_order() -> None:
    sr = 22_050
    t = np.arange(4 * sr) / sr
    y = (np.where(t < 2, np.sin(2 * np.pi * 500 * t), np.sin(2 * np.pi * 2_000 * t)) * 0.01).astype(np.float32)
    _, y, rate = wav(y, sr, [(2, 6), (1, 1)])
    assert len(y) / rate == pytest.approx(2 * (0.5 + 0.1), abs=0.2)
    assert np.abs(y).max() == pytest.approx(0.7, abs=0.01)
    for half, hz in ((y[: len(y) // 2], 500), (y[len(y) // 2 :], 2_000)):
        assert np.abs(np.fft.rfft(half)).argmax() * rate / len(half) == pytest.approx(hz, rel=0.05)
