"""A stretch of a file that is decoded as a file of its own, with wrong bytes of its header corrected."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

Corrections = tuple[tuple[int, bytes], ...]
"""Offsets, and the bytes that are found there instead of the file's own."""


@dataclass(frozen=True)
class Part:
    """One recording in a file: mostly all of it.

    Attributes:
        start, stop: offsets of its first byte, and of the one behind its last; None: the file's end.
        corrections: what decoders find in place of the file's own bytes; offsets count from the file's start.
        decoder: which one reads it, `soundfile` or `av`; empty where that isn't decided.
    """

    path: Path
    start: int = 0
    stop: int | None = None
    corrections: Corrections = ()
    decoder: str = ""

    @property
    def is_plain(self) -> bool:
        """All of the file, as it is."""
        return self.start == 0 and self.stop is None and not self.corrections

    def open(self) -> BinaryIO:
        """Open it for reading.

        Raises:
            OSError: it cannot be read.
        """
        if self.is_plain:
            return self.path.open("rb")
        return io.BufferedReader(_View(self.path.open("rb", buffering=0), self))


class _View(io.RawIOBase):
    """The bytes of a part as a file that can be sought."""

    def __init__(self, file: io.RawIOBase, part: Part) -> None:
        self._file, self._part, self._at = file, part, 0
        size = file.seek(0, io.SEEK_END)
        self._size = max((size if part.stop is None else min(part.stop, size)) - part.start, 0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence], 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(self._size - self._at, 0))
        place = self._part.start + self._at
        self._file.seek(place)
        data = bytearray(self._file.read(wanted) or b"")
        for offset, correct in self._part.corrections:
            first, last = max(offset, place), min(offset + len(correct), place + len(data))
            if first < last:
                data[first - place : last - place] = correct[first - offset : last - offset]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
