from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from genrelab.core import worker_pool
from genrelab.core.errors import SettingsError
from genrelab.core.worker_pool import map_in_processes


def work(n: int) -> int:
    """Runs in a worker; hostile numbers bring it down."""
    if n < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 100:
        signal.pause()
    return n * n


def test_item_that_crashes_its_worker_loses_only_its_own_answer() -> None:
    things = [1, 2, -1, 3, 4, -2, 5, 6]
    found = list(map_in_processes(work, things, jobs=2))
    assert sorted(place for place, _ in found) == list(range(8))
    assert {things[place]: answer for place, answer in found} == {
        **{n: n * n for n in (1, 2, 3, 4, 5, 6)}, -1: None, -2: None,
    }  # fmt: skip


def test_empty_list_starts_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "process_pool", None)
    assert list(map_in_processes(work, [], jobs=2)) == []


@pytest.mark.usefixtures("no_waiting")
def test_workers_are_ended_when_the_loop_is_left_early() -> None:
    for place, answer in map_in_processes(work, [2, 100, 100], jobs=2):
        assert (place, answer) == (0, 4)
        break
    assert multiprocessing.active_children() == []


def _dead(n: int) -> int:
    raise AssertionError("runs in a worker")


def test_workers_that_cannot_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import Future
    from concurrent.futures.process import BrokenProcessPool
    from contextlib import nullcontext

    class Broken:
        def submit(self, *_: object) -> Future[int]:
            future: Future[int] = Future()
            future.set_exception(BrokenProcessPool("dead"))
            return future

    monkeypatch.setattr(worker_pool, "process_pool", lambda jobs: nullcontext(Broken()))
    with pytest.raises(SettingsError, match="die before they begin"):
        list(map_in_processes(_dead, [1, 2, 3], jobs=2))
