"""genrelab/core/csv_tables.py: what a file holds is read as it stands, or refused by name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from genrelab.core.csv_tables import cell_texts, open_table
from genrelab.core.errors import DatasetError


def put(folder: Path, content: bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_texts_stay_texts_and_numbers_become_numbers(tmp_path: Path) -> None:
    table = open_table(put(tmp_path, b' id , x,name\n"007",1.5,NA\n8,NA,None\n\n9,,\n'))
    assert table.columns == ("id", "x", "name")
    assert table.notes == ()
    frame = table.read(["id", "name"])
    assert frame["id"].tolist() == ["007", "8", "9"]
    assert frame["name"].tolist() == ["NA", "None", ""]
    assert frame["x"].isna().tolist() == [False, True, True]
    assert frame["x"].dtype == float


def test_column_without_a_name_gets_one(tmp_path: Path) -> None:
    table = open_table(put(tmp_path, b",x,\n0,1,2\n"))
    assert table.columns == ("unnamed: 0", "x", "unnamed: 2")
    assert table.read([]).iloc[0].tolist() == [0, 1, 2]


def test_separators_inside_quotes_do_not_count(tmp_path: Path) -> None:
    table = open_table(put(tmp_path, b'"a,b,c";d\n1;2\n'))
    assert table.columns == ("a,b,c", "d")


@pytest.mark.parametrize("at", [0, 1 << 20])
def test_latin_1_is_detected_wherever_it_begins(tmp_path: Path, at: int) -> None:
    rows = b"1\n" * (at // 2)
    table = open_table(put(tmp_path, b"x\n" + rows + b"\xe9\n"))
    assert table.notes == ("the table is not UTF-8 and was read as Latin-1",)
    assert table.read(["x"])["x"].iloc[-1] == "é"


def test_utf_8_character_across_blocks_is_read(tmp_path: Path) -> None:
    table = open_table(put(tmp_path, b"x\n" + b"1\n" * ((1 << 19) - 2) + b"1" + "é\n".encode()))
    assert table.notes == ()
    assert table.read(["x"])["x"].iloc[-1] == "1é"


def test_ragged_rows_name_their_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="line 5 does not fit the header"):
        open_table(put(tmp_path, b'a,b\n"1\n\n",2\n3\n'))


def test_cut_utf_8_is_read_as_latin_1_and_bad_utf_16_is_refused(tmp_path: Path) -> None:
    assert open_table(put(tmp_path, b"x\n1\n\xc3")).notes  # half a character at the end: Latin-1
    with pytest.raises(DatasetError, match="is no CSV that can be read"):
        open_table(put(tmp_path, b"\xff\xfex\x00\n\x00\x00"))


def test_cell_texts_are_normalised_for_each_type() -> None:
    assert cell_texts(pd.Series(["a ", "", None, "nan", "2.0", "-3.00", "1.5", "v1.0"])) == [
        "a", None, None, None, "2", "-3", "1.5", "v1.0",
    ]  # fmt: skip
    assert cell_texts(pd.Series([1.0, float("nan"), 2.5])) == ["1", None, "2.5"]
    assert cell_texts(pd.Series([1, 2])) == ["1", "2"]
    assert cell_texts(pd.Series(["x", None], dtype="category")) == ["x", None]
    assert cell_texts(pd.Series([1, None], dtype="Int64")) == ["1", None]
