"""FLAC: metadata blocks, the true length by the last frame, and the start of another FLAC file in the same file.

Nothing is decoded. By chance, one of some million bytes of sound looks like the header of a frame. So a header counts
only with the coding of the first frame and after a whole frame with a matching number; and if its length is not that
of STREAMINFO, FFmpeg also measures it (`reader.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, NamedTuple

from genrelab.audio.lengths import Corrections
from genrelab.audio.tag_blocks import InconsistentFileError, find_all, read_at, stream_start

STREAMINFO, PADDING, SEEK_TABLE, COMMENTS, NO_BLOCK = 0, 1, 3, 4, 127
"""Kinds of metadata blocks; the last one is forbidden, as it looks like a frame."""

MAX_BLOCKS = 1_000
"""Maximum number of metadata blocks: about ten are usual."""

TAIL = (1 << 16, 1 << 20)
"""Bytes at the end of a file that are searched for the last frame: the usual size of frames, and the largest."""

MAX_HEADERS = 16
"""Maximum number of headers examined at the end of a file: with more that do not match, it is damaged."""

PLACES, PLACE_BYTES = (0.06, 0.09, 0.29, 0.38, 0.55, 0.78, 0.94), 1 << 15
"""Shares of a file at which PLACE_BYTES are searched for a frame: the numbers of these frames must rise.

