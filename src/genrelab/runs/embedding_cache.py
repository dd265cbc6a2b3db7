"""The cache of embeddings of a user's files, by the hash of their audio: a second `learn` takes seconds.

    <cache>/embeddings.sqlite
    ├── files       path and stamp of a file (`core/file_stamp.py`) → SHA-256 of its audio without its tags
    └── embeddings  audio, and the settings → the mean over windows, float32; fingerprints of clips

It only saves time: see `CacheDatabase`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab import __version__
from genrelab.audio.clips import clips_from_audio
from genrelab.audio.content_hash import sha256_of_audio
from genrelab.audio.files import why_unreadable
from genrelab.audio.reader import Audio
from genrelab.core.config import EMBEDDING_CLIPS, ClipSettings, EmbeddingView, view_to_json
from genrelab.core.errors import DecodeError, SettingsError
from genrelab.core.file_stamp import Stamp, stamp_of
from genrelab.core.processes import DECODER_CRASHED
from genrelab.core.progress import Notify, Progress, ignore
from genrelab.core.worker_pool import map_in_processes
from genrelab.features.fingerprint import landmarks, pack, unpack
from genrelab.features.views import compute
from genrelab.predict.cache_database import CacheDatabase

VIEW = EmbeddingView()
CLIPS = dataclasses.replace(EMBEDDING_CLIPS, max_clips=5)
"""Five windows of 3 s spread over a track: ten are no better, and take twice as long."""

PRINT_CLIPS = ClipSettings()
"""The fingerprinted clips: those of `prepare`, so that both find the same pairs."""

FILE = "embeddings.sqlite"
SCHEMA_VERSION = 3
SCHEMA = """
CREATE TABLE files (path BLOB PRIMARY KEY, stamp BLOB NOT NULL, payload BLOB NOT NULL);
CREATE TABLE embeddings (payload BLOB NOT NULL, what TEXT NOT NULL, x BLOB NOT NULL, prints BLOB NOT NULL,
    PRIMARY KEY (payload, what))
"""
WHAT = json.dumps([__version__, view_to_json(VIEW), *map(dataclasses.asdict, (CLIPS, PRINT_CLIPS))])
"""The settings of a result; results of another version, view, window or clip are not used."""

Prints = tuple[tuple[float, bytes], ...]
"""Fingerprints of a file's clips: where each starts, in seconds, and its packed landmarks."""

_PRINT_HEADER = struct.Struct("<dI")  # start in seconds, bytes of landmarks that follow


@dataclass(frozen=True)
class Embedded:
    """The result for a file.

    Attributes:
        x: mean of its windows, shape (outputs,); None if there is an `error`.
        payload: SHA-256 of its audio, 32 bytes; None if it could not be read.
        error: why it cannot be used.
        cached: are `x` and `prints` from the cache?
        prints: fingerprints of its clips, up to one that cannot be read.
    """

    x: NDArray[np.float32] | None
    payload: bytes | None
    error: str | None = None
    cached: bool = False
    prints: Prints = ()


def embed_files(paths: Sequence[Path], *, jobs: int, notify: Notify, progress: Progress) -> list[Embedded]:
    """Embeddings of files, in their order, from the cache or by workers.

    A worker hashes a file with an unknown path or stamp, and computes its embedding unless its audio is known.

    Args:
        jobs: number of worker processes.
        progress: called with (done, total).
    """
    with EmbeddingCache(notify) as cache:
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
    return [one for one in found if one is not None]


def embed_file(path: Path) -> tuple[Stamp | None, Embedded]:
    """The stamp of a file before it was read (None if it changed since then), and its result. Runs in a worker."""
    stamp, payload = stamp_of(path), None
    try:
        payload = bytes.fromhex(sha256_of_audio(path))
        found = _known(payload)
        if found is None:
            x, prints = _embed_and_fingerprint(path)
            found = Embedded(x, payload, prints=prints)
    except DecodeError as e:
        return stamp, Embedded(None, payload, e.reason)
    except SettingsError as e:
        return stamp, Embedded(None, payload, str(e))
    except MemoryError:
        return stamp, Embedded(None, payload, "not enough memory to decode it")
    except OSError as e:
        return stamp, Embedded(None, payload, why_unreadable(path) or e.strerror or str(e))
    return stamp if stamp == stamp_of(path) else None, found


