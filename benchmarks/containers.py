"""Containers and headers that lie: how long is what genrelab decodes, and what FFmpeg's command line decodes?

    python benchmarks/containers.py [--only WORD]

Every file is synthesised: an encoder of FFmpeg's command line, then bytes of its header replaced. A row passes if all
samples read, whole, in windows and channel by channel, last as long as `ffmpeg -i FILE` decodes, within 0.2 s; a
`DecodeError` that says why is as good. Where FFmpeg's command line itself fails the true length is given: the sum of
the parts of a chained or joined file. Exits 1 if a row is wrong. Needs `ffmpeg`.
"""

from __future__ import annotations

import argparse
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from genrelab.audio.channels import blocks
from genrelab.audio.reader import Audio
from genrelab.core.errors import DecodeError

SR, SECONDS, TOLERANCE_S = 44_100, 4.0, 0.2
NO_MUSIC = "not PCM samples: decode it first"
Make = Callable[[Path], Path]
"""Writes a file into a folder, and returns its path."""


@dataclass(frozen=True)
class Row:
    """One file. `seconds`: true length where FFmpeg's command line is no witness; `refused`: it must not be read."""

    name: str
    make: Make
    seconds: float | None = None
    refused: bool = False


# --- how a file is made ---


def sound(seconds: float = SECONDS, sr: int = SR, channels: int = 2) -> np.ndarray:
    """A tone that comes and goes, with noise, shape (samples, channels)."""
    t = np.arange(round(seconds * sr)) / sr
    noise = np.random.default_rng(5).standard_normal(len(t))
    y = 0.3 * np.sin(2 * np.pi * (200 + 40 * t) * t) * (np.sin(3 * t) > -0.5) + 0.03 * noise
    return (y[:, None] * np.linspace(1, 0.5, channels)).astype(np.float32)


def by_ffmpeg(suffix: str, *words: str, seconds: float = SECONDS, sr: int = SR, channels: int = 2) -> Make:
    """A file that FFmpeg's command line encodes."""

    def make(folder: Path) -> Path:
        source, path = folder / "source.wav", folder / f"made{suffix}"
        soundfile.write(source, sound(seconds, sr, channels), sr, subtype="FLOAT")
        _ffmpeg("-i", source, *words, "-map_metadata", "-1", path)
        source.unlink()
        return path

    return make


def copied(make: Make, suffix: str, *words: str) -> Make:
    """The packets of a file in another container."""

    def copy(folder: Path) -> Path:
        path = folder / f"copied{suffix}"
        _ffmpeg("-i", make(folder), "-c", "copy", *words, path)
        return path

    return copy


