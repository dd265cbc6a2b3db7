"""4 Pieces made side by side by worker processes that may be killed, or brought down by a hostile file.

Workers import no TensorFlow and take one thread each; as many orders are out as there are workers, so memory
does not grow with the number of tracks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from genrelab import pieces
from genrelab.config import PrepareSettings
from genrelab.errors import PreparedError
from genrelab.pieces import Piece
from genrelab.processes import worker_pool


def make_all(orders: list[Piece], *, jobs: int, done: Callable[[int], None]) -> None:
    """Make every piece in `jobs` processes; `done(tracks)` is called after each.

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


def _make_alone(piece: Piece, done: Callable[[int], None]) -> None:
    piece.marker.unlink(missing_ok=True)
    while _make_in_pool([piece], 1, done):
        piece = replace(piece, crashed=piece.crashed | {_guilty(piece)})


def _make_in_pool(orders: list[Piece], jobs: int, done: Callable[[int], None]) -> list[Piece]:
    """Pieces that were not made because a worker died."""
    waiting, out, lost = iter(orders), {}, list[Piece]()
    with worker_pool(min(jobs, len(orders))) as pool:
        try:
            for piece in waiting:
                out[pool.submit(pieces.make, piece)] = piece
                if len(out) > jobs:  # one waits behind each that works
                    _collect(out, lost, done)
            while out:
                _collect(out, lost, done)
        except BrokenProcessPool:  # by submit: the piece that it refused has not begun
            lost += [*out.values(), piece]
    return lost + (list(waiting) if lost else [])


def _collect(out: dict[Future[int], Piece], lost: list[Piece], done: Callable[[int], None]) -> None:
    for future in wait(out, return_when=FIRST_COMPLETED).done:
        piece = out.pop(future)
        try:
            done(future.result())
        except BrokenProcessPool:
            lost.append(piece)


def _guilty(piece: Piece) -> int:
    try:
        index = int(piece.marker.read_text())
    except (OSError, ValueError) as e:
        raise PreparedError(f"a worker died before it read a track ({e}); is there enough memory?") from e
    if index in piece.crashed:
        raise PreparedError(f"a worker died twice on the track with index {index}; is there enough memory and disk?")
    return index


@dataclass(frozen=True)
class Estimate:
    """What preparing costs on this machine as busy as it is, from a few tracks by the clock.

    Attributes:
        seconds: that a worker takes for a track.
        n_bytes: of a track on disk.
        begin_s: until a worker has begun: its interpreter, imports and filter banks.
    """

    seconds: float
    n_bytes: float
    begin_s: float = 0.0

    def total_s(self, tracks: int, workers: int, cores: int) -> float:
        """Seconds for so many tracks; more workers than cores share these."""
        return (self.begin_s * max(1.0, workers / cores)) + tracks * self.seconds / max(1, min(workers, cores))


def estimate(
    todo: list[Piece], settings: PrepareSettings, side_by_side: int = 1, *, sample: int = 3
) -> Estimate | None:
    """Measured on up to `sample` tracks spread over what is to be done; None where none can be read.

    Workers do it, for a file among them may bring its decoder down: then there is no estimate.

    Args:
        side_by_side: workers that measure the same tracks at a time, for they will share the machine later, too.
    """
    paths = [i.path for p in todo for i in p.items if i.kept is None and i.problem is None and Path(i.path).is_file()]
    if not paths:
        return None
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, min(sample, len(paths))).astype(int)]
    began = time.perf_counter()
    with worker_pool(side_by_side) as pool:
        try:
            asked = [pool.submit(measure, chosen, settings) for _ in range(side_by_side)]
            found = [f for f in (a.result() for a in asked) if f is not None]
        except BrokenProcessPool:
            return None
    if not found:
        return None
    spent, seconds = time.perf_counter() - began, float(np.mean([f.seconds for f in found]))
    return Estimate(seconds, found[0].n_bytes, max(0.0, spent - seconds * len(chosen)))


def measure(paths: list[str], settings: PrepareSettings) -> Estimate | None:
    """Mean cost of these tracks; None where none can be read. Runs in a worker process."""
    costs = []
    for path in paths[:1] + paths:  # the first one also builds filter banks and kernels, so it is taken twice
        began = time.perf_counter()
        n_bytes = pieces.tried(path, settings)
        if n_bytes is not None:
            costs.append((time.perf_counter() - began, n_bytes))
    costs = costs[1:] or costs
    return Estimate(*(float(np.mean(c)) for c in zip(*costs, strict=True))) if costs else None
