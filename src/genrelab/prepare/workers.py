"""Makes pieces in parallel in worker processes that may be killed, or crashed by a hostile file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from genrelab.core.errors import PreparedError
from genrelab.core.worker_pool import map_in_processes
from genrelab.prepare import make_piece
from genrelab.prepare.work_unit import Piece

Done = Callable[[Piece, float], None]
"""Called with a finished piece, and the seconds that a worker took for it."""


def make_pieces(pieces: list[Piece], *, jobs: int, done: Done) -> None:
    """Make every piece in `jobs` processes; `done` is called after each, and may stop them all by raising.

    A piece that crashes a worker even when it is the only one there is made again without the track that did it, which
    is counted as failed.

    Raises:
        PreparedError: a worker dies for another reason than a track.
    """
    while pieces:
        crashed = list[Piece]()
        with closing(map_in_processes(make_piece.make_piece, pieces, jobs=jobs)) as results:
            for index, seconds in results:
                piece = pieces[index]
                if seconds is None:
                    crashed.append(replace(piece, crashed=piece.crashed | {_crashed_track(piece)}))
                else:
                    done(piece, seconds)
        pieces = crashed


def _crashed_track(piece: Piece) -> int:
    try:
        index = int(piece.marker.read_text())
    except (OSError, ValueError) as e:
        raise PreparedError("a worker died before it read a track: there may be too little memory; try --jobs 1") from e
    if index in piece.crashed:
        path = next(item.path for item in piece.items if item.index == index)
        raise PreparedError(f"{path}: a worker died on it twice: is there enough memory and disk space?")
    return index
