"""Dataset → records. Parallel, resumable after a kill at any moment, the same bytes at every run."""

from __future__ import annotations

from pathlib import Path

from genrelab.core.config import PrepareSettings, TableView
from genrelab.core.errors import PreparedError, SettingsError, printable
from genrelab.core.lock import locked_folder
from genrelab.core.processes import available_cores
from genrelab.core.progress import Notify, Progress, ignore
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.datasets.base import Dataset, FeatureTable
from genrelab.leakage import audit
from genrelab.prepare import assemble, work_folder, work_unit, workers
from genrelab.prepare.estimate import Estimate
from genrelab.prepare.rerun_plan import plan_audio, plan_table
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
        notify: receives messages for the user.
        progress: receives (tracks done, tracks in all) after every piece.

    Raises:
        PreparedError: `out` has other settings, another dataset, or other files; or no track can be used.
    """
    folder = out if isinstance(out, Folder) else Folder(out)
    n_jobs = available_cores() if jobs is None else jobs
    if n_jobs < 1:
        raise SettingsError(f"--jobs must be 1 or more. Received: {n_jobs}")
    work = work_folder.work_folder(folder)
    Folder(work.parent).make_folder()
    # Two preparations would overwrite each other's pieces.
    with locked_folder(work.parent, str(folder), busy="is writing here", command="prepare", notify=notify):
        if dataset.features is not None:
            prepared = _prepare_table(dataset, dataset.features, folder, work, notify)
        else:
            prepared = _prepare_audio(dataset, folder, work, settings or PrepareSettings(), n_jobs, notify, progress)
        work_folder.discard(work)
        _check_usable(prepared)
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
    items = plan_audio(folder, dataset, settings, work, notify)
    if isinstance(items, Prepared):
        return items
    pieces = work_unit.plan(items, work, settings, tracks=work_unit.PIECE_TRACKS)
    todo = [p for p in pieces if not work_unit.is_done(p)]
    total = len(items)
    done = total - sum(len(p.items) for p in todo)
    if done:
        notify(f"resuming: {done:,} of {pluralize(total, 'track')} are done")
    jobs = min(jobs, len(todo))
    estimate = Estimate(pieces, todo, jobs, folder, notify)

    def finished(piece: Piece, seconds: float) -> None:
        nonlocal done
        done += len(piece.items)
        progress(done, total)
        estimate.after(piece, seconds)

    progress(done, total)
    workers.make_pieces(todo, jobs=jobs, done=finished)
    estimate.check_disk_space()
    assemble.assemble(folder, dataset, settings, pieces)
    return open_prepared(folder)


def _prepare_table(dataset: Dataset, table: FeatureTable, folder: Folder, work: Path, notify: Notify) -> Prepared:
    settings = PrepareSettings(views=(TableView(columns=table.columns),))
    outcomes = plan_table(folder, dataset, settings, table.values, work, notify)
    if isinstance(outcomes, Prepared):
        return outcomes
    folder.remove("dataset.json")
    files = assemble.write_feature_table(folder, dataset)
    about = assemble.dataset_json(dataset, settings, outcomes, files)
    assemble.write_tables(folder, dataset, outcomes, about)
    return open_prepared(folder)


def _check_usable(prepared: Prepared) -> None:
    """Refuse a preparation without a usable track, after it was written.

    Raises:
        PreparedError: there is none.
    """
    t, n = prepared.tracks, len(prepared)
    if not any(prepared.usable):
        first = printable(f"{t['path'][0] or t['track_id'][0]}: {t['error'][0]}")
        raise PreparedError(
            f"none of the tracks can be used ({pluralize(n, 'track')}); the first error: {first}. {prepared.folder}/"
            "failures.csv lists all of them: correct the files or labels and run the same command again"
        )


def _update_audit(prepared: Prepared, notify: Notify) -> None:
    """Write `audit.json` again if its inputs have changed; report its findings every time."""
    try:
        found = prepared.folder.read_json(audit.FILE)
    except (FileNotFoundError, ValueError):
        found = {}
    if found.get("key") != audit.audit_key(prepared):
        found = audit.audit_prepared(prepared)
        prepared.folder.write_json(audit.FILE, found)
    for sentence in found["sentences"]:
        notify(sentence)
