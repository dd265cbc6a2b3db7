"""Files of many kinds, whole and damaged, are decoded or refused by name; nothing else comes out."""

from __future__ import annotations

import os
import shutil
import sys
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrelab.audio import ffmpeg, reader, sndfile
from genrelab.audio.clips import (
    AudioInMemory,
    Clip,
    clip_starts,
    clips_from_audio,
    probe,
    read,
    read_clips,
    resample,
    spread_order,
)
from genrelab.audio.part import Part
from genrelab.core.config import ClipSettings
from genrelab.core.errors import DecodeError

SECOND = ClipSettings(clip_s=1.0)


def sound(seconds: float, sr: int, *, seed: int = 0) -> NDArray[np.float32]:
    """A rising tone that comes and goes, so that bit rates vary, with noise, so that no stretch equals another."""
    t = np.arange(round(seconds * sr)) / sr
    noise = np.random.default_rng(seed).standard_normal(len(t))
    return (0.3 * np.sin(2 * np.pi * (200 + 20 * t) * t) * (np.sin(2 * t) > 0) + 0.03 * noise).astype(np.float32)


def stereo(seconds: float, sr: int) -> NDArray[np.float32]:
    y = sound(seconds, sr)
    return np.stack([y, 0.5 * y], axis=1)


def write_vbr(path: Path, y: NDArray[np.float32], sr: int) -> None:
    soundfile.write(path, y, sr, bitrate_mode="VARIABLE", compression_level=0.5)


def without_first_frame(mp3: bytes) -> bytes:
    """An MP3 without its first frame, in which LAME writes how long the file is."""
    assert b"Xing" in mp3[:200]
    following = mp3[:2]
    return mp3[mp3.index(following, 100) :]


def write_av(path: Path, codec: str, y: NDArray[np.float32], sr: int) -> None:
    """`y`, shape (samples, channels), by an encoder of FFmpeg."""
    with av.open(str(path), "w") as container:
        # AAC's noise substitution is off: the noise that a decoder fills in depends on where it began
        stream = container.add_stream(codec, rate=sr, options={"aac_pns": "0"} if codec == "aac" else {})
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(y.T), format="fltp", layout="stereo")
        frame.sample_rate = sr
        resampler = av.AudioResampler(stream.codec_context.codec.audio_formats[0].name, "stereo", sr)
        fifo, at = av.AudioFifo(), 0
        for part in resampler.resample(frame):
            part.pts = None
            fifo.write(part)
        while part := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
            part.pts, part.time_base = at, Fraction(1, sr)
            at += part.samples
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


# --- formats ---


@pytest.mark.parametrize(
    ("name", "sr", "subtype"),
    [
        ("a.wav", 8_000, "PCM_16"),
        ("a.wav", 96_000, "PCM_24"),
        ("a.wav", 44_100, "FLOAT"),
        ("a.wav", 22_050, "PCM_U8"),
        ("a.flac", 44_100, "PCM_16"),
        ("a.au", 22_050, "PCM_16"),
        ("a.aiff", 48_000, "PCM_16"),
        ("a.ogg", 44_100, "VORBIS"),
        ("a.mp3", 44_100, "MPEG_LAYER_III"),
    ],
)
def test_soundfile_reads_its_formats(tmp_path: Path, name: str, sr: int, subtype: str) -> None:
    x = stereo(1.5, sr)
    soundfile.write(tmp_path / name, x, sr, subtype=subtype)
    info = probe(tmp_path / name)
    y, rate = read(tmp_path / name)
    assert (info.sr, info.channels, info.decoder, rate) == (sr, 2, "soundfile", sr)
    assert info.duration_s == pytest.approx(1.5, abs=0.001)
    assert y.dtype == np.float32
    assert y.shape == (len(x),)
    assert np.corrcoef(y, x.mean(axis=1))[0, 1] > 0.98
    assert y.std() == pytest.approx(x.mean(axis=1).std(), rel=0.05)


@pytest.mark.parametrize(
    ("name", "codec", "sr"),
    [("a.m4a", "aac", 44_100), ("a.aac", "aac", 22_050), ("a.webm", "libopus", 48_000), ("a.m4a", "alac", 44_100)],
)
def test_ffmpeg_reads_the_others(tmp_path: Path, name: str, codec: str, sr: int) -> None:
    x = stereo(3, sr)
    write_av(tmp_path / name, codec, x, sr)
    info = probe(tmp_path / name)
    y, rate = read(tmp_path / name)
    assert (info.sr, info.channels, info.decoder, rate) == (sr, 2, "av", sr)
    assert info.duration_s == pytest.approx(3, abs=0.1)
    assert y.dtype == np.float32
    assert abs(len(y) - info.duration_s * sr) <= 0.001 * sr
    assert y.std() == pytest.approx(x.mean(axis=1).std(), rel=0.05)


