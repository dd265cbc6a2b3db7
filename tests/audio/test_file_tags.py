"""All tags of a file are read, every value of a field, whatever the container; damage is reported and never raised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest
from mutagen import id3
from mutagen.mp4 import MP4FreeForm

from genrelab.audio.file_tags import FileTags, read_file_tags
from genrelab.identity.artists import Credit
from tests.support.containers import MADE, id3v1, make, tag_richly
from tests.support.raw_tags import LYRICS3, ape, chunk, id3v2, text, with_chunks

ID_A, ID_B = "5b11f4ce-a62d-471e-81fc-a69a8278c7da", "b10bbbfc-cf9e-42e0-be17-e2c3e1d2600d"
AUDIO = b"\xff\xfb\x90\x64" + bytes(413)


def read(tmp_path: Path, content: bytes, name: str = "a.mp3") -> FileTags:
    (tmp_path / name).write_bytes(content)
    return read_file_tags(tmp_path / name)


# --- every container ---


def fill(path: Path) -> None:
    """Two artists with their names and ids, the album's artist, a compilation, two genres; in the format's own keys."""
    audio = mutagen.File(path)
    if audio.tags is None:
        audio.add_tags()
    name = type(audio).__name__
    if isinstance(audio.tags, id3.ID3):
        frames = {"TPE1": ["A feat. B"], "TPE2": ["Hosts"], "TIT2": ["Lied"], "TALB": ["Album"], "TCMP": ["1"]}
        for key, values in (frames | {"TCON": ["Rock", "(8)"]}).items():
            audio.tags.add(getattr(id3, key)(encoding=3, text=values))
        further = {"Artists": ["A", "B"], "MusicBrainz Artist Id": [ID_A, ID_B], "MusicBrainz Album Artist Id": [ID_B]}
        for desc, values in further.items():
            audio.tags.add(id3.TXXX(encoding=3, desc=desc, text=values))
    elif name == "MP4":
        audio.tags.update({"©ART": ["A feat. B"], "aART": ["Hosts"], "cpil": True, "©gen": ["Rock", "Jazz"]})
        audio.tags.update({"©nam": ["Lied"], "©alb": ["Album"]})
        further = {"ARTISTS": ["A", "B"], "MusicBrainz Artist Id": [ID_A, ID_B], "MusicBrainz Album Artist Id": [ID_B]}
        for key, values in further.items():
            audio.tags[f"----:com.apple.iTunes:{key}"] = [MP4FreeForm(value.encode()) for value in values]
    elif name == "ASF":
        audio.tags.update({"Author": ["A feat. B"], "WM/AlbumArtist": ["Hosts"], "WM/IsCompilation": ["1"]})
        audio.tags.update({"WM/ARTISTS": ["A", "B"], "MusicBrainz/Artist Id": [ID_A, ID_B], "Title": ["Lied"]})
        audio.tags.update({"MusicBrainz/Album Artist Id": [ID_B], "WM/AlbumTitle": ["Album"]})
        audio.tags["WM/Genre"] = ["Rock", "Jazz"]
    else:
        plain = {"ARTIST": ["A feat. B"], "ARTISTS": ["A", "B"], "GENRE": ["Rock", "Jazz"], "TITLE": ["Lied"]}
        plain |= {"ALBUM": ["Album"], "COMPILATION": ["1"]}
        plain["ALBUM ARTIST" if name == "WavPack" else "ALBUMARTIST"] = ["Hosts"]
        plain |= {"MUSICBRAINZ_ARTISTID": [ID_A, ID_B], "MUSICBRAINZ_ALBUMARTISTID": [ID_B]}
        for key, values in plain.items():
            audio.tags[key] = values
    audio.save()


@pytest.mark.parametrize("container", MADE)
def test_every_field_of_every_container_is_read(tmp_path: Path, container: str) -> None:
    path = make(tmp_path, container, seconds=0.5)
    assert read_file_tags(path) == FileTags()
    fill(path)
    expected = Credit(("A feat. B", "A", "B"), (ID_A, ID_B), ("Hosts",), (ID_B,), compilation=True)
    assert read_file_tags(path) == FileTags(expected, ("A feat. B",), "Lied", "Album", ("Rock", "Jazz"))


@pytest.mark.parametrize("container", MADE)
def test_several_values_of_the_artist_are_several_names(tmp_path: Path, container: str) -> None:
    path = make(tmp_path, container, seconds=0.5)
    tag_richly(path)
    found = read_file_tags(path)
    assert (found.artist, found.credit.names, found.title) == (("Ä", "B"), ("Ä", "B"), "Lied")
    assert found.readable and not found.credit.compilation and found.genres == ()


@pytest.mark.parametrize(
    ("key", "value", "is_one"),
    [
        ("COMPILATION", "1", True),
        ("compilation", "true", True),
        ("COMPILATION", "0", False),
        ("COMPILATION", "", False),
    ],
)
def test_flag_of_a_compilation_is_read_as_it_is_written(tmp_path: Path, key: str, value: str, is_one: bool) -> None:
    for container in ("flac", "wavpack", "ogg"):
        path = make(tmp_path, container, seconds=0.2)
        audio = mutagen.File(path)
        if audio.tags is None:
            audio.add_tags()
        audio[key] = [value]
        audio.save()
        assert read_file_tags(path).credit.compilation is is_one, container


def test_performers_count_where_no_artist_is_named(tmp_path: Path) -> None:
    path = make(tmp_path, "flac", seconds=0.2)
    audio = mutagen.File(path)
    audio["PERFORMER"] = ["X", "Y"]
    audio.save()
    assert read_file_tags(path).credit.names == ("X", "Y")
    audio["ALBUMARTIST"] = "Z"
    audio.save()
    assert read_file_tags(path).credit == Credit(album_names=("Z",))


@pytest.mark.parametrize("written", [f"{ID_A}/{ID_B}", f"{ID_A}; {ID_B}", f"{ID_A}\0{ID_B}", f"{ID_A.upper()} {ID_B}"])
def test_ids_in_one_text_are_several(tmp_path: Path, written: str) -> None:
    found = read(tmp_path, id3v2((b"TXXX", b"\0MusicBrainz Artist Id\0" + written.encode())) + AUDIO)
    assert found.credit.ids == (ID_A, ID_B)


# --- ID3 of every version, and its genres ---


@pytest.mark.parametrize(
    ("content", "genres"),
    [
        (b"\0(17)(8)", ("Rock", "Jazz")),
        (b"\0(17)", ("Rock",)),
        (b"\x0017", ("Rock",)),
        (b"\0(255)", ("Unknown",)),
        (b"\0(4)Eurodisco", ("Disco", "Eurodisco")),
        (b"\0Rock/Pop", ("Rock/Pop",)),
        (b"\0Rock\0Pop", ("Rock", "Pop")),
        (b"\1" + "Bläser".encode("utf-16"), ("Bläser",)),
        (b"\0Other", ("Other",)),
        (b"\0  ", ()),
    ],
)
@pytest.mark.parametrize("version", [2, 3, 4])
def test_genres_of_id3_are_names(tmp_path: Path, version: int, content: bytes, genres: tuple[str, ...]) -> None:
    tag = id3v2((b"TCO" if version == 2 else b"TCON", content), version=version)
    assert read(tmp_path, tag + AUDIO).genres == genres


def test_slash_in_an_artist_of_version_2_3_stays(tmp_path: Path) -> None:
    found = read(tmp_path, id3v2((b"TPE1", b"\0AC/DC"), (b"TCMP", b"\x001")) + AUDIO)
    assert found.credit == Credit(("AC/DC",), compilation=True)


# --- several tags in one file ---

ROCK, JAZZ = (b"TCON", text("Rock")), (b"TCON", text("Jazz"))
ANN, BOB = (b"TPE1", text("Ann")), (b"TPE1", text("Bob"))


@pytest.mark.parametrize(
    ("before", "behind", "genre", "artist"),
    [
        ([id3v2(ANN), id3v2(BOB, JAZZ, version=4)], [], "Jazz", "Ann"),
        ([id3v2(ANN, ROCK), id3v2(BOB, JAZZ, version=4)], [], "Rock", "Ann"),
        ([id3v2(), id3v2((b"TT2", text("x")), version=2), id3v2(BOB, JAZZ)], [], "Jazz", "Bob"),
        ([id3v2((b"TCON", b"\0(255)")), id3v2(JAZZ)], [], "Jazz", None),
        ([id3v2((b"TCON", b"\0Other")), id3v2(ANN)], [], "Other", "Ann"),
        ([id3v2(ANN, version=4, flags=0x10), id3v2(JAZZ)], [], "Jazz", "Ann"),
        ([id3v2(ANN, padding=300)], [id3v2(JAZZ, version=4, flags=0x10)], "Jazz", "Ann"),
        ([], [id3v2(JAZZ, BOB, version=4, flags=0x10)], "Jazz", "Bob"),
        ([], [id3v2(JAZZ, version=4, flags=0x10), id3v1(genre=17)], "Jazz", "B"),
        ([], [id3v2(JAZZ, version=4, flags=0x10), ape(Artist="Ann"), id3v1(genre=17)], "Jazz", "Ann"),
        ([], [ape(Genre="Jazz", Artist=["Ann"])], "Jazz", "Ann"),
        ([ape(Genre="Jazz", Artist="Ann")], [], "Jazz", "Ann"),
        ([id3v2(ANN), ape(Genre="Jazz")], [id3v1(genre=17)], "Jazz", "Ann"),
        ([], [ape(Genre="Jazz", Artist="Ann"), id3v1(genre=17)], "Jazz", "Ann"),
        ([], [ape(Genre="Jazz", Artist="Ann"), LYRICS3, id3v1(genre=17)], "Jazz", "Ann"),
        ([], [ape(Genre="Jazz"), b"LYRICSBEGINla laLYRICSEND", id3v1(genre=17)], "Jazz", "B"),
        ([], [ape(Title="x"), LYRICS3, b"TAG+" + bytes(223) + id3v1(genre=17)], "Rock", "B"),
        ([id3v2(ANN)], [id3v1(genre=8)], "Jazz", "Ann"),
        ([], [id3v1(genre=255)], None, "B"),
    ],
)
def test_first_tag_that_has_a_field_wins_and_none_is_lost(
    tmp_path: Path, before: list[bytes], behind: list[bytes], genre: str | None, artist: str | None
) -> None:
    found = read(tmp_path, b"".join([*before, AUDIO, *behind]))
    assert (next(iter(found.genres), None), next(iter(found.artist), None)) == (genre, artist)
    assert found.readable


def test_an_apev2_tag_of_131_bytes_is_not_taken_for_id3v1(tmp_path: Path) -> None:
    short = ape(Genre="Jazz")
    tag = ape(Genre="Jazz" + "z" * (131 - len(short)))
    assert len(tag) == 131 and read(tmp_path, AUDIO + tag).genres[0].startswith("Jazz")


@pytest.mark.parametrize("container", ["flac", "wavpack", "ogg", "opus", "m4a", "wma"])
def test_own_tag_of_a_container_comes_before_those_around_it(tmp_path: Path, container: str) -> None:
    path = make(tmp_path, container, seconds=0.2)
    bare = path.read_bytes()
    around = id3v2(JAZZ, ANN) + id3v2((b"TALB", text("Album")))
    found = read(tmp_path, around + bare + id3v1(genre=17), path.name)
    assert (found.genres, found.artist, found.album) == (("Jazz",), ("Ann",), "Album")
    path.write_bytes(bare)
    tag_richly(path, genres=("Folk",))
    found = read(tmp_path, around + path.read_bytes() + id3v1(genre=17), path.name)
    assert (found.genres, found.artist, found.album) == (("Folk",), ("Ä", "B"), "Album")
    assert found.readable


def test_chunks_of_a_wav_are_all_read(tmp_path: Path) -> None:
    bare = make(tmp_path, "wav", seconds=0.2).read_bytes()
    name = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"Lied\0") + chunk(b"IART", "Bjö\0".encode("cp1252")))
    rest = chunk(b"LIST", b"INFO" + chunk(b"IART", b"Else\0") + chunk(b"IGNR", b"Folk\0\0"))
    found = read(tmp_path, with_chunks(bare, chunk(b"LIST", b"adtl"), name, rest), "b.wav")
    assert (found.title, found.artist, found.genres) == ("Lied", ("Bjö", "Else"), ("Folk",))
    tags = chunk(b"id3 ", id3v2(ANN)), chunk(b"ID3 ", id3v2(BOB, JAZZ))
    found = read(tmp_path, with_chunks(bare, name, *tags), "b.wav")
    assert (found.title, found.artist, found.genres) == ("Lied", ("Ann",), ("Jazz",))
    longer = bytearray(with_chunks(bare, *tags))
    longer[4:8] = b"\xff\xff\xff\xff"  # a stream whose length was not known when it was written
    assert read(tmp_path, bytes(longer), "b.wav").genres == ("Jazz",)


def test_chunks_of_an_aiff_are_all_read(tmp_path: Path) -> None:
    bare = make(tmp_path, "aiff", seconds=0.2).read_bytes()
    texts = chunk(b"NAME", b"Lied", big=True), chunk(b"AUTH", b"Ann", big=True)
    found = read(tmp_path, with_chunks(bare, *texts, chunk(b"ID3 ", id3v2(BOB, JAZZ), big=True)), "b.aiff")
    assert (found.title, found.artist, found.genres) == ("Lied", ("Bob",), ("Jazz",))
    assert read(tmp_path, with_chunks(bare, *texts), "b.aiff").artist == ("Ann",)


def test_wav_over_four_gigabytes_is_followed_by_its_64_bit_size(tmp_path: Path) -> None:
    sizes = chunk(b"ds64", (100).to_bytes(8, "little") + (6).to_bytes(8, "little") + bytes(12))
    content = b"RF64\xff\xff\xff\xffWAVE" + sizes + b"data\xff\xff\xff\xff" + b"sounds" + chunk(b"id3 ", id3v2(JAZZ))
    assert read(tmp_path, content, "a.rf64").genres == ("Jazz",)


# --- damage ---


@pytest.mark.parametrize(
    "content",
    [
        id3v2(ANN)[:-5],
        b"ID3\3\0\0\xff\xff\xff\xff" + AUDIO,
        b"ID3\3\0\0\0\0\x7f\x7f" + AUDIO,
        b"ID3\4\0\x0f\0\0\0\x20" + AUDIO,
        b"fLaC\0\0\0\x22" + bytes(10),
        b"fLaC\x84\0\0\x08\xff\xff\xff\x7fabcd",
        b"OggS" + bytes(60),
        b"\0\0\0\x20ftypM4A " + bytes(8),
        AUDIO + ape(Genre="Jazz")[:-20] + ape(Genre="Jazz")[-32:],
    ],
)
def test_damaged_tags_are_said_and_not_raised(tmp_path: Path, content: bytes) -> None:
    found = read(tmp_path, content)
    assert not found.readable and found.credit == Credit()


def test_damaged_tag_does_not_hide_the_others(tmp_path: Path) -> None:
    found = read(tmp_path, b"ID3\4\0\x0f\0\0\0\x04abcd" + id3v2(JAZZ) + AUDIO + id3v1())
    assert (found.genres, found.artist, found.readable) == (("Jazz",), ("B",), False)


@pytest.mark.parametrize("content", [b"", b"x", b"no audio" * 50, bytes(2_000), b"RIFF", b"RIFF\0\0\0\0WAVE", AUDIO])
def test_what_has_no_tags_says_nothing(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) == FileTags()


def test_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        read_file_tags(tmp_path / "nowhere.mp3")
    with pytest.raises(OSError):
        read_file_tags(tmp_path)


def seeds(tmp_path: Path) -> list[tuple[str, bytes]]:
    found = []
    for container in MADE:
        path = make(tmp_path, container, seconds=0.1)
        fill(path)
        found.append((path.name, path.read_bytes()))
    many = id3v2(ANN, ROCK, padding=20) + id3v2((b"TCO", text("(8)")), version=2)
    behind = id3v2(JAZZ, version=4, flags=0x10) + ape(Genre="Pop", Artist=["A", "B"]) + LYRICS3 + id3v1()
    return [*found, ("many.mp3", many + AUDIO + behind)]


@pytest.mark.parametrize("seed", range(2))
def test_random_damage_never_raises(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for name, content in seeds(tmp_path):
        head, tail = content[:4_000], content[max(4_000, len(content) - 3_000) :]
        for _ in range(40):
            damaged = bytearray(head + tail)
            for at in rng.integers(0, len(damaged), rng.integers(1, 12)):
                damaged[at] = rng.integers(0, 256)
            cut = bytes(damaged[: rng.integers(1, len(damaged))] if rng.random() < 0.3 else damaged)
            found: Any = read(tmp_path, cut, f"damaged {name}")
            assert all(value == value.strip() != "" for value in (*found.genres, *found.credit.names))
