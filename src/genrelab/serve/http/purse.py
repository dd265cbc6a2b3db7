"""What reading from a connection may cost, so that nobody keeps the event loop from all others.

A byte is read in nanoseconds where it comes in large pieces, and in microseconds where each has a chunk or a frame of
its own: then a few connections could take all the time that there is.
"""

from __future__ import annotations

import asyncio

BYTE_CREDIT_S = 5e-7
"""Seconds of the loop that a byte earns. Chunks of 1 KiB take a twentieth of it; chunks of one byte twice it on a fast
machine, six times it on a slow one.
"""
CHEAP_BYTE_S = 3e-7
"""Seconds a byte up to which much is read at a time."""
MAX_CREDIT_S = 0.15
"""Seconds that can be saved; also what a connection begins with."""
SMALL_READ_BYTES, LARGE_READ_BYTES = 1 << 11, 1 << 15
"""Bytes that are read at a time: at first and where they are dear, and where they are cheap.

asyncio's own number is 256 KiB: half a second of work, where every byte is a chunk.
"""


class ReadBudget:
    """What one connection has left.

    Args:
        byte_s: seconds that a byte earns.
    """

    def __init__(self, transport: asyncio.BaseTransport, byte_s: float = BYTE_CREDIT_S) -> None:
        self._transport, self._byte_s = transport, byte_s
        self.fill()

    def fill(self) -> None:
        """Begin again."""
        self._left = MAX_CREDIT_S
        self._read(SMALL_READ_BYTES)

    def spend(self, size: int, seconds: float) -> bool:
        """So many bytes came, and cost so many seconds. False: more than the connection had."""
        self._left = min(MAX_CREDIT_S, self._left + size * self._byte_s - seconds)
        self._read(LARGE_READ_BYTES if seconds < size * CHEAP_BYTE_S else SMALL_READ_BYTES)
        return self._left >= 0

    def _read(self, size: int) -> None:
        self._transport.max_size = size  # type: ignore[attr-defined]  # only of asyncio's selector loop
