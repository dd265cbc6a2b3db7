"""Page section of one model: accuracy, confusion matrix, calibration, training curves, hardest tracks."""

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
from genrelab.evaluation.metrics import similarity_order
from genrelab.records.prepared import read_parquet
from genrelab.report.leaderboard import Leaderboard, LeaderboardRow, format_percent
from genrelab.report.page import charts, charts_models
from genrelab.report.page.blocks import ABSENT, Block, Figure, Section, Stack, Table, TrackList, format_interval
from genrelab.report.page.blocks import percent as bare
from genrelab.report.page.charts import Chart
from genrelab.report.page.tracks import TrackInfo

N_HARDEST = 6  # tracks shown per model, the most confident mistakes
MAX_MISTAKES = 100  # rows of the list of mistakes that replaces the table where there are too many genres
Histories = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class ScoredPredictions:
    """Predictions of a model on the scored tracks: ids, true and predicted genre, probability of the prediction."""

    tracks: Sequence[str]
    truth: NDArray[np.str_]
    answer: NDArray[np.str_]
    p: NDArray[np.float64]

    @property
    def hardest(self) -> list[int]:
        """Row numbers of the most confident mistakes, the worst first, at most `N_HARDEST`."""
        confidence = np.where(self.truth == self.answer, 0.0, self.p)
        n_wrong = int((self.truth != self.answer).sum())
        return [int(i) for i in np.argsort(-confidence, kind="stable")[: min(N_HARDEST, n_wrong)]]


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
            f"{run}: predictions.parquet and metrics.json of {row.folder} tell different scores; "
            "run `genrelab train` again"
        )
    return ScoredPredictions(list(map(str, table["track_id"].to_pylist())), truth, answer, probabilities.max(axis=1))


def model_section(
    run: Folder,
    board: Leaderboard,
    row: LeaderboardRow,
    metrics: Mapping[str, Any],
    given: ScoredPredictions,
    known: TrackInfo,
) -> Section:
    """The complete section of one model.

    Raises:
        PreparedError: its files are inconsistent.
    """
    scores = metrics["scores"]
    blocks: list[Block] = [
        Stack([_accuracy_table(board, metrics), *_calibration_table(board, metrics)]),
        *_reliability_figure(board, row, metrics),
        _confusion_figure(board, row, scores),
        _genre_table(board, scores),
        *_curve_figures(run, row, metrics),
        *_hardest_tracks(board, given, known),
    ]
    notes = [
        *(["Not above the majority line, or chance where that is higher."] if row.below_baseline else []),
        *row.notes,
    ]
    return Section(row.folder, printable(row.model), blocks, notes)


def _accuracy_table(board: Leaderboard, metrics: Mapping[str, Any]) -> Table:
    """Accuracy on training tracks, validation tracks, windows and scored tracks: the gaps between them are telling."""
    rows = []
    for name, words in (("training", "tracks it was fitted on"), ("validation", "tracks that chose its settings")):
        if found := metrics.get(name):
            rows.append((words, *_accuracy_cells(found)))
    if found := metrics.get("segments"):
        rows.append((f"windows of {board.part} tracks", *_accuracy_cells(found)))
    rows.append((f"{board.part} tracks", *_accuracy_cells(metrics["scores"])))
    return Table(f"Where it was right; {board.scored}", ("of", "n", "accuracy %", "95 % interval"), rows)


def _accuracy_cells(scores: Mapping[str, Any]) -> tuple[str, str, str]:
    interval = format_interval(scores.get("accuracy_low"), scores.get("accuracy_high"))
    return f"{scores['n']:,}", bare(scores["accuracy"]), interval


def _genre_table(board: Leaderboard, scores: Mapping[str, Any]) -> Table:
    rows = [
        (printable(genre), f"{g['n']:,}", *(bare(g[name]) for name in ("precision", "recall", "f1")))
        if g["n"]
        else (f"{printable(genre)} (not measured)", "0", ABSENT, ABSENT, ABSENT)
        for genre, g in scores["per_genre"].items()
    ]
    caption = f"By genre; {board.scored}"
    return Table(caption, ("genre", "n", "precision %", "recall %", "F1 %"), rows, sortable=True)


