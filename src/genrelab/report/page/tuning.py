"""Page section on tuning: the score against each hyper-parameter, the best setting against the default."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from genrelab.core.errors import printable
from genrelab.core.text import pluralize
from genrelab.evaluation.percent import ABSENT, format_percent, percent
from genrelab.report.page import charts, charts_lines
from genrelab.report.page.blocks import Block, Figure, Fold, Section, Table, details
from genrelab.report.page.charts import Chart


def tuning_section(studies: Mapping[str, Mapping[str, Any]], mismatched: Collection[str] = ()) -> Section:
    """Section of all `tune/<model>/trials.json` of a run, by model.

    No test track was used: the figures are means over folds of the training tracks.

    Args:
        mismatched: models whose search used other tracks than the run's training tracks: named, not shown.
    """
    shown = {printable(name): study for name, study in studies.items() if name not in mismatched}
    sentences = ["; ".join(_finding(name, study) for name, study in shown.items())] if shown else []
    sentences += [s for study in shown.values() for s in study["sentences"]]
    sentences += [f"tune/{printable(n)} is not shown: its search used other tracks than this run" for n in mismatched]
    values = [
        {"name": name, "series": words, **{k: round(100 * s[k], 3) for k in ("value", "low", "high")}}
        for name, study in shown.items()
        for words, s in (("default", study["default"]), ("best trial", study["best"]))
        if s and s["value"] is not None
    ]
    spec = charts_lines.grouped_intervals(values, axis="accuracy, %")
    chart = Chart(spec, f"Accuracy of the best trial and the default settings: {', '.join(shown)}")
    table = _settings_table(shown)
    figure = Figure("Best trial and default settings, with 95 % intervals", chart, "", table, wide=True)
    folds = [
        Fold(f"Trials of {name}", [*_parameter_figures(name, study), _trials_table(name, study)])
        for name, study in shown.items()
    ]
    blocks: list[Block] = [*([figure] if shown else []), *folds, *details(sentences[1:])]
    return Section("tuning", "Which settings are best?", blocks, sentences[:1], "Tuning")


def _finding(name: str, study: Mapping[str, Any]) -> str:
    best, default = (s and s["value"] for s in (study["best"], study["default"]))
    usual = f", {format_percent(default)} with the default settings" if default is not None else ""
    return f"{name}: {format_percent(best)} in the best of {pluralize(study['trials'], 'trial')}{usual}"


def _settings_table(studies: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for name, study in studies.items():
        best, default = (study[k]["params"] if study[k] else {} for k in ("best", "default"))
        rows += [
            (name, printable(p), _format_value(default.get(p)), _format_value(best.get(p)))
            for p in dict.fromkeys([*default, *best])
        ]
    return Table("Settings", ("model", "hyper-parameter", "default", "best trial"), rows, words=2, folded=True)


def _parameter_figures(name: str, study: Mapping[str, Any]) -> list[Figure]:
    """The score against each hyper-parameter that was tried with different values."""
    figures = [_parameter_figure(name, parameter, space, study) for parameter, space in study["space"].items()]
    return [f for f in figures if len({v["x"] for v in f.chart.spec["data"]["values"]}) > 1]


def _parameter_figure(name: str, parameter: str, space: Mapping[str, Any], study: Mapping[str, Any]) -> Figure:
    tried = [t for t in study["trials"] if t["state"] == "complete" and parameter in t["params"]]
    names = space["type"] == "categorical"
    rows = [
        {
            "x": _format_value(t["params"][parameter]).replace(ABSENT, "none") if names else t["params"][parameter],
            "y": round(100 * t["value"], 3),
            "trial": t["number"],
            "best": t["number"] == study["best"]["number"],
        }
        for t in tried
    ]
    rows.sort(key=lambda r: bool(r["best"]))  # drawn last, over the others
    kind = "names" if names else "log" if space.get("log") else "linear"
    spec = charts.scatter(rows, x=printable(parameter), y="accuracy, %", kind=kind)
    title = f"{name}: {printable(parameter)}"
    return Figure(title, Chart(spec, f"Accuracy by {title}"), f"{study['n_folds']} folds of training tracks.")


def _trials_table(name: str, study: Mapping[str, Any]) -> Table:
    parameters = list(study["space"])
    rows = [
        (
            str(t["number"]),
            t["state"],
            *(_format_value(t["params"].get(p)) for p in parameters),
            percent(t["value"]),
            ABSENT if t["seconds"] is None else f"{t['seconds']:.1f}",
        )
        for t in study["trials"]
    ]
    columns = ("trial", "state", *map(printable, parameters), "accuracy %", "seconds")
    caption = f"{name}: {pluralize(rows, 'trial')}; {study['score']}"
    return Table(caption, columns, rows, words=2, sortable=True, wide=True)


def _format_value(value: Any) -> str:
    if value is None:
        return ABSENT
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))
