"""Page section on tuning: the score against each hyper-parameter, the best setting against the default."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from genrelab.core.errors import printable
from genrelab.report.page import charts
from genrelab.report.page.blocks import ABSENT, Figure, Section, Table, percent
from genrelab.report.page.charts import Chart, Interval


def tuning_section(studies: Mapping[str, Mapping[str, Any]], mismatched: Collection[str] = ()) -> Section:
    """Section of all `tune/<model>/trials.json` of a run, by model.

    No scored row was used: the figures are means over folds of the training part.

    Args:
        mismatched: models whose search used tracks outside the run's training part: it is named, not shown.
    """
    shown = {name: study for name, study in studies.items() if name not in mismatched}
    blocks = [block for name, study in shown.items() for block in _study_blocks(printable(name), study)]
    sentences = [s for study in shown.values() for s in study["sentences"]]
    sentences += [f"The search in tune/{printable(n)} is of other tracks, so it is not shown." for n in mismatched]
    return Section("tuning", "Which settings suit best?", blocks, sentences, "Tuning")


def _study_blocks(name: str, study: Mapping[str, Any]) -> list[Figure | Table]:
    best, default = study["best"], study["default"]
    rows = [
        Interval(f"{name}: {words}", s["value"], s["low"], s["high"])
        for words, s in (("best trial", best), ("default", default))
        if s and s["value"] is not None
    ]
    scored = f"{study['score']}; {study['n_tracks']:,} tracks"
    spec = charts.intervals(rows, axis="accuracy, %")
    figure = Figure(f"{name}: tuned against default", Chart(spec, f"{name}: best trial and default"), f"{scored}.")
    plots = [_parameter_figure(name, parameter, space, study) for parameter, space in study["space"].items()]
    return [figure, _settings_table(name, study), *(p for p in plots if p is not None), _trials_table(name, study)]


def _settings_table(name: str, study: Mapping[str, Any]) -> Table:
    best, default = (study[k]["params"] if study[k] else {} for k in ("best", "default"))
    names = dict.fromkeys([*default, *best])
    rows = [(printable(p), _format_value(default.get(p)), _format_value(best.get(p))) for p in names]
    return Table(f"{name}: settings", ("hyper-parameter", "default", "best trial"), rows)


def _parameter_figure(name: str, parameter: str, space: Mapping[str, Any], study: Mapping[str, Any]) -> Figure | None:
    """The score against one hyper-parameter; None if no complete trial set it."""
    tried = [t for t in study["trials"] if t["state"] == "complete" and parameter in t["params"]]
    if not tried:
        return None
    names = space["type"] == "categorical"
    rows = [
        {
            "x": _format_value(t["params"][parameter]).replace(ABSENT, "none") if names else t["params"][parameter],
            "y": round(100 * t["value"], 2),
            "trial": t["number"],
            "best": t["number"] == study["best"]["number"],
        }
        for t in tried
    ]
    rows.sort(key=lambda r: bool(r["best"]))  # drawn last, over the others
    kind = "names" if names else "log" if space.get("log") else "linear"
    spec = charts.scatter(rows, x=printable(parameter), y="accuracy, %", kind=kind)
    best = max(rows, key=lambda r: r["y"])
    label = f"Accuracy of {name} against {printable(parameter)}: best {best['y']:.1f} % at {best['x']}"
    return Figure(
        f"{name}: {printable(parameter)}", Chart(spec, label), f"{study['n_folds']} folds of training tracks."
    )


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
    caption = f"{name}: {len(rows):,} trials; {study['score']}"
    return Table(caption, columns, rows, words=2, folded=True, sortable=True, wide=True)


def _format_value(value: Any) -> str:
    if value is None:
        return ABSENT
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))
