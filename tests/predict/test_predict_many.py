"""Many windows of a track, many files, many threads: the same answers as one by one, in few passes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import soundfile

from genrelab.audio.reader import Audio
from genrelab.bundle.bundle import BATCH_SIZE, Bundle
from genrelab.core.config import ClipSettings, LogMelView, SamplesView, StatisticsView
from genrelab.core.errors import SettingsError
from genrelab.predict import classifier
from tests.support.bundles import SR, bundle_for, noise


@pytest.fixture
def samples_bundle(tmp_path: Path) -> classifier.Classifier:
    return bundle_for(tmp_path / "bundle", SamplesView(sr=SR, n_samples=4_000))


def test_windows_setting_changes_how_much_is_processed(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path / "bundle", StatisticsView(), ClipSettings(clip_s=1.0, max_clips=2))
    y = noise(8.6, 22_050)
    starts = {w: [s.start_s for s in bundle.with_windows(w).predict(y, 22_050).timeline] for w in (None, 1, 3, "all")}  # type: ignore[arg-type]
    assert starts[None] == [0, 6], "of nine clips"
    assert starts[1] == [0]
    assert starts[3] == [0, 4, 7]
    assert starts["all"] == [*range(8), pytest.approx(7.6)]
    assert bundle.with_windows(None) is bundle
    for wrong in (0, -1, 2.5, "3"):
        with pytest.raises(SettingsError, match="windows must be"):
            bundle.with_windows(wrong)  # type: ignore[arg-type]


def test_windows_go_through_the_network_in_few_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)
    bundle = bundle_for(tmp_path / "bundle", view, ClipSettings(clip_s=1.0)).with_windows("all")
    sizes = []
    answers = Bundle.answers
    monkeypatch.setattr(Bundle, "answers", lambda self, x: sizes.append(len(x)) or answers(self, x))
    prediction = bundle.predict(noise(50), SR)
    assert len(prediction.timeline) == sum(sizes) == 100
    assert sizes == [BATCH_SIZE] * 3 + [4]


def test_view_of_the_beginning_decodes_no_more_of_a_long_track(
    tmp_path: Path, samples_bundle: classifier.Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", noise(100), SR)
    decoded = []
    read = Audio.read
    monkeypatch.setattr(Audio, "read", lambda self, at, s: decoded.append(at) or read(self, at, s))
    assert samples_bundle.predict(tmp_path / "a.wav").error is None
    assert decoded == [0]


def test_predict_many_equals_single_predictions(tmp_path: Path, samples_bundle: classifier.Classifier) -> None:
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", noise(2, seed=i), SR)
    paths = [tmp_path / f"{i}.wav" for i in (2, 0, 1)]
    one_by_one = [samples_bundle.predict(p) for p in paths]
    assert list(samples_bundle.predict_many(paths)) == one_by_one
    assert list(samples_bundle.predict_many(map(str, paths), jobs=None)) == one_by_one
    assert list(samples_bundle.predict_many(str(paths[0]))) == one_by_one[:1], "a single name is no list of letters"
    with pytest.raises(SettingsError, match="--jobs"):
        samples_bundle.predict_many(paths, jobs=0)
    with pytest.raises(SettingsError, match="windows"):
        samples_bundle.predict_many(paths, windows=0)


def test_threads_get_the_same_answers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bundle = bundle_for(tmp_path / "bundle", LogMelView(n_mels=32), ClipSettings(clip_s=3.0))
    for i in range(6):
        soundfile.write(tmp_path / f"{i}.{('wav', 'mp3', 'flac')[i % 3]}", noise(7, 22_050, seed=i), 22_050)
    (tmp_path / "text.mp3").write_text("no sound\n" * 100)
    paths = sorted(tmp_path.glob("*.*")) * 3
    expected = [bundle.predict(p) for p in paths]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(bundle.predict, paths)) == expected
    assert capfd.readouterr().err == ""
