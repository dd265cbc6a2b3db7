"""PREPARED → TFRecords as in the article, for code that reads those: one file a shard, its record count in its name.

A record has the features `song` (floats), `class` (int64) and `one_hot_class` (floats), as in the TensorFlow codelab
that the article follows.
"""

from __future__ import annotations

import csv
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.bundle.manifest import MANIFEST_FILE
from genrelab.core.config import MelImageView, View, view_to_json
from genrelab.core.errors import PreparedError, SettingsError
from genrelab.core.progress import Notify, ignore
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.export.article_readme import readme_text, split_by_shard
from genrelab.export.export_folder import finish_export, replacing
from genrelab.records import tfrecord
from genrelab.records.prepared import Prepared, open_prepared
from genrelab.records.shards import Shard, check_shards
from genrelab.splits.track_table import artist_key

FORM = "tfrecord-article"
"""Name of this form after `--format`."""

VIEWS = ("samples", "mel_image")
"""Views that have this form, as in the article."""

SHARDS, MIN_SHARDS = 16, 3
"""Number of shards in the article, and one each for training, validation and test."""

SEED = 42
"""Of the order in which tracks are dealt to shards: always the same."""

TRACKS_COLUMNS = ("file", "track_id", "path", "genre", "class", "artist")
LABELS_COLUMNS = ("class", "genre", "records")


@dataclass(frozen=True)
class _Window:
    """One record of PREPARED: the track, and where the record is."""

    track: int
    shard: Path
    offset: int
    length: int


def export_article_records(
    address: str, out: Path, *, view: str = "samples", n_shards: int = SHARDS, overwrite: bool = False,
    notify: Notify = ignore,
) -> Path:  # fmt: skip
    """Write the tracks of PREPARED as TFRecords in the article's form.

    Tracks are shuffled with a fixed seed; all windows of a track are in one shard. One window is in memory at a time.

    Args:
        address: PREPARED, on this disk or at an fsspec address.
        out: folder on this disk; an earlier export there is replaced.
        view: one of `VIEWS`.
        overwrite: replace an earlier export even if it contains files that export did not write.
        notify: receives damage, and how many artists a split by shard puts into several sets.

    Returns:
        `out`: the shards, `labels.csv`, `tracks.csv`, `README.md`, `settings.json`.

    Raises:
        SettingsError: another view, too few or too many shards, or `out` may not be replaced or written.
        PreparedError: there is no such preparation, or it does not have the view, or none of its records can be read.
    """
    if view not in VIEWS:
        raise SettingsError(f"--view {view!r} has no form {FORM}: use {' or '.join(VIEWS)}")
    if any(Folder(address).exists(name) for name in (MANIFEST_FILE, f"bundle/{MANIFEST_FILE}")):
        raise SettingsError(f"{address} is a model, and {FORM} is a form of tracks: give the output of `prepare`")
    prepared = open_prepared(address)
    if "table" in prepared.views:
        raise SettingsError(f"{prepared.folder} is a table of features, without audio: prepare a folder of music")
    settings, where = prepared.view(view), prepared.folder
    source = where.local if where.is_local else None
    with (
        tempfile.TemporaryDirectory(prefix="genrelab-") as cache,
        replacing(out, source=source, overwrite=overwrite) as folder,
    ):
        found = check_shards(prepared, settings, cache=Path(cache))
        if found.damage:
            notify(found.damage)
        shards = _deal(_windows_by_track(prepared, found.shards), n_shards)
        rows = [
            row for number, windows in enumerate(shards) for row in _write(folder, number, windows, prepared, settings)
        ]
        notify(leak := _leak_sentence(rows))
        _write_descriptions(folder, prepared, settings, rows, leak)
    return out


def _windows_by_track(prepared: Prepared, shards: Iterable[Shard]) -> list[list[_Window]]:
    """Windows of each usable track, in the order of the tracks."""
    windows = defaultdict(list)
    for shard in shards:
        for track, (offset, length) in zip(shard.track, shard.spans, strict=True):
            windows[track].append(_Window(track, shard.path, offset, length))
    return [windows[track] for track in sorted(windows) if prepared.usable[track]]


