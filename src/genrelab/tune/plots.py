"""The article's plots of a search: accuracy against each hyper-parameter, as PNG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genrelab.evaluation.plots import BLUE, FAINT, GREY, INK, ORANGE, PALE, RED, percent_tick, render_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_COLUMNS = 3  # plots side by side


def plot_parameters(found: Mapping[str, Any]) -> bytes:
    """One plot for each hyper-parameter: all trials with it; the default and the best one are marked.

    Args:
        found: content of `trials.json`.
    """
    names = list(found["space"])
    across = min(MAX_COLUMNS, len(names))
    down = math.ceil(len(names) / across)

    def draw(figure: Figure) -> None:
        plots = figure.subplots(down, across, squeeze=False, sharey=True)
        for axes in plots.flat[len(names) :]:
            axes.set_axis_off()
        for axes, name in zip(plots.flat, names, strict=False):
            _plot(axes, found, name)
        for row in plots:
            row[0].set_ylabel("accuracy")
        handles = {
            label: handle
            for axes in plots.flat[: len(names)]
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.suptitle(f"{found['model']}: {found['score']}", x=0.01, ha="left", fontsize=11, fontweight="bold")
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, fontsize=9, frameon=False)

    return render_png(draw, width=max(5.5, 3.4 * across), height=1.3 + 2.7 * down)


def _plot(axes: Axes, found: Mapping[str, Any], name: str) -> None:
    space = found["space"][name]
    choices = None if space["choices"] is None else [_format_choice(c) for c in space["choices"]]
    groups: list[tuple[list[Any], str, dict[str, Any], str]] = [
        (found["trials"], "pruned", {"color": PALE, "marker": "x", "s": 22}, "stopped early, on fewer folds"),
        (found["trials"], "complete", {"color": BLUE, "marker": "o", "s": 24, "alpha": 0.8}, "trial"),
        ([found["trials"][0]], "complete", {"color": ORANGE, "marker": "D", "s": 55}, "defaults"),
        ([found["trials"][found["best"]["number"]]], "complete", {"color": RED, "marker": "*", "s": 150}, "best"),
    ]
    for layer, (trials, state, style, label) in enumerate(groups, start=2):
        shown = [t for t in trials if t["state"] == state and name in t["params"]]
        x = [_position(t["params"][name], choices, t["number"]) for t in shown]
        axes.scatter(x, [t["value"] for t in shown], label=label if shown else None, zorder=layer, **style)
    axes.axhline(found["default"]["value"], color=GREY, linestyle="--", linewidth=1, zorder=1)
    if choices is None:
        _number_axis(axes, space)
    else:
        axes.set_xticks(range(len(choices)), choices, rotation=20 if max(map(len, choices)) > 7 else 0)
        axes.set_xlim(-0.5, len(choices) - 0.5)
    axes.yaxis.set_major_formatter(percent_tick)
    axes.grid(axis="y", color=FAINT, zorder=0)
    axes.set_title(name, loc="left", fontsize=10, color=INK)


def _number_axis(axes: Axes, space: Mapping[str, Any]) -> None:
    """The whole range that was searched, with plain numbers instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = space["low"], space["high"]
    if space["log"]:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_minor_formatter(NullFormatter())
        reach = (high / low) ** 0.05
        axes.set_xlim(low / reach, high * reach)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=space["type"] == "int"))
        axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _position(value: Any, choices: list[str] | None, number: int) -> float:
    """Coordinate of a trial: its value, or near its choice, spread a little so that no trial hides another."""
    if choices is None:
        return float(value)
    golden = number * 0.618034 % 1 - 0.5 if number else 0.0
    return choices.index(_format_choice(value)) + 0.5 * golden


def _format_choice(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
