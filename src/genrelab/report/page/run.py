"""The page of one run: leaderboard with verdict and cautions, the studies, every model, the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from genrelab.core.errors import PreparedError, printable
from genrelab.core.storage import Folder
from genrelab.records.prepared import Prepared, open_prepared, read_parquet
from genrelab.report.leaderboard import HEADERS, Leaderboard, format_percent
from genrelab.report.page import audit as page_audit
from genrelab.report.page import data as page_data
from genrelab.report.page import models as page_models
from genrelab.report.page import studies as page_studies
from genrelab.report.page import tuning as page_tuning
from genrelab.report.page.blocks import ABSENT, Figure, Section, Table, format_interval, points, render
from genrelab.report.page.blocks import percent as bare
from genrelab.report.page.charts import Chart, Interval, intervals
from genrelab.report.page.models import ScoredPredictions
from genrelab.report.page.occlusion import occlusion_tracks
from genrelab.report.page.tracks import TrackInfo, add_pictures, track_info

Json = Mapping[str, Any]


def render_report(
    run: Folder, board: Leaderboard, facts: Json, stored: Mapping[str, Json], given: Mapping[str, ScoredPredictions]
) -> str:
    """`report.html` of a run.

    Args:
        facts: `run.json`; `stored`: `metrics.json` of each model.
        given: predictions of each model, by folder.

    Raises:
        PreparedError: files of RUN are inconsistent or damaged.
    """
    prepared, split = _find_prepared(run, facts), read_parquet(run, "split.parquet").to_pydict()
    tracks = track_info(split, facts["dataset"].get("root"), run)
    studies = _read_studies(run)
    add_pictures(tracks, prepared, _tracks_with_picture(given, studies))
    models = [_model_context(run, board, row, stored[row.folder], given[row.folder], tracks) for row in board.rows]
    sections = _study_sections(run, board, studies, tracks, _searches_of_other_tracks(run, studies, split))
    data = _data_sections(prepared, board, split, given, tracks)
    return render(
        "report.html",
        what="report",
        title=printable(board.title),
        eyebrow=_eyebrow(board, facts),
        verdict=board.verdict,
        cautions=board.cautions,
        board=board,
        leaderboard=_leaderboard_figure(board),
        scores=_score_table(board),
        sections=sections,
        models=models,
        data=data,
        circumstances=_environment_tables(facts),
        contents=_contents(sections, models, data),
    )


def _find_prepared(run: Folder, facts: Json) -> Prepared | None:
    """The preparation that the run was trained on, inside RUN or at its old place; None if it is gone or changed."""
    for folder in (run / "prepared", facts["dataset"].get("prepared")):
        try:
            prepared = open_prepared(folder) if folder is not None else None
        except (PreparedError, OSError):
            continue
        if prepared is not None and prepared.about["fingerprint"] == facts["dataset"].get("fingerprint"):
            return prepared
    return None


def _read_studies(run: Folder) -> dict[str, Any]:
    names = ("audit", "honesty", "learning_curve", "robustness", "doubts")
    found: dict[str, Any] = {n: _read_study(run, f"{n}.json") for n in names if run.exists(f"{n}.json")}
    trials = [f"{m}/trials.json" for m in run.names("tune") if run.exists(f"tune/{m}/trials.json")]
    if trials:
        found["tuning"] = {t.partition("/")[0]: _read_study(run, f"tune/{t}") for t in trials}
    return found


def _searches_of_other_tracks(run: Folder, studies: Json, split: Json) -> list[str]:
    """Models whose hyper-parameter search used tracks that are not training tracks of this run.

    `--overwrite` keeps a search, which took hours, so the run beside it may be trained on another collection.
    """
    keys = zip(split["track_id"], split["part"], split.get("sha256") or (), strict=False)
    learned = {f"{track}\t{sha or ''}" for track, part, sha in keys if part == "training"}
    models = []
    for model in studies.get("tuning", ()):
        if learned and run.exists(name := f"tune/{model}/tracks.txt"):
            searched = run.read_bytes(name).decode().splitlines()
            models += [] if learned.issuperset(searched) else [model]
    return models


def _read_study(run: Folder, name: str) -> dict[str, Any]:
    try:
        return run.read_json(name)
    except ValueError as e:
        raise PreparedError(f"{run}: {name} is damaged ({e}); make the study again") from e


def _tracks_with_picture(predictions: Mapping[str, ScoredPredictions], studies: Json) -> set[str]:
    """Ids of the tracks whose picture the page shows."""
    wanted = {a.tracks[i] for a in predictions.values() for i in a.hardest}
    if "doubts" in studies:
        wanted |= {r["track_id"] for r in page_audit.clearest_doubts(studies["doubts"].get("rows", ()))}
    return wanted


def _study_sections(
    run: Folder, board: Leaderboard, studies: Json, tracks: TrackInfo, mismatched: Sequence[str]
) -> list[Section]:
    names = {row.folder: row.model for row in board.rows}
    makers: dict[str, Callable[[Json], Section]] = {
        "audit": lambda found: page_audit.audit_section(found, tracks),
        "honesty": page_studies.honesty_section,
        "learning_curve": lambda found: page_studies.learning_curve_section(found, board.scored),
        "robustness": lambda found: page_studies.robustness_section(found, names),
        "doubts": lambda found: page_audit.doubts_section(found, tracks),
        "tuning": lambda found: page_tuning.tuning_section(found, mismatched),
    }
    sections = [_comparisons_section(board)] if board.comparisons else []
    for name, make in makers.items():
        if name in studies:
            try:
                sections.append(make(studies[name]))
            except (KeyError, TypeError) as e:
                raise PreparedError(f"{run}: {name}.json lacks {e}; make the study again") from e
    return sections


def _model_context(
    run: Folder, board: Leaderboard, row: Any, metrics: Json, predictions: ScoredPredictions, tracks: TrackInfo
) -> dict[str, Any]:
    section = page_models.model_section(run, board, row, metrics, predictions, tracks)
    blocks = [*section.blocks, *occlusion_tracks(run, row, tracks)]
    return {
        "id": f"model-{row.folder}",
        "title": section.title,
        "figures": f"{format_percent(row.accuracy)} [{bare(row.accuracy_low)}, {bare(row.accuracy_high)}]",
        "row": row,
        "section": Section(section.id, section.title, blocks, section.sentences),
    }


def _data_sections(
    prepared: Prepared | None,
    board: Leaderboard,
    split: Json,
    predictions: Mapping[str, ScoredPredictions],
    tracks: TrackInfo,
) -> list[Section]:
    if prepared is None:
        sentence = "The preparation is not where this run left it, so nothing is shown of the data."
        return [Section("data", "What was there to learn from?", (), [sentence], "Data")]
    parts = dict(zip(map(str, split["track_id"]), split["part"], strict=True))
    best = board.rows[0]
    answered = dict(zip(predictions[best.folder].tracks, map(str, predictions[best.folder].answer), strict=True))
    return page_data.sections(prepared, tracks, parts, answered, best.model)


def _eyebrow(board: Leaderboard, facts: Json) -> str:
    n = facts["split"]["counts"]
    learned = f"learned from {n['training']:,} tracks" if "training" in n else ""
    parts = (board.dataset, f"{len(board.genres)} genres", learned, board.scored, f"{board.split} split")
    return printable(" · ".join(p for p in parts if p))


def _leaderboard_figure(board: Leaderboard) -> Figure:
    rows = [
        Interval(printable(r.model), r.accuracy, r.accuracy_low, r.accuracy_high, r.above_majority, printable(r.view))
        for r in board.rows
    ]
    lines = {"chance": board.chance, f"majority (always {printable(board.majority_genre)})": board.majority}
    spec = intervals(rows, axis=f"accuracy on {board.n:,} {board.part} tracks, %", lines=lines, bars=True)
    label = f"Accuracy of {len(rows)} models with 95 % intervals; {board.facts}"
    note = f"Accuracy with its 95 % interval over {board.interval_over}; {board.scored}."
    return Figure("Leaderboard", Chart(spec, label), note, wide=True)


def _score_table(board: Leaderboard) -> Table:
    rows = [
        (*row.cells[:4], bare(row.balanced_accuracy), *row.cells[4:6], f"{row.ece:.3f}", *row.cells[6:])
        for row in board.rows
    ]
    columns = (*HEADERS[:4], "balanced %", *HEADERS[4:6], "ECE", *HEADERS[6:])
    return Table(board.facts, columns, rows, words=2, sortable=True, cards=True)


def _comparisons_section(board: Leaderboard) -> Section:
    """Paired comparisons: a figure of the best model against each other one, and a table of every pair."""
    names = {row.folder: printable(row.model) for row in board.rows}
    first = board.rows[0].folder
    rows = [
        Interval(f"{names[c['a']]} − {names[c['b']]}", c["difference"], c["low"], c["high"], c["separable"])
        for c in board.comparisons
        if c["a"] == first
    ]
    cells = [
        (
            names[c["a"]],
            names[c["b"]],
            "yes" if c["separable"] else "no",
            points(c["difference"]),
            format_interval(c["low"], c["high"], signed=True),
            f"{c['p_value']:.3f}",
            f"{c['p_adjusted']:.3f}",
            f"{c['n']:,}",
            f"{c['n_groups']:,}",
        )
        for c in board.comparisons
    ]
    columns = ("model", "against", "told apart", "points", "95 % interval", "p", "p, Holm", "tracks", "groups")
    table = Table(
        f"Every two models, on the same tracks; {board.scored}", columns, cells, words=3, folded=True, cards=True
    )
    spec = intervals(rows, axis="difference in accuracy, points", signed=True)
    note = f"Paired on the same tracks, artists kept whole; pale where chance may explain it. {board.scored}."
    figure = Figure("The first against each other model", Chart(spec, board.winner["sentence"]), note, table, wide=True)
    sentence = f"On the same tracks, {board.winner['sentence']}."
    return Section("comparisons", "Who can be told apart?", [figure], [sentence], "Comparisons")


def _contents(
    sections: Sequence[Section], models: Sequence[Json], data: Sequence[Section]
) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    below = [(m["id"], m["title"], bare(m["row"].accuracy)) for m in models]
    return [
        ("leaderboard", "Leaderboard", []),
        *((s.id, s.short, []) for s in sections),
        ("models", "Models", below),
        *((s.id, s.short, []) for s in data),
        ("circumstances", "Circumstances", []),
    ]


ENVIRONMENT = {
    "dataset": "Data",
    "split": "Split",
    "settings": "Settings",
    "versions": "Software",
    "timings": "Seconds",
}
SHOWN_ELSEWHERE = ("by_genre", "notes", "no_test")  # shown elsewhere on the page


def _environment_tables(facts: Json) -> list[Table]:
    tables = []
    for name, title in ENVIRONMENT.items():
        values = {"seed": facts["seed"], **facts[name]} if name == "settings" else facts[name]
        rows = [(k.replace("_", " "), _format_value(v)) for k, v in values.items() if k not in SHOWN_ELSEWHERE]
        tables.append(Table(title, ("what", "value"), rows, words=2, folded=True))
    return tables


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
