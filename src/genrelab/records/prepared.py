"""Reads PREPARED: settings, the table of tracks, shards by view, columns of features, fingerprints."""

from __future__ import annotations

import hashlib
import io
import shlex
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrelab.core.config import SCHEMA_VERSION, View, view_from_json
from genrelab.core.errors import PreparedError, SettingsError
from genrelab.core.storage import Folder
from genrelab.features.fingerprint import Fingerprint, unpack
from genrelab.features.views import table_columns
from genrelab.identity.groups import connected_groups

TRACKS_SCHEMA = pa.schema(
    [
        ("track_id", pa.string()),
        ("index", pa.int64()),
        ("path", pa.string()),
        ("genre", pa.string()),
        ("artist", pa.string()),
        ("album", pa.string()),
        ("licence", pa.string()),
        ("official_split", pa.string()),
        ("duration_s", pa.float64()),
        ("sha256", pa.string()),
        ("status", pa.string()),  # ok | failed | missing
        ("error", pa.string()),
        ("artist_credit", pa.string()),  # the artist as written; `artist` is the person or group
        ("recording", pa.string()),  # equal for pieces of one recording
    ]
)
"""Columns of `tracks.parquet`."""

NEWER_COLUMNS = ("artist_credit", "recording")
"""Columns that earlier versions did not write: their values are unknown there."""

AUDIT_FILE = "audit.json"

FINGERPRINTS_FILE = "fingerprints.parquet"

FINGERPRINTS_SCHEMA = pa.schema(
    [("track_id", pa.string()), ("start_s", pa.float64()), ("payload_sha256", pa.string()), ("landmarks", pa.binary())]
)
"""Columns of `fingerprints.parquet`, one row per clip; `payload_sha256` is of the track's audio without tags."""

REQUIRED_FIELDS = {
    "name": str, "root": str, "genres": list, "counts": dict, "by_genre": dict, "records": dict, "settings": dict,
    "fingerprint": str, "notes": list, "versions": dict,
}  # fmt: skip
"""Required fields of `dataset.json`."""

RERUN_HINT = "run the same `prepare` again to repair it"


