"""Binary patches that restore a file, byte for byte, from a version that differs in its tags.

A patch lists ranges to copy from the later file, and literal bytes between them. Writing tags changes the size of one
region, and perhaps single numbers elsewhere (sizes, offsets, page numbers): data before the region keep their offset,
data after it are shifted by the difference in size. So two comparisons find nearly everything.
"""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.content_hash import BLOCK, blocks

CELL = 512
"""Resolution, in bytes, of the search for the boundary between unmoved and shifted data; bytes compared at once."""
JOIN = 24
"""Closer differences are joined: a copy operation for the gap would need as much space."""
PROBE = 32
"""Length in bytes of a sample that is searched for nearby, such as inside a cover that was moved."""
MAX_PROBES = 256
SEARCH_RADIUS = 1 << 18

OP = struct.Struct("<QQI")
"""Offset and length of a copy from the later file, then the length of the literal that follows in the patch."""

ByteSpan = tuple[int, int]
"""Start and end (exclusive) in bytes."""


class PatchError(Exception):
    """The patch is damaged, or belongs to another file."""


def make(earlier: BinaryIO, later: BinaryIO) -> bytes:
    """Make the patch from `later` to `earlier`; small if the audio is the same and only tags differ."""
    size, moved = _size(earlier), _size(later) - _size(earlier)
    boundary = _find_boundary(earlier, later, size, moved)
    ops = bytearray()
    for at, end, shift in ((0, boundary, 0), (boundary, size, moved)):
        for start, stop in _differences(earlier, later, at, end, shift):
            ops += _encode_operation(at + shift, start - at)
            ops += _encode_gap(_read(earlier, start, stop - start), later, start, moved)
            at = stop
        ops += _encode_operation(at + shift, end - at)
    return zlib.compress(bytes(ops), 9)


def apply(patch: bytes, later: BinaryIO, write: Callable[[bytes], object], size: int) -> None:
    """Pass the earlier file, which has `size` bytes, to `write`, block by block.

    Raises:
        PatchError: it does not yield a file of that size.
        OSError: reading or writing fails.
    """
    written = 0
    for offset, length, literal in _operations(patch):
        if written + length + len(literal) > size:
            raise PatchError("the file would become longer than it was")
        for block in itertools.chain(blocks(later, offset, length), (literal,)):
            write(block)
            written += len(block)
    if written != size:
        raise PatchError("the file would become shorter than it was")


