"""Page sections of the studies that train models again or alter their audio: honesty, learning curve, robustness.

Each section reads the JSON of its study: its finding, one picture of all models on shared axes, the rest folded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genrelab.core.errors import PreparedError, printable
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.evaluation.comparison import ALPHA, BASELINE
from genrelab.evaluation.percent import ABSENT, format_interval, format_number, percent, points
from genrelab.report.page import charts, charts_lines
from genrelab.report.page.blocks import Block, Figure, Section, Table, details
from genrelab.report.page.charts import Chart

Json = Mapping[str, Any]

POLICIES = {
    "official": "official split",
    "artist": "artists kept apart",
    "article": "the article's split",
    "random": "random tracks",
    "segment": "random windows",
}

REPEAT = "make it again: `genrelab train --resume` with the option of this study, or `genrelab tune`"


def read_study(run: Folder, name: str) -> dict[str, Any]:
    """The JSON of a study.

    Raises:
        PreparedError: it is damaged.
    """
    try:
        return run.read_json(name)
    except ValueError as e:
        raise PreparedError(f"{run}: {name} is damaged ({e}); {REPEAT}") from e


def honesty_section(found: Json) -> Section:
    """Section of `honesty.json`: each model under every split policy."""
    results = [(printable(m["model"]), p) for m in found["models"] for p in m["policies"]]
    models = found["models"]
    values = [{"name": name, "series": _policy(p["policy"]), **_interval_in_percent(p, "value")} for name, p in results]
    rows = [
        (
            name,
            _policy(p["policy"]),
            *_accuracy_cells(p),
            f"{p['n']:,} {p.get('part') or ''}".strip(),
            f"{p['n_learned']:,}",
            ", ".join(map(percent, p["folds"])) or ABSENT,
            printable(p.get("note") or ABSENT),
        )
        for name, p in results
    ]
    columns = (
        "model",
        "split",
        "accuracy %",
        "95 % interval",
        "tracks",
        "training tracks",
        "accuracy of each fold, %",
        "note",
    )
    table = Table("Accuracy by model and split", columns, rows, words=2, folded=True, cards=True)
    spec = charts_lines.grouped_intervals(values, axis="accuracy, %")
    chart = Chart(spec, f"Accuracy of {pluralize(models, 'model')} by split")
    figure = Figure("", chart, "Accuracy with 95 % intervals.", table, wide=True)
    sentences = found["sentences"]
    folded = details(sentences[1:], *_difference_table(models), *_reason_table(found))
    return Section("honesty", "How much does the split matter?", [figure, *folded], sentences[:1], "Splits")


def _accuracy_cells(row: Json) -> tuple[str, str]:
    return percent(row["accuracy"]), format_interval(row["low"], row["high"])


def _difference_cells(difference: float, low: float, high: float) -> tuple[str, str]:
    return points(difference), format_interval(low, high, signed=True)


def _policy(name: str) -> str:
    return POLICIES.get(name, name)


def _interval_in_percent(row: Json, value: str = "y") -> dict[str, float]:
    return {k: round(100 * row[name], 3) for k, name in {value: "accuracy", "low": "low", "high": "high"}.items()}


def _difference_table(models: Sequence[Json]) -> list[Table]:
    rows = [
        (
            printable(m["model"]),
            f"{_policy(d['a'])} − {_policy(d['b'])}",
            *_difference_cells(d["difference"], d["low"], d["high"]),
            f"{d['n']:,}",
        )
        for m in models
        for d in m["differences"]
    ]
    columns = ("model", "splits", "points", "95 % interval", "tracks scored with both")
    return [Table("Differences between the splits", columns, rows, words=2, wide=True)] if rows else []


def _reason_table(found: Json) -> list[Table]:
    rows = [
        (_policy(r["policy"]), printable(r.get("model") or "all models"), printable(r["reason"]))
        for r in found.get("not_run", ())
    ]
    return [Table("Not measured", ("split", "model", "why"), rows, words=3, wide=True)] if rows else []


def learning_curve_section(found: Json, scored: str) -> Section:
    """Section of `learning_curve.json`: would more tracks help, and of which genre?"""
    measured = [(printable(m["model"]), p) for m in found["models"] for p in m["points"]]
    values = [{"series": name, "x": p["n_tracks"], **_interval_in_percent(p)} for name, p in measured]
    rows = [(name, f"{p['n_tracks']:,}", *_accuracy_cells(p)) for name, p in measured]
    columns = ("model", "training tracks", "accuracy %", "95 % interval")
    table = Table(f"Accuracy by number of training tracks; {scored}", columns, rows, folded=True, cards=True)
    spec = charts_lines.lines(values, x="training tracks", y="accuracy, %", band=True)
    verdicts = ", ".join(f"{printable(m['model'])} {m['verdict']}" for m in found["models"])
    chart, note = Chart(spec, f"Learning curves: {verdicts}"), "Click or tap a name to see its 95 % interval."
    figure = Figure("Accuracy with more training tracks", chart, note, table, wide=True)
    sentences = found["sentences"]
    folded = details(sentences[1:], *_gains_table(found["models"], scored))
    return Section("more-data", "Would more tracks help?", [figure, *folded], sentences[:1], "More tracks")


def _gains_table(models: Sequence[Json], scored: str) -> list[Table]:
    gains = [(m["model"], genre, g) for m in models for genre, g in m["genres"].items()]
    rows = [
        (
            printable(model), printable(genre), printable(g["verdict"]),
            *_difference_cells(g["gain"], g["low"], g["high"]),
        )
        for model, genre, g in sorted(gains, key=lambda gain: -(gain[2]["gain"] or 0))
    ]  # fmt: skip
    caption = f"Gain in recall from half of the training tracks to all; {scored}"
    columns = ("model", "genre", "verdict", "points", "95 % interval")
    return [Table(caption, columns, rows, words=3, sortable=True, wide=True)] if rows else []


def robustness_section(found: Json, names: Mapping[str, str]) -> Section:
    """Section of `robustness.json`: accuracy on altered audio, and on excerpts of different lengths."""
    of = _sample_text(found)
    trained = [m for m in found["models"] if m["model"] != BASELINE]  # the baseline ignores the audio
    trained.sort(key=lambda m: -m["conditions"][0]["accuracy"])
    models = [(printable(names.get(m["model"], m["model"])), m) for m in trained]
    sentences, excerpts = found["sentences"], _excerpt_figure(models, of)
    blocks: list[Block] = [_altered_figure(models, of), *details(sentences[1:], *excerpts)]
    return Section("robustness", "How robust are the models?", blocks, sentences[:1], "Robustness")


def _sample_text(found: Json) -> str:
    """`62 test tracks`, or `200 of 1,000 test tracks`."""
    all_tracks = pluralize(found["n_scored"], f"{found['part']} track")
    return all_tracks if found["n"] == found["n_scored"] else f"{found['n']:,} of {all_tracks}"


def _altered_figure(models: Sequence[tuple[str, Json]], of: str) -> Figure:
    """All models against all alterations, coloured by the change in accuracy."""
    altered = [(name, c) for name, m in models for c in m["conditions"][1:]]
    most = max((abs(c["difference"]) for _, c in altered), default=0)
    cells = [
        {
            "down": name,
            "across": c["label"],
            "share": round(c["difference"] / (most or 1), 3),
            "framed": c["p_adjusted"] < ALPHA,
            "tip": f"{name}, {c['label']}: {percent(c['accuracy'])} %, {points(c['difference'])} points "
            f"[{format_interval(c['difference_low'], c['difference_high'], signed=True)}]",
        }
        for name, c in altered
    ]
    rows = [
        (
            name,
            c["label"],
            *_accuracy_cells(c),
            *_difference_cells(c["difference"], c["difference_low"], c["difference_high"]),
            percent(c["same_answer"]),
        )
        for name, m in models
        for c in m["conditions"]
    ]
    columns = ("model", "audio", "accuracy %", "95 % interval", "points", "95 % interval", "same answer %")
    table = Table(f"Accuracy on altered audio; {of}", columns, rows, words=2, folded=True, cards=True)
    across = list(dict.fromkeys(c["label"] for _, c in altered))
    spec = charts.matrix(cells, across=across, down=[name for name, _ in models], x="", y="", numbered=False)
    title = "Points lost (orange) or gained (blue), framed if significant"
    chart = Chart(spec, f"Change in accuracy of {pluralize(models, 'model')} on altered audio; {of}")
    note = f"The deepest colour is {format_number(100 * most, 0)} points." if most else ""
    return Figure(title, chart, note, table, wide=True)


def _excerpt_figure(models: Sequence[tuple[str, Json]], of: str) -> list[Figure]:
    excerpts = [(name, s) for name, m in models for s in m["seconds"]]
    if len({s["seconds"] for _, s in excerpts}) < 2:  # no curve; the sentences contain the single figure
        return []
    values = [{"series": name, "x": s["seconds"], **_interval_in_percent(s)} for name, s in excerpts]
    spec = charts_lines.lines(values, x="seconds of the track", y="accuracy, %", band=True, log=True)
    rows = [(name, f"{s['seconds']:g}", f"{s['n']:,}", *_accuracy_cells(s)) for name, s in excerpts]
    columns = ("model", "seconds", "n", "accuracy %", "95 % interval")
    table = Table(f"Accuracy by length; {of}", columns, rows, folded=True)
    chart, note = Chart(spec, "Accuracy by seconds of the track"), f"Excerpts from the middle of each track; {of}."
    return [Figure("How long must a track be?", chart, note, table, wide=True)]
