"""genrelab/core/encodings.py: the encoding of a text by its bytes, a guess only where there is no other way."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrelab.core.encodings import detect_encoding
from genrelab.core.errors import DatasetError


def put(folder: Path, content: bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("text", ["genre,x\nrock,1\n", "genre,x\nFolk – «été»,1\n", "genre\tx\n音楽\t1\n"])
@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
    ],
)
def test_encoding_of_unicode_is_certain(tmp_path: Path, text: str, encoding: str, found: str) -> None:
    assert detect_encoding(put(tmp_path, text.encode(encoding))) == (found, None)


@pytest.mark.parametrize(("content", "name"), [(b"caf\xe9 \x80", "Windows-1252"), (b"caf\xe9 \x81", "Latin-1")])
def test_other_bytes_are_a_guess_that_is_said(tmp_path: Path, content: bytes, name: str) -> None:
    encoding, note = detect_encoding(put(tmp_path, b"genre\n" + content))
    assert note == f"the table is not UTF-8 (line 2) and was read as {name}: if letters look wrong, save it as UTF-8"
    assert content.decode(encoding).startswith("café")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"genre\nro\0ck\n", "line 2 contains a NUL byte"),
        ("genre\nro\0ck\n".encode("utf-16"), "line 2 contains a NUL byte"),
        (b"genre\n\xe9\0ck\n", "contains NUL bytes"),
        (b"\xef\xbb\xbfgenre\n\xe9\n", "line 2 is not utf-8-sig"),
        ("genre\nrock\n".encode("utf-16")[:-1], "line 2 is not utf-16"),
        ("genre\nété\nForró\n".encode() + b"\xe9\n", "line 4 is not UTF-8, but other lines are"),
    ],
)
def test_what_is_no_text_is_refused_by_its_line(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        detect_encoding(put(tmp_path, content))


def test_nul_byte_behind_the_first_block(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="line 600,001 contains a NUL byte"):
        detect_encoding(put(tmp_path, b"1\n" * 600_000 + b"\0"))
