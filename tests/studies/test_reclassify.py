"""The models of a run hear a track as `predict` does, whatever was done to it before."""

from __future__ import annotations

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
    ConditionJob,
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
    """Models on views, by default one on each, and three tracks so long."""
    named = sorted((views or VIEWS).items())
    models = {name: bundle_for(folder / "run" / name / "bundle", view, SHORT) for name, view in named}
    sounds = {f"{i}.wav": (GENRES[i % 3], noise(seconds, seed=i), SR) for i in range(3)}
    return load_inputs(write_finished_run(folder / "run", models, sounds)), list(models.values())


@pytest.mark.parametrize("seconds", [0.9, 6.3])
def test_clean_probabilities_equal_those_of_predict(tmp_path: Path, seconds: float) -> None:
    who, models = a_run(tmp_path, seconds)
    assert [e.name for e in who.models] == ["log_mel", "mel_image", "samples", "statistics"]
    for track in who.tracks:
        heard = classify_conditions(ConditionJob(who.models, track, (CLEAN,), 0))[0]
        for row, model in zip(heard, models, strict=True):
            assert np.allclose(row, list(model.predict(track.path).probabilities.values()), atol=1e-9)


def test_altered_probabilities_equal_predict_on_altered_audio(tmp_path: Path) -> None:
    who, models = a_run(tmp_path, 5.0)
    track = who.tracks[0]
    y, sr = soundfile.read(track.path, dtype="float32")
    heard = classify_conditions(ConditionJob(who.models, track, (CLEAN, excerpt(3.0)), 0))[1]
    for row, model in zip(heard, models, strict=True):
        assert np.allclose(row, list(model.predict(y[sr : 4 * sr], sr=sr).probabilities.values()), atol=1e-9)


def test_a_view_is_computed_once_for_all_that_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = MelImageView(sr=SR, n_fft=512, size=8)
    who, _ = a_run(tmp_path, 0.9, a=MEL, b=MEL, c=MEL, d=other)
    asked: list[View] = []
    compute = reclassify.compute
    monkeypatch.setattr(reclassify, "compute", lambda view, *a, **k: asked.append(view) or compute(view, *a, **k))
    heard = classify_conditions(ConditionJob(who.models, who.tracks[0], (CLEAN, CONDITIONS[3]), 0))
    assert sorted(asked, key=str) == sorted([MEL, other] * 2, key=str)
    assert np.array_equal(heard[:, 0], heard[:, 1])
    assert not np.allclose(heard[:, 0], heard[:, 3])


def test_only_the_model_that_gets_silence_refuses(tmp_path: Path) -> None:
    who, _ = a_run(tmp_path, 2.0, samples=VIEWS["samples"], mel=MEL)
    heard = classify_conditions(ConditionJob(who.models, who.tracks[0], (CLEAN, LEAD_IN), 0))
    refuses = np.isnan(heard).all(axis=2)
    assert refuses.tolist() == [[False, False], [False, True]]


def test_an_excerpt_as_long_as_the_track_is_the_track(tmp_path: Path) -> None:
    who, _ = a_run(tmp_path, 2.9)
    heard = classify_conditions(
        ConditionJob(who.models, who.tracks[0], (CLEAN, excerpt(3.0), excerpt(1.0), excerpt(10.0)), 0)
    )
    assert np.array_equal(heard[0], heard[1])
    assert not np.allclose(heard[0], heard[2])
    assert np.isnan(heard[3]).all()


def test_unreadable_file_is_refused_by_every_model(tmp_path: Path) -> None:
    who, _ = a_run(tmp_path, 1.0, mel=MEL)
    Path(who.tracks[1].path).write_bytes(b"this is no audio")
    assert np.isnan(classify_conditions(ConditionJob(who.models, who.tracks[1], (CLEAN, LEAD_IN), 0))).all()


def test_results_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    who, _ = a_run(tmp_path, 1.0, mel=MEL, samples=VIEWS["samples"])
    orders = [ConditionJob(who.models, t, (CLEAN, *CONDITIONS[4:6]), 7) for t in who.tracks]
    told: list[tuple[int, int]] = []
    here, there = (
        run_jobs(classify_conditions, orders, jobs=jobs, progress=lambda *p: told.append(p)) for jobs in (1, 2)
    )
    assert np.array_equal(np.stack(here), np.stack(there))
    assert told == [(1, 3), (2, 3), (3, 3)] * 2


def test_bundle_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    who, models = a_run(tmp_path, 1.0, mel=MEL)
    bundle_for(models[0].path, MEL, SHORT, readme="# Another card\n")
    with pytest.raises(BundleError, match="changed while it was in use"):
        load_bundles(who.models)


def test_table_models_are_refused(tmp_path: Path) -> None:
    run = write_finished_run(tmp_path / "run", {}, {"0.wav": ("Folk", noise(1.0), SR)})
    bundle_for(tmp_path / "run" / "knn" / "bundle", TableView(columns=("a", "b")))
    run.write_json("knn/metrics.json", {})
    assert "columns of a table" in str(load_inputs(run).why_not)


def test_missing_audio_is_reported(tmp_path: Path) -> None:
    who, _ = a_run(tmp_path, 1.0, mel=MEL)
    assert who.why_not is None
    for track in who.tracks[1:]:
        Path(track.path).unlink()
    some = load_inputs(reclassify.Folder(tmp_path / "run"))
    assert (len(some.tracks), some.n_scored, some.why_not) == (1, 3, None)
    Path(who.tracks[0].path).unlink()
    why = load_inputs(reclassify.Folder(tmp_path / "run")).why_not
    assert "none of the 3 scored tracks is on this disk" in str(why)


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
