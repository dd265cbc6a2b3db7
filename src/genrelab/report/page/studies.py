"""Page sections of the studies that train models again or alter their audio: honesty, learning curve, robustness.

Each section reads the JSON of its study, and is left out where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genrelab.core.errors import printable
from genrelab.evaluation.comparison import BASELINE, join_all
from genrelab.report.page import charts
from genrelab.report.page.blocks import ABSENT, Figure, Section, Table, format_interval, percent, points
from genrelab.report.page.charts import Chart, Interval

POLICIES = {
    "official": "official split",
    "artist": "artists kept apart",
    "random": "random tracks",
    "segment": "random windows",
}
NOISY = "too noisy to tell"  # the verdict of learning_curve.py where the interval allows both others
MAX_MODELS_IN_WORDS = 3  # models whose differences are listed as sentences; for more there is a table


def honesty_section(found: Mapping[str, Any]) -> Section:
    """Section of `honesty.json`: each model under every split policy; its sentences explain the differences."""
    blocks: list[Figure | Table] = []
    for model in found["models"]:
        name, policies = printable(model["model"]), model["policies"]
        rows = [
            Interval(POLICIES.get(p["policy"], p["policy"]), p["accuracy"], p["low"], p["high"], below=_n_scored(p))
            for p in policies
        ]
        best = max(policies, key=lambda p: p["accuracy"])
        label = f"Accuracy of {name} by split: highest with {POLICIES.get(best['policy'], best['policy'])}"
        chart = Chart(charts.intervals(rows, axis="accuracy, %"), label)
        blocks.append(Figure(f"{name} under every split", chart, _parts(policies), _policy_table(name, policies)))
    differences = [d for m in found["models"] for d in m["differences"]]
    sentences = list(found["sentences"])
    blocks += [_difference_table(found["models"])] if differences else []
    if len(found["models"]) > MAX_MODELS_IN_WORDS:
        in_table = {d["sentence"] for d in differences}
        sentences = [s for s in sentences if s not in in_table]
        words = [(printable(d["sentence"]),) for d in differences]
        blocks += [Table("The differences in words", ("difference",), words, wide=True, folded=True)] if words else []
    if found.get("not_run"):
        reasons = [
            (printable(r.get("model") or "all models"), POLICIES.get(r["policy"], r["policy"]), printable(r["reason"]))
            for r in found["not_run"]
        ]
        blocks.append(Table("Not measured", ("model", "split", "why"), reasons, words=3, wide=True, folded=True))
    return Section("honesty", "How much of the accuracy is the split's?", blocks, sentences, "Honesty")


def _n_scored(policy: Mapping[str, Any]) -> str:
    part = policy.get("part")
    return f"{policy['n']:,} {part} tracks" if part else f"{policy['n']:,} tracks"


def _parts(policies: Sequence[Mapping[str, Any]]) -> str:
    parts = sorted({str(p["part"]) for p in policies if p.get("part")})
    return f"Scored on {' and '.join(parts)} tracks; 95 % intervals." if parts else "95 % intervals."


def _policy_table(name: str, policies: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            POLICIES.get(p["policy"], p["policy"]),
            printable(p.get("note") or ABSENT),
            f"{p['n_learned']:,}",
            f"{p['n']:,}",
            percent(p["accuracy"]),
            format_interval(p["low"], p["high"]),
            ", ".join(map(percent, p["folds"])) or ABSENT,
        )
        for p in policies
    ]
    columns = ("split", "note", "n learned", "n scored", "accuracy %", "95 % interval", "folds %")
    return Table(f"{name}: {_parts(policies)}", columns, rows, words=2, folded=True, cards=True)


def _difference_table(models: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            printable(m["model"]),
            f"{POLICIES.get(d['a'], d['a'])} − {POLICIES.get(d['b'], d['b'])}",
            points(d["difference"]),
            format_interval(d["low"], d["high"], signed=True),
        )
        for m in models
        for d in m["differences"]
    ]
    columns = ("model", "between", "points", "95 % interval")
    folded = len(models) <= MAX_MODELS_IN_WORDS  # the sentences above contain them
    return Table("Differences between the splits", columns, rows, words=2, wide=True, folded=folded)


def learning_curve_section(found: Mapping[str, Any], scored: str) -> Section:
    """Section of `learning_curve.json`: would more tracks help, and of which genre?"""
    values = [
        {
            "series": printable(m["model"]),
            "x": round(100 * p["share"]),
            "y": round(100 * p["accuracy"], 2),
            "low": round(100 * p["low"], 2),
            "high": round(100 * p["high"], 2),
        }
        for m in found["models"]
        for p in m["points"]
    ]
    spec = charts.lines(values, x="share of the training tracks, %", y="accuracy, %", band=True)
    verdicts = " ".join(f"{printable(m['model'])}: {m['verdict']}" for m in found["models"])
    rows = [
        (
            printable(m["model"]),
            f"{100 * p['share']:.0f}",
            f"{p['n_tracks']:,}",
            percent(p["accuracy"]),
            format_interval(p["low"], p["high"]),
        )
        for m in found["models"]
        for p in m["points"]
    ]
    columns = ("model", "share %", "n learned", "accuracy %", "95 % interval")
    table = Table(f"Accuracy by number of training tracks; {scored}", columns, rows, folded=True)
    blocks: list[Figure | Table] = [
        Figure("Accuracy with more tracks", Chart(spec, f"Learning curve. {verdicts}"), f"{scored}.", table)
    ]
    clear, noisy = _split_by_evidence(found["models"])
    blocks += [_gains_table(m, scored, folded=i > 0) for i, m in enumerate(clear)]
    sentences = [*found["sentences"], *([_noisy_genres_sentence(noisy)] if noisy else [])]
    return Section("more-data", "Would more tracks help?", blocks, sentences, "More data")


def _split_by_evidence(models: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Models with a clear verdict for at least one genre, and those without any."""
    by_genre = [m for m in models if m["genres"]]
    noisy = [m for m in by_genre if {g["verdict"] for g in m["genres"].values()} <= {NOISY, "not measured"}]
    return [m for m in by_genre if m not in noisy], noisy


