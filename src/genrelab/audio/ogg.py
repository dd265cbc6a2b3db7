"""Ogg: where its comments are, and chained files.

A chained file is several recordings one after the other, as web radio and `cat a.ogg b.ogg` make them. Decoders stop at
the end of the first, or refuse the second where its rate or its codec is another. Here each is a part of the file that
is opened by itself; the length of all is the sum, at the rate of the first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.part import Part
from genrelab.core.errors import DecodeError

HEADS_BEFORE_COMMENT = (b"\x01vorbis", b"OpusHead", b"Speex   ", b"\x80theora")
"""First bytes of streams whose second packet is the comment."""

FLAC_HEAD = 51
"""Bytes of the first packet of FLAC in Ogg; the last 34 are STREAMINFO, those before count the tag packets."""

ByteRange = tuple[int, int]
"""Offset and length in bytes."""


class OggStream:
    """One logical stream; tracks across pages which of its packets are comments."""

    def __init__(self, beginning: bytes) -> None:
        self._flac = beginning.startswith(b"\x7fFLAC")
        self._comments = self._flac or beginning.startswith(HEADS_BEFORE_COMMENT)
        self._packet, self._inside = 0, False  # complete packets so far; does one continue on the next page?
        self._skipped = False

    def audio(self, f: BinaryIO, body: int, lacing: bytes) -> Iterator[ByteRange]:
        """The ranges of a page's body that are not comments."""
        if not self._comments:
            yield body, sum(lacing)
            return
        for at, length, complete in _packets(body, lacing):
            if self._comments and not self._inside:
                f.seek(at)
                self._skipped = self._is_comment(f.read(1))
                if self._flac and self._packet == 0 and length == FLAC_HEAD:
                    yield at + FLAC_HEAD - 34, 34
            if not (self._comments and self._skipped):
                yield at, length
            self._inside = not complete
            self._packet += complete

    def _is_comment(self, first: bytes) -> bool:
        if not self._flac:
            self._comments = self._packet < 2
            return self._packet == 1
        self._comments = first != b"\xff"  # audio frames start with it, and no metadata block does
        return self._comments


def _packets(body: int, lacing: bytes) -> Iterator[tuple[int, int, bool]]:
    """Offset, length and whether it ends here, of every packet or part of one on a page."""
    length = 0
    for value in lacing:
        length += value
        if value < 255:
            yield body, length, True
            body, length = body + length, 0
    if length:
        yield body, length, False


# --- chained files ---

BLOCK = 1 << 20

_FIRST_PAGE = re.compile(rb"OggS\x00[\x02\x03\x06\x07]")
"""A page that begins a stream: bit 2 of its flags."""

MARGIN_S = 1
"""Whole seconds that are resampled around a window, so that its edges are those of the whole."""


def find_parts(path: Path) -> list[Part]:
    """The links of a chained Ogg file, in order; any other file is one part."""
    with path.open("rb") as file:
        starts = list(_link_starts(file)) if file.read(4) == b"OggS" else [0]
    if len(starts) < 2:
        return [Part(path)]
    return [Part(path, start, stop) for start, stop in zip(starts, [*starts[1:], None], strict=True)]


def _link_starts(file: BinaryIO) -> Iterator[int]:
    """Offsets of first pages that follow another kind of page: those that follow each other begin one link."""
    end_of_last = -1
    for at in _first_pages(file):
        if at != end_of_last:
            yield at
        file.seek(at + 26)
        n_segments = (file.read(1) or b"\0")[0]
        end_of_last = at + 27 + n_segments + sum(file.read(n_segments))


def _first_pages(file: BinaryIO) -> Iterator[int]:
    start, rest = 0, b""
    while True:
        file.seek(start + len(rest))
        block = file.read(BLOCK)
        data = rest + block
        for found in _FIRST_PAGE.finditer(data):
            yield start + found.start()
        if not block:
            return
        rest = data[-5:]  # shorter than what is looked for, which may begin here
        start += len(data) - len(rest)


class Recording(Protocol):
    """What is needed of `reader.Audio`."""

    sr: int
    channels: int
    frames: int
    decoder: str
    parts: list[Part]
    notes: list[str]

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]: ...

    def close(self) -> None: ...


class Chain:
    """The links of a file, read as one; one of them is open at a time.

    Args:
        open_link: opens a part as a file of its own.
        most_s: links that begin later are not looked at: the length that is reported is then slightly more.
        notes: gets sentences about what is found while reading.

    Raises:
        DecodeError: no link can be decoded; with the reason of the first.
    """

    def __init__(
        self, parts: list[Part], open_link: Callable[[Part], Recording], most_s: float | None, notes: list[str]
    ) -> None:
        self._open_link, self._notes = open_link, notes
        self.parts: list[Part] = []
        self._ends, self._at = [0], -1
        self._link: Recording | None = None
        self.sr, self.channels, self.decoder = 0, 0, ""
        error: DecodeError | None = None
        for i, part in enumerate(parts, 1):
            try:
                link = open_link(part)
            except DecodeError as e:
                error = error or e
                self._note(f"part {i} of its {len(parts)} parts cannot be decoded and is left out: {e.reason}")
                continue
            if not self.sr:
                self.sr, self.channels, self.decoder = link.sr, link.channels, link.decoder
            self.parts.append(link.parts[0])
            self._ends.append(self._ends[-1] + self._length(link))
            link.close()
            if self._ends[-1] > (math.inf if most_s is None else most_s) * self.sr:
                break
        if error is not None and not self.parts:
            raise error
        self.frames = self._ends[-1]

    def _note(self, sentence: str) -> None:
        if sentence not in self._notes:
            self._notes.append(sentence)

    def _length(self, link: Recording) -> int:
        """Of a link, in samples at the rate of the first."""
        return round(link.frames * self.sr / link.sr)

    def read(self, start_s: float, seconds: float | None) -> NDArray[np.float32]:
        """Mono samples, shape (samples,)."""
        start = round(start_s * self.sr)
        stop = self.frames if seconds is None else start + round(seconds * self.sr)
        pieces = [np.empty(0, np.float32)]
        for i, (first, end) in enumerate(zip(self._ends, self._ends[1:], strict=False)):
            if first < stop and start < end:
                pieces.append(self._read_link(i, max(start - first, 0), min(stop, end) - first))
        return np.concatenate(pieces)

    def _read_link(self, i: int, start: int, stop: int) -> NDArray[np.float32]:
        """Samples `start` to `stop` of one link, at the rate of the first."""
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
            self._note(f"a stretch of it cannot be decoded and is left out: {e.reason}")
            return np.empty(0, np.float32)
        finally:
            for sentence in link.notes:
                self._note(sentence)

    def _opened(self, i: int) -> Recording:
        if self._link is None or self._at != i:
            self.close()
            self._link, self._at = self._open_link(self.parts[i]), i
        return self._link

    def close(self) -> None:
        """Close the link that is open."""
        if self._link is not None:
            self._link.close()
            self._link = None
