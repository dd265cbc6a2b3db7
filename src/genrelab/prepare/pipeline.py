"""Dataset → records. Parallel, resumable after a kill at any moment, the same bytes at every run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from genrelab.core.config import PrepareSettings, TableView
from genrelab.core.errors import PreparedError, SettingsError
from genrelab.core.processes import available_cores
from genrelab.core.storage import Folder
from genrelab.datasets.base import Dataset, FeatureTable, Track
from genrelab.leakage import audit
from genrelab.prepare import assemble, previous, work_unit, workers
from genrelab.prepare.estimate import Estimate
from genrelab.prepare.work_unit import Item, Piece, TrackOutcome
from genrelab.records.prepared import FINGERPRINTS_FILE, Prepared, open_prepared

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


def _nothing(*_: object) -> None:
    """For callers that want no news."""


def prepare(
    dataset: Dataset,
    out: str | Path | Folder,
    settings: PrepareSettings | None = None,
    *,
    jobs: int | None = None,
    say: Say = _nothing,
    progress: Progress = _nothing,
) -> Prepared:
    """Decode every track once and write all views to PREPARED.

    Args:
        out: folder or fsspec address. One that holds the same settings is completed or brought up to date.
        jobs: worker processes; None takes the machine's cores.
        say: gets sentences for the user.
        progress: gets (tracks done, tracks in all) after every piece.

    Raises:
        PreparedError: `out` holds other settings, another dataset, or other files.
    """
    folder = out if isinstance(out, Folder) else Folder(out)
    n_jobs = available_cores() if jobs is None else jobs
    if n_jobs < 1:
        raise SettingsError(f"--jobs must be 1 or more. Received: {n_jobs}")
    work = _work_folder(folder)
    with _locked(folder, work.parent, say):
        if dataset.features is not None:
            prepared = _prepare_table(dataset, dataset.features, folder, work, say)
        else:
            prepared = _prepare_audio(dataset, folder, work, settings or PrepareSettings(), n_jobs, say, progress)
        _discard(work)
        _audit(prepared, say)
    return prepared


def _audit(prepared: Prepared, say: Say) -> None:
    """`audit.json`, anew where what it looks at has changed; copies are told of every time."""
    try:
        found = prepared.folder.read_json(audit.FILE)
    except (FileNotFoundError, ValueError):
        found = {}
    if found.get("key") != audit.audit_key(prepared):
        found = audit.audit_prepared(prepared)
        prepared.folder.write_json(audit.FILE, found)
    for sentence in found["sentences"]:
        say(sentence)


def _prepare_audio(
    dataset: Dataset, folder: Folder, work: Path, settings: PrepareSettings, jobs: int, say: Say, progress: Progress
) -> Prepared:
    old = previous.find_existing(folder, dataset, settings, work, say)
    items = [
        Item(index, str(dataset.root / t.path) if t.path is not None else "", _problem(t))
        for index, t in enumerate(dataset.tracks)
    ]
    if old is not None:
        found = previous.compare(dataset, old, threads=available_cores())
        _report_changes(found, items, dataset, say)
        if previous.only_labels_differ(dataset, found, items):
            return _relabel(dataset, settings, old, say)
    _start_work_folder(work, settings)
    if old is not None:
        kept = previous.reusable_tracks(found, cache=work / "old")
        items = [replace(i, kept=kept.get(t.track_id)) for i, t in zip(items, dataset.tracks, strict=True)]
    order = work_unit.plan(items, work, settings, tracks=work_unit.PIECE_TRACKS)
    todo = _todo(order, say)
    jobs = min(jobs, len(todo))
    outlook = Estimate(order, todo, jobs, folder, say)
    _make_pending(order, todo, jobs, outlook, progress)
    outlook.check_disk_space()
    assemble.assemble(folder, dataset, settings, order)
    return open_prepared(folder)


def _problem(track: Track) -> str | None:
    return track.problem or ("no genre label" if track.genre is None else None)


def _report_changes(found: previous.PreviousState, items: list[Item], dataset: Dataset, say: Say) -> None:
    same = sum(found.unchanged(t.track_id) for t in dataset.tracks)
    say(f"{same} of {len(items)} tracks have not changed since they were prepared")
    if FINGERPRINTS_FILE not in found.old.about.get("files", {}):
        say(f"{found.old.folder} is of an earlier version, without fingerprints: its tracks are decoded for them")
    if found.damaged:
        more = f" and {len(found.damaged) - 1} more" if len(found.damaged) > 1 else ""
        say(f"{found.old.folder}: {found.damaged[0]}{more} not as written: the tracks in it are prepared again")


def _prepare_table(dataset: Dataset, table: FeatureTable, folder: Folder, work: Path, say: Say) -> Prepared:
    settings = PrepareSettings(views=(TableView(columns=table.columns),))
    old = previous.find_existing(folder, dataset, settings, work, say)
    outcomes = [
        TrackOutcome(i, "failed", "label", _problem(t))
        if _problem(t) is not None
        else TrackOutcome(i, "ok", sha256=hashlib.sha256(row.tobytes()).hexdigest())
        for i, (t, row) in enumerate(zip(dataset.tracks, table.values, strict=True))
    ]
    if old is not None:
        rows = {*zip(old.tracks["track_id"], old.tracks["sha256"], strict=True)}
        same = any((t.track_id, o.sha256) in rows for t, o in zip(dataset.tracks, outcomes, strict=True))
        previous.check_root(folder, old.about, dataset, same)
        damaged = previous.check_files(old, threads=1)[1]
        if not damaged and _is_up_to_date(
            old, dataset, outcomes, _unchanged_dataset_json(dataset, settings, outcomes, old)
        ):
            say(f"{folder} is up to date: {len(dataset.tracks)} tracks")
            return old
    _start_work_folder(work, settings)
    folder.remove("dataset.json")
    files = assemble.write_feature_table(folder, dataset)
    assemble.write_tables(folder, dataset, outcomes, assemble.dataset_json(dataset, settings, outcomes, files))
    return open_prepared(folder)


def _work_folder(folder: Folder) -> Path:
    """Where pieces grow: inside a local PREPARED, else in the user's cache, under a name that a resume finds again."""
    if folder.is_local:
        return folder.local / ".work"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "genrelab" / "work" / hashlib.sha256(str(folder).encode()).hexdigest()[:16] / ".work"


