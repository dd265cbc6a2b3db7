"""Fixtures that many tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.guards import HANG_S
from tests.support.paths import SHARED
from tests.support.tones import write_tone

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# How long an example takes says how busy the machine is.
settings.register_profile("genrelab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("genrelab")


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
    signal.alarm(HANG_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """ROOT with three genres of nine short tracks each, and a file that is no audio."""
    root = tmp_path / "music"
    for g, genre in enumerate(("ambient", "beat", "choir")):
        for i in range(9):
            write_tone(root / genre / f"{i}.wav", hz=220 * (g + 1) + 7 * i, seed=10 * g + i)
    (root / "beat" / "broken.mp3").write_text("this is no audio")
    return root
