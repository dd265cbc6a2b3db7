"""Makes PREPARED of complete pieces: shards, tables, and last `dataset.json`, which marks it as complete."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import platform
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrelab import __version__
from genrelab.core.config import PARQUET_VIEWS, SCHEMA_VERSION, PrepareSettings
from genrelab.core.errors import PreparedError
from genrelab.core.storage import Folder
from genrelab.datasets.base import Dataset, Track
from genrelab.features.views import table_columns, table_views
from genrelab.prepare import work_unit
from genrelab.prepare.work_unit import Piece, TrackOutcome
from genrelab.records import tfrecord
from genrelab.records.prepared import FINGERPRINTS_FILE, FINGERPRINTS_SCHEMA, TRACKS_SCHEMA, write_parquet


def assemble(out: Folder, dataset: Dataset, settings: PrepareSettings, pieces: list[Piece]) -> None:
    """Write PREPARED from complete pieces; they stay until the caller removes them."""
    out.remove("dataset.json")  # from here on an earlier preparation in the same place is no longer complete
    outcomes = [o for piece in pieces for o in work_unit.read(piece)[0]]
    genres = [t.genre if o.status == "ok" else None for t, o in zip(dataset.tracks, outcomes, strict=True)]
    shards = [[outcomes[i] for i in tracks] for tracks in tfrecord.deal_tracks(genres, settings.shard_tracks)]
    files: dict[str, str] = {}
    for name in sorted(view.name for view in settings.views if view.name not in PARQUET_VIEWS):
        files |= _write_shards(out, name, shards, _find_records(pieces, outcomes, name))
    by_group = groupby(pieces, key=lambda piece: piece.items[0].index // settings.shard_tracks)
    row_groups = [list(group) for _, group in by_group]
    if columns := tuple(c for view in table_views(settings.views) for c in table_columns(view)):
        files |= _write_features(out, dataset, columns, row_groups)
    files |= _write_fingerprints(out, dataset, row_groups)
    write_tables(out, dataset, outcomes, dataset_json(dataset, settings, outcomes, files))


def write_tables(out: Folder, dataset: Dataset, outcomes: list[TrackOutcome], about: dict[str, Any]) -> None:
    """`tracks.parquet`, `failures.csv` and `dataset.json`; a kill between them is repaired by the next `prepare`."""
    write_parquet(out, "tracks.parquet", tracks_table(dataset.tracks, outcomes))
    out.write_bytes("failures.csv", failures(dataset, outcomes))
    out.write_json("dataset.json", about)


def tracks_table(tracks: tuple[Track, ...], outcomes: list[TrackOutcome]) -> pa.Table:
    """`tracks.parquet`: the dataset's data of each track, and its outcome."""
    rows = [
        (t.track_id, i, t.path, t.genre, t.artist, t.album, t.licence, t.official_split,
         o.duration_s, o.sha256, o.status, o.error, t.artist_credit, t.recording)
        for i, (t, o) in enumerate(zip(tracks, outcomes, strict=True))
    ]  # fmt: skip
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, TRACKS_SCHEMA, strict=True)], schema=TRACKS_SCHEMA)


def dataset_json(
    dataset: Dataset, settings: PrepareSettings, outcomes: list[TrackOutcome], files: dict[str, str]
) -> dict[str, Any]:
    """`dataset.json`; nothing in it depends on when or how fast it was written.

    Args:
        files: SHA-256 of each shard, of `features.parquet` and of `fingerprints.parquet`.
    """
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
        "records": work_unit.record_counts(outcomes),
        "settings": settings.to_json(),
        "fingerprint": inputs_sha256([t.track_id for t in dataset.tracks], settings.to_json(), outcomes),
        "files": files,
        "notes": list(dataset.notes),
        "versions": {"python": platform.python_version(), "genrelab": __version__}
        | {name: version(name) for name in ("numpy", "scipy", "soundfile", "soxr", "av")},
    }


def counts(tracks: tuple[Track, ...], outcomes: list[TrackOutcome]) -> dict[str, int]:
    """Number of tracks by outcome; `unlabelled` ones are among the `failed` and `missing`."""
    by_status = Counter(o.status for o in outcomes)
    unlabelled = sum(t.genre is None for t in tracks)
    return {"tracks": len(tracks), **{s: by_status[s] for s in ("ok", "failed", "missing")}, "unlabelled": unlabelled}


def inputs_sha256(ids: list[str], settings: dict[str, Any], outcomes: list[TrackOutcome]) -> str:
    """SHA-256 over the settings, and the content and outcome of every track."""
    inputs = [(t, o.sha256, o.status, o.duration_s, o.error) for t, o in zip(ids, outcomes, strict=True)]
    return hashlib.sha256(json.dumps([settings, inputs]).encode()).hexdigest()


