"""Plots of the leaderboard and the confusion matrix. Numbers in, PNG bytes out.

Drawn with matplotlib's own defaults and without a display; the same numbers give the same bytes.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genrelab.evaluation.percent import format_number, format_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY, FAINT = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, PALE, ORANGE, RED = "#2a6f97", "#b8c4ce", "#e07a1f", "#b3261e"
STYLE = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
}
NUMBERS_UP_TO = 24  # genres; with more the cells of a confusion matrix are too small for a number


@dataclass(frozen=True)
class Interval:
    """One row of a chart of intervals, such as a model's accuracy (fractions)."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    strong: bool = True  # False: drawn pale
    below: str = ""  # printed after or below the name


def leaderboard(
    bars: Sequence[Interval],
    *,
    title: str,
    below: str,
    lines: Mapping[str, float],
    kinds: tuple[str, str] = ("", ""),
) -> bytes:
    """Accuracies as bars from top to bottom, with 95 % intervals and baselines.

    Args:
        below: the classified tracks, for the subtitle.
        lines: accuracy of each baseline by its name.
        kinds: names of the strong and of the pale bars in the legend; empty where they mean nothing.
    """

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        y = np.arange(len(bars))[::-1]
        value, low, high = (np.array([getattr(b, name) for b in bars]) for name in ("value", "low", "high"))
        axes.barh(y, value, height=0.56, color=[BLUE if b.strong else PALE for b in bars], zorder=2)
        whiskers: dict[str, Any] = {"fmt": "none", "ecolor": INK, "elinewidth": 1.2, "capsize": 3, "zorder": 4}
        axes.errorbar(value, y, xerr=[value - low, high - value], label="95 % interval", **whiskers)
        for bar, at, end in zip(bars, y, high, strict=True):
            _annotate(axes, format_percent(bar.value), (end, at), (7, 0), ha="left", fontweight="bold")
            _annotate(axes, bar.name, (0, at), (-8, 5), ha="right")
            _annotate(axes, bar.below, (0, at), (-8, -8), ha="right", color=GREY, fontsize=8)
        names: dict[str, tuple[float, list[str]]] = {}
        for name, at in lines.items():  # of equal lines one would hide the other
            names.setdefault(format_percent(at), (at, []))[1].append(name)
        for (printed, (at, same)), style in zip(names.items(), (":", "--"), strict=False):
            label = f"{' and '.join(same)} {printed}"
            axes.axvline(at, label=label, linestyle=style, color=ORANGE, linewidth=1.4, zorder=3)
        for kind, colour, strong in zip(kinds, (BLUE, PALE), (True, False), strict=True):
            if kind and any(b.strong == strong for b in bars):
                axes.barh(0, 0, color=colour, label=kind)
        axes.set_xlim(0, min(1.1, max(0.2, high.max() * 1.15)))
        axes.set_ylim(-0.6, len(bars) - 0.4)
        axes.set_yticks([])
        axes.xaxis.set_major_formatter(percent_tick)
        axes.grid(axis="x", color=FAINT, zorder=0)
        axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=24)
        _annotate(axes, f"accuracy on {below}", (0, 1), (0, 9), xycoords="axes fraction", ha="left", color=GREY)
        figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)

    return render_png(draw, width=8.4, height=1.9 + 0.5 * len(bars))


def confusion(counts: NDArray[np.int64], genres: Sequence[str], *, title: str) -> bytes:
    """Confusion matrix: true genre down, predicted genre across, coloured by the share of the tracks of the true genre.

    Args:
        counts: shape (genres, genres).
        genres: names in that order; a genre without rows is greyed out as not measured.
    """
    n = len(genres)
    label_size = 9 if n <= NUMBERS_UP_TO else max(3.0, 200 / n)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        rows = counts.sum(axis=1)
        share = np.where(rows[:, None] > 0, counts / np.maximum(rows, 1)[:, None], np.nan)
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        axes.set_facecolor(FAINT)
        rotation = 90 if n > 6 or max(map(len, genres)) > 10 else 0
        axes.set_xticks(range(n), genres, rotation=rotation, fontsize=label_size)
        labels = [f"{g}  {r}" if r else f"{g}  not measured" for g, r in zip(genres, rows, strict=True)]
        axes.set_yticks(range(n), labels, fontsize=label_size)
        axes.set_xlabel("predicted genre")
        axes.set_ylabel("true genre, with its number of tracks")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        if n <= NUMBERS_UP_TO:
            for i, j in zip(*np.nonzero(counts), strict=True):
                text_color = "white" if share[i, j] > 0.55 else INK
                axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=text_color, fontsize=8)
        bar = figure.colorbar(image, ax=axes, shrink=0.7, format=percent_tick)
        bar.outline.set_visible(False)
        bar.set_label("share of the tracks of the true genre")
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")

    side = min(16.0, 3.4 + 0.36 * n)
    return render_png(draw, width=side + 1.6, height=side)


def _annotate(axes: Axes, text: str, at: tuple[float, float], points: tuple[float, float], **style: Any) -> None:
    axes.annotate(text, at, points, textcoords="offset points", va="center", annotation_clip=False, **style)


def percent_tick(value: float, _position: float = 0) -> str:
    """A share on an axis: `40 %`."""
    return f"{format_number(100 * value, 0)} %"


def render_png(draw: Callable[[Figure], None], *, width: float, height: float) -> bytes:
    """PNG of a figure filled by `draw`, in the style of all plots; sizes in inches."""
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with style.context(["default", STYLE]), warnings.catch_warnings():  # whatever the user's matplotlibrc says
        # Names in a script that the font lacks are drawn as boxes; the tables next to the plot show them.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(buffer, format="png", dpi=120, bbox_inches="tight", pad_inches=0.15, metadata={"Software": None})
    return buffer.getvalue()
