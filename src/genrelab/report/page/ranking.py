"""The figures of a ranking: accuracies with the verdict's colours, and paired differences with Holm's correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genrelab.core.errors import printable
from genrelab.core.text import pluralize
from genrelab.evaluation.percent import format_interval, format_p, points
from genrelab.evaluation.verdict import Verdict
from genrelab.report.leaderboard import Leaderboard, LeaderboardRow
from genrelab.report.page.blocks import Figure, Table
from genrelab.report.page.charts import Chart, Interval, intervals

SIGNIFICANT = ("significant (Holm)", "not significant (Holm)")


def accuracy_bars(models: Sequence[tuple[str, str, LeaderboardRow]], conclusion: Verdict) -> list[Interval]:
    """Bars of models: key in the conclusion, label and row of each."""
    return [
        Interval(label, r.accuracy, r.accuracy_low, r.accuracy_high, conclusion.is_strong(key), printable(r.view))
        for key, label, r in models
    ]


def accuracy_figure(bars: Sequence[Interval], board: Leaderboard, conclusion: Verdict, table: Table) -> Figure:
    """The accuracies of models on the tracks of `board`, with the baselines."""
    axis = f"accuracy on {board.scored}, %"
    spec = intervals(bars, axis=axis, lines=board.baselines, bars=True, kinds=conclusion.kinds)
    label = f"Accuracy of {pluralize(bars, 'model')} with 95 % intervals; {board.facts}"
    return Figure(f"Accuracy on {board.scored}", Chart(spec, label), conclusion.order, table, wide=True)


def difference_figure(
    pairs: Sequence[tuple[str, str, Mapping[str, Any]]],
    bars: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    title: str,
    axis: str,
    columns: tuple[str, str],
    scored: str,
) -> Figure:
    """Paired differences in accuracy: a chart of some, and a table of all.

    Args:
        pairs: for the table, two names and the comparison with `p_adjusted` (`comparison.compare_all`).
        bars: for the chart, name and comparison.
        columns: what the two names are.
    """
    cells = [
        (
            *names, "yes" if c["separable"] else "no", points(c["difference"]),
            format_interval(c["low"], c["high"], signed=True), format_p(c["p_value"]), format_p(c["p_adjusted"]),
            f"{c['n']:,}", f"{c['n_groups']:,}",
        )
        for *names, c in pairs
    ]  # fmt: skip
    head = (*columns, "significant", "points", "95 % interval", "p", "p (Holm)", "tracks", "groups")
    table = Table(f"All differences on {scored}", head, cells, words=3, folded=True, cards=True)
    rows = [Interval(name, c["difference"], c["low"], c["high"], c["separable"]) for name, c in bars]
    note = f"On {scored}; Holm's correction is in the colours, not in the intervals."
    chart = Chart(intervals(rows, axis=axis, signed=True, kinds=SIGNIFICANT), title)
    return Figure(title, chart, note, table, wide=True)
