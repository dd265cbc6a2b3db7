"""Fixtures that many tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test writes into, or hears from, the memory of whoever runs it."""
    os.environ["GENRELAB_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real audio beside the project; tests that need it skip by name where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the real audio of ../shared/data")
    return SHARED


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """What would wait without end becomes a TimeoutError."""

    def stop(*_: object) -> None:
        raise TimeoutError("still waiting")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def write_tone(path: Path, *, hz: float, seconds: float = 1.5, sr: int = 22_050, seed: int = 0) -> None:
    """A tone with harmonics and a little noise: enough for every view, quick to decode."""
    import numpy as np
    import soundfile

    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * sr)) / sr
    y = sum(np.sin(2 * np.pi * hz * k * t) / k for k in (1, 2, 3)) * 0.2 + 0.02 * rng.standard_normal(len(t))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, y.astype("float32"), sr, subtype="PCM_16")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """ROOT with three genres of nine short tracks each, and a file that is no audio."""
    root = tmp_path / "music"
    for g, genre in enumerate(("ambient", "beat", "choir")):
        for i in range(9):
            write_tone(root / genre / f"{i}.wav", hz=220 * (g + 1) + 7 * i, seed=10 * g + i)
    (root / "beat" / "broken.mp3").write_text("this is no audio")
    return root