def _find_records(pieces: list[Piece], outcomes: list[TrackOutcome], view: str) -> dict[int, tuple[Path, int]]:
    """By track, the file with its records of a view, and where in it they start."""
    found = {}
    for piece in pieces:
        file, offset = piece.folder / work_unit.records_file(view), 0
        for item in piece.items:
            found[item.index] = (file, offset)
            offset += outcomes[item.index].n_bytes.get(view, 0)
    return found


def _write_shards(
    out: Folder, view: str, shards: list[list[TrackOutcome]], records: dict[int, tuple[Path, int]]
) -> dict[str, str]:
    counts = [work_unit.record_counts(shard).get(view, 0) for shard in shards]
    names = [f"{view}/{tfrecord.shard_name(i, len(shards), n)}" for i, n in enumerate(counts)]
    for name in (f"{view}/{n}" for n in out.names(view)):  # first: there may be no room for both
        if name not in names or out.fs.isdir(out.path(name)):
            out.remove(name)
    written = {}
    for name, shard in zip(names, shards, strict=True):
        digest = hashlib.sha256()
        with out.replacing(name) as temporary, out.fs.open(temporary, "wb") as f:
            for outcome in shard:
                file, offset = records[outcome.index]
                with file.open("rb") as piece:
                    piece.seek(offset)
                    content = piece.read(outcome.n_bytes[view])
                digest.update(content)
                f.write(content)
        written[name] = digest.hexdigest()
    return written


def _write_features(
    out: Folder, dataset: Dataset, columns: tuple[str, ...], row_groups: list[list[Piece]]
) -> dict[str, str]:
    schema = _features_schema(columns)

    def table(pieces: list[Piece]) -> pa.Table | None:
        parts = [(where, values) for _, where, values in map(work_unit.read, pieces) if where]
        ids = [dataset.tracks[i].track_id for where, _ in parts for i, _ in where]
        starts = [start for where, _ in parts for _, start in where]
        return _features_table(ids, starts, np.concatenate([v for _, v in parts]), schema) if parts else None

    return _write_row_groups(out, "features.parquet", schema, row_groups, table)


def _write_fingerprints(out: Folder, dataset: Dataset, row_groups: list[list[Piece]]) -> dict[str, str]:
    def table(pieces: list[Piece]) -> pa.Table:
        prints = [found for piece in pieces for found in work_unit.read_fingerprints(piece)]
        rows = [(dataset.tracks[i].track_id, *mark) for i, mark in prints]
        names = FINGERPRINTS_SCHEMA.names
        return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], FINGERPRINTS_SCHEMA)

    return _write_row_groups(out, FINGERPRINTS_FILE, FINGERPRINTS_SCHEMA, row_groups, table)


def _write_row_groups(
    out: Folder, name: str, schema: pa.Schema, row_groups: list[list[Piece]], table: Callable[[list[Piece]], Any]
) -> dict[str, str]:
    """Write a table, a row group at a time, so that memory does not grow with the number of tracks.

    Args:
        table: makes the rows of one group; None where it has none.

    Returns:
        the file's name and SHA-256.
    """
    with (
        out.replacing(name) as temporary,
        out.fs.open(temporary, "wb") as f,
        pq.ParquetWriter(f, schema, compression="zstd") as writer,
    ):
        for rows in map(table, row_groups):
            if rows is not None:
                writer.write_table(rows)
    return {name: _stored_sha256(out, name)}


def write_feature_table(out: Folder, dataset: Dataset) -> dict[str, str]:
    """`features.parquet` of a dataset that is a table of features; its name and SHA-256."""
    assert dataset.features is not None
    ids = [t.track_id for t in dataset.tracks]
    schema = _features_schema(dataset.features.columns)
    write_parquet(out, "features.parquet", _features_table(ids, [0.0] * len(ids), dataset.features.values, schema))
    return {"features.parquet": _stored_sha256(out, "features.parquet")}


def _features_schema(columns: tuple[str, ...]) -> pa.Schema:
    return pa.schema([("track_id", pa.string()), ("start_s", pa.float32()), *((c, pa.float32()) for c in columns)])


def _features_table(ids: list[str], starts: list[float], values: NDArray[np.float32], schema: pa.Schema) -> pa.Table:
    columns = [np.ascontiguousarray(c) for c in values.T]
    return pa.table([pa.array(ids, pa.string()), pa.array(starts, pa.float32()), *columns], schema=schema)


def failures(dataset: Dataset, outcomes: list[TrackOutcome]) -> bytes:
    """`failures.csv`: every track that is not `ok`, then other files that are not used (no id, stage `find`)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["track_id", "path", "stage", "error"])
    for track, outcome in zip(dataset.tracks, outcomes, strict=True):
        if outcome.status != "ok":
            writer.writerow([track.track_id, track.path or "", outcome.stage, outcome.error])
    writer.writerows(("", unused.path, "find", unused.reason) for unused in dataset.unused)
    return text.getvalue().encode(errors="backslashreplace")


def _stored_sha256(out: Folder, name: str) -> str:
    digest = out.sha256(name)
    if digest is None:
        raise PreparedError(f"{out}/{name} cannot be read back: check the disk, then run the same command again")
    return digest
