"""The database of a cache: it only saves time, so that a failure is reported once and never raised."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from genrelab.core.errors import printable
from genrelab.core.progress import Notify
from genrelab.core.sqlite import is_damage, move_aside, open_database

T = TypeVar("T")


def cache_folder() -> Path:
    """$GENRELAB_CACHE, else `genrelab` in the folder that this platform has for caches.

    Raises:
        RuntimeError: the user's home folder is unknown.
    """
    if configured := os.environ.get("GENRELAB_CACHE"):
        return Path(configured)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "genrelab"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "genrelab" / "Cache"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))  # the XDG specification: ignore a relative one
    return (base if base.is_absolute() else Path.home() / ".cache") / "genrelab"


class CacheDatabase:
    """A database in the cache folder of this user, for one thread; a context manager.

    One that is damaged, or of another schema version, is moved aside, and a new one created. If it cannot be opened, or
    fails later, `notify` is called once, and nothing is cached from then on.

    Args:
        name: of the file.
        schema, version: see `open_database`.
    """

    def __init__(self, name: str, schema: str, version: int, notify: Notify) -> None:
        self._notify = notify
        self._database: sqlite3.Connection | None = None
        try:
            self._file = cache_folder() / name
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = open_database(self._file, schema, version, notify)
        except (OSError, RuntimeError, sqlite3.Error) as e:
            notify(
                f"the cache cannot be used ({printable(str(e))}): all files are processed again; set GENRELAB_CACHE "
                "to a writable folder"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def query(self, query: Callable[[sqlite3.Connection], T]) -> T | None:
        """The result of a query; None if the database is closed or fails."""
        if self._database is None:
            return None
        try:
            return query(self._database)
        except sqlite3.Error as e:
            self._database.close()
            self._database = None
            moved = f" (moved to {move_aside(self._file).name})" if is_damage(e) else ""
            where = f"{printable(str(self._file))}: {printable(str(e))}{moved}"
            self._notify(f"{where}: further results are not cached; run again later, or delete this file")
            return None
