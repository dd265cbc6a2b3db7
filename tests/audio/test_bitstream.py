"""Bitstreams in PCM are refused by name, and nothing else is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from genrelab.audio import bitstream
from genrelab.audio.clips import probe, read_clips
from genrelab.core.errors import DecodeError

SR = 48_000


def encoded(codec: str, seconds: float = 1.0, *, silent_s: float = 0.0) -> list[bytes]:
    """The packets of a stream of noise, which may begin with encoded silence."""
    n = round(seconds * SR)
    y = 0.2 * np.random.default_rng(1).standard_normal((2, n)).astype(np.float32)
    y[:, : round(silent_s * SR)] = 0
    encoder = av.CodecContext.create(codec, "w")
    encoder.sample_rate, encoder.layout, encoder.bit_rate = SR, "stereo", 192_000
    encoder.format, encoder.time_base = encoder.codec.audio_formats[0].name, Fraction(1, SR)
    frame = av.AudioFrame.from_ndarray(y, format="fltp", layout="stereo")
    frame.sample_rate = SR
    fifo, packets, at = av.AudioFifo(), [], 0
    for part in av.AudioResampler(encoder.format.name, "stereo", SR).resample(frame):
        part.pts = None
        fifo.write(part)
    encoder.open()
    while part := fifo.read(encoder.frame_size, partial=True):
        part.pts, part.time_base = at, Fraction(1, SR)
        at += part.samples
        packets += encoder.encode(part)
    return [bytes(p) for p in [*packets, *encoder.encode(None)]]


def adts(packets: list[bytes]) -> bytes:
    """AAC with the headers that a file of it has."""
    heads = [
        bytes((0xFF, 0xF1, 0x4C, 0x80 | n >> 11, n >> 3 & 255, (n & 7) << 5 | 31, 0xFC))
        for n in (len(p) + 7 for p in packets)
    ]
    return b"".join(head + packet for head, packet in zip(heads, packets, strict=True))


def iec61937(packets: list[bytes], kind: int, period: int) -> bytes:
    """Each packet behind a preamble, filled up with zeros to `period` samples of two channels; big-endian."""
    bursts = []
    for p in packets:
        head = bytes((0xF8, 0x72, 0x4E, 0x1F, 0, kind)) + (8 * len(p)).to_bytes(2)
        bursts.append((head + p).ljust(4 * period, b"\0"))
    return b"".join(bursts)


def in_pcm(content: bytes, *, big: bool, silence: int = 0) -> NDArray[np.int16]:
    x = np.frombuffer(content[: len(content) // 4 * 4], ">i2" if big else "<i2").astype(np.int16).reshape(-1, 2)
    return np.concatenate([np.zeros((silence, 2), np.int16), x])


rng = np.random.default_rng(2)
DTS_HEAD = b"\x7f\xfe\x80\x01\xfc\x3c\x7f\xf1"
"""The first bytes of a frame of DTS of 512 samples in 2,048 bytes; no encoder of it is at hand."""

STREAMS = {
    "DTS": lambda: b"".join(DTS_HEAD + rng.bytes(2_048 - len(DTS_HEAD)) for _ in range(60)),
    "AC-3": lambda: b"".join(encoded("ac3")),
    "E-AC-3": lambda: b"".join(encoded("eac3")),
    "MPEG": lambda: b"".join(encoded("libmp3lame")),
    "MPEG 2": lambda: b"".join(encoded("mp2")),
    "AAC": lambda: adts(encoded("aac")),
    "AC-3 that begins silently": lambda: b"".join(encoded("ac3", silent_s=0.7)),
    "MPEG that begins silently": lambda: b"".join(encoded("libmp3lame", silent_s=0.7)),
    "AC-3 by IEC 61937": lambda: iec61937(encoded("ac3"), 1, 1_536),
    "E-AC-3 by IEC 61937": lambda: iec61937(encoded("eac3", 3.0), 21, 6_144),
    "TrueHD by IEC 61937": lambda: iec61937([bytes(range(1, 200)) * 9] * 8, 22, 15_360),
    "Ogg": lambda: b"".join(b"OggS" + bytes(22) + b"\x02\xff\xff" + bytes(range(1, 256)) * 2 for _ in range(40)),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff"])
def test_bitstream_is_refused_by_name(tmp_path: Path, name: str, suffix: str) -> None:
    content = STREAMS[name]()
    kind = name.split()[0].removeprefix("E-") if "IEC" not in name else name.split()[0]
    for big in (False, True):
        for silence in (0, SR + 7):
            soundfile.write(tmp_path / f"a.{suffix}", in_pcm(content, big=big, silence=silence), SR)
            for attempt in (probe, lambda p: list(read_clips(p))):
                with pytest.raises(
                    DecodeError, match=rf"contains an? {kind} bitstream, not PCM samples: decode it"
                ) as e:
                    attempt(tmp_path / f"a.{suffix}")
                assert e.value.stage == "check"


@pytest.mark.parametrize("cut", [1_000, 3_333])
@pytest.mark.parametrize("name", ["DTS", "AC-3", "MPEG", "AC-3 by IEC 61937", "E-AC-3 by IEC 61937"])
def test_a_piece_from_the_middle_is_one_too(tmp_path: Path, name: str, cut: int) -> None:
    soundfile.write(tmp_path / "a.wav", in_pcm(STREAMS[name](), big=True)[cut:], SR)
    with pytest.raises(DecodeError, match="bitstream, not PCM"):
        probe(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("codec", "name"), [("alac", "a.m4a"), ("wavpack", "a.wv"), ("flac", "a.mka"), ("tta", "a.tta")]
)
def test_in_other_lossless_carriers(tmp_path: Path, codec: str, name: str) -> None:
    x = in_pcm(STREAMS["AC-3"](), big=True, silence=999)
    with av.open(str(tmp_path / name), "w") as out:
        stream = out.add_stream(codec, rate=SR)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(x.reshape(1, -1)), format="s16", layout="stereo")
        frame.sample_rate = SR
        wanted = next(f.name for f in stream.codec_context.codec.audio_formats if f.name.startswith("s16"))
        stream.format = wanted
        fifo, at = av.AudioFifo(), 0
        for part in av.AudioResampler(wanted, "stereo", SR).resample(frame):
            part.pts = None
            fifo.write(part)
        while part := fifo.read(stream.codec_context.frame_size or 4_096, partial=True):
            part.pts, part.time_base = at, Fraction(1, SR)
            at += part.samples
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    with pytest.raises(DecodeError, match="contains an AC-3 bitstream, not PCM"):
        probe(tmp_path / name)


def test_24_bits_and_floats_carry_it_too(tmp_path: Path) -> None:
    x = in_pcm(STREAMS["DTS"](), big=True)
    for subtype in ("PCM_24", "PCM_32", "FLOAT"):
        soundfile.write(tmp_path / "a.wav", x / np.float32(32_768), SR, subtype=subtype)
        with pytest.raises(DecodeError, match="contains a DTS bitstream"):
            probe(tmp_path / "a.wav")


@pytest.mark.parametrize("seed", range(40))
def test_noise_and_quiet_music_are_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, channels = 1 << 17, 1 + seed % 2
    t = np.arange(n)[:, None] / SR
    for x in (
        rng.integers(-32_768, 32_768, (n, channels)),  # of full scale
        np.clip(60_000 * rng.standard_normal((n, channels)), -32_767, 32_766),  # clipped
        np.rint(rng.standard_normal((n, channels)) * 10 ** rng.uniform(0, 3)),  # quiet
        np.where(np.sin(2 * np.pi * 50 * (seed + 1) * t) > 0, 32_766, -32_767) * np.ones(channels),  # a square wave
        32_766 * np.sin(2 * np.pi * 97 * (seed + 1) * t) * np.array([1, -1])[:channels],
    ):
        blocks = iter(np.split(x.astype(np.float32) / 32_768, range(1 << 11, n, 1 << 11)))
        assert bitstream.find_in_frames(blocks) is None


@pytest.mark.real
def test_real_music_is_none(shared: Path) -> None:
    paths = sorted((shared / "data").glob("gtzan_*/**/*.flac")) + sorted((shared / "data").glob("emotify_30s/*/*.mp3"))
    assert len(paths) > 100
    for path in paths:
        with soundfile.SoundFile(path) as file:
            assert bitstream.find(lambda n: file.read(n, dtype="float32", always_2d=True)) is None, path
