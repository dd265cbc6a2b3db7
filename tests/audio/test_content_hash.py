"""The audio's fingerprint stays when tags change and changes when audio does, whatever the container."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
from pathlib import Path

import mutagen
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutagen import apev2, id3

from genrelab.audio.content_hash import sha256_of_audio
from tests.support.containers import MADE, id3v1, make, tag_richly


def whole(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def change_byte(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x55
    path.write_bytes(content)


@pytest.mark.parametrize("container", MADE)
def test_hash_ignores_tags_and_depends_on_audio(tmp_path: Path, container: str) -> None:
    path = make(tmp_path, container)
    bare, middle = sha256_of_audio(path), path.stat().st_size // 2
    tag_richly(path, genres=("Rock",))
    assert whole(path) != bare
    assert sha256_of_audio(path) == bare
    mutagen.File(path).delete()
    assert sha256_of_audio(path) == bare
    make(tmp_path, container)
    change_byte(path, middle)
    assert sha256_of_audio(path) != bare


@pytest.mark.parametrize("version", [3, 4])
def test_hash_of_an_mp3_ignores_every_kind_of_tag(tmp_path: Path, version: int) -> None:
    path = make(tmp_path, "mp3")
    audio = path.read_bytes()
    bare = sha256_of_audio(path)
    assert bare == whole(path)
    tag_richly(path, id3_version=version)
    first = path.read_bytes()[: -len(audio)]
    assert sha256_of_audio(path) == bare
    lyrics = b"LYRICSBEGININD00002" + b"10" + b"000021LYRICS200"
    ape = apev2.APEv2()
    ape["Genre"] = "Pop"
    ape.save(path)  # with header and footer
    tail = path.read_bytes()[len(first) + len(audio) :]
    plus = b"TAG+" + bytes(223)
    for before, after in [
        (first, tail),
        (first + first, id3v1()),
        (b"", lyrics + id3v1()),
        (first, tail + lyrics + id3v1()),
        (first, tail + plus + id3v1()),
        (b"", b"LYRICSBEGIN" + b"la la" + b"LYRICSEND" + id3v1()),
        (b"ID3\x04\x00\x10\x00\x00\x00\x04" + b"\0\0\0\0" + b"3DI\x04\x00\x10\x00\x00\x00\x04", b""),
    ]:
        path.write_bytes(before + audio + after)
        assert sha256_of_audio(path) == bare


def test_hash_of_a_flac_ignores_id3_tags(tmp_path: Path) -> None:
    path = make(tmp_path, "flac")
    bare, audio = sha256_of_audio(path), path.read_bytes()
    tags = id3.ID3()
    tags.add(id3.TIT2(encoding=3, text="Lied"))
    tags.save(path)
    path.write_bytes(path.read_bytes() + id3v1())
    assert path.read_bytes()[:3] == b"ID3"
    assert sha256_of_audio(path) == bare != hashlib.sha256(audio).hexdigest()


def test_hash_of_a_wav_ignores_other_chunks(tmp_path: Path) -> None:
    path = make(tmp_path, "wav")
    bare, content = sha256_of_audio(path), path.read_bytes()
    inner = content[12:36] + b"LIST" + struct.pack("<I", 5) + b"INFO\0\0" + content[36:]
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(inner)) + b"WAVE" + inner)
    assert sha256_of_audio(path) == bare
    change_byte(path, 24)  # the rate
    assert sha256_of_audio(path) != bare


ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
ASF_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")


@pytest.mark.parametrize(
    ("container", "marker", "at"),
    [
        ("flac", b"fLaC", 18),  # the rate
        ("ogg flac", b"fLaC", 18),
        *((c, b"stsz", 0) for c in ("m4a", "m4a, moov first", "alac")),
        ("alac", b"stsd", 60),
        ("m4a", b"mdhd", 19),  # units of a second
        ("m4a", b"stts", 11),
        ("m4a, fragmented", b"trun", 11),
        ("wma", ASF_STREAM, 0),
        ("wma", ASF_STREAM, 80),
        ("wma", ASF_FILE, 90),
    ],
)
def test_hash_depends_on_how_the_audio_is_decoded(tmp_path: Path, container: str, marker: bytes, at: int) -> None:
    path = make(tmp_path, container)
    before = sha256_of_audio(path)
    change_byte(path, path.read_bytes().index(marker) + at)
    assert sha256_of_audio(path) not in (before, whole(path)) or at == 0
    assert sha256_of_audio(path) != before


@pytest.mark.parametrize(
    ("container", "marker", "at"), [("m4a", b"mdhd", 15), ("m4a", b"stco", 15), ("wma", ASF_FILE, 40)]
)
def test_hash_ignores_dates_and_positions(tmp_path: Path, container: str, marker: bytes, at: int) -> None:
    path = make(tmp_path, container)
    before = sha256_of_audio(path)
    change_byte(path, path.read_bytes().index(marker) + at)
    assert sha256_of_audio(path) == before


def test_hash_of_an_mp4_ignores_where_its_tables_are(tmp_path: Path) -> None:
    assert sha256_of_audio(make(tmp_path, "m4a")) == sha256_of_audio(make(tmp_path, "m4a, moov first"))


@pytest.mark.parametrize("container", ["wav", "aiff", "ogg", "opus", "m4a, moov first"])
def test_hash_of_a_truncated_file_covers_every_byte(tmp_path: Path, container: str) -> None:
    path = make(tmp_path, container)
    path.write_bytes(path.read_bytes()[:-1001])
    assert sha256_of_audio(path) == whole(path)


def test_hash_of_a_damaged_or_unknown_file_covers_every_byte(tmp_path: Path) -> None:
    flac = make(tmp_path, "flac")
    change_byte(flac, 6)  # the length of the first block
    assert sha256_of_audio(flac) == whole(flac)
    for content in (
        b"",
        b"words",
        b"RIFF",
        b"OggS\x00",
        b"fLaC",
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
        b"ID3\x04\0\0\xff\0\0\0",
    ):
        (tmp_path / "odd").write_bytes(content)
        assert sha256_of_audio(tmp_path / "odd") == hashlib.sha256(content).hexdigest()


BEGINNINGS = (
    b"RIFF\x40\0\0\0WAVEfmt ",
    b"FORM\0\0\0\x40AIFFSSND",
    b"OggS\0\x02" + bytes(20) + b"\x01",
    b"\0\0\0\x10ftypM4A \0\0\0\0",
    b"fLaC\x80",
    b"ID3\x03\0\0\0\0\0",
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
)
ENDS = (b"", b"TAG" + bytes(125), b"APETAGEX" + bytes(24), b"000009LYRICS200", b"LYRICSEND")


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=200), st.sampled_from(ENDS))
def test_any_content_can_be_hashed(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, body: bytes, end: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(head + body + end)
    assert len(sha256_of_audio(path)) == 64


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256_of_audio(tmp_path / "none.mp3")


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    n = 64 << 20
    with path.open("wb") as f:
        f.write(b"RIFF" + struct.pack("<I", 36 + n) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8))
        f.write(b"data" + struct.pack("<I", n))
        f.truncate(44 + n)
    tracemalloc.start()
    sha256_of_audio(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
