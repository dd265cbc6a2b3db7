"""Leaf: the page's charts as Vega-Lite specifications: figures in, plain dicts out, nothing drawn here.

Colours are the page's own (`var(--accent)`): one drawing serves light, dark and paper. Shares are drawn in percent.
Names stand in data only, never in a field or an expression, so that any name can be drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]

INK, MUTED = "var(--ink)", "var(--muted)"
ACCENT, WARM, PALE, BAR = "var(--accent)", "var(--warm)", "var(--pale)", "var(--bar)"
COLOURS = [f"var(--c{i})" for i in range(1, 9)]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
DASHES = [[6, 4], [2, 3], [1, 0]]  # of lines through a chart
DASHED = [[1, 0], [6, 3], [2, 2]]  # of series: after eight colours the next dash
STEP = 40  # px of a row whose name stands above its bar
NUMBERED_UP_TO = 24  # genres; above that a cell of a matrix is too small to hold a number
NUMBERED_DEPTH = 0.55  # of the colour: deeper, neither ink nor paper could be read on it in both light and dark
QUANTITY, ORDER, NAME = {"type": "quantitative"}, {"type": "ordinal"}, {"type": "nominal"}


@dataclass(frozen=True)
class Chart:
    """A chart, and the words that stand for it where it cannot be seen."""

    spec: Spec
    label: str


@dataclass(frozen=True)
class Interval:
    """One row of a chart of intervals."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    strong: bool = True  # False: drawn pale
    below: str = ""  # behind the name


def intervals(
    rows: Sequence[Interval],
    *,
    axis: str,
    lines: Mapping[str, float] | None = None,
    bars: bool = False,
    signed: bool = False,
    scale: float = 100.0,
    digits: int = 1,
) -> Spec:
    """Values with their intervals, one row each, its name and figures above it.

    Args:
        lines: values that are drawn through all rows, named in a legend.
        bars: from zero to the value.
        signed: differences: zero is drawn, figures bear their sign.
        scale: what values are multiplied with: percent of fractions, or 1.
    """
    x = {"field": "value", "title": axis, "scale": {"zero": bars or signed}, "axis": {"grid": False, "tickCount": 6}}
    strong = {"condition": {"test": "datum.strong", "value": ACCENT}, "value": PALE}
    at: Spec = {"yOffset": 9}  # px below the middle of the row
    bar = {"condition": {"test": "datum.strong", "value": BAR}, "value": PALE}
    span = {"x": {**x, "field": "low"} | QUANTITY, "x2": {"field": "high"}, "color": {"value": INK} if bars else strong}
    point = {"type": "point", "filled": True, "size": 80, "opacity": 1, **at}
    values = [_interval(i, row, signed, scale, digits) for i, row in enumerate(rows)]
    longest = max((len(v["figures"]) for v in values), default=0)
    room = {"limit": {"expr": f"width - {8 * longest}"}}  # a long name gives way to the figures on a narrow screen
    layers: list[Spec] = [
        *([_layer({"type": "bar", "height": 14, **at}, x=x | QUANTITY, color=bar)] if bars else []),
        *([_layer({"type": "rule"}, x={"datum": 0} | QUANTITY, y=None, color={"value": MUTED})] if signed else []),
        *([_through(lines, scale)] if lines else []),
        {"mark": {"type": "rule", "strokeWidth": 2, "y2Offset": 9, **at}, "encoding": span},
        *([] if bars else [_layer(point, x=x | QUANTITY, color=strong)]),
        {"name": "halo_name", **_layer(_text("left") | room, x={"value": 0}, text={"field": "name"})},
        {"name": "halo_figures", **_layer(_text("right"), x={"value": "width"}, text={"field": "figures"})},
    ]
    tooltip = [{"field": "name", "title": "row"}, {"field": "figures", "title": axis}]
    return {
        **_plain(values, STEP * len(rows)),
        "encoding": {"y": {"field": "i", "axis": None} | ORDER, "tooltip": tooltip},
        "layer": layers,
    }