def _deal(tracks: list[list[_Window]], n_shards: int) -> Iterator[list[_Window]]:
    """The windows of each shard; shards differ by one track at most.

    Raises:
        SettingsError: there are too few shards for three sets, or fewer tracks than shards.
        PreparedError: no tracks.
    """
    if not tracks:
        raise PreparedError("none of the prepared records can be read: run the same `prepare` again")
    if not MIN_SHARDS <= n_shards <= len(tracks):
        limits = f"{MIN_SHARDS} or more, and no more than there are tracks ({len(tracks):,})"
        raise SettingsError(f"--shards must be {limits}. Received: {n_shards}")
    order = np.random.RandomState(SEED).permutation(len(tracks))  # its numbers are the same in every version of NumPy
    for chosen in np.array_split(order, n_shards):
        yield [window for track in chosen for window in tracks[track]]


def _write(
    folder: Path, number: int, windows: Sequence[_Window], prepared: Prepared, view: View
) -> Iterator[dict[str, Any]]:
    """Write one shard; yields the row of `tracks.csv` of every record."""
    t, genres = prepared.tracks, _genres(prepared)
    name = f"{number:02d}-{len(windows)}.tfrec"
    with (folder / name).open("wb") as f:
        for window in windows:
            genre = t["genre"][window.track]
            label = genres.index(genre)
            song = _song(view, tfrecord.read_at(window.shard, window.offset, window.length).x)
            one_hot = [float(i == label) for i in range(len(genres))]
            f.write(
                tfrecord.encode_lists(
                    {"song": ("float", song.tolist()), "class": ("int64", [label]), "one_hot_class": ("float", one_hot)}
                )
            )
            cells = (t[column][window.track] for column in ("track_id", "path"))
            yield dict(zip(TRACKS_COLUMNS, (name, *cells, genre, label, t["artist"][window.track]), strict=True))


def _genres(prepared: Prepared) -> list[str]:
    """Genres with a usable track, sorted: their numbers are those of `genrelab train`."""
    return sorted({g for g, ok in zip(prepared.tracks["genre"], prepared.usable, strict=True) if ok})


def _song(view: View, payload: bytes) -> NDArray[np.float32]:
    """One window as a flat list; a mel image as (mel bands, frames), as librosa has it, in one channel."""
    x = np.frombuffer(payload, view.dtype).reshape(view.shape)
    return np.ravel(x.T if isinstance(view, MelImageView) else x).astype(np.float32)


def _leak_sentence(rows: Sequence[dict[str, Any]]) -> str:
    """How many artists are in several sets if whole shards are training, validation and test set."""
    files = sorted({row["file"] for row in rows})
    validation, training = split_by_shard(len(files))
    part = {name: (i >= validation) + (i >= training) for i, name in enumerate(files)}
    parts = defaultdict(set)
    for row in rows:
        if artist := artist_key(row["artist"]):
            parts[artist].add(part[row["file"]])
    if not parts:
        return "A split by shard puts tracks of an artist into several sets; here the artists are unknown."
    n = sum(len(found) > 1 for found in parts.values())
    return f"A split by shard puts tracks of {n:,} of {pluralize(parts, 'artist')} into several sets."


def _write_descriptions(
    folder: Path, prepared: Prepared, view: View, rows: Sequence[dict[str, Any]], leak: str
) -> None:
    """Write the tables and `README.md`, and `settings.json` last."""
    genres, counts = _genres(prepared), Counter(row["class"] for row in rows)
    labels = [dict(zip(LABELS_COLUMNS, (i, genre, counts[i]), strict=True)) for i, genre in enumerate(genres)]
    for name, columns, table in (("tracks.csv", TRACKS_COLUMNS, rows), ("labels.csv", LABELS_COLUMNS, labels)):
        with (folder / name).open("w", newline="", encoding="utf-8") as f:
            writer = csv.DictWriter(f, columns)
            writer.writeheader()
            writer.writerows(table)
    sizes = {
        "tracks": len({row["track_id"] for row in rows}),
        "records": len(rows),
        "shards": len({row["file"] for row in rows}),
        "seed": SEED,
    }
    text = readme_text(prepared.name, view, genres, leak=leak, **sizes)
    (folder / "README.md").write_text(text, encoding="utf-8")
    about = {"dataset": prepared.name, "fingerprint": prepared.about["fingerprint"], "genres": genres, **sizes}
    created_by = f"genrelab {version('genrelab')}"
    finish_export(folder, {"format": FORM, "file": ".", "view": view_to_json(view), **about, "created_by": created_by})
