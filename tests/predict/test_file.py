"""A track's windows become one answer here and nowhere else; a file that fails is an answer too."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import genrelab
from genrelab.audio import clips as audio_clips
from genrelab.audio.reader import Audio
from genrelab.bundle.bundle import Bundle
from genrelab.core.config import ClipSettings, LogMelView, SamplesView, StatisticsView, TableView
from genrelab.core.errors import BundleError, DecodeError, SettingsError
from genrelab.predict import classifier, window_scores
from genrelab.predict.file import predict_audio, predict_file, predict_samples
from genrelab.predict.pooling import pool
from tests.support.bundles import GENRES, SR, bundle_for, noise


@pytest.fixture
def samples_bundle(tmp_path: Path) -> classifier.Classifier:
    return bundle_for(tmp_path / "bundle", SamplesView(sr=SR, n_samples=4_000))


# --- pool ---


def test_pool_is_the_mean_of_each_track() -> None:
    p = np.array([[0.2, 0.8], [1.0, 0.0], [0.4, 0.6], [0.5, 0.5]])
    tracks, pooled = pool(np.array([7, 3, 7, 3]), p)
    np.testing.assert_array_equal(tracks, [3, 7])
    np.testing.assert_allclose(pooled, [[0.75, 0.25], [0.3, 0.7]])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 1_000))
def test_pool_does_not_depend_on_the_order(tracks: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    track, p = np.array(tracks), rng.dirichlet([1, 1, 1], len(tracks))
    order = rng.permutation(len(tracks))
    found, pooled = pool(track, p)
    found_again, pooled_again = pool(track[order], p[order])
    np.testing.assert_array_equal(found, sorted(set(tracks)))
    np.testing.assert_array_equal(found, found_again)
    np.testing.assert_allclose(pooled, pooled_again)
    np.testing.assert_allclose(pooled.sum(axis=1), 1)


def test_pool_renormalises_and_takes_float32() -> None:
    _, pooled = pool(np.zeros(3, np.int64), np.full((3, 2), 0.4995, np.float32))
    assert pooled.dtype == np.float64
    np.testing.assert_allclose(pooled, [[0.5, 0.5]])


# --- one file ---


def test_running_out_of_memory_is_a_temporary_error(
    tmp_path: Path, samples_bundle: classifier.Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clips(*_: object, **__: object) -> NoReturn:
        raise MemoryError

    soundfile.write(tmp_path / "a.wav", noise(1), SR)
    monkeypatch.setattr(audio_clips, "clips_from_audio", clips)
    found = predict_file(samples_bundle, tmp_path / "a.wav")
    assert (found.error, found.duration_s, found.lasting) == ("not enough memory to decode it", 1.0, False)


def test_a_file_is_classified(tmp_path: Path, samples_bundle: classifier.Classifier) -> None:
    soundfile.write(tmp_path / "a.wav", noise(2), SR, subtype="FLOAT")
    prediction = samples_bundle.predict(tmp_path / "a.wav")
    expected = samples_bundle.probabilities(noise(2)[None, :4_000])[0]
    assert prediction.error is None
    assert prediction.genre == GENRES[int(expected.argmax())]
    assert prediction.confidence == pytest.approx(expected.max())
    assert list(prediction.probabilities) == list(GENRES)
    assert list(prediction.probabilities.values()) == pytest.approx(list(expected))
    assert (prediction.path, prediction.duration_s, prediction.model) == (str(tmp_path / "a.wav"), 2.0, "linear")
    (window,) = prediction.timeline
    assert (window.start_s, window.end_s, window.probabilities) == (0, 0.5, pytest.approx(prediction.probabilities))


def test_package_offers_load_bundle_and_predict(tmp_path: Path, samples_bundle: classifier.Classifier) -> None:
    soundfile.write(tmp_path / "a.wav", noise(2), SR)
    assert genrelab.load_bundle(tmp_path / "bundle").predict(str(tmp_path / "a.wav")).genre in GENRES


def test_samples_are_classified_like_their_file(tmp_path: Path) -> None:
    view, clips = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5), ClipSettings(2.0)
    bundle = bundle_for(tmp_path / "bundle", view, clips)
    soundfile.write(tmp_path / "a.wav", noise(7), SR, subtype="FLOAT")
    from_file, from_memory = bundle.predict(tmp_path / "a.wav"), bundle.predict(noise(7), SR)
    assert from_file.timeline == from_memory.timeline
    assert from_file.probabilities == from_memory.probabilities
    assert from_memory.path == ""


def test_windows_are_pooled_by_their_mean(tmp_path: Path) -> None:
    view = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)
    bundle = bundle_for(tmp_path / "bundle", view, ClipSettings(clip_s=2.0, max_clips=3))
    soundfile.write(tmp_path / "a.wav", noise(8.5), SR, subtype="FLOAT")
    prediction = predict_file(bundle, tmp_path / "a.wav")
    starts = [w.start_s for w in prediction.timeline]
    assert starts == sorted(starts)
    assert {int(s // 2) for s in starts} == {0, 2, 3}, "three of the four clips"
    assert all(0 < w.end_s - w.start_s <= 0.5 for w in prediction.timeline)
    mean = np.mean([list(w.probabilities.values()) for w in prediction.timeline], axis=0)
    assert list(prediction.probabilities.values()) == pytest.approx(list(mean))


def test_the_last_window_ends_with_the_track(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path / "bundle", StatisticsView())
    prediction = bundle.predict(noise(1.25, 22_050), 22_050)
    (window,) = prediction.timeline
    assert (window.start_s, window.end_s) == (0, pytest.approx(1.25, abs=1e-3))


def test_open_file_is_classified_like_its_path_and_raises_on_errors(
    tmp_path: Path, samples_bundle: classifier.Classifier
) -> None:
    soundfile.write(tmp_path / "a.wav", noise(2), SR)
    soundfile.write(tmp_path / "silent.wav", np.zeros(SR), SR)
    with closing(Audio(tmp_path / "a.wav")) as audio:
        assert predict_audio(samples_bundle, audio) == predict_file(samples_bundle, tmp_path / "a.wav")
    with closing(Audio(tmp_path / "silent.wav")) as audio, pytest.raises(DecodeError, match="silent") as found:
        predict_audio(samples_bundle, audio)
    assert found.value.stage == "check"


def test_the_path_stays_as_it_was_given(
    tmp_path: Path, samples_bundle: classifier.Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", noise(2), SR)
    monkeypatch.chdir(tmp_path)
    assert predict_file(samples_bundle, "./a.wav").path == "./a.wav"


def test_failing_file_gives_an_answer_with_its_error(tmp_path: Path, samples_bundle: classifier.Classifier) -> None:
    (tmp_path / "text.mp3").write_text("no sound\n" * 100)
    soundfile.write(tmp_path / "silent.wav", np.zeros(SR), SR)
    soundfile.write(tmp_path / "good.wav", noise(1), SR)
    names = ["text.mp3", "missing.mp3", "silent.wav", "good.wav"]
    found = list(samples_bundle.predict_many([tmp_path / n for n in names]))
    assert [p.genre is None for p in found] == [True, True, True, False]
    assert [p.error is None for p in found] == [False, False, False, True]
    assert "cannot be decoded" in str(found[0].error)
    assert "no such file" in str(found[1].error)
    assert (found[2].error, found[2].duration_s) == ("silent: no sample reaches -80 dBFS", 1.0)
    assert [p.lasting for p in found] == [True, False, True, True]
    for p in found[:3]:
        assert (p.confidence, p.probabilities, p.timeline, p.model) == (None, {}, (), "linear")


def test_predictions_come_one_by_one(tmp_path: Path, samples_bundle: classifier.Classifier) -> None:
    def paths():  # type: ignore[no-untyped-def]
        yield tmp_path / "missing.mp3"
        raise AssertionError("asked for too early")

    assert next(samples_bundle.predict_many(paths())).error is not None


def test_silent_beginning_is_an_error_for_views_of_the_beginning(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path / "bundle", SamplesView(sr=SR, n_samples=4_000), ClipSettings(clip_s=1.0))
    y = noise(3)
    y[:SR] = 0
    assert bundle.predict(y, SR).error == "the first clip, the only one that linear uses, is silent"


@pytest.mark.parametrize(
    "fault", [DecodeError("clip at 0 s", "far too loud", stage="check"), SettingsError("far too loud")]
)
def test_a_view_that_cannot_be_computed_is_the_files_error(
    samples_bundle: classifier.Classifier, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(window_scores, "compute", refuse)
    assert samples_bundle.predict(noise(1), SR).error == "far too loud"


def test_numbers_that_the_network_cannot_take_are_the_files_error(
    tmp_path: Path, samples_bundle: classifier.Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BundleError("answers numbers that are no probabilities")

    soundfile.write(tmp_path / "a.wav", noise(2), SR)
    monkeypatch.setattr(Bundle, "probabilities", refuse)
    assert samples_bundle.predict(tmp_path / "a.wav").error == "answers numbers that are no probabilities"


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), MemoryError()])
def test_disk_and_memory_errors_are_temporary(
    tmp_path: Path, samples_bundle: classifier.Classifier, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*_: object) -> None:
        raise fault

    soundfile.write(tmp_path / "a.wav", noise(2), SR)
    monkeypatch.setattr("genrelab.audio.sndfile.SoundFile.read", fail)
    monkeypatch.setattr("genrelab.audio.ffmpeg.FFmpeg.read", fail)
    prediction = samples_bundle.predict(tmp_path / "a.wav")
    assert prediction.error is not None and not prediction.lasting


def test_bundle_for_tables_cannot_classify_audio(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path / "bundle", TableView(columns=("mean", "variance")))
    for attempt in (lambda: bundle.predict(tmp_path / "a.wav"), lambda: bundle.predict(noise(1), SR)):
        with pytest.raises(BundleError, match="not audio"):
            attempt()


@pytest.mark.parametrize(
    ("y", "sr"),
    [
        (np.zeros((2, 100), np.float32), SR),
        (np.zeros(100, np.int16), SR),
        (np.zeros(100, np.float32), 0),
        (np.zeros(100, np.float32), None),
    ],
)
def test_invalid_samples_are_refused(samples_bundle: classifier.Classifier, y: NDArray[np.float32], sr: int) -> None:
    with pytest.raises(SettingsError, match="samples"):
        samples_bundle.predict(y, sr)


@pytest.mark.parametrize("y", [np.zeros(0), np.full(SR, np.nan), np.full(SR, np.inf), np.zeros(SR), np.ones(10)])
def test_unusable_samples_give_an_answer_with_an_error(
    samples_bundle: classifier.Classifier, y: NDArray[np.float64]
) -> None:
    assert predict_samples(samples_bundle, y, SR).error is not None


@pytest.mark.parametrize("sr", [22_050, 44_100, 48_000, 96_000])
def test_the_rate_of_the_file_does_not_matter(tmp_path: Path, sr: int) -> None:
    bundle = bundle_for(tmp_path / "bundle", LogMelView(n_mels=32))
    t, at = np.arange(3 * sr) / sr, np.arange(3 * 22_050) / 22_050
    tune = [np.sum([np.sin(2 * np.pi * 220 * k * s) / k for k in range(1, 20)], axis=0) * 0.1 for s in (t, at)]
    there, here = bundle.predict(tune[0], sr), bundle.predict(tune[1], 22_050)
    assert there.genre == here.genre
    assert list(there.probabilities.values()) == pytest.approx(list(here.probabilities.values()), abs=0.05)


def test_long_file_needs_the_memory_of_one_clip(tmp_path: Path, samples_bundle: classifier.Classifier) -> None:
    with soundfile.SoundFile(tmp_path / "long.wav", "w", SR, 1, subtype="PCM_16") as file:
        for _ in range(20):
            file.write(noise(60))
    tracemalloc.start()
    prediction = predict_file(samples_bundle, tmp_path / "long.wav")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert prediction.duration_s == 1_200
    assert peak < 4 * 30 * SR * 4  # ten clips are looked at, one at a time


# --- JSON ---


def test_json_has_the_documented_fields(tmp_path: Path, samples_bundle: classifier.Classifier) -> None:
    prediction = samples_bundle.predict(noise(2), SR)
    plain = json.loads(json.dumps(prediction.to_json()))
    assert list(plain) == [
        *("path", "genre", "confidence", "probabilities", "unknown_because", "duration_s", "model", "error"),
        "notes",
    ]
    assert plain["probabilities"] == prediction.probabilities and plain["unknown_because"] is None
    assert "tags" not in prediction.to_json(tags=True), "this model has none"
    full = json.loads(json.dumps(prediction.to_json(timeline=True, top=2)))
    assert list(full) == [*plain, "timeline"]
    assert list(full["timeline"][0]) == ["start_s", "end_s", "probabilities"]
    assert len(full["timeline"][0]["probabilities"]) == 2
    assert list(full["probabilities"].values()) == sorted(prediction.probabilities.values(), reverse=True)[:2]
    failed = predict_file(samples_bundle, tmp_path / "missing.mp3").to_json(timeline=True, top=3)
    assert failed == {
        "path": str(tmp_path / "missing.mp3"),
        "genre": None,
        "confidence": None,
        "probabilities": {},
        "unknown_because": None,
        "duration_s": None,
        "model": "linear",
        "error": "no such file",
        "notes": [],
        "timeline": [],
    }


# --- real audio ---


@pytest.mark.real
def test_real_songs_are_classified(shared: Path, tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path / "bundle", LogMelView())
    paths = sorted((shared / "data" / "assorted").glob("fma*.mp3")) + sorted(
        (shared / "data" / "gtzan_30s").glob("*/*.au")
    )
    assert paths
    for prediction in bundle.predict_many(paths):
        assert prediction.error is None
        assert sum(prediction.probabilities.values()) == pytest.approx(1)
        assert prediction.duration_s is not None
        assert prediction.timeline[-1].end_s <= prediction.duration_s + 0.01
