"""Build the leaderboard, plots and page of a run from the stored predictions.

RUN holds `run.json` and one folder per model with `metrics.json`, `predictions.parquet` and, for networks,
`history.csv`. The report reads and arranges them; it computes no score that a model could be chosen by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genrelab.core.errors import PreparedError, SettingsError, printable
from genrelab.core.storage import Folder
from genrelab.evaluation import comparison, plots, warnings
from genrelab.evaluation.verdict import recommended_model, verdict
from genrelab.records.prepared import read_parquet
from genrelab.records.task import split_groups
from genrelab.report.leaderboard import COLUMNS, Leaderboard, LeaderboardRow, as_csv, as_markdown, print_leaderboard
from genrelab.report.page import run as page_run
from genrelab.report.page.models import ScoredPredictions, load_predictions
from genrelab.report.run_comparison import ComparedRun, RunComparison, compare_runs, render_comparison, short_names

__all__ = ["Leaderboard", "RunComparison", "build_comparison", "build_report", "print_leaderboard"]


def build_report(run: Folder) -> Leaderboard:
    """Read a finished RUN and write its leaderboard (csv, md, json, png) and its page.

    Raises:
        PreparedError: the run is unfinished, or its files are inconsistent.
    """
    facts, stored = _read_run(run)
    try:
        board, predictions = _load_leaderboard(run, facts, stored)
        board = _with_comparisons(run, board, facts, stored, predictions)
        page = page_run.render_report(run, board, facts, stored, predictions)
    except KeyError as e:
        raise PreparedError(f"{run}: {e} is missing from its files; run `genrelab train` again") from e
    run.write_bytes("leaderboard.png", _plot_png(board))
    run.write_bytes("leaderboard.csv", as_csv(board).encode())
    run.write_bytes("leaderboard.md", as_markdown(board).encode())
    run.write_json("leaderboard.json", dataclasses.asdict(board))
    run.write_bytes("report.html", page.encode())
    return board


def build_comparison(runs: Sequence[Folder], out: Path | None = None) -> RunComparison:
    """Compare runs: one table, differences on the same scored tracks; the first run determines these tracks.

    Nothing is written into the runs.

    Args:
        out: path of the page; None: no page is written.

    Raises:
        SettingsError: fewer than two runs, or the same run twice.
        PreparedError: as in `build_report`, for any of them.
    """
    addresses = {run.local.resolve() if run.is_local else run.address.rstrip("/") for run in runs}
    if len(addresses) != len(runs) or len(runs) < 2:
        raise SettingsError(f"give two runs or more, each once. Received: {', '.join(map(str, runs))}")
    compared = compare_runs(
        [_load_compared_run(run, name) for run, name in zip(runs, short_names([*map(str, runs)]), strict=True)]
    )
    if out is not None:
        Folder(out.resolve().parent).write_bytes(out.name, render_comparison(compared).encode())
    return compared


def _load_compared_run(run: Folder, name: str) -> ComparedRun:
    facts, stored = _read_run(run)
    try:
        board, predictions = _load_leaderboard(run, facts, stored)
        board = _with_comparisons(run, board, facts, stored, predictions)
        split = read_parquet(run, "split.parquet").to_pydict()
        ids = list(map(str, split["track_id"]))
        group = dict(zip(ids, split_groups(split), strict=True))
        return ComparedRun(name, board, predictions, group, dict(zip(ids, split["sha256"], strict=True)))
    except KeyError as e:
        raise PreparedError(f"{run}: {e} is missing from its files; run `genrelab train` again") from e


def _read_run(run: Folder) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Read `run.json`, and `metrics.json` of each model, by its folder."""
    facts = _read_json(run, "run.json")
    stored = {m: _read_json(run, f"{m}/metrics.json") for m in run.names() if run.exists(f"{m}/metrics.json")}
    if not stored:
        raise PreparedError(f"{run}: no model has been scored; run `genrelab train` into it")
    return facts, stored


def _load_leaderboard(
    run: Folder, facts: dict[str, Any], stored: dict[str, dict[str, Any]]
) -> tuple[Leaderboard, dict[str, ScoredPredictions]]:
    """The leaderboard without comparisons, and the predictions of each of its models, by folder."""
    board = _leaderboard(facts, stored)
    return board, {row.folder: load_predictions(run, board, row) for row in board.rows}


