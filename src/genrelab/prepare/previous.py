"""An earlier preparation in the same folder: which of its data are still valid and undamaged."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import CLIP_CHOICE, CLIP_CHOICE_KEY, PARQUET_VIEWS, PrepareSettings, view_from_json
from genrelab.core.errors import DecodeError, PreparedError, SettingsError
from genrelab.core.progress import Notify
from genrelab.core.storage import Folder
from genrelab.datasets.base import Dataset
from genrelab.features.view_settings import view_options
from genrelab.prepare import assemble, work_unit
from genrelab.prepare.work_folder import read_settings, settings_as_stored
from genrelab.prepare.work_unit import Item, PackedFingerprint, ReusableTrack, TrackOutcome
from genrelab.records import tfrecord
from genrelab.records.prepared import FINGERPRINTS_FILE, Prepared, read_dataset_json, read_parquet, read_prepared

STAGES = ("find", "read", "label", "decode", "check", "view")
"""Stages at which a track can fail."""


def find_existing(
    folder: Folder, dataset: Dataset, settings: PrepareSettings, work: Path, notify: Notify
) -> Prepared | None:
    """The existing preparation, complete or to be repaired; None where there is none to build on.

    Raises:
        PreparedError: it has other settings or another dataset, or the folder contains other files.
    """
    stored = read_settings(work)
    if folder.exists("dataset.json"):
        about = read_dataset_json(folder)
        if about["name"] != dataset.name:
            raise PreparedError(f"{folder} was prepared from {about['name']}, not {dataset.name}: choose another --out")
        _check_settings(folder, about["settings"], settings, "it")
        old = _read_or_discard(folder, about, dataset, notify)
        if old is not None and CLIP_CHOICE_KEY not in about["settings"]:
            _check_clip_choice(old, settings)
        return old
    if stored is not None:
        _check_settings(folder, stored, settings, str(work))
    elif [n for n in folder.names() if not n.startswith(".work")]:
        raise PreparedError(f"{folder} contains other files, but not the output of `prepare`: choose another --out")
    return None


def _check_settings(folder: Folder, stored: dict[str, Any], settings: PrepareSettings, remove: str) -> None:
    found = list(_differences({CLIP_CHOICE_KEY: CLIP_CHOICE, **stored}, settings_as_stored(settings)))
    if not found:
        return
    only_views = all(d.startswith("views.") for d in found)  # such as one that is new by default
    keep = _advice_to_keep(stored["views"]) if only_views else ""
    raise PreparedError(
        f"{folder} has other settings than requested ({'; '.join(found)}): choose another --out, or "
        f"remove {remove}{keep}"
    )


def _advice_to_keep(stored: dict[str, Any]) -> str:
    """The options that request the stored views with their settings; empty if no options do."""
    if "table" in stored:
        return ""
    try:
        options = view_options(map(view_from_json, stored.values()))
    except (SettingsError, AttributeError):  # damaged, or written by another version
        return ""
    return f"; or keep its views: --views {','.join(stored)}{options}"


def _check_clip_choice(old: Prepared, settings: PrepareSettings) -> None:
    """Refuse a preparation by an earlier version, which used other clips of long tracks."""
    longest = (settings.clips.max_clips + 0.5) * settings.clips.clip_s
    if any(seconds is not None and seconds >= longest for seconds in old.tracks["duration_s"]):
        raise PreparedError(
            f"{old.folder} was prepared by an earlier version, which cut tracks of {longest:g} s or more "
            "into other clips: choose another --out, or remove it"
        )


def _read_or_discard(folder: Folder, about: dict[str, Any], dataset: Dataset, notify: Notify) -> Prepared | None:
    try:
        old = read_prepared(folder)
        found = assemble.inputs_sha256(old.tracks["track_id"], about["settings"], outcomes_of(old))
        reason = "" if found == about["fingerprint"] else f"{folder}: tracks.parquet was changed"
    except PreparedError as e:
        reason = str(e).partition(": run the same")[0]
    if not reason:
        return old
    check_root(folder, about, dataset, False)
    notify(f"{reason}; all tracks are prepared again")
    return None


def _differences(stored: Any, wanted: Any, at: str = "") -> Iterator[str]:
    """Every difference in words: `views.samples.n_samples is 10000, not 8000`."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        for key in sorted({*stored, *wanted}):
            yield from _differences(stored.get(key), wanted.get(key), f"{at}.{key}" if at else key)
    elif stored != wanted:
        shown = [("absent" if v is None else "present" if isinstance(v, dict) else v) for v in (stored, wanted)]
        yield f"{at} is {shown[0]}, not {shown[1]}"


