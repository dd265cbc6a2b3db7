"""The files of one request on disk, limited in size and number. All methods block: they are called in threads."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from genrelab.serve.limits import Limits
from genrelab.serve.problems import Problem, quoted


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
        self._open_file: BinaryIO | None = None

    def start(self, name: str) -> BinaryIO:
        """Start another file, and return it.

        Raises:
            Problem: too many files.
            OSError: it cannot be created.
        """
        if not self._batch and self.files:
            raise Problem("bad-request", "Send one file at a time, or several to /v1/predict/batch.")
        if len(self.files) >= self._limits.batch_files:
            raise Problem("too-large", f"A batch has at most {self._limits.batch_files:,} files. Send several batches.")
        self.close()
        self.files.append(Upload(name, self._folder / str(next(self._numbers))))
        self._open_file = self.files[-1].path.open("xb")
        return self._open_file

    def add(self, data: bytes) -> None:
        """Append to the latest file; where there is none, start one without a name.

        Raises:
            Problem: the file is too large.
            OSError: writing fails.
        """
        open_file = self._open_file or self.start("")
        file, max_bytes = self.files[-1], self._limits.upload_bytes
        file.size += len(data)
        if file.size > max_bytes:
            which = quoted(file.name) if file.name else "this one"
            raise Problem(
                "too-large",
                f"A file may have at most {max_bytes:,} bytes; {which} has more.",
                extra={"limit": max_bytes},
            )
        open_file.write(data)

    def close(self) -> None:
        """Write the buffered bytes of the latest file, which ends there.

        Raises:
            OSError: writing fails.
        """
        if self._open_file is not None:
            self._open_file.close()
            self._open_file = None

    def remove(self) -> None:
        """Remove the files."""
        with suppress(OSError):  # the disk is full
            self.close()
        for file in self.files:
            file.path.unlink(missing_ok=True)
