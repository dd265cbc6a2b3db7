"""Pieces made side by side by worker processes that may be killed, or brought down by a hostile file.

Workers import no TensorFlow and take one thread each; as many orders are out as there are workers, so memory
does not grow with the number of tracks.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from genrelab.core.errors import PreparedError
from genrelab.core.processes import process_pool
from genrelab.prepare import work_unit
from genrelab.prepare.work_unit import Piece

Done = Callable[[Piece, float], None]
"""Is told of a piece that is whole, and of the seconds that a worker took for it."""


def make_pieces(orders: list[Piece], *, jobs: int, done: Done) -> None:
    """Make every piece in `jobs` processes; `done` is called after each, and may stop them all by raising.

    Pieces that were in work when a worker died are made again, each by itself; the track that brings a worker down
    then is counted as failed. The others go back to the pool.
    """
    while orders:
        for piece in orders:
            piece.marker.unlink(missing_ok=True)
        lost = _make_in_pool(orders, jobs, done)
        suspects = [p for p in lost if p.marker.exists()]
        if lost and not suspects:
            raise PreparedError("a worker died before it read a track; is there enough memory?")
        for piece in suspects:
            _make_alone(piece, done)
        orders = [p for p in lost if p not in suspects]


def _make_alone(piece: Piece, done: Done) -> None:
    piece.marker.unlink(missing_ok=True)
    while _make_in_pool([piece], 1, done):
        piece = replace(piece, crashed=piece.crashed | {_crashed_track(piece)})


def _make_in_pool(orders: list[Piece], jobs: int, done: Done) -> list[Piece]:
    """Pieces that were not made because a worker died."""
    waiting, out, lost = iter(orders), {}, list[Piece]()
    with process_pool(min(jobs, len(orders))) as pool:
        try:
            for piece in waiting:
                out[pool.submit(work_unit.make_piece, piece)] = piece
                if len(out) > jobs:  # one waits behind each that works
                    _collect(out, lost, done)
            while out:
                _collect(out, lost, done)
        except BrokenProcessPool:  # by submit: the piece that it refused has not begun
            lost += [*out.values(), piece]
    return lost + (list(waiting) if lost else [])


def _collect(out: dict[Future[float], Piece], lost: list[Piece], done: Done) -> None:
    for future in wait(out, return_when=FIRST_COMPLETED).done:
        piece = out.pop(future)
        try:
            seconds = future.result()
        except BrokenProcessPool:
            lost.append(piece)
        else:
            done(piece, seconds)


def _crashed_track(piece: Piece) -> int:
    try:
        index = int(piece.marker.read_text())
    except (OSError, ValueError) as e:
        raise PreparedError(f"a worker died before it read a track ({e}); is there enough memory?") from e
    if index in piece.crashed:
        raise PreparedError(f"a worker died twice on the track with index {index}; is there enough memory and disk?")
    return index
