"""Many files are classified in their order, each once, in workers where that is faster; one bad file loses one row."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genrelab.core.config import EMBEDDING_CLIPS, ClipSettings, EmbeddingView, LogMelView, SamplesView, TableView
from genrelab.core.errors import BundleError, SettingsError
from genrelab.core.processes import DECODER_CRASHED
from genrelab.datasets.synth_voices import SR as SONG_SR
from genrelab.predict import batch
from genrelab.predict.batch import MAX_FILES_IN_PROCESS, QUEUE_LIMIT, FileResult, predict_files
from genrelab.predict.cache import open_cache
from genrelab.predict.classifier import Classifier
from genrelab.predict.file import predict_file
from genrelab.predict.prediction import Decision, Prediction
from tests.support.bundles import SR, bundle_for, noise
from tests.support.songs import genres, song


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(files, jobs) of every call for workers; no worker is started."""
    asked: list[tuple[int, int]] = []

    def predict(bundle: Classifier, files: list[Path], jobs: int, cache: object) -> Iterator[Prediction]:
        asked.append((len(files), jobs))
        return (predict_file(bundle, f) for f in files)

    monkeypatch.setattr(batch, "_predict_in_workers", predict)
    return asked


def songs(folder: Path, n: int, seconds: float = 0.6) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for i in range(n):
        soundfile.write(folder / f"{i:03}.wav", noise(seconds, seed=i), SR)
    return sorted(folder.iterdir())


def plain(predictions: list[Prediction]) -> list[Prediction]:
    return [replace(p, timeline=()) for p in predictions]


# --- in this process ---


def test_few_files_are_answered_in_their_order(bundle: Classifier, tmp_path: Path) -> None:
    paths = [*reversed(songs(tmp_path / "music", 4)), tmp_path / "missing.mp3"]
    steps: list[tuple[int, int]] = []
    found = list(predict_files(bundle, map(str, paths), progress=lambda done, total: steps.append((done, total))))
    assert found == [predict_file(bundle, p) for p in paths]
    assert steps == [(i, 5) for i in range(1, 6)]
    assert list(predict_files(bundle, [])) == []


def test_cached_files_are_not_processed_again(bundle: Classifier, tmp_path: Path, decoded: list[str]) -> None:
    paths = songs(tmp_path / "music", 4)
    (tmp_path / "text.mp3").write_text("no sound\n" * 100)
    paths += [tmp_path / "text.mp3", tmp_path / "missing.mp3"]
    with open_cache() as answers:
        first = list(predict_files(bundle, paths, cache=answers))
    assert decoded == [p.name for p in paths]
    decoded.clear()
    soundfile.write(paths[2], noise(0.7, seed=9), SR)
    paths[0] = paths[0].rename(tmp_path / "moved.wav")
    with open_cache() as answers:
        second = list(predict_files(bundle, paths, cache=answers))
    assert decoded == ["002.wav", "missing.mp3"], "the changed one, and what could not be read"
    assert plain(second[1:2] + second[3:]) == plain(first[1:2] + first[3:])
    assert plain([second[0]]) == [replace(first[0], timeline=(), path=str(paths[0]))]
    assert second[2].probabilities != first[2].probabilities


def test_copies_are_processed_once(bundle: Classifier, tmp_path: Path, decoded: list[str]) -> None:
    paths = songs(tmp_path / "music", 2)
    paths += [Path(shutil.copy(paths[0], tmp_path / f"copy{i}.wav")) for i in range(3)]
    with open_cache() as answers:
        found = list(predict_files(bundle, paths, cache=answers))
    assert decoded == ["000.wav", "001.wav"]
    assert [f.path for f in found] == list(map(str, paths))
    assert len({f.confidence for f in found[2:]} | {found[0].confidence}) == 1


