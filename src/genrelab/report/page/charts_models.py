"""Charts for one purpose each: training curves, reliability, the map of tracks, the occlusion map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genrelab.report.page.charts import (
    ACCENT,
    MUTED,
    NAME,
    QUANTITY,
    SHAPES,
    WARM,
    Spec,
    base_spec,
    layer,
    legend_selection,
    series_colours,
    tooltip,
)


def training_curves(rows: Sequence[Mapping[str, float]], *, y: str, best: int) -> Spec:
    """Training and validation by epoch, the area between them shaded, the epoch whose weights were kept marked.

    Args:
        rows: `epoch`, `training`, `validation`.
    """
    x = {"field": "epoch", "title": "epoch", "axis": {"grid": False, "tickMinStep": 1}}
    x |= {"scale": {"zero": False, "nice": False}}
    up = {"title": y, "scale": {"zero": False}} | QUANTITY
    both = ["training", "validation"]
    tip = tooltip({"epoch": "epoch", "training": "training", "validation": "validation"})
    line = {"color": {"field": "series", "scale": {"domain": both, "range": [ACCENT, WARM]}, "title": None} | NAME}
    dash = {"field": "series", "scale": {"domain": both, "range": [[1, 0], [7, 3]]}, "title": None} | NAME
    kept = {"mark": {"type": "rule", "strokeDash": [2, 3]}, "encoding": {"x": {"datum": best} | QUANTITY}}
    shade = layer({"type": "area", "color": WARM, "opacity": 0.14}, y={**up, "field": "training"})
    shade["encoding"] |= {"y2": {"field": "validation"}, "tooltip": tip}
    drawn = layer({"type": "line", "point": True}, y={**up, "field": "y"}, strokeDash=dash, **line)
    return {
        **base_spec(list(map(dict, rows)), 200),
        "encoding": {"x": x | QUANTITY},
        "layer": [shade, kept, {**drawn, "transform": [{"fold": both, "as": ["series", "y"]}]}],
    }


def reliability(bins: Sequence[Mapping[str, Any]]) -> Spec:
    """Reliability diagram: confidence against accuracy, one dot per bin sized by its tracks, and the diagonal.

    Args:
        bins: `confidence`, `accuracy` (fractions) and `n`; empty ones are left out.
    """
    values = [{k: round(100 * b[k], 1) for k in ("confidence", "accuracy")} | {"n": b["n"]} for b in bins if b["n"]]
    of = {"scale": {"domain": [0, 100]}, "axis": {"tickCount": 5}} | QUANTITY
    x = {"field": "confidence", "title": "confidence, %", **of}
    y = {"field": "accuracy", "title": "accuracy, %", **of}
    size = {"field": "n", "legend": None, "scale": {"range": [30, 400]}} | QUANTITY
    tip = tooltip({"confidence": "confidence, %", "accuracy": "accuracy, %", "n": "tracks"})
    dots = {"type": "circle", "color": ACCENT, "opacity": 0.85}
    diagonal = layer({"type": "line", "strokeDash": [4, 4], "color": MUTED}, x=x, y=y)
    return {
        **base_spec(values, 260),
        "layer": [
            {**diagonal, "data": {"values": [{"confidence": v, "accuracy": v} for v in (0, 100)]}},
            layer({"type": "line", "color": ACCENT, "strokeWidth": 1}, x=x, y=y),
            layer(dots, x=x, y=y, size=size, tooltip=tip),
        ],
    }


def track_map(rows: Sequence[Mapping[str, Any]], *, series: Sequence[str], views: Sequence[str]) -> Spec:
    """A map with one point per track, its genre as colour and shape; clicking a genre in the legend highlights it.

    Args:
        rows: `genre`, `track`, `artist`, `answer` where there is one, and x0, y0, x1, y1 … for each of `views`.
        series: genres in order.
        views: names of the maps; one is shown at a time.
    """
    bind = {"input": "select", "options": list(range(len(views))), "labels": list(views), "name": "Placed by "}
    chosen = {"name": "shown", "value": 0} | ({"bind": bind} if len(views) > 1 else {})
    place = [{"calculate": f"datum['{axis}' + shown]", "as": axis} for axis in "xy"]
    bare = {"axis": None, "scale": {"zero": False}} | QUANTITY
    marks = {"domain": list(series), "range": [SHAPES[i // 8 % len(SHAPES)] for i in range(len(series))]}
    return {
        **base_spec(list(map(dict, rows)), 400),
        "params": [chosen, legend_selection("genre")],
        "transform": place,
        "mark": {"type": "point", "filled": True, "size": 42},
        "encoding": {
            "x": {"field": "x", **bare},
            "y": {"field": "y", **bare},
            "color": series_colours(list(series), field="genre"),
            "shape": {"field": "genre", "scale": marks, "title": None} | NAME,
            "opacity": {"condition": {"param": "picked", "value": 0.8}, "value": 0.06},
            "tooltip": tooltip({k: k for k in ("track", "genre", "artist", "answer") if not rows or k in rows[0]}),
        },
    }


def occlusion_map(
    patches: Sequence[Mapping[str, Any]], picture: str, *, span: tuple[float, float], bands: Sequence[tuple[float, str]]
) -> Spec:
    """A mel spectrogram overlaid with patches, coloured by how much attenuating each one changes the probability.

    Args:
        patches: `t0`, `t1` (seconds), `f0`, `f1` (mel bands), `drop` (percentage points of probability), `hz` as text.
        picture: data URL of the spectrogram, lowest band at the bottom.
        span: its start and end in seconds.
        bands: positions of the ticks in mel bands, and their labels.
    """
    top = max((p["f1"] for p in patches), default=1)
    most = max((abs(p["drop"]) for p in patches), default=0)
    most = max(most, 1.0)  # percentage point: a negligible change gets next to no colour
    values = [{**p, "depth": round(0.75 * abs(p["drop"]) / most, 3)} for p in patches]
    names = " : ".join(f"datum.value == {at:g} ? '{words}'" for at, words in bands) + " : ''"
    time = {"field": "t0", "title": "seconds", "scale": {"domain": list(span), "nice": False}, "axis": {"grid": False}}
    ticks = {"values": [at for at, _ in bands], "labelExpr": names, "grid": False}
    pitch = {"field": "f0", "title": "Hz", "scale": {"domain": [0, top], "nice": False}, "axis": ticks}
    shown = {"type": "image", "aspect": False, "width": {"expr": "width"}, "height": {"expr": "height"}}
    shown |= {"x": {"expr": "width / 2"}, "y": {"expr": "height / 2"}, "url": picture}
    colour = {"condition": {"test": "datum.drop < 0", "value": "#2f9bff"}, "value": "#ff9d00"}
    tip = [*tooltip({"t0": "from, s", "t1": "to, s", "hz": "between", "drop": "probability falls by, points"})]
    place = {"x": time | QUANTITY, "x2": {"field": "t1"}, "y": pitch | QUANTITY, "y2": {"field": "f1"}}
    depth = {"field": "depth", "scale": None, "legend": None} | QUANTITY
    return {
        **base_spec(values, 180),
        "layer": [
            {"data": {"values": [{}]}, "mark": shown},
            layer({"type": "rect"}, **place, color=colour, fillOpacity=depth, tooltip=tip),
        ],
    }
