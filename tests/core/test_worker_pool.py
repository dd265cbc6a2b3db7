from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures._base import DoneAndNotDoneFutures
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext

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


def test_known_results_start_no_worker() -> None:
    assert list(map_in_processes(work, [], jobs=2)) == []
    squares = map_in_processes(work, [3, 1, 2], jobs=2, known=lambda n: n * n)
    assert next(squares) == (0, 9) and not multiprocessing.active_children()
    assert list(squares) == [(1, 1), (2, 4)]


class SlowFirst:
    """A pool in which the first item is finished last; `work` returns the squares."""

    def __init__(self) -> None:
        self.submitted: list[int] = []
        self.in_flight: list[int] = []
        self._first: Future[int] | None = None

    def submit(self, work: Callable[[int], int], n: int) -> Future[int]:
        future: Future[int] = Future()
        self.submitted.append(n)
        if self._first is None:
            self._first = future
        else:
            future.set_result(work(n))
        return future

    def wait(self, pending: dict[Future[int], object], **_: object) -> DoneAndNotDoneFutures[int]:
        self.in_flight.append(len(pending))
        done = {f for f in pending if f.done()}
        if not done and self._first is not None:
            self._first.set_result(-1)
            done = {self._first}
        return DoneAndNotDoneFutures(done, set())


def test_items_in_flight_and_items_after_an_unfinished_one_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = SlowFirst()
    monkeypatch.setattr(worker_pool, "process_pool", lambda jobs: nullcontext(pool))
    monkeypatch.setattr(worker_pool, "wait", pool.wait)
    known = {4: 16, 5: 25}
    found = list(map_in_processes(work, range(50), jobs=2, known=known.get, ahead=10))
    place = [index for index, _ in found].index(0)
    assert sorted(found)[1:] == [(n, n * n) for n in range(1, 50)]
    assert place == 9 and sorted(found[:place]) == [(n, n * n) for n in range(1, 10)]
    assert max(pool.in_flight) == 3, "one more than there are workers"
    assert pool.submitted == [n for n in range(50) if n not in known]


@pytest.mark.usefixtures("no_waiting")
def test_workers_are_ended_when_the_loop_is_left_early() -> None:
    for place, answer in map_in_processes(work, [2, 100, 100], jobs=2):
        assert (place, answer) == (0, 4)
        break
    assert multiprocessing.active_children() == []


def _dead(n: int) -> int:
    raise AssertionError("runs in a worker")


def test_workers_that_cannot_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def submit(self, *_: object) -> Future[int]:
            future: Future[int] = Future()
            future.set_exception(BrokenProcessPool("dead"))
            return future

    monkeypatch.setattr(worker_pool, "process_pool", lambda jobs: nullcontext(Broken()))
    with pytest.raises(SettingsError, match=r"workers cannot start.*, or use --jobs 1"):
        list(map_in_processes(_dead, [1, 2, 3], jobs=2, remedy=", or use --jobs 1"))
