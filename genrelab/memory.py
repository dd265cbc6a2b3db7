"""6 What was heard before: answers by the audio that they are about, so that a second run hears only what changed.

    <cache>/answers.sqlite
    ├── models   who answers: a bundle's fingerprint, the version of genrelab, which stretches are listened to
    ├── files    path, size and mtime of a file → SHA-256 of its audio without its tags
    └── answers  model and audio → what was said

A file that was renamed, moved or tagged anew is known by its audio. A rollback journal, not a write-ahead log: home
folders may lie on network file systems. What goes wrong here is said in one sentence and costs time, never an answer.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import stat
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from genrelab import __version__
from genrelab.bundle import Bundle
from genrelab.config import ClipSettings
from genrelab.errors import printable
from genrelab.payload import payload_sha256
from genrelab.predict import Prediction

T = TypeVar("T")

FILE = "answers.sqlite"
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE models (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE TABLE answers (
    model INTEGER NOT NULL, payload BLOB NOT NULL, genre TEXT, confidence REAL, probabilities BLOB NOT NULL,
    duration_s REAL, error TEXT, PRIMARY KEY (model, payload)
);
"""
COLUMNS = "genre, confidence, probabilities, duration_s, error"
BY_FILE = f"""
SELECT {COLUMNS} FROM files JOIN models ON key = ? JOIN answers ON model = id AND answers.payload = files.payload
WHERE path = ? AND size = ? AND mtime_ns = ?
"""
BY_PAYLOAD = f"SELECT {COLUMNS} FROM models JOIN answers ON model = id WHERE key = ? AND payload = ? AND error IS NULL"

MOST_ROWS = 2_000_000
"""Of each table; beyond that the oldest are forgotten. A million files take about 400 MB."""

SOON_S = 1.0
"""What was remembered is on the disk after this time: as much as a kill may cost."""

PATIENCE_S = 10.0
"""How long another run may keep the database to itself."""

Stamp = tuple[int, int]
"""Size and mtime in nanoseconds."""


