"""Spellings of one genre are known as one, and get the usual name; unknown names stay as they are."""

from __future__ import annotations

from collections import Counter

import pytest

from genrelab.identity.genre_names import USUAL_NAMES, spelling_key, usual_name


@pytest.mark.parametrize(
    ("usual", "spellings"),
    [
        ("Hip-Hop", ("hiphop", "Hip Hop", "hip-hop", "HIP_HOP", "Hip Hop music", "ｈｉｐｈｏｐ")),
        ("R&B", ("r&b", "RnB", "R and B", "R'n'B", "Rhythm & Blues")),
        ("Drum and Bass", ("drum & bass", "DnB", "Drum 'n' Bass", "D&B")),
        ("Old-Time / Historic", ("Old-Time/Historic", "old time - historic")),
        ("Soul-RnB", ("Soul/R&B", "R&B/Soul")),
        ("Blues", ("blues", "BLUES")),
    ],
)
def test_spellings_of_one_genre_get_its_usual_name_and_share_a_key(usual: str, spellings: tuple[str, ...]) -> None:
    assert {usual_name(spelling) for spelling in (usual, *spellings)} == {usual}
    assert len({spelling_key(spelling) for spelling in (usual, *spellings)}) == 1


@pytest.mark.parametrize("genre", ["Dark Polka", "", "♥", "民謡", "हिन्दी", "unknown", "Android"])
def test_unknown_names_stay_as_they_are(genre: str) -> None:
    assert usual_name(genre) == genre
    assert spelling_key(genre) == spelling_key(genre.upper())


def test_different_genres_have_different_keys() -> None:
    names = [*USUAL_NAMES, "♥", "???", "हिन्दी", "हिन्द", "Dark Polka", "Polka"]
    assert max(Counter(map(spelling_key, names)).values()) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("-1", "1", "0", "10", "100", "1.5", "15", "1-5", "1 5", "1/5", "1:5"),
        ("9" * 40 + "1", "9" * 40 + "2", "0.0000000001", "0.000000001"),
        ("C", "C#", "C++", "C+", "C-", "C♭", "Cm", "C#m"),
        ("A+", "A", "A-", "+A", "-A"),
        ("2020-21", "202021", "2020", "20s"),
    ],
)
def test_numbers_and_signs_tell_names_apart(names: tuple[str, ...]) -> None:
    assert len(set(map(spelling_key, names))) == len(names)


@pytest.mark.parametrize(
    "names",
    [
        ("1", "01", "1.0", "+1", "１", " 1 "),
        ("-1", "−1", "-1.0", "- 1", "–1"),
        ("1.5", "1,5", "1.50", "01.5"),
        ("0", "-0", "00", "0.0"),
        ("C#", "C♯", "c #"),
        ("8-bit", "8 bit", "8bit"),
        ("Rock", "Rock!", "Rock -", "- Rock", "(Rock)", "Rock."),
        ("2020-21", "2020 - 21", "2020‐21"),
    ],
)
def test_spellings_of_one_number_or_sign_share_a_key(names: tuple[str, ...]) -> None:
    assert len(set(map(spelling_key, names))) == 1


def test_no_spelling_is_listed_twice_or_needlessly() -> None:
    keys = Counter(spelling_key(usual) for usual in USUAL_NAMES)
    assert max(keys.values()) == 1
    spellings = [spelling for others in USUAL_NAMES.values() for spelling in others]
    assert len(spellings) == len(set(spellings))
    assert not set(spellings) & {usual.casefold() for usual in USUAL_NAMES}
    for usual, others in USUAL_NAMES.items():
        assert {usual_name(other) for other in others} <= {usual}