@dataclass(frozen=True)
class Prepared:
    """A finished PREPARED.

    Attributes:
        folder: where it is stored.
        about: content of `dataset.json`.
        tracks: columns of `tracks.parquet`, in the order of `index`.
        views: settings by name.
    """

    folder: Folder
    about: dict[str, Any] = field(repr=False)
    tracks: dict[str, list[Any]] = field(repr=False)
    views: dict[str, View]

    def __len__(self) -> int:
        return len(self.tracks["track_id"])

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return str(self.about["name"])

    @property
    def genres(self) -> tuple[str, ...]:
        """Genres of the dataset, sorted; some may have no usable tracks."""
        return tuple(self.about["genres"])

    @property
    def usable(self) -> list[bool]:
        """For each track: is it decoded and labelled?"""
        return [s == "ok" and g is not None for s, g in zip(self.tracks["status"], self.tracks["genre"], strict=True)]

    def view(self, name: str) -> View:
        """Settings of a view.

        Raises:
            PreparedError: this preparation does not contain it.
        """
        if name not in self.views:
            raise PreparedError(
                f"{self.folder} has no view {name!r}, only {', '.join(self.views)}: prepare into another folder with "
                f"--views {','.join([*self.views, name])}"
            )
        return self.views[name]

    def shards(self, view: str) -> list[str]:
        """Names of a view's shards, relative to the folder, in order."""
        return [f"{view}/{n}" for n in self.folder.names(view) if n.endswith(".tfrecord")]

    def fingerprints(self) -> tuple[list[Fingerprint], dict[str, str]] | None:
        """`fingerprints.parquet`: one fingerprint per clip, and the SHA-256 of the audio without tags by track id.

        None where the file is missing: a table of features has no audio, and earlier versions wrote none.
        """
        if FINGERPRINTS_FILE not in self.about.get("files", {}):
            return None
        table = _read_table(self.folder, FINGERPRINTS_FILE, sha256=self._written_sha256(FINGERPRINTS_FILE)).to_pydict()
        ids, starts = table["track_id"], table["start_s"]
        try:
            found = [Fingerprint(t, s, unpack(m)) for t, s, m in zip(ids, starts, table["landmarks"], strict=True)]
        except ValueError as e:
            raise PreparedError(f"{self.folder}: {FINGERPRINTS_FILE}: {e}: {RERUN_HINT}") from e
        return found, dict(zip(ids, table["payload_sha256"], strict=True))

    def recordings(self) -> list[object | None]:
        """Of each track a key that is equal for tracks of one recording: its pieces, and copies in any encoding.

        None for a track that is the only known one of its recording.
        """
        pieces = [() if key is None else (key,) for key in self.tracks["recording"]]
        groups = connected_groups(len(self), pieces, pairs=((g[0], i) for g in self.copies() or () for i in g[1:]))
        sizes = Counter(groups)
        return [group if sizes[group] > 1 else None for group in groups]

    def copies(self) -> list[list[int]] | None:
        """Groups of tracks with the same audio, or equal rows of a table; None where these were not audited."""
        try:
            found = self.folder.read_json(AUDIT_FILE)
            groups: list[list[int]] = found["copies"]
            fits = found["inputs"] == self.about["fingerprint"] and all(0 <= i < len(self) for g in groups for i in g)
            return groups if fits else None
        except (FileNotFoundError, ValueError, LookupError, TypeError):
            return None

    def features(
        self, view: str | None = None
    ) -> tuple[list[str], NDArray[np.float32], tuple[str, ...], NDArray[np.float32]]:
        """`features.parquet`, or its columns of one view.

        Returns:
            track ids, window starts in seconds (rows,), column names, values (rows, columns).

        Raises:
            PreparedError: the file is missing or damaged, or has no columns of this view.
        """
        wanted = None
        if view is not None and view != "table":  # a table's columns are all; names with a dot cannot be chosen
            wanted = ["track_id", "start_s", *table_columns(self.view(view))]
        table = _read_table(self.folder, "features.parquet", wanted, sha256=self._written_sha256("features.parquet"))
        columns = tuple(c for c in table.column_names if c not in ("track_id", "start_s"))
        values = np.empty((table.num_rows, len(columns)), np.float32)
        for i, c in enumerate(columns):
            values[:, i] = table.column(c).to_numpy()
        starts = table.column("start_s").to_numpy().astype(np.float32)
        return table.column("track_id").to_pylist(), starts, columns, values

    def _written_sha256(self, name: str) -> str | None:
        sha256: str | None = self.about.get("files", {}).get(name)
        return sha256


def open_prepared(address: str | Folder) -> Prepared:
    """The preparation at an address.

    Raises:
        PreparedError: missing, unfinished, damaged, or of another version.
    """
    folder = address if isinstance(address, Folder) else Folder(address)
    if not folder.exists("dataset.json"):
        if folder.exists("prepared/dataset.json"):
            raise PreparedError(f"{folder} is not the output of `prepare`, but contains it: use {folder}/prepared")
        if folder.exists("run.json"):  # do not advise `prepare` here: it would be refused, or mix the two
            raise PreparedError(f"{folder} is a run folder: give the prepared folder that it was trained on")
        state = "is unfinished (no dataset.json): run the same `prepare` again to complete it"
        empty = f"is not the output of `prepare`: run `genrelab prepare ROOT --out {shlex.quote(str(folder))}`"
        raise PreparedError(f"{folder} {state if folder.exists('.work') else empty}")
    prepared = read_prepared(folder)
    if not set(prepared.tracks["genre"]) <= {None, *prepared.genres}:  # `prepare` was killed between the two files
        raise _mismatch_error(folder)
    return prepared


def find_prepared(run: Folder, facts: Mapping[str, Any]) -> Prepared | None:
    """The preparation of a run, in RUN or at its former place; None if it is gone or has changed.

    Args:
        facts: content of the run's `run.json`.
    """
    for folder in (run / "prepared", facts["dataset"].get("prepared") or run / "prepared"):
        with suppress(PreparedError, OSError):
            prepared = open_prepared(folder)
            if prepared.about["fingerprint"] == facts["dataset"].get("fingerprint"):
                return prepared
    return None