def _interval(i: int, row: Interval, signed: bool, scale: float, digits: int) -> Spec:
    def figure(x: float) -> str:
        return f"{scale * x:{'+' if signed else ''},.{digits}f}".replace("-", "−")

    low, high = (row.value if x is None else x for x in (row.low, row.high))
    between = f"  [{figure(low)}, {figure(high)}]" if row.low is not None else ""
    return {
        "i": i,
        "name": f"{row.name}  ·  {row.below}" if row.below else row.name,
        "figures": figure(row.value) + between,
        "strong": row.strong,
        **{k: round(scale * x, 3) for k, x in {"value": row.value, "low": low, "high": high}.items()},
    }


def _through(lines: Mapping[str, float], scale: float) -> Spec:
    names = [f"{name} {scale * value:.1f}" for name, value in lines.items()]
    dash = {"domain": names, "range": DASHES[: len(names)]}
    return {
        "data": {"values": [{"line": n, "at": scale * v} for n, v in zip(names, lines.values(), strict=True)]},
        "mark": {"type": "rule", "strokeWidth": 1.5, "color": WARM},
        "encoding": {
            "x": {"field": "at"} | QUANTITY,
            "y": None,
            "strokeDash": {"field": "line", "scale": dash, "legend": {"title": None, "symbolSize": 400}} | NAME,
            "tooltip": {"field": "line"},
        },
    }


def bars(rows: Sequence[Mapping[str, Any]], *, of: str, axis: str, parts: Sequence[str]) -> Spec:
    """Counts by name as stacked bars.

    Args:
        rows: `name`, `part` and `n`.
        parts: from left to right.
    """
    names = list(dict.fromkeys(row["name"] for row in rows))
    colour = {"domain": list(parts), "range": [*COLOURS, PALE][: len(parts)]}
    order = {part: i for i, part in enumerate(parts)}
    return {
        **_plain([{**row, "order": order[row["part"]]} for row in rows], 24 * len(names)),
        "mark": {"type": "bar", "height": 15},
        "encoding": {
            "y": {"field": "name", "sort": names, "title": None} | ORDER,
            "x": {"field": "n", "aggregate": "sum", "title": axis, "axis": {"tickCount": 6}} | QUANTITY,
            "color": {"field": "part", "title": None, "scale": colour} | NAME,
            "order": {"field": "order"} | QUANTITY,
            "tooltip": _tip({"name": of, "part": "part", "n": "n"}),
        },
    }


def histogram(bins: Sequence[tuple[float, float, int]], *, axis: str, of: str) -> Spec:
    """Counts of what lies between two edges: (low, high, n)."""
    x = {"field": "low", "bin": {"binned": True}, "title": axis, "axis": {"grid": False, "tickCount": 8}}
    tip = _tip({"low": "from", "high": "to", "n": of})
    return {
        **_plain([{"low": low, "high": high, "n": n} for low, high, n in bins], 160),
        "mark": {"type": "bar", "color": BAR},
        "encoding": {
            "x": x | QUANTITY,
            "x2": {"field": "high"},
            "y": {"field": "n", "title": of, "axis": {"tickCount": 4}} | QUANTITY,
            "tooltip": tip,
        },
    }


