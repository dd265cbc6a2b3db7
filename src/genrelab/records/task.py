"""The task that models are compared on: genres, split and labels of a preparation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from genrelab.core.config import TrainSettings
from genrelab.core.storage import Folder
from genrelab.core.text import join_first, pluralize
from genrelab.records.examples import Labels
from genrelab.records.prepared import TRACKS_SCHEMA, Prepared, write_parquet
from genrelab.splits.split import Split, make_split
from genrelab.splits.track_table import artist_key, artists_with_recordings


@dataclass(frozen=True)
class Task:
    """A preparation with its split.

    Attributes:
        genres: those with a usable track, sorted.
        notes: caveats about the task for readers of the scores.
        recordings: see `Prepared.recordings`.
    """

    prepared: Prepared
    split: Split
    genres: tuple[str, ...]
    notes: tuple[str, ...]
    recordings: tuple[object | None, ...] = field(repr=False)

    @property
    def digest(self) -> str:
        """Identifies the split: equal where every track has the same part."""
        return self.split.digest(self.prepared.tracks["track_id"])

    @property
    def key(self) -> str:
        """Identifies the task: equal where every track has the same genre, artist, part and role."""
        t = self.prepared.tracks
        content = [t["track_id"], t["genre"], t["artist"], list(self.split.parts), list(self.split.roles)]
        if any(recording is not None for recording in self.recordings):
            content.append(list(self.recordings))
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def labels(self, *, chooses: bool) -> Labels:
        """Labels of every track.

        Args:
            chooses: does the model choose anything (epochs) on rows that it is not fitted on? If not, it is fitted on
                the whole training set, with the fifth that is otherwise used for choosing.
        """
        genre_number = {g: i for i, g in enumerate(self.genres)}
        role = np.array(self.split.roles)
        if not chooses:
            role[(role == "choose") & (np.array(self.split.parts) == "training")] = "fit"
        y = [genre_number.get(g, -1) for g in self.prepared.tracks["genre"]]
        return Labels(self.genres, np.array(y, np.int64), role, self._group_numbers())

    def artists(self) -> list[str | None]:
        """The artist of each track as splits keep it together; None where unknown."""
        return list(artists_with_recordings(self.prepared.tracks["artist"], self.recordings))

    def groups(self) -> list[str | None] | None:
        """Of each track the group that must not be split: its artist, else its recording, None where neither is known.

        None where neither is known of any track.
        """
        recordings = (None if r is None else f"\trecording {r}" for r in self.recordings)
        keys = [artist or recording for artist, recording in zip(self.artists(), recordings, strict=True)]
        return keys if any(k is not None for k in keys) else None

    def recording_groups(self) -> list[str | None] | None:
        """The recording of each track, a key of its own where that is unknown; None where all are unknown."""
        if all(recording is None for recording in self.recordings):
            return None
        return [f"{i:09d}" if r is None else f"recording {r}" for i, r in enumerate(self.recordings)]

    def knows_artists(self) -> bool:
        """Is the artist of any track known?"""
        return any(artist_key(artist) is not None for artist in self.prepared.tracks["artist"])

    @property
    def sentence(self) -> str:
        """The split in one line."""
        counts = ", ".join(f"{n:,} {part}" for part, n in self.split.counts.items() if n)
        genres = pluralize(self.genres, "genre")
        return f"split {self.split.policy}: {counts}; {genres}; scored on {self.split.scored_part} tracks"

    def dataset_json(self) -> dict[str, Any]:
        """The entry of the dataset in `run.json`."""
        about = {name: self.prepared.about[name] for name in ("counts", "by_genre", "notes", "fingerprint")}
        return {
            "name": self.prepared.name,
            "prepared": str(self.prepared.folder),
            "root": self.prepared.about["root"],
            "genres": list(self.genres),
            **about,
        }

    def split_json(self) -> dict[str, Any]:
        """The entry of the split in `run.json`."""
        return {
            "policy": self.split.policy,
            "digest": self.digest,
            "counts": self.split.counts,
            "notes": list(self.notes),
            "no_test": self.split.no_test,
        }

    def _group_numbers(self) -> Any:
        numbers: dict[object, int] = {}
        groups = self.groups() or [None] * len(self.prepared)
        keys = [g if g is not None else i for i, g in enumerate(groups)]
        return np.array([numbers.setdefault(k, len(numbers)) for k in keys], np.int64)


def make_task(prepared: Prepared, settings: TrainSettings) -> Task:
    """Split a preparation.

    Raises:
        SplitError: the split would leave nothing to learn or nothing to test.
    """
    t, recordings = prepared.tracks, prepared.recordings()
    split = make_split(
        settings.split, track_ids=t["track_id"], paths=t["path"], genres=t["genre"], artists=t["artist"],
        official=t["official_split"], usable=prepared.usable, seed=settings.seed,
        recordings=recordings,
    )  # fmt: skip
    genres = tuple(sorted({g for g, ok in zip(t["genre"], prepared.usable, strict=True) if ok}))
    notes = list(split.notes)
    absent = [g for g in prepared.genres if g not in genres]
    if absent:
        notes.append(f"left out, because they have no usable track: {join_first(absent)}")
    if prepared.copies() is None:
        notes.append(
            "copies of a track may be in more than one set, because no search for copies was made: run the same "
            "`prepare` again"
        )
    return Task(prepared, split, genres, tuple(notes), tuple(recordings))


TRACK_COLUMNS = {
    name: TRACKS_SCHEMA.field(name).type for name in ("path", "genre", "artist", "album", "duration_s", "sha256")
}
"""Columns of `tracks.parquet` that `split.parquet` repeats, so that a RUN can be read without its PREPARED."""


def write_split(run: Folder, task: Task) -> None:
    """Write `split.parquet`: track_id, part, role in training, group (see `Task.groups`), and the `TRACK_COLUMNS`."""
    t = task.prepared.tracks
    groups = task.groups() or [None] * len(task.prepared)
    columns = {"track_id": t["track_id"], "part": task.split.parts, "role": task.split.roles, "group": groups}
    table = {name: pa.array(column, pa.string()) for name, column in columns.items()}
    write_parquet(
        run, "split.parquet", pa.table(table | {n: pa.array(t[n], kind) for n, kind in TRACK_COLUMNS.items()})
    )


def split_groups(split: Mapping[str, Sequence[Any]]) -> list[str | None]:
    """Group of each track from the columns of `split.parquet`; of an earlier version's the artist."""
    return list(split["group"]) if "group" in split else [artist_key(artist) for artist in split["artist"]]