def test_opus_in_ogg_is_read(tmp_path: Path) -> None:
    write_av(tmp_path / "a.opus", "libopus", stereo(3, 48_000), 48_000)
    assert probe(tmp_path / "a.opus").duration_s == pytest.approx(3, abs=0.001)


def test_mono_is_the_mean_of_six_channels(tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (8_000, 6)).astype(np.float32)
    soundfile.write(tmp_path / "six.wav", x, 8_000, subtype="FLOAT")
    assert probe(tmp_path / "six.wav").channels == 6
    np.testing.assert_allclose(read(tmp_path / "six.wav")[0], x.mean(axis=1), atol=1e-7)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples each block that libsndfile fills has room for."""
    sizes: list[int] = []
    original = sndfile.SequentialSoundFile.read

    def counted(file: sndfile.SequentialSoundFile, *given: Any, **named: Any) -> NDArray[np.float32]:
        sizes.extend([len(named["out"])] if "out" in named else [])
        return original(file, *given, **named)

    monkeypatch.setattr(sndfile.SequentialSoundFile, "read", counted)
    return sizes


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg"])
def test_block_size_does_not_change_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: list[int], name: str
) -> None:
    soundfile.write(tmp_path / name, stereo(3, 44_100), 44_100)
    found = []
    for values in (300_000, 10_000):
        monkeypatch.setattr(sndfile, "BLOCK_VALUES", values)
        found.append(read(tmp_path / name)[0])
    assert blocks == [150_000, *27 * [5_000]], "at once, and in many"
    np.testing.assert_array_equal(found[1], found[0])


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize(("n", "n_blocks"), [(900, 1), (2_999, 3), (3_000, 3), (3_001, 4)])
def test_the_last_block_may_be_full_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: list[int], channels: int, n: int, n_blocks: int
) -> None:
    monkeypatch.setattr(sndfile, "BLOCK_VALUES", 1_000 * channels + channels // 2)
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (n, channels))
    soundfile.write(tmp_path / "a.wav", x, 8_000, subtype="FLOAT")
    whole = soundfile.read(tmp_path / "a.wav", always_2d=True)[0].mean(axis=1)
    y, _ = read(tmp_path / "a.wav")
    assert blocks == [1_000] * n_blocks
    assert (y.shape, y.dtype) == (whole.shape, np.float32)
    np.testing.assert_allclose(y, whole, rtol=0, atol=1e-7)
    window, _ = read(tmp_path / "a.wav", start_s=0.1, seconds=0.25)  # 2,000 samples from the 800th on, or fewer
    np.testing.assert_allclose(window, whole[800:2_800], rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", ["a b.mp3", "naïve 日本.mp3", "two\nlines.mp3", "a:b|c?d=%20#.mp3", "-x.mp3"])
def test_files_with_odd_names_are_read(tmp_path: Path, name: str) -> None:
    write_vbr(tmp_path / name, sound(1, 22_050), 22_050)
    write_av(tmp_path / "a.m4a", "aac", stereo(1, 22_050), 22_050)
    (tmp_path / "a.m4a").rename((tmp_path / name).with_suffix(".m4a"))
    assert probe(tmp_path / name).decoder == "soundfile"
    assert probe((tmp_path / name).with_suffix(".m4a")).decoder == "av"


def test_file_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    write_vbr(tmp_path / "a.mp3", sound(1, 22_050), 22_050)
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.mp3")
    try:
        shutil.copy(tmp_path / "a.mp3", strange)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert probe(strange).duration_s == pytest.approx(1)


# --- windows ---


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg"])
@pytest.mark.parametrize("start_s", [0.0, 0.7, 3.1415, 9.5])
def test_a_window_is_the_slice_of_the_whole(tmp_path: Path, name: str, start_s: float) -> None:
    sr = 22_050
    soundfile.write(tmp_path / name, stereo(12, sr), sr)
    whole, _ = read(tmp_path / name)
    window, _ = read(tmp_path / name, start_s=start_s, seconds=2)
    assert len(window) == 2 * sr
    at = round(start_s * sr)
    # mpg123 rounds a last bit one way or the other, depending on where it began
    np.testing.assert_allclose(window, whole[at : at + 2 * sr], rtol=0, atol=2e-7 if name == "a.mp3" else 0)


@pytest.mark.parametrize("sr", [22_050, 44_100])
@pytest.mark.parametrize("name", ["a.mp3", "a.ogg"])
def test_low_bit_rate_window_is_exact_from_its_first_sample(tmp_path: Path, name: str, sr: int) -> None:
    quality = {"bitrate_mode": "VARIABLE"} if name == "a.mp3" else {}
    soundfile.write(tmp_path / name, sound(12, sr), sr, compression_level=0.5, **quality)
    whole, _ = read(tmp_path / name)
    for start_s in np.arange(0.31, 11, 0.31):
        window, _ = read(tmp_path / name, start_s=start_s, seconds=0.5)
        at = round(start_s * sr)
        np.testing.assert_allclose(window, whole[at : at + len(window)], rtol=0, atol=2e-7)


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.aac", "aac"), ("a.m4a", "alac"), ("a.ts", "aac")])
@pytest.mark.parametrize("start_s", [0.0, 0.7, 3.1415, 9.5])
def test_a_window_by_ffmpeg_is_the_slice_of_the_whole(tmp_path: Path, name: str, codec: str, start_s: float) -> None:
    sr = 44_100
    write_av(tmp_path / name, codec, stereo(12, sr), sr)
    whole, _ = read(tmp_path / name)
    window, _ = read(tmp_path / name, start_s=start_s, seconds=2)
    assert len(window) == 2 * sr
    at = round(start_s * sr)
    np.testing.assert_allclose(window, whole[at : at + 2 * sr], rtol=0, atol=0 if codec == "alac" else 1e-6)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.m4a", "a.ts", "bare.mp3"])
@pytest.mark.parametrize(("sr", "clip_s"), [(44_100, 0.7), (11_025, 0.5)])
def test_consecutive_windows_are_slices_of_the_whole(tmp_path: Path, name: str, sr: int, clip_s: float) -> None:
    path = tmp_path / name
    if name in ("a.m4a", "a.ts"):
        write_av(path, "aac", stereo(7.3, sr), sr)
    elif name == "bare.mp3":
        write_vbr(path, stereo(7.3, sr), sr)
        path.write_bytes(without_first_frame(path.read_bytes()))
    else:
        soundfile.write(path, stereo(7.3, sr), sr)
    whole, _ = read(path)
    found = list(read_clips(path, ClipSettings(clip_s=clip_s, min_s=0.1)))
    assert len(found) >= 10
    for clip in found:
        at = round(clip.start_s * sr)
        np.testing.assert_allclose(clip.y, whole[at : at + len(clip.y)], rtol=0, atol=1e-6)
        assert len(clip.y) == round(clip_s * sr)


def test_consecutive_windows_are_read_without_seeking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a format has no index, each seek reads the file from its beginning: three hours would never end."""
    write_vbr(tmp_path / "a.mp3", stereo(12, 22_050), 22_050)
    (tmp_path / "bare.mp3").write_bytes(without_first_frame((tmp_path / "a.mp3").read_bytes()))
    opened, sought = [], []
    av_open, seek = av.open, soundfile.SoundFile.seek
    monkeypatch.setattr(av, "open", lambda *a, **k: opened.append(a) or av_open(*a, **k))
    monkeypatch.setattr(soundfile.SoundFile, "seek", lambda self, *a: sought.append(a[0]) or seek(self, *a))
    every = ClipSettings(clip_s=1.0, max_clips=100)
    assert len(list(read_clips(tmp_path / "a.mp3", every))) == 12
    assert (opened, sought) == ([], [0])
    assert len(list(read_clips(tmp_path / "bare.mp3", every))) == 12
    assert len(opened) == 2, "once to look, once to read"
    with closing(reader.Audio(tmp_path / "bare.mp3")) as audio:
        opened.clear()
        for start_s, n_opened in ((0, 1), (1, 1), (1.5, 2), (2.6, 2), (9, 3), (3, 4)):
            assert len(audio.read(start_s, 1)) == 22_050
            assert len(opened) == n_opened, start_s


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("sr", [22_050, 11_025])  # 2.5 s are no whole samples at the latter
def test_short_windows_without_a_gap_are_read_without_a_seek(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sr: int
) -> None:
    """Neither by us nor by soundfile, which seeks after each of its reads where it may."""
    soundfile.write(tmp_path / name, stereo(35.0, sr), sr)
    whole, sought, seek = read(tmp_path / name)[0], list[int](), soundfile.SoundFile.seek
    monkeypatch.setattr(soundfile.SoundFile, "seek", lambda self, *a: sought.append(a[0]) or seek(self, *a))
    found = list(read_clips(tmp_path / name, ClipSettings(clip_s=2.5, max_clips=20)))
    assert [c.start_s for c in found] == [2.5 * i for i in range(14)]
    for clip in found:
        start = round(clip.start_s * sr)
        np.testing.assert_array_equal(clip.y, whole[start : start + round(2.5 * sr)])
    assert sought == ([0] if name == "a.mp3" else [35 * sr - 64, 0]), "to look whether it ends there, and to begin"