def _confusion_figure(board: Leaderboard, row: LeaderboardRow, scores: Mapping[str, Any]) -> Figure:
    counts = np.array(scores["confusion"], np.int64)
    order = similarity_order(counts)
    counts, genres = counts[order][:, order], [printable(board.genres[i]) for i in order]
    rows, numbered = counts.sum(axis=1), len(genres) <= charts.MAX_NUMBERED_GENRES
    down = [f"{g}  {n}" for g, n in zip(genres, rows, strict=True)]
    cells = [
        {
            "down": down[i],
            "across": genres[j],
            "share": round(counts[i, j] / max(1, rows[i]), 3),
            "text": str(counts[i, j]) if counts[i, j] else "",
            "tip": f"{counts[i, j]} of {rows[i]} {genres[i]} tracks answered with {genres[j]}",
        }
        for i in range(len(genres))
        for j in range(len(genres))
        if numbered or counts[i, j]  # with many genres nearly all are 0, and would make the page large
    ]
    worst = max(((counts[i, j], i, j) for i in range(len(genres)) for j in range(len(genres)) if i != j), default=None)
    most_frequent = f"Most often {genres[worst[1]]} is taken for {genres[worst[2]]}." if worst and worst[0] else ""
    spec = charts.matrix(cells, across=genres, down=down, x="answered", y="true genre, n", numbered=numbered)
    label = f"Confusion matrix of {printable(row.model)} on {board.scored}. {most_frequent}"
    table = _confusion_table(board, counts, genres) if numbered else _mistakes_table(board, counts, genres)
    note = f"{board.scored}; genres that are confused stand together. {most_frequent}"
    return Figure("What it confuses", Chart(spec, label), note, table)


def _confusion_table(board: Leaderboard, counts: NDArray[np.int64], genres: Sequence[str]) -> Table:
    body = [(g, *map(str, counts[i])) for i, g in enumerate(genres)]
    return Table(f"True genre down, answer across; {board.scored}", ("true genre", *genres), body, folded=True)


def _mistakes_table(board: Leaderboard, counts: NDArray[np.int64], genres: Sequence[str]) -> Table:
    """The most frequent mistakes, where a matrix has too many genres for a table."""
    wrong = [(int(n), i, j) for (i, j), n in np.ndenumerate(counts) if n and i != j]
    wrong.sort(key=lambda mistake: (-mistake[0], *mistake[1:]))
    body = [(genres[i], genres[j], f"{n:,}", f"{counts[i].sum():,}") for n, i, j in wrong[:MAX_MISTAKES]]
    caption = f"Most frequent mistakes, {len(body):,} of {len(wrong):,} kinds; {board.scored}"
    return Table(caption, ("true genre", "answered", "n", "of"), body, words=2, folded=True)


def _reliability_figure(board: Leaderboard, row: LeaderboardRow, metrics: Mapping[str, Any]) -> list[Figure]:
    bins = [b for b in metrics["scores"].get("reliability", ()) if b["n"]]
    if not bins:
        return []
    columns = ("said with a probability of", "n", "said %", "right %")
    rows = [
        (f"{b['low']:.2f} to {b['high']:.2f}", f"{b['n']:,}", bare(b["confidence"]), bare(b["accuracy"])) for b in bins
    ]
    label = f"Reliability of {printable(row.model)} on {board.scored}: expected calibration error {row.ece:.3f}"
    note = (
        f"{board.scored}; on the dashed line it is right as often as it says. Expected calibration error {row.ece:.3f}."
    )
    table = Table(f"Claims and what came true; {board.scored}", columns, rows, folded=True)
    return [Figure("Is it as sure as it should be?", Chart(charts_models.reliability(bins), label), note, table)]


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
    columns: tuple[str, ...] = ("tracks", "n", "log loss before", "after", "ECE before", "after")
    caption = f"Temperature {calibration['temperature']:.2f}, fitted on {calibration['fitted_on']}; {board.scored}"
    if not fitted:
        columns = ("tracks", "n", "log loss", "ECE")
        caption = f"Probabilities as they came, no temperature was fitted; {board.scored}"
    return [Table(caption, columns, rows)]


