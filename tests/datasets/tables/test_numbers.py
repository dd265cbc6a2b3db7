"""genrelab/datasets/tables/numbers.py: numbers in every notation, and which one a column has."""

from __future__ import annotations

import math

import pytest

from genrelab.datasets.tables.numbers import DecimalMark, default_mark, notation_notes, read_numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("0.5", 0.5), (".5", 0.5), ("5.", 5), ("-1.5e-3", -0.0015), ("+3", 3), ("1,234.56", 1234.56),
        ("1,234,567", 1234567), ("12,34,567.8", 1234567.8), ("1 234.5", 1234.5), ("1'234.5", 1234.5),
        ("1’234’567.25", 1234567.25), ("−2.5", -2.5), ("(1.5)", -1.5), ("1.5-", -1.5), ("- 2.5", -2.5),
        ("12.5 %", 12.5), ("12%", 12), ("inf", math.inf), ("-Infinity", -math.inf), ("1E400", math.inf),
    ],
)  # fmt: skip
def test_decimal_point(text: str, value: float) -> None:
    column = read_numbers([text])
    assert column.point.tolist() == [value]
    assert column.fits("point")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0,5", 0.5), (",5", 0.5), ("-1.234,5", -1234.5), ("1,5E-3", 0.0015), ("1 234,56", 1234.56),
        ("1\u00a0234,56", 1234.56), ("1\u202f234\u202f567,5", 1234567.5), ("1'234,5", 1234.5), ("1.234.567", 1234567),
        ("12,5 %", 12.5), ("(0,5)", -0.5), ("+3,25", 3.25),
    ],
)  # fmt: skip
def test_decimal_comma(text: str, value: float) -> None:
    column = read_numbers([text])
    assert column.comma.tolist() == [value]
    assert column.mark == "comma"
    assert not column.is_ambiguous


@pytest.mark.parametrize(
    "text", ["1,23.4", "1.23,4", "1 23", "0,123.5", "1..5", "--5", "1e", "x", "5 dB", "1:30", "0x10", "1_000", "²", "%"]
)
def test_no_number_in_any_notation(text: str) -> None:
    column = read_numbers([text])
    assert not column.fits("point") or not column.fits("comma")
    assert math.isnan(column.values(column.mark or "point")[0])


@pytest.mark.parametrize("text", [None, "", " ", "NA", "nan", "#N/A", "-", "null"])
def test_missing_numbers(text: str | None) -> None:
    column = read_numbers([text, "1"])
    assert column.known.tolist() == [False, True]
    assert column.fits("point") and column.fits("comma")


@pytest.mark.parametrize(
    ("cells", "mark", "ambiguous"),
    [
        (["1.5", "2"], "point", False),
        (["1,5", "2"], "comma", False),
        (["1,234", "0,5"], "comma", False),
        (["1,234", "0.5"], "point", False),
        (["1.234", "1.234.567"], "comma", False),
        (["1,234", "2,345"], None, True),
        (["1.234", "2.345"], None, True),
        (["1", "2"], None, False),
        (["1 234", "1'234"], None, False),
        (["1.234e2", "2.345e1"], "point", False),
    ],
)
def test_all_cells_decide_together(cells: list[str], mark: DecimalMark | None, ambiguous: bool) -> None:
    column = read_numbers(cells)
    assert (column.mark, column.is_ambiguous) == (mark, ambiguous)


def test_few_cells_with_or_without_a_per_cent_sign_do_not_fit() -> None:
    assert read_numbers(["1 %", "2 %", "3"]).fits("point") is False
    assert read_numbers(["1", "2 %", "3"]).fits("point") is False
    assert read_numbers(["1 %", "2 %", "3 %"]).point.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("votes", "delimiter", "mark"),
    [
        ({"comma"}, ",", "comma"),
        ({"point"}, ";", "point"),
        (set(), ";", "comma"),
        (set(), ",", "point"),
        ({"point", "comma"}, ";", "comma"),
        (set(), None, "point"),
    ],
)
def test_ambiguous_columns_follow_the_others_and_the_delimiter(
    votes: set[DecimalMark], delimiter: str | None, mark: DecimalMark
) -> None:
    assert default_mark(votes, delimiter)[0] == mark


def test_notes_show_an_example_of_each_notation() -> None:
    columns = {"a": read_numbers(["1", "-1.234,5"]), "b": read_numbers(["0,5"]), "c": read_numbers(["1.5"])}
    columns["d"] = read_numbers(["1,234"])
    marks: dict[str, DecimalMark] = {"a": "comma", "b": "comma", "c": "point", "d": "point"}
    assert notation_notes(columns, marks, "like the other columns") == [
        "2 columns with a decimal comma, so '-1.234,5' is -1234.5: a, b",
        "1 column with a decimal point (like the other columns; ambiguous), so '1,234' is 1234: d",
    ]
