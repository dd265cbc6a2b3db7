"""The files of one request on disk: written by threads, limited in size and number, removed at the end."""

from __future__ import annotations

import asyncio
import itertools
import threading
from dataclasses import dataclass
from pathlib import Path

from genrelab.serve.limits import Limits
from genrelab.serve.problems import Problem, quoted

FLUSH_BYTES = 1 << 18
"""Bytes that are written at a time, by a thread, since the event loop must not wait for the disk."""


@dataclass
class Upload:
    """An uploaded file.

    Attributes:
        name: the client's, as text for responses, never part of a path; empty where it sent none.
        path: of the file on disk.
        size: bytes so far.
    """

    name: str
    path: Path
    size: int = 0


class Spool:
    """The files of one body.

    Args:
        folder: where they are written.
        numbers: their names on disk; each number is used once.
        batch: several files are allowed, else one.
    """

    def __init__(self, folder: Path, numbers: itertools.count[int], limits: Limits, *, batch: bool) -> None:
        self.files: list[Upload] = []
        self._folder, self._numbers, self._limits, self._batch = folder, numbers, limits, batch
        self._pieces: list[tuple[Path, bytes]] = []
        self._buffered_bytes = 0
        self._lock, self._removed = threading.Lock(), False

    def start(self, name: str) -> None:
        """Start another file.

        Raises:
            Problem: too many files.
        """
        if not self._batch and self.files:
            raise Problem("bad-request", "One file at a time, please: several go to /v1/predict/batch.")
        if len(self.files) >= self._limits.batch_files:
            raise Problem("too-large", f"A batch holds up to {self._limits.batch_files} files: send several batches.")
        self.files.append(Upload(name, self._folder / str(next(self._numbers))))
        self._pieces.append((self.files[-1].path, b""))

    def add(self, data: bytes) -> None:
        """Append to the latest file.

        Raises:
            Problem: it is too large.
        """
        file, max_bytes = self.files[-1], self._limits.upload_bytes
        file.size += len(data)
        if file.size > max_bytes:
            which = f"{quoted(file.name)} is larger than that" if file.name else "this one is larger"
            raise Problem("too-large", f"A file may have {max_bytes:,} bytes; {which}.", extra={"limit": max_bytes})
        self._pieces.append((file.path, data))
        self._buffered_bytes += len(data)

    @property
    def wants_flush(self) -> bool:
        """Is enough buffered for a write?"""
        return self._buffered_bytes >= FLUSH_BYTES

    async def flush(self) -> None:
        """Write the buffered bytes.

        Raises:
            OSError: writing fails.
        """
        pieces, self._pieces, self._buffered_bytes = self._pieces, [], 0
        # Shielded: a thread cannot be cancelled; `_write` does nothing after `remove`.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._write, pieces))

    async def remove(self) -> None:
        """Remove the files; also where the caller is cancelled meanwhile."""
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
