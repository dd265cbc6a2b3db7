"""FLAC files that were joined, MP3s whose rate changes, and frames of FLAC that are none: nothing of them is lost."""

from __future__ import annotations

import struct
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.containers import crc8
from genrelab.audio import reader
from genrelab.audio.channels import blocks
from genrelab.audio.clips import read
from genrelab.audio.flac import flac_length
from genrelab.audio.lengths import count_mpeg_frames
from genrelab.audio.reader import Audio, find_parts
from genrelab.audio.sndfile import SoundFile
from genrelab.core.errors import DecodeError

ID3 = b"ID3\x03\0\0\0\0\x01\0" + bytes(128)


def tone(path: Path, hz: float, seconds: float = 2.0, sr: int = 44_100, channels: int = 1) -> bytes:
    t = np.arange(round(seconds * sr)) / sr
    noise = 0.01 * np.random.default_rng(round(hz)).standard_normal(len(t))
    soundfile.write(path, np.repeat((0.4 * np.sin(2 * np.pi * hz * t) + noise)[:, None], channels, axis=1), sr)
    return path.read_bytes()


def pitch(y: np.ndarray, sr: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(y))) * sr / len(y))


JOINS = [
    [(2.0, 44_100, 1), (1.0, 44_100, 1)],
    [(1.0, 44_100, 1), (2.0, 44_100, 1)],
    [(2.0, 44_100, 1), (1.0, 22_050, 1)],
    [(2.0, 44_100, 2), (1.5, 48_000, 1), (1.0, 44_100, 2)],
    [(2.0, 44_100, 1)] * 2,
    [(1.5, 32_000, 2)] * 4,
]


@pytest.mark.parametrize("tags", [b"", ID3], ids=["bare", "tagged"])
@pytest.mark.parametrize("suffix", ["flac", "mp3"])
@pytest.mark.parametrize("join", JOINS, ids=lambda join: "+".join(f"{s}s{sr // 1_000}x{n}" for s, sr, n in join))
def test_all_of_a_joined_file_is_heard(
    tmp_path: Path, join: list[tuple[float, int, int]], suffix: str, tags: bytes
) -> None:
    hz = [300.0, 700.0, 1_100.0, 1_700.0]
    made = [tone(tmp_path / f"part.{suffix}", f, *one) for f, one in zip(hz, join, strict=False)]
    path, sr = tmp_path / f"a.{suffix}", join[0][1]
    path.write_bytes(b"".join(tags + content for content in made))
    with closing(Audio(path)) as audio:
        assert audio.sr == sr and audio.notes == []
        whole, by_channel = audio.read(0.0, None), np.concatenate(list(blocks(audio.parts)))
        start, off_s = 0.0, 0.0 if suffix == "flac" else 0.1 * len(join)  # an encoder adds to each part of an MP3
        for (seconds, _, _), f in zip(join, hz, strict=False):
            assert pitch(audio.read(start + 0.35, seconds - 0.7), sr) == pytest.approx(f, abs=4)
            start += seconds
        assert audio.frames / sr == pytest.approx(start, abs=off_s + 1e-3) == len(whole) / sr
        assert len(by_channel) / sr == pytest.approx(start, abs=off_s + 1e-3)


def test_joined_flac_is_the_samples_of_its_parts(tmp_path: Path) -> None:
    parts = [tone(tmp_path / f"{hz}.flac", hz) for hz in (300.0, 500.0)]
    (tmp_path / "a.flac").write_bytes(parts[0] + parts[1])
    expected = np.concatenate([read(tmp_path / f"{hz}.flac")[0] for hz in (300.0, 500.0)])
    np.testing.assert_array_equal(read(tmp_path / "a.flac")[0], expected)


def test_a_joined_part_that_is_damaged_is_named(tmp_path: Path) -> None:
    first, second = tone(tmp_path / "a.flac", 300.0), tone(tmp_path / "b.flac", 500.0)
    (tmp_path / "a.flac").write_bytes(first + second[:60])
    with closing(Audio(tmp_path / "a.flac")) as audio:
        assert audio.frames == 2 * 44_100
        assert "1 of its 2 joined parts left out (part 2): cannot be decoded" in audio.notes[0]


def test_mp3_of_one_rate_is_one_part_and_its_frames_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tone(tmp_path / "a.mp3", 300.0)
    (part,) = find_parts(tmp_path / "a.mp3")
    with (tmp_path / "a.mp3").open("rb") as file:
        assert part.is_plain and part.counted == count_mpeg_frames(file)
    monkeypatch.setattr("genrelab.audio.sndfile.count_mpeg_frames", None)
    with closing(Audio(tmp_path / "a.mp3")) as audio:
        assert audio.decoder == "soundfile"
    garbage = np.random.default_rng(0).bytes(300_000)
    (tmp_path / "b.mp3").write_bytes(content + garbage)
    (tmp_path / "c.mp3").write_bytes(content[:9_000] + garbage + content[9_000:])
    assert [len(list(find_parts(tmp_path / name))) for name in ("b.mp3", "c.mp3")] == [1, 1]


def planted(path: Path, head: bytes, before_end: int = 700) -> np.ndarray:
    """Noise in a healthy FLAC, near whose end the samples are, byte for byte, the header of a frame."""
    x = np.random.default_rng(0).integers(-32_768, 32_767, (3 * 44_100, 2)).astype(np.int16)
    head += bytes([crc8(head)])
    x[-before_end : len(head) // 2 - before_end, 0] = np.frombuffer(head, ">i2")
    soundfile.write(path, x, 44_100)
    assert head in path.read_bytes(), "noise isn't compressed"
    return x


@pytest.mark.parametrize("before_end", [100, 700, 3_000])
@pytest.mark.parametrize(
    "head", [b"\xff\xf8\xc9\x18\x05", b"\xff\xf8\xc9\x18\x7f", b"\xff\xf9\xc9\x18\x05"], ids=bytes.hex
)
def test_samples_that_look_like_a_frame_are_samples(tmp_path: Path, head: bytes, before_end: int) -> None:
    x = planted(tmp_path / "a.flac", head, before_end)
    with (tmp_path / "a.flac").open("rb") as file:
        length = flac_length(file)
    assert length is not None and length.agrees and length.samples == len(x)
    np.testing.assert_array_equal(read(tmp_path / "a.flac")[0], (x / 32_768).mean(axis=1, dtype=np.float32))


def test_what_ffmpeg_does_not_find_shortens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a last frame that is believed does not count alone."""
    tone(tmp_path / "a.flac", 300.0)
    monkeypatch.setattr("genrelab.audio.flac._Headers.end_of_last_frame", lambda *_: 44_100)
    with closing(Audio(tmp_path / "a.flac")) as audio:
        assert audio.frames == 2 * 44_100 and audio.decoder == "soundfile"


def test_file_is_closed_where_ffmpeg_finds_a_bitstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(tone(tmp_path / "a.flac", 300.0))
    struct.pack_into(">I", content, 22, 999)
    (tmp_path / "a.flac").write_bytes(content)
    closed: list[SoundFile] = []

    def refuse(*_: object) -> None:
        raise DecodeError("a.flac", "a bitstream")

    close = SoundFile.close
    monkeypatch.setattr(SoundFile, "close", lambda self: (closed.append(self), close(self)))
    monkeypatch.setattr(reader, "_open_with_ffmpeg", refuse)
    with pytest.raises(DecodeError, match="a bitstream"):
        Audio(tmp_path / "a.flac")
    assert len(closed) == 2, "as it is, and corrected"