def test_millisecond_time_stamps_place_a_window_within_a_millisecond(tmp_path: Path) -> None:
    sr = 48_000
    write_av(tmp_path / "a.webm", "libopus", stereo(12, sr), sr)
    whole, _ = read(tmp_path / "a.webm")
    window, _ = read(tmp_path / "a.webm", start_s=5, seconds=2)
    shifts = range(-sr // 1000, sr // 1000 + 1)
    assert min(np.abs(window - whole[5 * sr + d : 7 * sr + d]).max() for d in shifts) < 0.01


def test_a_window_ends_with_the_file(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(2, 8_000), 8_000)
    write_av(tmp_path / "a.m4a", "aac", stereo(2, 22_050), 22_050)
    assert len(read(tmp_path / "a.wav", start_s=1.5, seconds=2)[0]) == 4_000
    assert len(read(tmp_path / "a.wav", start_s=1.5)[0]) == 4_000
    assert len(read(tmp_path / "a.wav", start_s=5)[0]) == 0
    assert len(read(tmp_path / "a.m4a", start_s=1.5, seconds=2)[0]) == pytest.approx(11_025, abs=1_024)
    assert len(read(tmp_path / "a.m4a", start_s=5, seconds=1)[0]) == 0


@pytest.mark.parametrize(
    ("duration_s", "starts"),
    [
        (0.1, (0,)),
        (29.98, (0,)),
        (30.01, (0,)),
        (31.5, (0,)),
        (31.6, (0,)),
        (44.9, (0,)),
        (45.0, (0, 15)),
        (59.0, (0, 29)),
        (60.0, (0, 30)),
        (70.0, (0, 30)),
        (76.0, (0, 30, 46)),
        (300.0, tuple(range(0, 300, 30))),
        (900.0, (0, *range(120, 900, 90))),  # the first, and of every further three the middle one
        (316.0, (0, 30, 60, 90, 120, 180, 210, 240, 270, 286)),  # of eleven one is left out, in the middle
    ],
)
def test_clip_starts_are_spread_over_the_track(duration_s: float, starts: tuple[float, ...]) -> None:
    assert clip_starts(duration_s, ClipSettings()) == pytest.approx(starts)


@pytest.mark.parametrize(
    ("duration_s", "max_clips", "first", "more"),
    [
        (8, 1, (0,), (1,)),
        (8, 3, (0, 4, 6), (1, 2, 5)),
        (8, 5, (0, 2, 4, 5, 7), (1, 3, 6)),  # no more are left
        (8.5, 8, (0, 1, 2, 3, 5, 6, 7, 7.5), (4,)),
        (8.5, 9, (0, 1, 2, 3, 4, 5, 6, 7, 7.5), ()),
        (8.5, 4, (0, 3, 5, 7), (1, 2, 4, 6)),
        (96, 5, (0, 28, 48, 67, 86), (3, 21, 40, 59, 78)),  # near the beginning of each fifth
        (1, 3, (0,), ()),
        (1.4, 3, (0,), ()),
    ],
)
def test_second_pass_uses_other_clips(
    duration_s: float, max_clips: int, first: tuple[float, ...], more: tuple[float, ...]
) -> None:
    settings = ClipSettings(clip_s=1.0, max_clips=max_clips)
    assert (clip_starts(duration_s, settings), clip_starts(duration_s, settings, more=True)) == (first, more)


@given(st.floats(0, 40_000), st.integers(1, 12), st.floats(0.5, 60))
def test_clip_starts_keep_their_invariants(duration_s: float, max_clips: int, clip_s: float) -> None:
    settings = ClipSettings(clip_s=clip_s, max_clips=max_clips)
    every = clip_starts(duration_s, ClipSettings(clip_s=clip_s, max_clips=sys.maxsize))
    n, slack = len(every), 1e-6 * duration_s
    assert every[0] == 0
    assert list(every) == sorted(set(every))
    if n > 1:
        assert every[-1] + clip_s <= duration_s + slack
        assert every[-1] + 1.5 * clip_s + slack >= duration_s
    first, more = clip_starts(duration_s, settings), clip_starts(duration_s, settings, more=True)
    assert (len(first), len(more)) == (min(n, max_clips), min(n - len(first), max_clips))
    assert {*first, *more} <= set(every)
    assert list(first) == sorted(set(first)) and list(more) == sorted(set(more) - set(first))
    assert first[0] == 0, "some views look at nothing else"
    middles = (np.arange(1, len(first)) + 0.5) * n / len(first)
    off = np.abs(np.searchsorted(every, first[1:]) + 0.5 - middles)
    assert off.max(initial=0) < 0.5 + 1e-6, "each of the others holds its part's middle"
    assert clip_starts(duration_s, ClipSettings(clip_s=clip_s, max_clips=sys.maxsize), more=True) == ()


def test_starts_of_an_endless_track_are_computed_without_a_list() -> None:
    years = ClipSettings(max_clips=3)
    assert clip_starts(1e15, years) == pytest.approx((0, 5e14, 1e15 * 5 / 6), rel=1e-9)
    more = clip_starts(1e15, years, more=True)
    assert more == pytest.approx([1e15 * (i + 0.118) / 3 for i in range(3)], rel=1e-3)


def write_channels(path: Path, channels: int, sr: int = 48_000) -> None:
    """One second of Opus, which is decoded to a plane for each channel."""
    n = sr // 50
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=sr, options={"mapping_family": "255"})
        stream.layout = f"{channels}c"
        y = (8_000 * sound(1, sr)).astype(np.int16).repeat(channels).reshape(-1, n * channels)
        for i, part in enumerate(y):
            frame = av.AudioFrame(format="s16", layout=f"{channels}c", samples=n)
            frame.sample_rate, frame.pts, frame.time_base = sr, i * n, Fraction(1, sr)
            frame.planes[0].update(part.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("channels", [7, 8, 12])
def test_planar_audio_with_many_channels_is_read(tmp_path: Path, channels: int) -> None:
    write_channels(tmp_path / "a.mka", channels)
    y, sr = read(tmp_path / "a.mka")
    assert (len(y), sr) == (48_000, 48_000)
    assert np.corrcoef(y, sound(1, 48_000))[0, 1] > 0.9


def test_a_long_track_becomes_clips(tmp_path: Path) -> None:
    sr = 8_000
    x = sound(4.75, sr)
    soundfile.write(tmp_path / "a.wav", x, sr, subtype="FLOAT")
    found = list(read_clips(tmp_path / "a.wav", SECOND))
    assert [c.start_s for c in found] == [0, 1, 2, 3, 3.75]
    for clip in found:
        at = round(clip.start_s * sr)
        np.testing.assert_array_equal(clip.y, x[at : at + sr])
    in_memory = list(clips_from_audio(AudioInMemory("samples", x, sr), SECOND))
    assert [c.start_s for c in in_memory] == [c.start_s for c in found]
    for a, b in zip(in_memory, found, strict=True):
        np.testing.assert_array_equal(a.y, b.y)


def test_a_short_track_is_one_clip_with_every_sample(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(1.04, 8_000), 8_000)
    (clip,) = read_clips(tmp_path / "a.wav", SECOND)
    assert (clip.start_s, len(clip.y), clip.sr) == (0, 8_320, 8_000)


@pytest.mark.slow
@pytest.mark.parametrize("first_frame", [True, False])
def test_ten_minutes_are_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_frame: bool) -> None:
    sr, path = 16_000, tmp_path / "long.mp3"
    minute = sound(60, sr)
    with soundfile.SoundFile(path, "w", sr, 1, format="MP3", bitrate_mode="VARIABLE", compression_level=0.9) as file:
        for _ in range(10):
            file.write(minute)
    if not first_frame:
        path.write_bytes(without_first_frame(path.read_bytes()))
    assert probe(path).decoder == ("soundfile" if first_frame else "av")
    decoded = []
    planes = ffmpeg.planes
    monkeypatch.setattr(ffmpeg, "planes", lambda frame: decoded.append(frame.samples) or planes(frame))
    tracemalloc.start()
    found = [(c.start_s, len(c.y) / sr) for c in read_clips(path, ClipSettings(clip_s=10, max_clips=3))]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [(0, 10), (300, 10), (500, 10)]
    assert peak < 8 * 10 * sr * 4  # all of it would be 60 windows
    assert sum(decoded) / sr < 33


