"""Genre and provenance go into any container; every other tag, and the sound, stay."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen import apev2, id3

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.core.errors import TagError
from genrelab.tagging import tags
from tests.support.containers import COVER, MADE, by_ffmpeg, id3v1, make, samples, sound, tag_richly
from tests.support.raw_tags import id3v2

SAID = "genrelab 0.2.0 svm p=0.83"
ID3_KIND = ("MP3", "WAVE", "AIFF")


def retagged(path: Path, values: tuple[str, ...] = ("jazz",), field: str | None = None) -> Path:
    """A copy of the file beside it, tagged."""
    copy = path.with_name(f"tagged{path.suffix}")
    shutil.copy(path, copy)
    tags.write(copy, tags.read(path, field), values, [SAID])
    return copy


def listing(path: Path) -> dict[str, Any]:
    """All tags as mutagen reads them, pictures and other blocks of FLAC too, without what is ours."""
    audio = mutagen.File(path)
    if audio.tags is None:
        return {}
    if isinstance(audio.tags, id3.ID3):
        ours = ("TCON", "TXXX:GENRELAB")
        found = {k: repr({**vars(v), "encoding": 0}) for k, v in audio.tags.items()}
        found |= {f"raw {n}": frame for n, frame in enumerate(audio.tags.unknown_frames)}
    else:
        ours = ("genre", "©gen", "wm/genre", "genrelab", "----:com.apple.itunes:genrelab")
        found = {k: repr(audio.tags[k]) for k in audio.tags.keys()}  # noqa: SIM118
        found |= {f"picture {n}": picture.write() for n, picture in enumerate(getattr(audio, "pictures", []))}
    return {k: v for k, v in found.items() if k not in ours and k.lower() not in ours}


@pytest.mark.parametrize("container", MADE)
@pytest.mark.parametrize("genres", [None, (), ("Rock", "Pop")], ids=["bare", "other tags", "two genres"])
def test_only_genre_and_provenance_change(tmp_path: Path, container: str, genres: tuple[str, ...] | None) -> None:
    path = make(tmp_path, container)
    if genres is not None:
        tag_richly(path, genres=genres)
    before, audio_before = listing(path), samples(path)
    assert tags.read(path).genres == (genres or ())
    copy = retagged(path)
    found = tags.read(copy)
    assert (found.genres, found.values, found.provenance) == (("jazz",), ("jazz",), (SAID,))
    assert listing(copy) == before
    assert sha256_of_audio(copy) == sha256_of_audio(path)
    np.testing.assert_array_equal(samples(copy), audio_before)
    if genres is not None:
        assert tags.artist_and_title(copy) == ("Ä, B", "Lied")
    tags.write(copy, found, genres or (), ())
    assert (tags.read(copy).values, tags.read(copy).provenance) == (genres or (), ())
    assert listing(copy) == before


@pytest.mark.parametrize(
    ("container", "genre", "ours"),
    [
        ("mp3", "TCON", "TXXX:GENRELAB"),
        ("wav", "TCON", "TXXX:GENRELAB"),
        ("aiff", "TCON", "TXXX:GENRELAB"),
        ("flac", "GENRE", "GENRELAB"),
        ("opus", "GENRE", "GENRELAB"),
        ("m4a", "©gen", "----:com.apple.iTunes:GENRELAB"),
        ("wma", "WM/Genre", "GENRELAB"),
        ("wavpack", "Genre", "GENRELAB"),
    ],
)
def test_fields_are_those_that_players_read(tmp_path: Path, container: str, genre: str, ours: str) -> None:
    written = mutagen.File(retagged(make(tmp_path, container))).tags
    for key, expected in ((genre, "jazz"), (ours, SAID)):
        value = written[key] if container in ID3_KIND or container == "wavpack" else written[key][0]
        value = bytes(value).decode() if isinstance(value, bytes) else str(getattr(value, "text", [value])[0])
        assert value == expected


@pytest.mark.parametrize("container", ["mp3", "wav", "flac", "ogg", "m4a", "wma", "wavpack"])
def test_another_field_leaves_the_genre_alone(tmp_path: Path, container: str) -> None:
    path = make(tmp_path, container)
    tag_richly(path, genres=("Rock", "Pop"))
    assert tags.read(path, "SUBGENRE").genres == ()
    copy = retagged(path, field="SUBGENRE")
    assert tags.read(copy, "SUBGENRE").genres == ("jazz",)
    assert tags.read(copy).genres == ("Rock", "Pop")


@pytest.mark.parametrize("blank", ["", "  "])
@pytest.mark.parametrize("container", ["flac", "m4a", "mp3"])
def test_a_blank_genre_is_none(tmp_path: Path, container: str, blank: str) -> None:
    path = make(tmp_path, container)
    tag_richly(path, genres=(blank,))
    assert tags.read(path).genres == ()
    assert tags.read(retagged(path)).genres == ("jazz",)


# --- MP3: many tags in one file ---


@pytest.mark.parametrize("version", [3, 4])
def test_id3_keeps_its_version_its_frames_and_its_id3v1(tmp_path: Path, version: int) -> None:
    path = make(tmp_path, "mp3")
    tag_richly(path, genres=("Rock",), id3_version=version)
    path.write_bytes(path.read_bytes() + id3v1(title=b"Another title", genre=17))
    copy = retagged(path)
    assert id3.ID3(copy).version[1] == version
    assert copy.read_bytes()[-128:] == path.read_bytes()[-128:]


ODD_FRAMES = (
    (b"TDRC", b"\x00summer of 1999"),  # no date: mutagen would write an empty one
    (b"TSOP", b"\x00Beatles, The"),  # of version 2.4, in a tag of version 2.3, as iTunes does
    (b"COMM", b"\x07"),  # cannot be read at all
    (b"XYZ1", b"\x01\x02\x03"),
    (b"TPE1", b"\x00A\x00B"),
    (b"TPE1", b"\x00C"),
)


@pytest.mark.parametrize("version", [3, 4])
def test_unknown_frames_stay_byte_for_byte(tmp_path: Path, version: int) -> None:
    path = make(tmp_path, "mp3")
    old = (b"TCON", b"\x00(17)"), (b"TXXX", b"\x00GENRELAB\x00older")
    path.write_bytes(id3v2(*old[:1], *ODD_FRAMES, *old[1:], version=version) + path.read_bytes())
    assert tags.read(path).genres == ("Rock",)
    written = retagged(path).read_bytes()
    for name, data in ODD_FRAMES:
        assert name + len(data).to_bytes(4, "big") + b"\0\0" + data in written
    for name, data in old:
        assert name + len(data).to_bytes(4, "big") + b"\0\0" + data not in written


def test_an_unsynchronised_tag_and_one_of_version_2_2_are_read_and_written(tmp_path: Path) -> None:
    path = make(tmp_path, "mp3")
    audio = path.read_bytes()
    path.write_bytes(id3v2((b"PRIV", b"me\0\xff\xe0"), (b"TIT2", b"\x00Lied"), flags=0x80) + audio)
    copy = retagged(path)
    assert id3.ID3(copy)["PRIV:me:ÿà"].data == b"\xff\xe0"
    assert tags.artist_and_title(copy) == ("", "Lied")
    size = bytes((0, 0, 0, 6 + 5))
    path.write_bytes(b"ID3\x02\0\0" + size + b"TT2\0\0\5\x00Lied" + audio)
    copy = retagged(path)
    assert (id3.ID3(copy).version[1], tags.artist_and_title(copy)) == (3, ("", "Lied"))


def test_file_whose_other_tags_would_be_lost_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path, "mp3")
    path.write_bytes(b"ID3\x02\0\0" + bytes((0, 0, 0, 6 + 3)) + b"XYZ\0\0\3abc" + path.read_bytes())
    with pytest.raises(TagError, match="would change another tag"):
        retagged(path)


def test_id3v1_alone_counts_and_is_carried_over(tmp_path: Path) -> None:
    path = make(tmp_path, "mp3")
    audio = path.read_bytes()
    path.write_bytes(audio + id3v1(genre=17))
    assert tags.read(path).genres == ("Rock",)
    assert tags.read(path).values == ()
    path.write_bytes(audio + id3v1())
    assert tags.read(path).genres == ()
    copy = retagged(path)
    assert tags.artist_and_title(copy) == ("B", "Lied")  # players look no further than ID3v2
    assert copy.read_bytes().endswith(audio + id3v1())


def test_a_genre_in_apev2_counts_and_the_tag_stays(tmp_path: Path) -> None:
    path = make(tmp_path, "mp3")
    audio = path.read_bytes()
    ape = apev2.APEv2()
    ape["Genre"] = "Pop"
    ape.save(path)
    assert tags.read(path).genres == ("Pop",)
    behind = path.read_bytes()[len(audio) :]
    assert retagged(path).read_bytes().endswith(audio + behind)


@pytest.mark.parametrize("container", ["flac", "wavpack"])
def test_a_genre_in_id3_around_other_tags_counts_and_stays(tmp_path: Path, container: str) -> None:
    path = make(tmp_path, container)
    tag_richly(path)
    bare = path.read_bytes()
    path.write_bytes(bare + id3v1(genre=17))
    assert tags.read(path).genres == ("Rock",)
    assert retagged(path).read_bytes().endswith(id3v1(genre=17))
    path.write_bytes(bare + id3v1())
    assert tags.read(path).genres == ()
    if container == "flac":
        head = id3v2((b"TCON", b"\x00(17)"))
        path.write_bytes(head + bare)
        assert tags.read(path).genres == ("Rock",)
        assert retagged(path).read_bytes().startswith(head)


def test_apev2_before_id3v1_stays_before_it(tmp_path: Path) -> None:
    path = make(tmp_path, "wavpack")
    tag_richly(path)
    path.write_bytes(path.read_bytes() + id3v1())
    copy = retagged(path)
    assert copy.read_bytes()[-128:] == id3v1()
    assert tags.read(copy).genres == ("jazz",)
    assert sha256_of_audio(copy) == sha256_of_audio(path)


def test_a_genre_in_the_info_list_of_a_wav_counts(tmp_path: Path) -> None:
    path = make(tmp_path, "wav")
    content = path.read_bytes()
    info = b"INFO" + b"INAM" + struct.pack("<I", 5) + b"Lied\0\0" + b"IGNR" + struct.pack("<I", 5) + b"Folk\0\0"
    content += b"LIST" + struct.pack("<I", len(info)) + info
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    assert tags.read(path).genres == ("Folk",)
    assert info in retagged(path).read_bytes()


# --- refused ---


@pytest.mark.parametrize("name", ["a.au", "a.caf", "a.mka", "a.webm", "a.aac"])
def test_a_container_without_tags_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith((".mka", ".webm", ".aac")):
        by_ffmpeg({"a.mka": "flac", "a.webm": "libopus", "a.aac": "aac"}[name])(path, 1.0)
    else:
        soundfile.write(path, sound(1.0), 44_100)
    with pytest.raises(TagError, match="has no tags that can be written"):
        tags.read(path)


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg", "a.m4a", "a.wav", "a.wma"])
@pytest.mark.parametrize("content", [b"", b"no audio", b"ID3\x03\0\0\0\0\x7f\x7f" + bytes(99), b"OggS" + bytes(60)])
def test_file_that_is_no_audio_is_named_in_the_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TagError, match=name):
        tags.read(tmp_path / name)


@pytest.mark.parametrize("container", ["flac", "ogg"])
def test_comments_that_are_not_utf8_are_not_damaged(tmp_path: Path, container: str) -> None:
    path = make(tmp_path, container)
    audio = mutagen.File(path)
    if audio.tags is None:
        audio.add_tags()
    audio["ARTIST"] = "Bj?rk"
    audio.save()
    content = path.read_bytes().replace(b"Bj?rk", b"Bj\xf6rk")
    path.write_bytes(content)
    with pytest.raises(TagError, match="not UTF-8"):
        tags.read(path)


def test_fragments_with_absolute_offsets_are_not_moved(tmp_path: Path) -> None:
    path = tmp_path / "bound.m4a"
    by_ffmpeg("aac", movflags="frag_keyframe+empty_moov", frag_duration="500000")(path, 3.0)
    with pytest.raises(TagError, match="remux it"):
        retagged(path)
    tag_richly(path)  # which leaves room: now nothing moves
    assert COVER in retagged(path).read_bytes()
