"""Headers that state a wrong length: what is decoded counts, and is the same as with a right header."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genrelab.audio import lengths
from genrelab.audio.channels import blocks
from genrelab.audio.clips import probe, read, read_clips
from genrelab.audio.flac import flac_length
from genrelab.audio.lengths import count_mpeg_frames
from genrelab.audio.reader import Audio
from genrelab.core.config import ClipSettings
from tests.support.containers import by_ffmpeg, sound

SR = 44_100
WINDOWS = ClipSettings(clip_s=0.7, max_clips=20, min_s=0.1)


def frames(mp3: bytearray, change: Callable[[int], int], at: int = 8) -> None:
    """Change a number in the Xing or Info header: of frames, or of bytes (12)."""
    place = max(mp3.find(b"Xing"), mp3.find(b"Info")) + at
    (n,) = struct.unpack_from(">I", mp3, place)
    struct.pack_into(">I", mp3, place, change(n))


def total(flac: bytearray, change: Callable[[int], int]) -> None:
    """Change the number of samples in STREAMINFO."""
    place = flac.index(b"fLaC") + 18
    (bits,) = struct.unpack_from(">Q", flac, place)
    struct.pack_into(">Q", flac, place, bits >> 36 << 36 | change(bits & (1 << 36) - 1))


def same_samples(path: Path, right: Path) -> None:
    """Whole, in windows and by channel."""
    whole = read(right)[0]
    assert probe(path).duration_s == pytest.approx(probe(right).duration_s, abs=1e-9)
    np.testing.assert_array_equal(read(path)[0], whole)
    found, expected = list(read_clips(path, WINDOWS)), list(read_clips(right, WINDOWS))
    assert [c.start_s for c in found] == [c.start_s for c in expected]
    for clip, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(clip.y, other.y)
    with closing(Audio(path)) as audio:
        assert sum(map(len, blocks(audio.parts))) == len(whole)


@pytest.mark.parametrize("bit_rate", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("lie", [lambda n: 0, lambda n: 1, lambda n: n // 3, lambda n: 7 * n, lambda n: 0xFFFFFFFF])
@pytest.mark.parametrize("tagged", [False, True])
def test_wrong_number_of_frames_changes_nothing(
    tmp_path: Path, bit_rate: str, lie: Callable[[int], int], tagged: bool
) -> None:
    right, path = tmp_path / "right.mp3", tmp_path / "a.mp3"
    soundfile.write(right, sound(3), SR, bitrate_mode=bit_rate, compression_level=0.5)
    content = bytearray(right.read_bytes())
    if tagged:
        content = bytearray(b"ID3\x04\0\0\0\0\x10\0" + bytes(2_048)) + content + b"TAG" + bytes(125)
    frames(content, lie)
    path.write_bytes(content)
    same_samples(path, right)
    frames(content, lambda n: 5 * n, at=12)
    path.write_bytes(content)
    same_samples(path, right)


@pytest.mark.parametrize(("sr", "channels"), [(44_100, 2), (22_050, 1), (48_000, 1)])
@pytest.mark.parametrize("lie", [lambda n: 0, lambda n: 1, lambda n: n // 3, lambda n: n - 5_000, lambda n: 7 * n])
def test_wrong_number_of_samples_changes_nothing(
    tmp_path: Path, sr: int, channels: int, lie: Callable[[int], int]
) -> None:
    right, path = tmp_path / "right.flac", tmp_path / "a.flac"
    soundfile.write(right, sound(3)[:, :channels], sr)
    content = bytearray(right.read_bytes())
    total(content, lie)
    path.write_bytes(content)
    same_samples(path, right)
    path.write_bytes(content + b"TAG" + bytes(125))
    same_samples(path, right)


def test_a_lie_of_a_file_that_is_cut_off_is_not_believed_either(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", sound(4), SR)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    total(content, lambda n: n // 10)
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2])
    assert 1.5 < probe(tmp_path / "a.flac").duration_s < 2.5
    soundfile.write(tmp_path / "a.mp3", sound(4), SR)
    content = bytearray((tmp_path / "a.mp3").read_bytes())
    frames(content, lambda n: n // 10)
    (tmp_path / "a.mp3").write_bytes(content[: len(content) // 2])
    assert 1.5 < probe(tmp_path / "a.mp3").duration_s < 2.5


def test_frames_are_counted_across_blocks_and_behind_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.mp3", sound(3), SR)
    content = (tmp_path / "a.mp3").read_bytes()
    with (tmp_path / "a.mp3").open("rb") as file:
        whole = count_mpeg_frames(file)
        assert whole is not None and not whole.gaps and whole.agrees(3 * SR)
        monkeypatch.setattr(lengths, "BLOCK", 5_000)
        assert count_mpeg_frames(file) == whole
    middle = len(content) // 2
    (tmp_path / "a.mp3").write_bytes(content[:middle] + bytes(9_000) + content[middle:])
    with (tmp_path / "a.mp3").open("rb") as file:
        damaged = count_mpeg_frames(file)
    assert damaged is not None and damaged.gaps and abs(damaged.frames - whole.frames) < 3


def test_what_is_neither_has_no_frames(tmp_path: Path) -> None:
    for content in (b"", b"ID3", b"fLaC", b"no sound " * 99, np.random.default_rng(0).bytes(100_000)):
        (tmp_path / "a").write_bytes(content)
        with (tmp_path / "a").open("rb") as file:
            assert flac_length(file) is None
            assert count_mpeg_frames(file) is None


def test_au_that_states_too_little_is_read_to_its_end(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.au", sound(3), SR)
    content = bytearray((tmp_path / "a.au").read_bytes())
    struct.pack_into(">I", content, 8, struct.unpack_from(">I", content, 8)[0] // 3)
    (tmp_path / "a.au").write_bytes(content)
    assert probe(tmp_path / "a.au").duration_s == pytest.approx(3)


@pytest.mark.parametrize("container", ["matroska", "mp4"])
def test_time_stamps_that_jump_do_not_make_it_longer(tmp_path: Path, container: str) -> None:
    """Half of the packets have the time stamps of packets played ten seconds later than they are."""
    import av

    path, jumping = tmp_path / "a.m4a", tmp_path / ("b.mka" if container == "matroska" else "b.mp4")
    by_ffmpeg("aac")(path, 4.0)
    with av.open(str(path)) as source, av.open(str(jumping), "w") as out:
        stream = source.streams.audio[0]
        target = out.add_stream_from_template(stream)
        late = 10 * stream.time_base.denominator // stream.time_base.numerator
        for i, packet in enumerate(source.demux(stream)):
            if packet.pts is None:
                continue
            if i > 80:
                packet.pts, packet.dts = packet.pts + late, packet.dts + late
            packet.stream = target
            out.mux(packet)
    whole = read(jumping)[0]
    assert len(whole) / SR == pytest.approx(4, abs=0.1) == probe(jumping).duration_s
    window = read(jumping, start_s=3.0, seconds=0.5)[0]
    np.testing.assert_allclose(window, whole[3 * SR : round(3.5 * SR)], atol=1e-6)


def test_the_default_stream_is_read_not_the_first(tmp_path: Path) -> None:
    import av
    from av.stream import Disposition

    y = (0.5 * np.sin(np.arange(SR) / 20)).astype(np.float32)
    for name, n_default in (("a.mka", 1), ("b.mka", 0), ("c.mka", 2), ("d.mov", 1)):
        with av.open(str(tmp_path / name), "w") as out:
            streams = [out.add_stream("pcm_s16le", rate=SR, layout="mono") for _ in range(3)]
            for i, stream in enumerate(streams):
                stream.disposition = Disposition.default if i == n_default else Disposition(0)
            for i, stream in enumerate(streams):
                frame = av.AudioFrame.from_ndarray(np.int16(30_000 * y / (i + 1))[None], format="s16p", layout="mono")
                frame.sample_rate = SR
                for part in av.AudioResampler("s16", "mono", SR).resample(frame):
                    out.mux(stream.encode(part))
                out.mux(stream.encode(None))
        peak = np.abs(read(tmp_path / name)[0]).max() / (0.5 * 30_000 / 32_768)
        assert 1 / peak == pytest.approx(n_default + 1, rel=0.02), name
