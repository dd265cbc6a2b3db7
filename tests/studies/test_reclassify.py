"""The models of a run classify an altered track as `predict` does."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genrelab.core.config import ClipSettings, LogMelView, MelImageView, SamplesView, StatisticsView, TableView, View
from genrelab.core.errors import BundleError
from genrelab.predict.classifier import Classifier
from genrelab.studies import reclassify
from genrelab.studies.conditions import CLEAN, CONDITIONS, excerpt
from genrelab.studies.reclassify import (
    ScoredTrack,
    StudyInputs,
    classify_conditions,
    load_bundles,
    load_inputs,
    run_jobs,
    sample,
)
from tests.support.bundles import GENRES, SR, bundle_for, noise
from tests.support.finished_run import write_finished_run

LEAD_IN = CONDITIONS[-1]
MEL = MelImageView(sr=SR, n_fft=512, size=16)
VIEWS: dict[str, View] = {
    "samples": SamplesView(sr=SR, n_samples=900),
    "mel_image": MEL,
    "log_mel": LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=1.0, hop_s=0.5),
    "statistics": StatisticsView(),
}
SHORT = ClipSettings(clip_s=1.0, max_clips=4)


def a_run(folder: Path, seconds: float = 2.0, **views: View) -> tuple[StudyInputs, list[Classifier]]:
    """Models on views, by default one on each, and three tracks of this length."""
    named = sorted((views or VIEWS).items())
    models = {name: bundle_for(folder / "run" / name / "bundle", view, SHORT) for name, view in named}
    sounds = {f"{i}.wav": (GENRES[i % 3], noise(seconds, seed=i), SR) for i in range(3)}
    return load_inputs(write_finished_run(folder / "run", models, sounds)), list(models.values())


@pytest.mark.parametrize("seconds", [0.9, 6.3])
def test_clean_probabilities_equal_those_of_predict(tmp_path: Path, seconds: float) -> None:
    inputs, models = a_run(tmp_path, seconds)
    assert [e.name for e in inputs.models] == ["log_mel", "mel_image", "samples", "statistics"]
    for track in inputs.tracks:
        found = classify_conditions(inputs.models, (CLEAN,), 0, track)[0]
        for row, model in zip(found, models, strict=True):
            assert np.allclose(row, list(model.predict(track.path).probabilities.values()), atol=1e-9)


def test_altered_probabilities_equal_predict_on_altered_audio(tmp_path: Path) -> None:
    inputs, models = a_run(tmp_path, 5.0)
    track = inputs.tracks[0]
    y, sr = soundfile.read(track.path, dtype="float32")
    found = classify_conditions(inputs.models, (CLEAN, excerpt(3.0)), 0, track)[1]
    for row, model in zip(found, models, strict=True):
        assert np.allclose(row, list(model.predict(y[sr : 4 * sr], sr=sr).probabilities.values()), atol=1e-9)


def test_view_is_computed_once_for_all_models_that_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = MelImageView(sr=SR, n_fft=512, size=8)
    inputs, _ = a_run(tmp_path, 0.9, a=MEL, b=MEL, c=MEL, d=other)
    asked: list[View] = []
    compute = reclassify.compute
    monkeypatch.setattr(reclassify, "compute", lambda view, *a, **k: asked.append(view) or compute(view, *a, **k))
    found = classify_conditions(inputs.models, (CLEAN, CONDITIONS[3]), 0, inputs.tracks[0])
    assert sorted(asked, key=str) == sorted([MEL, other] * 2, key=str)
    assert np.array_equal(found[:, 0], found[:, 1])
    assert not np.allclose(found[:, 0], found[:, 3])


def test_only_the_model_that_gets_silence_rejects_the_track(tmp_path: Path) -> None:
    inputs, _ = a_run(tmp_path, 2.0, samples=VIEWS["samples"], mel=MEL)
    found = classify_conditions(inputs.models, (CLEAN, LEAD_IN), 0, inputs.tracks[0])
    rejects = np.isnan(found).all(axis=2)
    assert rejects.tolist() == [[False, False], [False, True]]


def test_excerpt_as_long_as_the_track_is_the_track(tmp_path: Path) -> None:
    inputs, _ = a_run(tmp_path, 2.9)
    found = classify_conditions(inputs.models, (CLEAN, excerpt(3.0), excerpt(1.0), excerpt(10.0)), 0, inputs.tracks[0])
    assert np.array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])
    assert np.isnan(found[3]).all()


def test_unreadable_file_is_rejected_by_every_model(tmp_path: Path) -> None:
    inputs, _ = a_run(tmp_path, 1.0, mel=MEL)
    Path(inputs.tracks[1].path).write_bytes(b"this is no audio")
    assert np.isnan(classify_conditions(inputs.models, (CLEAN, LEAD_IN), 0, inputs.tracks[1])).all()


def test_results_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    inputs, _ = a_run(tmp_path, 1.0, mel=MEL, samples=VIEWS["samples"])
    classify = partial(classify_conditions, inputs.models, (CLEAN, *CONDITIONS[4:6]), 7)
    progress: list[tuple[int, int]] = []
    here, there = (
        run_jobs(classify, inputs.tracks, jobs=jobs, progress=lambda *p: progress.append(p), crashed=np.empty(0))
        for jobs in (1, 2)
    )
    assert np.array_equal(np.stack(here), np.stack(there))
    assert progress == [(1, 3), (2, 3), (3, 3)] * 2


def test_job_that_crashes_its_worker_does_not_stop_the_others() -> None:
    assert run_jobs(exit_at_two, [1, 2, 3], jobs=2, progress=lambda *_: None, crashed=-1) == [1, -1, 3]


def exit_at_two(n: int) -> int:
    if n == 2:
        os._exit(1)
    return n


def test_bundle_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    inputs, models = a_run(tmp_path, 1.0, mel=MEL)
    bundle_for(models[0].path, MEL, SHORT, readme="# Another card\n")
    with pytest.raises(BundleError, match="changed while it was in use"):
        load_bundles(inputs.models)


def test_table_models_are_refused(tmp_path: Path) -> None:
    run = write_finished_run(tmp_path / "run", {}, {"0.wav": ("Folk", noise(1.0), SR)})
    bundle_for(tmp_path / "run" / "knn" / "bundle", TableView(columns=("a", "b")))
    run.write_json("knn/metrics.json", {})
    assert "columns of a table" in str(load_inputs(run).why_not)


def test_missing_audio_is_reported(tmp_path: Path) -> None:
    inputs, _ = a_run(tmp_path, 1.0, mel=MEL)
    assert inputs.why_not is None
    for track in inputs.tracks[1:]:
        Path(track.path).unlink()
    some = load_inputs(reclassify.Folder(tmp_path / "run"))
    assert (len(some.tracks), some.n_scored, some.why_not) == (1, 3, None)
    Path(inputs.tracks[0].path).unlink()
    why = load_inputs(reclassify.Folder(tmp_path / "run")).why_not
    assert str(why) == f"the audio of 3 test tracks is no longer in {tmp_path / 'root'}"


def track(i: int, genre: str) -> ScoredTrack:
    return ScoredTrack(f"{i:04d}", f"{i}.wav", f"/{i}.wav", genre, None, 30.0)


def test_a_sample_keeps_the_genres_shares() -> None:
    tracks = [track(i, "a" if i < 600 else "b" if i < 900 else "c") for i in range(1_000)]
    chosen = sample(tracks, 100, seed=1)
    counts = [sum(t.genre == g for t in chosen) for g in "abc"]
    assert np.abs(np.array(counts) - [60, 30, 10]).max() <= 1
    assert len(set(chosen)) == 100
    assert list(chosen) == sorted(chosen, key=lambda t: t.track_id)
    assert chosen == sample(tracks, 100, seed=1) != sample(tracks, 100, seed=2)
    assert sample(tracks[:5], 100, seed=1) == tuple(tracks[:5])
