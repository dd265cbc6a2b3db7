"""Checks the shards of a view: which records can be used, and which tracks are lost where shards are damaged."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from genrelab.core.config import View
from genrelab.core.text import join_first, pluralize
from genrelab.records import tfrecord
from genrelab.records.prepared import Prepared

AGAIN = "Run the same `prepare` again"
ANOTHER_FILE = "not the file that `prepare` wrote: none of its records is used"
MAX_GENRES_NAMED = 30


@dataclass(frozen=True)
class Shard:
    """One shard, each of its records checked.

    Attributes:
        path: on this disk.
        n_written: number of records in it when it was written.
        spans: offset and length in bytes of each record that can be used.
        track, start_s: of the same records.
        problem: what is wrong with it; "" where it is unchanged.
    """

    path: Path
    n_written: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list, repr=False)
    track: list[int] = field(default_factory=list, repr=False)
    start_s: list[float] = field(default_factory=list, repr=False)
    problem: str = ""

    @property
    def n_lost(self) -> int:
        """Number of its records that cannot be used."""
        return max(0, self.n_written - len(self.spans))


@dataclass(frozen=True)
class ShardsOfView:
    """All shards of a view.

    Attributes:
        shards: those with records, in order.
        damage: a message that names damaged shards, and lost tracks by genre; "" where there are none.
    """

    shards: list[Shard] = field(repr=False)
    damage: str = ""


def check_shards(prepared: Prepared, view: View, *, cache: Path) -> ShardsOfView:
    """Check every record of a view once: TensorFlow's reader would stop at the first bad one.

    Args:
        cache: folder for copies of shards that are not on this disk.
    """
    present, written = prepared.shards(view.name), _written_sha256(prepared, view)
    found = {
        name: check_shard(prepared, view, name, cache=cache)
        if name in present
        else Shard(Path(name), tfrecord.shard_records(Path(name).name), problem="missing")
        for name in sorted({*present, *written})
    }
    found = _without_repetitions(found)
    damage = _describe(prepared, view, found) if any(shard.problem for shard in found.values()) else ""
    return ShardsOfView([shard for shard in found.values() if shard.spans], damage)


def check_shard(prepared: Prepared, view: View, name: str, *, cache: Path) -> Shard:
    """Check every record of one shard.

    Where its hash differs, records with correct checksums are used, unless they show that it is another file.
    """
    path, written = prepared.folder.fetch(name, cache), _written_sha256(prepared, view)
    if name not in written:
        return Shard(path, problem="not a file that `prepare` wrote: it is not read")
    shard = Shard(path, tfrecord.shard_records(path.name))
    try:
        with path.open("rb") as f:
            sha256 = hashlib.file_digest(f, "sha256").hexdigest()
        corrupt, fits = _read_into(shard, view, len(prepared))
    except OSError as e:
        return Shard(path, shard.n_written, problem=f"cannot be read ({e.strerror or e})")
    if sha256 == written[name] or (written[name] is None and fits and not corrupt and not shard.n_lost):
        return shard
    if not fits or not corrupt:
        return Shard(path, shard.n_written, problem=ANOTHER_FILE)
    return replace(shard, problem=_describe_corrupt(shard, corrupt))


def readable_copy(shard: Shard, folder: Path) -> Path:
    """The shard, or a copy in `folder` without the records that cannot be used."""
    if not shard.problem:
        return shard.path
    copy = folder / "salvaged" / shard.path.parent.name / shard.path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    with shard.path.open("rb") as source, copy.open("wb") as f:
        for offset, length in shard.spans:
            source.seek(offset)
            f.write(source.read(length))
    return copy


def _written_sha256(prepared: Prepared, view: View) -> dict[str, str | None]:
    """By name, SHA-256 of the view's shards as they were written; None where `dataset.json` has none."""
    files: dict[str, str | None] = prepared.about.get("files") or dict.fromkeys(prepared.shards(view.name))
    return {n: sha for n, sha in files.items() if n.startswith(f"{view.name}/") and tfrecord.is_shard(Path(n).name)}


def _read_into(shard: Shard, view: View, n_tracks: int) -> tuple[list[tuple[int, tfrecord.CorruptRecord]], bool]:
    """Add the records that can be read to `shard`.

    Returns:
        (length, record) of each corrupt record, and whether all others fit the view and the table of tracks.
    """
    size, corrupt, fits = math.prod(view.shape) * np.dtype(view.dtype).itemsize, [], True
    for offset, length, record in tfrecord.read_records(shard.path, expected=shard.n_written):
        if isinstance(record, tfrecord.CorruptRecord):
            corrupt.append((length, record))
            continue
        fits = fits and len(record.x) == size and 0 <= record.track < n_tracks
        shard.spans.append((offset, length))
        shard.track.append(record.track)
        shard.start_s.append(record.start_s)
    return corrupt, fits


def _without_repetitions(found: dict[str, Shard]) -> dict[str, Shard]:
    """Use no record of a damaged shard that contains a track of another shard: it is a copy of another file."""
    taken = {track for shard in found.values() if not shard.problem for track in shard.track}
    checked = {}
    for name, shard in found.items():
        repeats = bool(shard.problem) and not taken.isdisjoint(shard.track)
        checked[name] = Shard(shard.path, shard.n_written, problem=ANOTHER_FILE) if repeats else shard
        taken |= set(checked[name].track)
    return checked


def _describe_corrupt(shard: Shard, corrupt: list[tuple[int, tfrecord.CorruptRecord]]) -> str:
    if shard.path.stat().st_size == 0:
        return "empty"
    of = f"{shard.n_written:,} records"
    inside = [record.reason for length, record in corrupt if length]
    parts = [f"{len(inside):,} of {of} damaged ({inside[0]})"] if inside else []
    if len(inside) < len(corrupt):  # the last one: no record after it can be located
        n, reason = len(shard.spans) + len(inside), corrupt[-1][1].reason
        if n >= shard.n_written:
            parts.append(f"more bytes after its {of}")
        elif reason == tfrecord.CUT_OFF:
            parts.append(f"cut off after {n:,} of {of}")
        else:
            parts.append(f"unreadable after {n:,} of {of} ({reason})")
    return " and ".join(parts)


def _describe(prepared: Prepared, view: View, found: dict[str, Shard]) -> str:
    """A message: the problems of the shards, the lost tracks by genre, and what to do now."""
    problems = {name: shard.problem for name, shard in found.items() if shard.problem}
    if len(problems) == 1:
        ((name, problem),) = problems.items()
        place = f"{prepared.folder}/{name}: {problem}"
    else:
        each = "; ".join(f"{Path(name).name}: {problem}" for name, problem in problems.items())
        n = f"{len(problems):,} of {pluralize(found, 'shard')}"
        place = f"{prepared.folder}/{view.name}: {n} damaged ({each})"
    readable = {track for shard in found.values() for track in shard.track}
    lost = [i for i, usable in enumerate(prepared.usable) if usable and i not in readable]
    if not lost:
        whole = " completely" if any(shard.n_lost for shard in found.values()) else ""
        return f"{place}; no track is lost{whole}. {AGAIN} to repair it"
    by_genre = sorted(Counter(str(prepared.tracks["genre"][i]) for i in lost).items())
    genres = join_first([f"{genre} {n:,}" for genre, n in by_genre], most=MAX_GENRES_NAMED)
    return f"{place}; {pluralize(lost, 'track')} cannot be read: {genres}. {AGAIN} to decode them again"
