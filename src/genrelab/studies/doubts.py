"""Tracks whose label is confidently contradicted by a model that was not trained on them (`--doubts`).

Confident learning (Northcutt, Jiang and Chuang 2021): a model is confident of genre g where its probability reaches the
mean probability of g among the tracks that are labelled g. A label is in doubt where the model is confident of another
genre, with a probability above one half. All probabilities are out of fold, with whole artists held out, over training
and validation tracks, and share one temperature; test tracks are never used. The label or the model may be wrong: a
person decides, in the column `decision` of `doubts.csv`, and `write_relabelled` makes a table of it to prepare.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import count as counting
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import FLAT_VIEWS, TrainSettings
from genrelab.core.errors import DatasetError, ModelError, SplitError, printable
from genrelab.core.progress import Notify, ProgressBar
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.evaluation.calibration import apply_temperature, fit_temperature
from genrelab.models.registry import model_class
from genrelab.records.prepared import Prepared
from genrelab.records.task import Task, make_task
from genrelab.studies.study_result import write_result
from genrelab.training import holdout_folds
from genrelab.training.cross_fit import HeldOutPredictions, cross_fit, quick_settings

FILE, CSV = "doubts.json", "doubts.csv"
COLUMNS = (
    "track_id", "path", "genre", "suggested", "p_genre", "p_suggested", "artist", "album", "part", "copies", "decision",
)  # fmt: skip
DECISIONS = ("accept", "reject", "")
HEADERS = (
    "track",
    "label",
    "suggested",
    "probability of the label",
    "probability of the suggestion",
    "artist",
    "album",
)
MAX_ROWS_SHOWN = 20  # rows on a terminal
MIN_AGREEMENT = 0.8
"""Accuracy out of fold below which a sentence warns that many doubts are mistakes of the model."""


def study(
    prepared: Prepared,
    run: Folder,
    settings: TrainSettings,
    *,
    models: tuple[str, ...],
    notify: Notify,
    bar: ProgressBar,
) -> dict[str, Any]:
    """Find doubtful labels of training and validation tracks; write RUN/doubts.json and doubts.csv, return the JSON.

    Decisions in an existing doubts.csv are kept, also of labels that are no longer in doubt. Where another genre is
    suggested now, the decision is left empty.

    Args:
        prepared, settings: of RUN: the parts are the same.
        models: to choose from: the one with the lowest log loss on the calibration tracks, networks excluded.

    Raises:
        DatasetError: the existing doubts.csv is damaged.
        ModelError: no model is quick enough, or the tracks cannot be held out in folds.
        SplitError: the run's own split is no longer possible.
    """
    task = make_task(prepared, settings)
    name, decisions = _choose_model(run, models), read_decisions(run) if run.exists(CSV) else {}
    among = np.isin(task.split.parts, ("training", "validation"))
    fold = _folds(task, among, settings.seed)
    with (
        bar("Label doubts", "fits") as progress,
        cross_fit(task, quick_settings(settings, name), among, notify) as fits,
    ):
        done = counting(1)
        fits.fitted = lambda: progress(next(done), holdout_folds.N_FOLDS)
        held = fits.held_out(name, fold)
    y = task.labels(chooses=False).y
    temperature = fit_temperature(held.tracks, held.probabilities, y)  # some models return only 0 and 1
    held = replace(held, probabilities=apply_temperature(held.probabilities, temperature))
    rows, agreement = _doubted_rows(task, held), float(held.correct(y).mean())
    about: dict[str, Any] = {
        "model": name, "accuracy": agreement, "n_examined": len(held.tracks), "n_doubted": len(rows),
        "sentences": _sentences(task, name, agreement, fold, rows), "rows": rows,
    }  # fmt: skip
    _write_csv(run, rows, decisions)
    return write_result(run, FILE, about, notify)


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """The first rows, as printed under HEADERS."""
    return [
        (
            printable(r["path"] or r["track_id"]), printable(r["genre"]), printable(r["suggested"]),
            f"{r['p_genre']:.2f}", f"{r['p_suggested']:.2f}", printable(r["artist"] or ""), printable(r["album"] or ""),
        )
        for r in found["rows"][:MAX_ROWS_SHOWN]
    ]  # fmt: skip


def find_doubts(
    y: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the labels that are contradicted with confidence, the clearest contradiction first.

    Args:
        y: labelled genre, shape (n,).
        probabilities: from models that were not trained on the row, shape (n, genres).

    Returns:
        Row numbers and the genre that the model predicts instead, both of shape (doubted,).
    """
    n, k = probabilities.shape
    mean_p = np.array([probabilities[y == g, g].mean() if (y == g).any() else np.inf for g in range(k)])
    predicted = probabilities.argmax(axis=1)
    own, best = probabilities[np.arange(n), y], probabilities[np.arange(n), predicted]
    # A weak model has low mean probabilities, so a genre must be more likely than not as well.
    rows = np.flatnonzero((predicted != y) & (best >= mean_p[predicted]) & (best > 0.5))
    rows = rows[np.argsort(own[rows] - best[rows], kind="stable")]
    return rows, predicted[rows]