# --- files that are not what they say ---


def test_vbr_mp3_without_its_first_frame_is_read_to_its_end(tmp_path: Path) -> None:
    write_vbr(tmp_path / "a.mp3", stereo(20, 44_100), 44_100)
    path = tmp_path / "bare.mp3"
    path.write_bytes(without_first_frame((tmp_path / "a.mp3").read_bytes()))
    assert abs(soundfile.info(path).duration - 20) > 1, "soundfile counts right by itself: the special care can go"
    info = probe(path)
    assert info.decoder == "av"
    assert info.duration_s == pytest.approx(20, abs=0.06)
    late = 1_105  # without the first frame no decoder knows of the encoder's delay
    whole, bare = read(tmp_path / "a.mp3")[0], read(path)[0]
    assert len(bare) == pytest.approx(len(whole), abs=3_000)
    np.testing.assert_allclose(bare[late : late + len(whole) - 4_000], whole[:-4_000], atol=1e-3)


def test_cbr_mp3_without_its_first_frame_is_read_by_soundfile(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", stereo(10, 44_100), 44_100, bitrate_mode="CONSTANT", compression_level=0.5)
    content = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(content[content.index(content[:2], 100) :])
    assert probe(tmp_path / "a.mp3").decoder == "soundfile"
    assert probe(tmp_path / "a.mp3").duration_s == pytest.approx(10, abs=0.1)


def test_length_of_an_mp3_behind_a_picture_is_trusted(tmp_path: Path) -> None:
    write_vbr(tmp_path / "a.mp3", stereo(2, 44_100), 44_100)
    picture = b"ID3\x03\x00\x00" + bytes([0, 0, 100, 0]) + bytes(12_800)
    (tmp_path / "b.mp3").write_bytes(picture + (tmp_path / "a.mp3").read_bytes() + bytes(128))
    with closing(sndfile.SoundFile(Part(tmp_path / "b.mp3"), [])) as source:
        assert source.is_complete() and source.corrected() is None
    np.testing.assert_array_equal(read(tmp_path / "b.mp3")[0], read(tmp_path / "a.mp3")[0])


def test_two_mp3s_in_one_file_are_both_read(tmp_path: Path) -> None:
    write_vbr(tmp_path / "a.mp3", stereo(4, 44_100), 44_100)
    content = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "b.mp3").write_bytes(content + content)
    assert probe(tmp_path / "b.mp3").duration_s == pytest.approx(8, abs=0.2)


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.wav", "a.ogg", "a.aac"])
def test_remaining_part_of_a_truncated_file_is_read(tmp_path: Path, name: str) -> None:
    if name == "a.aac":
        write_av(tmp_path / name, "aac", stereo(8, 44_100), 44_100)
    else:
        soundfile.write(tmp_path / name, stereo(8, 44_100), 44_100)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    (clip,) = read_clips(tmp_path / name)
    assert 2 < len(clip.y) / clip.sr < 6  # half of the bytes; of half the seconds where the rate varies
    assert probe(tmp_path / name).duration_s == pytest.approx(len(clip.y) / clip.sr, abs=0.1)
    windows = list(read_clips(tmp_path / name, SECOND))
    assert len(windows) >= 2
    assert windows[-1].start_s < 6