@contextmanager
def _locked(folder: Folder, place: Path, say: Say) -> Iterator[None]:
    """Two preparations of one folder at a time would undo each other's work.

    The lock lies on the folder itself: there is no file that a kill could leave, or a removal could make two of.
    """
    Folder(place).make_folder()
    try:
        import fcntl
    except ImportError:  # Windows: no lock there
        yield
        return
    lock = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
        os.close(lock)
        raise PreparedError(f"{folder}: another prepare is writing here; wait for it to end") from e
    except OSError as e:  # some network file systems
        say(f"{folder} cannot be locked ({e.strerror}): let no other prepare write to it meanwhile")
    try:
        yield
    finally:
        os.close(lock)


def _discard(work: Path) -> None:
    """Remove the work folder under another name, so that a kill on the way leaves no half pieces to go on with."""
    dead = work.with_name(f"{work.name}.dead")
    if dead.exists():
        shutil.rmtree(dead)
    if work.exists():
        work.rename(dead)
        shutil.rmtree(dead)


def _relabel(dataset: Dataset, settings: PrepareSettings, old: Prepared, say: Say) -> Prepared:
    outcomes = previous.outcomes_of(old)
    about = _unchanged_dataset_json(dataset, settings, outcomes, old)
    if _is_up_to_date(old, dataset, outcomes, about):
        say(f"{old.folder} is up to date: {len(old)} tracks")
        return old
    say(f"{old.folder}: the audio has not changed; only the table of tracks is written again")
    assemble.write_tables(old.folder, dataset, outcomes, about)
    return open_prepared(old.folder)


def _unchanged_dataset_json(
    dataset: Dataset, settings: PrepareSettings, outcomes: list[TrackOutcome], old: Prepared
) -> dict[str, Any]:
    """`dataset.json` where the data stay as they are, with the versions that made them."""
    files = old.about.get("files", {})
    return assemble.dataset_json(dataset, settings, outcomes, files) | {"versions": old.about["versions"]}


def _is_up_to_date(old: Prepared, dataset: Dataset, outcomes: list[TrackOutcome], about: dict[str, Any]) -> bool:
    return (
        old.about == json.loads(json.dumps(about))
        and old.tracks == assemble.tracks_table(dataset.tracks, outcomes).to_pydict()
        and old.folder.exists("failures.csv")
        and old.folder.read_bytes("failures.csv") == assemble.failures(dataset.tracks, outcomes)
    )


def _start_work_folder(work: Path, settings: PrepareSettings) -> None:
    """A work folder with the pieces of an interrupted preparation with these settings, if there are any."""
    if previous.read_work_settings(work) != previous.settings_as_stored(settings):
        _discard(work)
    Folder(work).write_json("settings.json", settings.to_json())
    for half in [*work.glob(".piece-*.tmp"), *work.glob("old")]:
        shutil.rmtree(half)


def _todo(order: list[Piece], say: Say) -> list[Piece]:
    todo = [p for p in order if not work_unit.is_done(p)]
    if len(todo) < len(order):
        say(f"going on where it stopped: {n_tracks(order) - n_tracks(todo)} tracks are done")
    return todo


def n_tracks(some: list[Piece]) -> int:
    """Tracks of some pieces."""
    return sum(len(p.items) for p in some)


def _make_pending(order: list[Piece], todo: list[Piece], jobs: int, outlook: Estimate, progress: Progress) -> None:
    total, done = n_tracks(order), n_tracks(order) - n_tracks(todo)

    def report(piece: Piece, seconds: float) -> None:
        nonlocal done
        done += len(piece.items)
        progress(done, total)
        outlook.after(piece, seconds)

    progress(done, total)
    if todo:
        workers.make_pieces(todo, jobs=jobs, done=report)