def _ffmpeg(*words: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-bitexact", *map(str, words)], check=True, capture_output=True)


def patched(make: Make, patch: Callable[[bytearray], bytes | bytearray | None]) -> Make:
    """A file whose bytes are changed by `patch`, in place or by what it returns."""

    def patch_file(folder: Path) -> Path:
        path = make(folder)
        content = bytearray(path.read_bytes())
        changed = patch(content)
        path.write_bytes(content if changed is None else changed)
        return path

    return patch_file


def number(marker: bytes, offset: int, form: str, change: Callable[[float], float]) -> Callable[[bytearray], None]:
    """Changes a number that stands `offset` bytes behind the beginning of a marker."""

    def patch(content: bytearray) -> None:
        at = content.index(marker) + offset
        (old,) = struct.unpack_from(form, content, at)
        new = change(old)
        struct.pack_into(form, content, at, new if "d" in form else int(new))

    return patch


def chained(suffix: str, *makes: Make) -> Make:
    """Files one after the other in one file."""

    def make(folder: Path) -> Path:
        parts = []
        for link in makes:
            part = link(folder)
            parts.append(part.read_bytes())
            part.unlink()
        path = folder / f"chained{suffix}"
        path.write_bytes(b"".join(parts))
        return path

    return make


def to(value: float) -> Callable[[float], float]:
    return lambda _: value


def times(factor: float) -> Callable[[float], float]:
    return lambda old: old * factor


# --- WAV and its relatives, AIFF, AU, CAF ---


def pcm_rows() -> list[Row]:
    wav = by_ffmpeg(".wav", "-c:a", "pcm_s16le")
    rows = [
        Row("wav 16 bits", wav),
        Row("wav 24 bits, 6 channels", by_ffmpeg(".wav", "-c:a", "pcm_s24le", channels=6)),
        Row("wav float", by_ffmpeg(".wav", "-c:a", "pcm_f32le")),
        Row("wav 8 bits", by_ffmpeg(".wav", "-c:a", "pcm_u8")),
        Row("wav A-law", by_ffmpeg(".wav", "-c:a", "pcm_alaw")),
        Row("wav MS ADPCM", by_ffmpeg(".wav", "-c:a", "adpcm_ms")),
        Row("wav IMA ADPCM", by_ffmpeg(".wav", "-c:a", "adpcm_ima_wav")),
        Row("wav holding MP3", by_ffmpeg(".wav", "-c:a", "libmp3lame")),
        Row("wav holding MP2", by_ffmpeg(".wav", "-c:a", "mp2")),
        Row("wav, trailing chunks", patched(wav, lambda c: c + b"LIST\x10\0\0\0" + bytes(16) + b"junk\x04\0\0\0abcd")),
        Row("wav, trailing garbage", patched(wav, lambda c: c + b"\xff" * 777)),
        Row("wav, RIFF size 0", patched(wav, number(b"RIFF", 4, "<I", to(0)))),
        Row("wav, RIFF size a half", patched(wav, number(b"RIFF", 4, "<I", times(0.5)))),
        Row("wav, byte rate tenfold", patched(wav, number(b"fmt ", 16, "<I", times(10)))),
        Row("wav cut off", patched(wav, lambda c: c[: len(c) // 3])),
        Row("wav + wav", patched(wav, lambda c: c + c)),
    ]
    lies = {"0": to(0), "0xFFFFFFFF": to(0xFFFFFFFF), "0x7FFFFFFF": to(0x7FFFFFFF), "a half": times(0.5)}
    lies |= {"a tenth": times(0.1), "double": times(2), "tenfold": times(10), "odd": lambda n: n - 1}
    rows += [Row(f"wav, data size {k}", patched(wav, number(b"data", 4, "<I", lie))) for k, lie in lies.items()]
    rf64 = by_ffmpeg(".wav", "-rf64", "always")
    rows.append(Row("rf64", rf64))
    for k, lie in {"0": to(0), "a half": times(0.5), "double": times(2)}.items():
        rows.append(Row(f"rf64, data size {k}", patched(rf64, number(b"ds64", 16, "<Q", lie))))
    w64 = by_ffmpeg(".w64")
    rows.append(Row("w64", w64))
    for k, lie in {"0": to(0), "a half": times(0.5), "double": times(2)}.items():
        alone = None if k == "double" else SECONDS  # FFmpeg's command line decodes nothing of the others
        rows.append(Row(f"w64, data size {k}", patched(w64, number(b"data\xf3\xac", 16, "<Q", lie)), alone))
    aiff, au, caf = by_ffmpeg(".aiff"), by_ffmpeg(".au"), by_ffmpeg(".caf")
    rows += [Row("aiff", aiff), Row("aifc little-endian", by_ffmpeg(".aifc", "-c:a", "pcm_s16le")), Row("au", au)]
    rows += [Row("caf", caf), Row("caf ALAC", by_ffmpeg(".caf", "-c:a", "alac"))]
    for k, lie in {"0": to(0), "a half": times(0.5), "double": times(2)}.items():
        rows.append(Row(f"aiff, frames {k}", patched(aiff, number(b"COMM", 10, ">I", lie))))
        alone = SECONDS if k == "0" else None  # as above
        rows.append(Row(f"aiff, SSND size {k}", patched(aiff, number(b"SSND", 4, ">I", lie)), alone))
        rows.append(Row(f"au, data size {k}", patched(au, number(b".snd", 8, ">I", lie))))
        rows.append(Row(f"caf, data size {k}", patched(caf, number(b"data", 4, ">Q", lie))))
    rows.append(Row("aiff cut off", patched(aiff, lambda c: c[: len(c) // 2])))
    rows.append(Row("aiff, trailing garbage", patched(aiff, lambda c: c + bytes(99_999))))
    rows.append(Row("au, size unknown", patched(au, number(b".snd", 8, ">I", to(0xFFFFFFFF)))))
    rows.append(Row("caf, size unknown", patched(caf, number(b"data", 4, ">q", to(-1)))))
    return rows


# --- FLAC, MPEG audio ---


def flac_total(change: Callable[[float], float]) -> Callable[[bytearray], None]:
    """Changes the number of samples in STREAMINFO: the lower 36 of 64 bits."""

    def patch(content: bytearray) -> None:
        at = content.index(b"fLaC") + 18
        (bits,) = struct.unpack_from(">Q", content, at)
        total = int(change(bits & (1 << 36) - 1))
        struct.pack_into(">Q", content, at, bits >> 36 << 36 | total)

    return patch


def crc8(data: bytes) -> int:
    """The checksum of a FLAC frame's header."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1) ^ (0x107 if crc & 0x80 else 0)
    return crc


def false_header(
    bits: int = 0xC9, layout: int = 0x18, number: int = 5, before_end: int = 100, mark: int = 0xF8
) -> Make:
    """A healthy FLAC of noise, near whose end the samples are, byte for byte, the header of a frame."""

    def make(folder: Path) -> Path:
        x = np.random.default_rng(0).integers(-32_768, 32_767, (round(SECONDS * SR), 2)).astype(np.int16)
        head = bytes([0xFF, mark, bits, layout, number])
        head += bytes([crc8(head)])
        x[-before_end : 3 - before_end, 0] = np.frombuffer(head, ">i2")
        soundfile.write(folder / "noise.flac", x, SR)
        assert head in (folder / "noise.flac").read_bytes(), "noise isn't compressed"
        return folder / "noise.flac"

    return make


def joined_flac_rows() -> list[Row]:
    def flac(seconds: float = SECONDS, sr: int = SR, channels: int = 2) -> Make:
        return by_ffmpeg(".flac", seconds=seconds, sr=sr, channels=channels)

    joins: list[tuple[str, list[Make], float]] = [
        ("flac + shorter flac", [flac(4), flac(2)], 6),
        ("flac + longer flac", [flac(2), flac(4)], 6),
        ("flac + flac at 22 kHz", [flac(4), flac(2, 22_050)], 6),
        ("flac + long flac at 22 kHz", [flac(2), flac(30, 22_050)], 32),
        ("flac + flac of 0.3 s at 48 kHz", [flac(4), flac(0.3, 48_000)], 4.3),
        ("flac + mono flac", [flac(4), flac(2, channels=1)], 6),
        ("flac twice", [flac(4)] * 2, 8),
        ("flac five times", [flac(2)] * 5, 10),
        ("flac + ID3 + flac", [flac(4), patched(flac(2), lambda c: id3() + c)], 6),
        ("ID3 + flac + flac", [patched(flac(2), lambda c: id3() + c), flac(3)], 5),
        ("flac without a length + flac", [patched(flac(2), flac_total(to(0))), flac(3)], 5),
    ]
    rows = [Row(name, chained(".flac", *makes), seconds) for name, makes, seconds in joins]
    noise = lambda n: lambda c: c + np.random.default_rng(0).bytes(n)  # noqa: E731
    rows += [
        Row("flac, false header", false_header()),
        Row("flac, false header with another coding", false_header(bits=0xC4, number=9)),
        Row("flac, false header of variable blocks", false_header(mark=0xF9)),
        Row("flac, false header of a later frame", false_header(number=0x7F)),
        Row("flac, 100 KB of garbage behind it", patched(flac(), noise(100_000))),
        Row("flac, 3 MB of garbage behind it", patched(flac(), noise(3_000_000))),
        Row(
            "flac, a tenth, 3 MB of garbage behind it", patched(patched(flac(), flac_total(times(0.1))), noise(3 << 20))
        ),
    ]
    return rows


def id3(n: int = 3_000) -> bytes:
    """An ID3v2 tag of padding."""
    return b"ID3\x04\0\0" + bytes([0, 0, n >> 7, n & 127]) + bytes(n)


def flac_rows() -> list[Row]:
    flac, mono = by_ffmpeg(".flac"), by_ffmpeg(".flac", sr=22_050, channels=1)
    noise = {"0": to(0), "1": to(1), "a tenth": times(0.1), "a half": times(0.5), "90 %": times(0.9)}
    noise |= {"tenfold": times(10), "all bits": to((1 << 36) - 1)}
    rows = [Row("flac", flac)]
    rows += [Row(f"flac, samples {k}", patched(flac, flac_total(lie))) for k, lie in noise.items()]
    rows += [
        Row("flac mono, samples a half", patched(mono, flac_total(times(0.5)))),
        Row("flac 24 bits, samples a half", patched(by_ffmpeg(".flac", "-sample_fmt", "s32"), flac_total(times(0.5)))),
        Row("flac behind ID3, samples a half", patched(patched(flac, flac_total(times(0.5))), lambda c: id3() + c)),
        Row(
            "flac before ID3v1, samples a tenth",
            patched(patched(flac, flac_total(times(0.1))), lambda c: c + b"TAG" + bytes(125)),
        ),
        Row("flac cut off", patched(flac, lambda c: c[: len(c) // 3])),
        Row(
            "flac cut off, samples a tenth", patched(patched(flac, flac_total(times(0.1))), lambda c: c[: len(c) // 3])
        ),
    ]
    return rows


def xing(frames: Callable[[float], float], size: Callable[[float], float] = lambda n: n) -> Callable[[bytearray], None]:
    """Changes the number of frames and of bytes in a Xing or Info header."""

    def patch(content: bytearray) -> None:
        marker = b"Xing" if b"Xing" in content[:8_192] else b"Info"
        number(marker, 8, ">I", frames)(content)
        number(marker, 12, ">I", size)(content)

    return patch


def vbri(frames: Callable[[float], float]) -> Callable[[bytearray], bytearray]:
    """Replaces the Xing header by one of Fraunhofer's encoder."""

    def patch(content: bytearray) -> bytearray:
        marker = content.index(b"Info") if b"Info" in content[:200] else content.index(b"Xing")
        n, size = struct.unpack_from(">II", content, marker + 8)
        sync = marker - 36
        content[sync + 4 : sync + 130] = bytes(126)
        tag = b"VBRI" + struct.pack(">HHHIIHHHH", 1, 0, 50, size, int(frames(n)), 0, 1, 2, 1)
        content[sync + 36 : sync + 36 + len(tag)] = tag
        return content

    return patch


def mpeg_rows() -> list[Row]:
    cbr = by_ffmpeg(".mp3", "-b:a", "128k", "-id3v2_version", "0")
    vbr = by_ffmpeg(".mp3", "-q:a", "4", "-id3v2_version", "0")
    bare = by_ffmpeg(".mp3", "-q:a", "4", "-write_xing", "0", "-id3v2_version", "0")
    rows = [
        Row("mp3 CBR", cbr),
        Row("mp3 VBR", vbr),
        Row("mp3 VBR without Xing", bare),
        Row("mp3 CBR without Xing", by_ffmpeg(".mp3", "-b:a", "128k", "-write_xing", "0")),
        Row("mp3 22 kHz mono", by_ffmpeg(".mp3", "-q:a", "6", sr=22_050, channels=1)),
        Row("mp3 8 kHz", by_ffmpeg(".mp3", "-q:a", "6", sr=8_000)),
        Row("mp2", by_ffmpeg(".mp2", "-c:a", "mp2")),
        Row("mp2 named mp3", lambda folder: by_ffmpeg(".mp2", "-c:a", "mp2")(folder).rename(folder / "a.mp3")),
        Row("mp3 twice in one file", patched(vbr, lambda c: c + c)),
        Row("mp3 cut off", patched(vbr, lambda c: c[: len(c) // 3])),
        Row("mp3 behind ID3 and before ID3v1", patched(vbr, lambda c: id3() + c + b"TAG" + bytes(125))),
        Row("mp3 behind two ID3", patched(vbr, lambda c: id3() + id3(500) + c)),
        Row(
            "mp3 behind ID3, frames a tenth",
            patched(patched(vbr, xing(times(0.1))), lambda c: id3() + c + b"TAG" + bytes(125)),
        ),
        Row("mp3 22 kHz mono, frames double", patched(by_ffmpeg(".mp3", sr=22_050, channels=1), xing(times(2)))),
    ]
    lies = {"0": to(0), "1": to(1), "a tenth": times(0.1), "a half": times(0.5), "double": times(2)}
    lies |= {"tenfold": times(10), "0xFFFFFFFF": to(0xFFFFFFFF)}
    for k, lie in lies.items():
        rows.append(Row(f"mp3 VBR, frames {k}", patched(vbr, xing(lie))))
        rows.append(Row(f"mp3 CBR, frames {k}", patched(cbr, xing(lie))))
        rows.append(Row(f"mp3 VBRI, frames {k}", patched(vbr, vbri(lie))))
    for k, lie in {"0": to(0), "a tenth": times(0.1), "tenfold": times(10)}.items():
        rows.append(Row(f"mp3 VBR, bytes {k}", patched(vbr, xing(times(1), lie))))
        rows.append(Row(f"mp3 VBR, frames and bytes {k}", patched(vbr, xing(lie, lie))))
    rows.append(Row("mp3 VBRI", patched(vbr, vbri(times(1)))))
    return rows


def joined_mpeg_rows() -> list[Row]:
    """What podcasts with advertisements are: rate, version, layer or channels change within the file."""

    def mp3(sr: int = SR, channels: int = 2, *, seconds: float = SECONDS, kbits: int = 64) -> Make:
        return by_ffmpeg(".mp3", "-b:a", f"{kbits}k", "-id3v2_version", "0", sr=sr, channels=channels, seconds=seconds)

    start, tag = patched(mp3(48_000), lambda c: c[:20_000]), patched(mp3(), lambda c: id3(128) + c)
    joins: dict[str, list[Make]] = {
        "mp3 44.1 + 48 kHz": [mp3(), mp3(48_000)],
        "mp3 48 kHz cut off + 44.1 kHz": [start, mp3()],
        "mp3 48 kHz cut off + ID3 + 44.1 kHz": [start, tag],
        "mp3 44.1 + 22.05 kHz": [mp3(), mp3(22_050)],
        "mp3 16 + 32 kHz mono": [mp3(16_000, 1), mp3(32_000, 1)],
        "mp3 44.1 + 48 + 44.1 kHz": [mp3(), mp3(48_000, seconds=2), tag],
        "mp3 with ID3, 8 + 44.1 kHz": [patched(mp3(8_000, 1, kbits=16), lambda c: id3() + c), mp3()],
        "mp3 mono + stereo": [mp3(channels=1), mp3(kbits=128)],
        "mp3 stereo + mono": [mp3(kbits=128), mp3(channels=1)],
    }
    low = "mp3 with ID3, 8 + 44.1 kHz"  # FFmpeg plays what the encoder added at the border, too: 0.2 s of it here
    return [Row(name, chained(".mp3", *makes), 8.0 if name == low else None) for name, makes in joins.items()]


# --- Ogg ---


def ogg_rows() -> list[Row]:
    def vorbis(seconds: float = 3.0, sr: int = SR, channels: int = 2) -> Make:
        return by_ffmpeg(".ogg", "-c:a", "libvorbis", seconds=seconds, sr=sr, channels=channels)

    def opus(seconds: float = 3.0, channels: int = 2) -> Make:
        return by_ffmpeg(".opus", "-c:a", "libopus", seconds=seconds, sr=48_000, channels=channels)

    def flac(seconds: float = 3.0, sr: int = SR, channels: int = 2) -> Make:
        return by_ffmpeg(".oga", "-c:a", "flac", seconds=seconds, sr=sr, channels=channels)

    def speex(seconds: float = 3.0, sr: int = 16_000) -> Make:
        return by_ffmpeg(".spx", "-c:a", "libspeex", seconds=seconds, sr=sr, channels=1)

    film = by_ffmpeg(".ogv", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=4", "-c:a", "libvorbis")
    chains: list[tuple[str, list[Make], float]] = [
        ("vorbis + vorbis", [vorbis(), vorbis(4)], 7),
        ("vorbis + vorbis at 22 kHz", [vorbis(), vorbis(4, 22_050)], 7),
        ("vorbis + vorbis mono", [vorbis(), vorbis(4, channels=1)], 7),
        ("vorbis mono at 22 kHz + vorbis", [vorbis(3, 22_050, 1), vorbis(4)], 7),
        ("vorbis + vorbis at 48 kHz mono + vorbis", [vorbis(), vorbis(2, 48_000, 1), vorbis(4)], 9),
        ("opus + opus", [opus(), opus(4)], 7),
        ("opus + opus mono + opus", [opus(), opus(4, 1), opus(2)], 9),
        ("flac + flac", [flac(), flac(4)], 7),
        ("flac + flac at 48 kHz mono", [flac(), flac(4, 48_000, 1)], 7),
        ("flac mono + flac at 22 kHz + flac", [flac(3, channels=1), flac(2, 22_050), flac(4)], 9),
        ("speex + speex", [speex(), speex(4)], 7),
        ("speex + speex at 8 kHz", [speex(), speex(4, 8_000)], 7),
        ("vorbis + opus", [vorbis(), opus(4)], 7),
        ("opus + vorbis", [opus(), vorbis(4)], 7),
        ("vorbis + flac", [vorbis(), flac(4)], 7),
        ("flac + opus + vorbis + speex", [flac(), opus(2), vorbis(4), speex(1)], 10),
        ("vorbis, five short ones", [vorbis(0.3), vorbis(0.5), vorbis(0.7), vorbis(0.9), vorbis(1.1)], 3.5),
        ("film + vorbis", [film, vorbis(3)], 7),
    ]
    rows = [
        Row("ogg vorbis", vorbis(4)),
        Row("ogg opus", opus(4)),
        Row("ogg flac", flac(4)),
        Row("ogg speex", speex(4)),
    ]
    rows += [
        Row("ogg film with vorbis", film),
        Row("ogg vorbis cut off", patched(vorbis(4), lambda c: c[: len(c) // 2])),
    ]
    rows += [Row("ogg vorbis, trailing garbage", patched(vorbis(4), lambda c: c + bytes(5_000)))]
    rows += [Row(f"chained {name}", chained(".ogg", *makes), seconds) for name, makes, seconds in chains]
    tagged, cut = patched(vorbis(3), lambda c: id3() + c), patched(vorbis(4), lambda c: c[: len(c) // 2])
    garbage = patched(vorbis(3), lambda c: c + bytes(5_000))
    rows += [
        Row("ogg vorbis behind ID3", tagged),
        Row("chained vorbis + vorbis behind ID3", chained(".ogg", tagged, vorbis(4)), 7),
        Row("chained flac + opus behind ID3", chained(".ogg", patched(flac(), lambda c: id3() + c), opus(4)), 7),
        Row("chained vorbis + garbage + vorbis", chained(".ogg", garbage, vorbis(4)), 7),
        Row("chained vorbis cut off + vorbis", chained(".ogg", cut, vorbis(4))),
    ]
    return rows


# --- MP4, Matroska and others ---


def edit_list(make: Make, *edits: tuple[float, float]) -> Make:
    """Gives the first track of an MP4 an edit list: (start, duration) in seconds, start -1 for silence."""

    def patch(content: bytearray) -> bytearray:
        at = content.index(b"elst") + 4
        scale, rate = 1_000, SR
        n = struct.unpack_from(">I", content, at + 4)[0]
        assert n == len(edits), "as many edits as before, so that no size changes"
        for i, (start, seconds) in enumerate(edits):
            begin = -1 if start < 0 else round(start * rate)
            struct.pack_into(">Iii", content, at + 8 + 12 * i, round(seconds * scale), begin, 1 << 16)
        return content

    return patched(make, patch)


def two_streams(suffix: str, second_default: bool, *words: str) -> Make:
    """Two audio streams of 4 s and 2 s; the first or the second is the default."""

    def make(folder: Path) -> Path:
        one, two, path = folder / "1.wav", folder / "2.wav", folder / f"two{suffix}"
        soundfile.write(one, sound(4), SR)
        soundfile.write(two, sound(2), SR)
        chosen, other = (1, 0) if second_default else (0, 1)
        named = (f"-disposition:a:{chosen}", "default", f"-disposition:a:{other}", "0")
        _ffmpeg("-i", one, "-i", two, "-map", "0:a", "-map", "1:a", *words, *named, path)
        return path

    return make


def mp4_rows() -> list[Row]:
    aac, alac = by_ffmpeg(".m4a", "-c:a", "aac"), by_ffmpeg(".m4a", "-c:a", "alac")
    rows = [
        Row("m4a AAC", aac),
        Row("m4a ALAC", alac),
        Row("m4a MP3", by_ffmpeg(".mp4", "-c:a", "libmp3lame")),
        Row("m4a, edit list of a half", edit_list(aac, (0.023, 2))),
        Row("m4a, edit list from the middle", edit_list(aac, (2, 2))),
        Row("m4a, edit list tenfold", edit_list(aac, (0.023, 40))),
        Row("m4a, edit list of 0", edit_list(aac, (0.023, 0))),
        Row("m4a, edit list behind its end", edit_list(aac, (20, 4))),
        Row("m4a, edit list of silence", edit_list(aac, (-1, 4))),
        Row("m4a in fragments", by_ffmpeg(".m4a", *FRAGMENTS.split(), "-c:a", "aac")),
        Row(
            "m4a cut off, moov first", patched(by_ffmpeg(".m4a", "-movflags", "faststart"), lambda c: c[: len(c) // 2])
        ),
        Row("m4a cut off, moov last", patched(aac, lambda c: c[: len(c) // 2])),
    ]
    for k, lie in {"0": to(0), "a tenth": times(0.1), "tenfold": times(10)}.items():
        rows.append(Row(f"m4a, mdhd {k}", patched(aac, number(b"mdhd", 20, ">I", lie))))
        rows.append(Row(f"m4a, tkhd {k}", patched(aac, number(b"tkhd", 24, ">I", lie))))
        rows.append(Row(f"m4a, mvhd {k}", patched(aac, number(b"mvhd", 20, ">I", lie))))
        rows.append(Row(f"alac, mdhd {k}", patched(alac, number(b"mdhd", 20, ">I", lie))))
    rows.append(Row("m4a, stts twice as long", patched(aac, number(b"stts", 16, ">I", times(2)))))
    return rows


FAST = "-movflags faststart -c:a aac"
FRAGMENTS = "-movflags frag_keyframe+empty_moov+default_base_moof -frag_duration 500000"


def other_rows() -> list[Row]:
    mka, webm = by_ffmpeg(".mka", "-c:a", "flac"), by_ffmpeg(".webm", "-c:a", "libopus", sr=48_000)
    rows = [
        Row("mka FLAC", mka),
        Row("mka AAC", by_ffmpeg(".mka", "-c:a", "aac")),
        Row("webm Opus", webm),
        Row("webm Vorbis", by_ffmpeg(".webm", "-c:a", "libvorbis")),
        Row("webm live, no duration", by_ffmpeg(".webm", "-c:a", "libopus", "-live", "1", sr=48_000)),
        Row("mka, second stream is the default", two_streams(".mka", True, "-c:a", "flac")),
        Row("mka, first stream is the default", two_streams(".mka", False, "-c:a", "flac")),
        Row("m4a, second stream is the default", two_streams(".m4a", True, "-c:a", "aac")),
        Row("mp4, first stream is the default", two_streams(".mp4", False, "-c:a", "aac")),
        Row("transport stream, two streams", two_streams(".ts", False, "-c:a", "mp2")),
        Row("wma", by_ffmpeg(".wma", "-c:a", "wmav2")),
        Row("wavpack", by_ffmpeg(".wv")),
        Row("wavpack, samples a half", patched(by_ffmpeg(".wv"), number(b"wvpk", 12, "<I", times(0.5)))),
        Row("wavpack, samples unknown", patched(by_ffmpeg(".wv"), number(b"wvpk", 12, "<I", to(0xFFFFFFFF)))),
        Row("tta", by_ffmpeg(".tta")),
        Row("aac in ADTS", by_ffmpeg(".aac", "-c:a", "aac")),
        Row("ac3", by_ffmpeg(".ac3")),
        Row("eac3", by_ffmpeg(".eac3")),
        Row("dts", by_ffmpeg(".dts", "-c:a", "dca", "-strict", "-2")),
        Row("aac in transport stream", by_ffmpeg(".ts", "-c:a", "aac")),
        Row("aac in FLV", by_ffmpeg(".flv", "-c:a", "aac")),
        Row("mp3 in AVI", by_ffmpeg(".avi", "-c:a", "libmp3lame")),
        Row("amr", _amr),
    ]
    duration = b"\x44\x89\x88"
    for k, lie in {"0": to(0), "a tenth": times(0.1), "tenfold": times(10)}.items():
        rows.append(Row(f"mka, Duration {k}", patched(mka, number(duration, 3, ">d", lie))))
        rows.append(Row(f"webm, Duration {k}", patched(webm, number(duration, 3, ">d", lie))))
    return rows


def _amr(folder: Path) -> Path:
    """AMR-NB of 12.2 kbit/s: 200 frames of 20 ms that hold random bits, which is noise."""
    rng = np.random.default_rng(1)
    (folder / "a.amr").write_bytes(b"#!AMR\n" + b"".join(b"\x3c" + rng.bytes(31) for _ in range(200)))
    return folder / "a.amr"


# --- bitstreams in PCM ---


def in_pcm(stream: Make, suffix: str = ".wav", *, swap: bool = False, silence_s: float = 0.0, gap: int = 0) -> Make:
    """A bitstream taken for 16-bit stereo samples; `swap`: the two bytes of a sample exchanged."""

    def make(folder: Path) -> Path:
        content = stream(folder).read_bytes()
        x = np.frombuffer(content[: len(content) // 4 * 4], ">i2" if swap else "<i2").reshape(-1, 2)
        lead = np.zeros((round(silence_s * SR) + gap, 2), np.int16)
        path = folder / f"carrier{suffix}"
        soundfile.write(path, np.concatenate([lead, x.astype(np.int16)]), SR)
        return path

    return make


def dts_14_bits(stream: Make) -> Make:
    """A DTS stream with 14 bits of it in each sample, as CDs carry it."""

    def make(folder: Path) -> Path:
        path = stream(folder)
        sync = b"\x7f\xfe\x80\x01"
        frames = [sync + rest for rest in path.read_bytes().split(sync)[1:]]
        packed = []
        for frame in frames:  # each begins with a sample of its own
            bits = np.unpackbits(np.frombuffer(frame, np.uint8))
            words = np.resize(bits, -(-len(bits) // 14) * 14).reshape(-1, 14).astype(np.int64)
            words = words @ (1 << np.arange(13, -1, -1))
            packed.append((words - ((words & 0x2000) << 1)).astype("<i2").tobytes())
        (folder / "14.dts").write_bytes(b"".join(packed))
        return folder / "14.dts"

    return make


def bitstream_rows() -> list[Row]:
    dts = by_ffmpeg(".dts", "-c:a", "dca", "-strict", "-2", "-b:a", "768k")
    ac3, eac3 = by_ffmpeg(".ac3", sr=48_000), by_ffmpeg(".eac3", sr=48_000)
    spdif = {
        "DTS": by_ffmpeg(".spdif", "-c:a", "dca", "-strict", "-2", "-b:a", "768k", "-f", "spdif"),
        "AC-3": by_ffmpeg(".spdif", "-c:a", "ac3", "-f", "spdif", sr=48_000),
        "E-AC-3": by_ffmpeg(".spdif", "-c:a", "eac3", "-f", "spdif", sr=48_000),
        "MP3": by_ffmpeg(".spdif", "-c:a", "libmp3lame", "-f", "spdif"),
        "MP2": by_ffmpeg(".spdif", "-c:a", "mp2", "-f", "spdif"),
        "AAC": copied(by_ffmpeg(".aac", "-c:a", "aac"), ".spdif", "-f", "spdif"),
    }
    made = {f"IEC 61937 {name} in {s}": in_pcm(m, f".{s}") for name, m in spdif.items() for s in ("wav", "flac")}
    made |= {
        "IEC 61937 AC-3 in aiff": in_pcm(spdif["AC-3"], ".aiff"),
        "IEC 61937 AC-3 after 1 s of silence": in_pcm(spdif["AC-3"], silence_s=1.0),
        "IEC 61937 DTS, bytes exchanged": in_pcm(spdif["DTS"], swap=True),
        "DTS in wav": in_pcm(dts),
        "DTS in wav, bytes exchanged": in_pcm(dts, swap=True),
        "DTS in wav after 1 s of silence": in_pcm(dts, silence_s=1.0, gap=3),
        "DTS in flac": in_pcm(dts, ".flac"),
        "DTS of 14 bits in wav": in_pcm(dts_14_bits(dts)),
        "DTS of 14 bits in flac, bytes exchanged": in_pcm(dts_14_bits(dts), ".flac", swap=True),
        "AC-3 in wav": in_pcm(ac3),
        "AC-3 in wav, bytes exchanged": in_pcm(ac3, swap=True),
        "AC-3 in flac after 1 s of silence": in_pcm(ac3, ".flac", silence_s=1.0),
        "E-AC-3 in wav": in_pcm(eac3),
        "MP3 in PCM wav": in_pcm(by_ffmpeg(".mp3", "-b:a", "128k", "-id3v2_version", "0")),
        "MP2 in PCM flac": in_pcm(by_ffmpeg(".mp2", "-c:a", "mp2"), ".flac"),
        "AAC in PCM wav": in_pcm(by_ffmpeg(".aac", "-c:a", "aac")),
    }
    return [Row(name, make, refused=True) for name, make in made.items()]


def all_rows() -> list[Row]:
    groups = (
        *(pcm_rows, flac_rows, joined_flac_rows, mpeg_rows, joined_mpeg_rows),
        *(ogg_rows, mp4_rows, other_rows, bitstream_rows),
    )
    return [row for rows in groups for row in rows()]


# --- measurement ---


@dataclass(frozen=True)
class Outcome:
    """What came of a row: `pass`, `named error` or `wrong`, and why."""

    row: Row
    verdict: str
    expected_s: float | None
    found_s: float | None
    detail: str = ""


def ffmpeg_length(path: Path) -> float | None:
    """Seconds that FFmpeg's command line decodes; None if that is nothing."""
    words = ["ffmpeg", "-v", "quiet", "-i", str(path), "-vn", "-ac", "1", "-ar", "8000", "-f", "s16le", "-"]
    decoded = subprocess.run(words, capture_output=True, check=False).stdout
    return len(decoded) / 16_000 or None


def measure(row: Row, folder: Path) -> Outcome:
    """Make the file of a row and read it in every way."""
    try:
        path = row.make(folder)
    except subprocess.CalledProcessError as e:
        return Outcome(row, "wrong", None, None, e.stderr.decode())
    expected = row.seconds or ffmpeg_length(path)
    try:
        lengths = read_lengths(path)
    except DecodeError as e:
        sensible = len(e.reason) > 20 and (not row.refused or NO_MUSIC in e.reason)
        return Outcome(row, "named error" if sensible else "wrong", expected, None, e.reason)
    except Exception as e:  # noqa: BLE001 - every other error is a finding
        return Outcome(row, "wrong", expected, None, repr(e))
    found = lengths["whole"]
    if expected is None and found < TOLERANCE_S:
        return Outcome(row, "named error", expected, found, "too short: nothing of it is played")
    if row.refused:
        return Outcome(row, "wrong", expected, found, "taken for music")
    off = [f"{k} {s:.2f} s" for k, s in lengths.items() if expected is None or abs(s - expected) > TOLERANCE_S]
    return Outcome(row, "wrong" if off else "pass", expected, found, ", ".join(off))


def read_lengths(path: Path) -> dict[str, float]:
    """Seconds by every way of reading: stated, whole, in windows of 0.7 s with and without a seek, by channel."""
    with closing(Audio(path)) as audio:
        stated = audio.frames / audio.sr
        whole = len(audio.read(0.0, None)) / audio.sr
    starts = np.arange(0, min(stated, 1_000), 0.7)
    with closing(Audio(path)) as audio:
        windows = sum(len(audio.read(s, 0.7)) for s in starts) / audio.sr
    with closing(Audio(path)) as audio:
        sought = sum(len(audio.read(s, 0.7)) for s in starts[::-1]) / audio.sr
        parts, sr = audio.parts, audio.sr
    by_channel = sum(map(len, blocks(parts))) / sr
    return {"stated": stated, "whole": whole, "windows": windows, "sought": sought, "by channel": by_channel}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only rows with this in their name")
    only = parser.parse_args().only
    if shutil.which("ffmpeg") is None:
        print("ffmpeg is not on this machine: install it", file=sys.stderr)
        return 2
    counts = dict.fromkeys(("pass", "named error", "wrong"), 0)
    for row in all_rows():
        if only in row.name:
            with tempfile.TemporaryDirectory() as folder:
                done = measure(row, Path(folder))
            counts[done.verdict] += 1
            lengths = " ".join(f"{s:7.2f}" if s is not None else "      -" for s in (done.expected_s, done.found_s))
            print(f"{row.name:44} {lengths}  {done.verdict:11} {done.detail}", flush=True)
    print(f"{sum(counts.values())} files: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