def _embed_and_fingerprint(path: Path) -> tuple[NDArray[np.float32], Prints]:
    """The mean over the windows, and the fingerprints of the clips.

    Windows are not cut out of clips: channels are mixed for each stretch that is read, so that samples may differ. A
    file that cannot be read between its windows is used, as `predict` reads no more of it.
    """
    prints: list[tuple[float, bytes]] = []
    with closing(Audio(path)) as audio:
        clips = clips_from_audio(audio, CLIPS)
        rows = [w.x for c in clips for w in compute(VIEW, c.y, c.sr, start_s=c.start_s)]
        with suppress(DecodeError, FloatingPointError), np.errstate(over="raise"):  # so loud that powers overflow
            for clip in clips_from_audio(audio, PRINT_CLIPS):
                prints.append((clip.start_s, pack(landmarks(clip.y, clip.sr))))
    return np.mean(rows, axis=0, dtype=np.float32), tuple(prints)


def _known(payload: bytes) -> Embedded | None:
    """The cached result for an audio; the parent process has already reported problems of the cache."""
    with EmbeddingCache(ignore) as cache:
        return cache.lookup_content(payload)


def _split_prints(content: bytes) -> Iterator[tuple[float, bytes]]:
    """Split fingerprints that `EmbeddingCache.store` joined; an error for anything else."""
    at = 0
    while at < len(content):
        start_s, n = _PRINT_HEADER.unpack_from(content, at)
        at += _PRINT_HEADER.size + n
        marks = content[at - n : at]
        unpack(marks)
        if len(marks) != n:
            raise ValueError("fingerprints are cut short")
        yield start_s, marks


class EmbeddingCache(CacheDatabase):
    """The open cache of this user (see `CacheDatabase`)."""

    def __init__(self, notify: Notify) -> None:
        super().__init__(FILE, SCHEMA, SCHEMA_VERSION, notify)

    def lookup(self, path: Path) -> Embedded | None:
        """The embedding of a file with a known path and stamp."""
        stamp = stamp_of(path)
        if stamp is None:
            return None
        key = (os.fsencode(path.absolute()), stamp.digest)
        seen = self.query(lambda d: d.execute("SELECT payload FROM files WHERE path = ? AND stamp = ?", key).fetchone())
        return self.lookup_content(seen[0]) if seen else None

    def lookup_content(self, payload: bytes) -> Embedded | None:
        """The embedding of an audio, by its SHA-256."""
        select = "SELECT x, prints FROM embeddings WHERE payload = ? AND what = ?"
        row = self.query(lambda d: d.execute(select, (payload, WHAT)).fetchone())
        if row is None:
            return None
        try:
            x, prints = np.frombuffer(row[0], "<f4"), tuple(_split_prints(row[1]))
        except (TypeError, ValueError, struct.error):  # a damaged row
            return None
        return Embedded(x, payload, cached=True, prints=prints) if x.shape == VIEW.shape else None

    def store(self, path: Path, stamp: Stamp | None, embedded: Embedded) -> None:
        """Store an embedding without an error, unless the file changed while it was read: then `stamp` is None.

        If the stamp is not settled, the path is not stored; the file is found by its audio.
        """
        if embedded.x is None or stamp is None:
            return
        if not embedded.cached:
            prints = b"".join(_PRINT_HEADER.pack(start_s, len(marks)) + marks for start_s, marks in embedded.prints)
            row = (embedded.payload, WHAT, embedded.x.astype("<f4").tobytes(), prints)
            self.query(lambda d: d.execute("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?, ?)", row))
        if stamp.settled:
            file_row = (os.fsencode(path.absolute()), stamp.digest, embedded.payload)
            self.query(lambda d: d.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", file_row))
