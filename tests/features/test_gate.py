"""genrelab/features/gate.py: what is no music is told from music."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.core.config import NETWORK_OUTPUTS, EmbeddingView
from genrelab.features.embedding import embed_window, window_length, window_starts
from genrelab.features.gate import FILE, MIN_MUSIC_SCORE, music_score
from tests.support.sounds import awkward, music

VIEW = EmbeddingView(max_windows=10)
SECONDS = 6.0

NO_MUSIC = ("198-209", "3436-172162", "5703-47212", "bird-whistling", "humpback", "pibble")
"""Names in `shared/data/assorted` of speech, a robin, a whale and a dog; nothing there was fitted on."""

MISTAKEN = ("fma_keys_000010",)
"""Music there that the gate rejects: 2 s, quiet, nearly nothing but one middle octave (docs/results.md)."""


def recording_score(y: NDArray[np.float32], view: EmbeddingView = VIEW) -> float:
    """The mean score of the windows of a recording at 16 kHz."""
    rows = [embed_window(y[start : start + window_length(view)], view) for start in window_starts(len(y), view)]
    return float(music_score(np.stack(rows)).mean())


def sounds_of_no_music() -> dict[str, NDArray[np.float32]]:
    """Noise, tones, hum and glides of `SECONDS`."""
    n = int(SECONDS * VIEW.sr)
    t, rng = np.arange(n) / VIEW.sr, np.random.default_rng(0)
    white = rng.standard_normal(n)
    pitch = 300 * 2 ** (np.sin(2 * np.pi * 0.4 * t) * np.sin(2 * np.pi * 0.11 * t))
    sounds = {
        "white noise": white,
        "brown noise": np.cumsum(white) / 100,
        "tone": np.sin(2 * np.pi * 440 * t),
        "square": np.sign(np.sin(2 * np.pi * 220 * t)),
        "sweep": np.sin(2 * np.pi * (100 * t + 300 * t**2)),
        "mains hum": sum(np.sin(2 * np.pi * 50 * k * t + k) / k for k in range(1, 12)) + 0.02 * white,
        "howl": sum(np.sin(k * 2 * np.pi * np.cumsum(pitch) / VIEW.sr) / k for k in range(1, 9))
        * np.sin(np.pi * t) ** 2,
        "clicks": np.where(np.arange(n) % 8_000 < 40, white, 0),
    }
    return {name: (0.2 * y / np.abs(y).max()).astype(np.float32) for name, y in sounds.items()}


@pytest.mark.parametrize("seconds", [0.5, 2.0, SECONDS])
@pytest.mark.parametrize("name", sounds_of_no_music())
def test_noise_tones_hum_and_glides_are_no_music(name: str, seconds: float) -> None:
    y = sounds_of_no_music()[name][: int(seconds * VIEW.sr)]
    assert recording_score(y) < MIN_MUSIC_SCORE


def test_scores_are_finite_on_awkward_sounds() -> None:
    for name, y in awkward(VIEW.sr, 3.0).items():
        assert np.isfinite(recording_score(y)), name


def test_score_of_a_window_does_not_depend_on_other_windows() -> None:
    rows = np.random.default_rng(0).normal(0, 3, (5, sum(NETWORK_OUTPUTS.values()))).astype(np.float32)
    scores = music_score(rows)
    assert scores.shape == (5,)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, [music_score(row[None])[0] for row in rows], rtol=1e-9)


def test_no_single_output_decides() -> None:
    rows = np.zeros((3, sum(NETWORK_OUTPUTS.values())), np.float32)
    rows[1, 7], rows[2, 7] = 1e3, 1e30
    scores = music_score(rows)
    np.testing.assert_allclose(scores[1], scores[2])


def test_coefficients_are_small() -> None:
    assert FILE.stat().st_size < 50_000


@pytest.mark.parametrize("seconds", [3.0, SECONDS])
def test_synthetic_music_is_music(seconds: float) -> None:
    assert recording_score(music(VIEW.sr, seconds)) > MIN_MUSIC_SCORE


@pytest.mark.real
def test_music_and_other_recordings_are_distinguished(shared: Path) -> None:
    wrong = []
    for path in sorted((shared / "data/assorted").iterdir()):
        if path.suffix == ".txt" or path.stem in MISTAKEN:
            continue
        y, sr = audio_clips.read(path, seconds=30.0)
        is_music = recording_score(audio_clips.resample(y, sr, VIEW.sr)) >= MIN_MUSIC_SCORE
        if is_music == any(part in path.name for part in NO_MUSIC):
            wrong.append(path.name)
    assert not wrong
