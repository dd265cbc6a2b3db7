"""A preparation that is killed again and again, each time before the next change that it makes to the disk.

python -m tests.support.killed_preparation ROOT OUT FINISHED prints how often it was killed in its main process, after
which it ended well. A preparation that ended before a worker could kill it is moved to FINISHED.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path

from genrelab.core.config import PrepareSettings, SamplesView, StatisticsView
from genrelab.datasets import folder
from genrelab.datasets.base import DatasetOptions
from genrelab.prepare import pipeline, work_unit
from tests.support.guards import HANG_S
from tests.support.killed_at import kill_before_change

BY_WORKER = "KILLED_BY_WORKER"
"""Environment variable: the change of OUT at which a worker kills its parent, and itself."""

WORKER_CHANGES = 12
"""As many as a worker makes for a first piece and half of the next."""


def prepare(root: Path, out: Path, *, in_main: int = 0, by_worker: int = 0) -> bool:
    """In a fork of this process; was it killed? Returns when its workers have ended, too: they share its output."""
    signal.alarm(HANG_S)
    output, written = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(written, sys.stdout.fileno())
        os.close(written)
        if in_main:
            kill_before_change(in_main, out)
        if by_worker:
            os.environ[BY_WORKER] = f"{by_worker} {out}"
        settings = PrepareSettings(views=(StatisticsView(), SamplesView(n_samples=500)), shard_tracks=12)
        pipeline.prepare(folder.load(root, DatasetOptions()), out, settings, jobs=2)
        os._exit(0)
    os.close(written)
    while os.read(output, 1_000):
        pass
    os.close(output)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, -9)
    return os.WIFSIGNALED(status)


def main(root: Path, out: Path, finished: Path) -> None:
    for n in range(1, WORKER_CHANGES + 1):
        while not prepare(root, out, by_worker=n):
            out.rename(finished / str(len(list(finished.iterdir()))))
    print(next(n for n in count() if not prepare(root, out, in_main=n + 1)))


if __name__ == "__mp_main__" and BY_WORKER in os.environ:  # in a worker
    change, watched = os.environ[BY_WORKER].split(maxsplit=1)
    kill_before_change(int(change), Path(watched), [os.getppid()])

if __name__ == "__main__":
    work_unit.PIECE_TRACKS = 1
    main(*map(Path, sys.argv[1:]))
