"""Tracks whose label a model that did not learn from them contradicts with confidence (`--doubts`).

Confident learning (Northcutt, Jiang and Chuang 2021): a model is as sure of genre g as it should be where its
probability reaches the mean probability of g among the tracks that are labelled g. A track that reaches this for
another genre than its own, and one half, is doubted. All probabilities are out of fold, artists held out as wholes,
over training and validation tracks, and share one temperature; test tracks are never looked at. What is doubted is the
label, or the model: a person decides, in the column `decision` of `doubts.csv`, and `write_relabelled` makes a table of it
that can be prepared.
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
from genrelab.training import holdout_folds
from genrelab.training.cross_fit import HeldOutPredictions, cross_fit, quick_settings

FILE, CSV = "doubts.json", "doubts.csv"
COLUMNS = (
    "track_id", "path", "genre", "suggested", "p_genre", "p_suggested", "artist", "album", "part", "copies", "decision",
)  # fmt: skip
DECISIONS = ("accept", "reject", "")
HEADERS = ("track", "labelled", "sounds like", "p labelled", "p suggested", "artist", "album")
MAX_ROWS_SHOWN = 20  # rows on a terminal
MIN_AGREEMENT = 0.8
"""Share of labels that a model must agree with, out of fold, for its doubts to be told without a word on itself."""


def study(
    prepared: Prepared,
    run: Folder,
    settings: TrainSettings,
    *,
    models: tuple[str, ...],
    notify: Notify,
    bar: ProgressBar,
) -> dict[str, Any]:
    """Doubt the labels of training and validation tracks; write RUN/doubts.json and doubts.csv and return the first.

    Decisions that stand in a doubts.csv of before are kept, with their rows where the track is no longer doubted; where
    another genre is suggested now, the question is asked anew.

    Args:
        prepared, settings: of RUN: the parts are the same.
        models: to choose among; used is the one with the lowest log loss on its calibration tracks that is no network.

    Raises:
        DatasetError: the doubts.csv that is there is damaged.
        ModelError: none of the models can be fitted so often, or the tracks cannot be held out in folds.
        SplitError: the run's own split is none any more.
    """
    task = make_task(prepared, settings)
    name, decided = _choose_model(run, models), _decided_rows(run)
    among = np.isin(task.split.parts, ("training", "validation"))
    fold = _folds(task, among, settings.seed)
    with bar("Label doubts", "fits") as progress, cross_fit(task, quick_settings(settings, name), among) as fits:
        done = counting(1)
        fits.fitted = lambda: progress(next(done), holdout_folds.N_FOLDS)
        held = fits.held_out(name, fold)
    y = task.labels(chooses=False).y
    held = replace(held, probabilities=_calibrate(held, y))
    rows, right = _rows(task, held), float(held.correct(y).mean())
    about: dict[str, Any] = {
        "model": name, "accuracy": right, "n_examined": len(held.tracks), "n_doubted": len(rows),
        "sentences": _sentences(task, name, right, fold, rows), "rows": rows,
    }  # fmt: skip
    _write_csv(run, rows, decided)
    run.write_json(FILE, about)
    for sentence in about["sentences"]:
        notify(sentence)
    return about


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
    """Which labels are contradicted with confidence, the clearest contradiction first.

    Args:
        y: labelled genre, shape (n,).
        probabilities: of models that did not learn from the row, shape (n, genres).

    Returns:
        Row numbers and the genre that the model hears instead, both of shape (doubted,).
    """
    n, k = probabilities.shape
    usual = np.array([probabilities[y == g, g].mean() if (y == g).any() else np.inf for g in range(k)])
    heard = probabilities.argmax(axis=1)
    own, best = probabilities[np.arange(n), y], probabilities[np.arange(n), heard]
    # Of a weak model little is usual, and a genre that is less likely than not contradicts nothing.
    rows = np.flatnonzero((heard != y) & (best >= usual[heard]) & (best > 0.5))
    rows = rows[np.argsort(own[rows] - best[rows], kind="stable")]
    return rows, heard[rows]


def read_decisions(file: Folder, name: str = CSV) -> dict[str, tuple[str, str]]:
    """Decided rows of a doubts.csv: track_id → (suggested genre, `accept` or `reject`).

    Raises:
        DatasetError: not such a file, or a decision that is none.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(file.read_bytes(name).decode("utf-8-sig"), newline="")))
    except (OSError, UnicodeError, csv.Error) as e:
        raise DatasetError(f"{file}/{name}: cannot be read as CSV: {e}") from e
    if rows and not {"track_id", "suggested", "decision"} <= rows[0].keys():
        raise DatasetError(f"{file}/{name}: has no columns track_id, suggested and decision")
    found = {}
    for n, row in enumerate(rows, start=2):
        decision = (row["decision"] or "").strip().casefold()
        if decision not in DECISIONS:
            raise DatasetError(f"{file}/{name}: line {n}: a decision is accept, reject or empty, not {decision!r}")
        if decision:
            found[row["track_id"]] = (row["suggested"], decision)
    return found


