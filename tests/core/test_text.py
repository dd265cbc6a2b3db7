"""genrelab/core/text.py: counts and lists of names, on one line."""

from __future__ import annotations

from genrelab.core.text import count, some


def test_some_names_the_first_and_counts_the_rest() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some(list("abcdefg"), most=2) == "a, b and 5 more"
    assert some({"new\nline": 1}) == "new\\nline"
    assert some([]) == ""


def test_count_knows_one_from_many() -> None:
    assert [count(n, "row") for n in (0, 1, 7_197)] == ["0 rows", "1 row", "7,197 rows"]
    assert count(["a"], "file") == "1 file"
