"""A stamp of a file: while it stays the same, the file is unchanged, and what was computed from it can be used again.

Size and mtime are not enough: files of one length swap names, a backup is restored with its old time, the clock of a
FAT drive advances by two seconds at a time. Where the stamp differs the whole file is read (`audio/content_hash.py`).
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 14
"""Bytes that are read at each position of a file."""

BLOCKS, MORE_BLOCKS = 8, 64
"""Number of these positions, from start to end; the second where the file system may keep no change time. Shorter files
are read completely. Eight take 0.2 ms."""

COARSE_STEP_NS = 3_000_000_000
"""Beyond the largest step of a clock that counts whole seconds: 2 s on FAT."""

FINE_STEP_NS = 10_000_000
"""Beyond the largest step of the clock of other file systems: often 4 ms."""


@dataclass(frozen=True)
class Stamp:
    """The state of a file at one moment.

    Attributes:
        digest: 32 bytes: a hash of size, mtime, ctime, inode and of blocks of the content.
        settled: False if an immediate change could leave all times the same; nothing is stored for its path then.
    """

    digest: bytes
    settled: bool = field(compare=False)


def stamp_of(path: str | Path) -> Stamp | None:
    """The stamp of a file or of a link's target; None if it cannot be read, or is not a regular file.

    An edit is missed only if the file system keeps no change time, size and mtime stay the same, and none of the blocks
    that are read, which are spread over the file, has changed.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - faster; and opening a pipe would block
            return None
        # Opened first: a network file system then gets the times from its server, not from a cache of some seconds.
        with open(path, "rb", buffering=0) as f:  # noqa: PTH123 - as above
            found = os.fstat(f.fileno())
            if abs(time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns)) < FINE_STEP_NS:
                time.sleep(FINE_STEP_NS / 1e9)  # from now on a change gets another time
                found = os.fstat(f.fileno())
            times, now = (found.st_mtime_ns, found.st_ctime_ns), time.time_ns()
            settled = all(t % 10**9 or now - t > COARSE_STEP_NS for t in times)
            digest = hashlib.blake2b(repr((found.st_size, *times, found.st_ino)).encode(), digest_size=32)
            _add_blocks(digest, f, found.st_size, BLOCKS if _keeps_change_time(found) else MORE_BLOCKS)
            return Stamp(digest.digest(), settled)
    except (OSError, ValueError):
        return None


def _keeps_change_time(found: os.stat_result) -> bool:
    """Is ctime the time of the last change?

    Not if it is before mtime (on Windows it is the time of creation), or whole seconds (FAT).
    """
    return bool(found.st_ino) and found.st_ctime_ns >= found.st_mtime_ns and found.st_ctime_ns % 10**9 != 0


def _add_blocks(digest: hashlib.blake2b, f: BinaryIO, size: int, n: int) -> None:
    if size <= n * BLOCK:
        digest.update(f.read(size))
        return
    for i in range(n):
        f.seek(i * (size - BLOCK) // (n - 1))
        digest.update(f.read(BLOCK))
