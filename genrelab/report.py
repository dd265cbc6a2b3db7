"""7 From what the models answered to a leaderboard, pictures and a page.

RUN holds `run.json` and one folder a model with `metrics.json`, `predictions.parquet` and, of networks,
`history.csv`. The report reads and arranges them; it computes no score that a model could be chosen by.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genrelab import pictures
from genrelab.errors import PreparedError, printable
from genrelab.leaderboard import (
    COLUMNS,
    HEADERS,
    Leaderboard,
    Row,
    as_csv,
    as_markdown,
    percent,
    print_leaderboard,
)
from genrelab.prepared import read_parquet
from genrelab.storage import Folder

__all__ = ["Leaderboard", "build", "gap_words", "print_leaderboard"]

MISTAKES = 8  # shown on the page for each model, the most confident ones


def build(run: Folder) -> Leaderboard:
    """Read a finished RUN and write its leaderboard (csv, md, json, png), the models' pictures and the page.

    Raises:
        PreparedError: the run is unfinished, or its files do not fit together.
    """
    facts = _read_json(run, "run.json")
    stored = {m: _read_json(run, f"{m}/metrics.json") for m in run.names() if run.exists(f"{m}/metrics.json")}
    if not stored:
        raise PreparedError(f"{run}: no model has been scored; run `genrelab train` into it")
    try:
        board = _leaderboard(facts, stored)
        models = [_model(run, board, row, stored[row.folder]) for row in board.rows]
    except KeyError as e:
        raise PreparedError(f"{run}: {e} is missing from its files; run `genrelab train` again") from e
    picture = _picture(board)
    run.write_bytes("leaderboard.png", picture)
    run.write_bytes("leaderboard.csv", as_csv(board).encode())
    run.write_bytes("leaderboard.md", as_markdown(board).encode())
    run.write_json("leaderboard.json", dataclasses.asdict(board))
    run.write_bytes("report.html", _page(board, models, picture, facts).encode())
    return board


def _leaderboard(facts: dict[str, Any], stored: dict[str, dict[str, Any]]) -> Leaderboard:
    split, n = facts["split"], max(m["scores"]["n"] for m in stored.values())
    line = max(facts["majority"], facts["chance"])
    rows = [_row(folder, metrics, line, n) for folder, metrics in stored.items()]
    rows.sort(key=lambda r: (-r.accuracy, r.log_loss, r.folder))
    scores = next(m["scores"] for m in stored.values() if m["scores"]["n"] == n)
    groups = f"{scores['n_groups']:,} artists" if scores["interval_over"] == "artists" else "tracks"
    return Leaderboard(
        dataset=facts["dataset"]["name"],
        genres=tuple(scores["genres"]),
        part=facts["part"],
        n=n,
        no_test=split["no_test"],
        split=split["policy"],
        split_digest=split["digest"],
        split_counts=split["counts"],
        split_notes=tuple(split["notes"]),
        chance=facts["chance"],
        majority=facts["majority"],
        majority_genre=facts["majority_genre"],
        interval_over=groups,
        macro_over=tuple(scores["macro_over"]),
        not_measured=tuple(scores["not_measured"]),
        not_run=tuple({"model": m["model"], "reason": m["reason"]} for m in facts["not_run"]),
        rows=tuple(rows),
    )


def _row(folder: str, metrics: dict[str, Any], line: float, n: int) -> Row:
    scores = metrics["scores"]
    notes = list(metrics["notes"])
    if scores["n"] < n:
        notes.append(f"scored on {scores['n']:,} of {n:,} tracks")
    from_scores = COLUMNS[COLUMNS.index("n") : COLUMNS.index("train_s")]
    costs = COLUMNS[COLUMNS.index("train_s") :]
    return Row(
        model=metrics["display"],
        view=metrics["view"],
        part=metrics["part"],
        **{name: _rounded(scores[name]) for name in from_scores},
        **{name: _rounded(metrics[name]) for name in costs},
        folder=folder,
        above_majority=scores["accuracy_low"] > line,
        notes=tuple(notes),
    )


def _model(run: Folder, board: Leaderboard, row: Row, metrics: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of one model; its pictures are written on the way."""
    scores, folder = metrics["scores"], row.folder
    title = f"{printable(row.model)}: {board.n:,} {board.part} tracks, {board.split} split"
    counts = np.array(scores["confusion"], dtype=np.int64)
    confusion = pictures.confusion(counts, [printable(g) for g in board.genres], title=title)
    run.write_bytes(f"{folder}/confusion.png", confusion)
    model = {
        "row": row,
        "per_genre": scores["per_genre"],
        "confusion": _data_uri(confusion),
        "mistakes": _mistakes(run, board, row),
        "curves": None,
    }
    if metrics["curve"] is not None:
        history, best = _history(run, folder), metrics["curve"]["best_epoch"]
        if best not in history["epoch"]:
            raise PreparedError(f"{run}: {folder}/history.csv lacks the best epoch, {best}; run `genrelab train` again")
        model["gap"] = gap_words(history, best)
        title = f"{printable(row.model)}: learning curves"
        curves = pictures.curves(history, best, title=title, below=model["gap"])
        run.write_bytes(f"{folder}/curves.png", curves)
        model["curves"] = _data_uri(curves)
    return model


