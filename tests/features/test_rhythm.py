"""genrelab/features/rhythm.py: onsets, beat and tempo of sounds whose tempo is known."""

from __future__ import annotations

import numpy as np
import pytest

from genrelab.datasets.synth_voices import SR
from genrelab.features.rhythm import (
    LINES,
    OCTAVES,
    PERIODS,
    WEIGHTS,
    Tempo,
    beat_strength,
    find_tempo,
    onset_rate,
    onset_strength,
)
from genrelab.features.spectra import compute_spectra
from tests.support.known_music import PATTERNS, Samples, click_track, drum_pattern, with_noise

RATE = SR / 512
SECONDS = 12.0

CLEAR = ("four on the floor", "rock", "off-beat rock", "shuffle", "bossa nova", "reggaeton", "metal", "polka")
"""Patterns whose octave is found at all their tempos; that of the others may be counted in two ways."""


def tempo_of(y: Samples) -> Tempo:
    return find_tempo(onsets_of(y), RATE)


def onsets_of(y: Samples) -> np.ndarray:
    return onset_strength(compute_spectra(y, SR, n_fft=2_048, hop_length=512))


def within(bpm: float, wanted: float, *factors: float) -> bool:
    """Is a tempo within 4 % of the wanted one, or of it times one of the factors?"""
    return any(abs(bpm / (wanted * f) - 1) <= 0.04 for f in (1.0, *factors))


def test_the_tempo_of_nearly_all_clicks_is_found() -> None:
    rng, right = np.random.default_rng(1), []
    for bpm in np.linspace(75, 175, 16):
        for jitter_s, snr_db in ((0.0, None), (0.01, 15.0)):
            y = click_track(bpm, SECONDS, rng, jitter_s=jitter_s)
            right.append(within(tempo_of(y if snr_db is None else with_noise(y, snr_db, rng)).bpm, bpm))
    assert np.mean(right) >= 0.95


@pytest.mark.parametrize("bpm", [48, 56, 190, 205])
def test_a_very_slow_or_fast_click_is_found_up_to_the_octave(bpm: float) -> None:
    found = tempo_of(click_track(bpm, SECONDS, np.random.default_rng(2))).bpm
    assert within(found, bpm, 2, 3, 1 / 2, 1 / 3)


@pytest.mark.parametrize("name", PATTERNS)
def test_the_tempo_of_drums_is_found(name: str) -> None:
    rng, (low, high) = np.random.default_rng(3), PATTERNS[name].tempo
    for bpm in np.linspace(low + 2, high - 2, 3):
        found = tempo_of(with_noise(drum_pattern(name, bpm, SECONDS, rng, jitter_s=0.004), 15.0, rng)).bpm
        octaves = () if name in CLEAR else (2, 3, 1 / 2, 1 / 3)
        assert within(found, bpm, *octaves), (name, bpm, found)


def test_a_change_of_level_changes_no_tempo() -> None:
    y = drum_pattern("rock", 117.0, SECONDS, np.random.default_rng(4))
    loud, quiet = tempo_of(y), tempo_of(0.01 * y)
    assert quiet.bpm == pytest.approx(loud.bpm, rel=0.005)
    assert quiet.confidence == pytest.approx(loud.confidence, abs=0.05)


@pytest.mark.parametrize("seconds", [0.5, 2.0, 10.0, 30.0])
def test_noise_silence_and_a_tone_have_no_beat(seconds: float) -> None:
    rng, n = np.random.default_rng(5), int(seconds * SR)
    noise = (0.1 * rng.standard_normal(n)).astype(np.float32)
    tone = np.sin(2 * np.pi * 440 * np.arange(n) / SR).astype(np.float32)
    for y in (noise, np.cumsum(noise, dtype=np.float32) / 100, tone, np.zeros(n, np.float32)):
        assert not tempo_of(y).is_beat


def test_confidence_falls_as_noise_rises() -> None:
    y = drum_pattern("rock", 110.0, SECONDS, np.random.default_rng(6))
    found = [tempo_of(with_noise(y, snr_db, np.random.default_rng(7))) for snr_db in (30, 5, -5, -15, -30)]
    evidence = [tempo.evidence for tempo in found]
    assert evidence == sorted(evidence, reverse=True)
    assert found[0].confidence > 0.8 > 0.4 > found[-1].confidence


def test_alternatives_of_a_tempo_are_shares_against_it() -> None:
    tempo = tempo_of(click_track(125.0, SECONDS, np.random.default_rng(8)))
    assert 0 <= tempo.half < 0.5 and 0 <= tempo.double < 0.5
    assert tempo.pattern.shape == (len(PERIODS),) and tempo.lines.shape == (len(LINES),)
    assert len(WEIGHTS) == len(PERIODS) + len(LINES) + 2 and OCTAVES.count(1.0) == 1


def test_onsets_are_on_the_beat_of_clicks_and_anywhere_in_noise() -> None:
    rng = np.random.default_rng(9)
    clicks = onsets_of(click_track(120.0, SECONDS, rng))
    noise = onsets_of((0.1 * rng.standard_normal(int(SECONDS * SR))).astype(np.float32))
    assert beat_strength(clicks, 120.0, RATE).mean() > 3
    assert beat_strength(noise, 120.0, RATE).mean() < 1.5
    assert onset_rate(clicks, RATE) == pytest.approx(2.0, abs=0.2)
    assert onset_rate(np.zeros((40, 6)), RATE) == 0


def test_the_start_of_a_clip_is_no_onset() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(4 * SR) / SR).astype(np.float32)
    assert onsets_of(tone).max() < 1.0
