"""Pieces of one recording are told by patterns that plain numbering of songs does not have."""

from __future__ import annotations

import pytest

from genrelab.identity.recordings import find_recordings


def recordings(*names: str, genres: list[str | None] | None = None) -> list[set[str]]:
    """The names of each recording that has several pieces."""
    found = find_recordings(names, genres or [name.split("/")[0] for name in names])
    keys = {key for key in found.of if key is not None}
    return [{name for name, key in zip(names, found.of, strict=True) if key == one} for one in sorted(keys)]


@pytest.mark.parametrize(
    "pieces",
    [
        ("rock/blues.00000.0.wav", "rock/blues.00000.1.wav", "rock/blues.00000.9.wav"),
        ("rock/love_01.mp3", "rock/love_02.mp3"),
        ("rock/love (part 1).mp3", "rock/love (Part 2).mp3"),
        ("rock/love Pt. I.mp3", "rock/love Pt. II.mp3", "rock/love pt. iv.mp3"),
        ("rock/love part a.mp3", "rock/love part b.mp3"),
        ("rock/love - Teil 3.mp3", "rock/love - Teil 4.mp3"),
        ("rock/love-3s-7.wav", "rock/love-3s-2.wav"),
        ("rock/love_0-30.wav", "rock/love_30-60.wav", "rock/love_90-120.wav"),
        ("rock/love_0.0s-3.0s.wav", "rock/love_1.5s-4.5s.wav"),
        ("rock/love@0s.wav", "rock/love@15s.wav", "rock/love@45s.wav"),
        ("rock/love/0.wav", "rock/love/1.wav", "rock/love/2.wav"),
        ("rock/love/part_3.wav", "rock/love/part_1.wav", "rock/love/part_2.wav"),
        ("rock/0_love.wav", "rock/1_love.wav"),
        ("rock/track_12_0.wav", "rock/track_12_1.wav"),
        ("rock\\love_01.mp3", "rock\\love_02.mp3"),
        ("rock/love_0.png", "rock/love_1.png"),
    ],
)
def test_pieces_beside_other_songs_are_one_recording(pieces: tuple[str, ...]) -> None:
    others = ("rock/hate.mp3", "rock/fear and joy.mp3")
    genres: list[str | None] = ["rock"] * (len(pieces) + 2)
    assert recordings(*pieces, *others, genres=genres) == [set(pieces)]
    assert recordings(*others, *pieces[::-1], genres=genres) == [set(pieces)]


@pytest.mark.parametrize(
    "songs",
    [
        ("rock/rock_01.mp3", "rock/rock_02.mp3", "rock/rock_03.mp3"),
        ("rock/rock.00000.wav", "rock/rock.00001.wav"),
        ("rock/1.mp3", "rock/2.mp3", "rock/3.mp3"),
        ("rock/000002.mp3", "rock/000005.mp3"),
        ("rock/Track 01.mp3", "rock/Track 02.mp3"),
        ("rock/song1.mp3", "rock/song2.mp3"),
        ("rock/clip_001.wav", "rock/clip_002.wav"),
        ("rock/Abbey Road Track 1.mp3", "rock/Abbey Road Track 2.mp3"),
        ("rock/Symphony No. 1.mp3", "rock/Symphony No. 2.mp3"),
        ("rock/Mass Op. 1.mp3", "rock/Mass Op. 2.mp3"),
        ("rock/Hits 70s.mp3", "rock/Hits 80s.mp3"),
        ("rock/Live 1999.mp3", "rock/Live 2000.mp3"),
        ("rock/gig 2020-01-01.mp3", "rock/gig 2020-01-02.mp3"),
        ("rock/01 - Love.mp3", "rock/02 - Hate.mp3"),
        ("rock/1-01.mp3", "rock/1-02.mp3"),
        ("rock/CD 1 - 01.mp3", "rock/CD 1 - 02.mp3"),
        ("rock/love.mp3", "rock/love.wav"),
        ("rock/love_7.mp3", "rock/love_99.mp3"),
        ("rock/Part 1.mp3", "rock/Part 2.mp3"),
    ],
)
def test_numbered_songs_are_no_pieces(songs: tuple[str, ...]) -> None:
    found = find_recordings([*songs, "rock/hate.mp3"], ["rock"] * (len(songs) + 1))
    assert set(found.of) == {None} and found.notes == ()


def test_a_stem_that_several_genres_have_is_plain_numbering() -> None:
    assert recordings(*(f"{g}/loop_{k}.wav" for g in ("rock", "jazz") for k in range(4)), "rock/a", "jazz/b") == []
    assert len(recordings(*(f"{g}/{g}x_{k}.wav" for g in ("rock", "jazz") for k in range(4)), "rock/a", "jazz/b")) == 2


