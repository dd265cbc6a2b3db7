"""genrelab/features/key.py: key and tuning of music whose key is known."""

from __future__ import annotations

import numpy as np
import pytest

from genrelab.datasets.synth_voices import SR
from genrelab.features.key import KEYS, Key, find_key, harmonic_change, pitch_classes
from genrelab.features.spectra import Spectra, compute_spectra
from tests.support.known_music import TIMBRES, Samples, progression, with_noise

SECONDS = 10.0


def spectra_of(y: Samples) -> Spectra:
    return compute_spectra(y, SR, n_fft=2_048, hop_length=512)


def key_of(y: Samples) -> Key:
    return find_key(spectra_of(y))


def chord(semitones: tuple[int, ...], seconds: float = SECONDS) -> Samples:
    t = np.arange(int(seconds * SR)) / SR
    tones = [np.sin(2 * np.pi * 261.63 * 2 ** (s / 12) * t) for s in semitones]
    return (0.2 * np.sum(tones, axis=0)).astype(np.float32)


def test_nearly_all_of_24_keys_are_found_in_tune_detuned_and_in_noise() -> None:
    right = []
    for key in range(24):
        rng = np.random.default_rng(key)
        cents, timbre = rng.uniform(-40, 40), TIMBRES[key % len(TIMBRES)]
        y = progression(key, SECONDS, rng, timbre=timbre, cents=cents, bpm=150.0, number=key % 2)
        right += [key_of(sound).name == KEYS[key] for sound in (y, with_noise(y, 10.0, rng))]
    assert np.mean(right) >= 0.9


@pytest.mark.parametrize("cents", [-40.0, 0.0, 25.0])
def test_the_tuning_of_a_progression_is_found(cents: float) -> None:
    y = progression(0, SECONDS, np.random.default_rng(0), timbre="organ", cents=cents)
    assert key_of(y).tuning == pytest.approx(cents / 100, abs=0.06)


def test_keys_are_spelled_as_usual() -> None:
    assert len(set(KEYS)) == 24
    assert KEYS[1] == "Db major" and KEYS[6] == "F# major" and KEYS[10] == "Bb major"
    assert KEYS[13] == "C# minor" and KEYS[18] == "F# minor" and KEYS[22] == "Bb minor"


def test_noise_and_silence_have_no_key_and_one_tone_has_no_sure_one() -> None:
    noise = (0.1 * np.random.default_rng(1).standard_normal(5 * SR)).astype(np.float32)
    for y in (noise, np.cumsum(noise, dtype=np.float32) / 100, np.zeros(5 * SR, np.float32)):
        assert key_of(y).name is None and key_of(y).confidence == 0
    assert key_of(chord((9,))).confidence < 0.3


def test_a_key_is_surer_than_chords_that_no_key_has() -> None:
    y = progression(0, SECONDS, np.random.default_rng(2), timbre="organ")
    clusters = np.concatenate([chord((s, s + 1, s + 6), 1.0) for s in (0, 5, 2, 8, 3, 10, 7, 1)])
    assert key_of(y).confidence > 0.6 > 0.5 > key_of(clusters).confidence


def test_the_pitch_classes_of_a_chord_are_its_notes() -> None:
    shares = pitch_classes(spectra_of(chord((0, 4, 7))))
    assert set(np.argsort(shares)[-3:]) == {0, 4, 7} and shares[[0, 4, 7]].sum() > 0.95
    assert pitch_classes(spectra_of(np.zeros(SR, np.float32))) == pytest.approx(np.full(12, 1 / 12))


def test_harmony_changes_where_chords_change() -> None:
    held = spectra_of(chord((0, 4, 7))).chroma_stft
    changing = spectra_of(np.concatenate([chord(c, 1.0) for c in ((0, 4, 7), (1, 5, 8)) * 5])).chroma_stft
    assert harmonic_change(changing).mean() > 10 * harmonic_change(held).mean()
    assert harmonic_change(held[:10]) == pytest.approx([0.0])