def test_damage_in_the_middle_is_left_out(tmp_path: Path) -> None:
    write_vbr(tmp_path / "a.mp3", stereo(10, 44_100), 44_100)
    content = bytearray((tmp_path / "a.mp3").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 10_000] = bytes(10_000)
    (tmp_path / "a.mp3").write_bytes(content)
    (clip,) = read_clips(tmp_path / "a.mp3")
    assert 8 < len(clip.y) / clip.sr < 10


@pytest.mark.parametrize("quiet", [True, False])
def test_mpg123_prints_nothing_on_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    write_vbr(tmp_path / "a.mp3", stereo(4, 44_100), 44_100)
    content, rng = (tmp_path / "a.mp3").read_bytes(), np.random.default_rng(0)
    for at in range(20_000, 25_000, 50):  # the frames stay where they are, and hold nonsense
        if b"\xff" not in content[at - 8 : at + 20]:
            content = content[:at] + bytes(rng.integers(0, 255, 20, dtype=np.uint8)) + content[at + 20 :]
    (tmp_path / "a.mp3").write_bytes(content)
    if not quiet:
        monkeypatch.setattr(sndfile, "silence_c_stderr", nullcontext())
    assert len(list(read_clips(tmp_path / "a.mp3"))) == 1
    assert ("mpg123" in capfd.readouterr().err) is not quiet
    print("Python's own", file=sys.stderr)
    assert capfd.readouterr().err == "Python's own\n"


