"""Binary patches that restore a file, byte for byte, from a version that differs in its tags.

A patch lists ranges to copy from the later file and literal bytes to insert between them. Writing tags changes the
size of one region, and perhaps single numbers elsewhere (sizes, offsets, page numbers): what lies before the region
keeps its offset, what lies behind it is shifted by the difference of the sizes. So two comparisons find nearly all.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20
CELL = 512
"""Resolution, in bytes, of the search for the boundary between unmoved and shifted data."""
JOIN = 24
"""Differences closer to each other than this are joined: a copy operation for the gap would take as much room."""
PROBE = 32
"""Length in bytes of a sample that is searched for nearby, such as in the middle of a cover that was moved."""
MAX_PROBES = 256
SEARCH_RADIUS = 1 << 18

OP = struct.Struct("<QQI")
"""Offset and length of a copy from the later file, then the length of the literal that follows in the patch."""

ByteSpan = tuple[int, int]
"""Start and end (exclusive) in bytes."""


class PatchError(Exception):
    """The patch is damaged, or made for another file."""


def make(earlier: BinaryIO, later: BinaryIO) -> bytes:
    """Make the patch from `later` to `earlier`; small if the audio is the same and only tags differ."""
    size, moved = _size(earlier), _size(later) - _size(earlier)
    boundary = _find_boundary(earlier, later, size, moved)
    ops = bytearray()
    at = 0
    for start, end in [*_differences(earlier, later, size, moved, boundary), (size, size)]:
        if at < boundary < start:
            ops += _encode_operation(at, boundary - at)
            at = boundary
        ops += _encode_operation(at + (moved if at >= boundary else 0), start - at)
        ops += _encode_gap(_read(earlier, start, end - start), later, start, moved)
        at = end
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
            raise PatchError("it makes more than the file that it is for")
        later.seek(offset)
        while length > 0 and (block := later.read(min(BLOCK, length))):
            write(block)
            written, length = written + len(block), length - len(block)
        write(literal)
        written += len(literal)
    if written != size:
        raise PatchError("it makes less than the file that it is for")


def _operations(patch: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(offset, length, literal) of each operation; read in blocks, as a hostile patch would fill the memory."""
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
            raise zlib.error("it was cut off")
        return got


def _encode_operation(offset: int, length: int, literal: bytes = b"") -> bytes:
    return OP.pack(offset, length, len(literal)) + literal if length or literal else b""


def _size(f: BinaryIO) -> int:
    return f.seek(0, 2)


def _read(f: BinaryIO, offset: int, n: int) -> bytes:
    f.seek(offset)
    return f.read(n)


def _matches(block: NDArray[np.uint8], later: BinaryIO, at: int) -> NDArray[np.bool_]:
    """Which bytes of the block, shape (bytes,), equal those of the later file from `at`; `at` may be out of range."""
    outside = max(0, -at)
    there = np.frombuffer(_read(later, at + outside, max(0, len(block) - outside)), np.uint8)
    agrees = np.zeros(len(block), np.bool_)
    agrees[outside : outside + len(there)] = block[outside : outside + len(there)] == there
    return agrees


def _blocks(f: BinaryIO, size: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    for at in range(0, size, BLOCK):
        yield at, np.frombuffer(_read(f, at, BLOCK), np.uint8)


def _find_boundary(earlier: BinaryIO, later: BinaryIO, size: int, moved: int) -> int:
    """The offset up to which bytes are unmoved: the one with the fewest differences."""
    stayed, shifted = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
    for at, block in _blocks(earlier, size if moved else 0):
        cells = np.arange(0, len(block), CELL)
        stayed.append(np.add.reduceat(~_matches(block, later, at), cells, dtype=np.int64))
        shifted.append(np.add.reduceat(~_matches(block, later, at + moved), cells, dtype=np.int64))
    before, behind = np.cumsum(np.concatenate(stayed)), np.cumsum(np.concatenate(shifted))
    return min(size, int((before + behind[-1] - behind).argmin()) * CELL) if moved else size


def _differences(earlier: BinaryIO, later: BinaryIO, size: int, moved: int, boundary: int) -> list[ByteSpan]:
    """Runs of the earlier file that differ from the later one at the expected offset; near ones joined."""
    runs: list[ByteSpan] = []
    for at, block in _blocks(earlier, size):
        agrees = _matches(block, later, at) if at < boundary else _matches(block, later, at + moved)
        if at < boundary < at + len(block):
            agrees[boundary - at :] = _matches(block[boundary - at :], later, boundary + moved)
        differing = np.flatnonzero(~agrees) + at
        for part in np.split(differing, np.flatnonzero(np.diff(differing) > JOIN) + 1):
            if not len(part):
                continue
            start, end = int(part[0]), int(part[-1]) + 1
            if runs and start - runs[-1][1] <= JOIN:
                start = runs.pop()[0]
            runs.append((start, end))
    return runs


def _encode_gap(gap: bytes, later: BinaryIO, at: int, moved: int) -> bytes:
    """Operations for a run that differs: frames that moved are copied, the rest is stored as literals."""
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
    n, at, step = min(len(a), len(b)), 0, CELL
    while at < n:
        end = min(n, at + step)
        differing = np.flatnonzero(a[at:end] != b[at:end])
        if len(differing):
            return at + int(differing[0])
        at, step = end, 2 * step
    return n
