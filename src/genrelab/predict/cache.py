"""The prediction cache, keyed by audio content, so that a second run classifies only what changed.

    <cache>/answers.sqlite
    ├── models   the bundle's fingerprint, the version of genrelab, and which clips are used
    ├── files    path and stamp of a file (`core/file_stamp.py`) → SHA-256 of its audio without its tags
    ├── answers  model and audio → probabilities, duration, music score, tags and notes
    ├── faults   model, path and stamp of a file → why it cannot be classified
    └── descriptions   audio → tempo and key, and the version of genrelab that found them

A file with another stamp (renamed, moved, retagged, restored from a backup) is found by the hash of its audio. An error
is stored for its own file only: under another name or with other tags a decoder may read it. The database has a
rollback journal, no write-ahead log: home folders may be on network file systems. A failure of the cache is reported
once and costs time, never a prediction.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from genrelab import __version__
from genrelab.audio.content_hash import sha256_of_audio
from genrelab.core.file_stamp import Stamp, stamp_of
from genrelab.core.progress import Notify
from genrelab.predict.cache_database import CacheDatabase
from genrelab.predict.cache_rows import AnswerRow, description_from_row, prediction_from_row, row_from_prediction
from genrelab.predict.prediction import Prediction

if TYPE_CHECKING:
    from genrelab.predict.file import BundleInUse

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
DESCRIPTIONS = """
CREATE TABLE IF NOT EXISTS descriptions (payload BLOB PRIMARY KEY, version TEXT NOT NULL, description TEXT NOT NULL)
"""
"""Created with the first description, so that a database of an earlier version is used even if it is read-only."""

SELECT_ERROR = "SELECT duration_s, error FROM models JOIN faults ON model = id WHERE key = ? AND path = ? AND stamp = ?"
BY_FILE = """
SELECT probabilities, duration_s, tags, notes, answers.payload FROM files JOIN models ON key = ?
JOIN answers ON model = id AND answers.payload = files.payload WHERE path = ? AND stamp = ?
"""
BY_PAYLOAD = BY_FILE.partition("FROM")[0] + "FROM models JOIN answers ON model = id WHERE key = ? AND payload = ?"
SELECT_DESCRIPTION = "SELECT description FROM descriptions WHERE payload = ? AND version = ?"
THE_MODEL = "(SELECT id FROM models WHERE key = ?)"

MAX_ROWS = 2_000_000
"""Per table; beyond that the oldest rows are deleted. A million files take about 400 MB."""

FLUSH_INTERVAL_S = 1.0
"""New rows are written to disk at this interval; a kill loses the rows since then."""


def open_cache(
    notify: Notify = lambda sentence: print(sentence, file=sys.stderr), *, fresh: bool = False
) -> PredictionCache:
    """The cache of this user; see `PredictionCache`."""
    return PredictionCache(notify, fresh)


class PredictionCache(CacheDatabase):
    """An open cache (see `CacheDatabase`). Leaving its `with` block writes pending rows.

    Attributes:
        fresh: look nothing up; new predictions replace the stored ones.
    """

    def __init__(self, notify: Notify, fresh: bool) -> None:
        super().__init__(FILE, SCHEMA, SCHEMA_VERSION, notify)
        self.fresh = fresh
        self._new_files: dict[bytes, tuple[bytes, bytes]] = {}
        self._new_answers: dict[tuple[str, bytes], AnswerRow] = {}
        self._new_errors: dict[tuple[str, bytes], tuple[bytes, float | None, str] | None] = {}
        self._new_descriptions: dict[bytes, str] = {}
        self._written = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None) -> None:
        self.flush()
        self.query(_delete_oldest_rows)
        super().__exit__(kind, e, at)

    def lookup(self, bundle: BundleInUse, path: str | Path) -> Prediction | None:
        """This model's prediction for a file with the same path and stamp, without a timeline.

        None also if the bundle describes and only the description is missing.
        """
        stamp = stamp_of(path)
        if stamp is None or self.fresh:
            return None
        file_key = (_key(bundle), _path_bytes(path), stamp.digest)
        errors = self.query(lambda d: d.execute(SELECT_ERROR, file_key).fetchall())
        if errors:
            return Prediction(str(path), None, None, {}, errors[0][0], bundle.name, errors[0][1])
        rows = self.query(lambda d: d.execute(BY_FILE, file_key).fetchall())
        found = self._prediction(bundle, path, rows[0][:-1], rows[0][-1]) if rows else None
        return None if found is None or (bundle.describes and found.description is None) else found

    def lookup_content(self, bundle: BundleInUse, path: str | Path, payload: bytes) -> Prediction | None:
        """This model's prediction for the same audio, under any path; its description may be missing.

        Args:
            payload: SHA-256 of the audio of `path`, 32 bytes.
        """
        if self.fresh:
            return None
        content_key = (_key(bundle), payload)
        new = self._new_answers.get(content_key)
        rows = [new] if new is not None else self.query(lambda d: d.execute(BY_PAYLOAD, content_key).fetchall())
        return self._prediction(bundle, path, rows[0][:4], payload) if rows else None

    def _prediction(
        self, bundle: BundleInUse, path: str | Path, row: tuple[Any, ...], payload: bytes
    ) -> Prediction | None:
        """The prediction in a row, with the stored description of the same audio, if any, if the bundle describes."""
        prediction = prediction_from_row(bundle, path, row)
        if prediction is None or not bundle.describes:
            return prediction
        if (text := self._new_descriptions.get(payload)) is None:
            text = self.query(lambda database: _find_description(database, payload))
        return replace(prediction, description=description_from_row(text))

    def store(self, bundle: BundleInUse, prediction: Prediction, stamp: Stamp, payload: bytes | None) -> None:
        """Store a prediction that is `lasting`; its description only if it has no `problem`.

        Args:
            stamp: of the file, taken before it was read. Path and error are stored only if it is settled.
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
            if prediction.description is not None and prediction.description.problem is None:
                self._new_descriptions[payload] = json.dumps(prediction.description.to_json())
            if stamp.settled:
                self._new_files[path] = (stamp.digest, payload)
        self.flush_if_due()

    def rekey(self, path: str | Path) -> None:
        """Keep the prediction of a file whose tags were rewritten: its audio is the same.

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
        descriptions = self._new_descriptions
        if files or answers or errors:
            self.query(lambda database: _write(database, files, answers, errors, descriptions))
        self._new_files, self._new_answers, self._new_errors, self._new_descriptions = {}, {}, {}, {}
        self._written = time.monotonic()


def _key(bundle: BundleInUse) -> str:
    clip_key = vars(bundle.clips) | {"looks_again": bundle.second_pass, "stops_early": bundle.stops_early}
    return f"{bundle.fingerprint} {__version__} {json.dumps(clip_key)}"


def _path_bytes(path: str | Path) -> bytes:
    return os.fsencode(path if os.path.isabs(path) else Path(path).absolute())  # noqa: PTH117 - faster


def _write(
    database: sqlite3.Connection,
    files: Mapping[bytes, tuple[Any, ...]],
    answers: Mapping[tuple[str, bytes], tuple[Any, ...]],
    errors: Mapping[tuple[str, bytes], tuple[Any, ...] | None],
    descriptions: Mapping[bytes, str],
) -> None:
    with database:
        database.execute("BEGIN IMMEDIATE")
        keys = {(key,) for key, _ in (*answers, *errors)}
        database.executemany("INSERT OR IGNORE INTO models (key) VALUES (?)", keys)
        rows = [(*key_and_payload, *row) for key_and_payload, row in answers.items()]
        database.executemany(f"INSERT OR REPLACE INTO answers VALUES ({THE_MODEL}, ?, ?, ?, ?, ?)", rows)
        database.executemany(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?)", [(path, *row) for path, row in files.items()]
        )
        if descriptions:
            database.execute(DESCRIPTIONS)
            database.executemany(
                "INSERT OR REPLACE INTO descriptions VALUES (?, ?, ?)",
                [(payload, __version__, text) for payload, text in descriptions.items()],
            )
        corrected = [where for where, row in errors.items() if row is None]
        database.executemany(f"DELETE FROM faults WHERE model = {THE_MODEL} AND path = ?", corrected)
        rows = [(*where, *row) for where, row in errors.items() if row is not None]
        database.executemany(f"INSERT OR REPLACE INTO faults VALUES ({THE_MODEL}, ?, ?, ?, ?)", rows)


def _has_descriptions(database: sqlite3.Connection) -> bool:
    return bool(database.execute("SELECT 1 FROM sqlite_master WHERE name = 'descriptions'").fetchall())


def _find_description(database: sqlite3.Connection, payload: bytes) -> Any:
    """The stored text for this audio; None if there is none of this version."""
    row = database.execute(SELECT_DESCRIPTION, (payload, __version__)).fetchone() if _has_descriptions(database) else ()
    return row[0] if row else None


def _delete_oldest_rows(database: sqlite3.Connection) -> None:
    for table in ("files", "answers", "faults", *(("descriptions",) if _has_descriptions(database) else ())):
        (newest,) = database.execute(f"SELECT max(rowid) FROM {table}").fetchone()
        if newest and newest > MAX_ROWS:
            database.execute(f"DELETE FROM {table} WHERE rowid <= ?", (newest - MAX_ROWS,))