@dataclass(frozen=True)
class PreviousState:
    """An earlier preparation compared with the dataset as it is now.

    Attributes:
        old: the preparation.
        track_ids: of the dataset now, in its order.
        before: by track id, its index in `old`.
        sha256: by track id, of the file as it is now, for the tracks of `old`; None where it cannot be read.
        whole: names of the shards and tables of `dataset.json` that are unchanged.
        damaged: those that are changed or missing, and shards that do not belong here.
    """

    old: Prepared
    track_ids: tuple[str, ...] = field(repr=False)
    before: dict[str, int] = field(repr=False)
    sha256: dict[str, str | None] = field(repr=False)
    whole: frozenset[str] = field(repr=False)
    damaged: tuple[str, ...]

    def unchanged(self, track_id: str) -> bool:
        """Was the track prepared without error, from the same content?"""
        i, sha256 = self.before.get(track_id), self.sha256.get(track_id)
        return i is not None and self.old.tracks["status"][i] == "ok" and sha256 == self.old.tracks["sha256"][i]


def compare(dataset: Dataset, old: Prepared, *, threads: int) -> PreviousState:
    """Compare a preparation with the dataset: reads every file and every shard once, `threads` at a time.

    Raises:
        PreparedError: it was made of another ROOT, and no track of this one is in it.
    """
    ids = tuple(t.track_id for t in dataset.tracks)
    before = {t: i for i, t in enumerate(old.tracks["track_id"])}
    known = [t for t in dataset.tracks if t.track_id in before and t.path is not None]
    with ThreadPoolExecutor(threads) as pool:  # hashlib releases the interpreter lock
        now = list(pool.map(lambda t: _sha256(dataset.root / str(t.path)), known))
    sha256 = {t.track_id: sha for t, sha in zip(known, now, strict=True)}
    found = PreviousState(old, ids, before, sha256, *check_files(old, threads=threads))
    check_root(old.folder, old.about, dataset, any(map(found.unchanged, before)))
    return found


def check_files(old: Prepared, *, threads: int) -> tuple[frozenset[str], tuple[str, ...]]:
    """Names of the shards and tables of `dataset.json` that are unchanged, and of the others."""
    files: dict[str, str] = old.about.get("files", {})
    present = [s for view in old.views if view not in PARQUET_VIEWS for s in old.shards(view)]
    names = sorted({*files, *present})
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(old.folder.sha256, names))
    whole = frozenset(n for n, sha in zip(names, found, strict=True) if sha is not None and sha == files.get(n))
    return whole, tuple(n for n in names if n not in whole)


def check_root(folder: Folder, about: dict[str, Any], dataset: Dataset, any_kept: bool) -> None:
    """Refuse to replace what was made of another folder: the datasets of all plain folders have the same name.

    Raises:
        PreparedError: the ROOT is another one, and no track of it was kept.
    """
    if about["root"] != str(dataset.root.resolve()) and not any_kept:
        raise PreparedError(
            f"{folder} was prepared from {about['root']}, and none of its tracks is in {dataset.root}: choose another "
            "--out, or remove it"
        )