def read_decisions(folder: Folder) -> dict[str, dict[str, str]]:
    """Decided rows of a folder's doubts.csv by track_id, each with the decision `accept` or `reject`.

    Raises:
        DatasetError: no such file, or an invalid decision.
    """
    if not folder.exists(CSV):
        raise DatasetError(f"{folder} has no {CSV}: run `genrelab train` with --doubts first")
    try:
        rows = list(csv.DictReader(io.StringIO(folder.read_bytes(CSV).decode("utf-8-sig"), newline="")))
    except (OSError, UnicodeError, csv.Error) as e:
        raise DatasetError(f"{folder}/{CSV}: not a readable CSV file in UTF-8") from e
    if rows and not {"track_id", "suggested", "decision"} <= rows[0].keys():
        raise DatasetError(f"{folder}/{CSV}: the columns track_id, suggested and decision are needed")
    found = {}
    for n, row in enumerate(rows, start=2):
        decision = (row["decision"] or "").strip().casefold()
        if decision not in DECISIONS:
            raise DatasetError(
                f"{folder}/{CSV}, line {n}: decision must be accept, reject or empty. Received: {decision}"
            )
        if decision:
            found[row["track_id"]] = row | {"decision": decision}
    return found


# === Finding them ===


def _choose_model(run: Folder, models: Sequence[str]) -> str:
    """The model with the lowest log loss on the calibration tracks, among those that are fitted in seconds.

    These are no test tracks: corrections of labels must not depend on test tracks. All such models have the same
    calibration tracks; the first model is taken where none was calibrated.
    """
    quick = [m for m in models if m != "majority" and not model_class(m).needs_validation]
    if not quick:
        raise ModelError(
            "label doubts need a model that trains in seconds: "
            f"add one that reads the view {FLAT_VIEWS[0]} to --models, such as svm"
        )
    scored = {name: run.read_json(f"{name}/metrics.json") for name in quick if run.exists(f"{name}/metrics.json")}
    losses = {m: about["calibration"]["after"]["log_loss"] for m, about in scored.items() if about.get("calibration")}
    return min(losses, key=lambda m: losses[m]) if losses else quick[0]