# === Finding them ===


def _choose_model(run: Folder, models: Sequence[str]) -> str:
    """Of the models that are fitted in seconds the one whose probabilities were worth most on calibration tracks.

    Those are no scored ones: labels that are changed by what it finds must owe nothing to these. All such models have
    the same calibration tracks; the first is taken where none was calibrated.
    """
    quick = [m for m in models if m != "majority" and not model_class(m).needs_validation]
    if not quick:
        raise ModelError(f"label doubts need a model that is quickly trained: add one that reads {FLAT_VIEWS[0]}")
    scored = {name: run.read_json(f"{name}/metrics.json") for name in quick if run.exists(f"{name}/metrics.json")}
    losses = {m: about["calibration"]["after"]["log_loss"] for m, about in scored.items() if about.get("calibration")}
    return min(losses, key=lambda m: losses[m]) if losses else quick[0]


def _folds(task: Task, among: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """Folds with whole artists; a track of unknown artist is one by itself, so that its label is examined too."""
    artists = task.artists() or [None] * len(among)
    groups = [f"\t{i}" if artist is None else artist for i, artist in enumerate(artists)]
    try:
        return holdout_folds.folds_by_artist(task.labels(chooses=False).y, groups, among, seed=seed)
    except SplitError as e:
        raise SplitError(f"label doubts: folding by artist {e}") from e


def _calibrate(held: HeldOutPredictions, y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities that are as sure as they should be, for some models say 0 or 1 to everything. Shape (n, genres)."""
    return apply_temperature(held.probabilities, fit_temperature(held.tracks, held.probabilities, y))


def _rows(task: Task, held: HeldOutPredictions) -> list[dict[str, Any]]:
    """Doubted tracks: albums, and what is of one artist without an album, stand together, the clearest case first."""
    t, y = task.prepared.tracks, task.labels(chooses=False).y
    copies = Counter(h for h in t["sha256"] if h)
    rows, heard = find_doubts(y[held.tracks], held.probabilities)
    found = []
    for row, suggested in zip(rows.tolist(), heard.tolist(), strict=True):
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
    place = [groups.setdefault(_group(r), len(groups)) for r in found]
    return [found[i] for i in sorted(range(len(found)), key=lambda i: place[i])]


def _group(row: dict[str, Any]) -> object:
    """What a person decides at once: an album, an artist's tracks without one, a single track."""
    return (row["artist"], row["album"]) if row["artist"] or row["album"] else row["track_id"]


def _sentences(
    task: Task, name: str, right: float, fold: NDArray[np.int64], rows: Sequence[dict[str, Any]]
) -> list[str]:
    n = int((fold >= 0).sum())
    own = f"; the model agrees with {right:.0%} of the labels only, so many of these mistakes are its own"
    sentences = [
        f"{name}, out of fold, contradicts {len(rows):,} of {pluralize(n, 'label')} ({len(rows) / n:.0%}) with confidence"
        f"{own if right < MIN_AGREEMENT else ''}: look at {CSV}, the clearest cases first, and fill in its column `decision`"
    ]
    pairs = Counter((r["genre"], r["suggested"]) for r in rows).most_common(3)
    if pairs:
        listed = ", ".join(f"{printable(a)} → {printable(b)} {n}" for (a, b), n in pairs)
        sentences.append(f"most often: {listed}")
    if task.artists() is None:
        sentences.append("artists are unknown: a wrong label that all tracks of an artist share may not be doubted")
    if always := int((fold == holdout_folds.ALWAYS_FITTED).sum()):
        sentences.append(f"not examined: {pluralize(always, 'track')} of an artist who is the only one of a genre")
    return sentences


# === Deciding ===


def _decided_rows(run: Folder) -> dict[str, dict[str, Any]]:
    """Rows of doubts.csv that a person has decided, by track_id; none where there is no such file."""
    if not run.exists(CSV):
        return {}
    decision = {track: said for track, (_, said) in read_decisions(run).items()}
    rows = csv.DictReader(io.StringIO(run.read_bytes(CSV).decode("utf-8-sig"), newline=""))
    return {r["track_id"]: r | {"decision": decision[r["track_id"]]} for r in rows if r["track_id"] in decision}


def _write_csv(run: Folder, rows: Sequence[dict[str, Any]], decided: dict[str, dict[str, Any]]) -> None:
    """doubts.csv, with what was decided before, behind the rest where it is not doubted any more."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        held = decided.get(row["track_id"], {"suggested": "", "decision": ""})
        writer.writerow(row | {"decision": held["decision"] if held["suggested"] == row["suggested"] else ""})
    doubted_now = {row["track_id"] for row in rows}
    writer.writerows(row for track, row in decided.items() if track not in doubted_now)
    run.write_bytes(CSV, text.getvalue().encode())


def write_relabelled(prepared: Prepared, accepted: Folder, out: Folder, name: str = "relabelled.csv") -> int:
    """Write the tracks of a preparation as a table with the accepted genres, to be prepared like any other table.

    Of audio it is a list of files (`path`, absolute), of a table of features the table itself. Preparing it is quick:
    only labels are new.

    Args:
        accepted: RUN, or any folder with a decided doubts.csv.
        out: gets the table.

    Returns:
        How many tracks have another genre.

    Raises:
        DatasetError: the CSV cannot be read, or names tracks that are not in PREPARED.
    """
    genre = {track: g for track, (g, decision) in read_decisions(accepted).items() if decision == "accept"}
    t = prepared.tracks
    if strangers := [i for i in genre if i not in set(t["track_id"])]:
        raise DatasetError(f"{accepted}/{CSV}: {printable(strangers[0])} is no track of {prepared.folder}")
    columns: dict[str, Sequence[Any]] = {
        "track_id": t["track_id"],
        "genre": [genre.get(i, g) for i, g in zip(t["track_id"], t["genre"], strict=True)],
    }
    known = {"artist": t["artist"], "album": t["album"], "split": t["official_split"]}
    columns |= {name: column for name, column in known.items() if any(column)}
    if "table" in prepared.views:
        ids, _, names, values = prepared.features()
        row = {track: n for n, track in enumerate(ids)}
        columns |= {c: [values[row[i], n] for i in t["track_id"]] for n, c in enumerate(names)}
    else:
        root = str(prepared.about["root"]).rstrip("/")
        columns |= {"path": [f"{root}/{p}" if p else None for p in t["path"]]}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if v is None else v for v in line] for line in zip(*columns.values(), strict=True)])
    out.write_bytes(name, text.getvalue().encode())
    return len(genre)
