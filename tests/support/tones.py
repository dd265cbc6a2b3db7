"""Tones in files: the quickest sound that every view can be computed of."""

from __future__ import annotations

from pathlib import Path


def write_tone(path: Path, *, hz: float, seconds: float = 1.5, sr: int = 22_050, seed: int = 0) -> None:
    """A tone with harmonics and a little noise: enough for every view, quick to decode."""
    import numpy as np
    import soundfile

    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * sr)) / sr
    y = sum(np.sin(2 * np.pi * hz * k * t) / k for k in (1, 2, 3)) * 0.2 + 0.02 * rng.standard_normal(len(t))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, y.astype("float32"), sr, subtype="PCM_16")
