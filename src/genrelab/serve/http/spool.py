"""What was sent, in files of ours: written by threads, counted, and gone at the end."""

from __future__ import annotations

import asyncio
import itertools
import threading
from dataclasses import dataclass
from pathlib import Path

from genrelab.serve.limits import Limits
from genrelab.serve.problems import Problem, quoted

FLUSH_BYTES = 1 << 18
"""Bytes that are written together: a thread does it, for the event loop must not wait for a disk."""


@dataclass
class Upload:
    """A file that was sent.

    Attributes:
        name: the client's own, as text to be repeated, never part of a path; empty where it gave none.
        path: ours.
        size: bytes so far.
    """

    name: str
    path: Path
    size: int = 0


class Spool:
    """The files of one body.

    Args:
        folder: where they are.
        numbers: what they are called; each number comes once.
        batch: several may come, else one.
    """

    def __init__(self, folder: Path, numbers: itertools.count[int], limits: Limits, *, batch: bool) -> None:
        self.files: list[Upload] = []
        self._folder, self._numbers, self._limits, self._batch = folder, numbers, limits, batch
        self._pieces: list[tuple[Path, bytes]] = []
        self._waiting = 0
        self._lock, self._removed = threading.Lock(), False

    def start(self, name: str) -> None:
        """Another file.

        Raises:
            Problem: one too many.
        """
        if not self._batch and self.files:
            raise Problem("bad-request", "One file at a time, please: several go to /v1/predict/batch.")
        if len(self.files) >= self._limits.batch_files:
            raise Problem("too-large", f"A batch holds up to {self._limits.batch_files} files: send several batches.")
        self.files.append(Upload(name, self._folder / str(next(self._numbers))))
        self._pieces.append((self.files[-1].path, b""))

    def add(self, data: bytes) -> None:
        """More of the latest file.

        Raises:
            Problem: it is too large.
        """
        file, most = self.files[-1], self._limits.upload_bytes
        file.size += len(data)
        if file.size > most:
            which = f"{quoted(file.name)} is larger than that" if file.name else "this one is larger"
            raise Problem("too-large", f"A file may have {most:,} bytes; {which}.", extra={"limit": most})
        self._pieces.append((file.path, data))
        self._waiting += len(data)

    @property
    def wants_flush(self) -> bool:
        """Does enough wait to be worth a thread's while?"""
        return self._waiting >= FLUSH_BYTES

    async def flush(self) -> None:
        """Returns when all of it is written.

        Raises:
            OSError: it cannot be.
        """
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        # Shielded: a thread cannot be called off, and what it still writes after `remove` is not written.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._write, pieces))

    async def remove(self) -> None:
        """Returns when the files are gone; they go, too, where whoever waits for it does not wait so long."""
        if self.files:
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._remove))

    def _write(self, pieces: list[tuple[Path, bytes]]) -> None:
        with self._lock:
            if self._removed:
                return
            for path, group in itertools.groupby(pieces, key=lambda piece: piece[0]):
                with path.open("ab") as file:
                    file.writelines(piece for _, piece in group)

    def _remove(self) -> None:
        with self._lock:
            self._removed = True
            for file in self.files:
                file.path.unlink(missing_ok=True)
