"""genrelab/features/views.py: what every view gives for every kind of clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.core.config import (
    DescriptorsView,
    EmbeddingView,
    FramesView,
    LogMelView,
    MelImageView,
    RhythmView,
    SamplesView,
    StatisticsView,
    TableView,
    View,
)
from genrelab.core.errors import DecodeError, SettingsError
from genrelab.features import views
from genrelab.features.statistics import ENCODING_DEPENDENT, STATISTICS
from genrelab.features.views import compute, compute_all, table_columns, table_views
from tests.support.sounds import awkward, music

VIEWS: tuple[View, ...] = (
    StatisticsView(),
    DescriptorsView(),
    MelImageView(),
    LogMelView(),
    SamplesView(),
    FramesView(),
    EmbeddingView(),
    RhythmView(),
)

# How far a clip stored at another rate in 16 bits may be away. Measured on nine clips of real music and at three
# rates: the median statistic 6e-5 standard deviations, 1.3 % of the statistics more than a tenth of one.
MEDIAN = 3e-4
SHARE = 0.03


@pytest.mark.parametrize("sr", [8_000, 22_050, 96_000])
@pytest.mark.parametrize("seconds", [0.5, 3.5])
def test_no_sound_gives_values_that_are_not_finite(sr: int, seconds: float) -> None:
    for sound, y in awkward(sr, seconds).items():
        computed = compute_all((*VIEWS, StatisticsView()), y, sr)
        computed["fma_exact"] = compute(StatisticsView(fma_exact=True), y, sr)
        for name, windows in computed.items():
            assert windows, (sound, name)
            assert all(np.isfinite(window.x).all() for window in windows), (sound, name)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_windows_have_the_shape_and_type_that_the_view_states(view: View) -> None:
    for window in compute(view, music(44_100), 44_100):
        assert window.x.shape == view.shape
        assert window.x.dtype == np.dtype(view.dtype)
        assert window.x.flags.c_contiguous


def test_several_views_together_equal_single_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    y, sr = music(48_000), 48_000
    alone = {view.name: compute(view, y, sr) for view in VIEWS}
    calls: list[int] = []

    def counted(y: NDArray[np.float32], sr: int, target_sr: int) -> NDArray[np.float32]:
        calls.append(target_sr)
        return audio_clips.resample(y, sr, target_sr)

    monkeypatch.setattr(views, "resample", counted)
    together = compute_all(VIEWS, y, sr)
    assert sorted(calls) == [16_000, 22_050, 44_100]
    assert list(together) == [view.name for view in VIEWS]
    for name, windows in alone.items():
        for one, other in zip(windows, together[name], strict=True):
            assert one.start_s == other.start_s
            np.testing.assert_array_equal(one.x, other.x)


def test_later_clips_give_no_windows_for_views_of_the_beginning() -> None:
    computed = compute_all(VIEWS, music(44_100, 6.5), 44_100, start_s=60.0)
    assert computed["samples"] == computed["frames"] == []
    assert [window.start_s for window in computed["statistics"]] == [60.0]
    assert [window.start_s for window in computed["mel_image"]] == [60.0]
    assert [window.start_s for window in computed["log_mel"]] == [60.0, 63.0]


def test_samples_are_the_first_of_the_track_with_zeros_after_a_short_one() -> None:
    y = music(44_100)
    (window,) = compute(SamplesView(), y, 44_100)
    np.testing.assert_array_equal(window.x, y[:10_000])
    (short,) = compute(SamplesView(), y[:7_000], 44_100)
    np.testing.assert_array_equal(short.x, np.concatenate([y[:7_000], np.zeros(3_000, np.float32)]))


def test_a_table_is_not_made_from_audio() -> None:
    with pytest.raises(SettingsError, match="table"):
        compute(TableView(("a", "b")), music(22_050), 22_050)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e25])
@pytest.mark.parametrize("view", VIEWS[:3], ids=lambda view: view.name)
def test_samples_with_values_that_are_not_finite_are_refused(view: View, value: float) -> None:
    y = music(22_050)
    y[5_000] = value
    with pytest.raises(DecodeError, match=f"the view {view.name} contains NaN or infinity") as caught:
        compute(view, y, 22_050)
    assert caught.value.stage == "check"


def test_fma_exact_keeps_the_clips_own_rate_but_for_one_that_is_too_low() -> None:
    view, y = StatisticsView(fma_exact=True), music(44_100)
    lower = audio_clips.resample(y, 44_100, 22_050)
    exact, resampled = (compute(view, *clip)[0].x for clip in ((y, 44_100), (lower, 22_050)))
    centroid = STATISTICS.index("spectral_centroid_mean_01")
    assert exact[centroid] < 0.7 * resampled[centroid]
    telephone = audio_clips.resample(y, 44_100, 8_000)
    raised = compute(StatisticsView(), telephone, 8_000)[0].x
    np.testing.assert_array_equal(compute(view, telephone, 8_000)[0].x, raised)


def stored_at(y: NDArray[np.float32], sr: int, rate: int) -> dict[str, NDArray[np.float64]]:
    """Both views of a clip that was stored in 16 bits at another rate, by another resampler than ours."""
    stored = soxr.resample(y, sr, rate, quality="VHQ")
    stored = (np.clip(np.round(stored * 32_768), -32_768, 32_767) / 32_768).astype(np.float32)
    computed = compute_all((StatisticsView(), MelImageView()), stored, rate)
    return {name: windows[0].x.astype(np.float64) for name, windows in computed.items()}


@pytest.mark.parametrize("rate", [22_050, 48_000, 96_000])
def test_the_rate_at_which_a_clip_is_stored_hardly_matters(rate: int) -> None:
    y = music(96_000)
    wanted, found = stored_at(y, 96_000, 44_100), stored_at(y, 96_000, rate)
    away = np.abs(found["statistics"] - wanted["statistics"]) / (1 + np.abs(wanted["statistics"]))
    away = away[~np.isin(STATISTICS, ENCODING_DEPENDENT)]
    assert np.median(away) < MEDIAN
    assert (away > 0.02).mean() < SHARE
    levels = np.abs(found["mel_image"] - wanted["mel_image"])
    assert levels.mean() < 0.03
    assert levels[:, :210].max() < 2.0  # dB, in the noise of 16 bits; above, a resampler's edge: up to 8


@pytest.mark.real
@pytest.mark.parametrize("rate", [22_050, 48_000, 96_000])
def test_the_rate_at_which_real_music_is_stored_hardly_matters(shared: Path, rate: int) -> None:
    clips = [audio_clips.read(path) for path in sorted((shared / "data/emotify_30s").rglob("*.mp3"))[::10]]
    wanted = [stored_at(y, sr, 44_100) for y, sr in clips]
    found = [stored_at(y, sr, rate) for y, sr in clips]
    ours, theirs = (np.array([clip["statistics"] for clip in side]) for side in (found, wanted))
    away = np.abs(ours - theirs) / (theirs.std(axis=0) + 1e-9)  # in standard deviations over the clips
    away = away[:, ~np.isin(STATISTICS, ENCODING_DEPENDENT)]
    assert np.median(away) < MEDIAN
    assert (away > 0.1).mean() < SHARE
    for one, other in zip(found, wanted, strict=True):
        levels = np.abs(one["mel_image"] - other["mel_image"])
        assert levels.mean() < 0.03
        assert levels[:, :210].max() < 2.0


def test_columns_of_statistics_precede_those_of_embeddings_and_rhythm() -> None:
    found = table_views((MelImageView(), RhythmView(), EmbeddingView(), SamplesView(), StatisticsView()))
    assert found == [StatisticsView(), EmbeddingView(), RhythmView()]
    assert [len(table_columns(view)) for view in (*found, TableView(columns=("a", "b")), MelImageView())] == [
        518,
        456,
        61,
        2,
        0,
    ]
