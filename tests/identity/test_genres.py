"""Spellings of one genre are one class and that is said; texts that name no genre are none."""

from __future__ import annotations

import unicodedata

import pytest

from genrelab.identity.genre_names import spelling_key
from genrelab.identity.genres import is_no_genre, join_genres, separate_genres


@pytest.mark.parametrize(
    "spellings",
    [
        ("Hip-Hop", "hip-hop", "Hip Hop", "hiphop", "HIP_HOP", "Hip‐Hop "),
        ("Música", unicodedata.normalize("NFD", "Música"), "musica", " MÚSICA"),
        ("R&B", "r & b", "RnB", "R'n'B"),
        ("Drum & Bass", "Drum and Bass", "drum'n'bass", "DnB"),
        ("Dark Polka", "dark-polka", "DarkPolka", "dark\u00a0polka", "Dark  Polka"),
        ("Synth-Pop", "synthpop", "Synth\u200bPop"),
    ],
)
def test_spellings_of_one_genre_are_joined_under_the_most_frequent(spellings: tuple[str, ...]) -> None:
    labels = [*spellings, spellings[1].strip()]
    joined = join_genres(labels)
    assert len(set(joined.names)) == 1
    assert joined.names[0] is not None and spelling_key(joined.names[0]) == spelling_key(spellings[0])
    assert len(joined.notes) == 1 and joined.notes[0].startswith("genres joined: ")
    assert "--keep-spellings" in joined.notes[0]
    assert join_genres(labels, keep_spellings=True).names == tuple(labels)


def test_the_most_frequent_spelling_names_the_genre_and_of_equals_the_usual_one() -> None:
    assert set(join_genres(["hiphop", "hiphop", "Hip-Hop"]).names) == {"hiphop"}
    assert set(join_genres(["hiphop", "Hip-Hop", "hip hop"]).names) == {"Hip-Hop"}


def test_different_genres_stay_different_without_a_word() -> None:
    labels = ["Rock", "Pop", "Pop Rock", "Soul", "Soul-RnB", "Old-Time / Historic", "blues", "C", "民謡", "♥"]
    assert join_genres(labels) == join_genres(labels, keep_spellings=True)


@pytest.mark.parametrize(
    "text", ["(255)", "Unknown", "Other", "other", "Misc", "Miscellaneous", "", " ", "-", "???", "<Unknown>", "N/A",
             "none", "No Genre", "genre", "Unclassifiable", "Sonstige", "Autre", "(12)", "Unknown; Other"]
)  # fmt: skip
def test_texts_that_name_no_genre(text: str) -> None:
    joined = join_genres([text, "Rock"])
    assert joined.names == (None, "Rock")
    if text:
        assert any("treated as without a genre" in note for note in joined.notes)
    assert separate_genres([text]) == ()


@pytest.mark.parametrize("text", ["Rock", "♥", "Otherworldly", "Unknown Pleasures", "World", "民謡", "80s"])
def test_texts_that_name_one(text: str) -> None:
    assert not is_no_genre(text)
    assert join_genres([text]).names == (text,)


@pytest.mark.parametrize(
    ("text", "genres"),
    [
        ("Rock; Pop", ("Rock", "Pop")),
        ("Rock;rock ; Pop;", ("Rock", "Pop")),
        ("Rock\0Pop", ("Rock", "Pop")),
        ("Rock|Jazz", ("Rock", "Jazz")),
        ("Rock/Pop", ("Rock", "Pop")),
        ("Rock, Pop, Jazz", ("Rock", "Pop", "Jazz")),
        ("Pop, Rock", ("Pop", "Rock")),  # although Pop Rock is usual
        ("Rock,Pop", ("Rock", "Pop")),
        ("Alternative, Rock/Pop", ("Alternative", "Rock", "Pop")),
        ("Soul/R&B, Pop", ("Soul/R&B", "Pop")),
        ("Soul/R&B", ("Soul/R&B",)),
        ("1,5", ("1,5",)),
        ("Hip-Hop/Rap", ("Hip-Hop/Rap",)),
        ("Old-Time / Historic", ("Old-Time / Historic",)),
        ("Folk, World, & Country", ("Folk, World, & Country",)),
        ("Rock; Other", ("Rock",)),
        ("(17)", ("Rock",)),
        ("(17)(8)", ("Rock", "Jazz")),
        ("(17)Rock", ("Rock",)),
        ("(4)Eurodisco", ("Disco", "Eurodisco")),
    ],
)
def test_several_genres_in_one_text(text: str, genres: tuple[str, ...]) -> None:
    assert separate_genres([text]) == genres
    assert join_genres([text]).names == (genres[0],)


def test_parts_are_genres_also_where_the_collection_has_them_by_themselves() -> None:
    assert join_genres(["Polka, Zydeco", "Polka", "zydeco"]).names == ("Polka", "Polka", "zydeco")
    assert join_genres(["Polka, Zydeco", "Polka"]).names == ("Polka, Zydeco", "Polka")


@pytest.mark.parametrize(
    "labels", [("-1", "1"), ("1.5", "15"), ("C#", "C"), ("255", "0"), ("3/4", "3", "4"), ("A+", "A")]
)
def test_numbers_and_signs_stay_several_genres_without_a_word(labels: tuple[str, ...]) -> None:
    assert join_genres(labels) == join_genres(labels, keep_spellings=True)


def test_one_of_several_genres_is_no_other_spelling() -> None:
    found = join_genres(["Rock/Pop", "Rock"])
    assert found.notes == ("1 track with several genres, such as Rock and Pop: the first one is used",)


def test_of_several_genres_the_first_counts_and_that_is_said() -> None:
    found = join_genres(["Rock; Pop", "Jazz", "Jazz; Blues"])
    assert found.names == ("Rock", "Jazz", "Jazz")
    assert found.notes == ("2 tracks with several genres, such as Rock and Pop: the first one is used",)


def test_tracks_without_a_label_stay_so_without_a_word() -> None:
    found = join_genres([None, "Rock", None])
    assert found.names == (None, "Rock", None) and found.notes == ()
