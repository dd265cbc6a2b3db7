"""Every condition alters the audio as described."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.audio.clips import AudioInMemory
from genrelab.core.config import ClipSettings
from genrelab.studies import conditions
from genrelab.studies.conditions import CLEAN, CONDITIONS, AlteredAudio, Condition, excerpt, open_cached
from tests.support.sounds import music

SR = 22_050
BY_NAME = {c.name: c for c in CONDITIONS}
RNG = np.random.default_rng(0)


def altered(y: NDArray[np.float32], condition: Condition, sr: int = SR, seed: int = 0) -> AlteredAudio:
    return AlteredAudio(AudioInMemory(Path("y"), y, sr), condition, seed=seed)


def level_db(y: NDArray[np.float32], sr: int, low: float, high: float) -> float:
    """Power between two frequencies, in dB."""
    hz = np.fft.rfftfreq(len(y), 1 / sr)
    power = np.abs(np.fft.rfft(y)) ** 2 / len(y) ** 2
    return float(10 * np.log10(power[(hz >= low) & (hz < high)].sum()))


def white(seconds: float, sr: int = SR) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(1).standard_normal(round(seconds * sr))).astype(np.float32)


def test_clean_is_the_track_itself() -> None:
    y = white(2.0)
    track = altered(y, CLEAN)
    assert (track.sr, track.frames) == (SR, len(y))
    assert np.array_equal(track.read(0, None), y)
    assert np.array_equal(track.read(0.5, 0.25), AudioInMemory(Path("y"), y, SR).read(0.5, 0.25))


@pytest.mark.parametrize("sr", [8_000, 22_050, 44_100, 96_000])
def test_mp3_has_its_bit_rate_and_no_delay(tmp_path: Path, sr: int) -> None:
    y = music(sr, 6.0)
    conditions.write_mp3(tmp_path / "a.mp3", y, sr)
    assert (tmp_path / "a.mp3").stat().st_size * 8 / 6.0 == pytest.approx(64_000, rel=0.05)
    found = conditions.mp3(y, sr, RNG)
    assert found.shape == y.shape
    assert found.dtype == np.float32
    assert not np.array_equal(found, y)
    assert np.corrcoef(found, y)[0, 1] > 0.98  # in step: a few samples' delay would cost more


def test_mp3_takes_the_highest_octave_away() -> None:
    y = white(4.0, 44_100)
    lost = level_db(conditions.mp3(y, 44_100, RNG), 44_100, 17_000, 22_000) - level_db(y, 44_100, 17_000, 22_000)
    assert lost < -30


def test_a_telephone_passes_its_band_only() -> None:
    y = white(4.0, 44_100)
    track = altered(y, BY_NAME["telephone"], 44_100)
    found = track.read(0, None)
    assert track.sr == 8_000
    assert len(found) == track.frames == 4 * 8_000
    assert level_db(found, 8_000, 500, 3_000) == pytest.approx(level_db(y, 44_100, 500, 3_000), abs=0.5)
    assert level_db(found, 8_000, 0, 120) < level_db(y, 44_100, 0, 120) - 40
    assert level_db(found, 8_000, 3_900, 4_000) < level_db(y, 44_100, 3_900, 4_000) - 6


@pytest.mark.parametrize("sr", [6_000, 8_000])
def test_a_telephone_takes_low_rates(sr: int) -> None:
    found = altered(white(1.0, sr), BY_NAME["telephone"], sr).read(0, None)
    assert len(found) == 8_000
    assert np.isfinite(found).all()


def test_quieter_lowers_the_level_by_12_db() -> None:
    y = white(1.0)
    assert np.allclose(conditions.quieter(y, SR, RNG), y * 10 ** (-12 / 20))


def test_clipped_is_cut_off_however_quiet_the_file() -> None:
    y = music(SR, 2.0)
    loud = conditions.clipped(y, SR, RNG)
    assert np.abs(loud).max() == 1
    above = np.abs(y) > np.abs(y).max() / 10 ** (12 / 20)
    assert np.array_equal(np.abs(loud) == 1, above) or np.isclose(np.abs(loud[above]), 1).all()
    assert np.allclose(conditions.clipped(0.01 * y, SR, RNG), loud, atol=1e-5)
    assert np.array_equal(conditions.clipped(np.zeros(9, np.float32), SR, RNG), np.zeros(9))


def test_noise_is_pink_and_20_db_below() -> None:
    y = music(SR, 4.0)
    noise = conditions.noisy(y, SR, np.random.default_rng(3)) - y
    assert 10 * np.log10(np.mean(y**2) / np.mean(noise**2)) == pytest.approx(20, abs=0.1)
    octaves = [level_db(noise, SR, low, 2 * low) for low in (100, 400, 1_600, 5_000)]
    assert np.ptp(octaves) < 1.5


def test_a_lead_in_is_recorded_silence_before_the_track() -> None:
    y = white(2.0)
    track = altered(y, BY_NAME["lead_in"])
    found, lead = track.read(0, None), 3 * SR
    assert len(found) == track.frames == lead + len(y)
    assert 0 < np.abs(found[:lead]).max() <= 2**-15
    assert np.array_equal(found[lead:], y)
    assert np.array_equal(track.read(2.0, 2.0)[SR:], y[:SR])
    assert np.array_equal(track.read(4.0, 0.5), y[SR : SR + SR // 2])


def test_a_lead_in_moves_the_clips_as_in_a_file(tmp_path: Path) -> None:
    y, clips = white(7.0), ClipSettings(clip_s=2.0)
    there = np.concatenate((np.zeros(3 * SR, np.float32), y))
    soundfile.write(tmp_path / "a.wav", there, SR, subtype="FLOAT")
    expected = list(audio_clips.read_clips(tmp_path / "a.wav", clips))
    found = list(altered(y, BY_NAME["lead_in"]).clips(clips))
    assert [c.start_s for c in found] == [c.start_s for c in expected]
    assert all(np.allclose(a.y, b.y, atol=2**-14) for a, b in zip(found, expected, strict=True))


def test_an_excerpt_is_the_middle() -> None:
    y = white(4.0)
    track = altered(y, excerpt(1.0))
    assert track.frames == SR
    assert np.array_equal(track.read(0, None), y[round(1.5 * SR) : round(2.5 * SR)])
    assert np.array_equal(track.read(0.5, 9.0), y[2 * SR : round(2.5 * SR)])


def test_the_same_stretch_gets_the_same_noise() -> None:
    y = white(2.0)
    once, again, other = (altered(y, BY_NAME["noise"], seed=s).read(0.5, 1.0) for s in (1, 1, 2))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_long_track_is_streamed_instead_of_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", white(3.0), SR, subtype="FLOAT")
    whole = open_cached(tmp_path / "a.wav")
    monkeypatch.setattr(conditions, "MAX_CACHED_S", 1.0)
    streamed = open_cached(tmp_path / "a.wav")
    assert isinstance(whole, AudioInMemory)
    assert not isinstance(streamed, AudioInMemory)
    a, b = (AlteredAudio(source, BY_NAME["quieter"], seed=0).read(1.0, 1.0) for source in (whole, streamed))
    streamed.close()
    assert np.array_equal(a, b)
