"""The prediction cache, keyed by audio content, so that a second run classifies only what changed.

    <cache>/answers.sqlite
    ├── models   the bundle's fingerprint, the version of genrelab, and which clips are used
    ├── files    path and stamp of a file (`core/file_stamp.py`) → SHA-256 of its audio without its tags
    ├── answers  model and audio → probabilities, duration, music score, tags and notes
    └── faults   model, path and stamp of a file → why it cannot be classified

A file with another stamp (renamed, moved, retagged, restored from a backup) is hashed, and found by its audio. An error
is that of its own file only: another name, or another rest of the file, may be what a decoder was missing. A rollback
journal, not a write-ahead log: home folders may lie on network file systems. A failure of the cache is reported in one
sentence and costs time, never a prediction.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from genrelab import __version__
from genrelab.audio.content_hash import sha256_of_audio
from genrelab.core.config import ClipSettings
from genrelab.core.errors import printable
from genrelab.core.file_stamp import Stamp, stamp_of
from genrelab.core.progress import Notify
from genrelab.core.sqlite import is_damage, move_aside, open_database
from genrelab.predict.cache_rows import AnswerRow, prediction_from_row, row_from_prediction
from genrelab.predict.prediction import Prediction

if TYPE_CHECKING:
    from genrelab.predict.file import BundleInUse

T = TypeVar("T")

FILE = "answers.sqlite"
SCHEMA_VERSION = 4
SCHEMA = """
CREATE TABLE models (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
CREATE TABLE files (path BLOB PRIMARY KEY, stamp BLOB NOT NULL, payload BLOB NOT NULL);
CREATE TABLE answers (
    model INTEGER NOT NULL, payload BLOB NOT NULL, probabilities BLOB NOT NULL, duration_s REAL NOT NULL, tags BLOB,
    notes TEXT NOT NULL, PRIMARY KEY (model, payload)
);
CREATE TABLE faults (
    model INTEGER NOT NULL, path BLOB NOT NULL, stamp BLOB NOT NULL, duration_s REAL, error TEXT NOT NULL,
    PRIMARY KEY (model, path)
);
"""
SELECT_ERROR = "SELECT duration_s, error FROM models JOIN faults ON model = id WHERE key = ? AND path = ? AND stamp = ?"
BY_FILE = """
SELECT probabilities, duration_s, tags, notes FROM files JOIN models ON key = ?
JOIN answers ON model = id AND answers.payload = files.payload WHERE path = ? AND stamp = ?
"""
BY_PAYLOAD = BY_FILE.partition("FROM")[0] + "FROM models JOIN answers ON model = id WHERE key = ? AND payload = ?"
THE_MODEL = "(SELECT id FROM models WHERE key = ?)"

MAX_ROWS = 2_000_000
"""Per table; beyond that the oldest rows are deleted. A million files take about 400 MB."""

FLUSH_INTERVAL_S = 1.0
"""New rows are written to disk at this interval: as much as a kill may cost."""


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


def open_cache(
    notify: Notify = lambda sentence: print(sentence, file=sys.stderr), *, fresh: bool = False
) -> PredictionCache:
    """The cache of this user; where it cannot be opened, one that stores nothing, and `notify` is called with why.

    One that is damaged, or of another schema version, is moved aside, and a new one created.

    Args:
        fresh: see `PredictionCache`.
    """
    try:
        file = cache_folder() / FILE
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return PredictionCache(file, open_database(file, SCHEMA, SCHEMA_VERSION, notify), notify, fresh)
    except (OSError, RuntimeError, sqlite3.Error) as e:
        notify(
            f"What was heard before cannot be looked up ({e}): all files are heard; GENRELAB_CACHE names another folder"
        )
        return PredictionCache(Path(FILE), None, notify)


class PredictionCache:
    """An open cache, for one thread. Leaving its `with` block writes pending rows.

    It never raises: if the database fails, `notify` is called once, and nothing is cached from then on.

    Attributes:
        fresh: look nothing up; new predictions replace the stored ones.
    """

    def __init__(self, file: Path, database: sqlite3.Connection | None, notify: Notify, fresh: bool = False) -> None:
        self._file, self._database, self._notify, self.fresh = file, database, notify, fresh
        self._new_files: dict[bytes, tuple[bytes, bytes]] = {}
        self._new_answers: dict[tuple[str, bytes], AnswerRow] = {}
        self._new_errors: dict[tuple[str, bytes], tuple[bytes, float | None, str] | None] = {}
        self._written = time.monotonic()

    def __enter__(self) -> PredictionCache:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None) -> None:
        self.flush()
        self._query(_delete_oldest_rows)
        if self._database is not None:
            self._database.close()
            self._database = None

    def lookup(self, bundle: BundleInUse, path: str | Path) -> Prediction | None:
        """This model's prediction for a file with the same path and stamp; without its timeline."""
        stamp = stamp_of(path)
        if stamp is None or self.fresh:
            return None
        file_key = (_key(bundle), _path_bytes(path), stamp.digest)
        errors = self._query(lambda d: d.execute(SELECT_ERROR, file_key).fetchall())
        if errors:
            return Prediction(str(path), None, None, {}, errors[0][0], bundle.name, errors[0][1])
        rows = self._query(lambda d: d.execute(BY_FILE, file_key).fetchall())
        return prediction_from_row(bundle, path, rows[0]) if rows else None

    def lookup_content(self, bundle: BundleInUse, path: str | Path, payload: bytes) -> Prediction | None:
        """This model's prediction for the same audio, under any path.

        Args:
            payload: SHA-256 of the audio of `path`, 32 bytes.
        """
        if self.fresh:
            return None
        content_key = (_key(bundle), payload)
        new = self._new_answers.get(content_key)
        rows = [new] if new is not None else self._query(lambda d: d.execute(BY_PAYLOAD, content_key).fetchall())
        return prediction_from_row(bundle, path, rows[0]) if rows else None

    def store(self, bundle: BundleInUse, prediction: Prediction, stamp: Stamp, payload: bytes | None) -> None:
        """Store a prediction that is `lasting`.

        Args:
            stamp: of the file, taken before it was read. Unless it is settled, neither path nor error is stored.
            payload: SHA-256 of its audio, 32 bytes; without it only an error is stored.
        """
        if not prediction.lasting:
            return
        key, path = _key(bundle), _path_bytes(prediction.path)
        if prediction.error is not None and stamp.settled:
            self._new_errors[key, path] = (stamp.digest, prediction.duration_s, prediction.error)
        elif prediction.error is None and payload is not None:
            self._new_answers[key, payload] = row_from_prediction(prediction)
            self._new_errors[key, path] = None
            if stamp.settled:
                self._new_files[path] = (stamp.digest, payload)
        self.flush_if_due()

    def rekey(self, path: str | Path) -> None:
        """To be called after a file's tags were rewritten: its audio is the same, so its prediction stays valid.

        Raises:
            OSError: the file cannot be read.
        """
        stamp = stamp_of(path)
        if stamp is None or not stamp.settled:
            return
        payload = bytes.fromhex(sha256_of_audio(path))
        if stamp_of(path) == stamp:  # not replaced meanwhile
            self._new_files[_path_bytes(path)] = (stamp.digest, payload)
            self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write pending rows if the last write was `FLUSH_INTERVAL_S` ago."""
        if time.monotonic() - self._written >= FLUSH_INTERVAL_S:
            self.flush()

    def flush(self) -> None:
        """Write pending rows."""
        files, answers, errors = self._new_files, self._new_answers, self._new_errors
        if files or answers or errors:
            self._query(lambda database: _write(database, files, answers, errors))
        self._new_files, self._new_answers, self._new_errors, self._written = {}, {}, {}, time.monotonic()

    def _query(self, query: Callable[[sqlite3.Connection], T]) -> T | None:
        if self._database is None:
            return None
        try:
            return query(self._database)
        except sqlite3.Error as e:
            self._database.close()
            self._database = None
            where = f"{printable(str(self._file))}: {e}"
            if is_damage(e):
                where += f"; it was moved to {move_aside(self._file).name}"
            self._notify(f"{where}. What is heard from now on is not remembered")
            return None


def _key(bundle: BundleInUse) -> str:
    return _key_of(bundle.fingerprint, __version__, bundle.clips, bundle.second_pass, bundle.stops_early)


@lru_cache(maxsize=8)
def _key_of(fingerprint: str, version: str, clips: ClipSettings, second_pass: bool, stops_early: bool) -> str:
    clip_key = dataclasses.asdict(clips) | {"looks_again": second_pass, "stops_early": stops_early}
    return f"{fingerprint} {version} {json.dumps(clip_key)}"


def _path_bytes(path: str | Path) -> bytes:
    return os.fsencode(path if os.path.isabs(path) else Path(path).absolute())  # noqa: PTH117 - faster


def _write(
    database: sqlite3.Connection,
    files: Mapping[bytes, tuple[Any, ...]],
    answers: Mapping[tuple[str, bytes], tuple[Any, ...]],
    faults: Mapping[tuple[str, bytes], tuple[Any, ...] | None],
) -> None:
    with database:
        database.execute("BEGIN IMMEDIATE")
        keys = {(key,) for key, _ in (*answers, *faults)}
        database.executemany("INSERT OR IGNORE INTO models (key) VALUES (?)", keys)
        rows = [(*what, *row) for what, row in answers.items()]
        database.executemany(f"INSERT OR REPLACE INTO answers VALUES ({THE_MODEL}, ?, ?, ?, ?, ?)", rows)
        database.executemany(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?)", [(path, *row) for path, row in files.items()]
        )
        mended = [where for where, row in faults.items() if row is None]
        database.executemany(f"DELETE FROM faults WHERE model = {THE_MODEL} AND path = ?", mended)
        rows = [(*where, *row) for where, row in faults.items() if row is not None]
        database.executemany(f"INSERT OR REPLACE INTO faults VALUES ({THE_MODEL}, ?, ?, ?, ?)", rows)


def _delete_oldest_rows(database: sqlite3.Connection) -> None:
    for table in ("files", "answers", "faults"):
        (newest,) = database.execute(f"SELECT max(rowid) FROM {table}").fetchone()
        if newest and newest > MAX_ROWS:
            database.execute(f"DELETE FROM {table} WHERE rowid <= ?", (newest - MAX_ROWS,))
