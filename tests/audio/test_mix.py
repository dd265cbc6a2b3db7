"""Channels that cancel each other out: only the loudest one is used, with a note."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from genrelab.audio.clips import clips_from_audio, read
from genrelab.audio.mix import CANCELLED, Mixer
from genrelab.audio.reader import Audio
from genrelab.core.config import ClipSettings
from tests.support.faulty import SR, tune, write

SECOND = ClipSettings(clip_s=1.0)


def noise(seed: int, amplitude: float = 0.2) -> NDArray[np.float32]:
    return (amplitude * np.random.default_rng(seed).standard_normal(len(tune(1)))).astype(np.float32)


LFE = 0.004 * np.sin(np.arange(len(tune(1))) / 100).astype(np.float32)

CANCELLING: dict[str, tuple[NDArray[np.float32], int]] = {
    "inverted": (np.stack([tune(1), -tune(1)], axis=1), 0),
    "inverted, the second louder": (np.stack([0.9 * tune(1), -tune(1)], axis=1), 1),
    "inverted, with noise of its own": (
        np.stack([1.1 * tune(1) + noise(1, 0.002), -tune(1) + noise(2, 0.002)], axis=1),
        0,
    ),
    "5.1 of inverted pairs": (
        np.stack([tune(1), -1.05 * tune(1), 0 * LFE, LFE, -0.5 * tune(2), 0.5 * tune(2)], axis=1),
        1,
    ),
    "four, two of them inverted": (np.stack([tune(1), tune(1), -1.1 * tune(1), -tune(1)], axis=1), 2),
    "three": (np.stack([tune(1), -0.5 * tune(1), -0.5 * tune(1)], axis=1), 0),
}

HONEST = {
    "equal": np.stack([tune(1)] * 2, axis=1),
    "nothing in common": np.stack([noise(1), noise(2)], axis=1),
    "one side": np.stack([tune(1), 0 * tune(1)], axis=1),
    "wide": np.stack([tune(1) + 0.9 * tune(2), tune(1) - 0.9 * tune(2)], axis=1),
    "wider than any record": np.stack([0.3 * tune(1) + tune(2), 0.3 * tune(1) - tune(2)], axis=1),
    "inverted and much quieter": np.stack([tune(1), -0.5 * tune(1)], axis=1),
    "5.1 of one channel": np.stack([*[0 * tune(1)] * 5, tune(1)], axis=1),
    "one of sixteen": np.stack([*[0 * tune(1)] * 15, tune(1)], axis=1),
    "mono": tune(1)[:, None],
}


@pytest.mark.parametrize("suffix", ["wav", "flac", "mov"])
@pytest.mark.parametrize("name", CANCELLING)
def test_only_the_loudest_channel_is_used(tmp_path: Path, name: str, suffix: str) -> None:
    x, loudest = CANCELLING[name]
    path = write(tmp_path / "a.wav", x.astype(np.float32), subtype="FLOAT")
    if suffix == "mov":
        path = _as_mov(path, tmp_path / "a.mov")
    elif suffix == "flac":
        path = write(tmp_path / "a.flac", x.astype(np.float32))
    with closing(Audio(path)) as audio:
        y = audio.read(0.0, None)
        assert audio.decoder == ("av" if suffix == "mov" else "soundfile")
        windows = [clip.y for clip in clips_from_audio(audio, SECOND)]
        assert audio.notes == [CANCELLED], "once"
    np.testing.assert_allclose(y, x[:, loudest], atol=1e-4)
    if "noise" not in name and "5.1" not in name:  # where these are quiet what isn't inverted is louder
        np.testing.assert_allclose(np.concatenate(windows), x[: len(windows) * SR, loudest], atol=1e-4)


def _as_mov(path: Path, to: Path) -> Path:
    import av

    with av.open(str(path)) as source, av.open(str(to), "w") as out:
        stream = out.add_stream("pcm_f32le", rate=SR)
        stream.layout = source.streams.audio[0].layout
        for frame in source.decode(audio=0):
            frame.pts = None
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return to


@pytest.mark.parametrize("suffix", ["wav", "mov"])
@pytest.mark.parametrize("level", [0.01, 0.5])
def test_opposite_constant_offsets_are_no_cancelling_sound(tmp_path: Path, level: float, suffix: str) -> None:
    """A constant offset is inaudible: only the rest of a channel counts."""
    y, offset = level * tune(1), np.array([0.3, -0.3], np.float32)
    for sign in (1, -1):
        path = write(tmp_path / "a.wav", np.stack([y, sign * y], axis=1) + offset, subtype="FLOAT")
        with closing(Audio(path if suffix == "wav" else _as_mov(path, tmp_path / "a.mov"))) as audio:
            found = audio.read(0.0, None)
            assert audio.notes == ([] if sign == 1 else [CANCELLED])
        np.testing.assert_allclose(found, y if sign == 1 else y + 0.3, atol=1e-6)


def test_offset_does_not_make_a_channel_the_loudest(tmp_path: Path) -> None:
    x = np.stack([0.9 * tune(1) + 0.4, -tune(1) - 0.3], axis=1).astype(np.float32) / 2
    path = write(tmp_path / "a.wav", x, subtype="FLOAT")
    np.testing.assert_allclose(read(path)[0], x[:, 1], atol=1e-6)
    write(tmp_path / "b.wav", np.tile(np.float32([0.3, -0.3]), (SR, 1)), subtype="FLOAT")
    with closing(Audio(tmp_path / "b.wav")) as audio:
        assert np.abs(audio.read(0.0, None)).max() < 1e-6 and audio.notes == [], "nothing sounds in it"


def test_block_of_another_number_of_channels_counts_with_its_mean() -> None:
    for channels in (1, 2):
        other = np.float32([[0.1], [0.3]]) if channels == 2 else np.float32([[0.0, 0.2], [0.2, 0.4]])
        np.testing.assert_allclose(Mixer(channels).mix(other), [0.1, 0.3], atol=1e-7)


@pytest.mark.parametrize("name", HONEST)
def test_other_music_is_the_mean(tmp_path: Path, name: str) -> None:
    x = HONEST[name].astype(np.float32)
    path = write(tmp_path / "a.wav", x, subtype="FLOAT")
    with closing(Audio(path)) as audio:
        np.testing.assert_allclose(audio.read(0.0, None), x.mean(axis=1), atol=1e-6)
        assert audio.notes == []


def test_each_window_is_judged_by_itself(tmp_path: Path) -> None:
    """The same window gives the same samples, whatever was read before it."""
    against, along = CANCELLING["inverted"][0][: 2 * SR], HONEST["wide"][: 2 * SR]
    x = np.concatenate([along, against, along]).astype(np.float32)
    path = write(tmp_path / "a.ogg", x)
    with closing(Audio(path)) as audio:
        first = [audio.read(s, 1.0) for s in range(6)]
    with closing(Audio(path)) as audio:
        last = [audio.read(s, 1.0) for s in reversed(range(6))]
        assert audio.notes == [CANCELLED]
    for y, z in zip(first, reversed(last), strict=True):
        np.testing.assert_array_equal(y, z)
    np.testing.assert_allclose(first[0], x[:SR].mean(axis=1), atol=0.15)
    assert np.std(first[2]) > 0.5 * np.std(x[2 * SR : 3 * SR, 0])


def test_a_second_read_that_is_cancelled_reads_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", np.tile(CANCELLING["inverted"][0], (3, 1)))
    whole = read(path)[0]
    with closing(Audio(path)) as audio:
        for start_s in (0.0, 1.0, 2.3, 7.0, 4.0):
            at = round(start_s * SR)
            np.testing.assert_allclose(audio.read(start_s, 1.0), whole[at : at + SR], atol=2e-6)


@pytest.mark.real
def test_no_real_record_cancels_itself_out(shared: Path) -> None:
    paths = [p for p in sorted((shared / "data").glob("*/**/*.*")) if p.suffix in (".mp3", ".ogg") and p.is_file()]
    assert len(paths) > 100
    for path in paths[::3]:
        if soundfile.info(path).channels > 1:
            with closing(Audio(path)) as audio:
                list(clips_from_audio(audio, SECOND))
                assert audio.notes == [], path
