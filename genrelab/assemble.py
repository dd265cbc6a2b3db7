"""4 Whole pieces become PREPARED: shards, tables, and last `dataset.json`, which says that all is there."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import platform
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrelab import __version__, pieces, records
from genrelab.config import SCHEMA_VERSION, PrepareSettings
from genrelab.dataset import Dataset, Track
from genrelab.features import STATISTICS
from genrelab.pieces import Outcome, Piece
from genrelab.prepared import TRACKS, write_parquet
from genrelab.storage import Folder


def assemble(out: Folder, dataset: Dataset, settings: PrepareSettings, made: list[Piece]) -> None:
    """Write PREPARED from whole pieces; they stay until the caller removes them."""
    out.remove("dataset.json")  # from here on an earlier preparation in the same place is no longer whole
    outcomes = [o for piece in made for o in pieces.read(piece)[0]]
    shards = _shards(made, settings)
    for view in settings.views:
        if view.name == "statistics":
            _write_statistics(out, dataset, shards)
        else:
            _write_shards(out, view.name, shards)
    write_tables(out, dataset, settings, outcomes)


def write_tables(out: Folder, dataset: Dataset, settings: PrepareSettings, outcomes: list[Outcome]) -> None:
    """`tracks.parquet`, `failures.csv` and `dataset.json`."""
    write_parquet(out, "tracks.parquet", tracks_table(dataset.tracks, outcomes))
    out.write_bytes("failures.csv", _failures(dataset.tracks, outcomes))
    out.write_json("dataset.json", about(dataset, settings, outcomes))


def tracks_table(tracks: tuple[Track, ...], outcomes: list[Outcome]) -> pa.Table:
    """`tracks.parquet`: what the dataset knew and what became of each track."""
    rows = [
        (t.track_id, i, t.path, t.genre, t.artist, t.album, t.licence, t.official_split,
         o.duration_s, o.sha256, o.status, o.error)
        for i, (t, o) in enumerate(zip(tracks, outcomes, strict=True))
    ]  # fmt: skip
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, TRACKS, strict=True)], schema=TRACKS)


def about(dataset: Dataset, settings: PrepareSettings, outcomes: list[Outcome]) -> dict[str, Any]:
    """`dataset.json`; nothing in it depends on when or how fast it was made."""
    by_genre: dict[str, Counter[str]] = {g: Counter() for g in dataset.genres}
    for track, outcome in zip(dataset.tracks, outcomes, strict=True):
        if track.genre is not None:
            by_genre[track.genre][outcome.status] += 1
    return {
        "schema": SCHEMA_VERSION,
        "name": dataset.name,
        "root": str(dataset.root.resolve()),
        "genres": list(dataset.genres),
        "counts": counts(dataset.tracks, outcomes),
        "by_genre": {g: dict(sorted(c.items())) for g, c in by_genre.items()},
        "records": pieces.record_counts(outcomes),
        "settings": settings.to_json(),
        "fingerprint": fingerprint(dataset.tracks, settings, outcomes),
        "notes": list(dataset.notes),
        "versions": {"python": platform.python_version(), "genrelab": __version__}
        | {name: version(name) for name in ("numpy", "scipy", "soundfile", "soxr", "av")},
    }


def counts(tracks: tuple[Track, ...], outcomes: list[Outcome]) -> dict[str, int]:
    """How many tracks there are, by what became of them; `unlabelled` ones are among the `failed` and `missing`."""
    by_status = Counter(o.status for o in outcomes)
    unlabelled = sum(t.genre is None for t in tracks)
    return {"tracks": len(tracks), **{s: by_status[s] for s in ("ok", "failed", "missing")}, "unlabelled": unlabelled}


def fingerprint(tracks: tuple[Track, ...], settings: PrepareSettings, outcomes: list[Outcome]) -> str:
    """SHA-256 over the settings and the content of every track."""
    inputs = [(t.track_id, o.sha256, o.status) for t, o in zip(tracks, outcomes, strict=True)]
    return hashlib.sha256(json.dumps([settings.to_json(), inputs]).encode()).hexdigest()


def _shards(made: list[Piece], settings: PrepareSettings) -> list[list[Piece]]:
    shards: dict[int, list[Piece]] = {}
    for piece in made:
        shards.setdefault(piece.items[0].index // settings.shard_tracks, []).append(piece)
    return list(shards.values())


def _write_shards(out: Folder, view: str, shards: list[list[Piece]]) -> None:
    written = []
    for number, shard in enumerate(shards):
        outcomes = [o for piece in shard for o in pieces.read(piece)[0]]
        name = records.shard_name(number, len(shards), pieces.record_counts(outcomes).get(view, 0))
        with out.replacing(f"{view}/{name}") as temporary, out.fs.open(temporary, "wb") as f:
            for piece in shard:
                f.write((piece.folder / f"{view}.tfrecord").read_bytes())
        written.append(name)
    for stale in set(out.names(view)) - set(written):
        out.remove(f"{view}/{stale}")


def _write_statistics(out: Folder, dataset: Dataset, shards: list[list[Piece]]) -> None:
    """`features.parquet`, a row group a shard, so that memory does not grow with the number of tracks."""
    schema = _features_schema(STATISTICS)
    ids = [t.track_id for t in dataset.tracks]
    local = Path(shards[0][0].work) / "features.parquet"
    with pq.ParquetWriter(local, schema, compression="zstd") as writer:
        for shard in shards:
            for where, values in _rows(shard):
                names = [ids[i] for i, _ in where]
                writer.write_table(_features(names, [s for _, s in where], values, schema))
    out.publish(local, "features.parquet")


def _rows(shard: list[Piece]) -> Iterator[tuple[list[tuple[int, float]], NDArray[np.float32]]]:
    parts = [pieces.read(piece)[1:] for piece in shard]
    where = [w for part in parts for w in part[0]]
    if where:
        yield where, np.concatenate([part[1] for part in parts if part[0]])


def write_feature_table(out: Folder, dataset: Dataset) -> None:
    """`features.parquet` of a dataset that is a table of features."""
    assert dataset.features is not None
    ids = [t.track_id for t in dataset.tracks]
    schema = _features_schema(dataset.features.columns)
    write_parquet(out, "features.parquet", _features(ids, [0.0] * len(ids), dataset.features.values, schema))


def _features_schema(columns: tuple[str, ...]) -> pa.Schema:
    return pa.schema([("track_id", pa.string()), ("start_s", pa.float32()), *((c, pa.float32()) for c in columns)])


def _features(ids: list[str], starts: list[float], values: NDArray[np.float32], schema: pa.Schema) -> pa.Table:
    columns = [np.ascontiguousarray(c) for c in values.T]
    return pa.table([pa.array(ids, pa.string()), pa.array(starts, pa.float32()), *columns], schema=schema)


def _failures(tracks: tuple[Track, ...], outcomes: list[Outcome]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["track_id", "path", "stage", "error"])
    for track, outcome in zip(tracks, outcomes, strict=True):
        if outcome.status != "ok":
            writer.writerow([track.track_id, track.path or "", outcome.stage, outcome.error])
    return text.getvalue().encode()
