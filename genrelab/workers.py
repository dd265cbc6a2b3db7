"""4 Pieces made side by side by worker processes that may be killed, or brought down by a hostile file.

Workers import no TensorFlow and take one thread each; as many orders are out as there are workers, so memory
does not grow with the number of tracks.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace

from genrelab import pieces
from genrelab.errors import PreparedError
from genrelab.pieces import Piece

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def make_all(orders: list[Piece], *, jobs: int, done: Callable[[int], None]) -> None:
    """Make every piece in `jobs` processes; `done(tracks)` is called after each.

    A piece whose worker died is made again by itself; the track that was in work is then counted as failed.
    """
    suspects = _make_in_pool(orders, jobs, done)
    while suspects:
        piece = suspects.pop(0)
        if _make_in_pool([piece], 1, done):
            suspects.insert(0, replace(piece, crashed=piece.crashed | {_guilty(piece)}))


def _make_in_pool(orders: list[Piece], jobs: int, done: Callable[[int], None]) -> list[Piece]:
    """Pieces that were not made because a worker died."""
    waiting, out, lost = iter(orders), {}, list[Piece]()
    with _pool(jobs) as pool:
        try:
            for piece in waiting:
                out[pool.submit(pieces.make, piece)] = piece
                if len(out) > jobs:  # one waits behind each that works
                    _collect(out, lost, done)
            while out:
                _collect(out, lost, done)
        except BrokenProcessPool:  # by submit: the piece that it refused has not begun
            lost += [*out.values(), piece]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    lost += waiting if lost else []
    return _begun_first(lost) if len(orders) > 1 else lost


def _collect(out: dict[Future[int], Piece], lost: list[Piece], done: Callable[[int], None]) -> None:
    for future in wait(out, return_when=FIRST_COMPLETED).done:
        piece = out.pop(future)
        try:
            done(future.result())
        except BrokenProcessPool:
            lost.append(piece)


def _begun_first(lost: list[Piece]) -> list[Piece]:
    return sorted(lost, key=lambda p: (not p.marker.exists(), p.number))


def _guilty(piece: Piece) -> int:
    try:
        index = int(piece.marker.read_text())
    except (OSError, ValueError) as e:
        raise PreparedError(f"a worker died before it read a track ({e}); is there enough memory?") from e
    if index in piece.crashed:
        raise PreparedError(f"a worker died twice on the track with index {index}; is there enough memory and disk?")
    return index


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh interpreters (a fork of a process with threads can hang), one thread each."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        with ProcessPoolExecutor(
            jobs, mp_context=multiprocessing.get_context("spawn"), initializer=pieces.begin_worker
        ) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
