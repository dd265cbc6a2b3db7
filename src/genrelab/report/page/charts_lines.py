"""Charts of several series that are compared on shared axes: lines, and intervals in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genrelab.report.page.charts import (
    NAME,
    ORDER,
    QUANTITY,
    SHAPES,
    Spec,
    base_spec,
    layer,
    legend_selection,
    series_colours,
    tooltip,
)

DASHED = [[1, 0], [7, 3], [2, 2]]  # of series, in turn: with eight colours, 24 series look different
MAX_LABELLED = 12  # series whose names are printed at the ends of their lines; more have a legend
LINES_HEIGHT, LABEL_HEIGHT = 260, 14  # px


def grouped_intervals(rows: Sequence[Mapping[str, Any]], *, axis: str) -> Spec:
    """Values with their intervals on one axis: a group of rows per name, in it a coloured row per series.

    Args:
        rows: `name`, `series`, `value`, `low`, `high`; values in the unit of the axis.
    """
    names, series = (list(dict.fromkeys(r[k] for r in rows)) for k in ("name", "series"))
    x = {"title": axis, "scale": {"zero": False}, "axis": {"tickCount": 6}} | QUANTITY
    shapes = {"domain": series, "range": SHAPES[: len(series)]}
    shape = {"field": "series", "title": None, "scale": shapes} | NAME
    point = {"type": "point", "filled": True, "size": 60, "opacity": 1}
    tip = tooltip({"name": "model", "series": "", "value": axis, "low": "from", "high": "to"})
    span = layer({"type": "rule", "strokeWidth": 2}, x={"field": "low"} | x, x2={"field": "high"})
    return {
        **base_spec(list(map(dict, rows)), (11 * len(series) + 8) * len(names)),
        "encoding": {
            "y": {"field": "name", "sort": names, "title": None, "axis": {"grid": False}} | ORDER,
            "yOffset": {"field": "series", "sort": series} | NAME,
            "color": series_colours(series),
            "tooltip": tip,
        },
        "layer": [span, layer(point, x={"field": "value"} | x, shape=shape)],
    }


def lines(
    rows: Sequence[Mapping[str, Any]], *, x: str, y: str, band: bool = False, log: bool = False, dots: bool = True
) -> Spec:
    """Lines of several series with their names at the right; pressing a name highlights it and shows its band.

    Args:
        rows: `series`, `x`, `y`, with `band` also `low` and `high`; values in the units of the axes.
        x, y: titles of the axes.
        log: is the horizontal axis logarithmic?
        dots: draw the points, where there are few.
    """
    names = list(dict.fromkeys(r["series"] for r in rows))
    labelled = len(names) <= MAX_LABELLED
    room = min(8 * max(map(len, names), default=0), 150) + 16 if labelled else 0  # px at the right
    if band:
        ticks: list[float] | None = sorted({r["x"] for r in rows})
    else:
        ticks = [10**i * d for i in range(1, 5) for d in (1, 2, 5)] if log else None
    scale: Spec = {"nice": False, "range": [0, {"expr": f"width - {room}"}]}
    scale |= {"type": "log"} if log else {"zero": False}
    across = QUANTITY | {"field": "x", "title": x, "scale": scale, "axis": {"grid": False, "values": ticks}}
    low, high = (pick((r["y"] for r in rows), default=0) for pick in (min, max))
    margin = max(0.05 * (high - low), 0.5)
    domain = [low - margin, high + margin]
    up = {"field": "y", "title": y, "scale": {"domain": domain, "nice": False}, "axis": {"tickCount": 5}} | QUANTITY
    bright = {"condition": {"param": "picked", "value": 1}, "value": 0.15}
    shown = {"condition": {"param": "picked", "empty": False, "value": 0.18}, "value": 0}
    area = layer({"type": "area", "clip": True}, y={**up, "field": "low"}, y2={"field": "high"}, opacity=shown)
    tip, point = tooltip({"series": "of", "x": x, "y": y}), {"type": "point", "filled": True, "size": 45}
    dashes = {"domain": names, "range": [DASHED[i % len(DASHED)] for i in range(len(names))]}
    dash = {"field": "series", "scale": dashes, "title": None} | NAME
    dash |= {"legend": None} if labelled else {}
    line = layer({"type": "line", "strokeWidth": 2}, y=up, opacity=bright, strokeDash=dash)
    return {
        **base_spec(list(map(dict, rows)), LINES_HEIGHT),
        "encoding": {"x": across, "color": series_colours(names) | ({"legend": None} if labelled else {})},
        "layer": [
            line if labelled else line | {"params": [legend_selection("series")]},
            *([area] if band else []),
            *([layer(point, y=up, opacity=bright, tooltip=tip)] if dots else []),
            *(_end_labels(rows, names, domain, up, room) if labelled else []),
        ],
    }


def _end_labels(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], domain: Sequence[float], up: Spec, room: int
) -> list[Spec]:
    """The name of each series beside the end of its line, moved up or down as far as names would overlap."""
    ends = {r["series"]: r for r in sorted(rows, key=lambda r: r["x"])}
    order = sorted(names, key=lambda name: ends[name]["y"])
    gap = LABEL_HEIGHT / LINES_HEIGHT * (domain[1] - domain[0])
    places: list[float] = []
    for name in order:
        places.append(max(ends[name]["y"], places[-1] + gap if places else domain[0] + gap / 2))
    limit = domain[1] - gap / 2
    for i in reversed(range(len(places))):
        places[i] = min(places[i], limit)
        limit = places[i] - gap
    data = {"values": [dict(ends[n]) | {"place": round(p, 4)} for n, p in zip(order, places, strict=True)]}
    start = {"expr": f"width - {room - 12}"}
    picked = {"name": "picked", "select": {"type": "point", "fields": ["series"]}}
    text = {"type": "text", "align": "left", "baseline": "middle", "dx": 3, "fontSize": 12, "cursor": "pointer"}
    leader = layer({"type": "rule", "opacity": 0.6}, y=up, y2={"field": "place"}, x2={"value": start})
    label = layer(text, y=up | {"field": "place"}, x={"value": start}, text={"field": "series"})
    return [leader | {"data": data}, label | {"data": data, "params": [picked], "name": "halo_ends"}]