def _curve_figures(run: Folder, row: LeaderboardRow, metrics: Mapping[str, Any]) -> list[Figure]:
    if metrics["curve"] is None:
        return []
    history, best = _read_history(run, row.folder), metrics["curve"]["best_epoch"]
    if best not in history["epoch"]:
        raise PreparedError(f"{run}: {row.folder}/history.csv lacks the best epoch, {best}; run `genrelab train` again")
    gap, name = describe_gap(history, best), printable(row.model)
    accuracy, loss = (_curve_chart(history, best, what, gap, name) for what in ("accuracy", "loss"))
    columns = ("epoch", "training loss", "validation loss", "training accuracy %", "validation accuracy %")
    rows = [
        (f"{e:.0f}", f"{a:.3f}", f"{b:.3f}", bare(c), bare(d))
        for e, a, b, c, d in zip(
            *(history[n] for n in ("epoch", "loss", "val_loss", "accuracy", "val_accuracy")), strict=True
        )
    ]
    table = Table("Epoch by epoch, on training and validation tracks", columns, rows, folded=True)
    return [
        Figure("Accuracy while it learned", accuracy, f"{gap[0].upper()}{gap[1:]}.", table),
        Figure("Loss while it learned", loss, "What lies between training and validation is shaded."),
    ]


def _curve_chart(history: Histories, best: int, what: str, gap: str, name: str) -> Chart:
    scale = 100 if what == "accuracy" else 1
    columns = (history["epoch"], history[what], history[f"val_{what}"])
    rows = [
        {"epoch": int(e), "training": round(scale * t, 4), "validation": round(scale * v, 4)}
        for e, t, v in zip(*columns, strict=True)
    ]
    spec = charts_models.training_curves(rows, y="accuracy, %" if what == "accuracy" else "loss", best=int(best))
    return Chart(spec, f"{what} of {name} on training and validation, epoch by epoch: {gap}")


def describe_gap(history: Histories, best: int) -> str:
    """The overfitting gap as text: training less validation accuracy at the epoch whose weights were kept."""
    at = list(history["epoch"]).index(best)
    training, validation = history["accuracy"][at], history["val_accuracy"][at]
    gap = 100 * (training - validation)
    gap_text = f"overfitting gap {gap:.1f} points" if gap > 0 else "no overfitting gap"
    accuracies = f"training {format_percent(training)}, validation {format_percent(validation)}"
    return f"best epoch {best} of {len(history['epoch'])}: {accuracies}: {gap_text}"


def _read_history(run: Folder, folder: str) -> dict[str, list[float]]:
    rows = list(csv.DictReader(io.StringIO(run.read_bytes(f"{folder}/history.csv").decode())))
    names = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
    return {name: [float(row[name]) for row in rows] for name in names}


def _hardest_tracks(board: Leaderboard, given: ScoredPredictions, known: TrackInfo) -> list[TrackList | Table]:
    """The hardest tracks with pictures and players; as a table where there is neither picture nor audio."""
    cards = [
        known.card(
            given.tracks[i],
            f"{printable(given.truth[i])}, taken for {printable(given.answer[i])} with {format_percent(given.p[i])}",
        )
        for i in given.hardest
    ]
    note = f"The most confident mistakes of {board.scored}. Listen whether the label or the model is wrong."
    if any(track.href or track.picture for track in cards):
        return [TrackList("Hardest tracks", cards, note)]
    rows = [(track.name, track.credits, track.text) for track in cards]
    caption = f"Hardest tracks: the most confident mistakes of {board.scored}"
    return [Table(f"{caption}; {cards[0].why}", ("track", "artist", "mistake"), rows, words=3)] if cards else []