def read_prepared(folder: Folder) -> Prepared:
    """The same, but its table may have other genres than `dataset.json`: `prepare` can repair that."""
    about = read_dataset_json(folder)
    return Prepared(folder, about, _read_tracks(folder, about), _parse_views(folder, about))


def read_dataset_json(folder: Folder) -> dict[str, Any]:
    """`dataset.json`, checked for its version and its required fields."""
    try:
        about = folder.read_json("dataset.json")
    except ValueError as e:
        raise _damaged_error(folder, str(e)) from e
    if about.get("schema") != SCHEMA_VERSION:
        raise PreparedError(
            f"{folder}: dataset.json has schema {about.get('schema')!r}, this version of genrelab reads "
            f"{SCHEMA_VERSION}: prepare into another folder"
        )
    wrong = [k for k, kind in REQUIRED_FIELDS.items() if not isinstance(about.get(k), kind)]
    if wrong:
        raise _damaged_error(folder, f"no {wrong[0]}")
    return about


def _damaged_error(folder: Folder, reason: str) -> PreparedError:
    return PreparedError(f"{folder}: dataset.json is damaged ({reason}): prepare into another folder")


def _parse_views(folder: Folder, about: dict[str, Any]) -> dict[str, View]:
    try:
        return {n: view_from_json(v) for n, v in about["settings"]["views"].items()}
    except (SettingsError, LookupError, AttributeError, TypeError) as e:
        raise _damaged_error(folder, f"views: {e}") from e


def _read_tracks(folder: Folder, about: dict[str, Any]) -> dict[str, list[Any]]:
    """Columns of `tracks.parquet`, whose number of rows must be that of `dataset.json`."""
    table = _read_table(folder, "tracks.parquet")
    older = [name for name in TRACKS_SCHEMA.names if name not in NEWER_COLUMNS]
    if table.schema.names not in (TRACKS_SCHEMA.names, older) or table.num_rows != about["counts"].get("tracks"):
        raise _mismatch_error(folder)
    tracks: dict[str, list[Any]] = table.to_pydict()
    return {name: [None] * table.num_rows for name in NEWER_COLUMNS} | tracks


def _mismatch_error(folder: Folder) -> PreparedError:
    return PreparedError(f"{folder}: tracks.parquet does not fit dataset.json: {RERUN_HINT}")


def _read_table(folder: Folder, name: str, columns: list[str] | None = None, *, sha256: str | None = None) -> pa.Table:
    try:
        table = read_parquet(folder, name, columns, sha256=sha256)
        table.validate(full=True)  # a flipped bit may leave invalid text
    except (PreparedError, pa.ArrowException) as e:
        raise PreparedError(f"{' '.join(str(e).split())}: {RERUN_HINT}") from e
    return table


def read_parquet(folder: Folder, name: str, columns: list[str] | None = None, *, sha256: str | None = None) -> pa.Table:
    """A Parquet file of PREPARED or RUN, or these columns of it.

    Args:
        sha256: of the file as it was written, if known: most flipped bits of a table would be read as other values.

    Raises:
        PreparedError: it cannot be read, was changed, or lacks one of the columns.
    """
    try:
        content = folder.read_bytes(name)
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise PreparedError(f"{folder}: {name} was changed or damaged")
        file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        # Without threads: a thread of pyarrow that is still running when Python exits aborts the process
        # (apache/arrow#34314).
        table = file.read(columns, use_threads=False)
    except (OSError, pa.ArrowException) as e:
        raise PreparedError(f"{folder}: {name} cannot be read ({' '.join(str(e).split())})") from e
    if absent := set(columns or ()) - set(table.column_names):
        raise PreparedError(f"{folder}: {name} has no column {min(absent)}")
    return table


def write_parquet(folder: Folder, name: str, table: pa.Table) -> None:
    """Write a Parquet file atomically."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    folder.write_bytes(name, buffer.getvalue())
