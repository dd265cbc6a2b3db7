"""Dataset → records. Parallel, resumable after a kill at any moment, the same bytes at every run."""

from __future__ import annotations

from pathlib import Path

from genrelab.core.config import PrepareSettings, TableView
from genrelab.core.errors import SettingsError
from genrelab.core.processes import available_cores
from genrelab.core.progress import Notify, Progress, ignore
from genrelab.core.storage import Folder
from genrelab.datasets.base import Dataset, FeatureTable
from genrelab.leakage import audit
from genrelab.prepare import assemble, work_folder, work_unit, workers
from genrelab.prepare.estimate import Estimate
from genrelab.prepare.rerun_plan import REBUILD, UP_TO_DATE, Plan, plan_audio, plan_table
from genrelab.prepare.work_unit import Piece
from genrelab.records.prepared import Prepared, open_prepared


def prepare(
    dataset: Dataset,
    out: str | Path | Folder,
    settings: PrepareSettings | None = None,
    *,
    jobs: int | None = None,
    notify: Notify = ignore,
    progress: Progress = ignore,
) -> Prepared:
    """Decode every track once and write all views to PREPARED.

    Args:
        out: folder or fsspec address. One that holds the same settings is completed or brought up to date.
        jobs: worker processes; None takes the machine's cores.
        notify: gets sentences for the user.
        progress: gets (tracks done, tracks in all) after every piece.

    Raises:
        PreparedError: `out` holds other settings, another dataset, or other files.
    """
    folder = out if isinstance(out, Folder) else Folder(out)
    n_jobs = available_cores() if jobs is None else jobs
    if n_jobs < 1:
        raise SettingsError(f"--jobs must be 1 or more. Received: {n_jobs}")
    work = work_folder.work_folder(folder)
    with work_folder.locked(folder, work.parent, notify):
        if dataset.features is not None:
            prepared = _prepare_table(dataset, dataset.features, folder, work, notify)
        else:
            prepared = _prepare_audio(dataset, folder, work, settings or PrepareSettings(), n_jobs, notify, progress)
        work_folder.discard(work)
        _update_audit(prepared, notify)
    return prepared


def _prepare_audio(
    dataset: Dataset,
    folder: Folder,
    work: Path,
    settings: PrepareSettings,
    jobs: int,
    notify: Notify,
    progress: Progress,
) -> Prepared:
    plan = plan_audio(folder, dataset, settings, work, notify)
    if plan.action != REBUILD:
        return _write_labels(plan, dataset, notify)
    work_folder.start(work, settings)
    items = plan.with_reusable_tracks(cache=work / "old")
    pieces = work_unit.plan(items, work, settings, tracks=work_unit.PIECE_TRACKS)
    todo = _unfinished_pieces(pieces, notify)
    jobs = min(jobs, len(todo))
    estimate = Estimate(pieces, todo, jobs, folder, notify)
    _make_pieces(pieces, todo, jobs, estimate, progress)
    estimate.check_disk_space()
    assemble.assemble(folder, dataset, settings, pieces)
    return open_prepared(folder)


def _prepare_table(dataset: Dataset, table: FeatureTable, folder: Folder, work: Path, notify: Notify) -> Prepared:
    settings = PrepareSettings(views=(TableView(columns=table.columns),))
    plan = plan_table(folder, dataset, settings, table.values, work, notify)
    if plan.action != REBUILD:
        return _write_labels(plan, dataset, notify)
    work_folder.start(work, settings)
    folder.remove("dataset.json")
    files = assemble.write_feature_table(folder, dataset)
    about = assemble.dataset_json(dataset, settings, plan.outcomes, files)
    assemble.write_tables(folder, dataset, plan.outcomes, about)
    return open_prepared(folder)


def _write_labels(plan: Plan, dataset: Dataset, notify: Notify) -> Prepared:
    """The audio has not changed: nothing to do, or only labels, artists and splits to be written again."""
    assert plan.old is not None
    folder = plan.old.folder
    if plan.action == UP_TO_DATE:
        notify(f"{folder} is up to date: {len(plan.old)} tracks")
        return plan.old
    notify(f"{folder}: the audio has not changed; only the table of tracks is written again")
    assemble.write_tables(folder, dataset, plan.outcomes, plan.dataset_json)
    return open_prepared(folder)


def _unfinished_pieces(pieces: list[Piece], notify: Notify) -> list[Piece]:
    todo = [p for p in pieces if not work_unit.is_done(p)]
    if len(todo) < len(pieces):
        notify(f"going on where it stopped: {n_tracks(pieces) - n_tracks(todo)} tracks are done")
    return todo


def n_tracks(pieces: list[Piece]) -> int:
    """Tracks of some pieces."""
    return sum(len(p.items) for p in pieces)


def _make_pieces(pieces: list[Piece], todo: list[Piece], jobs: int, estimate: Estimate, progress: Progress) -> None:
    total, done = n_tracks(pieces), n_tracks(pieces) - n_tracks(todo)

    def report(piece: Piece, seconds: float) -> None:
        nonlocal done
        done += len(piece.items)
        progress(done, total)
        estimate.after(piece, seconds)

    progress(done, total)
    if todo:
        workers.make_pieces(todo, jobs=jobs, done=report)


def _update_audit(prepared: Prepared, notify: Notify) -> None:
    """Write `audit.json` again if its inputs have changed; its findings are reported every time."""
    try:
        found = prepared.folder.read_json(audit.FILE)
    except (FileNotFoundError, ValueError):
        found = {}
    if found.get("key") != audit.audit_key(prepared):
        found = audit.audit_prepared(prepared)
        prepared.folder.write_json(audit.FILE, found)
    for sentence in found["sentences"]:
        notify(sentence)