def _with_comparisons(
    run: Folder,
    board: Leaderboard,
    facts: dict[str, Any],
    stored: dict[str, Any],
    predictions: Mapping[str, ScoredPredictions],
) -> Leaderboard:
    """The leaderboard with paired comparisons of all models, the winner, the cautions and the verdict."""
    right = {m: dict(zip(a.tracks, map(bool, a.truth == a.answer), strict=True)) for m, a in predictions.items()}
    tracks, correct = comparison.common_tracks(right)
    if not tracks:
        return board
    comparisons = comparison.compare_all(correct, _groups_of(run, tracks))
    models = {row.folder: stored[row.folder] for row in board.rows}
    winner = comparison.winner(comparisons, {row.folder: row.model for row in board.rows})
    audit = _read_json(run, "audit.json") if run.exists("audit.json") else None
    titled_facts = facts | {"dataset": facts["dataset"] | {"name": board.title}}
    studies = ["honesty"] if run.exists("honesty.json") else []
    cautions = warnings.find_warnings(
        facts=titled_facts, models=models, comparisons=comparisons, audit=audit, studies=studies
    )
    sentence = verdict(facts=titled_facts, models=models, winner=winner, warnings=cautions)
    return dataclasses.replace(
        board,
        comparisons=tuple(comparisons),
        winner=winner,
        to_use=recommended_model(facts=titled_facts, models=models, warnings=cautions),
        cautions=tuple(cautions),
        verdict=sentence,
    )  # fmt: skip


def _groups_of(run: Folder, tracks: Sequence[str]) -> list[str | None] | None:
    """Group of each track as used by the split, or None if no artist and no recording is known."""
    split = read_parquet(run, "split.parquet").to_pydict()
    group = dict(zip(map(str, split["track_id"]), split_groups(split), strict=True))
    groups = [group.get(t) for t in tracks]
    return groups if any(groups) else None


def _leaderboard(facts: dict[str, Any], stored: dict[str, dict[str, Any]]) -> Leaderboard:
    split, n = facts["split"], max(m["scores"]["n"] for m in stored.values())
    line = max(facts["majority"], facts["chance"])
    rows = [_row(folder, metrics, line, n) for folder, metrics in stored.items()]
    rows.sort(key=lambda r: (-r.accuracy, r.log_loss, r.folder))
    scores = next(m["scores"] for m in stored.values() if m["scores"]["n"] == n)
    over = scores["interval_over"]
    groups = over if over == "tracks" else f"{scores['n_groups']:,} {over}"
    return Leaderboard(
        dataset=facts["dataset"]["name"],
        title=page_run.report_title(facts),
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


def _row(folder: str, metrics: dict[str, Any], line: float, n: int) -> LeaderboardRow:
    scores = metrics["scores"]
    notes = list(metrics["notes"])
    if scores["n"] < n:
        notes.append(f"scored on {scores['n']:,} of {n:,} tracks")
    from_scores = COLUMNS[COLUMNS.index("n") : COLUMNS.index("train_s")]
    costs = COLUMNS[COLUMNS.index("train_s") :]
    return LeaderboardRow(
        model=metrics["display"],
        view=metrics["view"],
        part=metrics["part"],
        **{name: _rounded(scores[name]) for name in from_scores},
        **{name: _rounded(metrics[name]) for name in costs},
        folder=folder,
        above_majority=scores["accuracy_low"] > line,
        notes=tuple(notes),
    )


def _plot_png(board: Leaderboard) -> bytes:
    bars = [
        plots.AccuracyBar(printable(r.model), r.view, r.accuracy, r.accuracy_low, r.accuracy_high, r.above_majority)
        for r in board.rows
    ]
    scored = board.scored.removeprefix("n = ")
    return plots.leaderboard(
        bars,
        title=f"{printable(board.title)}, {board.split} split",
        below=f"{scored}; intervals over {board.interval_over}",
        chance=board.chance,
        majority=board.majority,
    )


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def _read_json(run: Folder, name: str) -> dict[str, Any]:
    if not run.exists():
        raise PreparedError(f"{run} does not exist: give a RUN that `genrelab train` has written")
    if not run.exists(name) and run.exists("dataset.json"):
        raise PreparedError(
            f"{run} is a preparation: give the RUN that was trained on it (`genrelab explore` shows it)"
        )
    if not run.exists(name):
        raise PreparedError(f"{run}: {name} is missing, so the run is unfinished; run `genrelab train` again")
    try:
        return run.read_json(name)
    except ValueError as e:
        raise PreparedError(f"{run}: {name} is damaged ({e}); run `genrelab train` again") from e
