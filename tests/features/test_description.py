"""genrelab/features/description.py: tempo and key for people, and the view `rhythm`."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from genrelab.audio.clips import resample
from genrelab.core.config import RhythmView, view_from_json, view_to_json
from genrelab.core.errors import SettingsError
from genrelab.datasets.synth_voices import SR
from genrelab.features import views
from genrelab.features.description import RHYTHM, MusicDescription, describe
from genrelab.features.spectra import Spectra, compute_spectra
from tests.support.known_music import drum_pattern, progression
from tests.support.sounds import awkward


def columns_of(y: NDArray[np.float32]) -> dict[str, float]:
    (window,) = views.compute(RhythmView(), y, SR)
    return dict(zip(RHYTHM, window.x.tolist(), strict=True))


@pytest.mark.parametrize("sr", [8_000, 22_050, 44_100])
def test_a_description_does_not_depend_on_the_rate(sr: int) -> None:
    y = progression(21, 12.0, np.random.default_rng(0), timbre="organ", bpm=112.0, drums="rock")
    found = describe(y if sr == SR else resample(y, SR, sr), sr)
    assert found.tempo_bpm == pytest.approx(112.0, rel=0.04)
    assert found.key == "A minor"
    assert 0.5 < found.tempo_confidence <= 1 and 0.5 < found.key_confidence <= 1
    assert found.to_json() == {
        "tempo_bpm": found.tempo_bpm,
        "tempo_confidence": found.tempo_confidence,
        "key": "A minor",
        "key_confidence": found.key_confidence,
    }


@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_sounds_without_tempo_and_key_have_none(seconds: float) -> None:
    sounds = awkward(SR, seconds)
    for sound in ("silence", "noise", "direct current"):
        assert describe(sounds[sound], SR) == MusicDescription(None, 0.0, None, 0.0), sound
    for sound, y in sounds.items():
        found = describe(y, SR)
        assert found.key_confidence < 0.6, sound
        assert all(np.isfinite(v) for v in found.to_json().values() if isinstance(v, float)), sound


def test_columns_of_rhythm_are_named_and_say_what_they_should() -> None:
    rng = np.random.default_rng(1)
    assert len(set(RHYTHM)) == len(RHYTHM) == RhythmView().shape[0]
    minor = columns_of(progression(12, 12.0, rng, timbre="organ", bpm=100.0))
    major = columns_of(progression(0, 12.0, rng, timbre="organ", bpm=100.0))
    assert minor["key_mode"] < 0 < major["key_mode"]
    assert major["key_profile_01"] > major["key_profile_02"]  # the tonic, and the semitone above it
    assert major["key_major"] == major["key_strength"] > major["key_minor"]
    rock = columns_of(drum_pattern("rock", 120.0, 12.0, rng))
    assert rock["tempo_bpm"] == pytest.approx(120.0, rel=0.02) and rock["tempo_octaves"] == pytest.approx(0, abs=0.03)
    assert rock["beat_strength"] > 1.5 and rock["onset_rate"] > 2 and rock["steadiness_long"] < 0.5
    assert rock["level_95"] > rock["level_50"] > rock["level_05"] and rock["crest"] > 0


def test_the_loudness_range_of_a_crescendo_is_larger_than_that_of_steady_noise() -> None:
    noise = np.random.default_rng(2).standard_normal(20 * SR)
    rising = noise * 10 ** (np.linspace(-20, 0, len(noise)) / 20)
    steady, crescendo = columns_of((0.05 * noise).astype("f4")), columns_of((0.05 * rising).astype("f4"))
    assert steady["loudness_range"] < 1 < 8 < crescendo["loudness_range"]
    assert steady["steadiness_long"] < 0.6 < crescendo["steadiness_long"]


def test_statistics_and_rhythm_share_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    from genrelab.core.config import StatisticsView

    passes = []

    def counted(*args: object, **kwargs: object) -> Spectra:
        passes.append(args)
        return compute_spectra(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(views, "compute_spectra", counted)
    y = drum_pattern("rock", 120.0, 3.0, np.random.default_rng(3))
    views.compute_all((StatisticsView(), RhythmView()), y, SR)
    assert len(passes) == 1


def test_settings_of_the_view_are_fixed() -> None:
    assert view_from_json(view_to_json(RhythmView())) == RhythmView()
    with pytest.raises(SettingsError, match="hop_length must be 512"):
        RhythmView(hop_length=256)
