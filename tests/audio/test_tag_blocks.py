"""Damaged or forged tags end a search early: no file keeps a program busy by their number."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
import soundfile
from mutagen.id3 import ID3, TIT2

from genrelab.audio import file_tags
from genrelab.audio.content_hash import audio_ranges
from genrelab.audio.file_tags import read_file_tags
from genrelab.audio.flac import MAX_BLOCKS, metadata_blocks
from genrelab.audio.tag_blocks import MAX_TAGS, InconsistentFileError, stream_start, syncsafe, tags_after, tags_before
from tests.support.faulty import tune

EMPTY = b"ID3\x03\0\0\0\0\0\0"


class Counted(io.BytesIO):
    """Counts how often it is read."""

    reads = 0

    def read(self, n: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(n)


def title(text: str) -> bytes:
    out, tag = io.BytesIO(), ID3()
    tag.add(TIT2(encoding=3, text=[text]))
    tag.save(out)
    return out.getvalue()


def flac(tmp_path: Path) -> bytes:
    soundfile.write(tmp_path / "made.flac", tune(1), 22_050)
    return (tmp_path / "made.flac").read_bytes()


def test_sizes_of_seven_bits_a_byte() -> None:
    assert [syncsafe(four) for four in (b"\0\0\0\x7f", b"\0\0\1\0", b"\x7f\x7f\x7f\x7f", b"\0\0\x80\0")] == [
        127, 128, (1 << 28) - 1, -1,
    ]  # fmt: skip


@pytest.mark.parametrize(("block", "before"), [(EMPTY, True), (b"TAG" + bytes(125), False)])
def test_more_tags_than_any_file_has_are_damage(tmp_path: Path, block: bytes, before: bool) -> None:
    for n in (MAX_TAGS, MAX_TAGS + 1, 50_000):
        content = block * n + b"sound" if before else b"sound" + block * n
        file = Counted(content)
        if n == MAX_TAGS:
            assert len(tags_before(file) if before else tags_after(file, len(content))) == n
            continue
        with pytest.raises(InconsistentFileError, match="more than 64 tag blocks"):
            tags_before(file) if before else tags_after(file, len(content))
        assert stream_start(file) == 0
        assert file.reads < 10 * MAX_TAGS
        (tmp_path / "a").write_bytes(content)
        assert not read_file_tags(tmp_path / "a").readable
        assert audio_ranges(io.BytesIO(content)) == [(0, len(content))]


def test_tags_at_the_other_end_are_still_read(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(EMPTY * 99 + b"\xff\xfb" + bytes(99) + b"TAG" + b"Song".ljust(125, b"\0"))
    found = read_file_tags(tmp_path / "a.mp3")
    assert found.title == "Song" and not found.readable


@pytest.mark.parametrize(
    "block", [bytes(4), b"\0\0\0\x01a", b"\x04\0\0\0", b"\x03\0\0\0", b"\x01\0\0\0", b"\x7f\0\0\x01a"]
)
def test_metadata_blocks_that_no_flac_has_end_the_search(tmp_path: Path, block: bytes) -> None:
    content = flac(tmp_path)[:42] + block * 100_000
    file = Counted(content)
    with pytest.raises(InconsistentFileError):
        list(metadata_blocks(file, 4))
    assert file.reads <= MAX_BLOCKS
    (tmp_path / "a.flac").write_bytes(content)
    assert not read_file_tags(tmp_path / "a.flac").readable
    assert audio_ranges(io.BytesIO(content)) == [(0, len(content))]


def test_empty_padding_and_seek_tables_are_none_of_them(tmp_path: Path) -> None:
    content = flac(tmp_path)
    (tmp_path / "a.flac").write_bytes(content[:42] + b"\x01\0\0\0\x03\0\0\0" + content[42:])
    with (tmp_path / "a.flac").open("rb") as file:
        assert [kind for kind, _, _ in metadata_blocks(file, 4)][:3] == [0, 1, 3]
    assert read_file_tags(tmp_path / "a.flac").readable


def test_chunks_of_tags_are_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = b"id3 " + struct.pack("<I", len(title("Song"))) + title("Song")
    soundfile.write(tmp_path / "a.wav", tune(1), 22_050)
    content = (tmp_path / "a.wav").read_bytes()
    read = []
    reader = file_tags._block_reader
    monkeypatch.setattr(file_tags, "_block_reader", lambda f, block: read.append(block) or reader(f, block))
    for n in (2, 5_000):
        read.clear()
        (tmp_path / "a.wav").write_bytes(content + chunk * n)
        found = read_file_tags(tmp_path / "a.wav")
        assert found.title == "Song" and found.readable == (n == 2)
        assert len(read) == min(n, MAX_TAGS)
