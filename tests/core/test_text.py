"""genrelab/core/text.py: counts and lists of names, on one line."""

from __future__ import annotations

from genrelab.core.text import format_duration, join_all, join_first, pluralize


def test_some_names_the_first_and_counts_the_rest() -> None:
    assert join_first(["a", "b"]) == "a, b"
    assert join_first(list("abcdefg"), most=2) == "a, b and 5 more"
    assert join_first({"new\nline": 1}) == "new\\nline"
    assert join_first([]) == ""


def test_count_uses_singular_and_plural() -> None:
    assert [pluralize(n, "row") for n in (0, 1, 7_197)] == ["0 rows", "1 row", "7,197 rows"]
    assert pluralize(["a"], "file") == "1 file"


def test_durations_are_formatted_with_the_unit_that_suits_them() -> None:
    found = [format_duration(s) for s in (0.02, 5.04, 80, 700, 90_000)]
    assert found == ["20 ms", "5.0 s", "80 s", "12 min", "25.0 h"]


def test_names_are_joined_with_commas_and_and() -> None:
    assert [join_all(list(names)) for names in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
