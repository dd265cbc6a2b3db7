"""Workers have one thread each, and the one that asks for them gets its surroundings back."""

from __future__ import annotations

import os

import pytest

from genrelab.processes import ONE_THREAD, use_one_thread, worker_pool


def test_the_users_own_number_of_threads_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    use_one_thread()
    assert [os.environ[name] for name in ONE_THREAD] == ["3", "1", "1"]


def test_workers_have_one_thread_and_the_environment_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with worker_pool(1) as pool:
        assert [pool.submit(os.getenv, name).result() for name in ONE_THREAD] == ["1", "1", "1"]
        assert pool.submit(os.getppid).result() == os.getpid()
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ
