"""Maps a function over many items in worker processes; an item that crashes its worker loses only its own result."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from genrelab.core.processes import check_workers_start, process_pool

T = TypeVar("T")
R = TypeVar("R")


def map_in_processes(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    jobs: int,
    known: Callable[[T], R | None] = lambda item: None,
    ahead: int = sys.maxsize,
    remedy: str = "",
) -> Generator[tuple[int, R | None], None, None]:
    """(index, result) of every item, in the order of completion.

    At most `jobs` + 1 items are submitted at a time, so that memory does not grow with their number. Items that were
    submitted when a worker died are run again one at a time, which shows which of them crashes a worker; the others go
    on in a new pool. Where the iterator is closed early the workers are terminated at once.

    Args:
        function: a top-level function (it is pickled); runs in a worker.
        items: its arguments; pickled, too. One is taken only when it can be submitted.
        jobs: number of worker processes.
        known: returns an item's result where no worker is needed for it, else None.
        ahead: number of items after the oldest unfinished one that may be taken.
        remedy: how to do without workers, for the error message.

    Yields:
        None as the result of an item that crashes a worker even when it is the only one there.

    Raises:
        SettingsError: workers die at startup.
    """
    rest, n_taken, exhausted = enumerate(items), 0, False
    pending: dict[Future[R], tuple[int, T]] = {}
    lost: list[tuple[int, T]] = []
    while not exhausted:
        with process_pool(jobs) as pool:
            while not lost and not (exhausted and not pending):
                oldest = min((index for index, _ in pending.values()), default=n_taken)
                if exhausted or len(pending) > jobs or n_taken - oldest >= ahead:
                    yield from _collect(pending, lost)
                    continue
                try:
                    index, item = next(rest)
                except StopIteration:
                    exhausted = True
                    continue
                n_taken += 1
                if (result := known(item)) is not None:
                    yield index, result
                    continue
                try:
                    pending[pool.submit(function, item)] = index, item
                except BrokenProcessPool:
                    lost.append((index, item))
            while pending:
                yield from _collect(pending, lost)
        yield from _map_one_by_one(function, lost, remedy)


def _collect(pending: dict[Future[R], tuple[int, T]], lost: list[tuple[int, T]]) -> Iterator[tuple[int, R]]:
    """Wait until an item is finished, or lost because a worker died."""
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        index, item = pending.pop(future)
        try:
            result = future.result()
        except BrokenProcessPool:
            lost.append((index, item))
        else:
            yield index, result


def _map_one_by_one(
    function: Callable[[T], R], lost: list[tuple[int, T]], remedy: str
) -> Iterator[tuple[int, R | None]]:
    while lost:
        with process_pool(1) as pool:
            check_workers_start(pool, remedy)
            while lost:
                index, item = lost.pop(0)
                try:
                    yield index, pool.submit(function, item).result()
                except BrokenProcessPool:
                    yield index, None
                    break