def lines(
    rows: Sequence[Mapping[str, Any]], *, x: str, y: str, band: bool = False, log: bool = False, dots: bool = True
) -> Spec:
    """Lines of several series, with dots where they were measured; pressing a name in the legend brings it out.

    Args:
        rows: `series`, `x`, `y`, with `band` also `low` and `high`; values as they are to be drawn.
        x, y: titles of the axes.
        log: is the horizontal axis logarithmic?
        dots: where the values are few.
    """
    ticks = (
        sorted({r["x"] for r in rows}) if band else [10**i * d for i in range(1, 5) for d in (1, 2, 5)] if log else None
    )
    scale = {"nice": False} | ({"type": "log"} if log else {"zero": False})
    across = QUANTITY | {"field": "x", "title": x, "scale": scale, "axis": {"grid": False, "values": ticks}}
    names = list(dict.fromkeys(r["series"] for r in rows))
    up = {"field": "y", "title": y, "scale": {"zero": False}} | QUANTITY
    bright, picked = {"condition": {"param": "picked", "value": 1}, "value": 0.12}, {"params": [_picked("series")]}
    area = _layer({"type": "area", "opacity": 0.13}, y={**up, "field": "low"}, y2={"field": "high"})
    tip, point = _tip({"series": "of", "x": x, "y": y}), {"type": "point", "filled": True, "size": 45}
    dashes = {"domain": names, "range": [DASHED[i // len(COLOURS) % len(DASHED)] for i in range(len(names))]}
    dash = {"field": "series", "title": None, "scale": dashes} | NAME
    return {
        **_plain(list(map(dict, rows)), 240),
        "encoding": {"x": across, "color": _series(names)},
        "layer": [
            {**_layer({"type": "line", "strokeWidth": 2}, y=up, opacity=bright, strokeDash=dash)} | picked,
            *([area] if band else []),
            *([_layer(point, y=up, opacity=bright, tooltip=tip)] if dots else []),
        ],
    }


def gap(rows: Sequence[Mapping[str, float]], *, y: str, best: int) -> Spec:
    """Training and validation, epoch by epoch, what lies between them shaded, the epoch that was kept marked.

    Args:
        rows: `epoch`, `training`, `validation`.
    """
    x = {"field": "epoch", "title": "epoch", "axis": {"grid": False, "tickMinStep": 1}}
    x |= {"scale": {"zero": False, "nice": False}}
    up = {"title": y, "scale": {"zero": False}} | QUANTITY
    both = ["training", "validation"]
    tip = _tip({"epoch": "epoch", "training": "training", "validation": "validation"})
    line = {"color": {"field": "series", "scale": {"domain": both, "range": [ACCENT, WARM]}, "title": None} | NAME}
    dash = {"field": "series", "scale": {"domain": both, "range": [[1, 0], [7, 3]]}, "title": None} | NAME
    kept = {"mark": {"type": "rule", "strokeDash": [2, 3]}, "encoding": {"x": {"datum": best} | QUANTITY}}
    shade = _layer({"type": "area", "color": WARM, "opacity": 0.14}, y={**up, "field": "training"})
    shade["encoding"] |= {"y2": {"field": "validation"}, "tooltip": tip}
    drawn = _layer({"type": "line", "point": True}, y={**up, "field": "y"}, strokeDash=dash, **line)
    return {
        **_plain(list(map(dict, rows)), 200),
        "encoding": {"x": x | QUANTITY},
        "layer": [shade, kept, {**drawn, "transform": [{"fold": both, "as": ["series", "y"]}]}],
    }


def matrix(
    cells: Sequence[Mapping[str, Any]], *, across: Sequence[str], down: Sequence[str], x: str, y: str, numbered: bool
) -> Spec:
    """Cells coloured by their share: the deeper, the more; below zero in the other colour.

    Args:
        cells: `across`, `down` (names), `share` (-1 to 1), `text` (what stands in the cell), `tip` (what it means).
        across, down: names in order.
        x, y: titles of the axes.
    """
    step = 30 if len(down) <= NUMBERED_UP_TO else max(6, 600 // len(down))
    place = {
        "x": {"field": "across", "sort": list(across), "title": x, "axis": {"labelAngle": -45, "grid": False}} | ORDER,
        "y": {"field": "down", "sort": list(down), "title": y} | ORDER,
        "tooltip": {"field": "tip"},
    }
    deepest = NUMBERED_DEPTH if numbered else 1
    depth = {"field": "depth", "scale": {"domain": [0, 1], "range": [0, deepest]}, "legend": None} | QUANTITY
    colour = {"condition": {"test": "datum.share < 0", "value": WARM}, "value": ACCENT}
    values = [{**c, "depth": round(abs(c["share"]), 3)} for c in cells]
    text = _layer({"type": "text", "fontSize": 12, "color": INK}, text={"field": "text"})
    return {
        **_plain(values, step * len(down)),
        "encoding": place,
        "layer": [_layer({"type": "rect"}, fillOpacity=depth, color=colour), *([text] if numbered else [])],
    }


def reliability(bins: Sequence[Mapping[str, Any]]) -> Spec:
    """What was claimed across, what came true up, one dot a bin as large as it holds tracks, and the diagonal.

    Args:
        bins: `confidence`, `accuracy` (fractions) and `n`; empty ones are left out.
    """
    values = [{k: round(100 * b[k], 1) for k in ("confidence", "accuracy")} | {"n": b["n"]} for b in bins if b["n"]]
    of = {"scale": {"domain": [0, 100]}, "axis": {"tickCount": 5}} | QUANTITY
    x = {"field": "confidence", "title": "said with a probability of, %", **of}
    y = {"field": "accuracy", "title": "right, %", **of}
    size = {"field": "n", "legend": None, "scale": {"range": [30, 400]}} | QUANTITY
    tip = _tip({"confidence": "said, %", "accuracy": "right, %", "n": "tracks"})
    dots = {"type": "circle", "color": ACCENT, "opacity": 0.85}
    diagonal = _layer({"type": "line", "strokeDash": [4, 4], "color": MUTED}, x=x, y=y)
    return {
        **_plain(values, 260),
        "layer": [
            {**diagonal, "data": {"values": [{"confidence": v, "accuracy": v} for v in (0, 100)]}},
            _layer({"type": "line", "color": ACCENT, "strokeWidth": 1}, x=x, y=y),
            _layer(dots, x=x, y=y, size=size, tooltip=tip),
        ],
    }


def scatter(rows: Sequence[Mapping[str, Any]], *, x: str, y: str, kind: str) -> Spec:
    """One dot a trial, the best one in the warm colour.

    Args:
        rows: `x`, `y`, `trial`, `best` (is it the one?).
        kind: of the horizontal axis: `log`, `linear` or `names`.
    """
    across = {"field": "x", "title": x, "axis": {"grid": False, "tickCount": 5, "labelAngle": 0}}
    scale: Spec = {"type": "log"} if kind == "log" else {"zero": False}
    scaled: Spec = NAME if kind == "names" else QUANTITY | {"scale": scale}
    colour = {"condition": {"test": "datum.best", "value": WARM}, "value": ACCENT}
    size = {"condition": {"test": "datum.best", "value": 130}, "value": 45}
    return {
        **_plain(list(map(dict, rows)), 180),
        "mark": {"type": "point", "filled": True, "opacity": 0.75},
        "encoding": {
            "x": across | scaled,
            "y": {"field": "y", "title": y, "scale": {"zero": False}, "axis": {"tickCount": 5}} | QUANTITY,
            "color": colour,
            "size": size,
            "tooltip": _tip({"trial": "trial", "x": x, "y": y}),
        },
    }


def field_of_points(rows: Sequence[Mapping[str, Any]], *, series: Sequence[str], views: Sequence[str]) -> Spec:
    """A map: one point a track, told apart by colour and shape; pressing a genre in the legend brings it out.

    Args:
        rows: `genre`, `track`, `artist`, `answer`, and x0, y0, x1, y1 … for each of `views`.
        series: genres in order.
        views: names of the maps, of which one is shown at a time.
    """
    bind = {"input": "select", "options": list(range(len(views))), "labels": list(views), "name": "Placed by "}
    chosen = {"name": "shown", "value": 0, "bind": bind}
    place = [{"calculate": f"datum['{axis}' + shown]", "as": axis} for axis in "xy"]
    bare = {"axis": None, "scale": {"zero": False}} | QUANTITY
    marks = {"domain": list(series), "range": [SHAPES[i // 8 % len(SHAPES)] for i in range(len(series))]}
    return {
        **_plain(list(map(dict, rows)), 480),
        "params": [chosen, _picked("genre")] if len(views) > 1 else [_picked("genre")],
        "transform": place if len(views) > 1 else [{"calculate": f"datum.{axis}0", "as": axis} for axis in "xy"],
        "mark": {"type": "point", "filled": True, "size": 42},
        "encoding": {
            "x": {"field": "x", **bare},
            "y": {"field": "y", **bare},
            "color": _series(list(series), field="genre"),
            "shape": {"field": "genre", "scale": marks, "title": None} | NAME,
            "opacity": {"condition": {"param": "picked", "value": 0.8}, "value": 0.06},
            "tooltip": _tip({"track": "track", "genre": "genre", "artist": "artist", "answer": "answer"}),
        },
    }


def over_picture(
    patches: Sequence[Mapping[str, Any]], picture: str, *, span: tuple[float, float], bands: Sequence[tuple[float, str]]
) -> Spec:
    """A mel spectrogram with the patches whose silencing changes the answer.

    Args:
        patches: `t0`, `t1` (seconds), `f0`, `f1` (mel bands), `drop` (points of probability), `hz` in words.
        picture: data address of the spectrogram, lowest band at the bottom.
        span: where it begins and ends, in seconds.
        bands: places of the ticks in mel bands, and their words.
    """
    top = max((p["f1"] for p in patches), default=1)
    most = max((abs(p["drop"]) for p in patches), default=0) or 1
    values = [{**p, "depth": round(0.75 * abs(p["drop"]) / most, 3)} for p in patches]
    names = " : ".join(f"datum.value == {at:g} ? '{words}'" for at, words in bands) + " : ''"
    time = {"field": "t0", "title": "seconds", "scale": {"domain": list(span), "nice": False}, "axis": {"grid": False}}
    ticks = {"values": [at for at, _ in bands], "labelExpr": names, "grid": False}
    pitch = {"field": "f0", "title": "Hz", "scale": {"domain": [0, top], "nice": False}, "axis": ticks}
    shown = {"type": "image", "aspect": False, "width": {"expr": "width"}, "height": {"expr": "height"}}
    shown |= {"x": {"expr": "width / 2"}, "y": {"expr": "height / 2"}, "url": picture}
    colour = {"condition": {"test": "datum.drop < 0", "value": "#2f9bff"}, "value": "#ff9d00"}
    tip = [*_tip({"t0": "from, s", "t1": "to, s", "hz": "between", "drop": "probability falls by, points"})]
    place = {"x": time | QUANTITY, "x2": {"field": "t1"}, "y": pitch | QUANTITY, "y2": {"field": "f1"}}
    depth = {"field": "depth", "scale": None, "legend": None} | QUANTITY
    return {
        **_plain(values, 180),
        "layer": [
            {"data": {"values": [{}]}, "mark": shown},
            _layer({"type": "rect"}, **place, color=colour, fillOpacity=depth, tooltip=tip),
        ],
    }


def _plain(values: list[dict[str, Any]], height: int) -> Spec:
    return {"data": {"values": values}, "width": "container", "height": max(height, 24)}


def _layer(mark: Spec, **encoding: Any) -> Spec:
    return {"mark": mark, "encoding": encoding}


def _text(align: str) -> Spec:
    return {"type": "text", "align": align, "yOffset": -8, "baseline": "middle", "tooltip": None, "color": INK}


def _tip(fields: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"field": field, "title": title} for field, title in fields.items()]


def _series(names: list[str], field: str = "series") -> Spec:
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(names))]
    return {"field": field, "title": None, "scale": {"domain": names, "range": colours}} | NAME


def _picked(field: str) -> Spec:
    return {"name": "picked", "select": {"type": "point", "fields": [field]}, "bind": "legend"}