def reusable_tracks(state: PreviousState, *, cache: Path) -> dict[str, ReusableTrack]:
    """By track id, what can be reused: tracks whose file is unchanged and whose records are undamaged in every view.

    Args:
        cache: folder for copies of old shards that are not on this disk.
    """
    old, t = state.old, state.old.tracks
    spans = {view: _record_spans(state, view, cache) for view in old.views if view not in PARQUET_VIEWS}
    rows: dict[str, list[tuple[float, NDArray[np.float32]]]] = {}
    if any(view in PARQUET_VIEWS for view in old.views):
        if "features.parquet" not in state.whole:
            return {}
        ids, starts, _, values = old.features()
        for track_id, start, row in zip(ids, starts, values, strict=True):
            rows.setdefault(track_id, []).append((float(start), row))
    prints = _read_fingerprints(state)
    return {
        track_id: ReusableTrack(
            t["sha256"][i],
            t["duration_s"][i],
            {v: s[i] for v, s in spans.items()},
            rows.get(track_id, []),
            None if prints is None else prints.get(track_id, []),
        )
        for track_id, i in state.before.items()
        if state.unchanged(track_id) and all(i in s for s in spans.values())
    }


def _read_fingerprints(state: PreviousState) -> dict[str, list[PackedFingerprint]] | None:
    """By track id, the rows of `fingerprints.parquet`; None where it is missing or damaged."""
    if FINGERPRINTS_FILE not in state.whole:
        return None
    found: dict[str, list[PackedFingerprint]] = {}
    for track_id, *mark in zip(*read_parquet(state.old.folder, FINGERPRINTS_FILE).to_pydict().values(), strict=True):
        found.setdefault(track_id, []).append((mark[0], mark[1], mark[2]))
    return found


def _record_spans(state: PreviousState, view: str, cache: Path) -> dict[int, list[tuple[str, int, int]]]:
    """By index in `old`, where a track's records are on this disk; tracks of damaged shards are left out.

    Records themselves name their track: earlier versions and other genres distributed tracks in another way.
    """
    old, found = state.old, dict[int, list[tuple[str, int, int]]]()
    for shard in (s for s in old.shards(view) if s in state.whole):
        local = old.folder.fetch(shard, cache)
        for offset, length, record in tfrecord.read_records(local):
            if isinstance(record, tfrecord.CorruptRecord):
                raise PreparedError(
                    f"{old.folder}: {shard} changed while it was being read: run the same command again"
                )
            found.setdefault(record.track, []).append((str(local), offset, length))
    return found


def _sha256(path: Path) -> str | None:
    try:
        return work_unit.file_sha256(path)
    except DecodeError:
        return None


def only_labels_differ(state: PreviousState, items: list[Item]) -> bool:
    """Are the files and their content the same, so that at most labels, artists and splits differ?"""
    return (
        not state.damaged
        and FINGERPRINTS_FILE in state.whole  # earlier versions wrote none: they are added
        and list(state.track_ids) == state.old.tracks["track_id"]
        and all(map(_same_outcome, items, outcomes_of(state.old), map(state.sha256.get, state.track_ids)))
    )


def _same_outcome(item: Item, before: TrackOutcome, sha256: str | None) -> bool:
    if not Path(item.path).exists() or before.status == "missing":
        return not Path(item.path).exists() and before.status == "missing"
    if item.problem is not None or before.stage == "label":
        return item.problem == before.error and before.stage == "label"
    return sha256 == before.sha256 and (before.status == "ok" or before.stage in STAGES)


def outcomes_of(old: Prepared) -> list[TrackOutcome]:
    """Outcome of each track in `old`. Only the total of record counts is known; the first track gets it."""
    stages, t = _failed_stages(old.folder), old.tracks
    outcomes = [
        TrackOutcome(
            i, t["status"][i], stages.get(t["track_id"][i], ""), t["error"][i], t["sha256"][i], t["duration_s"][i]
        )
        for i in range(len(old))
    ]
    outcomes[0] = replace(outcomes[0], n_records=dict(old.about["records"]))
    return outcomes


def _failed_stages(folder: Folder) -> dict[str, str]:
    """By track id, the stage at which it failed; empty where `failures.csv` cannot be read."""
    try:
        rows = list(csv.DictReader(io.StringIO(folder.read_bytes("failures.csv").decode())))
    except (FileNotFoundError, UnicodeDecodeError, csv.Error):
        return {}
    return {row.get("track_id", ""): row.get("stage") or "" for row in rows}
