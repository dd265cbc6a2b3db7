"""genrelab/features/spectrogram.py against librosa, on synthesised sounds and (marked `real`) on music."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest

from genrelab.audio import clips as audio_clips
from genrelab.core.config import LogMelView, MelImageView
from genrelab.features.spectrogram import decibels, frame, log_mel, log_mel_windows, mel_filters, mel_image, power
from tests.support.sounds import music

SR = 22_050
LEAST_DB = 1e-3  # agreement with librosa; 5e-4 dB was the worst of 20 real clips


def reference(y: np.ndarray, hop_length: int = 512, n_mels: int = 128) -> np.ndarray:
    """librosa's log-mel spectrogram, (frames, n_mels)."""
    mel = librosa.feature.melspectrogram(y=y, sr=SR, n_fft=2048, hop_length=hop_length, n_mels=n_mels)
    return librosa.power_to_db(mel, ref=np.max, top_db=80.0).T


@pytest.mark.parametrize(("sr", "n_mels"), [(22_050, 128), (22_050, 224), (44_100, 128), (16_000, 40)])
def test_mel_filters_are_those_of_librosa(sr: int, n_mels: int) -> None:
    wanted = librosa.filters.mel(sr=sr, n_fft=2048, n_mels=n_mels)
    np.testing.assert_allclose(mel_filters(sr, 2048, n_mels), wanted, rtol=1e-6, atol=1e-9)


def test_mel_filters_are_shared_and_read_only() -> None:
    assert mel_filters(SR, 2048, 128) is mel_filters(SR, 2048, 128)
    with pytest.raises(ValueError, match="read-only"):
        mel_filters(SR, 2048, 128)[0, 0] = 1


@pytest.mark.parametrize("n_samples", [1, 2047, 2048, 11_025])
def test_frames_are_counted_as_librosa_counts_them(n_samples: int) -> None:
    assert frame(np.ones(n_samples, np.float32), 2048, 512).shape == (1 + n_samples // 512, 2048)


@pytest.mark.parametrize(("double", "below_db"), [(False, -120), (True, -140)])
def test_power_is_the_square_of_librosas_spectrum(double: bool, below_db: float) -> None:
    y = music(SR)
    frames = frame(y, 2048, 512)
    ours = power(frames, np.empty((len(frames), 1025), np.float32), double=double)
    theirs = np.abs(librosa.stft(y, n_fft=2048, hop_length=512)).T ** 2
    error = np.abs(np.sqrt(ours) - np.sqrt(theirs)).max() / np.sqrt(theirs).max()
    assert 20 * np.log10(error) < below_db


@pytest.mark.parametrize(("hop_length", "n_mels"), [(512, 128), (2953, 224), (64, 224)])
def test_log_mel_is_within_a_thousandth_of_a_decibel_of_librosa(hop_length: int, n_mels: int) -> None:
    y = music(SR)
    ours = log_mel(y, SR, n_fft=2048, hop_length=hop_length, n_mels=n_mels, top_db=80.0)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, reference(y, hop_length, n_mels), atol=LEAST_DB)


@pytest.mark.real
def test_log_mel_of_real_music_matches_librosa(shared: Path) -> None:
    for path in sorted((shared / "data/emotify_30s").rglob("*.mp3"))[::20]:
        y, sr = audio_clips.read(path)
        y = audio_clips.resample(y, sr, SR)
        ours = log_mel(y, SR, n_fft=2048, hop_length=512, n_mels=128, top_db=80.0)
        np.testing.assert_allclose(ours, reference(y), atol=LEAST_DB)


def test_silence_has_the_lowest_level() -> None:
    silence = np.zeros(SR, np.float32)
    assert (log_mel(silence, SR, n_fft=2048, hop_length=512, n_mels=128, top_db=80.0) == -80.0).all()


def test_decibels_take_top_db_from_the_loudest_value() -> None:
    powers = np.array([[1e-3, 1e3, 1e-30]], np.float32)
    np.testing.assert_allclose(decibels(powers, ref=1.0, top_db=80.0), [[-30, 30, -50]], atol=1e-4)
    np.testing.assert_allclose(decibels(powers, top_db=80.0), [[-60, 0, -80]], atol=1e-4)


def test_mel_image_of_30_s_drops_the_225th_frame_after_levelling() -> None:
    y = music(SR, 30.0)
    y[-500:] = 1.0  # the loudest sound lies in the frame that is dropped
    levels = reference(y, 2953, 224)
    image = mel_image(y, MelImageView())
    assert levels.shape == (225, 224)
    assert image.shape == (224, 224)
    np.testing.assert_allclose(image, levels[:224], atol=LEAST_DB)
    assert image.max() < -1.0  # 0 dB is in the dropped frame


def test_mel_image_of_a_very_short_clip_ends_in_silence() -> None:
    view = MelImageView()
    assert mel_image(music(SR, 2.0), view)[-1].max() > -80
    image = mel_image(music(SR, 0.5), view)
    n_frames = 1 + int(0.5 * SR) // view.min_hop
    assert n_frames < 224
    assert (image[n_frames:] == -80).all()
    assert image[n_frames - 1].max() > -80


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [
        (30.0, [3.0 * k for k in range(10)]),
        (29.98, [*(3.0 * k for k in range(9)), 26.98]),  # what is left is nearly a window: moved back
        (4.0, [0.0]),  # what is left is too little
        (3.0, [0.0]),
        (0.5, [0.0]),
    ],
)
def test_log_mel_windows_cover_the_clip(seconds: float, starts: list[float]) -> None:
    y = np.random.default_rng(0).standard_normal(round(seconds * SR)).astype(np.float32)
    windows = log_mel_windows(y, LogMelView())
    np.testing.assert_allclose([start for start, _ in windows], starts, atol=1e-4)
    assert {levels.shape for _, levels in windows} == {LogMelView().shape}


def test_each_window_is_levelled_by_itself_and_a_short_clip_is_repeated() -> None:
    view, y = LogMelView(), music(SR, 6.0)
    first, second = (levels for _, levels in log_mel_windows(y, view))
    np.testing.assert_allclose(first, reference(y[: 3 * SR])[: view.n_frames], atol=LEAST_DB)
    np.testing.assert_allclose(second, reference(y[3 * SR :])[: view.n_frames], atol=LEAST_DB)
    ((_, repeated),) = log_mel_windows(y[:SR], view)
    np.testing.assert_allclose(repeated, reference(np.tile(y[:SR], 3))[: view.n_frames], atol=LEAST_DB)
