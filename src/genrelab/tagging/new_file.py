"""Writes a plan or a playlist under a temporary name until it is complete.

The name is hidden, is not the name of an audio file, and is not matched by `replace_file.LeftoverRemover`. If the
program is killed, the temporary file is removed when the same file is written again.
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
    """A file that gets its name at the end of the block, replacing an earlier one; if that fails, it is removed.

    Raises:
        OSError: it cannot be written; an earlier one is still there.
    """
    prefix = f".{hashlib.sha256(os.fsencode(file.name)).hexdigest()[:8]}-"  # short even for a long name
    _remove_leftovers(file.parent, prefix)
    temporary = file.with_name(f"{prefix}{uuid.uuid4().hex[:8]}{PART_SUFFIX}")
    try:
        with temporary.open("xb") as out:
            with suppress(OSError):  # no locks on this file system: leftovers stay
                lock_descriptor(out.fileno())
            yield out
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove temporary files of killed runs; a running one has locked its own. Others are harmless and stay."""
    for path in folder.glob(f"{prefix}*{PART_SUFFIX}"):
        with suppress(OSError):
            with path.open("rb+") as left:
                lock_descriptor(left.fileno())
            path.unlink()
