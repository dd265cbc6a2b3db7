"""Writes a plan or a playlist under a temporary name until it is complete.

The name is hidden, none that a player takes for music, and none that `replace_file.LeftoverRemover` takes for a copy
of a killed `tag`. What a kill leaves behind is removed when the same file is written again.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from genrelab.tagging.journal import lock_descriptor

PART_SUFFIX = ".genrelab-part"


@contextmanager
def new_file(file: Path) -> Iterator[BinaryIO]:
    """A file that gets its own name at the end of the block, and replaces what has it; if that fails, it is removed.

    Raises:
        OSError: it cannot be written; the earlier one is still there.
    """
    prefix = f".{hashlib.sha256(os.fsencode(file.name)).hexdigest()[:8]}-"  # short, however long the name is
    _remove_leftovers(file.parent, prefix)
    temporary = file.with_name(f"{prefix}{uuid.uuid4().hex[:8]}{PART_SUFFIX}")
    try:
        with temporary.open("xb") as out:
            with suppress(OSError):  # a file system without locks, where leftovers stay
                lock_descriptor(out.fileno())
            yield out
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(folder: Path, prefix: str) -> None:
    """A run that is still at work has locked its own; what cannot be locked or removed stays, and does no harm."""
    for path in folder.glob(f"{prefix}*{PART_SUFFIX}"):
        with suppress(OSError):
            with path.open("rb+") as left:
                lock_descriptor(left.fileno())
            path.unlink()