def test_file_that_changes_during_processing_is_not_cached(
    bundle: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = songs(tmp_path / "music", 1)

    def predict(bundle: Classifier, path: Path) -> Prediction:
        prediction = predict_file(bundle, path)
        soundfile.write(path, noise(2), SR)
        return prediction

    monkeypatch.setattr(batch, "predict_file", predict)
    with open_cache() as answers:
        assert next(predict_files(bundle, [path], cache=answers)).duration_s == 0.6
        answers.flush()
        assert answers.lookup(bundle, path) is None


def test_named_pipe_is_an_error_and_does_not_block(bundle: Classifier, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp3")
    with open_cache() as answers:
        assert next(predict_files(bundle, [tmp_path / "pipe.mp3"], cache=answers)).error == "not a regular file"


def test_interrupt_keeps_finished_answers_in_the_cache(bundle: Classifier, tmp_path: Path) -> None:
    paths = songs(tmp_path / "music", 4)
    with pytest.raises(KeyboardInterrupt), open_cache() as answers:
        for i, _ in enumerate(predict_files(bundle, paths, cache=answers)):
            if i == 2:
                raise KeyboardInterrupt
    with open_cache() as answers:
        assert [answers.lookup(bundle, p) is not None for p in paths] == [True, True, True, False]


def test_invalid_jobs_and_bundles_for_tables_are_refused_at_once(bundle: Classifier, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--jobs must be 1 or more"):
        predict_files(bundle, [], jobs=0)
    with pytest.raises(BundleError, match="not audio"):
        predict_files(bundle_for(tmp_path / "table", TableView(columns=("a", "b"))), [])


# --- here or in workers ---


def test_workers_are_used_only_for_many_uncached_files(
    bundle: Classifier, tmp_path: Path, lines: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "available_cores", lambda: 4)
    paths = songs(tmp_path / "music", MAX_FILES_IN_PROCESS + 2)
    assert len(list(predict_files(bundle, paths[:MAX_FILES_IN_PROCESS]))) == MAX_FILES_IN_PROCESS
    assert len(list(predict_files(bundle, paths, jobs=1))) == MAX_FILES_IN_PROCESS + 2
    assert lines == []
    assert len(list(predict_files(bundle, paths))) == MAX_FILES_IN_PROCESS + 2
    assert len(list(predict_files(bundle, paths[:3], jobs=8))) == 3
    assert lines == [(MAX_FILES_IN_PROCESS + 2, 4), (3, 3)]
    with open_cache() as answers:
        list(predict_files(bundle, paths[:2], cache=answers))
        answers.flush()
        assert [p.path for p in predict_files(bundle, paths, cache=answers)] == list(map(str, paths))
        assert len(list(predict_files(bundle, paths, cache=answers, jobs=2))) == MAX_FILES_IN_PROCESS + 2
    assert list(predict_files(bundle, [], jobs=2)) == []
    assert lines == [(MAX_FILES_IN_PROCESS + 2, 4), (3, 3), (MAX_FILES_IN_PROCESS, 2)]
    with open_cache() as answers:
        list(predict_files(bundle, paths[:5], cache=answers, jobs=1))
    with open_cache() as answers:
        assert len(list(predict_files(bundle, paths[:5], cache=answers, jobs=2))) == 5
    assert len(lines) == 3, "all are cached"


# --- worker processes ---

CRASH = """
import os
from genrelab.audio import reader
begin = reader.Audio.__init__
def crash(self, path):
    if str(path).endswith(("003.wav", "011.wav")):
        os._exit(11)  # as a decoder does on a hostile file
    begin(self, path)
reader.Audio.__init__ = crash
"""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the files crash the worker that opens them."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(CRASH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))


@pytest.mark.slow
def test_file_that_crashes_a_worker_loses_only_its_own_answer(
    bundle: Classifier, tmp_path: Path, hostile: None, decoded: list[str]
) -> None:
    paths = songs(tmp_path / "music", 14)
    steps: list[int] = []
    with open_cache() as answers:
        found = list(predict_files(bundle, paths, jobs=2, cache=answers, progress=lambda done, _: steps.append(done)))
        assert decoded == []
        assert [f.path for f in found] == list(map(str, paths))
        assert [i for i, f in enumerate(found) if f.error] == [3, 11]
        assert found[3] == Prediction(str(paths[3]), None, None, {}, None, "linear", DECODER_CRASHED)
        assert steps == list(range(1, 15))
        answers.flush()
        assert plain(list(predict_files(bundle, paths, cache=answers))) == plain(found)
        assert decoded == [], "this process never opens a file that crashes a worker"
    good = [f for f in found if not f.error]
    assert plain(good) == plain([predict_file(bundle, Path(f.path)) for f in good])


@pytest.mark.slow
def test_workers_refuse_a_model_that_was_changed(bundle: Classifier, tmp_path: Path) -> None:
    paths = songs(tmp_path / "music", 2)
    bundle_for(tmp_path / "bundle", SamplesView(sr=SR, n_samples=4_000), dataset="another")
    with pytest.raises(BundleError, match="changed while it was being read"):
        list(predict_files(bundle, paths, jobs=2))


@pytest.mark.slow
def test_workers_use_the_windows_setting_and_end_when_closed_early(tmp_path: Path) -> None:
    view = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)
    bundle = bundle_for(tmp_path / "bundle", view, ClipSettings(clip_s=0.5, max_clips=1)).with_windows("all")
    paths = songs(tmp_path / "music", 3, seconds=1.5)
    with closing(predict_files(bundle, paths, jobs=2)) as answers:  # type: ignore[type-var]
        assert len(next(answers).timeline) == 3
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_workers_make_the_same_second_pass_as_this_process(tmp_path: Path) -> None:
    view = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)
    weights = np.random.default_rng(0).standard_normal((int(np.prod(view.shape)), 3)).astype(np.float32)
    own = bundle_for(tmp_path / "bundle", view, ClipSettings(clip_s=0.5, max_clips=2), weights * np.float32(0.4))
    paths = songs(tmp_path / "music", 8, seconds=4)
    n_windows = {}
    for name, bundle in (("own", own), ("asked for", own.with_windows(2))):
        found = list(predict_files(bundle, paths, jobs=2))
        assert found == list(predict_files(bundle, paths, jobs=1))
        n_windows[name] = {len(p.timeline) for p in found}
    assert n_windows == {"own": {2}, "asked for": {2, 4}}, "else no song is close, or none is clear"


@pytest.mark.slow
def test_workers_use_the_same_windows_as_this_process_and_find_the_same_tags(tmp_path: Path) -> None:
    """With the real networks."""
    view = EmbeddingView()
    weights = np.random.default_rng(0).standard_normal((*view.shape, 3)).astype(np.float32)
    own = bundle_for(tmp_path / "bundle", view, EMBEDDING_CLIPS, 10 * weights)
    paths = [tmp_path / f"{i}.wav" for i in range(6)]
    for i, path in enumerate(paths):
        soundfile.write(path, song(genres()[i], i, i, seconds=14.0), SONG_SR)
    n_windows = {}
    for name, bundle in (("own", own), ("all", own.with_windows("all")), ("any", own.with_any())):
        found = list(predict_files(bundle, paths, jobs=2))
        for there, here in zip(found, predict_files(bundle, paths, jobs=1), strict=True):
            assert (there.genre, there.unknown_because) == (here.genre, here.unknown_because)
            assert there.tags is not None and here.tags is not None and here.music_score is not None
            assert there.tags == pytest.approx(here.tags, abs=1e-5)
            assert there.probabilities == pytest.approx(here.probabilities, abs=1e-5)
            assert there.music_score == pytest.approx(here.music_score, abs=1e-3)
            assert [w.start_s for w in there.timeline] == [w.start_s for w in here.timeline]
        n_windows[name] = [len(p.timeline) for p in found]
    assert n_windows["any"] == n_windows["own"] and n_windows["all"] == [5] * 6
    assert set(n_windows["own"]) == {2, 5}, "else no song is clear, or all are"


@pytest.mark.slow
def test_fresh_cache_reaches_the_workers(bundle: Classifier, tmp_path: Path) -> None:
    paths = songs(tmp_path / "music", 2)
    with open_cache() as answers:
        right = plain(list(predict_files(bundle, paths, cache=answers)))
        for path in paths:
            result = batch.predict_with_cache(bundle, answers, path)
            wrong = replace(result.prediction, probabilities=dict(zip(bundle.genres, (1.0, 0.0, 0.0), strict=True)))
            assert result.stamp is not None
            answers.store(bundle, wrong, result.stamp, result.payload)
    with open_cache() as answers:
        assert plain(list(predict_files(bundle, paths, cache=answers))) != right
    with open_cache(fresh=True) as answers:
        assert plain(list(predict_files(bundle, paths, jobs=2, cache=answers))) == right
    with open_cache() as answers:
        assert list(predict_files(bundle, paths, cache=answers)) == right


def test_predictions_of_workers_are_put_in_order_and_few_wait_for_an_earlier_one(
    bundle: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = songs(tmp_path / "music", 6)
    limits: list[tuple[int, int]] = []

    def backwards(
        work: Callable[[Path], FileResult], files: list[Path], *, jobs: int, ahead: int, **_: object
    ) -> Iterator[tuple[int, FileResult]]:
        limits.append((jobs, ahead))
        yield from ((i, FileResult(predict_file(bundle, files[i]))) for i in reversed(range(len(files))))

    monkeypatch.setattr(batch, "map_in_processes", backwards)
    assert [p.path for p in predict_files(bundle, paths, jobs=2)] == list(map(str, paths))
    assert limits == [(2, 2 * QUEUE_LIMIT)]


def test_thresholds_apply_to_worker_and_cached_answers_alike(bundle: Classifier, tmp_path: Path) -> None:
    """Workers and the cache know probabilities only."""
    paths = songs(tmp_path / "music", 3)
    expected = plain([predict_file(bundle, p) for p in paths])
    never = replace(bundle, decision=Decision(dict.fromkeys(bundle.genres, None), 0.0))
    with open_cache() as answers:
        for jobs in (2, 1):  # by workers, then from the cache
            found = plain(list(predict_files(never, paths, jobs=jobs, cache=answers)))
            assert {(p.genre, p.unknown_because) for p in found} == {("unknown", "unsure")}
            assert all(p.genre_set for p in found)
            assert [replace(p, genre=p.guess, genre_set=None, unknown_because=None) for p in found] == expected
            answers.flush()
        assert plain(list(predict_files(bundle, paths, cache=answers))) == expected
