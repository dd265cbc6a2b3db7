"""What the music networks make of a user's files, stored by the hash of their audio: learning again takes seconds.

    <cache>/embeddings.sqlite
    ├── files       path and stamp of a file (`core/file_stamp.py`) → SHA-256 of its audio without its tags
    └── embeddings  audio, and what was computed of it → the mean over windows, float32; fingerprints of clips

It only saves time: where it cannot be used, `notify` is called once, and everything is computed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab import __version__
from genrelab.audio.clips import clips_from_audio
from genrelab.audio.content_hash import sha256_of_audio
from genrelab.audio.reader import Audio
from genrelab.core.config import EMBEDDING_CLIPS, ClipSettings, EmbeddingView, view_to_json
from genrelab.core.errors import DecodeError, SettingsError
from genrelab.core.file_stamp import Stamp, stamp_of
from genrelab.core.processes import DECODER_CRASHED
from genrelab.core.progress import Notify, Progress, ignore
from genrelab.core.sqlite import is_damage, move_aside, open_database
from genrelab.core.worker_pool import map_in_processes
from genrelab.features.fingerprint import landmarks, pack, unpack
from genrelab.features.views import compute_many
from genrelab.predict.cache import cache_folder

VIEW = EmbeddingView()
CLIPS = dataclasses.replace(EMBEDDING_CLIPS, max_clips=5)
"""Five windows of 3 s spread over a track: ten are learned from no better, and take twice as long."""

PRINT_CLIPS = ClipSettings()
"""What is fingerprinted: the clips that `prepare` fingerprints, so that both find the same pairs."""

FILE = "embeddings.sqlite"
SCHEMA_VERSION = 3
SCHEMA = """
CREATE TABLE files (path BLOB PRIMARY KEY, stamp BLOB NOT NULL, payload BLOB NOT NULL);
CREATE TABLE embeddings (payload BLOB NOT NULL, what TEXT NOT NULL, x BLOB NOT NULL, prints BLOB NOT NULL,
    PRIMARY KEY (payload, what))
"""
ROWS_AT_ONCE = 20
"""Embeddings that are written to disk together: as many as a kill may cost."""

WHAT = json.dumps([__version__, view_to_json(VIEW), *map(dataclasses.asdict, (CLIPS, PRINT_CLIPS))])
"""What is stored of an audio: what another genrelab, another view, or other windows or clips gave is computed anew."""

Prints = tuple[tuple[float, bytes], ...]
"""Fingerprints of a file's clips: where each starts, in seconds, and its packed landmarks."""

_PRINT_HEADER = struct.Struct("<dI")  # start in seconds, bytes of landmarks that follow


@dataclass(frozen=True)
class Embedded:
    """What was found out about a file.

    Attributes:
        x: mean of its windows, shape (outputs,); None where there is an `error`.
        payload: SHA-256 of its audio, 32 bytes; None where it could not be read.
        error: why it cannot be used.
        cached: were `x` and `prints` known from before?
        prints: fingerprints of its clips, up to one that cannot be read.
    """

    x: NDArray[np.float32] | None
    payload: bytes | None
    error: str | None = None
    cached: bool = False
    prints: Prints = ()


def embed_files(paths: Sequence[Path], *, jobs: int, notify: Notify, progress: Progress) -> list[Embedded]:
    """Embeddings of files, in their order: known ones from the cache, the others by workers.

    A file that is not known by path and stamp is hashed by a worker, and computed unless its audio is known.

    Args:
        jobs: number of worker processes.
        progress: called with (done, total).
    """
    cache = EmbeddingCache.open(notify)
    try:
        found: list[Embedded | None] = [cache.lookup(path) for path in paths]
        missing = [i for i, known in enumerate(found) if known is None]
        done = len(paths) - len(missing)
        progress(done, len(paths))
        for k, result in map_in_processes(embed_file, [paths[i] for i in missing], jobs=jobs):
            stamp, embedded = result or (None, Embedded(None, None, DECODER_CRASHED))
            found[missing[k]] = embedded
            cache.store(paths[missing[k]], stamp, embedded)
            done += 1
            progress(done, len(paths))
    finally:
        cache.close()
    return [one for one in found if one is not None]


def embed_file(path: Path) -> tuple[Stamp | None, Embedded]:
    """The stamp of a file before it was read, None if it changed since, and what is known of it. Runs in a worker."""
    stamp, payload = stamp_of(path), None
    try:
        payload = bytes.fromhex(sha256_of_audio(path))
        if (known := _known(payload)) is not None:
            return stamp if stamp == stamp_of(path) else None, known
        x, prints = _embed_and_fingerprint(path)
    except DecodeError as e:
        return stamp, Embedded(None, payload, e.reason)
    except SettingsError as e:
        return stamp, Embedded(None, payload, str(e))
    except MemoryError:
        return stamp, Embedded(None, payload, "there is not enough memory for it")
    except OSError as e:
        return stamp, Embedded(None, payload, e.strerror or str(e))
    unchanged = stamp is not None and stamp == stamp_of(path)
    return stamp if unchanged else None, Embedded(x, payload, prints=prints)


