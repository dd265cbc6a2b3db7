"""Maps a function over many items in worker processes; an item that crashes its worker loses only its own result."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from genrelab.core.processes import check_workers_start, process_pool

T = TypeVar("T")
R = TypeVar("R")


def map_in_processes(function: Callable[[T], R], items: Sequence[T], *, jobs: int) -> Iterator[tuple[int, R | None]]:
    """(index, result) of every item, in the order of completion.

    At most `jobs` + 1 items are submitted at a time, so that memory does not grow with their number. Where the
    iterator is closed early the workers are terminated at once.

    Args:
        function: a top-level function (it is pickled); runs in a worker.
        items: its arguments; pickled, too.
        jobs: number of worker processes.

    Yields:
        None as the result of an item that crashes a worker even when it is the only one there.

    Raises:
        SettingsError: workers die at startup.
    """
    waiting = deque(range(len(items)))
    while waiting:
        lost: list[int] = []
        with process_pool(min(jobs, len(waiting))) as pool:
            yield from _map_concurrently(pool, function, items, waiting, jobs, lost)
        yield from _map_one_by_one(function, items, lost)


def _map_concurrently(
    pool: ProcessPoolExecutor,
    function: Callable[[T], R],
    items: Sequence[T],
    waiting: deque[int],
    jobs: int,
    lost: list[int],
) -> Iterator[tuple[int, R]]:
    """Run until all is done or a worker dies; `lost` receives the indices that were submitted then."""
    pending: dict[Future[R], int] = {}
    while pending or (waiting and not lost):
        while waiting and len(pending) <= jobs and not lost:
            index = waiting.popleft()
            try:
                pending[pool.submit(function, items[index])] = index
            except BrokenProcessPool:
                lost.append(index)
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            index = pending.pop(future)
            try:
                result = future.result()
            except BrokenProcessPool:
                lost.append(index)
            else:
                yield index, result


def _map_one_by_one(function: Callable[[T], R], items: Sequence[T], lost: list[int]) -> Iterator[tuple[int, R | None]]:
    """Run the lost items one at a time, which shows which of them crashes a worker."""
    while lost:
        with process_pool(1) as pool:
            check_workers_start(pool)
            while lost:
                index = lost.pop(0)
                try:
                    yield index, pool.submit(function, items[index]).result()
                except BrokenProcessPool:
                    yield index, None
                    break
