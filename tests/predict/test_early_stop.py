"""Windows spread over a song are scored until the answer is clear, unless a number of windows is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genrelab.audio.clips import clip_starts, resample, spread_order
from genrelab.audio.reader import Audio
from genrelab.core.config import EMBEDDING_CLIPS, LogMelView
from genrelab.datasets.synth_voices import SR as SYNTH_SR
from genrelab.features.embedding import embedding
from genrelab.predict.classifier import Classifier, WindowCount
from genrelab.predict.file import CLEAR_MARGIN, CLEAR_MUSIC_MARGIN, MIN_WINDOWS
from genrelab.predict.prediction import Prediction
from tests.support.bundles import GENRES, bundle_for, noise
from tests.support.heard_levels import (
    BLUES,
    FOLK,
    HARDLY_MUSIC,
    LOW,
    NONE,
    ROCK,
    SR,
    SURE,
    VIEW,
    hear_levels,
    level_bundle,
    song,
)
from tests.support.songs import song as made_song


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return hear_levels(monkeypatch)


@pytest.fixture
def bundle(tmp_path: Path) -> Classifier:
    return level_bundle(tmp_path / "bundle")


def starts(prediction: Prediction) -> list[float]:
    return [w.start_s for w in prediction.timeline]


def test_clear_song_stops_after_two_windows(bundle: Classifier, scored: list[float]) -> None:
    prediction = bundle.predict(song(*[FOLK] * 40), SR)
    assert (prediction.genre, len(scored), len(prediction.timeline)) == ("Folk", MIN_WINDOWS, MIN_WINDOWS)
    assert prediction.confidence == pytest.approx(np.exp(5) / (np.exp(5) + 2), abs=1e-6)


@pytest.mark.parametrize(("n_clips", "n_scored"), [(40, 10), (10, 10), (7, 7)])
def test_unclear_song_uses_all_windows(bundle: Classifier, scored: list[float], n_clips: int, n_scored: int) -> None:
    prediction = bundle.predict(song(*[NONE] * n_clips), SR)
    assert len(scored) == len(prediction.timeline) == n_scored
    assert starts(prediction) == list(clip_starts(3.0 * n_clips, EMBEDDING_CLIPS))
    assert prediction.confidence == pytest.approx(1 / 3, abs=1e-6)


def test_first_windows_are_spread_over_the_song_and_the_result_is_in_order_of_time(
    bundle: Classifier, scored: list[float]
) -> None:
    """Rock, then Blues again and again: until Blues is far enough ahead."""
    order = spread_order(10)
    levels = [BLUES] * 10
    levels[order[0]] = ROCK
    n_blues = next(n for n in range(1, 10) if SURE * (n - 1) / (n + 1) >= CLEAR_MARGIN)
    prediction = bundle.predict(song(*levels), SR)
    assert scored == [ROCK, *[BLUES] * n_blues] and n_blues < 9
    assert starts(prediction) == sorted(3.0 * i for i in order[: 1 + n_blues])
    assert starts(prediction) != [3.0 * i for i in order[: 1 + n_blues]], "else their order would not matter"
    for window in prediction.timeline:
        genre = {ROCK: "Rock", BLUES: "Blues"}[levels[round(window.start_s / 3)]]
        assert window.probabilities[genre] > 0.9


def test_answer_is_the_mean_over_the_windows_used(bundle: Classifier, scored: list[float]) -> None:
    prediction = bundle.predict(song(*[BLUES, NONE] * 5), SR)
    windows = np.array([list(w.probabilities.values()) for w in prediction.timeline])
    assert len(windows) == len(scored) and set(scored) == {BLUES, NONE}
    assert list(prediction.probabilities.values()) == pytest.approx(list(windows.mean(axis=0)), abs=1e-12)


def test_two_clear_windows_of_different_genres_are_unclear(bundle: Classifier, scored: list[float]) -> None:
    order = spread_order(10)
    levels = [FOLK] * 10
    levels[order[0]] = ROCK
    prediction = bundle.predict(song(*levels), SR)
    assert prediction.genre == "Folk" and 2 < len(scored) < 10
    *_, second, first = sorted(prediction.probabilities.values())
    assert first - second >= CLEAR_MARGIN


def test_song_whose_music_score_is_unclear_uses_all_windows(bundle: Classifier, scored: list[float]) -> None:
    """Its genre is clear; whether it counts is not."""
    prediction = bundle.predict(song(*[LOW] * 20), SR)
    assert (prediction.genre, len(scored)) == ("Folk", 10)
    assert prediction.music_score == pytest.approx(HARDLY_MUSIC) and 0 < HARDLY_MUSIC < CLEAR_MUSIC_MARGIN
    scored.clear()
    assert bundle.predict(song(*[-FOLK] * 20), SR).genre == "unknown"
    assert len(scored) == 2, "what is clearly no music is soon clear"


@pytest.mark.parametrize("levels", [[FOLK] * 40, [BLUES, NONE] * 20, [NONE] * 40, [LOW] * 40, [FOLK], [-FOLK] * 7])
def test_full_timeline_leaves_the_answer_as_it_is(
    bundle: Classifier, scored: list[float], tmp_path: Path, levels: list[float]
) -> None:
    """The command line asks with and without a timeline, the page always with one: all of them get one answer."""
    soundfile.write(tmp_path / "a.wav", song(*levels), SR, subtype="FLOAT")
    plain = bundle.predict(tmp_path / "a.wav")
    n_plain = len(scored)
    timed = bundle.with_full_timeline().predict(tmp_path / "a.wav")
    assert replace(timed, timeline=()) == replace(plain, timeline=())
    assert starts(timed) == list(clip_starts(3.0 * len(levels), replace(EMBEDDING_CLIPS, max_clips=1_000)))
    assert set(starts(plain)) <= set(starts(timed)) and len(scored) - n_plain == len(timed.timeline)
    asked = bundle.with_windows(3)
    assert asked.with_full_timeline().predict(tmp_path / "a.wav") == asked.predict(tmp_path / "a.wav")


def test_damage_beyond_the_windows_of_the_answer_only_ends_the_full_timeline(
    bundle: Classifier, scored: list[float]
) -> None:
    damaged = spread_order(10)[5]
    y = song(*[FOLK] * 10)
    y[round((3.0 * damaged + 1) * SR)] = np.nan
    plain, timed = bundle.predict(y, SR), bundle.with_full_timeline().predict(y, SR)
    assert timed.error is None and replace(timed, timeline=()) == replace(plain, timeline=())
    assert starts(timed) == sorted({*starts(plain), *(3.0 * i for i in range(damaged))})


@pytest.mark.parametrize(("windows", "n_scored"), [("all", 40), (25, 25), (10, 10), (3, 3), (1, 1), (None, 2)])
def test_windows_that_are_asked_for_are_all_used(
    bundle: Classifier, scored: list[float], windows: WindowCount | None, n_scored: int
) -> None:
    """In their order, and however clear the answer is."""
    prediction = bundle.with_windows(windows).predict(song(*[FOLK] * 40), SR)
    assert len(scored) == len(prediction.timeline) == n_scored
    assert bundle.with_windows(windows).stops_early is (windows is None)


def test_number_of_windows_doubles_where_two_genres_are_close(bundle: Classifier, scored: list[float]) -> None:
    bundle.with_windows(3).predict(song(*[NONE] * 40), SR)
    assert len(scored) == 6


def test_silent_windows_are_passed_over(bundle: Classifier, scored: list[float]) -> None:
    order = spread_order(10)
    levels = [0.0] * 10
    levels[order[4]], levels[order[7]] = FOLK, FOLK
    prediction = bundle.predict(song(*levels), SR)
    assert scored == [FOLK, FOLK] and starts(prediction) == sorted(3.0 * order[i] for i in (4, 7))
    scored.clear()
    levels[order[7]] = 0.0
    prediction = bundle.predict(song(*levels), SR)
    assert scored == [FOLK] and (prediction.genre, prediction.error) == ("Folk", None), "the only one must do"
    assert bundle.predict(song(*[0.0] * 10), SR).error == "silent: no sample reaches -80 dBFS"


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.9, 3.0, 3.15])
def test_song_of_one_window_or_less_is_scored_once(bundle: Classifier, scored: list[float], seconds: float) -> None:
    prediction = bundle.predict(song(FOLK, seconds=seconds), SR)
    assert (prediction.genre, scored, starts(prediction)) == ("Folk", [FOLK], [0.0])
    assert prediction.timeline[0].end_s == pytest.approx(seconds)
    assert bundle.predict(song(FOLK, seconds=0.49), SR).error == "too short: 0.49 s, the minimum is 0.5 s"


def test_no_window_is_decoded_after_the_last_one_used(
    bundle: Classifier, scored: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", song(*[FOLK] * 40), SR, subtype="FLOAT")
    decoded: list[float] = []
    read = Audio.read
    monkeypatch.setattr(Audio, "read", lambda self, at, s: (decoded.append(at), read(self, at, s))[1])
    from_file = bundle.predict(tmp_path / "a.wav")
    assert len(decoded) == len(scored) == 2 and sorted(decoded) == starts(from_file)
    from_memory = bundle.predict(song(*[FOLK] * 40), SR)
    assert (from_memory.timeline, from_memory.probabilities) == (from_file.timeline, from_file.probabilities)


def test_damage_in_windows_that_are_not_used_does_not_matter(bundle: Classifier, scored: list[float]) -> None:
    order = spread_order(10)
    y = song(*[FOLK] * 10)
    y[round((3.0 * order[5] + 1) * SR)] = np.nan
    assert bundle.predict(y, SR).genre == "Folk" and len(scored) == 2
    unclear = y.copy()
    unclear[np.isfinite(unclear)] = NONE
    assert bundle.predict(unclear, SR).error == "contains NaN or infinite samples: convert the file again"


def test_bundles_on_other_views_use_all_their_windows(tmp_path: Path) -> None:
    view = LogMelView(sr=8_000, n_fft=512, hop_length=256, n_mels=16, window_s=1.0, hop_s=1.0)
    sure = bundle_for(tmp_path / "bundle", view, EMBEDDING_CLIPS, bias=(9.0, 0.0, 0.0))
    assert not sure.stops_early
    assert len(sure.predict(noise(60), 8_000).timeline) == 30
    assert set(sure.predict(noise(4), 8_000).probabilities) == set(GENRES)


def test_real_networks_and_the_gate_answer_a_song(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((*VIEW.shape, 3)).astype(np.float32)
    bundle = bundle_for(tmp_path / "bundle", VIEW, EMBEDDING_CLIPS, 10 * weights)
    y = made_song("Rock", 1, 1, seconds=12.0)
    prediction = bundle.predict(y, SYNTH_SR)
    every = bundle.with_windows("all").predict(y, SYNTH_SR)
    assert starts(every) == [0.0, 3.0, 6.0, 9.0] and every.music_score is not None and every.tags is not None
    window = embedding(resample(y[: 3 * SYNTH_SR], SYNTH_SR, SR), VIEW)
    expected = bundle.probabilities(window[None])[0].tolist()
    assert list(every.timeline[0].probabilities.values()) == pytest.approx(expected, abs=1e-6)
    assert 2 <= len(prediction.timeline) <= 4 and all(w in every.timeline for w in prediction.timeline)
    assert prediction.music_score is not None and prediction.tags is not None
    assert all(0 < p < 1 for p in prediction.tags.values())