def _folds(task: Task, among: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """Folds with whole artists; a track of an unknown artist is a group of its own, so its label is examined too."""
    known = task.groups() or [None] * len(among)
    groups = [f"\t{i}" if group is None else group for i, group in enumerate(known)]
    try:
        return holdout_folds.folds_by_artist(task.labels(chooses=False).y, groups, among, seed=seed)
    except SplitError as e:
        raise SplitError(f"label doubts: {e}") from e


def _doubted_rows(task: Task, held: HeldOutPredictions) -> list[dict[str, Any]]:
    """Rows of the labels in doubt, by album (by artist without an album), the album of the clearest case first."""
    t, y = task.prepared.tracks, task.labels(chooses=False).y
    copies = Counter(h for h in t["sha256"] if h)
    rows, predicted = find_doubts(y[held.tracks], held.probabilities)
    found = []
    for row, suggested in zip(rows.tolist(), predicted.tolist(), strict=True):
        i, p = int(held.tracks[row]), held.probabilities[row]
        found.append(
            {
                "track_id": t["track_id"][i], "path": t["path"][i], "genre": t["genre"][i],
                "suggested": task.genres[suggested], "p_genre": round(float(p[y[i]]), 4),
                "p_suggested": round(float(p[suggested]), 4), "artist": t["artist"][i], "album": t["album"][i],
                "part": task.split.parts[i], "copies": copies[t["sha256"][i]] - 1 if t["sha256"][i] else 0,
            }
        )  # fmt: skip
    groups: dict[object, int] = {}
    names = [(r["artist"], r["album"]) if r["artist"] or r["album"] else r["track_id"] for r in found]
    place = [groups.setdefault(name, len(groups)) for name in names]
    return [found[i] for i in sorted(range(len(found)), key=lambda i: place[i])]


def _sentences(
    task: Task, name: str, agreement: float, fold: NDArray[np.int64], rows: Sequence[dict[str, Any]]
) -> list[str]:
    n = int((fold >= 0).sum())
    share = f"{len(rows):,} of {pluralize(n, 'training and validation label')} ({100 * len(rows) / n:.0f} %)"
    sentences = [f"{name} is confident of another genre for {share}"]
    if agreement < MIN_AGREEMENT:
        wrong = f"its accuracy on tracks that it was not trained on is only {100 * agreement:.0f} %"
        sentences.append(f"many of these doubts are mistakes of {name}: {wrong}")
    pairs = Counter((r["genre"], r["suggested"]) for r in rows).most_common(3)
    if pairs:
        listed = ", ".join(f"{printable(a)} → {printable(b)} {n}" for (a, b), n in pairs)
        sentences.append(f"most often: {listed}")
    if not task.knows_artists():
        sentences.append("the artists are unknown, so a wrong label on all tracks of an artist may not be found")
    if always := int((fold == holdout_folds.ALWAYS_FITTED).sum()):
        sentences.append(f"not examined: {pluralize(always, 'track')} of the only artist of a genre")
    return sentences


# === Deciding ===


def _write_csv(run: Folder, rows: Sequence[dict[str, Any]], decided: dict[str, dict[str, str]]) -> None:
    """Write doubts.csv with earlier decisions; decided rows that are no longer in doubt come last."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        previous = decided.get(row["track_id"], {"suggested": "", "decision": ""})
        writer.writerow(row | {"decision": previous["decision"] if previous["suggested"] == row["suggested"] else ""})
    doubted_now = {row["track_id"] for row in rows}
    writer.writerows(row for track, row in decided.items() if track not in doubted_now)
    run.write_bytes(CSV, text.getvalue().encode())


def write_relabelled(prepared: Prepared, accepted: Folder, out: Folder) -> int:
    """Write relabelled.csv, the tracks of a preparation with the accepted genres, a table to prepare like any other.

    For audio it lists files (`path`, absolute); for a table of features it is that table with other labels. Preparing
    it is quick: only the labels are new.

    Args:
        accepted: RUN, or any folder with a doubts.csv with decisions.
        out: folder of the new table.

    Returns:
        Number of accepted corrections.

    Raises:
        DatasetError: the CSV cannot be read, or names tracks that are not in PREPARED.
    """
    genre = {t: row["suggested"] for t, row in read_decisions(accepted).items() if row["decision"] == "accept"}
    t = prepared.tracks
    if unknown := [i for i in genre if i not in set(t["track_id"])]:
        raise DatasetError(f"{accepted}/{CSV}: {printable(unknown[0])} is not a track of {prepared.folder}")
    columns: dict[str, Sequence[Any]] = {
        "track_id": t["track_id"],
        "genre": [genre.get(i, g) for i, g in zip(t["track_id"], t["genre"], strict=True)],
    }
    known = {"artist": t["artist"], "album": t["album"], "split": t["official_split"]}
    columns |= {name: column for name, column in known.items() if any(column)}
    if "table" in prepared.views:
        ids, _, names, values = prepared.features("table")
        row = {track: n for n, track in enumerate(ids)}
        columns |= {c: [values[row[i], n] for i in t["track_id"]] for n, c in enumerate(names)}
    else:
        root = str(prepared.about["root"]).rstrip("/")
        columns |= {"path": [f"{root}/{p}" if p else None for p in t["path"]]}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if v is None else v for v in line] for line in zip(*columns.values(), strict=True)])
    out.write_bytes("relabelled.csv", text.getvalue().encode())
    return len(genre)
