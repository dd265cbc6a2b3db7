"""Build the leaderboard, plots and page of a run from the stored predictions.

RUN holds `run.json` and one folder per model with `metrics.json`, `predictions.parquet` and, for networks,
`history.csv`. The report reads and arranges them; it computes no score that a model could be chosen by.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genrelab.core.errors import PreparedError, SettingsError, printable
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.evaluation import comparison, plots
from genrelab.evaluation.verdict import MIN_RANKED_TRACKS, RunFacts, reach_verdict
from genrelab.evaluation.warnings import find_warnings
from genrelab.records.prepared import find_prepared, read_parquet
from genrelab.records.task import split_groups
from genrelab.report.leaderboard import COLUMNS, Leaderboard, LeaderboardRow, as_csv, as_markdown, print_leaderboard
from genrelab.report.page import run as page_run
from genrelab.report.page.models import FinishedRun, load_predictions
from genrelab.report.run_comparison import RunComparison, compare_runs, render_comparison, short_names

__all__ = ["Leaderboard", "RunComparison", "build_comparison", "build_report", "print_leaderboard"]


def build_report(run: Folder) -> Leaderboard:
    """Read a finished RUN and write its leaderboard (csv, md, json, png) and its page.

    Raises:
        PreparedError: the run is unfinished, or its files are inconsistent.
    """
    with _complete(run):
        finished = _load(run)
        page, board = page_run.render_report(finished), finished.board
    run.write_bytes("leaderboard.png", _plot_png(board))
    run.write_bytes("leaderboard.csv", as_csv(board).encode())
    run.write_bytes("leaderboard.md", as_markdown(board).encode())
    run.write_json("leaderboard.json", board.to_json())
    run.write_bytes("report.html", page.encode())
    return board


def build_comparison(runs: Sequence[Folder], out: Path | None = None) -> RunComparison:
    """Compare runs: one table, differences on the same test tracks; the first run determines these tracks.

    Nothing is written into the runs.

    Args:
        out: path of the page; None: no page is written.

    Raises:
        SettingsError: fewer than two runs, or the same run twice.
        PreparedError: as in `build_report`, for any of them.
    """
    addresses = {run.local.resolve() if run.is_local else run.address.rstrip("/") for run in runs}
    if len(addresses) != len(runs) or len(runs) < 2:
        raise SettingsError(f"give two or more different runs. Received: {', '.join(map(str, runs))}")
    loaded = []
    for run, name in zip(runs, short_names([*map(str, runs)]), strict=True):
        with _complete(run):
            loaded.append(_load(run, name))
    compared = compare_runs(loaded)
    if out is not None:
        Folder(out.resolve().parent).write_bytes(out.name, render_comparison(compared).encode())
    return compared


@contextmanager
def _complete(run: Folder) -> Iterator[None]:
    """Turns a missing key of the run's files into an error that names it."""
    try:
        yield
    except KeyError as e:
        raise PreparedError(f"{run}: {e} is missing from its files; run `genrelab train` again") from e


def _load(run: Folder, name: str = "") -> FinishedRun:
    facts = _read_json(run, "run.json")
    stored = {m: _read_json(run, f"{m}/metrics.json") for m in run.names() if run.exists(f"{m}/metrics.json")}
    if not stored:
        raise PreparedError(
            f"{run}: no model has been scored; run `genrelab train PREPARED --out {shlex.quote(str(run))}`"
        )
    board = _leaderboard(facts, stored)
    predictions = {row.folder: load_predictions(run, board, row) for row in board.rows}
    tracks, correct = comparison.common_tracks({m: given.correct for m, given in predictions.items()})
    split = read_parquet(run, "split.parquet").to_pydict()
    group = dict(zip(map(str, split["track_id"]), split_groups(split), strict=True))
    comparisons = comparison.compare_all(correct, [group.get(t) for t in tracks]) if tracks else []
    audit = _read_json(run, "audit.json") if run.exists("audit.json") else None
    models = {row.folder: stored[row.folder] for row in board.rows}
    known = RunFacts(facts, models, comparisons, audit, run.exists("honesty.json"))
    conclusion = reach_verdict(known)
    cautions = tuple(find_warnings(known, conclusion))
    board = dataclasses.replace(board, comparisons=tuple(comparisons), cautions=cautions, conclusion=conclusion)
    return FinishedRun(name, run, known, board, predictions, split, find_prepared(run, facts))


def _leaderboard(facts: dict[str, Any], stored: dict[str, dict[str, Any]]) -> Leaderboard:
    split, n = facts["split"], max(m["scores"]["n"] for m in stored.values())
    line = max(facts["majority"], facts["chance"])
    rows = [_row(folder, metrics, line, n) for folder, metrics in stored.items()]
    rows.sort(key=lambda r: (-r.accuracy, r.log_loss, r.folder) if n >= MIN_RANKED_TRACKS else r.folder)
    scores = next(m["scores"] for m in stored.values() if m["scores"]["n"] == n)
    over = scores["interval_over"]
    groups = over if over == "tracks" else pluralize(scores["n_groups"], over.removesuffix("s"))
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
    values = {**metrics, **metrics["scores"], "model": metrics["display"]}
    partly = [f"scored on {values['n']:,} of {pluralize(n, 'track')}"] if values["n"] < n else []
    return LeaderboardRow(
        **{name: _rounded(values[name]) for name in COLUMNS},
        folder=folder,
        above_majority=values["accuracy_low"] > line,
        notes=(*metrics["notes"], *partly),
    )


def _plot_png(board: Leaderboard) -> bytes:
    return plots.leaderboard(
        page_run.leaderboard_bars(board),
        title=f"{printable(board.title)}, {board.split} split",
        below=f"{board.scored}; intervals over {board.interval_over}",
        lines=board.baselines,
        kinds=board.conclusion.kinds,
    )


def _rounded(value: Any) -> Any:
    return round(value, 6) + 0.0 if isinstance(value, float) else value  # -0.0 becomes 0.0


def _read_json(run: Folder, name: str) -> dict[str, Any]:
    if not run.exists():
        raise PreparedError(f"{run} does not exist: give a run folder, the output of `genrelab train`")
    if not run.exists(name) and run.exists("dataset.json"):
        raise PreparedError(f"{run} is a prepared folder: give a run folder, or use `genrelab explore`")
    if not run.exists(name) and run.exists("article.json"):
        raise PreparedError(f"{run} was written by `genrelab article`; its runs are {run}/article and {run}/honest")
    if not run.exists(name):
        raise PreparedError(f"{run}: {name} is missing: the run is unfinished; continue with `genrelab train --resume`")
    try:
        return run.read_json(name)
    except ValueError as e:
        raise PreparedError(f"{run}: {name} is damaged ({e}); run `genrelab train` again") from e