They do not if a file holds the same recording several times, which its last frame does not show.
"""

_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_FIRST_BYTES = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
"""The mark, and the head of STREAMINFO: the last block or not, and 34 bytes long."""


class _Frame(NamedTuple):
    """Where a frame starts, its samples from `first` to `end`, and its coding: blocking, rate, bits."""

    at: int
    first: int
    end: int
    coding: tuple[int, int, int]


@dataclass(frozen=True)
class FlacLength:
    """The number of samples of a FLAC file by its header and by its last frame.

    Attributes:
        at: offset of the number in the header.
        stated: by the header; 0: unknown.
        samples: by the last frame; None if none is found.
        byte: the byte at `at`, whose upper half belongs to another number.
        restarts: does another FLAC file start in it, or do frame numbers start again?
    """

    at: int
    stated: int
    samples: int | None
    byte: int
    restarts: bool = False

    @property
    def agrees(self) -> bool:
        """Is it as long as it states?"""
        return self.samples == self.stated and not self.restarts

    @property
    def corrections(self) -> Corrections:
        """Bytes that correct its header (see `part.Part`); none if the true length is unknown."""
        if self.samples is None or self.samples == self.stated:
            return ()
        return ((self.at, ((self.byte & 0xF0) << 32 | self.samples).to_bytes(5)),)


def metadata_blocks(f: BinaryIO, at: int) -> Iterator[tuple[int, int, int]]:
    """Kind, offset of the content and its length, of every metadata block.

    Args:
        at: offset after `fLaC`.

    Raises:
        InconsistentFileError: blocks that no FLAC file has, or more than `MAX_BLOCKS`.
        OSError: it cannot be read.
    """
    for n in range(MAX_BLOCKS):
        head = read_at(f, at, 4)
        if len(head) < 4:
            raise InconsistentFileError
        kind, length = head[0] & 0x7F, int.from_bytes(head[1:])
        empty = not length and kind not in (PADDING, SEEK_TABLE)
        if empty or kind == NO_BLOCK or (kind == STREAMINFO) != (n == 0):
            raise InconsistentFileError("its metadata blocks are damaged")
        yield kind, at + 4, length
        if head[0] & 0x80:
            return
        at += 4 + length
    raise InconsistentFileError(f"it has more than {MAX_BLOCKS:,} metadata blocks")


def flac_starts(file: BinaryIO) -> list[int]:
    """Offsets at which a FLAC file starts in a file: several if files were joined."""
    return list(find_all(file, _FIRST_BYTES, 8))


def flac_length(file: BinaryIO) -> FlacLength | None:
    """Compare the header of a FLAC file with its last frame; None if it is no FLAC."""
    start = stream_start(file)
    head = read_at(file, start, 42)
    if head[:4] != b"fLaC" or len(head) < 42:
        return None
    headers = _Headers(file, start, head)
    stated, size = int.from_bytes(head[21:26]) & (1 << 36) - 1, file.seek(0, 2)
    samples, restarts = None, False
    for tail in TAIL:
        begin = max(size - tail, headers.start)
        data = read_at(file, begin, tail)
        samples = headers.end_of_last_frame(data, begin, stated)
        if samples is not None:
            restarts = _FIRST_BYTES.search(data) is not None or headers.restart(size)
            break
    return FlacLength(start + 21, stated, samples, head[21], restarts)


class _Headers:
    """Finds headers of frames with the coding of the first frame.

    Attributes:
        start: offset of the first frame; if the blocks before it are damaged, the first possible offset.
    """

    def __init__(self, file: BinaryIO, start: int, head: bytes) -> None:
        self._file = file
        self._block, self._channels = int.from_bytes(head[10:12]), (head[20] >> 1 & 7) + 1
        self.start = start + 42
        self._coding: tuple[int, int, int] | None = None
        try:
            *_, (_, at, length) = metadata_blocks(file, start + 4)
        except InconsistentFileError:
            return
        first = self._read(read_at(file, at + length, 16), 0)
        if first is not None:
            self.start, self._coding = at + length, first.coding

    def end_of_last_frame(self, data: bytes, begin: int, stated: int) -> int | None:
        """Number of samples up to the end of the last frame with a header in the bytes from `begin` on."""
        following: list[_Frame] = []
        places = [found.start() for found in _SYNC.finditer(data)]
        frames = (frame for at in reversed(places) if (frame := self._read(data, at)) is not None)
        for frame in islice(frames, MAX_HEADERS):
            if not following and frame.end == stated:
                return stated
            for one in following:
                if frame.end == one.first and _crc16(data[frame.at : one.at]) == 0:
                    return one.end
            following.append(frame)
            if begin + frame.at == self.start:
                return frame.end
        return None

    def restart(self, size: int) -> bool:
        """Do frame numbers start again, as in joined files? A few frames are examined."""
        last = 0
        for share in PLACES:
            data = read_at(self._file, self.start + int(share * (size - self.start)), PLACE_BYTES)
            frames = (self._read(data, found.start()) for found in _SYNC.finditer(data))
            frame = next((frame for frame in frames if frame is not None), None)
            if frame is not None and frame.first < last:
                return True
            last = last if frame is None else frame.first
        return False

    def _read(self, data: bytes, at: int) -> _Frame | None:
        """The frame whose header is at an offset; None if there is none."""
        head = data[at : at + 16].ljust(16, b"\0")
        size_code, rate_code, layout, reserved = head[2] >> 4, head[2] & 15, head[3] >> 4, head[3] & 1
        fits = layout == self._channels - 1 if self._channels != 2 else layout in (1, 8, 9, 10)
        coding = (head[1], rate_code, head[3] >> 1 & 7)
        if not size_code or rate_code == 15 or not fits or reserved or self._coding not in (None, coding):
            return None
        extra = 0 if head[4] < 0x80 else 8 - (head[4] ^ 0xFF).bit_length() - 1
        if head[4] >= 0x80 and not 1 <= extra <= 6:
            return None
        number = head[4] if not extra else head[4] & (0x3F >> extra)
        for byte in head[5 : 5 + extra]:
            if byte >> 6 != 2:
                return None
            number = number << 6 | byte & 0x3F
        place = 5 + extra
        if size_code in (6, 7):
            samples = int.from_bytes(head[place : place + size_code - 5]) + 1
            place += size_code - 5
        else:
            samples = 192 if size_code == 1 else 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
        place += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
        if place >= 16 or _crc(head[:place], 8, 0x107) != head[place]:
            return None
        first = number if head[1] & 1 else number * self._block
        return _Frame(at, first, first + samples, coding)


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    """A checksum of this number of bits; the polynomial includes its highest bit."""
    crc = 0
    for byte in data:
        crc ^= byte << bits - 8
        for _ in range(8):
            crc = crc << 1 ^ (polynomial if crc >> bits - 1 else 0)
    return crc


_CRC16 = [_crc(bytes((byte,)), 16, 0x18005) for byte in range(256)]


def _crc16(data: bytes) -> int:
    """0 for a whole frame, whose last two bytes are the checksum of the others."""
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ _CRC16[crc >> 8 ^ byte]
    return crc
