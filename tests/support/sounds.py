"""Sounds that the tests of the signal chain share, made here: something like music, and the awkward ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def music(sr: int, seconds: float = 4.0, *, seed: int = 0) -> NDArray[np.float32]:
    """Detuned chords with harmonics, a beat of bright clicks, a swell and a quiet noise floor, (samples,).

    The same sound at every rate from 22,050 Hz on, but for the floor: nothing else reaches 9 kHz.
    """
    rng = np.random.default_rng(seed)
    y = np.zeros(int(seconds * sr))
    for beat in np.arange(0.0, seconds, 0.5):
        start = int(beat * sr)
        after = np.arange(start, min(start + sr, len(y))) / sr - beat  # a note lasts a second
        fade = np.exp(-4 * after) * np.minimum(1.0, 20 * (1 - after))
        root = 110 * 2 ** ((rng.integers(0, 24) + 0.13) / 12)
        for hz in (root * np.outer([1.0, 1.26, 1.5, 2.0], np.arange(1, 9))).ravel():
            y[start : start + len(after)] += (
                rng.uniform(10, 90) / hz * np.sin(2 * np.pi * hz * after + rng.uniform(0, 6)) * fade
            )
        for hz in rng.uniform(2_000, 9_000, 20):
            y[start : start + len(after)] += 0.1 * np.sin(2 * np.pi * hz * after) * fade**8
    y *= np.linspace(0.05, 1.0, len(y))
    return (0.5 * y / np.abs(y).max() + 1e-4 * rng.standard_normal(len(y))).astype(np.float32)


def awkward(sr: int, seconds: float) -> dict[str, NDArray[np.float32]]:
    """Sounds on which a feature divides by zero, takes the logarithm of nothing, or does not vary."""
    n = int(sr * seconds)
    t, rng = np.arange(n) / sr, np.random.default_rng(1)
    sounds = {
        "noise": 0.1 * rng.standard_normal(n),
        "tone": 0.5 * np.sin(2 * np.pi * 440 * t),
        "square": np.sign(np.sin(2 * np.pi * 100 * t)),
        "below hearing": 0.5 * np.sin(2 * np.pi * 5 * t),
        "direct current": np.full(n, 0.3),
        "silence": np.zeros(n),
        "near-silence": 1e-7 * rng.standard_normal(n),
        "denormal": 1e-30 * rng.standard_normal(n),
        "one click": np.where(np.arange(n) == n // 2, 1.0, 0.0),
        "silence, then noise": np.where(t < t[-1] / 2, 0.0, 0.1 * rng.standard_normal(n)),
        "clipped by far": 1e6 * rng.standard_normal(n),
    }
    return {name: y.astype(np.float32) for name, y in sounds.items()}
