"""genrelab/features/cqt.py against librosa."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from genrelab.core.errors import SettingsError
from genrelab.features.cqt import N_BINS, cqt
from tests.support.sounds import awkward, music


@pytest.mark.parametrize("sr", [16_000, 22_050, 31_000, 32_750, 44_100, 96_000])  # halved early 0 to 2 times
@pytest.mark.parametrize("tuning", [0.0, -0.47, 0.31])
def test_magnitudes_match_librosa(sr: int, tuning: float) -> None:
    y = music(sr, 2.0)
    theirs = np.abs(librosa.cqt(y, sr=sr, hop_length=512, tuning=tuning)).T
    ours = cqt(y, sr, 512, tuning)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * theirs.max())


@pytest.mark.parametrize("hz", [65.41, 440.0, 3520.0])  # C2, A4, A7
def test_a_tone_is_loudest_in_its_semitone(hz: float) -> None:
    sr = 22_050
    tone = np.sin(2 * np.pi * hz * np.arange(2 * sr) / sr).astype(np.float32)
    wanted = round(12 * np.log2(hz / 32.703))
    assert (cqt(tone, sr, 512, 0.0)[20:60].argmax(axis=1) == wanted).all()


@pytest.mark.filterwarnings("ignore:n_fft=.* is too large:UserWarning")  # librosa's, on half a second
def test_short_and_silent_sounds_give_finite_magnitudes() -> None:
    for y in awkward(22_050, 0.5).values():
        magnitudes = cqt(y, 22_050, 512, 0.0)
        assert magnitudes.shape[1] == N_BINS
        assert np.isfinite(magnitudes).all()
    y = awkward(22_050, 0.5)["noise"]
    theirs = np.abs(librosa.cqt(y, sr=22_050, tuning=0.0)).T
    np.testing.assert_allclose(cqt(y, 22_050, 512, 0.0), theirs, atol=1e-5 * theirs.max())


def test_a_rate_that_is_too_low_is_refused() -> None:
    with pytest.raises(SettingsError, match="Received: 8000 Hz"):
        cqt(np.ones(8_000, np.float32), 8_000, 512, 0.0)
