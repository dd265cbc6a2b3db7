"""With `windows=N`, up to N more clips are used where the two likeliest genres are close."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from genrelab.audio import clips as audio_clips
from genrelab.audio.clips import clip_starts
from genrelab.audio.reader import Audio
from genrelab.core.config import ClipSettings, FramesView, LogMelView, SamplesView, View
from genrelab.predict import classifier, file
from genrelab.predict.classifier import Classifier
from genrelab.predict.file import TIE_MARGIN
from tests.support.bundles import SR, bundle_for, noise

VIEW = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=1.0, hop_s=1.0)
WEIGHTS = np.random.default_rng(0).standard_normal((int(np.prod(VIEW.shape)), 3)).astype(np.float32)
CLIPS = ClipSettings(clip_s=1.0, max_clips=2)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of every look at a file or at samples: was it the second?"""
    seen: list[bool] = []
    original = audio_clips.clips_from_audio

    def look(*given: Any, more: bool = False, **more_of: Any) -> Iterator[audio_clips.Clip]:
        seen.append(more)
        yield from original(*given, more=more, **more_of)

    monkeypatch.setattr(audio_clips, "clips_from_audio", look)
    return seen


def close(folder: Path, clips: ClipSettings = CLIPS) -> Classifier:
    """What it says of noise hardly differs from one genre to the other, and yet from window to window."""
    return bundle_for(folder, VIEW, clips, WEIGHTS * np.float32(0.03))


def starts(prediction: classifier.Prediction) -> list[float]:
    return [w.start_s for w in prediction.timeline]


def difference(prediction: classifier.Prediction) -> float:
    *_, second, first = sorted(prediction.probabilities.values())
    return first - second


@pytest.mark.parametrize(("seconds", "n_windows"), [(12.0, 6), (5.0, 5), (3.0, 3), (1.0, 1)])
def test_close_answer_doubles_the_clips_and_pools_all_windows(
    tmp_path: Path, passes: list[bool], seconds: float, n_windows: int
) -> None:
    bundle, y, clips = close(tmp_path / "bundle").with_windows(3), noise(seconds), ClipSettings(1.0, max_clips=3)
    soundfile.write(tmp_path / "a.wav", y, SR, subtype="FLOAT")
    prediction = bundle.predict(tmp_path / "a.wav")
    assert difference(prediction) < TIE_MARGIN and passes == [False, True]
    expected = sorted(clip_starts(seconds, clips) + clip_starts(seconds, clips, more=True))
    assert starts(prediction) == expected and len(expected) == n_windows
    windows = np.array([list(w.probabilities.values()) for w in prediction.timeline])
    assert list(prediction.probabilities.values()) == pytest.approx(list(windows.mean(axis=0)), abs=1e-12)
    every = {w.start_s: w for w in close(tmp_path / "bundle").with_windows("all").predict(y, SR).timeline}
    for window in prediction.timeline:
        assert window.end_s == every[window.start_s].end_s
        assert window.probabilities == pytest.approx(every[window.start_s].probabilities, abs=1e-6)
    assert len({tuple(row) for row in windows.tolist()}) == n_windows, "else their order would not matter"
    from_memory = bundle.predict(y, SR)
    assert (from_memory.timeline, from_memory.probabilities) == (prediction.timeline, prediction.probabilities)


@pytest.mark.parametrize(
    ("bias", "again"),
    [
        ((0.0, 0.0, 0.0), True),
        ((1.0, 0.0, 1.0), True),  # of three it is the two likeliest that count
        ((1.0, 0.0, 0.0), False),  # that the others are alike is no doubt
        ((0.0, 0.0, 0.19), True),  # 0.377 and 0.311
        ((0.0, 0.0, 0.34), False),  # 0.413 and 0.294
    ],
)
def test_clear_answer_gets_no_second_pass(
    tmp_path: Path, passes: list[bool], bias: tuple[float, float, float], again: bool
) -> None:
    nothing = np.zeros_like(WEIGHTS)
    bundle = bundle_for(tmp_path / "bundle", VIEW, CLIPS, nothing, bias).with_windows(3)
    prediction = bundle.predict(noise(12), SR)
    assert (difference(prediction) < TIE_MARGIN) is again
    assert passes == [False, True][: 1 + again]
    assert len(prediction.timeline) == (6 if again else 3)