def _noisy_genres_sentence(models: Sequence[Mapping[str, Any]]) -> str:
    names = join_all([printable(m["model"]) for m in models])
    return f"{names}: too few scored tracks of each genre to tell which genre gained from the last doubling"


def _gains_table(model: Mapping[str, Any], scored: str, *, folded: bool) -> Table:
    rows = [
        (
            printable(genre),
            printable(g["verdict"]),
            points(g["gain"]),
            format_interval(g["low"], g["high"], signed=True),
        )
        for genre, g in sorted(model["genres"].items(), key=lambda item: -(item[1]["gain"] or 0))
    ]
    caption = f"{printable(model['model'])}: gain in recall by the last doubling; {scored}"
    return Table(caption, ("genre", "verdict", "points", "95 % interval"), rows, words=2, sortable=True, folded=folded)


def robustness_section(found: Mapping[str, Any], names: Mapping[str, str]) -> Section:
    """Section of `robustness.json`: accuracy on altered audio, and on excerpts of different lengths."""
    of = f"n = {found['n']:,} of {found['n_scored']:,} {found['part']} tracks"
    blocks: list[Figure | Table] = []
    for model in found["models"]:
        if model["model"] == BASELINE:  # it ignores the audio
            continue
        name = printable(names.get(model["model"], model["model"]))
        altered = list(model["conditions"][1:])
        rows = [
            Interval(
                c["label"], c["difference"], c["difference_low"], c["difference_high"],
                strong=_is_significant(c["difference_low"], c["difference_high"]),
            )
            for c in altered
        ]  # fmt: skip
        worst = min(altered, key=lambda c: c["difference"], default=None)
        worst_is = f"; worst is {worst['label']}: {points(worst['difference'])} points" if worst else ""
        spec = charts.intervals(rows, axis="points won (+) or lost (−) against the clean audio", signed=True)
        chart = Chart(spec, f"{name} when the audio is worse{worst_is}")
        table = _condition_table(name, of, model["conditions"])
        blocks.append(Figure(f"{name}: worse audio", chart, f"{of}{worst_is}.", table))
    if seconds := _excerpt_figure(found["models"], names, of):
        blocks.append(seconds)
    return Section("robustness", "How robust is it?", blocks, found["sentences"], "Robustness")


def _is_significant(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and (low > 0 or high < 0)


def _condition_table(name: str, of: str, conditions: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            c["label"],
            percent(c["accuracy"]),
            format_interval(c["low"], c["high"]),
            points(c["difference"]),
            format_interval(c["difference_low"], c["difference_high"], signed=True),
            percent(c["same_answer"]),
        )
        for c in conditions
    ]
    columns = ("audio", "accuracy %", "95 % interval", "points", "95 % interval", "same answer %")
    return Table(f"{name}: {of}", columns, rows, folded=True, cards=True)


def _excerpt_figure(models: Sequence[Mapping[str, Any]], names: Mapping[str, str], of: str) -> Figure | None:
    trained = [m for m in models if m["model"] != BASELINE]
    excerpts = [(printable(names.get(m["model"], m["model"])), s) for m in trained for s in m["seconds"]]
    if len({s["seconds"] for _, s in excerpts}) < 2:  # no curve; the sentences contain the single figure
        return None
    values = [
        {"series": name, "x": s["seconds"]} | {k: round(100 * s[v], 2) for k, v in _EXCERPT_FIELDS.items()}
        for name, s in excerpts
    ]
    spec = charts.lines(values, x="seconds heard", y="accuracy, %", band=True, log=True)
    rows = [
        (name, f"{s['seconds']:g}", f"{s['n']:,}", percent(s["accuracy"]), format_interval(s["low"], s["high"]))
        for name, s in excerpts
    ]
    columns = ("model", "seconds", "n", "accuracy %", "95 % interval")
    table = Table(f"Accuracy by seconds heard; {of}", columns, rows, folded=True)
    return Figure("How much must be heard?", Chart(spec, "Accuracy by seconds heard"), f"{of}.", table)


_EXCERPT_FIELDS = {"y": "accuracy", "low": "low", "high": "high"}
