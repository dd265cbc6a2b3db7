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
    names = [*USUAL_NAMES, "♥", "???", "C", "C#", "हिन्दी", "हिन्द", "Dark Polka", "Polka"]
    doubled = {name: n for name, n in Counter(map(spelling_key, names)).items() if n > 1}
    assert doubled == {spelling_key("C"): 2}, "punctuation does not count beside letters"


def test_no_spelling_is_listed_twice_or_needlessly() -> None:
    keys = Counter(spelling_key(usual) for usual in USUAL_NAMES)
    assert max(keys.values()) == 1
    spellings = [spelling for others in USUAL_NAMES.values() for spelling in others]
    assert len(spellings) == len(set(spellings))
    assert not set(spellings) & {usual.casefold() for usual in USUAL_NAMES}
    for usual, others in USUAL_NAMES.items():
        assert {usual_name(other) for other in others} <= {usual}
