"""What a preparation has to do: nothing, write the labels again, or make what is missing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import PrepareSettings
from genrelab.core.processes import available_cores
from genrelab.core.progress import Notify
from genrelab.core.storage import Folder
from genrelab.datasets.base import Dataset, Track
from genrelab.prepare import assemble
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
from genrelab.records.prepared import FINGERPRINTS_FILE, Prepared

UP_TO_DATE, RELABEL, REBUILD = "up to date", "relabel", "rebuild"


@dataclass(frozen=True)
class Plan:
    """What a preparation has to do.

    Attributes:
        action: nothing (`UP_TO_DATE`); write the tables again (`RELABEL`); or make pieces of all tracks, where
            unchanged tracks are reused (`REBUILD`).
        old: the existing preparation; None where there is nothing to build on.
        items: by track, what is to be made (`REBUILD` of audio).
        outcomes: by track, its outcome (known beforehand, unless audio is to be decoded).
        dataset_json: content of the new `dataset.json` (`RELABEL`).
        state: how `old` compares with the dataset (`REBUILD` of audio).
    """

    action: str
    old: Prepared | None = field(default=None, repr=False)
    items: list[Item] = field(default_factory=list, repr=False)
    outcomes: list[TrackOutcome] = field(default_factory=list, repr=False)
    dataset_json: dict[str, Any] = field(default_factory=dict, repr=False)
    state: PreviousState | None = field(default=None, repr=False)

    def with_reusable_tracks(self, *, cache: Path) -> list[Item]:
        """Its items, each with what can be reused of it; see `reusable_tracks`."""
        if self.state is None:
            return self.items
        kept, ids = reusable_tracks(self.state, cache=cache), self.state.track_ids
        return [replace(item, kept=kept.get(track_id)) for item, track_id in zip(self.items, ids, strict=True)]


def plan_audio(folder: Folder, dataset: Dataset, settings: PrepareSettings, work: Path, notify: Notify) -> Plan:
    """Plan for a dataset of audio. Every file and every shard of an earlier preparation is read once.

    Raises:
        PreparedError: see `find_existing` and `compare`.
    """
    old = find_existing(folder, dataset, settings, work, notify)
    items = [
        Item(index, str(dataset.root / t.path) if t.path is not None else "", problem_of(t))
        for index, t in enumerate(dataset.tracks)
    ]
    if old is None:
        return Plan(REBUILD, items=items)
    state = compare(dataset, old, threads=available_cores())
    for sentence in _describe_changes(state):
        notify(sentence)
    if not only_labels_differ(state, items):
        return Plan(REBUILD, old, items, state=state)
    outcomes = outcomes_of(old)
    return _relabel_plan(old, dataset, outcomes, _unchanged_dataset_json(dataset, settings, outcomes, old))


def plan_table(
    folder: Folder, dataset: Dataset, settings: PrepareSettings, values: NDArray[np.float32], work: Path,
    notify: Notify,
) -> Plan:  # fmt: skip
    """Plan for a table of features: it is up to date, or written again as a whole.

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
    if old is None:
        return Plan(REBUILD, outcomes=outcomes)
    rows = {*zip(old.tracks["track_id"], old.tracks["sha256"], strict=True)}
    same = any((t.track_id, o.sha256) in rows for t, o in zip(dataset.tracks, outcomes, strict=True))
    check_root(folder, old.about, dataset, same)
    plan = _relabel_plan(old, dataset, outcomes, _unchanged_dataset_json(dataset, settings, outcomes, old))
    if check_files(old, threads=1)[1] or plan.action != UP_TO_DATE:
        return Plan(REBUILD, old, outcomes=outcomes)
    return plan


def problem_of(track: Track) -> str | None:
    """Why a track cannot be used although its file may be there."""
    return track.problem or ("no genre label" if track.genre is None else None)


def _relabel_plan(old: Prepared, dataset: Dataset, outcomes: list[TrackOutcome], about: dict[str, Any]) -> Plan:
    """Plan for unchanged data: nothing to do if the tables would be written as they are."""
    same = (
        old.about == json.loads(json.dumps(about))
        and old.tracks == assemble.tracks_table(dataset.tracks, outcomes).to_pydict()
        and old.folder.exists("failures.csv")
        and old.folder.read_bytes("failures.csv") == assemble.failures(dataset, outcomes)
    )
    return Plan(UP_TO_DATE if same else RELABEL, old, outcomes=outcomes, dataset_json=about)


def _unchanged_dataset_json(
    dataset: Dataset, settings: PrepareSettings, outcomes: list[TrackOutcome], old: Prepared
) -> dict[str, Any]:
    """`dataset.json` for unchanged data, with the versions that made them."""
    files = old.about.get("files", {})
    return assemble.dataset_json(dataset, settings, outcomes, files) | {"versions": old.about["versions"]}


def _describe_changes(state: PreviousState) -> Iterator[str]:
    same = sum(map(state.unchanged, state.track_ids))
    yield f"{same} of {len(state.track_ids)} tracks have not changed since they were prepared"
    if FINGERPRINTS_FILE not in state.old.about.get("files", {}):
        yield f"{state.old.folder} is of an earlier version, without fingerprints: its tracks are decoded for them"
    if state.damaged:
        more = f" and {len(state.damaged) - 1} more" if len(state.damaged) > 1 else ""
        yield f"{state.old.folder}: {state.damaged[0]}{more} not as written: the tracks in it are prepared again"
