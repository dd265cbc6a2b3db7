"""genrelab/features/fingerprint.py: landmarks stay where they are, whatever is done to the sound."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from genrelab.features.fingerprint import (
    BINS,
    FIRST_BIN,
    HOP,
    N_FFT,
    PEAK_RADIUS_BINS,
    PEAK_RADIUS_FRAMES,
    RATE,
    Landmarks,
    landmarks,
    pack,
    unpack,
)
from genrelab.features.spectrogram import power_blocks
from tests.support.sounds import awkward, music


def _found_again(excerpt: Landmarks, whole: Landmarks, frames: int) -> float:
    """Share of the excerpt's landmarks that the whole has, `frames` later and at most one frame and one bin off."""
    held = {(t + i, f + j) for t, f in whole.astype(int) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    return float(np.mean([(t + frames, f) in held for t, f in excerpt.astype(int)]))


def test_a_landmark_is_the_loudest_point_around() -> None:
    y = music(RATE, seconds=4.0)
    levels = np.concatenate([p[:, FIRST_BIN : FIRST_BIN + BINS].copy() for _, p in power_blocks(y, N_FFT, HOP)])
    size = (2 * PEAK_RADIUS_FRAMES + 1, 2 * PEAK_RADIUS_BINS + 1)
    loudest = scipy.ndimage.maximum_filter(levels, size=size, mode="constant", cval=0.0)
    assert landmarks(y, RATE).tolist() == np.argwhere((levels == loudest) & (levels > 1e-6)).tolist()


def test_volume_does_not_move_landmarks() -> None:
    y = music(44_100)
    loud, quiet = landmarks(y, 44_100), landmarks(y * np.float32(0.25), 44_100)
    assert {*map(tuple, quiet)} <= {*map(tuple, loud)}
    assert len(quiet) > 0.95 * len(loud)  # what is missing lies in the rounding of 16 bits


@pytest.mark.parametrize("shift", [0, 1, 5_000, 44_100 + 191])
def test_an_excerpt_has_the_landmarks_of_its_stretch(shift: int) -> None:
    y = music(44_100, seconds=8.0)
    whole, excerpt = landmarks(y, 44_100), landmarks(y[shift : shift + 2 * 44_100], 44_100)
    at = round(shift / 44_100 * RATE / HOP)
    assert _found_again(excerpt, whole, at) > 0.7
    assert _found_again(excerpt, whole, at + 25) < 0.3


def test_landmarks_do_not_depend_on_the_sample_rate() -> None:
    assert _found_again(landmarks(music(22_050), 22_050), landmarks(music(48_000), 48_000), 0) > 0.8


def test_packed_landmarks_take_three_bytes_each() -> None:
    marks = landmarks(music(44_100, seconds=10.0), 44_100)
    content = pack(marks)
    assert len(content) == 3 * len(marks)
    assert 30 < len(content) / 10.0 < 130
    assert unpack(content).tolist() == marks.tolist()
    assert unpack(b"").shape == (0, 2)
    with pytest.raises(ValueError, match="4 bytes are not landmarks"):
        unpack(b"1234")


def test_awkward_sounds_give_valid_landmarks_and_silence_none() -> None:
    assert len(landmarks(np.zeros(0, np.float32), 44_100)) == 0
    for name, y in awkward(22_050, 2.0).items():
        found = landmarks(y, 22_050)
        assert found.dtype == np.uint16 and found.shape[1] == 2, name
        if name in ("silence", "denormal", "near-silence"):
            assert len(found) == 0, name
