"""What to remember of a file so that it can be made again, byte for byte, from one that differs in its tags.

A patch says which stretches to take from the later file and which bytes to put between them. Writing tags changes the
size of one region, and perhaps single numbers elsewhere (sizes, offsets, page numbers): what lies before the region
stands where it stood, what lies behind it is moved by the difference of the sizes. So two comparisons find nearly all.
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
"""Bytes: how finely the border between what stayed and what moved is looked for."""
JOIN = 24
"""Differences closer to each other than this are kept as one: naming what lies between would take as much."""
PROBE = 32
"""Bytes that are looked for elsewhere in the region, such as in the middle of a cover that was moved."""
MAX_PROBES = 256
SEARCH_RADIUS = 1 << 18

OP = struct.Struct("<QQI")
"""Take from here so many bytes, then as many from the patch itself."""

ByteSpan = tuple[int, int]
"""First byte and the one behind the last."""


class PatchError(Exception):
    """The patch is damaged, or meant for another file."""


def make(earlier: BinaryIO, later: BinaryIO) -> bytes:
    """The patch that makes `earlier` from `later`; small where audio is the same and only tags differ."""
    size, moved = _size(earlier), _size(later) - _size(earlier)
    border = _find_boundary(earlier, later, size, moved)
    ops = bytearray()
    at = 0
    for start, end in [*_differences(earlier, later, size, moved, border), (size, size)]:
        if at < border < start:
            ops += _op(at, border - at)
            at = border
        ops += _op(at + (moved if at >= border else 0), start - at)
        ops += _encode_gap(_read(earlier, start, end - start), later, start, moved)
        at = end
    return zlib.compress(bytes(ops), 9)


def apply(patch: bytes, later: BinaryIO, write: Callable[[bytes], object], size: int) -> None:
    """Hands the earlier file, which has `size` bytes, to `write`, piece by piece.

    Raises:
        BadPatch: it does not lead to a file of that size.
        OSError: reading or writing fails.
    """
    written = 0
    for offset, length, literal in _ops(patch):
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


def _ops(patch: bytes) -> Iterator[tuple[int, int, bytes]]:
    """What to take, and what to put behind it; never all of it in memory, which a hostile patch would fill."""
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
    """A compressed patch, read piece by piece."""

    def __init__(self, patch: bytes) -> None:
        self._packed, self._zlib, self._block = patch, zlib.decompressobj(), io.BytesIO()

    def read(self, n: int) -> bytes:
        """Up to `n` bytes, fewer only at the end; raises zlib.error where it is damaged."""
        got = self._block.read(n)
        while len(got) < n and (block := self._zlib.decompress(self._packed, BLOCK)):
            self._packed, self._block = self._zlib.unconsumed_tail, io.BytesIO(block)
            got += self._block.read(n - len(got))
        if len(got) < n and not self._zlib.eof:
            raise zlib.error("it was cut off")
        return got


def _op(offset: int, length: int, literal: bytes = b"") -> bytes:
    return OP.pack(offset, length, len(literal)) + literal if length or literal else b""


def _size(f: BinaryIO) -> int:
    return f.seek(0, 2)


def _read(f: BinaryIO, offset: int, n: int) -> bytes:
    f.seek(offset)
    return f.read(n)


def _matches(block: NDArray[np.uint8], later: BinaryIO, at: int) -> NDArray[np.bool_]:
    """Which bytes of the block, shape (bytes,), stand in the later file from `at` on; `at` may lie outside of it."""
    outside = max(0, -at)
    there = np.frombuffer(_read(later, at + outside, max(0, len(block) - outside)), np.uint8)
    agrees = np.zeros(len(block), np.bool_)
    agrees[outside : outside + len(there)] = block[outside : outside + len(there)] == there
    return agrees


def _blocks(f: BinaryIO, size: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    for at in range(0, size, BLOCK):
        yield at, np.frombuffer(_read(f, at, BLOCK), np.uint8)


def _find_boundary(earlier: BinaryIO, later: BinaryIO, size: int, moved: int) -> int:
    """Up to where bytes stand where they stood: the choice that leaves the fewest differences."""
    stayed, shifted = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
    for at, block in _blocks(earlier, size if moved else 0):
        cells = np.arange(0, len(block), CELL)
        stayed.append(np.add.reduceat(~_matches(block, later, at), cells, dtype=np.int64))
        shifted.append(np.add.reduceat(~_matches(block, later, at + moved), cells, dtype=np.int64))
    before, behind = np.cumsum(np.concatenate(stayed)), np.cumsum(np.concatenate(shifted))
    return min(size, int((before + behind[-1] - behind).argmin()) * CELL) if moved else size


def _differences(earlier: BinaryIO, later: BinaryIO, size: int, moved: int, border: int) -> list[ByteSpan]:
    """Runs of the earlier file that do not stand where they should in the later one; near ones joined."""
    runs: list[ByteSpan] = []
    for at, block in _blocks(earlier, size):
        agrees = _matches(block, later, at) if at < border else _matches(block, later, at + moved)
        if at < border < at + len(block):
            agrees[border - at :] = _matches(block[border - at :], later, border + moved)
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
    """Ops for what stands nowhere where it should: frames that changed places are found, the rest is kept."""
    if len(gap) < 2 * PROBE:
        return _op(0, 0, gap)
    base = max(0, at - SEARCH_RADIUS)
    near = _read(later, base, at - base + len(gap) + max(0, moved) + SEARCH_RADIUS)
    mine, theirs = np.frombuffer(gap, np.uint8), np.frombuffer(near, np.uint8)
    ops, done, probe = bytearray(), 0, 0
    step = max(PROBE, len(gap) // MAX_PROBES)
    while probe + PROBE <= len(gap):
        needle = gap[probe : probe + PROBE]
        found = near.find(needle) if len(set(needle)) > 1 else -1  # filling bytes are everywhere
        if found < 0:
            probe += step
            continue
        back = _common_prefix(mine[done:probe][::-1], theirs[:found][::-1])
        length = back + _common_prefix(mine[probe:], theirs[found:])
        ops += _op(0, 0, gap[done : probe - back]) + _op(base + found - back, length)
        done = probe = probe - back + length
    return bytes(ops) + _op(0, 0, gap[done:])


def _common_prefix(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    """How many bytes two strings, each of shape (bytes,), have in common at their beginning."""
    n, at, step = min(len(a), len(b)), 0, CELL
    while at < n:
        end = min(n, at + step)
        differing = np.flatnonzero(a[at:end] != b[at:end])
        if len(differing):
            return at + int(differing[0])
        at, step = end, 2 * step
    return n
