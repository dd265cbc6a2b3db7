"""Chained Ogg files are read to the end of their last link, whole, in windows and by channel."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from genrelab.audio import reader
from genrelab.audio.channels import blocks
from genrelab.audio.clips import read, read_clips
from genrelab.audio.part import MAX_FAILED
from genrelab.audio.reader import Audio, find_parts
from genrelab.core.config import ClipSettings
from genrelab.core.errors import DecodeError


def tone(seconds: float, sr: int, hz: float, channels: int = 2) -> np.ndarray:
    t = np.arange(round(seconds * sr)) / sr
    return np.repeat((0.4 * np.sin(2 * np.pi * hz * t))[:, None], channels, axis=1).astype(np.float32)


def link(path: Path, codec: str, seconds: float, sr: int, hz: float, channels: int = 2) -> bytes:
    """An Ogg file of one tone."""
    y = tone(seconds, sr, hz, channels)
    if codec == "vorbis":
        soundfile.write(path, y, sr, format="OGG", subtype="VORBIS")
        return path.read_bytes()
    layout = "stereo" if channels == 2 else "mono"
    with av.open(str(path), "w", format="ogg") as out:
        stream = out.add_stream({"opus": "libopus", "flac": "flac", "speex": "libspeex"}[codec], rate=sr)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(y.T), format="fltp", layout=layout)
        frame.sample_rate = sr
        fifo, at = av.AudioFifo(), 0
        for part in av.AudioResampler(stream.codec_context.codec.audio_formats[0].name, layout, sr).resample(frame):
            part.pts = None
            fifo.write(part)
        while part := fifo.read(stream.codec_context.frame_size or 4_096, partial=True):
            part.pts, part.time_base = at, Fraction(1, sr)
            at += part.samples
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return path.read_bytes()


CHAINS = [
    [("vorbis", 2.0, 44_100, 2), ("vorbis", 3.0, 22_050, 1)],
    [("vorbis", 1.0, 32_000, 1), ("vorbis", 1.5, 48_000, 2), ("vorbis", 2.0, 32_000, 2)],
    [("opus", 2.0, 48_000, 2), ("opus", 3.0, 48_000, 1)],
    [("flac", 2.0, 44_100, 1), ("flac", 3.0, 48_000, 2)],
    [("opus", 1.0, 48_000, 1), ("vorbis", 2.0, 44_100, 2), ("flac", 1.5, 44_100, 2), ("opus", 1.0, 48_000, 2)],
]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: "+".join(f"{c}{sr // 1_000}" for c, _, sr, _ in chain))
def test_every_link_is_heard(tmp_path: Path, chain: list[tuple[str, float, int, int]]) -> None:
    path, hz = tmp_path / "a.ogg", [300.0, 700.0, 1_100.0, 1_700.0]
    path.write_bytes(
        b"".join(link(tmp_path / "link", c, s, sr, f, n) for (c, s, sr, n), f in zip(chain, hz, strict=False))
    )
    total_s, (_, _, sr, channels) = sum(seconds for _, seconds, _, _ in chain), chain[0]
    with closing(Audio(path)) as audio:
        assert (audio.sr, audio.channels, len(audio.parts)) == (sr, channels, len(chain))
        assert audio.frames / sr == pytest.approx(total_s, abs=0.03)
        whole = audio.read(0.0, None)
        by_channel = np.concatenate(list(blocks(audio.parts)))
        assert audio.notes == []
        assert len(whole) / sr == pytest.approx(total_s, abs=0.03) and by_channel.shape[1] == channels
        assert np.abs(by_channel.mean(axis=1)[: len(whole)] - whole[: len(by_channel)]).max() < 1e-3
        start = 0.0
        for (_, seconds, _, _), f in zip(chain, hz, strict=False):
            y = audio.read(start + 0.3, seconds - 0.6)
            assert np.argmax(np.abs(np.fft.rfft(y))) * sr / len(y) == pytest.approx(f, abs=3)
            start += seconds
        for at_s in (0.0, total_s - 1.2, chain[0][1] - 0.3, 0.4):  # backwards, and over a border
            at = round(at_s * sr)
            y = audio.read(at_s, 0.9)
            np.testing.assert_allclose(y, whole[at : at + len(y)], atol=1e-5)
    clips = list(read_clips(path, ClipSettings(clip_s=0.5, min_s=0.1, max_clips=100)))
    assert clips[-1].start_s + 0.5 == pytest.approx(total_s, abs=0.3)


def test_an_unchained_file_is_one_part(tmp_path: Path) -> None:
    link(tmp_path / "a.ogg", "vorbis", 1.0, 44_100, 300.0)
    (tmp_path / "b.wav").write_bytes(b"RIFF" + (tmp_path / "a.ogg").read_bytes() * 2)
    assert [part.is_plain for name in ("a.ogg", "b.wav") for part in find_parts(tmp_path / name)] == [True, True]


def test_a_link_that_cannot_be_decoded_is_left_out_and_named(tmp_path: Path) -> None:
    good = [link(tmp_path / "link", "vorbis", 1.0, 44_100, f) for f in (300.0, 500.0)]
    broken = good[0].replace(b"vorbis", b"nobody")
    (tmp_path / "a.ogg").write_bytes(good[0] + broken + good[1])
    with closing(Audio(tmp_path / "a.ogg")) as audio:
        assert audio.frames / audio.sr == pytest.approx(2, abs=0.01)
        assert len(audio.notes) == 1 and audio.notes[0].startswith(
            "1 of its 3 joined parts left out (part 2): cannot be decoded"
        )
    (tmp_path / "a.ogg").write_bytes(broken + broken)
    with pytest.raises(DecodeError, match=r"a\.ogg: cannot be decoded"):
        Audio(tmp_path / "a.ogg")


def test_a_link_at_another_rate_is_resampled_as_a_whole(tmp_path: Path) -> None:
    first, second = (link(tmp_path / f"{sr}.ogg", "vorbis", 3.5, sr, 440.0) for sr in (44_100, 32_000))
    (tmp_path / "a.ogg").write_bytes(first + second)
    expected = soxr.resample(read(tmp_path / "32000.ogg")[0], 32_000, 44_100, quality="HQ")
    y, sr = read(tmp_path / "a.ogg", start_s=3.5)
    assert sr == 44_100
    np.testing.assert_allclose(y, expected[: len(y)], atol=1e-4)
    assert abs(len(y) - len(expected)) <= 1


def test_length_of_a_chain_is_measured_only_up_to_the_limit(tmp_path: Path) -> None:
    one = link(tmp_path / "link", "vorbis", 1.0, 44_100, 300.0)
    (tmp_path / "a.ogg").write_bytes(one * 6)
    with closing(Audio(tmp_path / "a.ogg", max_s=2.5)) as audio:
        assert len(audio.parts) == 3 and audio.frames == 3 * 44_100


ID3 = b"ID3\x03\0\0\0\0\x01\0" + bytes(128)


def test_links_after_tags_are_found(tmp_path: Path) -> None:
    one = link(tmp_path / "link", "vorbis", 1.0, 44_100, 300.0)
    for tags in (ID3, ID3 + ID3):
        (tmp_path / "a.ogg").write_bytes(tags + one + link(tmp_path / "link", "opus", 2.0, 48_000, 500.0))
        with closing(Audio(tmp_path / "a.ogg")) as audio:
            assert len(audio.parts) == 2 and audio.frames / audio.sr == pytest.approx(3, abs=0.03)
            assert len(audio.read(0.0, None)) == audio.frames
    (tmp_path / "a.ogg").write_bytes(ID3 + one)
    assert [part.is_plain for part in find_parts(tmp_path / "a.ogg")] == [True]


def test_number_of_parts_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_PARTS", 3)
    (tmp_path / "a.ogg").write_bytes(link(tmp_path / "link", "vorbis", 0.5, 44_100, 300.0) * 5)
    with closing(Audio(tmp_path / "a.ogg")) as audio:
        assert len(audio.parts) == 3 and audio.frames / audio.sr == pytest.approx(1.5, abs=0.01)
        assert audio.notes == ["it consists of more than 3 joined parts: the rest is left out"]


def test_many_parts_that_cannot_be_decoded_are_one_note_and_not_all_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = link(tmp_path / "link", "vorbis", 0.5, 44_100, 300.0)
    (tmp_path / "a.ogg").write_bytes(good + good.replace(b"vorbis", b"nobody") * 300)
    tried, choose = [], reader._choose_decoder
    monkeypatch.setattr(reader, "_choose_decoder", lambda *a: tried.append(a) or choose(*a))
    with closing(Audio(tmp_path / "a.ogg")) as audio:
        (note,) = audio.notes
        assert note.startswith("300 of its 301 joined parts left out (parts 2, 3, 4, 5, 6 and 295 m")
        assert audio.frames / audio.sr == pytest.approx(0.5, abs=0.01)
    assert len(tried) == 1 + MAX_FAILED
