"""4 What an earlier preparation in the same place holds, and what of it is still true."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from genrelab import pieces, records
from genrelab.config import PrepareSettings
from genrelab.dataset import Dataset
from genrelab.errors import DecodeError, PreparedError
from genrelab.pieces import Item, Kept, Outcome
from genrelab.prepared import Prepared, open_prepared
from genrelab.storage import Folder


def look(folder: Folder, dataset: Dataset, settings: PrepareSettings) -> Prepared | None:
    """The preparation that is already there, if its settings are these."""
    if folder.exists("dataset.json"):
        old = open_prepared(folder)
        held, wanted = old.about["settings"], settings.to_json()
        if old.name != dataset.name:
            raise PreparedError(f"{folder} holds the dataset {old.name}, not {dataset.name}: choose another --out")
    elif folder.exists(".work/settings.json"):
        old, held, wanted = None, folder.read_json(".work/settings.json"), settings.to_json()
    elif [n for n in folder.names() if n != ".work"]:
        raise PreparedError(f"{folder} holds other files and no preparation: choose another --out")
    else:
        return None
    if held != wanted:
        raise PreparedError(
            f"{folder} holds other settings ({'; '.join(_differences(held, wanted))}): "
            "choose another --out, or remove it"
        )
    return old


def _differences(held: Any, wanted: Any, at: str = "") -> Iterator[str]:
    """`views.samples.n_samples is 10000 there, 8000 here`."""
    if isinstance(held, dict) and isinstance(wanted, dict):
        for key in sorted({*held, *wanted}):
            yield from _differences(held.get(key), wanted.get(key), f"{at}.{key}" if at else key)
    elif held != wanted:
        shown = [("absent" if v is None else "present" if isinstance(v, dict) else v) for v in (held, wanted)]
        yield f"{at} is {shown[0]} there, {shown[1]} here"


def kept(dataset: Dataset, old: Prepared, *, cache: Path, threads: int) -> dict[str, Kept]:
    """By track id, what the old preparation holds of tracks whose files have the same content.

    Args:
        cache: folder for copies of old shards that do not lie on this disk.
        threads: files read at a time.
    """
    before = {t: i for i, t in enumerate(old.tracks["track_id"])}
    candidates = [t for t in dataset.tracks if t.track_id in before and t.path is not None]
    with ThreadPoolExecutor(threads) as pool:  # hashlib leaves the interpreter to the others
        shas = list(pool.map(lambda t: _sha256(dataset.root / str(t.path)), candidates))
    same = {
        t.track_id: before[t.track_id]
        for t, sha in zip(candidates, shas, strict=True)
        if sha is not None and sha == old.tracks["sha256"][before[t.track_id]]
        and old.tracks["status"][before[t.track_id]] == "ok"
    }  # fmt: skip
    spans = _spans(old, cache)
    rows: dict[str, list[Any]] = {}
    if "statistics" in old.views:
        ids, starts, _, values = old.features()
        for track_id, start, row in zip(ids, starts, values, strict=True):
            rows.setdefault(track_id, []).append((float(start), row))
    return {
        t: Kept(old.tracks["sha256"][i], old.tracks["duration_s"][i], {v: s.get(i, []) for v, s in spans.items()},
                rows.get(t, []))
        for t, i in same.items()
    }  # fmt: skip


def _spans(old: Prepared, cache: Path) -> dict[str, dict[int, list[tuple[str, int, int]]]]:
    """view → track index → where its records lie on this disk; a track with a corrupt record is left out."""
    found: dict[str, dict[int, list[tuple[str, int, int]]]] = {}
    for view in (v for v in old.views if v != "statistics"):
        found[view] = {}
        for shard in old.shards(view):
            local = old.folder.fetch(shard, cache)
            for offset, length, record in records.read_records(local):
                if isinstance(record, records.Record):
                    found[view].setdefault(record.track, []).append((str(local), offset, length))
    return found


def _sha256(path: Path) -> str | None:
    try:
        return pieces.file_sha256(path)
    except DecodeError:
        return None


def only_labels_differ(dataset: Dataset, old: Prepared, items: list[Item]) -> bool:
    """Are there the same files with the same content, so that at most labels, artists and splits differ?"""
    if [t.track_id for t in dataset.tracks] != old.tracks["track_id"]:
        return False
    for item, status, before in zip(items, old.tracks["status"], old.tracks["sha256"], strict=True):
        here = _sha256(Path(item.path)) if item.kept is None else before
        if here != before or (status == "ok") != (item.kept is not None and item.problem is None):
            return False
    return True


def outcomes_of(old: Prepared) -> list[Outcome]:
    """What became of each track then. Record counts are known in all only; they stand with the first track."""
    rows = csv.DictReader(io.StringIO(old.folder.read_bytes("failures.csv").decode()))
    stages = {row["track_id"]: row["stage"] for row in rows}
    t = old.tracks
    outcomes = [
        Outcome(i, t["status"][i], stages.get(t["track_id"][i], ""), t["error"][i], t["sha256"][i], t["duration_s"][i])
        for i in range(len(old))
    ]
    outcomes[0] = replace(outcomes[0], n_records=dict(old.about["records"]))
    return outcomes
