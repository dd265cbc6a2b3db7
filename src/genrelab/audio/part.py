"""Parts of a file that are decoded as separate files, with wrong bytes of their headers corrected.

Some files hold several recordings: web radio and `cat a.ogg b.ogg` chain Ogg files, others join FLAC files, and MP3s
with advertisements change their rate. Decoders stop after the first, or refuse a second one with another rate or codec.
Here each is opened separately; the length of the file is the sum, at the rate of the first.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.lengths import Corrections
from genrelab.core.errors import DecodeError
from genrelab.core.text import join_first, pluralize

if TYPE_CHECKING:
    from genrelab.audio.flac import FlacLength
    from genrelab.audio.lengths import MpegFrames

MARGIN_S = 1
"""Seconds that are resampled around a window, so that its edges are as in the whole."""

MAX_FAILED = 64
"""After this many parts that cannot be decoded, the file counts as damaged, and the others are not tried."""


class AudioError(ValueError):
    """A problem of an audio file whose message is for the user; those of libraries are not."""


@dataclass(frozen=True)
class Part:
    """One recording in a file: usually all of it.

    Attributes:
        start, stop: offsets of its first byte, and of the byte after its last; None: the end of the file.
        corrections: bytes that decoders get instead of the file's own; offsets are from the start of the file.
        decoder: `soundfile` or `av`; empty until it is chosen.
        counted: its length by its frames, if known.
    """

    path: Path
    start: int = 0
    stop: int | None = None
    corrections: Corrections = ()
    decoder: str = ""
    counted: FlacLength | MpegFrames | None = field(default=None, compare=False)

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
    """The bytes of a part as a seekable file."""

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


class Recording(Protocol):
    """The used part of `reader.Audio`."""

    sr: int
    channels: int
    frames: int
    decoder: str
    parts: list[Part]
    notes: list[str]

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        """Mono samples."""
        ...

    def close(self) -> None:
        """Close the file."""


class Chain:
    """The parts of a file, read as one; one of them is open at a time.

    Args:
        open_part: opens a part as a separate file.
        max_s: parts that start later are ignored; the reported length is then slightly more.
        notes: gets a sentence for each remark on the file.

    Raises:
        DecodeError: no part can be decoded; it has the reason of the first.
    """

    def __init__(
        self, parts: list[Part], open_part: Callable[[Part], Recording], max_s: float | None, notes: list[str]
    ) -> None:
        self._open_part, self._notes = open_part, notes
        self.parts: list[Part] = []
        self._ends, self._at = [0], -1
        self._opened_part: Recording | None = None
        self._lost = False
        self.sr, self.channels, self.decoder = 0, 0, ""
        errors = self._measure(parts, math.inf if max_s is None else max_s)
        if not self.parts:
            raise next(iter(errors.values()))
        if errors:
            self._note(_failed_sentence(errors, len(parts)))
        self.frames = self._ends[-1]

    def _measure(self, parts: list[Part], max_s: float) -> dict[int, DecodeError]:
        """Measure the parts; number of a part → why it cannot be decoded."""
        errors: dict[int, DecodeError] = {}
        for i, part in enumerate(parts, 1):
            try:
                if len(errors) >= MAX_FAILED:
                    raise DecodeError(part.path, f"not decoded, because {MAX_FAILED} parts before it are damaged")
                link = self._open_part(part)
            except DecodeError as e:
                errors[i] = e
                continue
            if not self.sr:
                self.sr, self.channels, self.decoder = link.sr, link.channels, link.decoder
            self.parts.append(link.parts[0])
            self._ends.append(self._ends[-1] + self._length(link))
            link.close()
            if self._ends[-1] > max_s * self.sr:
                break
        return errors

    def _note(self, sentence: str) -> None:
        if sentence not in self._notes:
            self._notes.append(sentence)

    def _length(self, link: Recording) -> int:
        """Of a part, in samples at the rate of the first."""
        return round(link.frames * self.sr / link.sr)

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        """Mono samples, shape (samples,)."""
        start = round(start_s * self.sr)
        stop = self.frames if seconds is None else start + round(seconds * self.sr)
        pieces = [np.empty(0, np.float32)]
        for i, (first, end) in enumerate(zip(self._ends, self._ends[1:], strict=False)):
            if first < stop and start < end:
                pieces.append(self._read_part(i, max(start - first, 0), min(stop, end) - first))
        return np.concatenate(pieces)

    def _read_part(self, i: int, start: int, stop: int) -> NDArray[np.float32]:
        """Samples `start` to `stop` of one part, at the rate of the first."""
        import soxr  # imported late: few files need it

        link = self._opened(i)
        try:
            if link.sr == self.sr:
                return link.read(start / self.sr, (stop - start) / self.sr)
            first = max(start // self.sr - MARGIN_S, 0)
            y = link.read(first, stop // self.sr + 1 + MARGIN_S - first)
            y = np.asarray(soxr.resample(y, link.sr, self.sr, quality="HQ"), np.float32)
            return y[start - first * self.sr : stop - first * self.sr]
        except DecodeError as e:
            if not self._lost:  # one note for all parts
                self._note(f"a stretch of it is left out: {e.reason}")
            self._lost = True
            return np.empty(0, np.float32)
        finally:
            for sentence in link.notes:
                self._note(sentence)

    def _opened(self, i: int) -> Recording:
        if self._opened_part is None or self._at != i:
            self.close()
            self._opened_part, self._at = self._open_part(self.parts[i]), i
        return self._opened_part

    def close(self) -> None:
        """Close the open part."""
        if self._opened_part is not None:
            self._opened_part.close()
            self._opened_part = None


def _failed_sentence(errors: dict[int, DecodeError], n_parts: int) -> str:
    first = next(iter(errors.values()))
    which = f"{'part' if len(errors) == 1 else 'parts'} {join_first([str(i) for i in errors])}"
    return f"{len(errors):,} of its {pluralize(n_parts, 'joined part')} left out ({which}): {first.reason}"
