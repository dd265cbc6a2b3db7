from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from genrelab.audio.channels import blocks
from genrelab.audio.part import Part
from genrelab.doctor import measure
from genrelab.doctor.measure import measure_audio
from genrelab.doctor.stated import stated_lengths
from genrelab.features.fingerprint import unpack
from tests.support.faulty import (
    SECONDS,
    SR,
    clipped,
    cut,
    mp3_with_false_length,
    tagged,
    tune,
    wav_with_false_length,
    write,
)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "au"])
def test_clean_file_is_measured_without_problems(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", tune(1))
    sound = measure_audio(path)
    assert (sound.state, sound.error, sound.damage, sound.sr, sound.channels) == ("decoded", None, None, SR, 1)
    assert sound.duration_s == pytest.approx(SECONDS, abs=0.05) == sound.stated_s
    assert sound.finite and not sound.equal_channels and sound.clipped == sound.silent == 0
    assert sound.peak == sound.mono_peak == pytest.approx(0.5, abs=0.05)
    assert sound.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [start for start, _ in sound.prints] == [0.0] and len(unpack(sound.prints[0][1])) > 20


def test_levels_and_equal_channels_are_measured(tmp_path: Path) -> None:
    def measured(y: NDArray[np.float32], **more: str) -> measure.AudioMeasurement:
        return measure_audio(write(tmp_path / "a.wav", y.astype(np.float32), **more))

    cut_off = measured(clipped(1))
    assert cut_off.clipped > 0.01 and cut_off.peak >= measure.FULL_SCALE
    touching = 0.5 * tune(1)
    touching[::1_000] = 1.0  # single peaks at full scale are none of it
    assert measured(touching).clipped == 0
    left_only = measured(np.stack([clipped(1), 0.1 * tune(2)], axis=1))
    assert left_only.clipped == pytest.approx(cut_off.clipped / 2), "a mean of the channels would hide it"
    half = measured(np.concatenate([tune(3), np.zeros(3 * len(tune(3)))]))
    assert half.silent == pytest.approx(0.75, abs=0.02)
    equal = measured(np.stack([tune(4)] * 2, axis=1))
    assert equal.equal_channels and not equal.silent
    assert not measured(np.stack([tune(4), tune(4) + 0.01 * tune(5)], axis=1)).equal_channels
    against = measured(np.stack([tune(4), -tune(4)], axis=1))
    assert against.peak > 0.4 and against.mono_peak == against.peak and not against.equal_channels
    assert against.cancelled == 1 and not left_only.cancelled and not equal.cancelled
    nothing = measured(np.zeros((SR, 2)))
    assert nothing.silent == 1 and nothing.peak == 0 and not nothing.equal_channels
    assert not measured(np.append(tune(6), np.nan), subtype="FLOAT").finite


def test_equal_channels_survive_mp3(tmp_path: Path) -> None:
    assert measure_audio(write(tmp_path / "a.mp3", np.stack([tune(7)] * 2, axis=1))).equal_channels


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "aiff"])
def test_truncated_file_keeps_its_stated_length(tmp_path: Path, suffix: str) -> None:
    sound = measure_audio(cut(write(tmp_path / f"a.{suffix}", tune(8)), 0.4))
    assert sound.state == "decoded" and sound.duration_s < 0.7 * SECONDS
    assert sound.stated_s == pytest.approx(SECONDS, abs=0.1)


def test_wrong_stated_lengths_are_detected(tmp_path: Path) -> None:
    wav = measure_audio(wav_with_false_length(tmp_path / "a.wav", tune(9), 60 * 2 * SR))
    assert (wav.duration_s, wav.stated_s) == (SECONDS, 60.0)
    mp3 = measure_audio(mp3_with_false_length(tmp_path / "a.mp3", tune(9), 3))
    assert mp3.duration_s == pytest.approx(SECONDS, abs=0.1) and mp3.stated_s == pytest.approx(3 * SECONDS, abs=0.2)
    assert mp3.damage is None and mp3.decoder == "soundfile", "its frames are counted, whatever the header says"


def test_unknown_stated_length_is_no_problem(tmp_path: Path) -> None:
    piped = measure_audio(wav_with_false_length(tmp_path / "a.wav", tune(9), 0xFFFFFFFF))
    assert piped.stated_s == piped.duration_s == SECONDS
    without_xing = write(tmp_path / "a.mp3", tune(9))
    content = without_xing.read_bytes()
    at = content.find(b"\xff", max(content.find(b"Xing"), content.find(b"Info")) + 120)
    without_xing.write_bytes(content[at:])
    assert stated_lengths(without_xing) == [], "its size lets one guess, and that is no statement"
    guessed = measure_audio(without_xing)
    assert guessed.stated_s == pytest.approx(guessed.duration_s, abs=0.1)


def test_unreadable_files_have_a_state_and_a_reason(tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("no music" * 100)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "link.wav").symlink_to("nowhere")
    text = measure_audio(tmp_path / "text.mp3")
    assert (
        text.state == "undecodable"
        and text.error is not None
        and text.error == "cannot be decoded (not audio, or damaged)"
    )
    assert measure_audio(tmp_path / "empty.wav").state == "empty"
    assert [measure_audio(tmp_path / n).state for n in ("link.wav", "none.wav")] == ["missing"] * 2
    folder = measure_audio(tmp_path)
    assert folder.state == "undecodable" and "folder" in str(folder.error)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_read_permission_is_undecodable(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tune(1))
    path.chmod(0)
    assert measure_audio(path).state == "undecodable"


def test_damage_in_the_middle_is_left_out_and_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", np.tile(tune(10), 5))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4_000] = bytes(4_000)
    path.write_bytes(content)
    sound = measure_audio(path)
    assert sound.state == "decoded" and sound.damage and sound.decoder == "av" and 15 < sound.duration_s <= 20


def test_file_that_both_decoders_fail_on_is_undecodable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(parts: list[Part]) -> object:
        yield next(blocks([replace(part, decoder="soundfile") for part in parts]))
        raise ValueError(f"no more by {parts[0].decoder}")

    monkeypatch.setattr(measure, "blocks", broken)
    sound = measure_audio(write(tmp_path / "a.wav", tune(1)))
    assert sound.state == "undecodable"
    assert sound.error == "cannot be decoded (not audio, or damaged)"


def test_tags_do_not_change_the_hash_of_the_audio(tmp_path: Path) -> None:
    one = write(tmp_path / "a.mp3", tune(11))
    other = tagged(write(tmp_path / "b.mp3", tune(11)), "another title")
    a, b = measure_audio(one), measure_audio(other)
    assert a.sha256 != b.sha256 and a.audio_sha256 == b.audio_sha256
    assert measure_audio(write(tmp_path / "c.mp3", tune(12))).audio_sha256 != a.audio_sha256


def test_a_long_file_has_a_fingerprint_of_each_stretch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.wav", np.tile(tune(13), 18)[: round(70.5 * SR)])
    assert [start for start, _ in measure_audio(path).prints] == [0.0, 30.0, 60.0]
    monkeypatch.setattr(measure, "MAX_FINGERPRINTS", 2)
    assert len(measure_audio(path).prints) == 2
    assert [
        start for start, _ in measure_audio(write(tmp_path / "b.wav", np.tile(tune(13), 8)[: round(30.5 * SR)])).prints
    ] == [0.0]
