"""One function for many things, in worker processes; what brings its worker down costs only its own answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from genrelab.core.processes import check_workers_start, process_pool

T = TypeVar("T")
R = TypeVar("R")


def map_in_processes(function: Callable[[T], R], things: Sequence[T], *, jobs: int) -> Iterator[tuple[int, R | None]]:
    """(place, answer) of every thing, in the order in which they are done.

    As many are out as there are workers and one more, so that memory does not grow with their number. Where the
    iterator is left early the workers are ended at once.

    Args:
        function: a module's own function; runs in a worker.
        things: what it is called with; crosses process borders.
        jobs: worker processes.

    Yields:
        None instead of an answer for what brings a worker down although it is there alone.

    Raises:
        SettingsError: workers die before they do anything.
    """
    waiting = deque(range(len(things)))
    while waiting:
        lost: list[int] = []
        with process_pool(min(jobs, len(waiting))) as pool:
            yield from _map_concurrently(pool, function, things, waiting, jobs, lost)
        yield from _map_one_by_one(function, things, lost)


def _map_concurrently(
    pool: ProcessPoolExecutor,
    function: Callable[[T], R],
    things: Sequence[T],
    waiting: deque[int],
    jobs: int,
    lost: list[int],
) -> Iterator[tuple[int, R]]:
    """Until all is done or a worker dies; `lost` gets what was out then."""
    out: dict[Future[R], int] = {}
    while out or (waiting and not lost):
        while waiting and len(out) <= jobs and not lost:
            place = waiting.popleft()
            try:
                out[pool.submit(function, things[place])] = place
            except BrokenProcessPool:
                lost.append(place)
        for future in wait(out, return_when=FIRST_COMPLETED).done:
            place = out.pop(future)
            try:
                answer = future.result()
            except BrokenProcessPool:
                lost.append(place)
            else:
                yield place, answer


def _map_one_by_one(function: Callable[[T], R], things: Sequence[T], lost: list[int]) -> Iterator[tuple[int, R | None]]:
    """One by one, so that it shows which of them brings a worker down."""
    while lost:
        with process_pool(1) as pool:
            check_workers_start(pool)
            while lost:
                place = lost.pop(0)
                try:
                    yield place, pool.submit(function, things[place]).result()
                except BrokenProcessPool:
                    yield place, None
                    break
