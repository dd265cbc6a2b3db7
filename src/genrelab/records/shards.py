"""The shards of a view as they lie on the disk: which records can be used, and what is lost where they are damaged."""

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
ANOTHER_FILE = "not the file that `prepare` wrote, so no record of it is used"
GENRES_NAMED = 30


@dataclass(frozen=True)
class Shard:
    """One shard, each of its records checked.

    Attributes:
        path: on this disk.
        n_written: number of records that it should hold.
        spans: offset and length in bytes of each record that can be used.
        track, start_s: of the same records.
        problem: what is wrong with it; "" where it is as it was written.
    """

    path: Path
    n_written: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list, repr=False)
    track: list[int] = field(default_factory=list, repr=False)
    start_s: list[float] = field(default_factory=list, repr=False)
    problem: str = ""

    @property
    def n_lost(self) -> int:
        """How many of its records cannot be used."""
        return max(0, self.n_written - len(self.spans))


@dataclass(frozen=True)
class ShardsOfView:
    """All shards of a view.

    Attributes:
        shards: those that hold records, in order.
        damage: one sentence that names what is damaged and lost, with genres; "" where nothing is.
        n_lost: how many records cannot be used.
    """

    shards: list[Shard] = field(repr=False)
    damage: str = ""
    n_lost: int = 0


def check_shards(prepared: Prepared, view: View, *, cache: Path) -> ShardsOfView:
    """Check every record of a view once: TensorFlow's reader would stop at the first bad one.

    Args:
        cache: folder for copies of shards that do not lie on this disk.
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
    usable = [shard for shard in found.values() if shard.spans]
    return ShardsOfView(usable, damage, sum(shard.n_lost for shard in found.values()))


def check_shard(prepared: Prepared, view: View, name: str, *, cache: Path) -> Shard:
    """Check every record of one shard.

    Its hash tells whether it is as it was written. Where it is not, records whose checksums are right are used, unless
    they show that the file is another one.
    """
    path, written = prepared.folder.fetch(name, cache), _written_sha256(prepared, view)
    if name not in written:
        return Shard(path, problem="not a file that `prepare` wrote, so it is not read")
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
    """The shard, or a copy in `folder` without what cannot be used."""
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
    """By name, SHA-256 of the view's shards as they were written; None where `dataset.json` does not tell."""
    files: dict[str, str | None] = prepared.about.get("files") or dict.fromkeys(prepared.shards(view.name))
    return {n: sha for n, sha in files.items() if n.startswith(f"{view.name}/") and tfrecord.is_shard(Path(n).name)}


def _read_into(shard: Shard, view: View, n_tracks: int) -> tuple[list[tuple[int, tfrecord.CorruptRecord]], bool]:
    """Fill in what can be read.

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
    """Use no record of a damaged shard that holds a track of another one: it is a copy of something else."""
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
    if len(inside) < len(corrupt):  # the last one: no record can be located behind it
        n, reason = len(shard.spans) + len(inside), corrupt[-1][1].reason
        if n >= shard.n_written:
            parts.append(f"more bytes behind its {of}")
        elif reason == tfrecord.CUT_OFF:
            parts.append(f"cut off after {n:,} of {of}")
        else:
            parts.append(f"unreadable after {n:,} of {of} ({reason})")
    return " and ".join(parts)


def _describe(prepared: Prepared, view: View, found: dict[str, Shard]) -> str:
    """One sentence: what is wrong with the shards, how many tracks of which genres that costs, what to do now."""
    problems = {name: shard.problem for name, shard in found.items() if shard.problem}
    if len(problems) == 1:
        ((name, problem),) = problems.items()
        place = f"{prepared.folder}/{name}: {problem}"
    else:
        each = "; ".join(f"{Path(name).name}: {problem}" for name, problem in problems.items())
        n = f"{len(problems):,} of {pluralize(found, 'shard')}"
        place = f"{prepared.folder}/{view.name}: {n} are not as they were written ({each})"
    readable = {track for shard in found.values() for track in shard.track}
    lost = [i for i, usable in enumerate(prepared.usable) if usable and i not in readable]
    if not lost:
        whole = " as a whole" if any(shard.n_lost for shard in found.values()) else ""
        return f"{place}; no track is lost{whole}. {AGAIN}: it puts that right"
    by_genre = sorted(Counter(str(prepared.tracks["genre"][i]) for i in lost).items())
    genres = join_first([f"{genre} {n:,}" for genre, n in by_genre], most=GENRES_NAMED)
    return f"{place}; {pluralize(lost, 'track')} cannot be read: {genres}. {AGAIN}: it makes them anew"
