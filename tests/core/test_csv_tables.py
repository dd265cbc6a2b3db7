"""genrelab/core/csv_tables.py: what a file holds is read as it stands, or refused by name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
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
def test_windows_1252_is_detected_wherever_it_begins(tmp_path: Path, at: int) -> None:
    rows = b"1\n" * (at // 2)
    table = open_table(put(tmp_path, b"x\n" + rows + b"\x80\x93\xe9\n"))
    (note,) = table.notes
    assert note.startswith(f"the table is not UTF-8 (line {at // 2 + 2:,}) and was read as Windows-1252")
    assert table.read(["x"])["x"].iloc[-1] == "€“é"


def test_utf_8_character_across_blocks_is_read(tmp_path: Path) -> None:
    table = open_table(put(tmp_path, b"x\n" + b"1\n" * ((1 << 19) - 2) + b"1" + "é\n".encode()))
    assert table.notes == ()
    assert table.read(["x"])["x"].iloc[-1] == "1é"


def test_ragged_rows_name_their_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="line 5 does not match the header"):
        open_table(put(tmp_path, b'a,b\n"1\n\n",2\n3\n'))


def test_cut_utf_8_is_read_as_windows_1252_and_bad_utf_16_is_refused(tmp_path: Path) -> None:
    assert open_table(put(tmp_path, b"x\n1\n\xc3")).notes  # half a character at the end
    with pytest.raises(DatasetError, match="is not utf-16"):
        open_table(put(tmp_path, b"\xff\xfex\x00\n\x00\x00"))


ROWS = "track_id;genre;x\n1;Forró;0,5\n2;Pop;1,5\n"


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\n" + ROWS,
        "SEP=;\r\n" + ROWS.replace("\n", "\r\n"),
        '"sep=;"\n' + ROWS,
        ROWS.replace("\n", "\r"),
        "\r" + ROWS.replace("\n", "\r") + "\r\r",
        "\n\n" + ROWS + "\n  \n",
        ROWS.replace(";x", ";x;"),
        ROWS.replace("x\n", " x \n"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_dialects_hold_the_same_table(tmp_path: Path, content: str, encoding: str) -> None:
    table = open_table(put(tmp_path, content.encode(encoding)))
    assert (table.columns, table.delimiter) == (("track_id", "genre", "x"), ";")
    frame = table.read(["track_id", "genre", "x"])
    assert frame.to_numpy().tolist() == [["1", "Forró", "0,5"], ["2", "Pop", "1,5"]]


def test_rows_that_end_with_a_delimiter_have_one_more_column_without_a_name(tmp_path: Path) -> None:
    table = open_table(put(tmp_path, b"a,b\n1,2,\n3,4,\n"))
    assert table.columns == ("a", "b", "unnamed: 2")
    assert table.read([])["b"].tolist() == [2, 4]
    with pytest.raises(DatasetError, match="line 2 does not match"):  # here something would be lost
        open_table(put(tmp_path, b"a,b\n1,2,\n3,4,5\n"))


def test_blank_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    table = open_table(put(tmp_path, b"a,b\n1,2\n,\n3,4\n , \n,\n"))
    assert table.notes == ("3 blank rows left out",)
    assert table.read(["a"])["a"].tolist() == ["1", "3"]


@pytest.mark.parametrize("title", ["My features", "My features;;", "My, features", "Exported\n2020"])
def test_title_above_the_header_is_named(tmp_path: Path, title: str) -> None:
    with pytest.raises(DatasetError, match=r"first line \((My|Exported).* is not the header of the 3|does not match"):
        open_table(put(tmp_path, f"{title}\n{ROWS}".encode()))


def test_delimiter_is_the_one_that_fits_all_rows(tmp_path: Path) -> None:
    table = open_table(put(tmp_path, b"genre;tempo,bpm\nrock;1\npop;2\n"))
    assert table.columns == ("genre", "tempo,bpm")


def test_parquet_keeps_long_integers_and_reads_bytes_as_text(tmp_path: Path) -> None:
    columns = {
        "i": pa.array([2**53 + 1, None, 2**53]),
        "b": pa.array([b"pop", "é".encode(), None]),
        "x": [None, 1.0, 2.0],
    }
    columns |= {"raw": pa.array([b"\xff", b"a", b"b"]), "list": [["a", "b"], [], None]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    frame = open_table(tmp_path / "t.parquet").read([])
    assert cell_texts(frame["i"]) == ["9007199254740993", None, "9007199254740992"]
    assert cell_texts(frame["b"]) == ["pop", "é", None]
    assert cell_texts(frame["list"]) == ["a; b", None, None]
    assert frame["raw"].tolist() == [b"\xff", b"a", b"b"]


def test_blank_rows_of_parquet_are_counted(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1.0, None, 2.0], "b": ["x", None, None]}).to_parquet(tmp_path / "t.parquet")
    table = open_table(tmp_path / "t.parquet")
    assert table.notes == ("1 blank row left out",)
    assert table.read([])["a"].tolist() == [1, 2]


def test_cell_texts_are_normalised_for_each_type() -> None:
    assert cell_texts(pd.Series(["a ", "", None, "nan", "2.0", "-3.00", "1.5", "v1.0"])) == [
        "a", None, None, None, "2", "-3", "1.5", "v1.0",
    ]  # fmt: skip
    assert cell_texts(pd.Series([1.0, float("nan"), 2.5])) == ["1", None, "2.5"]
    assert cell_texts(pd.Series([1, 2])) == ["1", "2"]
    assert cell_texts(pd.Series(["x", None], dtype="category")) == ["x", None]
    assert cell_texts(pd.Series([1, None], dtype="Int64")) == ["1", None]
