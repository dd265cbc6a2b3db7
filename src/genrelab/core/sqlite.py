"""Opens an SQLite file: created if missing, moved aside and recreated if damaged or of another version."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path

from genrelab.core.errors import printable
from genrelab.core.progress import Notify

LOCK_TIMEOUT_S = 10.0
"""How long to wait for another run's lock on the database."""


def open_database(file: Path, schema: str, version: int, notify: Notify) -> sqlite3.Connection:
    """The database in a file.

    Args:
        schema: statements that create its tables, separated by `;`.
        version: of these tables; a file with another one is moved aside.
        notify: called where a file was moved aside.

    Raises:
        sqlite3.Error: it can be neither read nor created.
        OSError: it cannot be moved.
    """
    database = _connect(file)
    problem = "is damaged"
    try:
        found = _ensure_schema(database, schema, version)
        if found == version:
            return database
        problem = f"was written by another version of genrelab (tables {found}, not {version})"
    except sqlite3.DatabaseError as e:
        if not is_damage(e):
            database.close()
            raise
    database.close()
    notify(f"{printable(str(file))} {problem}: it was moved to {move_aside(file).name}; its content is computed again")
    database = _connect(file)
    _ensure_schema(database, schema, version)
    return database


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=LOCK_TIMEOUT_S, isolation_level=None)


def _ensure_schema(database: sqlite3.Connection, schema: str, version: int) -> int:
    """Version of the tables, which are created where the database is empty. Two runs may do this at once."""
    (found,) = database.execute("PRAGMA user_version").fetchone()
    if found == 0:
        with database:  # commits, or rolls back
            database.execute("BEGIN IMMEDIATE")
            if not database.execute("SELECT 1 FROM sqlite_master").fetchall():
                for statement in schema.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {version}")
        (found,) = database.execute("PRAGMA user_version").fetchone()
    return int(found)


def is_damage(e: sqlite3.Error) -> bool:
    """Is the file itself damaged, rather than locked or unreadable?"""
    return getattr(e, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def move_aside(file: Path) -> Path:
    """Rename the file to a free name, with its journal, which SQLite would apply to the next database."""
    names = (f"{file.stem}-aside{number}{file.suffix}" for number in itertools.chain([""], itertools.count(2)))
    aside = next(place for place in map(file.with_name, names) if not place.exists())
    for ending in ("", "-journal"):
        found = file.with_name(file.name + ending)
        if found.exists():
            found.replace(aside.with_name(aside.name + ending))
    return aside