def stamp_of(path: str | Path) -> Stamp | None:
    """Size and mtime of a file; None where there is none, or something that is no regular file."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a library has many files, and a Path takes as long as the database
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def cache_folder() -> Path:
    """$GENRELAB_CACHE, else `genrelab` in the folder that this platform has for caches.

    Raises:
        RuntimeError: nobody's home folder is known.
    """
    if named := os.environ.get("GENRELAB_CACHE"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "genrelab"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "genrelab" / "Cache"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))  # a relative one is to be ignored, says the XDG specification
    return (base if base.is_absolute() else Path.home() / ".cache") / "genrelab"


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def open_memory(say: Callable[[str], None] = _say) -> Memory:
    """The memory of this user; an empty one where it cannot be opened, and `say` is told why.

    One that is damaged, or of another version of genrelab, is moved aside, and a new one begun.
    """
    try:
        file = cache_folder() / FILE
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Memory(file, _opened(file, say), say)
    except (OSError, RuntimeError, sqlite3.Error) as e:
        say(
            f"What was heard before cannot be looked up ({e}): all files are heard; GENRELAB_CACHE names another folder"
        )
        return Memory(Path(FILE), None, say)


class Memory:
    """An open memory, for one thread. Leaving its `with` block writes what is still to be written.

    It is never in the way: where the database fails, `say` is told once, and nothing is remembered from then on.
    """

    def __init__(self, file: Path, database: sqlite3.Connection | None, say: Callable[[str], None]) -> None:
        self._file, self._database, self._say = file, database, say
        self._new_files: dict[bytes, tuple[int, int, bytes]] = {}
        self._new_answers: dict[tuple[str, bytes], tuple[Any, ...]] = {}
        self._written = time.monotonic()

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None) -> None:
        self.flush()
        self._ask(_forget_the_oldest)
        if self._database is not None:
            self._database.close()
            self._database = None

    def lookup(self, bundle: Bundle, path: str | Path) -> Prediction | None:
        """What this model said of a file that has the same path, size and mtime; without its timeline."""
        stamp = stamp_of(path)
        if stamp is None:
            return None
        row = self._ask(lambda d: d.execute(BY_FILE, (_key(bundle), _name(path), *stamp)).fetchall())
        return _prediction(bundle, path, row[0]) if row else None

    def lookup_payload(self, bundle: Bundle, path: str | Path, payload: bytes) -> Prediction | None:
        """What this model said of the same audio, wherever that stood. Faults count for their own file only: another
        name, or other tags, may be what a decoder was missing.

        Args:
            payload: SHA-256 of the audio of `path`, 32 bytes.
        """
        key = _key(bundle)
        new = self._new_answers.get((key, payload))
        if new is not None and new[-1] is None:
            return _prediction(bundle, path, new)
        row = self._ask(lambda d: d.execute(BY_PAYLOAD, (key, payload)).fetchall())
        return _prediction(bundle, path, row[0]) if row else None

    def remember(self, bundle: Bundle, prediction: Prediction, stamp: Stamp, payload: bytes) -> None:
        """Keep an answer that lasts.

        Args:
            stamp: of the file, from before it was read.
            payload: SHA-256 of its audio, 32 bytes.
        """
        if not prediction.lasting:
            return
        p = np.array(list(prediction.probabilities.values()), "<f8").tobytes()
        answer = (prediction.genre, prediction.confidence, p, prediction.duration_s, prediction.error)
        self._new_answers[_key(bundle), payload] = answer
        self._new_files[_name(prediction.path)] = (*stamp, payload)
        self.flush_soon()

    def rekey(self, path: str | Path) -> None:
        """To be called after a file's tags were rewritten: as its audio is the same, what was said of it stays.

        Raises:
            OSError: the file cannot be read.
        """
        stamp = stamp_of(path)
        if stamp is not None:
            self._new_files[_name(path)] = (*stamp, bytes.fromhex(payload_sha256(path)))
            self.flush_soon()

    def flush_soon(self) -> None:
        """Write what is to be written if the last time was a while ago."""
        if time.monotonic() - self._written >= SOON_S:
            self.flush()

    def flush(self) -> None:
        """Write what is to be written."""
        files = [(path, *row) for path, row in self._new_files.items()]
        answers = [(payload, *row, key) for (key, payload), row in self._new_answers.items()]
        if files or answers:
            self._ask(lambda database: _write(database, files, answers))
        self._new_files, self._new_answers, self._written = {}, {}, time.monotonic()

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T | None:
        if self._database is None:
            return None
        try:
            return question(self._database)
        except sqlite3.Error as e:
            self._database.close()
            self._database = None
            where = f"{printable(str(self._file))}: {e}"
            if _is_damage(e):
                where += f"; it was moved to {_move_aside(self._file).name}"
            self._say(f"{where}. What is heard from now on is not remembered")
            return None


def _key(bundle: Bundle) -> str:
    return _key_of(bundle.fingerprint, __version__, bundle.clips)


@lru_cache(maxsize=8)
def _key_of(fingerprint: str, version: str, clips: ClipSettings) -> str:
    return f"{fingerprint} {version} {json.dumps(dataclasses.asdict(clips))}"


def _name(path: str | Path) -> bytes:
    return os.fsencode(path if os.path.isabs(path) else Path(path).absolute())  # noqa: PTH117 - as above


def _prediction(bundle: Bundle, path: str | Path, row: tuple[Any, ...]) -> Prediction:
    genre, confidence, p, duration_s, error = row
    probabilities = dict(zip(bundle.genres, np.frombuffer(p, "<f8").tolist(), strict=False))  # none with an error
    return Prediction(str(path), genre, confidence, probabilities, duration_s, bundle.name, error)


def _opened(file: Path, say: Callable[[str], None]) -> sqlite3.Connection:
    database = _connected(file)
    why = "is damaged"
    try:
        version = _begun(database)
        if version == SCHEMA_VERSION:
            return database
        why = f"was written by another genrelab (version {version} of its tables)"
    except sqlite3.DatabaseError as e:
        if not _is_damage(e):
            database.close()
            raise
    database.close()
    say(f"{printable(str(file))} {why}: it was moved to {_move_aside(file).name}, and all files are heard again")
    database = _connected(file)
    _begun(database)
    return database


def _connected(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=PATIENCE_S, isolation_level=None)


def _begun(database: sqlite3.Connection) -> int:
    """Version of the tables; an empty database gets ours. Two runs may be here at once."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == 0:
        with database:  # commits, or takes back
            database.execute("BEGIN IMMEDIATE")
            if not database.execute("SELECT 1 FROM sqlite_master").fetchall():
                for statement in SCHEMA.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def _write(database: sqlite3.Connection, files: list[tuple[Any, ...]], answers: list[tuple[Any, ...]]) -> None:
    with database:
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT OR IGNORE INTO models (key) VALUES (?)", {(row[-1],) for row in answers})
        database.executemany(
            f"INSERT OR REPLACE INTO answers (payload, {COLUMNS}, model) "
            "VALUES (?, ?, ?, ?, ?, ?, (SELECT id FROM models WHERE key = ?))",
            answers,
        )
        database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", files)


def _forget_the_oldest(database: sqlite3.Connection) -> None:
    for table in ("files", "answers"):
        (newest,) = database.execute(f"SELECT max(rowid) FROM {table}").fetchone()
        if newest and newest > MOST_ROWS:
            database.execute(f"DELETE FROM {table} WHERE rowid <= ?", (newest - MOST_ROWS,))


def _is_damage(e: sqlite3.Error) -> bool:
    return getattr(e, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _move_aside(file: Path) -> Path:
    """Out of the way, not away. With its journal, which would otherwise be taken for that of the next one."""
    aside = file.with_name(f"{file.stem}-aside{file.suffix}")
    for ending in ("", "-journal"):
        found = file.with_name(file.name + ending)
        if found.exists():
            found.replace(aside.with_name(aside.name + ending))
    return aside
