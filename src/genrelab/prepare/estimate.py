"""What is left of a preparation: seconds and bytes, told once its first pieces show what a track costs here."""

from __future__ import annotations

import heapq
import shutil
from pathlib import Path

from genrelab.core.errors import PreparedError
from genrelab.core.progress import Notify
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.prepare import work_unit
from genrelab.prepare.work_unit import PIECE_TRACKS, Piece


def max_tracks_per_worker(tracks: int, jobs: int) -> int:
    """Tracks of the worker that has most, where each takes the next piece as it is done with one."""
    loads = [0] * max(1, min(jobs, -(-tracks // PIECE_TRACKS)))
    for first in range(0, tracks, PIECE_TRACKS):
        heapq.heapreplace(loads, loads[0] + min(PIECE_TRACKS, tracks - first))
    return max(loads)


class Estimate:
    """Says what is to be done; as soon as each worker may have made a piece, how long the rest will take; and after
    every piece whether the disk holds it.

    Time is laid to tracks that are read, disk to all that may have records: those that are taken over from an earlier
    preparation cost next to no time, and lie in pieces and shards like the others.

    Args:
        order: all pieces.
        todo: those that are not done.
        jobs: workers.
    """

    def __init__(self, order: list[Piece], todo: list[Piece], jobs: int, folder: Folder, notify: Notify) -> None:
        self._jobs, self._folder, self._notify = jobs, folder, notify
        self._tracks = {p.number: _tracks(p) for p in order}  # looked up once: there may be 100,000 files
        waiting = {p.number for p in todo}
        done = [p for p in order if p.number not in waiting]
        self._read_left = sum(self._tracks[p.number][0] for p in todo)
        self._left = sum(self._tracks[p.number][1] for p in todo)
        self._made, self._bytes = sum(self._tracks[p.number][1] for p in done), sum(map(work_unit.n_bytes, done))
        self._read, self._seconds, self._n_pieces, self._told = 0, 0.0, 0, False
        self._work = Path(order[0].work) if order else None
        self._old_bytes = _shard_bytes(folder)
        if todo:
            items = [i for p in todo for i in p.items if i.problem is None]
            kept = sum(i.kept is not None for i in items)
            taken_over = f" and {kept:,} to take over" if kept else ""
            names = ", ".join(v.name for v in todo[0].settings.views)
            notify(f"{pluralize(len(items) - kept, 'track')} to prepare{taken_over} into {folder} ({names})")

    def after(self, piece: Piece, seconds: float) -> None:
        """A piece is whole; a worker took so long for it.

        Raises:
            PreparedError: the disk is too small for the rest.
        """
        read, usable = self._tracks[piece.number]
        self._n_pieces += 1
        self._read_left, self._left = self._read_left - read, self._left - usable
        self._made, self._bytes = self._made + usable, self._bytes + work_unit.n_bytes(piece)
        if read:
            self._read, self._seconds = self._read + read, self._seconds + seconds
        if self._n_pieces < self._jobs or not self._made:
            return
        if self._read and self._read_left and not self._told:
            self._told = True
            left_s = max_tracks_per_worker(self._read_left, self._jobs) * self._seconds / self._read
            mb = self._needed() / 1e6
            self._notify(
                f"about {left_s:.0f} s more with {pluralize(self._jobs, 'worker')}, and {mb:,.0f} MB of disk meanwhile"
            )
        self.check_disk_space()

    def check_disk_space(self) -> None:
        """Is there room for the pieces that are left, and for the shards that all of them become?

        Raises:
            PreparedError: there is not.
        """
        if self._work is None:
            return
        needed, free = self._needed(), shutil.disk_usage(self._work).free
        if free < needed:
            raise PreparedError(
                f"{self._work}: about {needed / 1e6:,.0f} MB more are needed and {free / 1e6:,.0f} MB are free. What "
                "is done is kept: make room, and the same command goes on"
            )

    def _needed(self) -> float:
        left = self._left * self._bytes / max(self._made, 1)
        if not self._folder.is_local:
            return left  # of the room elsewhere nothing is known
        return left + max(0.0, left + self._bytes - self._old_bytes)  # pieces and shards stand side by side at the end


def _shard_bytes(folder: Folder) -> int:
    """Of an earlier preparation, whose shards the new ones replace one by one."""
    return sum(p.stat().st_size for p in folder.local.glob("*/*.tfrecord")) if folder.is_local else 0


def _tracks(piece: Piece) -> tuple[int, int]:
    """Tracks that are decoded, and tracks that may have records: those, and what is taken over.

    What an earlier preparation without fingerprints holds is decoded, too.
    """
    usable = [i for i in piece.items if i.problem is None and Path(i.path).is_file()]
    return sum(i.kept is None or i.kept.fingerprints is None for i in usable), len(usable)
