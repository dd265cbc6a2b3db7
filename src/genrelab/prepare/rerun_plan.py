"""Decides what a preparation has to do: nothing, write the labels again, or make what is missing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import PrepareSettings
from genrelab.core.processes import available_cores
from genrelab.core.progress import Notify
from genrelab.core.storage import Folder
from genrelab.core.text import join_first, pluralize
from genrelab.datasets.base import Dataset, Track
from genrelab.prepare import assemble, work_folder
from genrelab.prepare.previous import (
    PreviousState,
    check_files,
    check_root,
    compare,
    find_existing,
    only_labels_differ,
    outcomes_of,
    reusable_tracks,
)
from genrelab.prepare.work_unit import Item, TrackOutcome
from genrelab.records.prepared import FINGERPRINTS_FILE, Prepared, open_prepared


def plan_audio(
    folder: Folder, dataset: Dataset, settings: PrepareSettings, work: Path, notify: Notify
) -> list[Item] | Prepared:
    """By track of a dataset of audio, what is to be made and what is reused; or the preparation, if it is finished.

    Every file and every shard of an earlier preparation is read once. If only labels, artists or splits differ, its
    tables are written again. Where pieces are to be made the work folder is started.

    Raises:
        PreparedError: see `find_existing` and `compare`.
    """
    old = find_existing(folder, dataset, settings, work, notify)
    items = [
        Item(index, str(dataset.root / t.path) if t.path is not None else "", problem_of(t))
        for index, t in enumerate(dataset.tracks)
    ]
    if old is None:
        work_folder.start(work, settings)
        return items
    state = compare(dataset, old, threads=available_cores())
    for message in _describe_changes(state):
        notify(message)
    if only_labels_differ(state, items):
        return _write_labels(old, dataset, settings, notify)
    work_folder.start(work, settings)
    kept = reusable_tracks(state, cache=work / "old")
    return [replace(item, kept=kept.get(i)) for item, i in zip(items, state.track_ids, strict=True)]


def plan_table(
    folder: Folder, dataset: Dataset, settings: PrepareSettings, values: NDArray[np.float32], work: Path,
    notify: Notify,
) -> list[TrackOutcome] | Prepared:  # fmt: skip
    """The outcomes of a table of features, which is to be written as a whole; or the preparation, if it is up to date.

    Args:
        values: its features, shape (tracks, columns).

    Raises:
        PreparedError: see `find_existing` and `check_root`.
    """
    old = find_existing(folder, dataset, settings, work, notify)
    outcomes = [
        TrackOutcome(i, "failed", "label", problem_of(t))
        if problem_of(t) is not None
        else TrackOutcome(i, "ok", sha256=hashlib.sha256(row.tobytes()).hexdigest())
        for i, (t, row) in enumerate(zip(dataset.tracks, values, strict=True))
    ]
    if old is not None:
        rows = {*zip(old.tracks["track_id"], old.tracks["sha256"], strict=True)}
        same = any((t.track_id, o.sha256) in rows for t, o in zip(dataset.tracks, outcomes, strict=True))
        check_root(folder, old.about, dataset, same)
        about = _dataset_json(old, dataset, settings, outcomes)
        if _is_up_to_date(old, dataset, outcomes, about) and not check_files(old, threads=1)[1]:
            notify(f"{folder} is up to date: {pluralize(old, 'track')}")
            return old
    work_folder.start(work, settings)
    return outcomes


def problem_of(track: Track) -> str | None:
    """Why a track cannot be used although its file may be there."""
    return track.problem or ("no genre label" if track.genre is None else None)


def _write_labels(old: Prepared, dataset: Dataset, settings: PrepareSettings, notify: Notify) -> Prepared:
    """Write the tables again where labels, artists or splits differ; the audio has not changed."""
    outcomes = outcomes_of(old)
    about = _dataset_json(old, dataset, settings, outcomes)
    if _is_up_to_date(old, dataset, outcomes, about):
        notify(f"{old.folder} is up to date: {pluralize(old, 'track')}")
        return old
    notify(f"{old.folder}: the audio has not changed; only the tables are written again")
    assemble.write_tables(old.folder, dataset, outcomes, about)
    return open_prepared(old.folder)


def _dataset_json(
    old: Prepared, dataset: Dataset, settings: PrepareSettings, outcomes: list[TrackOutcome]
) -> dict[str, Any]:
    """`dataset.json` of unchanged data, with the versions that made them."""
    about = assemble.dataset_json(dataset, settings, outcomes, old.about.get("files", {}))
    return about | {"versions": old.about["versions"]}


def _is_up_to_date(old: Prepared, dataset: Dataset, outcomes: list[TrackOutcome], about: dict[str, Any]) -> bool:
    return (
        old.about == json.loads(json.dumps(about))
        and old.tracks == assemble.tracks_table(dataset.tracks, outcomes).to_pydict()
        and old.folder.exists("failures.csv")
        and old.folder.read_bytes("failures.csv") == assemble.failures(dataset, outcomes)
    )


def _describe_changes(state: PreviousState) -> Iterator[str]:
    n_same = sum(map(state.unchanged, state.track_ids))
    yield f"  unchanged since the last `prepare`: {n_same:,} of {pluralize(state.track_ids, 'track')}"
    if FINGERPRINTS_FILE not in state.old.about.get("files", {}):
        yield f"{state.old.folder}: an earlier version wrote no fingerprints: all tracks are decoded again"
    if state.damaged:
        yield f"{state.old.folder}: changed or damaged: {join_first(state.damaged)}; their tracks are prepared again"