def test_text_named_mp3_is_refused_quoting_both_decoders(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_text("no sound\n" * 1_000)
    with pytest.raises(DecodeError, match=r"a\.mp3: cannot be decoded \(not audio, or damaged\)") as e:
        probe(tmp_path / "a.mp3")
    assert e.value.stage == "decode"


def test_text_named_au_is_not_taken_for_noise(tmp_path: Path) -> None:
    (tmp_path / "a.au").write_text("no sound\n" * 1_000)
    with pytest.raises(DecodeError):
        read(tmp_path / "a.au")


@pytest.mark.parametrize("kind", ["missing", "empty", "folder", "pipe", "long name", "null byte", "forbidden"])
def test_missing_or_irregular_file_is_a_read_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path = tmp_path / {"long name": "x" * 300, "null byte": "a\0b"}.get(kind, "a.mp3")
    if kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "forbidden":
        path.write_bytes(b"x")
        monkeypatch.setattr(Path, "open", _forbidden)
    words = {"missing": "no such file", "empty": "is empty", "folder": "a folder", "pipe": "not a regular file"}
    words |= {"long name": "too long", "null byte": "not a valid file name", "forbidden": "no permission"}
    for attempt in (probe, read, lambda p: list(read_clips(p))):
        with pytest.raises(DecodeError, match=words[kind]) as e:
            attempt(path)
        assert e.value.stage == "read"


def _forbidden(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("name", ["a.mp3", "a.m3u8"])
def test_playlist_does_not_open_the_files_it_names(tmp_path: Path, name: str) -> None:
    write_av(tmp_path / "other.aac", "aac", stereo(1, 44_100), 44_100)
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:10", "#EXTINF:10,", str(tmp_path / "other.aac"), "#EXT-X-ENDLIST"]
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    with pytest.raises(DecodeError):
        read(tmp_path / name)


def test_a_film_without_sound_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(DecodeError, match="no audio stream"):
        probe(tmp_path / "a.mp4")


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.wav", "a.ogg", "a.aac"])
def test_mutated_bytes_are_decoded_or_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.aac":
        write_av(path, "aac", stereo(0.6, 22_050), 22_050)
    else:
        soundfile.write(path, stereo(0.6, 22_050), 22_050)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    outcomes = set()
    for attempt in range(100):
        mutated = bytearray(content)
        reach = len(content) if attempt % 2 else 200  # every other time the header
        for at in rng.integers(0, reach, rng.integers(1, 20)):
            mutated[at] = rng.integers(256)
        path.write_bytes(mutated[: rng.integers(1, len(content))] if attempt % 5 == 0 else mutated)
        try:
            found = list(read_clips(path, ClipSettings(clip_s=0.3, min_s=0.1)))
            assert all(c.y.dtype == np.float32 and c.y.ndim == 1 and np.isfinite(c.y).all() for c in found)
            outcomes.add("decoded")
        except DecodeError:
            outcomes.add("refused")
    assert "refused" in outcomes
    assert name == "a.ogg" or "decoded" in outcomes  # every page of Ogg has a checksum


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    for i in range(4):
        write_vbr(tmp_path / f"{i}.mp3", sound(2, 22_050, seed=i), 22_050)
    paths = [tmp_path / f"{i % 4}.mp3" for i in range(24)]
    expected = [read(p)[0] for p in paths]
    with ThreadPoolExecutor(4) as pool:
        for y, z in zip(pool.map(lambda p: read(p)[0], paths), expected, strict=True):
            np.testing.assert_array_equal(y, z)


# --- check ---


def test_samples_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    x = sound(3, 8_000)
    x[20_000] = np.nan
    soundfile.write(tmp_path / "a.wav", x, 8_000, subtype="FLOAT")
    for settings in (ClipSettings(), SECOND):
        with pytest.raises(DecodeError, match="contains NaN or infinite samples") as e:
            list(read_clips(tmp_path / "a.wav", settings))
        assert e.value.stage == "check"


def test_a_tenth_of_a_second_is_too_short(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(0.1, 44_100), 44_100)
    with pytest.raises(DecodeError, match=r"too short: 0\.10 s, the minimum is 0\.5 s"):
        list(read_clips(tmp_path / "a.wav"))


@pytest.mark.parametrize("seconds", [2.0, 0.9])
def test_silence_is_refused(tmp_path: Path, seconds: float) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(round(seconds * 8_000), 5e-5), 8_000, subtype="FLOAT")
    with pytest.raises(DecodeError, match="silent"):
        list(read_clips(tmp_path / "a.wav", SECOND))


def test_a_silent_stretch_among_others_is_left_out(tmp_path: Path) -> None:
    x = sound(4, 8_000)
    x[:8_000] = 0
    x[16_000:24_000] = 0
    soundfile.write(tmp_path / "a.wav", x, 8_000)
    assert [c.start_s for c in read_clips(tmp_path / "a.wav", SECOND)] == [1, 3]


TWO_PASSES = ClipSettings(clip_s=1.0, max_clips=2)
"""Of eight seconds it reads those that start at 0 and 6, and in the second pass those at 1 and 4."""


def starts_of_pass(path: Path, x: NDArray[np.float32], *, more: bool) -> list[float]:
    """Starts of the stretches, in a file and in memory alike; the error, too."""
    soundfile.write(path, x, 8_000, subtype="FLOAT")
    with closing(reader.Audio(path)) as audio:
        ways = [
            clips_from_audio(audio, TWO_PASSES, more=more),
            clips_from_audio(AudioInMemory(path, x, 8_000), TWO_PASSES, more=more),
        ]
        in_file, in_memory = [_starts_or_error(way, x) for way in ways]
    assert in_file == in_memory
    if isinstance(in_file, str):
        raise DecodeError(path, in_file, stage="check")
    return in_file


def _starts_or_error(found: Iterator[Clip], x: NDArray[np.float32]) -> list[float] | str:
    starts = []
    try:
        for clip in found:
            at = round(clip.start_s * clip.sr)
            np.testing.assert_array_equal(clip.y, x[at : at + clip.sr])
            starts.append(clip.start_s)
    except DecodeError as e:
        assert e.stage == "check"
        return e.reason
    return starts


def test_second_pass_reads_what_the_first_left_out(tmp_path: Path) -> None:
    x = sound(8, 8_000)
    assert starts_of_pass(tmp_path / "a.wav", x, more=False) == [0, 6]
    assert starts_of_pass(tmp_path / "a.wav", x, more=True) == [1, 4]
    x[8_000:16_000] = 0
    assert starts_of_pass(tmp_path / "a.wav", x, more=True) == [4]


def test_silent_remainder_is_no_error_in_a_second_pass(tmp_path: Path) -> None:
    x = sound(8, 8_000)
    x[8_000:48_000] = x[56_000:] = 0
    assert starts_of_pass(tmp_path / "a.wav", x, more=False) == [0, 6]
    assert starts_of_pass(tmp_path / "a.wav", x, more=True) == []
    with pytest.raises(DecodeError, match="silent"):
        starts_of_pass(tmp_path / "a.wav", np.roll(x, 8_000), more=False)


def test_samples_that_are_not_finite_are_refused_in_a_second_pass(tmp_path: Path) -> None:
    for second, first_too in ((4, False), (6, True)):
        x = sound(8, 8_000)
        x[8_000 * second + 5_000] = np.inf
        for more in (False, True):
            if more is not first_too:
                with pytest.raises(DecodeError, match="NaN or infinite"):
                    starts_of_pass(tmp_path / "a.wav", x, more=more)
            else:
                assert starts_of_pass(tmp_path / "a.wav", x, more=more) == ([1, 4] if more else [0, 6])


# --- resample ---


def test_resample_keeps_the_sound_and_the_length() -> None:
    t = np.arange(44_100) / 44_100
    y = np.sin(2 * np.pi * 440 * t).astype(np.float32)
    z = resample(y, 44_100, 22_050)
    assert z.dtype == np.float32
    assert len(z) == 22_050
    np.testing.assert_allclose(z[1_000:-1_000], y[::2][1_000:-1_000], atol=1e-4)
    assert resample(y, 44_100, 44_100) is y


# --- real audio ---


@pytest.mark.real
@pytest.mark.parametrize(
    "pattern",
    ["gtzan_2s/*/*.flac", "gtzan_15s/*/*.mp3", "gtzan_30s/*/*", "emotify_30s/*/*.mp3", "fma/fma_small/000/*.mp3"],
)
def test_real_files_decode(shared: Path, pattern: str) -> None:
    paths = sorted((shared / "data").glob(pattern))[::10][:5]
    assert paths
    for path in paths:
        info = probe(path)
        found = list(read_clips(path))
        assert info.decoder == "soundfile"
        assert sum(len(c.y) for c in found) / info.sr == pytest.approx(info.duration_s, abs=0.1)


@pytest.mark.real
def test_windows_of_a_real_song_are_slices_of_it(shared: Path) -> None:
    path = shared / "data" / "assorted" / "Kevin_MacLeod_-_Vibe_Ace.hq.ogg"
    whole, sr = read(path)
    found = list(read_clips(path))
    assert [c.start_s for c in found] == [0, 30]
    for clip in found:
        at = round(clip.start_s * sr)
        np.testing.assert_array_equal(clip.y, whole[at : at + 30 * sr])


def test_length_is_measured_only_up_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who takes a minute at most has to read the packets of a day."""
    sr = 22_050
    write_av(tmp_path / "a.aac", "aac", stereo(20, sr), sr)  # frames that follow each other, and no length anywhere
    with closing(reader.Audio(tmp_path / "a.aac")) as audio:
        whole_s = audio.frames / audio.sr
    seen = 0
    real = ffmpeg.packets

    def packets(*given: object) -> Iterator[object]:
        nonlocal seen
        for packet in real(*given):  # type: ignore[arg-type]
            seen += 1
            yield packet

    monkeypatch.setattr(ffmpeg, "packets", packets)
    for max_s in (whole_s + 1, whole_s):
        with closing(reader.Audio(tmp_path / "a.aac", max_s=max_s)) as audio:
            assert audio.frames / audio.sr == whole_s
    seen = 0
    with closing(reader.Audio(tmp_path / "a.aac", max_s=5.0)) as audio:
        assert 5.0 < audio.frames / audio.sr < 5.1
    assert 5 * sr / 1_024 <= seen < 5.2 * sr / 1_024 + 4


# --- spread over the track ---


@pytest.mark.parametrize("n", range(1, 40))
def test_spread_order_names_every_number_once_and_its_beginning_is_spread(n: int) -> None:
    order = spread_order(n)
    assert sorted(order) == list(range(n)) and order[0] == n // 2
    for k in range(1, n + 1):
        edges = np.array(sorted([-0.5, *order[:k], n - 0.5]))
        assert np.diff(edges).max() <= 2 * n / k + 1, "no long stretch is left out"


def test_spread_clips_are_the_same_in_another_order(tmp_path: Path) -> None:
    """In memory and in a file; silent ones are left out of both."""
    y, settings = sound(12.5, 8_000), ClipSettings(clip_s=1.0, max_clips=9)
    y[3 * 8_000 : 5 * 8_000] = 0
    soundfile.write(tmp_path / "a.wav", y, 8_000, subtype="FLOAT")
    in_order = list(clips_from_audio(AudioInMemory("a", y, 8_000), settings))
    spread = list(clips_from_audio(AudioInMemory("a", y, 8_000), settings, spread=True))
    with closing(reader.Audio(tmp_path / "a.wav")) as audio:
        from_file = list(clips_from_audio(audio, settings, spread=True))
    starts = clip_starts(12.5, settings)
    used = [clip.start_s for clip in in_order]
    assert [clip.start_s for clip in spread] == [starts[i] for i in spread_order(len(starts)) if starts[i] in used]
    assert used == sorted(used) != [clip.start_s for clip in spread] and len(used) < len(starts) == 9
    by_start = {clip.start_s: clip.y for clip in in_order}
    for clip, same in zip(spread, from_file, strict=True):
        np.testing.assert_array_equal(clip.y, by_start[clip.start_s])
        np.testing.assert_array_equal(clip.y, same.y)