def test_only_the_first_pass_decides_on_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = bundle_for(tmp_path / "bundle", VIEW, CLIPS, WEIGHTS).with_windows(3)
    first = bundle.predict(noise(12), SR)
    assert len(first.timeline) == 3 and difference(first) > TIE_MARGIN
    monkeypatch.setattr(file, "TIE_MARGIN", difference(first) + 1e-9)
    assert len(bundle.predict(noise(12), SR).timeline) == 6
    monkeypatch.setattr(file, "TIE_MARGIN", difference(first) - 1e-9)
    assert bundle.predict(noise(12), SR) == first


@pytest.mark.parametrize(("windows", "n_windows"), [(None, 2), ("all", 12), (12, 12), (2, 4)])
def test_second_pass_needs_an_explicit_number_of_windows(
    tmp_path: Path, passes: list[bool], windows: classifier.WindowCount | None, n_windows: int
) -> None:
    bundle = close(tmp_path / "bundle").with_windows(windows)
    prediction = bundle.predict(noise(12), SR)
    assert difference(prediction) < TIE_MARGIN and len(prediction.timeline) == n_windows
    assert passes == [False, *([True] if isinstance(windows, int) else [])]
    assert bundle.with_windows(3).with_windows("all").second_pass is False, "the last word counts"
    soundfile.write(tmp_path / "a.wav", noise(12), SR, subtype="FLOAT")
    (many,) = close(tmp_path / "bundle").predict_many([tmp_path / "a.wav"], windows=windows)
    assert many.timeline == prediction.timeline


@pytest.mark.parametrize("view", [SamplesView(sr=SR, n_samples=4_000), FramesView()])
def test_views_of_the_beginning_get_no_second_pass(
    tmp_path: Path, passes: list[bool], monkeypatch: pytest.MonkeyPatch, view: View
) -> None:
    soundfile.write(tmp_path / "a.wav", noise(12), SR)
    decoded = []
    read = Audio.read
    monkeypatch.setattr(Audio, "read", lambda self, at, s: decoded.append(at) or read(self, at, s))
    undecided = np.zeros((int(np.prod(view.shape)), 3), np.float32)
    bundle = bundle_for(tmp_path / "bundle", view, ClipSettings(clip_s=2.0), undecided)
    prediction = bundle.with_windows(6).predict(tmp_path / "a.wav")
    assert (prediction.error, starts(prediction), difference(prediction)) == (None, [0], 0)
    assert (passes, decoded) == ([False], [0])


def test_silent_remainder_leaves_the_answer_unchanged(tmp_path: Path, passes: list[bool]) -> None:
    y = noise(8)
    y[SR : 6 * SR] = y[7 * SR :] = 0  # what is left are the first second and the seventh
    prediction = close(tmp_path / "bundle").with_windows(2).predict(y, SR)
    assert (prediction.error, starts(prediction), passes) == (None, [0, 6], [False, True])


def test_damage_found_in_the_second_pass_is_the_files_error(tmp_path: Path) -> None:
    y = noise(8)
    y[4 * SR + 5] = np.nan  # the first look is at the first second and the seventh
    bundle = close(tmp_path / "bundle")
    assert starts(bundle.predict(y, SR)) == [0, 6]
    refused = bundle.with_windows(2).predict(y, SR)
    assert (refused.genre, refused.error, refused.timeline) == (
        None,
        "contains NaN or infinite samples: convert the file again",
        (),
    )


def test_both_passes_use_the_same_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg, which may take over in the first pass, may measure another length: no clip is used twice."""
    soundfile.write(tmp_path / "a.wav", noise(12), SR, subtype="FLOAT")
    read = Audio.read

    def longer(audio: Audio, start_s: float, seconds: float | None) -> Any:
        audio.frames = 14 * SR
        return read(audio, start_s, seconds)

    bundle = close(tmp_path / "bundle").with_windows(3)
    expected = bundle.predict(tmp_path / "a.wav")
    assert len(expected.timeline) == 6
    monkeypatch.setattr(Audio, "read", longer)
    assert bundle.predict(tmp_path / "a.wav") == expected