def _embed_and_fingerprint(path: Path) -> tuple[NDArray[np.float32], Prints]:
    """The mean over the windows, and the fingerprints of the clips.

    Windows are not cut out of clips: channels are mixed for each stretch that is read, so that samples may differ. A
    file that cannot be read between its windows is learned from all the same, as `predict` hears no more of it.
    """
    prints: list[tuple[float, bytes]] = []
    with closing(Audio(path)) as audio:
        rows = [w.x for _, windows in compute_many(VIEW, clips_from_audio(audio, CLIPS)) for w in windows]
        with suppress(DecodeError, FloatingPointError), np.errstate(over="raise"):  # so loud that powers overflow
            for clip in clips_from_audio(audio, PRINT_CLIPS):
                prints.append((clip.start_s, pack(landmarks(clip.y, clip.sr))))
    return np.mean(rows, axis=0, dtype=np.float32), tuple(prints)


def _known(payload: bytes) -> Embedded | None:
    """What the cache has for an audio; the parent process has already reported problems of it."""
    cache = EmbeddingCache.open(ignore)
    try:
        return cache.lookup_content(payload)
    finally:
        cache.close()


def _split_prints(content: bytes) -> Iterator[tuple[float, bytes]]:
    """What was joined in `EmbeddingCache.store`; an error where it was not."""
    at = 0
    while at < len(content):
        start_s, n = _PRINT_HEADER.unpack_from(content, at)
        at += _PRINT_HEADER.size + n
        marks = content[at - n : at]
        unpack(marks)
        if len(marks) != n:
            raise ValueError("fingerprints are cut short")
        yield start_s, marks


class EmbeddingCache:
    """The open cache; it never raises, and stores nothing once the database has failed."""

    def __init__(self, file: Path, database: sqlite3.Connection | None, notify: Notify) -> None:
        self._file, self._database, self._notify = file, database, notify
        self._pending: list[tuple[str, tuple[object, ...]]] = []  # statements and their values

    @classmethod
    def open(cls, notify: Notify) -> EmbeddingCache:
        """The cache of this user."""
        try:
            file = cache_folder() / FILE
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls(file, open_database(file, SCHEMA, SCHEMA_VERSION, notify), notify)
        except (OSError, RuntimeError, sqlite3.Error) as e:
            notify(f"Embeddings cannot be cached ({e}): all are computed; GENRELAB_CACHE names another folder")
            return cls(Path(FILE), None, notify)

    def lookup(self, path: Path) -> Embedded | None:
        """The embedding of a file with the same path and stamp as a known one."""
        stamp = stamp_of(path)
        if stamp is None:
            return None
        key = (os.fsencode(path.absolute()), stamp.digest)
        seen = self._query("SELECT payload FROM files WHERE path = ? AND stamp = ?", key)
        return self.lookup_content(seen[0][0]) if seen else None

    def lookup_content(self, payload: bytes) -> Embedded | None:
        """The embedding of an audio, by its SHA-256."""
        rows = self._query("SELECT x, prints FROM embeddings WHERE payload = ? AND what = ?", (payload, WHAT))
        try:
            x, prints = np.frombuffer(rows[0][0], "<f4"), tuple(_split_prints(rows[0][1]))
        except (IndexError, TypeError, ValueError, struct.error):  # no row, or none that was stored here
            return None
        return Embedded(x, payload, cached=True, prints=prints) if x.shape == VIEW.shape else None

    def store(self, path: Path, stamp: Stamp | None, embedded: Embedded) -> None:
        """Store an embedding without an error, unless the file changed while it was read: then `stamp` is None.

        Where the stamp is not settled the path is not stored: the file is found by its audio.
        """
        if embedded.x is None or embedded.payload is None or stamp is None:
            return
        if not embedded.cached:
            prints = b"".join(_PRINT_HEADER.pack(start_s, len(marks)) + marks for start_s, marks in embedded.prints)
            row = (embedded.payload, WHAT, embedded.x.astype("<f4").tobytes(), prints)
            self._pending.append(("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?, ?)", row))
        if stamp.settled:
            file_row = (os.fsencode(path.absolute()), stamp.digest, embedded.payload)
            self._pending.append(("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", file_row))
        if len(self._pending) >= 2 * ROWS_AT_ONCE:
            self._flush()

    def close(self) -> None:
        """Write what is pending, and close the database."""
        self._flush()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _flush(self) -> None:
        """Write what is pending, in one short transaction: another process may be waiting to write."""
        pending, self._pending = self._pending, []
        if pending:
            for statement, values in (("BEGIN IMMEDIATE", ()), *pending, ("COMMIT", ())):
                self._query(statement, values)

    def _query(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        if self._database is None:
            return []
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as e:
            self._database.close()
            self._database = None
            aside = f", and was moved to {move_aside(self._file).name}" if is_damage(e) else ""
            self._notify(f"The cache of embeddings failed ({e}){aside}: the rest is computed, and not stored")
            return []
