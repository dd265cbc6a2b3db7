"""A person's own names for genres; what isn't clear in the file is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrelab.core.errors import SettingsError
from genrelab.identity.genre_map import GenreMap, read_genre_map
from genrelab.identity.genre_names import usual_name


def read(tmp_path: Path, content: str | bytes) -> GenreMap:
    path = tmp_path / "map.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_genre_map(path)


def test_names_come_in_order_without_duplicates(tmp_path: Path) -> None:
    text = 'from,to\n HipHop ,Rap\nmetal,Rock\nmetal,Metal\nDisco,\n"rock, hard",Rock\n\nmetal,Rock\n'
    found = read(tmp_path, text)
    assert found(["metal", "hiphop", "disco", "Rock, Hard", "jazz"]) == ["Rock", "Metal", "Rap", "jazz"]
    assert found(["disco"]) == []
    assert found(["jazz", "METAL"], otherwise=usual_name) == ["Jazz", "Rock", "Metal"]


def test_other_spellings_of_a_genre_are_found_where_no_row_has_its_own(tmp_path: Path) -> None:
    found = read(tmp_path, "from,to\nhiphop,Rap\nhip-hop,Black Music\n")
    assert (found(["Hip Hop"]), found(["HIP-HOP"])) == (["Rap"], ["Black Music"])


def test_rows_for_no_genre_of_the_model_are_known(tmp_path: Path) -> None:
    assert read(tmp_path, "from,to\nHip-Hop,Rap\nrokc,Rock\n").unused(["hiphop", "rock"]) == ["rokc"]


@pytest.mark.parametrize(
    "content", ["\ufefffrom,to\r\nrock,Rock\r\n", "From, To\nrock,Rock", "from,to\nROCK , Rock \n"]
)
def test_bom_capitals_spaces_and_line_ends_do_not_matter(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, content)(["rock"]) == ["Rock"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"map.csv, line 1: must be the header `from,to`"),
        ("from;to\na;b\n", r"line 1: must be the header `from,to`. Received: from;to"),
        ("rock,Rock\n", r"line 1: must be the header `from,to`"),
        (b"from,to\nrock,Rock\nfolk,\xe9\n", r"line 3: is not UTF-8: save the file as UTF-8"),
        ("from,to\nrock\n", r"line 2: has one column and needs two"),
        ("from,to\nrock,a,b\n", r"line 2: has 3 columns and needs two"),
        ("from,to\n ,Rock\n", r"line 2: has no genre before the comma"),
        ("from,to\nrock,\nRock,Rock\n", r"line 3: contradicts an earlier line: only one of them leaves out Rock"),
        ("from,to\nrock,Rock\nRock,\n", r"line 3: contradicts an earlier line"),
        ("from,to\nrock,a\x07b\n", r"line 2: has a name that is too long or contains control characters"),
        ("from,to\nrock," + "a" * 1_001 + "\n", r"line 2: has a name .* too long"),
        ('from,to\nrock,"Rock\nfolk,Folk\n', r"line 3: is not valid CSV.*quote"),
    ],
)
def test_file_that_is_not_clear_is_refused_with_the_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read(tmp_path, content)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.csv: no such file: give a CSV with the header from,to"):
        read_genre_map(tmp_path / "none.csv")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_genre_map(tmp_path)


def test_dropping_a_genre_twice_is_no_contradiction(tmp_path: Path) -> None:
    assert read(tmp_path, "from,to\nrock,\nRock,\n")(["rock"]) == []
