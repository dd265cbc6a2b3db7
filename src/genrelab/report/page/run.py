"""The page of one run: leaderboard with verdict and cautions, the studies, every model, the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from genrelab.core.errors import PreparedError, printable
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.evaluation.comparison import ALPHA
from genrelab.evaluation.percent import ABSENT, format_number, percent
from genrelab.report.leaderboard import HEADERS, MAX_CAUTIONS, Leaderboard
from genrelab.report.page import audit as page_audit
from genrelab.report.page import data as page_data
from genrelab.report.page import models as page_models
from genrelab.report.page import studies as page_studies
from genrelab.report.page import tuning as page_tuning
from genrelab.report.page.blocks import Fold, Section, Table, render
from genrelab.report.page.charts import Interval
from genrelab.report.page.models import FinishedRun
from genrelab.report.page.ranking import accuracy_bars, accuracy_figure, difference_figure
from genrelab.report.page.studies import REPEAT, read_study
from genrelab.report.page.tracks import TrackInfo, add_pictures, track_info

Json = Mapping[str, Any]


def render_report(run: FinishedRun) -> str:
    """`report.html` of a run.

    Raises:
        PreparedError: files of RUN are inconsistent or damaged.
    """
    board, facts = run.board, run.known.facts
    tracks, studies = track_info(run.split, facts["dataset"].get("root"), run.folder), _read_studies(run.folder)
    doubts = page_audit.clearest_doubts(studies.get("doubts", {}).get("rows", ()))
    pictured = {a.tracks[i] for a in run.given.values() for i in a.hardest} | {r["track_id"] for r in doubts}
    add_pictures(tracks, run.prepared, pictured)
    return render(
        "report.html",
        what="report",
        title=printable(board.title),
        eyebrow=_eyebrow(board, facts),
        verdict=board.conclusion.sentence,
        cautions=board.cautions[:MAX_CAUTIONS],
        more_cautions=board.cautions[MAX_CAUTIONS:],
        notes=board.lines,
        leaderboard=accuracy_figure(leaderboard_bars(board), board, board.conclusion, _score_table(board)),
        sections=_study_sections(run, studies, tracks),
        models=[(row, page_models.model_section(run, row, tracks)) for row in board.rows],
        data=[*_data_sections(run, tracks), _environment_section(facts)],
    )


def _read_studies(run: Folder) -> dict[str, Any]:
    names = ("audit", "honesty", "learning_curve", "robustness", "doubts")
    found: dict[str, Any] = {n: read_study(run, f"{n}.json") for n in names if run.exists(f"{n}.json")}
    trials = [f"{m}/trials.json" for m in run.names("tune") if run.exists(f"tune/{m}/trials.json")]
    if trials:
        found["tuning"] = {t.partition("/")[0]: read_study(run, f"tune/{t}") for t in trials}
    return found


def _searches_of_other_tracks(run: Folder, studies: Json, split: Json) -> list[str]:
    """Models whose hyper-parameter search used tracks that are not training tracks of this run.

    `--overwrite` keeps a search, which took hours, so the run may be trained on another collection since.
    """
    keys = zip(split["track_id"], split["part"], split.get("sha256") or (), strict=False)
    learned = {f"{track}\t{sha or ''}" for track, part, sha in keys if part == "training"}
    models = []
    for model in studies.get("tuning", ()):
        if learned and run.exists(name := f"tune/{model}/tracks.txt"):
            searched = run.read_bytes(name).decode().splitlines()
            models += [] if learned.issuperset(searched) else [model]
    return models


def _study_sections(run: FinishedRun, studies: Json, tracks: TrackInfo) -> list[Section]:
    board, names = run.board, {row.folder: row.model for row in run.board.rows}
    mismatched = _searches_of_other_tracks(run.folder, studies, run.split)
    makers: dict[str, Callable[[Json], Section]] = {
        "audit": lambda found: page_audit.audit_section(found, tracks),
        "honesty": page_studies.honesty_section,
        "learning_curve": lambda found: page_studies.learning_curve_section(found, board.scored),
        "robustness": lambda found: page_studies.robustness_section(found, names),
        "doubts": lambda found: page_audit.doubts_section(found, tracks),
        "tuning": lambda found: page_tuning.tuning_section(found, mismatched),
    }
    sections = [_comparisons_section(board)] if board.comparisons and board.conclusion.ranked else []
    for name, make in makers.items():
        if name in studies:
            try:
                sections.append(make(studies[name]))
            except (KeyError, TypeError) as e:
                raise PreparedError(f"{run.folder}: {name}.json lacks {e}; {REPEAT}") from e
    return sections


def _data_sections(run: FinishedRun, tracks: TrackInfo) -> list[Section]:
    if run.prepared is None:
        sentence = "The prepared folder was moved or changed, so this page shows nothing about the data."
        return [Section("data", "Data", (), [sentence], "Data")]
    board, parts = run.board, dict(zip(map(str, run.split["track_id"]), run.split["part"], strict=True))
    best = next((row for row in board.rows if row.folder == board.conclusion.recommended), board.charted[0])
    given = run.given[best.folder]
    answered = dict(zip(given.tracks, map(str, given.answer), strict=True))
    return page_data.sections(run.prepared, tracks, parts, answered, best.model)


def _eyebrow(board: Leaderboard, facts: Json) -> str:
    n = facts["split"]["counts"]
    training = pluralize(n["training"], "training track") if "training" in n else ""
    genres = pluralize(board.genres, "genre")
    parts = (board.dataset, genres, training, board.scored, f"{board.split} split")
    return printable(" · ".join(p for p in parts if p))


def leaderboard_bars(board: Leaderboard) -> list[Interval]:
    """The bars of the chart and of `leaderboard.png`."""
    return accuracy_bars([(r.folder, printable(r.model), r) for r in board.charted], board.conclusion)


def _score_table(board: Leaderboard) -> Table:
    rows = [
        (*row.cells[:4], percent(row.balanced_accuracy), *row.cells[4:6], format_number(row.ece, 3), *row.cells[6:])
        for row in board.rows
    ]
    columns = (*HEADERS[:4], "balanced accuracy %", *HEADERS[4:6], "calibration error", *HEADERS[6:])
    return Table("; ".join((board.facts, *board.legend)), columns, rows, words=2, sortable=True, cards=True)


def _comparisons_section(board: Leaderboard) -> Section:
    """Paired comparisons: a figure of the first model against each other one, and a table of every pair."""
    names = {row.folder: printable(row.model) for row in board.rows}
    first = board.charted[0].folder
    figure = difference_figure(
        [(names[c["a"]], names[c["b"]], c) for c in board.comparisons],
        [(names[c["b"]], c) for c in board.comparisons if c["a"] == first],
        title=f"{names[first]} compared with each other model",
        axis=f"lead of {names[first]}, points",
        columns=("model", "against"),
        scored=board.scored,
    )
    n = sum(c["separable"] for c in board.comparisons)
    pairs = f"{n or 'None'} of {pluralize(board.comparisons, 'pair')} of models differ{'s' if n == 1 else ''}"
    sentence = f"{pairs} significantly on {board.scored} (p < {ALPHA} after Holm's correction)."
    return Section("comparisons", "Which models differ?", [figure], [sentence], "Comparisons")


ENVIRONMENT = {
    "dataset": "Data",
    "split": "Split",
    "settings": "Settings",
    "versions": "Software",
    "timings": "Seconds",
}
SHOWN_ELSEWHERE = ("by_genre", "notes", "no_test")  # shown elsewhere on the page


def _environment_section(facts: Json) -> Section:
    tables = []
    for name, title in ENVIRONMENT.items():
        values = {"seed": facts["seed"], **facts[name]} if name == "settings" else facts[name]
        rows = [(k.replace("_", " "), _format_value(v)) for k, v in values.items() if k not in SHOWN_ELSEWHERE]
        tables.append(Table(title, ("what", "value"), rows, words=2))
    return Section("environment", "Environment", [Fold(", ".join(ENVIRONMENT.values()), tables)], (), "Environment")


def _format_value(value: Any) -> str:
    """A JSON value in readable form."""
    if value is None or value in ({}, []):
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{_format_value(k)}: {_format_value(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(_format_value, value))
    return printable(str(value))


def report_title(facts: Json) -> str:
    """Name of the folder or table that the tracks come from; the kind of dataset if that is unknown."""
    root = facts["dataset"].get("root")
    return PurePath(root).name if root and PurePath(root).name else str(facts["dataset"]["name"])
