"""Finds all tags around a stream of audio (MP3, AAC, FLAC, WavPack …), whatever their number and order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

ID3V2, APEV2, ID3V1, LYRICS3 = "ID3v2", "APEv2", "ID3v1", "Lyrics3"

_ID3V2_HEADER, _APEV2_HEADER, _ID3V1_SIZE, _ID3V1_EXTENSION = 10, 32, 128, 227


BLOCK = 1 << 20

MAX_TAGS = 64
"""Maximum number of tags at one end of a file: with more it is damaged, or made to keep a program busy."""


class InconsistentFileError(Exception):
    """Sizes in a file do not match the file."""

    def __init__(self, reason: str = "the sizes in its headers do not match the file") -> None:
        super().__init__(reason)


@dataclass(frozen=True)
class TagBlock:
    """One tag: its kind, and where its bytes start and end (exclusive)."""

    kind: str
    start: int
    end: int


def read_at(f: BinaryIO, offset: int, n: int) -> bytes:
    """Up to `n` bytes from `offset`; none outside the file."""
    if offset < 0 or n < 0:
        return b""
    f.seek(offset)
    return f.read(n)


def find_all(file: BinaryIO, pattern: re.Pattern[bytes], length: int) -> Iterator[int]:
    """Offsets of a pattern of `length` bytes in a file; memory is that of one block."""
    start, rest = 0, b""
    while True:
        file.seek(start + len(rest))
        block = file.read(BLOCK)
        data = rest + block
        for found in pattern.finditer(data):
            yield start + found.start()
        if not block:
            return
        rest = data[1 - length :]  # shorter than the pattern, which may start here
        start += len(data) - len(rest)


def syncsafe(four: bytes) -> int:
    """The number in four bytes of seven bits each, as in sizes of ID3v2; -1 if a byte has eight bits."""
    return -1 if max(four) > 127 else sum(b << shift for b, shift in zip(four, (21, 14, 7, 0), strict=True))


def stream_start(f: BinaryIO) -> int:
    """Offset after the tags at the start of a file; 0 if they are inconsistent.

    Raises:
        OSError: it cannot be read.
    """
    try:
        before = tags_before(f)
    except InconsistentFileError:
        return 0
    return before[-1].end if before else 0


def tags_before(f: BinaryIO) -> list[TagBlock]:
    """The ID3v2 and APEv2 tags at the start of a file, in their order; some files have several.

    Raises:
        InconsistentFileError: an impossible size, or more than `MAX_TAGS` tags.
        OSError: it cannot be read.
    """
    found: list[TagBlock] = []
    at = 0
    while True:
        kind, length = ID3V2, _id3v2_length(f, at)
        if not length:
            kind, length = APEV2, _apev2_length_from(f, at)
        if not length:
            return found
        _check_count(found)
        found.append(TagBlock(kind, at, at + length))
        at += length


def tags_after(f: BinaryIO, size: int) -> list[TagBlock]:
    """The tags at the end of a file, the last one first: ID3v1 (with or without its extension), APEv2, Lyrics3, ID3v2.

    Raises:
        InconsistentFileError: a tag that is longer than the file, or more than `MAX_TAGS` tags.
        OSError: it cannot be read.
    """
    kinds = ((ID3V1, _id3v1_length), (APEV2, _apev2_length), (LYRICS3, _lyrics3_length), (ID3V2, _footer_length))
    found: list[TagBlock] = []
    end = size
    while True:
        kind, length = next(((kind, n) for kind, measure in kinds if (n := measure(f, end))), ("", 0))
        if not length:
            return found
        if length > end:
            raise InconsistentFileError
        _check_count(found)
        found.append(TagBlock(kind, end - length, end))
        end -= length


def _check_count(found: list[TagBlock]) -> None:
    if len(found) == MAX_TAGS:
        raise InconsistentFileError(f"it has more than {MAX_TAGS} tag blocks at its beginning or end")


def _id3v2_length(f: BinaryIO, at: int) -> int:
    head = read_at(f, at, _ID3V2_HEADER)
    if head[:3] != b"ID3" or len(head) < _ID3V2_HEADER:
        return 0
    size = syncsafe(head[6:])
    if size < 0:
        raise InconsistentFileError
    footer = _ID3V2_HEADER if head[3] == 4 and head[5] & 0x10 else 0
    return _ID3V2_HEADER + footer + size


def _footer_length(f: BinaryIO, end: int) -> int:
    """Length of an ID3v2.4 tag that ends in a footer, which repeats its header."""
    foot = read_at(f, end - _ID3V2_HEADER, _ID3V2_HEADER)
    if foot[:4] != b"3DI\4" or syncsafe(foot[6:]) < 0:
        return 0
    length = 2 * _ID3V2_HEADER + syncsafe(foot[6:])
    return length if read_at(f, end - length, 3) == b"ID3" else 0


def _id3v1_length(f: BinaryIO, end: int) -> int:
    if read_at(f, end - _ID3V1_SIZE, 3) != b"TAG" or read_at(f, end - _ID3V1_SIZE - 3, 8) == b"APETAGEX":
        return 0
    extended = read_at(f, end - _ID3V1_SIZE - _ID3V1_EXTENSION, 4) == b"TAG+"
    return _ID3V1_SIZE + (_ID3V1_EXTENSION if extended else 0)


def _apev2_length(f: BinaryIO, end: int) -> int:
    footer = read_at(f, end - _APEV2_HEADER, _APEV2_HEADER)
    if footer[:8] != b"APETAGEX":
        return 0
    has_header = footer[23] & 0x80
    return int.from_bytes(footer[12:16], "little") + (_APEV2_HEADER if has_header else 0)


def _apev2_length_from(f: BinaryIO, at: int) -> int:
    head = read_at(f, at, _APEV2_HEADER)
    is_header = head[:8] == b"APETAGEX" and len(head) == _APEV2_HEADER and head[23] & 0x20
    return _APEV2_HEADER + int.from_bytes(head[12:16], "little") if is_header else 0


def _lyrics3_length(f: BinaryIO, end: int) -> int:
    if read_at(f, end - 9, 9) == b"LYRICS200":
        digits = read_at(f, end - 15, 6)
        return int(digits) + 15 if digits.isdigit() else 0
    if read_at(f, end - 9, 9) == b"LYRICSEND":  # version 1: at most 5,100 characters, the length is not stored
        start = max(0, end - 5_120)
        at = read_at(f, start, end - start).rfind(b"LYRICSBEGIN")
        return end - start - at if at >= 0 else 0
    return 0
