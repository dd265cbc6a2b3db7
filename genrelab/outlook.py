"""4 What is left of a preparation: seconds and bytes, told once its first pieces show what a track costs here."""

from __future__ import annotations

import heapq
import shutil
from collections.abc import Callable
from pathlib import Path

from genrelab import pieces
from genrelab.errors import PreparedError
from genrelab.pieces import PIECE_TRACKS, Piece
from genrelab.storage import Folder
from genrelab.wording import count


def busiest(tracks: int, jobs: int) -> int:
    """Tracks of the worker that has most, where each takes the next piece as it is done with one."""
    loads = [0] * max(1, min(jobs, -(-tracks // PIECE_TRACKS)))
    for first in range(0, tracks, PIECE_TRACKS):
        heapq.heapreplace(loads, loads[0] + min(PIECE_TRACKS, tracks - first))
    return max(loads)


class Outlook:
    """Says what is to be done, and as soon as each worker may have made a piece, how long the rest will take.

    Tracks that are taken over from an earlier preparation, or fail before they are read, cost next to nothing: they
    count on neither side.
    """

    def __init__(self, todo: list[Piece], jobs: int, folder: Folder, say: Callable[[str], None]) -> None:
        self._jobs, self._folder, self._say = jobs, folder, say
        self._left, self._n_pieces, self._told = sum(map(_costly, todo)), 0, False
        self._tracks, self._seconds, self._bytes = 0, 0.0, 0
        if todo:
            n = sum(i.problem is None for p in todo for i in p.items)
            names = ", ".join(v.name for v in todo[0].settings.views)
            say(f"{n} tracks to prepare into {folder} ({names})")

    def after(self, piece: Piece, seconds: float) -> None:
        """A piece is whole; a worker took so long for it.

        Raises:
            PreparedError: the disk is too small for the rest.
        """
        if self._told:
            return
        self._n_pieces += 1
        self._left -= _costly(piece)
        self._tracks, self._seconds = self._tracks + _costly(piece), self._seconds + seconds
        self._bytes += pieces.n_bytes(piece)
        if self._n_pieces >= self._jobs and self._tracks and self._left:
            self._told = True
            self._tell(self._seconds / self._tracks, self._bytes / self._tracks)

    def _tell(self, track_s: float, track_bytes: float) -> None:
        left_s, left_bytes = track_s * busiest(self._left, self._jobs), track_bytes * self._left
        self._say(f"about {left_s:.0f} s more with {count(self._jobs, 'worker')}, {left_bytes / 1e6:.0f} MB")
        if not self._folder.is_local:
            return
        free = shutil.disk_usage(self._folder.local).free
        needed = 2 * left_bytes + self._bytes  # pieces and shards stand side by side at the end
        if free < needed:
            raise PreparedError(
                f"{self._folder}: about {needed / 1e9:.1f} GB more are needed and {free / 1e9:.1f} GB are free. What "
                "is done is kept: make room, and the same command goes on"
            )


def _costly(piece: Piece) -> int:
    return sum(i.kept is None and i.problem is None and Path(i.path).is_file() for i in piece.items)
