"""genrelab/datasets/synth_voices.py: each voice makes the note that it is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from genrelab.datasets.synth_voices import SR, VOICES, decay, noise, time

TUNED = ("pluck", "bass", "sub", "pad", "saw", "square", "organ", "piano", "keys", "flute", "sing")


def note(name: str, freq: float = 220.0, n: int = SR // 2) -> np.ndarray:
    return VOICES[name](freq, n, np.random.default_rng(1))


@pytest.mark.parametrize("name", VOICES)
@pytest.mark.parametrize("freq", [40.0, 261.63, 3_000.0])
def test_every_voice_is_sound_of_the_length_asked_for(name: str, freq: float) -> None:
    y = note(name, freq, 4_321)
    assert y.shape == (4_321,)
    assert np.isfinite(y).all()
    assert 0.02 < np.abs(y).max() < 4.0


@pytest.mark.parametrize("name", VOICES)
def test_every_voice_follows_its_seed(name: str) -> None:
    np.testing.assert_array_equal(note(name), note(name))


@pytest.mark.parametrize("name", TUNED)
@pytest.mark.parametrize("freq", [110.0, 220.0, 440.0])
def test_tuned_voices_repeat_at_their_pitch(name: str, freq: float) -> None:
    y = note(name, freq, SR).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(y, 4 * len(y))) ** 2
    hz = np.fft.rfftfreq(4 * len(y), 1 / SR)
    # Energy lies near the multiples of the pitch; a semitone is 6 %, vibrato half of one.
    harmonic = np.maximum(np.round(hz / freq), 1) * freq
    near = np.abs(hz - harmonic) < 0.04 * harmonic
    assert spectrum[near & (harmonic < 8 * freq)].sum() > 0.8 * spectrum[hz < 7.5 * freq].sum()


@pytest.mark.parametrize(("low", "high"), [("kick", "snare"), ("snare", "hat"), ("low", "high")])
def test_drums_are_ordered_by_pitch(low: str, high: str) -> None:
    def centroid(y: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(y)) ** 2
        return float((np.fft.rfftfreq(len(y), 1 / SR) * power).sum() / power.sum())

    assert centroid(note(low)) < centroid(note(high))


def test_time_decay_and_noise_have_the_right_values() -> None:
    assert time(SR)[-1] == pytest.approx(1 - 1 / SR)
    assert decay(SR, 0.5)[SR // 2] == pytest.approx(np.exp(-1), rel=1e-3)
    y = noise(10_000, np.random.default_rng(0))
    assert np.abs(y).max() <= 1
    assert abs(y.mean()) < 0.03
