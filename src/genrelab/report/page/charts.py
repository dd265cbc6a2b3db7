"""The page's charts as Vega-Lite specifications: figures in, plain dicts out; the browser draws them.

Colours are the page's CSS variables (`var(--accent)`): one specification serves light, dark and print. Fractions are
drawn in percent. Names occur in data only, never in a field or an expression, so that any name can be drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genrelab.evaluation.percent import format_number
from genrelab.evaluation.plots import Interval as Interval

Spec = dict[str, Any]

INK, MUTED = "var(--ink)", "var(--muted)"
ACCENT, WARM, PALE, BAR = "var(--accent)", "var(--warm)", "var(--pale)", "var(--bar)"
COLOURS = [f"var(--c{i})" for i in range(1, 9)]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
DASHES = [[2, 3], [6, 4], [1, 0]]  # of reference lines: chance dotted, majority dashed, as in leaderboard.png
STEP = 40  # px of a row whose name is drawn above its bar
MAX_NUMBERED_GENRES = 24  # genres; above that a cell of a matrix is too small for a number
NUMBERED_DEPTH = 0.55  # largest opacity of a numbered cell: above it the text is illegible in light or in dark mode
QUANTITY, ORDER, NAME = {"type": "quantitative"}, {"type": "ordinal"}, {"type": "nominal"}


@dataclass(frozen=True)
class Chart:
    """A chart and its text alternative for readers who cannot see it."""

    spec: Spec
    label: str

    @property
    def drawn(self) -> bool:
        """Has it more than one value? A single one is shown in its table."""
        return len(self.spec["data"]["values"]) > 1


def intervals(
    rows: Sequence[Interval],
    *,
    axis: str,
    lines: Mapping[str, float] | None = None,
    bars: bool = False,
    signed: bool = False,
    scale: float = 100.0,
    digits: int = 1,
    kinds: tuple[str, str] = ("", ""),
) -> Spec:
    """Values with their intervals, one row each, its name and figures above it.

    Args:
        lines: values drawn as lines through all rows, named in a legend.
        bars: draw bars from zero to the value.
        signed: the values are differences: zero is drawn, figures have a sign.
        scale: factor of the values: 100 for fractions in percent, or 1.
        kinds: names of the strong and of the pale rows in the legend; empty for no legend.
    """
    x = {"field": "value", "title": axis, "scale": {"zero": bars or signed}, "axis": {"grid": False, "tickCount": 5}}
    strong, bar = (_kind_colour(colour, kinds, rows) for colour in (ACCENT, BAR))
    at: Spec = {"yOffset": 9}  # px below the middle of the row
    span = {"x": {**x, "field": "low"} | QUANTITY, "x2": {"field": "high"}, "color": {"value": INK} if bars else strong}
    point = {"type": "point", "filled": True, "size": 80, "opacity": 1, **at}
    values = [_interval_values(i, row, signed, scale, digits) for i, row in enumerate(rows)]
    longest = max((len(v["figures"]) for v in values), default=0)
    room = {"limit": {"expr": f"width - {8 * longest}"}}  # a long name gives way to the figures on a narrow screen
    layers: list[Spec] = [
        *([layer({"type": "bar", "height": 14, **at}, x=x | QUANTITY, color=bar)] if bars else []),
        *([_reference_lines({"": 0.0}, len(rows), scale, MUTED)] if signed else []),
        *([_reference_lines(lines, len(rows), scale, WARM)] if lines else []),
        {"mark": {"type": "rule", "strokeWidth": 2, "y2Offset": 9, **at}, "encoding": span},
        *([] if bars else [layer(point, x=x | QUANTITY, color=strong)]),
        {"name": "halo_name", **layer(_text_mark("left") | room, x={"value": 0}, text={"field": "name"})},
        {"name": "halo_figures", **layer(_text_mark("right"), x={"value": "width"}, text={"field": "figures"})},
    ]
    about = [{"field": "name", "title": "row"}, {"field": "figures", "title": axis}]
    return {
        **base_spec(values, STEP * len(rows)),
        "encoding": {"y": {"field": "i", "axis": None} | ORDER, "tooltip": about},
        "layer": layers,
    }


def _kind_colour(colour: str, kinds: tuple[str, str], rows: Sequence[Interval]) -> Spec:
    """Colour of strong and pale rows, with a legend of those that occur if they have names."""
    if not any(kinds):
        return {"condition": {"test": "datum.strong", "value": colour}, "value": PALE}
    domain = [kind for kind in (True, False) if any(row.strong == kind for row in rows)]
    names = f"datum.label == 'true' ? '{kinds[0]}' : '{kinds[1]}'"
    legend = {"orient": "top", "labelExpr": names, "columns": 1, "labelLimit": {"expr": "width - 40"}}
    scale = {"domain": domain, "range": [colour if kind else PALE for kind in domain]}
    return {"field": "strong", "title": None, "scale": scale, "legend": legend} | NAME


def _interval_values(i: int, row: Interval, signed: bool, scale: float, digits: int) -> Spec:
    def figure(x: float) -> str:
        return format_number(scale * x, digits, signed=signed)

    low, high = (row.value if x is None else x for x in (row.low, row.high))
    between = f"  [{figure(low)}, {figure(high)}]" if row.low is not None else ""
    return {
        "i": i,
        "name": f"{row.name}  ·  {row.below}" if row.below else row.name,
        "figures": figure(row.value) + between,
        "strong": row.strong,
        **{k: round(scale * x, 3) for k, x in {"value": row.value, "low": low, "high": high}.items()},
    }


def _reference_lines(lines: Mapping[str, float], n: int, scale: float, colour: str) -> Spec:
    """Lines at values through all `n` rows, only beside the bar or dot, so that names and figures are not crossed.

    Lines at equal values become one line with both names; a line without a name is solid and not in the legend.
    """
    named: dict[str, tuple[str, float, list[int]]] = {}
    for (name, value), dash in zip(lines.items(), DASHES, strict=False):
        printed = f"{scale * value:.1f}"
        same = named.get(printed)
        named[printed] = (f"{same[0]} and {name}" if same else name, scale * value, dash)
    names = [f"{name} {printed}" if name else "" for printed, (name, _, _) in named.items()]
    dashes = {"domain": names, "range": [dash if name else [1, 0] for name, _, dash in named.values()]}
    legend: Spec = {"title": None, "symbolSize": 400, "symbolStrokeColor": colour, "labelLimit": {"expr": "width - 40"}}
    legend["columns"] = {"expr": "width < 500 ? 1 : 3"}
    places = [{"line": name, "at": at} for name, (_, at, _) in zip(names, named.values(), strict=True)]
    return {
        "data": {"values": [{"i": i, **place} for i in range(n) for place in places]},
        "mark": {"type": "rule", "strokeWidth": 1.5, "color": colour, "yOffset": 3, "y2Offset": STEP // 2},
        "encoding": {
            "x": {"field": "at"} | QUANTITY,
            "y2": {"field": "i", "bandPosition": 0.5},
            "strokeDash": {"field": "line", "scale": dashes, "legend": legend if any(lines) else None} | NAME,
            "tooltip": {"field": "line"} if any(lines) else {"value": None},
        },
    }


def track_counts(rows: Sequence[Mapping[str, Any]], *, parts: Sequence[str]) -> Spec:
    """Tracks by genre as stacked bars; `excluded` ones are drawn pale.

    Args:
        rows: `name`, `part` and `n`.
        parts: from left to right.
    """
    names = list(dict.fromkeys(row["name"] for row in rows))
    colours = [PALE if part == "excluded" else c for part, c in zip(parts, COLOURS, strict=False)]
    colour = {"domain": list(parts), "range": colours}
    order = {part: i for i, part in enumerate(parts)}
    return {
        **base_spec([{**row, "order": order[row["part"]]} for row in rows], 24 * len(names)),
        "mark": {"type": "bar", "height": 15},
        "encoding": {
            "y": {"field": "name", "sort": names, "title": None} | ORDER,
            "x": {"field": "n", "aggregate": "sum", "title": "tracks", "axis": {"tickCount": 6}} | QUANTITY,
            "color": {"field": "part", "title": None, "scale": colour} | NAME,
            "order": {"field": "order"} | QUANTITY,
            "tooltip": tooltip({"name": "genre", "part": "part", "n": "n"}),
        },
    }


def histogram(bins: Sequence[tuple[float, float, int]], *, axis: str, of: str) -> Spec:
    """Histogram of bins (low, high, n)."""
    x = {"field": "low", "bin": {"binned": True}, "title": axis, "axis": {"grid": False, "tickCount": 8}}
    tip = tooltip({"low": "from", "high": "to", "n": of})
    return {
        **base_spec([{"low": low, "high": high, "n": n} for low, high, n in bins], 160),
        "mark": {"type": "bar", "color": BAR},
        "encoding": {
            "x": x | QUANTITY,
            "x2": {"field": "high"},
            "y": {"field": "n", "title": of, "axis": {"tickCount": 4}} | QUANTITY,
            "tooltip": tip,
        },
    }


def matrix(
    cells: Sequence[Mapping[str, Any]], *, across: Sequence[str], down: Sequence[str], x: str, y: str, numbered: bool
) -> Spec:
    """Cells coloured by their share: the deeper, the larger; negative ones in the other colour.

    Args:
        cells: `across`, `down` (names), `share` (-1 to 1), `tip` (its tooltip), if numbered `text` (printed in it);
            with `framed` a cell has a frame; cells that are not given stay blank.
        across, down: names in order.
        x, y: titles of the axes.
    """
    step = 30 if len(down) <= MAX_NUMBERED_GENRES else max(6, 600 // len(down))
    place = {
        "x": {"field": "across", **_name_order(across), "title": x, "axis": {"labelAngle": -45, "grid": False}} | ORDER,
        "y": {"field": "down", **_name_order(down), "title": y, "axis": {"grid": False}} | ORDER,
        "tooltip": {"field": "tip"},
    }
    deepest = NUMBERED_DEPTH if numbered else 1
    depth = {"field": "depth", "scale": {"domain": [0, 1], "range": [0, deepest]}, "legend": None} | QUANTITY
    colour = {"condition": {"test": "datum.share < 0", "value": WARM}, "value": ACCENT}
    frame = {"condition": {"test": "datum.framed", "value": INK}, "value": None}
    values = [{**c, "depth": round(abs(c["share"]), 3)} for c in sorted(cells, key=lambda c: c.get("framed", False))]
    text = layer({"type": "text", "fontSize": 12}, text={"field": "text"}, color={"value": INK})
    rect = layer({"type": "rect", "strokeWidth": 1.5}, fillOpacity=depth, fill=colour, stroke=frame)
    return {
        **base_spec(values, step * len(down)),
        "encoding": place,
        "layer": [rect, *([text] if numbered else [])],
    }


def _name_order(names: Sequence[str]) -> Spec:
    """Sort and domain that give every name its place, in order, also one without a cell."""
    return {"sort": list(names), "scale": {"domain": list(names)}}


def scatter(rows: Sequence[Mapping[str, Any]], *, x: str, y: str, kind: str) -> Spec:
    """One dot per trial, the best one in the warm colour.

    Args:
        rows: `x`, `y`, `trial`, `best` (is it the best trial?).
        kind: of the horizontal axis: `log`, `linear` or `names`.
    """
    across = {"field": "x", "title": x, "axis": {"grid": False, "tickCount": 5, "labelAngle": 0}}
    scale: Spec = {"type": "log"} if kind == "log" else {"zero": False}
    scaled: Spec = NAME if kind == "names" else QUANTITY | {"scale": scale}
    colour = {"condition": {"test": "datum.best", "value": WARM}, "value": ACCENT}
    size = {"condition": {"test": "datum.best", "value": 130}, "value": 45}
    return {
        **base_spec(list(map(dict, rows)), 180),
        "mark": {"type": "point", "filled": True, "opacity": 0.75},
        "encoding": {
            "x": across | scaled,
            "y": {"field": "y", "title": y, "scale": {"zero": False}, "axis": {"tickCount": 5}} | QUANTITY,
            "color": colour,
            "size": size,
            "tooltip": tooltip({"trial": "trial", "x": x, "y": y}),
        },
    }


def base_spec(values: list[dict[str, Any]], height: int) -> Spec:
    """The common part of every chart: its values, the width of the container, `height` in pixels (24 at least)."""
    return {"data": {"values": values}, "width": "container", "height": max(height, 24)}


def layer(mark: Spec, **encoding: Any) -> Spec:
    """One layer of a chart."""
    return {"mark": mark, "encoding": encoding}


def _text_mark(align: str) -> Spec:
    return {"type": "text", "align": align, "yOffset": -8, "baseline": "middle", "tooltip": None, "color": INK}


def tooltip(fields: Mapping[str, str]) -> list[dict[str, str]]:
    """Tooltip encoding from fields and their titles."""
    return [{"field": field, "title": title} for field, title in fields.items()]


def series_colours(names: list[str], field: str = "series") -> Spec:
    """The encoding that gives each series its colour."""
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(names))]
    return {"field": field, "title": None, "scale": {"domain": names, "range": colours}} | NAME


def legend_selection(field: str) -> Spec:
    """Selection of a series by pressing its name in the legend."""
    return {"name": "picked", "select": {"type": "point", "fields": [field]}, "bind": "legend"}
