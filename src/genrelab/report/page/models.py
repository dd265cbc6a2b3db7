"""Page section of one model: confusion matrix, accuracy; folded: genres, calibration, training, hardest tracks."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.bundle.model_card import was_fitted
from genrelab.core.errors import PreparedError, printable
from genrelab.core.storage import Folder
from genrelab.evaluation.percent import ABSENT, format_interval, format_percent
from genrelab.evaluation.percent import percent as bare
from genrelab.evaluation.verdict import RunFacts
from genrelab.records.prepared import Prepared, read_parquet
from genrelab.records.task import split_groups
from genrelab.report.leaderboard import BELOW_BASELINE, Leaderboard, LeaderboardRow
from genrelab.report.page import charts, charts_models
from genrelab.report.page.blocks import Block, Figure, Fold, Section, Table, TrackList
from genrelab.report.page.charts import Chart
from genrelab.report.page.occlusion import occlusion_tracks
from genrelab.report.page.tracks import TrackInfo

N_HARDEST = 6  # tracks shown per model, the most confident mistakes
MAX_MISTAKES = 100  # rows of the list of mistakes that replaces the table where there are too many genres
MIN_PRINTED_SHARE = 0.2  # of a genre's tracks: smaller shares in the confusion matrix have a colour and a tooltip only
History = Mapping[int, Mapping[str, float]]
"""Epoch → losses and accuracies."""


@dataclass(frozen=True)
class ScoredPredictions:
    """Predictions of a model on the test (or validation) tracks: ids, true and predicted genre, its probability."""

    tracks: Sequence[str]
    truth: NDArray[np.str_]
    answer: NDArray[np.str_]
    p: NDArray[np.float64]

    @property
    def correct(self) -> dict[str, bool]:
        """Is the prediction right? By track id."""
        return dict(zip(self.tracks, map(bool, self.truth == self.answer), strict=True))

    @property
    def hardest(self) -> list[int]:
        """Row numbers of the most confident mistakes, the worst first, at most `N_HARDEST`."""
        wrong = np.flatnonzero(self.truth != self.answer)
        hardest: list[int] = wrong[np.argsort(-self.p[wrong], kind="stable")][:N_HARDEST].tolist()
        return hardest


@dataclass(frozen=True)
class FinishedRun:
    """A finished run as its files describe it.

    Attributes:
        name: in a comparison, distinct from the names of the other runs.
        known: the facts of its verdict.
        given: predictions of each model, by folder.
        split: columns of `split.parquet`.
        prepared: the preparation that it was trained on; None if that is gone or has changed.
    """

    name: str
    folder: Folder
    known: RunFacts
    board: Leaderboard
    given: Mapping[str, ScoredPredictions]
    split: Mapping[str, Sequence[Any]]
    prepared: Prepared | None

    @property
    def groups(self) -> dict[str, str | None]:
        """Group of each track as used by the split: its artist or recording, where known."""
        return dict(zip(map(str, self.split["track_id"]), split_groups(self.split), strict=True))


def load_predictions(run: Folder, board: Leaderboard, row: LeaderboardRow) -> ScoredPredictions:
    """Read `predictions.parquet`.

    Raises:
        PreparedError: its accuracy is not that of `metrics.json`.
    """
    import pyarrow.compute as pc

    table = read_parquet(run, f"{row.folder}/predictions.parquet")
    table = table.filter(pc.equal(table["part"], board.part))
    truth = np.array(table["truth"].to_pylist())
    probabilities = np.stack([table[f"p_{g}"].to_numpy() for g in board.genres], axis=1)
    answer = np.array(board.genres)[probabilities.argmax(axis=1)]
    if len(truth) != row.n or int((truth == answer).sum()) != round(row.accuracy * row.n):
        raise PreparedError(
            f"{run}: predictions.parquet and metrics.json of {row.folder} disagree; run `genrelab train` again"
        )
    return ScoredPredictions(list(map(str, table["track_id"].to_pylist())), truth, answer, probabilities.max(axis=1))


def model_section(run: FinishedRun, row: LeaderboardRow, tracks: TrackInfo) -> Section:
    """The complete section of one model.

    Raises:
        PreparedError: its files are inconsistent.
    """
    board, metrics = run.board, run.known.models[row.folder]
    scores = metrics["scores"]
    calibration: list[Block] = [*_reliability_figure(board, row, metrics), *_calibration_table(board, metrics)]
    folds: dict[str, Sequence[Block]] = {
        "Accuracy by part and genre": [_accuracy_table(board, metrics), _genre_table(board, scores)],
        "Calibration": calibration,
        "Training": _curve_figures(run.folder, row, metrics),
        "Hardest tracks": _hardest_tracks(board, run.given[row.folder], tracks),
        "Why: occlusion map": occlusion_tracks(run.folder, row.folder, tracks),
    }
    blocks: list[Block] = [_confusion_figure(board, row, scores)]
    blocks += [Fold(title, within) for title, within in folds.items() if within]
    notes = [
        *([BELOW_BASELINE] if row.below_baseline else []),
        *row.notes,
    ]
    return Section(f"model-{row.folder}", printable(row.model), blocks, notes)


def _accuracy_table(board: Leaderboard, metrics: Mapping[str, Any]) -> Table:
    """Accuracy on each part of the split and on single windows."""
    parts = [(f"{part} tracks", metrics.get(part)) for part in ("training", "validation")]
    parts += [(f"windows of {board.part} tracks", metrics.get("segments")), (f"{board.part} tracks", metrics["scores"])]
    rows = [(name, *_accuracy_cells(found)) for name, found in parts if found]
    return Table("Accuracy", ("of", "n", "accuracy %", "95 % interval"), rows)


def _accuracy_cells(scores: Mapping[str, Any]) -> tuple[str, str, str]:
    interval = format_interval(scores.get("accuracy_low"), scores.get("accuracy_high"))
    return f"{scores['n']:,}", bare(scores["accuracy"]), interval


def _genre_table(board: Leaderboard, scores: Mapping[str, Any]) -> Table:
    rows = [
        (
            printable(genre) + ("" if g["n"] else " (not measured)"),
            f"{g['n']:,}",
            *(bare(g[name]) for name in ("precision", "recall", "f1")),
        )
        for genre, g in scores["per_genre"].items()
    ]
    caption = f"By genre; {board.scored}"
    return Table(caption, ("genre", "n", "precision %", "recall %", "F1 %"), rows, sortable=True)


def _confusion_figure(board: Leaderboard, row: LeaderboardRow, scores: Mapping[str, Any]) -> Figure:
    counts = np.array(scores["confusion"], np.int64)
    genres = [printable(g) for g in board.genres]
    rows, numbered = counts.sum(axis=1), len(genres) <= charts.MAX_NUMBERED_GENRES
    shares = counts / np.maximum(rows, 1)[:, None]
    cells = [
        {
            "down": genres[i],
            "across": genres[j],
            "share": round(float(shares[i, j]), 3),
            "text": f"{100 * shares[i, j]:.0f}" if shares[i, j] >= MIN_PRINTED_SHARE else "",
            "framed": i == j,
            "tip": f"{counts[i, j]} of {rows[i]} {genres[i]} tracks classified as {genres[j]}",
        }
        for i in range(len(genres))
        for j in range(len(genres))
        if numbered or counts[i, j]  # with many genres nearly all are 0, and would make the page large
    ]
    wrong = counts - np.diag(np.diag(counts))
    i, j = np.unravel_index(wrong.argmax(), wrong.shape)
    most_frequent = f"Most frequent mistake: {genres[i]} classified as {genres[j]}." if wrong.any() else ""
    spec = charts.matrix(cells, across=genres, down=genres, x="classified as", y="true genre", numbered=numbered)
    label = f"Confusion matrix of {printable(row.model)} on {board.scored}. {most_frequent}"
    table = _confusion_table(board, counts, genres) if numbered else _mistakes_table(board, counts, genres)
    note = f"Percent of each true genre. {most_frequent}"
    return Figure("Confusion matrix", Chart(spec, label), note, table)


def _confusion_table(board: Leaderboard, counts: NDArray[np.int64], genres: Sequence[str]) -> Table:
    body = [(g, *map(str, counts[i])) for i, g in enumerate(genres)]
    return Table(
        f"Tracks by true genre (rows) and predicted genre; {board.scored}", ("true genre", *genres), body, folded=True
    )


def _mistakes_table(board: Leaderboard, counts: NDArray[np.int64], genres: Sequence[str]) -> Table:
    """The most frequent mistakes, where a matrix has too many genres for a table."""
    wrong = [(int(n), i, j) for (i, j), n in np.ndenumerate(counts) if n and i != j]
    wrong.sort(key=lambda mistake: (-mistake[0], *mistake[1:]))
    body = [(genres[i], genres[j], f"{n:,}", f"{counts[i].sum():,}") for n, i, j in wrong[:MAX_MISTAKES]]
    caption = f"Most frequent mistakes, {len(body):,} of {len(wrong):,} pairs of genres; {board.scored}"
    return Table(caption, ("true genre", "classified as", "n", "of"), body, words=2, folded=True)


def _reliability_figure(board: Leaderboard, row: LeaderboardRow, metrics: Mapping[str, Any]) -> list[Figure]:
    bins = [b for b in metrics["scores"].get("reliability", ()) if b["n"]]
    if not bins:
        return []
    columns = ("confidence", "n", "mean confidence %", "accuracy %")
    rows = [
        (f"{b['low']:.2f} to {b['high']:.2f}", f"{b['n']:,}", bare(b["confidence"]), bare(b["accuracy"])) for b in bins
    ]
    label = f"Reliability of {printable(row.model)} on {board.scored}: expected calibration error {row.ece:.3f}"
    note = f"On the dashed line, confidence equals accuracy. Expected calibration error {row.ece:.3f}; {board.scored}."
    table = Table(f"Accuracy by confidence; {board.scored}", columns, rows, folded=True)
    return [Figure("Is its confidence right?", Chart(charts_models.reliability(bins), label), note, table)]


def _calibration_table(board: Leaderboard, metrics: Mapping[str, Any]) -> list[Table]:
    calibration = metrics.get("calibration")
    if not calibration:
        return []
    measured = [(calibration["fitted_on"], calibration.get("n"), calibration)]
    if calibration.get("scored"):
        measured.append((board.part, board.n, calibration["scored"]))
    fitted = was_fitted(calibration)
    phases = ("before", "after") if fitted else ("after",)
    rows = [
        (
            words,
            f"{n:,}" if n else ABSENT,
            *(f"{at[phase][what]:.3f}" for what in ("log_loss", "ece") for phase in phases),
        )
        for words, n, at in measured
    ]
    when = [f" {phase} calibration" if fitted else "" for phase in phases]
    columns = ("tracks", "n", *(f"{error}{phase}" for error in ("log loss", "calibration error") for phase in when))
    caption = f"Temperature {calibration['temperature']:.2f}, fitted on {calibration['fitted_on']}; {board.scored}"
    if not fitted:
        caption = f"Not calibrated; {board.scored}"
    return [Table(caption, columns, rows)]


def _curve_figures(run: Folder, row: LeaderboardRow, metrics: Mapping[str, Any]) -> list[Figure]:
    if metrics["curve"] is None:
        return []
    history, best = _read_history(run, row.folder), metrics["curve"]["best_epoch"]
    if best not in history:
        raise PreparedError(f"{run}: {row.folder}/history.csv lacks the best epoch, {best}; run `genrelab train` again")
    gap, name = describe_gap(history, best), printable(row.model)
    accuracy, loss = (_curve_chart(history, best, what, gap, name) for what in ("accuracy", "loss"))
    columns = ("epoch", "training loss", "validation loss", "training accuracy %", "validation accuracy %")
    rows = [
        (str(epoch), f"{e['loss']:.3f}", f"{e['val_loss']:.3f}", bare(e["accuracy"]), bare(e["val_accuracy"]))
        for epoch, e in history.items()
    ]
    table = Table("Training and validation by epoch", columns, rows, folded=True)
    return [
        Figure("Accuracy by epoch", accuracy, f"{gap[0].upper()}{gap[1:]}.", table),
        Figure("Loss by epoch", loss, "The gap between training and validation is shaded."),
    ]


def _curve_chart(history: History, best: int, what: str, gap: str, name: str) -> Chart:
    scale, y = (100, "accuracy, %") if what == "accuracy" else (1, "loss")
    rows = [
        {"epoch": epoch, "training": round(scale * e[what], 4), "validation": round(scale * e[f"val_{what}"], 4)}
        for epoch, e in history.items()
    ]
    spec = charts_models.training_curves(rows, y=y, best=best)
    return Chart(spec, f"{what} of {name} on training and validation tracks by epoch: {gap}")


def describe_gap(history: History, best: int) -> str:
    """The overfitting gap as text: training less validation accuracy at the epoch whose weights were kept."""
    training, validation = history[best]["accuracy"], history[best]["val_accuracy"]
    gap = 100 * (training - validation)
    gap_text = f"overfitting gap {gap:.1f} points" if gap > 0 else "no overfitting gap"
    accuracies = f"training {format_percent(training)}, validation {format_percent(validation)}"
    is_best = history[best]["val_loss"] == min(e["val_loss"] for e in history.values())
    which = "best" if is_best or best < len(history) else "last"  # the article's preset uses the last epoch
    return f"{which} epoch {best} of {len(history)}: {accuracies}: {gap_text}"


def _read_history(run: Folder, folder: str) -> History:
    rows = csv.DictReader(io.StringIO(run.read_bytes(f"{folder}/history.csv").decode()))
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return {int(float(row["epoch"])): {name: float(row[name]) for name in names} for row in rows}


def _hardest_tracks(board: Leaderboard, given: ScoredPredictions, known: TrackInfo) -> list[TrackList | Table]:
    """The hardest tracks with pictures and players; as a table where there is neither picture nor audio."""
    cards = [
        known.card(
            given.tracks[i],
            f"{printable(given.truth[i])}, classified as {printable(given.answer[i])}, {format_percent(given.p[i])}",
        )
        for i in given.hardest
    ]
    title = f"Most confident mistakes, {board.scored}"
    if any(track.href or track.picture for track in cards):
        return [TrackList(title, cards, "Listen: is the label or the model wrong?")]
    rows = [(track.name, track.credits, track.text) for track in cards]
    return [Table(f"{title}; {cards[0].why}", ("track", "artist", "mistake"), rows, words=3)] if cards else []
