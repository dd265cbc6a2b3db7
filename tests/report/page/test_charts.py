"""charts.py and charts_models.py: the figures that a specification holds, in the units that its axis says."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from genrelab.report.page import charts, charts_lines, charts_models
from genrelab.report.page.charts import Interval

HOSTILE = "</script>'\"[x] | datum.y"


def values(spec: charts.Spec) -> list[dict[str, object]]:
    found: list[dict[str, object]] = spec["data"]["values"]
    return found


def test_intervals_are_percent_with_their_bounds() -> None:
    rows = [Interval("a", 0.412, 0.3, 0.5, below="statistics"), Interval("b", 0.25, strong=False)]
    spec = charts.intervals(rows, axis="accuracy, %", lines={"chance": 0.125}, bars=True)
    first, second = values(spec)
    assert (first["value"], first["low"], first["high"]) == (41.2, 30.0, 50.0)
    assert (first["name"], first["figures"]) == ("a  ·  statistics", "41.2  [30.0, 50.0]")
    assert (second["figures"], second["low"], second["strong"]) == ("25.0", 25.0, False)
    assert {"i": 1, "line": "chance 12.5", "at": 12.5} in [
        v for layer in spec["layer"] for v in layer.get("data", {}).get("values", [])
    ]


def test_differences_bear_their_sign() -> None:
    spec = charts.intervals([Interval("a − b", -0.02, -0.1, 0.06)], axis="points", signed=True)
    assert values(spec)[0]["figures"] == "−2.0  [−10.0, +6.0]"


def test_matrix_colours_distinguish_negative_from_positive() -> None:
    cells = [{"across": "a", "down": "b", "share": share, "text": "", "tip": ""} for share in (-0.5, 0.5)]
    spec = charts.matrix(cells, across=["a"], down=["b"], x="x", y="y", numbered=False)
    assert [v["depth"] for v in values(spec)] == [0.5, 0.5]
    assert spec["layer"][0]["encoding"]["fill"]["condition"]["test"] == "datum.share < 0"
    assert len(spec["layer"]) == 1


def test_a_name_without_a_cell_keeps_its_place_in_a_matrix() -> None:
    spec = charts.matrix([], across=["a", "b"], down=["c"], x="x", y="y", numbered=False)
    assert spec["encoding"]["x"]["scale"] == {"domain": ["a", "b"]}
    assert spec["encoding"]["y"]["scale"] == {"domain": ["c"]}


def test_empty_bins_are_not_drawn() -> None:
    bins = [{"confidence": None, "accuracy": None, "n": 0}, {"confidence": 0.9, "accuracy": 0.5, "n": 4}]
    assert values(charts_models.reliability(bins)) == [{"confidence": 90.0, "accuracy": 50.0, "n": 4}]


def test_patch_colour_depth_scales_with_the_probability_drop() -> None:
    patches = [{"t0": 0, "t1": 1, "f0": 0, "f1": 8, "drop": d, "hz": "x"} for d in (20.0, -10.0, 0.0)]
    spec = charts_models.occlusion_map(patches, "data:,", span=(0, 1), bands=[(4.0, "1,000")])
    assert [v["depth"] for v in values(spec)] == [0.75, 0.375, 0.0]
    spec = charts_models.occlusion_map([{**p, "drop": p["drop"] / 1000} for p in patches], "", span=(0, 1), bands=[])
    assert [v["depth"] for v in values(spec)] == [0.015, 0.007, 0.0]


@pytest.mark.parametrize(
    "spec",
    [
        charts.intervals([Interval(HOSTILE, 0.5, 0.4, 0.6)], axis="a"),
        charts_lines.lines([{"series": HOSTILE, "x": 1, "y": 2}], x="x", y="y"),
        charts_lines.grouped_intervals(
            [{"name": HOSTILE, "series": HOSTILE, "value": 1, "low": 0, "high": 2}], axis="a"
        ),
        charts.track_counts([{"name": HOSTILE, "part": "test", "n": 3}], parts=["test"]),
        charts_models.track_map([{"genre": HOSTILE, "x0": 1, "y0": 1}], series=[HOSTILE], views=["all"]),
        charts.scatter([{"x": HOSTILE, "y": 1, "trial": 0, "best": True}], x="C", y="y", kind="names"),
    ],
)
def test_names_never_become_fields_or_expressions(spec: charts.Spec) -> None:
    def walk(node: object, path: tuple[str, ...] = ()) -> None:
        if isinstance(node, dict):
            for key, child in node.items():
                walk(child, (*path, str(key)))
        elif isinstance(node, list):
            for child in node:
                walk(child, path)
        elif isinstance(node, str) and HOSTILE in node:
            assert path[-1] in ("domain", "sort") or "values" in path, path

    walk(spec)
    assert json.loads(json.dumps(spec)) == spec


def series(*ends: float) -> list[dict[str, object]]:
    """One line of two points per end."""
    return [{"series": f"s{i}", "x": x, "y": y} for i, end in enumerate(ends) for x, y in ((1, 0.0), (2, end))]


def test_names_of_lines_that_end_together_do_not_overlap() -> None:
    spec = charts_lines.lines(series(50.0, 50.1, 50.2, 0.0), x="x", y="y")
    label = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "text")
    places = sorted(v["place"] for v in label["data"]["values"])
    low, high = label["encoding"]["y"]["scale"]["domain"]
    gap = charts_lines.LABEL_HEIGHT / charts_lines.LINES_HEIGHT * (high - low)
    assert all(b - a >= gap - 1e-3 for a, b in pairwise(places))
    assert low < places[0] and places[-1] < high
    order = [v["series"] for v in sorted(label["data"]["values"], key=lambda v: v["place"])]
    assert order == ["s3", "s0", "s1", "s2"]


def test_many_lines_have_a_legend_and_no_two_look_the_same() -> None:
    spec = charts_lines.lines(series(*range(20)), x="x", y="y")
    line = spec["layer"][0]["encoding"]["strokeDash"]["scale"]
    colours = spec["encoding"]["color"]
    assert "legend" not in colours and not [layer for layer in spec["layer"] if layer["mark"]["type"] == "text"]
    looks = [(c, tuple(d)) for c, d in zip(colours["scale"]["range"], line["range"], strict=True)]
    assert len(set(looks)) == 20


def test_band_is_drawn_for_the_pressed_series_only() -> None:
    rows = [row | {"low": 0, "high": 1} for row in series(1.0, 2.0)]
    spec = charts_lines.lines(rows, x="x", y="y", band=True)  # type: ignore[arg-type]
    (area,) = [layer for layer in spec["layer"] if layer["mark"]["type"] == "area"]
    assert area["encoding"]["opacity"]["value"] == 0
    assert area["encoding"]["opacity"]["condition"] == {"param": "picked", "empty": False, "value": 0.18}


def test_chart_of_a_single_value_is_not_drawn() -> None:
    one, two = ([Interval(str(i), 0.4) for i in range(n)] for n in (1, 2))
    assert not charts.Chart(charts.intervals(one, axis="a"), "one").drawn
    assert charts.Chart(charts.intervals(two, axis="a"), "two").drawn


def lines_of(spec: charts.Spec) -> charts.Spec:
    """The layer of the lines through all rows."""
    return next(layer for layer in spec["layer"] if "strokeDash" in layer["encoding"])


def test_chance_is_dotted_and_majority_dashed_in_the_colour_of_the_lines() -> None:
    rows = [Interval("a", 0.4), Interval("b", 0.3)]
    drawn = lines_of(charts.intervals(rows, axis="a", lines={"chance": 0.125, "majority": 0.2}, bars=True))
    dash = drawn["encoding"]["strokeDash"]
    assert dash["scale"] == {"domain": ["chance 12.5", "majority 20.0"], "range": [[2, 3], [6, 4]]}
    assert dash["legend"]["symbolStrokeColor"] == drawn["mark"]["color"]


def test_lines_of_one_value_are_one_line_with_both_names() -> None:
    drawn = lines_of(charts.intervals([Interval("a", 0.4)], axis="a", lines={"chance": 0.25, "majority": 0.25}))
    assert [v["line"] for v in drawn["data"]["values"]] == ["chance and majority 25.0"]


def test_no_line_is_drawn_through_the_words_of_a_row() -> None:
    for more in ({"signed": True}, {"lines": {"chance": 0.25}}):
        drawn = lines_of(charts.intervals([Interval("a", 0.4)] * 3, axis="a", **more))  # type: ignore[arg-type]
        assert [v["i"] for v in drawn["data"]["values"]] == [0, 1, 2]
        assert 0 < drawn["mark"]["yOffset"] < drawn["mark"]["y2Offset"] == charts.STEP / 2