def gap_words(history: Mapping[str, Sequence[float]], best: int) -> str:
    """The overfitting gap in words: training less validation accuracy at the epoch whose weights were kept."""
    at = list(history["epoch"]).index(best)
    training, validation = history["accuracy"][at], history["val_accuracy"][at]
    gap = 100 * (training - validation)
    named = f"overfitting gap {gap:.1f} points" if gap > 0 else "no overfitting gap"
    seen = f"training {percent(training)}, validation {percent(validation)}"
    return f"best epoch {best} of {len(history['epoch'])}: {seen}: {named}"


def _history(run: Folder, folder: str) -> dict[str, list[float]]:
    rows = list(csv.DictReader(io.StringIO(run.read_bytes(f"{folder}/history.csv").decode())))
    names = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
    return {name: [float(row[name]) for row in rows] for name in names}


def _mistakes(run: Folder, board: Leaderboard, row: Row) -> list[dict[str, Any]]:
    """The most confident wrong answers, from `predictions.parquet`; what it holds must be what was scored."""
    import pyarrow.compute as pc

    table = read_parquet(run, f"{row.folder}/predictions.parquet")
    table = table.filter(pc.equal(table["part"], board.part))
    truth = np.array(table["truth"].to_pylist())
    probabilities = np.stack([table[f"p_{g}"].to_numpy() for g in board.genres], axis=1)
    answers = np.array(board.genres)[probabilities.argmax(axis=1)]
    if len(truth) != row.n or int((truth == answers).sum()) != round(row.accuracy * row.n):
        raise PreparedError(
            f"{run}: predictions.parquet and metrics.json of {row.folder} tell different scores; "
            "run `genrelab train` again"
        )
    confidence = np.where(truth == answers, 0.0, probabilities.max(axis=1))
    worst = np.argsort(-confidence, kind="stable")[: min(MISTAKES, int((truth != answers).sum()))]
    tracks = table["track_id"].to_pylist()
    return [
        {
            "track": printable(str(tracks[i])),
            "truth": truth[i],
            "answer": answers[i],
            "p": percent(confidence[i]),
        }
        for i in worst
    ]


def _picture(board: Leaderboard) -> bytes:
    bars = [
        pictures.Bar(printable(r.model), r.view, r.accuracy, r.accuracy_low, r.accuracy_high, r.above_majority)
        for r in board.rows
    ]
    scored = board.scored.removeprefix("n = ")
    return pictures.leaderboard(
        bars,
        title=f"{printable(board.dataset)}, {board.split} split",
        below=f"{scored}; intervals resample {board.interval_over}",
        chance=board.chance,
        majority=board.majority,
    )


def _page(board: Leaderboard, models: list[dict[str, Any]], picture: bytes, facts: dict[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("genrelab"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["plain"] = lambda value: value if isinstance(value, str) else json.dumps(value)
    circumstances = {name: facts[name] for name in ("dataset", "settings", "seed", "versions", "timings")}
    return environment.get_template("report.html").render(
        board=board, models=models, picture=_data_uri(picture), headers=HEADERS, circumstances=circumstances
    )


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def _read_json(run: Folder, name: str) -> dict[str, Any]:
    if not run.exists(name):
        raise PreparedError(f"{run}: {name} is missing, so the run is unfinished; run `genrelab train` again")
    try:
        return run.read_json(name)
    except ValueError as e:
        raise PreparedError(f"{run}: {name} is damaged ({e}); run `genrelab train` again") from e