def test_unclear_numbers_are_noted() -> None:
    found = find_recordings([f"love_{k}" for k in range(5)] + ["hate"], ["rock"] * 5 + ["jazz"])
    assert set(found.of) == {None}
    (note,) = found.notes
    assert note.startswith(
        "5 tracks may be pieces of recordings (judging by the numbers in their names), but are not kept together: "
        "love_0"
    )
    assert "--group-column" in note


def test_a_long_run_that_is_most_of_its_genre_may_be_numbered_songs() -> None:
    songs = [f"rock/loop{'abc'[k % 3]}.mp3" for k in range(3)]
    assert len(recordings(*(f"rock/love_{k}.mp3" for k in range(20)), *songs)) == 1
    found = find_recordings([*(f"rock/love_{k}.mp3" for k in range(21)), *songs], ["rock"] * 24)
    assert set(found.of) == {None} and "--group-column" in found.notes[0]
    two = [f"rock/{song}_{k}.mp3" for song in ("love", "hate") for k in range(21)]
    assert len(recordings(*two, *songs)) == 2, "two runs of one genre are two recordings"


def test_missing_pieces_do_not_hide_recordings_where_many_are_numbered_alike() -> None:
    names = [f"rock/{song}_{k}.wav" for song, ks in (("abba", (0, 4)), ("beck", (1, 3)), ("cher", (2, 3))) for k in ks]
    assert len(recordings(*names, "rock/other.wav")) == 3


def test_what_is_stated_wins_over_names() -> None:
    names = ["rock/love_1.mp3", "rock/love_2.mp3", "rock/hate.mp3", "rock/fear.mp3"]
    found = find_recordings(names, ["rock"] * 4, ["a", "b", "a", None])
    assert found.of == ("a", "b", "a", None)
    assert found.notes == ()


def test_names_are_counted_in_recordings() -> None:
    names = [f"rock/{song}.0000{i}.{k}.wav" for song in ("a", "b") for i in range(3) for k in range(10)] + [
        "rock/x.wav"
    ]
    found = find_recordings(names, ["rock"] * len(names))
    assert found.notes[0].startswith("60 tracks are pieces of 6 recordings (judging by their names), and ")
    assert "stay in one set: rock/a.00000.0.wav, " in found.notes[0]


@pytest.mark.parametrize("name", ["", "/", ".", "..", "\0", "a" * 5_000, "7", "part", "(", "١٢_٣", "x_①"])
def test_odd_names_are_by_themselves(name: str) -> None:
    assert find_recordings([name, "b"], [None, None]).of == (None, None)


def test_what_several_artists_have_numbered_alike_is_no_recording() -> None:
    names = ["rock/hh_1.mp3", "rock/hh_2.mp3", "rock/hh_3.mp3", "rock/other.mp3"]
    assert len(set(find_recordings(names, ["rock"] * 4).of)) == 2
    of_two = find_recordings(names, ["rock"] * 4, artists=["Ann", "Bob", None, "Cy"])
    assert set(of_two.of) == {None}
    assert len(set(find_recordings(names, ["rock"] * 4, artists=["Ann", "Ann", None, "Cy"]).of)) == 2
    words = ["rock/love part 1.mp3", "rock/love part 2.mp3", "rock/x.mp3"]
    assert len(set(find_recordings(words, ["rock"] * 3, artists=["Ann", "Bob", None]).of)) == 2, "its name says it"


def test_numbers_alone_are_no_proof_and_the_note_says_so() -> None:
    found = find_recordings(["rock/love_01.mp3", "rock/love_02.mp3", "rock/x.mp3"], ["rock"] * 3)
    assert found.of == ("perhaps rock/love_01.mp3", "perhaps rock/love_01.mp3", None)
    assert found.notes[0].startswith(
        "2 tracks may be pieces of 1 recording (judging by the numbers in their names), and "
    )
    assert "stay in one set: rock/love_01.mp3, " in found.notes[0]


def test_a_piece_in_two_forms_does_not_hide_the_others() -> None:
    names = [f"rock/love_part{k}.wav" for k in range(1, 9)] + ["rock/love_part3.mp3", "rock/x.wav"]
    assert recordings(*names) == [set(names[:-1])]


def test_pieces_in_folders_of_a_split_and_under_two_genres_are_one_recording() -> None:
    names = ["train/rock/love_part1.wav", "test/rock/love_part2.wav", "fold3/pop/love_part3.wav"]
    assert len(set(find_recordings(names, ["rock", "rock", "rock"]).of)) == 2, "pop is a folder of another kind"
    assert len(set(find_recordings(names[:2], ["rock", "pop"]).of)) == 1


@pytest.mark.parametrize("blank", [" ", "-", "_", ".", "(", "a1"])
def test_long_names_take_no_time(blank: str, no_waiting: None) -> None:
    name = blank * 5_000
    assert find_recordings([name, f"{name}1", f"{name}2"], ["rock"] * 3).of == (None, None, None)
