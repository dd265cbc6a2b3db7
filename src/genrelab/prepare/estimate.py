"""Estimate of a preparation's remaining time and disk space, reported once its first pieces show a track's cost."""

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
    """Number of tracks of the busiest worker; each takes the next piece when it has finished one."""
    loads = [0] * max(1, min(jobs, -(-tracks // PIECE_TRACKS)))
    for first in range(0, tracks, PIECE_TRACKS):
        heapq.heapreplace(loads, loads[0] + min(PIECE_TRACKS, tracks - first))
    return max(loads)


class Estimate:
    """Reports what is to be done and, as soon as each worker may have made a piece, how long the rest will take.

    After every piece it checks that the disk has room for the rest. Only decoded tracks take time; all tracks with
    records take space: those reused from an earlier preparation, too, in pieces and in shards.

    Args:
        pieces: all of them, at least one.
        todo: those that are not done.
        jobs: number of workers.
    """

    def __init__(self, pieces: list[Piece], todo: list[Piece], jobs: int, folder: Folder, notify: Notify) -> None:
        self._jobs, self._folder, self._notify = jobs, folder, notify
        self._track_counts = {p.number: _count_tracks(p) for p in pieces}  # counted once: there may be 100,000 files
        waiting = {p.number for p in todo}
        done = [p for p in pieces if p.number not in waiting]
        self._decode_left = sum(self._track_counts[p.number][0] for p in todo)
        self._usable_left = sum(self._track_counts[p.number][1] for p in todo)
        self._usable_made = sum(self._track_counts[p.number][1] for p in done)
        self._bytes = sum(map(work_unit.n_bytes, done))
        self._decoded, self._seconds, self._n_pieces, self._reported = 0, 0.0, 0, False
        self._work = Path(pieces[0].work)
        self._old_bytes = _shard_bytes(folder)
        if todo:
            items = [i for p in todo for i in p.items if i.problem is None]
            kept = sum(i.kept is not None for i in items)
            reused = f", {kept:,} to reuse" if kept else ""
            names = ", ".join(v.name for v in todo[0].settings.views)
            notify(f"  {pluralize(len(items) - kept, 'track')} to decode{reused}; views: {names}")

    def after(self, piece: Piece, seconds: float) -> None:
        """Count a finished piece, for which a worker took `seconds`.

        Raises:
            PreparedError: the disk is too small for the rest.
        """
        decoded, usable = self._track_counts[piece.number]
        self._n_pieces += 1
        self._decode_left, self._usable_left = self._decode_left - decoded, self._usable_left - usable
        self._usable_made, self._bytes = self._usable_made + usable, self._bytes + work_unit.n_bytes(piece)
        if decoded:
            self._decoded, self._seconds = self._decoded + decoded, self._seconds + seconds
        if self._n_pieces < self._jobs or not self._usable_made:
            return
        if self._decoded and self._decode_left and not self._reported:
            self._reported = True
            left_s = max_tracks_per_worker(self._decode_left, self._jobs) * self._seconds / self._decoded
            mb = self._needed_bytes() / 1e6
            workers = pluralize(self._jobs, "worker")
            self._notify(f"  about {left_s:,.0f} s left with {workers}; {mb:,.0f} MB more disk space needed")
        self.check_disk_space()

    def check_disk_space(self) -> None:
        """Check that there is room for the remaining pieces, and for the shards made of all of them.

        Raises:
            PreparedError: there is not.
        """
        needed, free = self._needed_bytes(), shutil.disk_usage(self._work).free
        if free < needed:
            raise PreparedError(
                f"{self._work} needs about {needed / 1e6:,.0f} MB more, and {free / 1e6:,.0f} MB is free: free some "
                "disk space and run the same command again, which resumes"
            )

    def _needed_bytes(self) -> float:
        left = self._usable_left * self._bytes / max(self._usable_made, 1)
        if not self._folder.is_local:
            return left  # free space elsewhere is not known
        return left + max(0.0, left + self._bytes - self._old_bytes)  # at the end there are both pieces and shards


def _shard_bytes(folder: Folder) -> int:
    """Bytes of an earlier preparation's shards, which the new ones replace one by one."""
    return sum(p.stat().st_size for p in folder.local.glob("*/*.tfrecord")) if folder.is_local else 0


def _count_tracks(piece: Piece) -> tuple[int, int]:
    """Number of tracks that are decoded, and of those that may have records: these, and reused ones.

    Tracks of an earlier preparation without fingerprints are decoded, too.
    """
    usable = [i for i in piece.items if i.problem is None and Path(i.path).is_file()]
    return sum(i.kept is None or i.kept.fingerprints is None for i in usable), len(usable)
