from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from genrelab.audio.channels import BLOCK_S, blocks
from genrelab.audio.part import Part
from genrelab.audio.sndfile import DECODER_ERRORS
from tests.support.containers import by_ffmpeg
from tests.support.faulty import SR, tune, write


@pytest.mark.parametrize("decoder", ["soundfile", "av"])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_all_samples_of_every_channel_come_in_blocks(tmp_path: Path, suffix: str, decoder: str) -> None:
    y = np.tile(np.stack([tune(1), 0.5 * tune(2)], axis=1), (3, 1))
    path = write(tmp_path / f"a.{suffix}", y)
    whole = soundfile.read(path, dtype="float32", always_2d=True)[0]
    found = list(blocks([Part(path, decoder=decoder)]))
    assert len(found) == 3 and all(len(x) >= BLOCK_S * SR for x in found[:-1]), "memory is that of one block"
    joined = np.concatenate(found)
    assert joined.shape == whole.shape and joined.dtype == np.float32
    beginning = SR // 10 if suffix == "mp3" else 0  # the two decoders of MP3 begin differently
    assert np.abs(joined - whole)[beginning:].max() < 1e-4


def test_many_channels_and_integers_are_floats(tmp_path: Path) -> None:
    y = (0.1 * np.arange(1, 10) * tune(3, 1)[:, None]).astype(np.float32)
    path = write(tmp_path / "a.flac", y[:, :8])
    (x,) = blocks([Part(path, decoder="av")])
    assert np.abs(x - y[:, :8]).max() < 1e-3
    (x,) = blocks([Part(write(tmp_path / "a.wav", y), decoder="av")])
    assert np.abs(x - y).max() < 1e-3


def test_aac_is_read_by_ffmpeg_and_not_by_soundfile(tmp_path: Path) -> None:
    by_ffmpeg("aac")(tmp_path / "a.m4a", 2.0)
    x = np.concatenate(list(blocks([Part(tmp_path / "a.m4a", decoder="av")])))
    assert x.shape[1] == 2 and abs(len(x) / 44_100 - 2) < 0.1
    assert abs(np.std(x[:, 1]) / np.std(x[:, 0]) - 0.5) < 0.05
    with pytest.raises(DECODER_ERRORS):
        list(blocks([Part(tmp_path / "a.m4a", decoder="soundfile")]))


def test_frames_unlike_the_first_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from genrelab.audio import ffmpeg

    real = ffmpeg.decode_packet
    other = next(iter(_frames(write(tmp_path / "b.wav", tune(5, 1)[:4_000], 8_000))))
    monkeypatch.setattr(ffmpeg, "decode_packet", lambda packet: [*real(packet), other])
    x = np.concatenate(list(blocks([Part(write(tmp_path / "a.wav", tune(4, 2)), decoder="av")])))
    assert len(x) == 2 * SR


def _frames(path: Path) -> list[object]:
    import av

    with av.open(str(path)) as container:
        return list(container.decode(audio=0))


@pytest.mark.parametrize("decoder", ["soundfile", "av"])
def test_non_audio_raises_a_known_error(tmp_path: Path, decoder: str) -> None:
    (tmp_path / "a.mp3").write_text("no audio" * 100)
    with pytest.raises(DECODER_ERRORS):
        list(blocks([Part(tmp_path / "a.mp3", decoder=decoder)]))
