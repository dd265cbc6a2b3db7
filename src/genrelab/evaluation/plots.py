"""Plots of the leaderboard and the confusion matrix. Numbers in, PNG bytes out.

Drawn with matplotlib's own defaults and without a display; the same numbers give the same bytes.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

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
class AccuracyBar:
    """One model's accuracy with its interval (fractions)."""

    label: str
    below: str  # second line, in grey
    value: float
    low: float
    high: float
    strong: bool  # False: its interval reaches down to the majority line, or to chance where that is higher


def leaderboard(bars: Sequence[AccuracyBar], *, title: str, below: str, chance: float, majority: float) -> bytes:
    """Accuracies as bars, best on top, with 95 % intervals and the two baselines, majority and chance."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        y = np.arange(len(bars))[::-1]
        value, low, high = (np.array([getattr(b, name) for b in bars]) for name in ("value", "low", "high"))
        axes.barh(y, value, height=0.56, color=[BLUE if b.strong else PALE for b in bars], zorder=2)
        lines: dict[str, Any] = {"fmt": "none", "ecolor": INK, "elinewidth": 1.2, "capsize": 3, "zorder": 4}
        axes.errorbar(value, y, xerr=[value - low, high - value], label="95 % interval", **lines)
        for bar, at in zip(bars, y, strict=True):
            _annotate(axes, _percent(bar.value, 1), (bar.high, at), (7, 0), ha="left", fontweight="bold")
            _annotate(axes, bar.label, (0, at), (-8, 5), ha="right")
            _annotate(axes, bar.below, (0, at), (-8, -8), ha="right", color=GREY, fontsize=8)
        line: dict[str, Any] = {"color": ORANGE, "linewidth": 1.4, "zorder": 3}
        if _percent(chance, 1) == _percent(majority, 1):  # one would hide the other
            axes.axvline(majority, label=f"chance and majority line {_percent(majority, 1)}", linestyle="--", **line)
        else:
            axes.axvline(majority, label=f"majority line {_percent(majority, 1)}", linestyle="--", **line)
            axes.axvline(chance, label=f"chance {_percent(chance, 1)}", linestyle=":", **line)
        if not all(b.strong for b in bars):
            axes.barh(0, 0, color=PALE, label="not above majority or chance")
        axes.set_xlim(0, min(1.1, max(0.2, high.max() * 1.15)))
        axes.set_ylim(-0.6, len(bars) - 0.4)
        axes.set_yticks([])
        axes.xaxis.set_major_formatter(percent_tick)
        axes.grid(axis="x", color=FAINT, zorder=0)
        axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=24)
        _annotate(axes, f"accuracy on {below}", (0, 1), (0, 9), xycoords="axes fraction", ha="left", color=GREY)
        figure.legend(loc="outside lower center", ncols=4, fontsize=9, frameon=False)

    return render_png(draw, width=8.4, height=1.7 + 0.5 * len(bars))


def confusion(counts: NDArray[np.int64], genres: Sequence[str], *, title: str) -> bytes:
    """Confusion matrix: true genre down, predicted genre across, coloured by the share of the true genre.

    Args:
        counts: shape (genres, genres).
        genres: names in that order; a genre without rows is greyed out as not measured.
    """
    n = len(genres)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        rows = counts.sum(axis=1)
        share = np.where(rows[:, None] > 0, counts / np.maximum(rows, 1)[:, None], np.nan)
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        axes.set_facecolor(FAINT)
        axes.set_xticks(
            range(n),
            genres,
            rotation=90 if n > 6 or max(map(len, genres)) > 10 else 0,
            fontsize=_label_size(n),
        )
        labels = [f"{g}  {r}" if r else f"{g}  not measured" for g, r in zip(genres, rows, strict=True)]
        axes.set_yticks(range(n), labels, fontsize=_label_size(n))
        axes.set_xlabel("predicted")
        axes.set_ylabel("true, with number of tracks")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        if n <= NUMBERS_UP_TO:
            for i, j in zip(*np.nonzero(counts), strict=True):
                text_color = "white" if share[i, j] > 0.55 else INK
                axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=text_color, fontsize=8)
        bar = figure.colorbar(image, ax=axes, shrink=0.7, format=percent_tick)
        bar.outline.set_visible(False)
        bar.set_label("of the true genre")
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")

    side = min(16.0, 3.4 + 0.36 * n)
    return render_png(draw, width=side + 1.6, height=side)


def _annotate(axes: Axes, text: str, at: tuple[float, float], points: tuple[float, float], **style: Any) -> None:
    axes.annotate(text, at, points, textcoords="offset points", va="center", annotation_clip=False, **style)


def _percent(value: float, decimals: int = 0) -> str:
    return f"{100 * value:.{decimals}f} %"


def percent_tick(value: float, _position: float = 0) -> str:
    """A share on an axis: `40 %`."""
    return _percent(value)


def _label_size(n: int) -> float:
    return 9 if n <= NUMBERS_UP_TO else max(3.0, 200 / n)


def render_png(draw: Callable[[Figure], None], *, width: float, height: float) -> bytes:
    """PNG of a figure filled by `draw`, in the style of all plots; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with _plain_style():
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(buffer, format="png", dpi=120, bbox_inches="tight", pad_inches=0.15, metadata={"Software": None})
    return buffer.getvalue()


@contextmanager
def _plain_style() -> Iterator[None]:
    """Matplotlib's defaults and `STYLE`, independent of the user's matplotlibrc."""
    from matplotlib import style

    with style.context(["default", STYLE]), warnings.catch_warnings():
        # Names in a script that the font lacks are drawn as boxes; the tables next to the plot show them.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        yield