def _operations(patch: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(offset, length, literal) of each operation; read in blocks, as a hostile patch could fill the memory."""
    unpacked = _PatchReader(patch)
    try:
        while head := unpacked.read(OP.size):
            offset, length, n = OP.unpack(head)
            if offset >> 62:
                raise PatchError("it is damaged")
            yield offset, length, b""
            while n:
                literal = unpacked.read(min(n, BLOCK))
                if not literal:
                    raise PatchError("it is damaged")
                n -= len(literal)
                yield 0, 0, literal
    except (zlib.error, struct.error) as e:
        raise PatchError(f"it is damaged ({e})") from e


class _PatchReader:
    """A compressed patch, decompressed block by block."""

    def __init__(self, patch: bytes) -> None:
        self._packed, self._zlib, self._block = patch, zlib.decompressobj(), io.BytesIO()

    def read(self, n: int) -> bytes:
        """Up to `n` bytes, fewer only at the end; raises zlib.error if it is damaged."""
        got = self._block.read(n)
        while len(got) < n and (block := self._zlib.decompress(self._packed, BLOCK)):
            self._packed, self._block = self._zlib.unconsumed_tail, io.BytesIO(block)
            got += self._block.read(n - len(got))
        if len(got) < n and not self._zlib.eof:
            raise zlib.error("it is cut off")
        return got


def _encode_operation(offset: int, length: int, literal: bytes = b"") -> bytes:
    return OP.pack(offset, length, len(literal)) + literal if length or literal else b""


def _size(f: BinaryIO) -> int:
    return f.seek(0, 2)


def _read(f: BinaryIO, offset: int, n: int) -> bytes:
    f.seek(offset)
    return f.read(n)


def _matches(block: NDArray[np.uint8], later: BinaryIO, at: int) -> NDArray[np.bool_]:
    """Which bytes of the block, shape (bytes,), equal those of the later file from `at`, even out of range."""
    outside = max(0, -at)
    there = np.frombuffer(_read(later, at + outside, max(0, len(block) - outside)), np.uint8)
    agrees = np.zeros(len(block), np.bool_)
    agrees[outside : outside + len(there)] = block[outside : outside + len(there)] == there
    return agrees


def _blocks(f: BinaryIO, start: int, end: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    for at in range(start, end, BLOCK):
        yield at, np.frombuffer(_read(f, at, min(BLOCK, end - at)), np.uint8)


def _find_boundary(earlier: BinaryIO, later: BinaryIO, size: int, moved: int) -> int:
    """The offset up to which bytes are not shifted: that with the fewest differences."""
    stayed, shifted = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
    for at, block in _blocks(earlier, 0, size if moved else 0):
        cells = np.arange(0, len(block), CELL)
        stayed.append(np.add.reduceat(~_matches(block, later, at), cells, dtype=np.int64))
        shifted.append(np.add.reduceat(~_matches(block, later, at + moved), cells, dtype=np.int64))
    before, behind = np.cumsum(np.concatenate(stayed)), np.cumsum(np.concatenate(shifted))
    return min(size, int((before + behind[-1] - behind).argmin()) * CELL) if moved else size


def _differences(earlier: BinaryIO, later: BinaryIO, begin: int, finish: int, shift: int) -> list[ByteSpan]:
    """Runs in a stretch of the earlier file that differ from the shifted ones of the later file; close ones joined."""
    runs: list[ByteSpan] = []
    for at, block in _blocks(earlier, begin, finish):
        differing = np.flatnonzero(~_matches(block, later, at + shift)) + at
        for part in np.split(differing, np.flatnonzero(np.diff(differing) > JOIN) + 1):
            if not len(part):
                continue
            start, end = int(part[0]), int(part[-1]) + 1
            if runs and start - runs[-1][1] <= JOIN:
                start = runs.pop()[0]
            runs.append((start, end))
    return runs


def _encode_gap(gap: bytes, later: BinaryIO, at: int, moved: int) -> bytes:
    """Operations for a run that differs: moved frames are copied, the rest is stored as literals."""
    if len(gap) < 2 * PROBE:
        return _encode_operation(0, 0, gap)
    base = max(0, at - SEARCH_RADIUS)
    near = _read(later, base, at - base + len(gap) + max(0, moved) + SEARCH_RADIUS)
    gap_bytes, near_bytes = np.frombuffer(gap, np.uint8), np.frombuffer(near, np.uint8)
    ops, done, probe = bytearray(), 0, 0
    step = max(PROBE, len(gap) // MAX_PROBES)
    while probe + PROBE <= len(gap):
        needle = gap[probe : probe + PROBE]
        found = near.find(needle) if len(set(needle)) > 1 else -1  # padding is everywhere
        if found < 0:
            probe += step
            continue
        back = _common_prefix(gap_bytes[done:probe][::-1], near_bytes[:found][::-1])
        length = back + _common_prefix(gap_bytes[probe:], near_bytes[found:])
        ops += _encode_operation(0, 0, gap[done : probe - back]) + _encode_operation(base + found - back, length)
        done = probe = probe - back + length
    return bytes(ops) + _encode_operation(0, 0, gap[done:])


def _common_prefix(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    """Length of the common prefix of two arrays, each of shape (bytes,)."""
    n = min(len(a), len(b))
    for at in range(0, n, CELL):  # not at once: a long gap of many short matches would take minutes
        end = min(at + CELL, n)
        if len(differing := np.flatnonzero(a[at:end] != b[at:end])):
            return at + int(differing[0])
    return n
