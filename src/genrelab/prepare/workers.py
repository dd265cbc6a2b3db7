"""Makes pieces in parallel in worker processes that may be killed, or crashed by a hostile file.

Workers import no TensorFlow and use one thread each; at most one piece more than there are workers is submitted at
a time, so memory does not grow with the number of tracks.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from genrelab.core.errors import PreparedError
from genrelab.core.processes import process_pool
from genrelab.prepare import make_piece
from genrelab.prepare.work_unit import Piece

Done = Callable[[Piece, float], None]
"""Called with a finished piece, and the seconds that a worker took for it."""


def make_pieces(pieces: list[Piece], *, jobs: int, done: Done) -> None:
    """Make every piece in `jobs` processes; `done` is called after each, and may stop them all by raising.

    Pieces that were in progress when a worker died are made again, each by itself; a track that then crashes a worker
    is counted as failed. The other pieces go back to the pool.
    """
    while pieces:
        for piece in pieces:
            piece.marker.unlink(missing_ok=True)
        lost = _make_in_pool(pieces, jobs, done)
        suspects = [p for p in lost if p.marker.exists()]
        if lost and not suspects:
            raise PreparedError("a worker died before it read a track; is there enough memory?")
        for piece in suspects:
            _make_alone(piece, done)
        pieces = [p for p in lost if p not in suspects]


def _make_alone(piece: Piece, done: Done) -> None:
    piece.marker.unlink(missing_ok=True)
    while _make_in_pool([piece], 1, done):
        piece = replace(piece, crashed=piece.crashed | {_crashed_track(piece)})


def _make_in_pool(pieces: list[Piece], jobs: int, done: Done) -> list[Piece]:
    """Pieces that were not made because a worker died."""
    pending, submitted, lost = iter(pieces), {}, list[Piece]()
    with process_pool(min(jobs, len(pieces))) as pool:
        try:
            for piece in pending:
                submitted[pool.submit(make_piece.make_piece, piece)] = piece
                if len(submitted) > jobs:  # one more, so that no worker has to wait
                    _collect(submitted, lost, done)
            while submitted:
                _collect(submitted, lost, done)
        except BrokenProcessPool:  # by submit: the refused piece has not started
            lost += [*submitted.values(), piece]
    return lost + (list(pending) if lost else [])


def _collect(submitted: dict[Future[float], Piece], lost: list[Piece], done: Done) -> None:
    for future in wait(submitted, return_when=FIRST_COMPLETED).done:
        piece = submitted.pop(future)
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
